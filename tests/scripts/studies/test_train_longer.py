"""Training longer: planted curves, regimes at equal updates and samples, wrong labels, the page."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.data.episode import Episode
from toyshift.diagnostics import Row
from toyshift.scripts.studies.learners import Lesson, Taught
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
    settled = [1.0, 0.1, 0.1, 0.1, 0.1]
    assert late_fall(settled, [1.0, 0.9, 0.9, 0.5, 0.09]) == pytest.approx(0.9)  # grokking
    assert late_fall(settled, [1.0, 0.2, 0.3, 0.4, 0.5]) == 0.0  # overfitting
    assert late_fall([1.0, 0.8, 0.6, 0.4, 0.2], [1.0, 0.8, 0.6, 0.4, 0.2]) is None  # learnt to the end


def test_regimes_are_at_equal_updates_and_equal_samples(tmp_path: Path) -> None:
    study = TrainLonger(Config(out=tmp_path, workers=2))
    found = {name: study.recipe(lesson, "d", "o") for name, lesson in study.lessons.items()}
    assert len(found) == len(regimes(0.1)) == 11
    usual = found["x1-s0"]
    assert (usual.steps, usual.batch_size, usual.monitor) == (500, 128, True)
    for name, batch in (("b0.25", 32), ("b4", 512)):
        samples = f"x{128 / batch:g}-{name}-s0"
        assert (found[f"x1-{name}-s0"].steps, found[f"x1-{name}-s0"].batch_size) == (500, batch)
        assert found[samples].steps * found[samples].batch_size == 500 * 128
        assert found[samples].lr == pytest.approx(usual.lr * (batch / 128) ** 0.5)
    assert found["x16-corrupt-s0"].steps == 8000
    assert found["x4-decay-s0"].weight_decay == 1e-2
    assert sum(cell.estimate for cell in study.cells()) < 90 * 60


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
    assert curve_of(tmp_path / "metrics.jsonl") == [{"step": 2, "validation_loss": 1.5, "weight_distance": 0.5}]


def taught(regime: Regime, wins: int, held_out: float) -> Taught:
    """A policy that lifts so many of 30 objects of each set, and whose held-out loss falls late to a level."""
    curve = [
        {"step": 10.0 * (i + 1), "weight_distance": 1.0 + np.log(i + 1), "train_loss": 0.1, "validation_loss": loss}
        for i, loss in enumerate((1.0, 1.0, held_out))
    ]
    rows = [
        Row(policy="p", pooling="", object_set=test, object_id=f"toy-{i}", seed=1000, episode=i, success=i < wins,
            max_height=0.1, steps=9, failure="" if i < wins else "timeout", look="", wall_s=0.1)
        for test in (TRAINED_ON, NEW) for i in range(30)
    ]  # fmt: skip
    return Taught(Lesson(regime._asdict(), 0), rows, {"curve": curve, "loss": 0.1, "validation_loss": held_out})


def test_the_page_says_what_rows_hold() -> None:
    found = [taught(Regime(4.0), 25, 0.3), taught(Regime(), 5, 1.0), taught(Regime(1.0, corrupted=0.1), 5, 1.0)]
    table = tabulated(found)
    assert [x["regime"] for x in table["inside"]] == ["steps x1", "steps x1, 10 % corrupted", "steps x4"]
    assert [x["grokked"] for x in table["inside"]] == [False, False, True]
    assert table["inside"][0]["growth"]["rate"] == pytest.approx(1.0)
    changes = {(x["second"], x["first"]): x["paired"]["difference"]["value"] for x in table["comparisons"]}
    assert changes == {("steps x4", "steps x1"): pytest.approx(20 / 30),
                       ("steps x1, 10 % corrupted", "steps x1"): 0.0}  # fmt: skip
    made = table | {"missing": ["x16-s0"], "settings": {"steps": 500, "batch": 128, "demos": 200}}
    text = markdown(made)
    assert "**Not complete:** 1 cells" in text
    assert "is seen in 1 of 3 trainings." in text
    assert "| steps x4 | new toys | 1 | 30 | 83.3 |" in text


def test_bad_input(tmp_path: Path) -> None:
    cfg = Config(out=tmp_path)
    for changes, match in (
        ({"corrupted": 0.0}, "--corrupted is 0"), ({"corrupted": 1.5}, "corrupted must be from 0 to 1"),
        ({"steps": 2}, "--batch and --steps must be 4"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=match):
            dataclasses.replace(cfg, **changes)
