"""Training longer: planted curves, regimes at equal updates and samples, wrong labels, the page."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import toyshift.policies.network.weights
import toyshift.policies.training.training_data
from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.data.episode import Episode
from toyshift.diagnostics import Row
from toyshift.policies.training.config import TrainConfig
from toyshift.scripts.studies import loss_looks
from toyshift.scripts.studies.learners import Lesson, Taught
from toyshift.scripts.studies.loss_looks import paired_losses, settled_at, steps_to_look
from toyshift.scripts.studies.remade import donors, with_actions
from toyshift.scripts.studies.train_longer import (
    NEW,
    TRAINED_ON,
    Config,
    Regime,
    TrainLonger,
    curve_of,
    growth,
    late_fall,
    markdown,
    regimes,
    tabulated,
)


def test_planted_growth_is_found() -> None:
    steps = [10.0, 20, 50, 100, 400, 1000]
    grown = growth(steps, [0.5 + 0.25 * np.log(t) for t in steps])
    assert grown is not None
    assert (grown.rate, grown.at_one, grown.log_r2) == pytest.approx((0.25, 0.5, 1.0))
    walk = growth(steps, [3.0 * t**0.5 for t in steps])
    assert walk is not None
    assert (walk.power, walk.power_r2) == pytest.approx((0.5, 1.0))
    assert walk.log_r2 < 0.95
    assert growth([1.0, 2.0], [1.0, 2.0]) is None  # two points fit anything
    assert growth(steps, [1.0] * 6) is None


def test_a_planted_late_fall_is_told_from_an_early_one() -> None:
    settled = [1.0, 0.15, 0.1, 0.1, 0.08]  # within a tenth of the whole fall, not of the last value
    assert late_fall(settled, [1.0, 0.9, 0.9, 0.5, 0.09]) == pytest.approx(0.9)  # grokking
    assert late_fall(settled, [1.0, 0.2, 0.3, 0.4, 0.5]) == 0.0  # overfitting
    assert settled_at(settled, 0.9) == 1
    assert late_fall([1.0, 1.1, 1.2], [1.0, 0.5, 0.1]) is None  # nothing was learnt
    assert late_fall([1.0, 0.8, 0.6, 0.4, 0.2], [1.0, 0.8, 0.6, 0.4, 0.2]) is None  # learnt to the end


def test_regimes_are_at_equal_updates_and_equal_samples(tmp_path: Path) -> None:
    study = TrainLonger(Config(out=tmp_path, workers=2))
    found = {name: study.recipe(lesson, "d", "o") for name, lesson in study.lessons.items()}
    assert len(found) == len(regimes(0.1, longest_wrong=False)) == 10
    assert len(regimes(0.1)) == len(TrainLonger(Config(out=tmp_path, budget="paper", seeds=1)).lessons) == 11
    usual = found["x1-s0"]
    assert (usual.steps, usual.batch_size, usual.monitor) == (250, 128, True)
    for recipe in found.values():
        assert recipe.warmup == max(1, round(recipe.steps / 10))  # never most of a training
        assert {0, *recipe.keep_steps, recipe.steps} == {*steps_to_look(recipe.steps)}
    for name, batch in (("b0.25", 32), ("b4", 512)):
        samples = f"x{128 / batch:g}-{name}-s0"
        assert (found[f"x1-{name}-s0"].steps, found[f"x1-{name}-s0"].batch_size) == (250, batch)
        assert found[samples].steps * found[samples].batch_size == pytest.approx(250 * 128, rel=0.02)
        assert found[samples].lr == pytest.approx(usual.lr * (batch / 128) ** 0.5)
    assert found["x16-s0"].steps == 4000
    assert found["x4-decay-s0"].weight_decay == 1e-2
    assert 2 * sum(cell.estimate for cell in study.cells()) < 0.95 * 3600  # core-seconds of two cores


def test_corrupted_episodes_are_a_share_and_none_keeps_its_own_actions() -> None:
    few, more = donors(40, 0.1, 3), donors(40, 0.3, 3)
    assert (len(few), len(more), donors(40, 0.0, 3)) == (4, 12, {})
    assert few.items() <= more.items()  # a larger share takes those of a smaller one and more
    assert all(i != donor and 0 <= donor < 40 for i, donor in more.items())
    assert donors(40, 0.1, 4) != few
    assert set(donors(2, 1.0, 0).items()) == {(0, 1), (1, 0)}
    with pytest.raises(ConfigError, match="from 0 to 1"):
        donors(4, 1.5, 0)
    with pytest.raises(ConfigError, match="one episode"):
        donors(1, 1.0, 0)


def test_other_actions_are_cut_or_their_last_is_repeated() -> None:
    frames = {"action": np.zeros((4, 2), np.float32), "observation.state": np.ones((4, 3), np.float32)}
    episode = Episode(0, frames, {"task": "t"})
    short = with_actions(episode, np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert short.frames["action"].tolist() == [[1, 2], [3, 4], [3, 4], [3, 4]]
    assert short.frames["action"].dtype == np.float32
    assert with_actions(episode, np.arange(12).reshape(6, 2)).frames["action"][-1].tolist() == [6, 7]
    assert short.meta == {"task": "t", "corrupted": True}
    assert (short.frames["observation.state"] == 1).all()
    assert not episode.frames["action"].any()


def test_the_curve_is_what_a_monitor_wrote(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "validation_loss": 1.5, "weight_distance": 0.5, "lr": 1.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert curve_of(tmp_path / "metrics.jsonl") == [{"step": 2, "weight_distance": 0.5}]


def fake_source(actions: Array, held: Array) -> Any:
    """Frames of five episodes, two frames each, that all show 0; the last episode is held out."""

    class Fake:
        def __init__(self, actions: Array, first: int) -> None:
            self.actions, self.first = actions, first

        def __len__(self) -> int:
            return len(self.actions)

        def batch(self, indices: Any) -> dict[str, Any]:
            numbers = np.asarray(indices)
            return {"action": self.actions[numbers].astype(np.float32), "episode_index": self.first + numbers // 2}

    return SimpleNamespace(
        windows=Fake(actions, 0), held_out=Fake(held, 4), told=lambda raw: {"action": raw["action"]}
    )  # fmt: skip


def test_wrong_labels_are_judged_apart_and_what_is_held_out_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = np.array([0.0, 0, 0, 0, 0, 0, 1, 1])
    wrong = np.where(np.arange(8) // 2 == 2, 5.0, right)  # episode 2 got other labels
    held = np.array([1.0, 3.0])

    def opened(config: Any) -> Any:
        return fake_source(right if "right" in config.data[0] else wrong, held)

    def network(folder: Path) -> Any:
        told = 5.0 if folder.name == "policy" else 0.0  # all along 0, at the end what the wrong labels say
        return SimpleNamespace(losses=lambda batch: (batch["action"] - told).abs())

    monkeypatch.setattr(toyshift.policies.training.training_data, "open_source", opened)
    monkeypatch.setattr(toyshift.policies.network.weights, "load_network", network)
    config = TrainConfig(data=("wrong",), out=str(tmp_path / "policy"), steps=100)
    found = loss_looks.losses_of(config, Path("right"), [2])
    assert [x["step"] for x in found["looks"]] == [0, 5, 10, 20, 30, 40, 50, 60, 80, 100]
    first, last = found["looks"][0], found["looks"][-1]
    assert (first["right"], first["wrong"], first["rule"], first["held_out"]) == pytest.approx((1 / 3, 5, 0, 1))
    assert first["train"] == pytest.approx((3 / 4) / 3 + 5 / 4)
    assert (last["wrong"], last["rule"]) == (0.0, 5.0)
    assert found["episodes"] == {"4": 4.0}  # every other frame: the first, 5 - 1
    clean = loss_looks.losses_of(dataclasses.replace(config, data=("right",)), Path("right"), [])
    assert set(clean["looks"][0]) == {"step", "right", "held_out", "train"}
    assert clean["looks"][0]["train"] == clean["looks"][0]["right"] == pytest.approx(1 / 4)


def test_losses_are_compared_on_the_same_episodes() -> None:
    first = {str(i): 1.0 + i for i in range(12)}
    found = paired_losses(first, {k: v - 0.5 for k, v in first.items()} | {"99": 7.0})
    assert found is not None
    assert (found["difference"]["value"], found["difference"]["n"]) == (pytest.approx(-0.5), 12)
    assert found["p_value"] < 0.01
    assert paired_losses(first, first) is None
    assert paired_losses(first, {"99": 1.0}) is None


def taught(regime: Regime, wins: int, held_out: float) -> Taught:
    """A policy that lifts so many of 30 objects of each set, and whose held-out loss falls late to a level."""
    curve = [
        {"step": 10.0 * (i + 1), "weight_distance": 1.0 + np.log(i + 1), "pathway_distance": 0.01 * wins}
        for i in range(3)
    ]
    looks = [
        {"step": 10 * i, "train": train, "right": train, "held_out": loss}
        | ({"wrong": 2 * train, "rule": 3 * train} if regime.corrupted else {})
        for i, (train, loss) in enumerate(((1.0, 2.0), (0.1, 1.0), (0.1, 1.0), (0.1, held_out)))
    ]  # fmt: skip
    rows = [
        Row(policy="p", pooling="", object_set=test, object_id=f"toy-{i}", seed=1000, episode=i, success=i < wins,
            max_height=0.1, steps=9, failure="" if i < wins else "timeout", look="", wall_s=0.1)
        for test in (TRAINED_ON, NEW) for i in range(30)
    ]  # fmt: skip
    episodes = {str(i): held_out + 0.01 * i for i in range(12)}
    return Taught(Lesson(regime._asdict(), 0), rows, {"curve": curve, "looks": looks, "episodes": episodes})


def test_the_page_says_what_rows_hold() -> None:
    found = [
        taught(Regime(4.0), 25, 0.3), taught(Regime(), 5, 1.0), taught(Regime(1.0, corrupted=0.1), 5, 1.0),
        taught(Regime(1.0, 4.0), 10, 0.9),
    ]  # fmt: skip
    found[-1].facts["looks"][1:3] = [{"step": 10 * i, "train": 0.8, "right": 0.8, "held_out": 1.0} for i in (1, 2)]
    table = tabulated(found)
    assert [x["regime"] for x in table["inside"]] == [
        "steps x1", "steps x1, 10 % corrupted", "steps x4", "steps x1, batch x4",
    ]  # fmt: skip
    assert [x["grokked"] for x in table["inside"]] == [False, False, True, None]  # the last has settled at its end
    assert [x["settled_step"] for x in table["inside"]] == [10, 10, 10, 30]
    assert table["inside"][0]["growth"]["rate"] == pytest.approx(1.0)
    losses = {(x["second"], x["first"]): x["difference"]["value"] for x in table["losses"]}
    assert losses == {("steps x4", "steps x1"): pytest.approx(-0.7),
                      ("steps x1, batch x4", "steps x1"): pytest.approx(-0.1)}  # fmt: skip
    changes = {(x["second"], x["first"]): x["paired"]["difference"]["value"] for x in table["comparisons"]}
    assert changes["steps x4", "steps x1"] == pytest.approx(20 / 30)
    assert changes["steps x1, 10 % corrupted", "steps x1"] == 0.0
    ranks = {x["of"]: x for x in table["ranks"]}
    assert (ranks["pathway_distance"]["value"], ranks["pathway_distance"]["n"]) == (pytest.approx(1.0), 4)
    assert ranks["consistency"]["n"] == 0
    made = table | {"missing": ["x16-s0"], "settings": {"steps": 500, "batch": 128, "demos": 200}}
    text = markdown(made)
    assert "**Not complete:** 1 cells" in text
    assert "is seen in 1 of the 3 trainings in which it is defined, of 4 in all." in text
    assert "| steps x4 | new toys | 1 | 30 | 83.3 |" in text
    assert "| 30 | 0.100 | 0.200 | 0.300 | 1.000 |" in text  # right, wrong, the same by the right ones, held out
    assert "Spearman over 4 trainings: +1.00" in text
    assert "Consistency: undefined; 0 trainings tell it" in text
    assert text.index("held-out loss, difference") < text.index("| regime | on |")  # the first outcome


def test_bad_input(tmp_path: Path) -> None:
    cfg = Config(out=tmp_path)
    for changes, match in (
        ({"corrupted": 0.0}, "--corrupted is 0"), ({"corrupted": 1.5}, "corrupted must be from 0 to 1"),
        ({"steps": 2}, "--batch and --steps must be 4"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=match):
            dataclasses.replace(cfg, **changes)
