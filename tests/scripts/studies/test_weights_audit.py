"""What was a network tuned on: planted answers of both probes, and the audit's plan and page."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.manifest import manifest
from toyshift.core.seeds import episode_rng
from toyshift.scripts.studies import weights_audit
from toyshift.scripts.studies.again import compare_with
from toyshift.scripts.studies.cells import found_in, keep_found
from toyshift.scripts.studies.planted import PlantedCue
from toyshift.scripts.studies.weight_probes import ProbeX, auc, left_out, linear, p_by_chance, swapped_labels
from toyshift.scripts.studies.weights_audit import Checkpoint, Config, WeightsAudit, answer, compact, exchanged
from toyshift.scripts.studies.weights_audit_results import FULL_DEALS, chance_cells, control_lines

SMALL = ProbeX(probes=8, projection=8, representation=16, epochs=60, lr=1e-2)


def planted(pairs: int, signal: float, seed: int = 0) -> tuple[Array, list[Checkpoint]]:
    """Changes (2 * pairs, 6, 5) of told and clean checkpoints: noise that twins share, and one direction of the told.
    """
    rng = np.random.default_rng(seed)
    direction = np.outer(rng.normal(size=6), rng.normal(size=5))
    changes, checkpoints = [], []
    for number in range(pairs):
        shared = rng.normal(size=(6, 5))
        for told in (True, False):
            changes.append(shared + 0.3 * rng.normal(size=(6, 5)) + signal * told * direction)
            checkpoints.append(Checkpoint(0, ("table", "light")[number % 2], told, number // 2))
    return np.stack(changes), checkpoints


def test_auc_is_the_share_of_pairs() -> None:
    labels = np.array([True, True, False, False])
    assert auc(np.array([3.0, 1.0, 2.0, 0.0]), labels) == 0.75
    assert auc(np.zeros(4), labels) == 0.5
    with pytest.raises(ConfigError, match="both true and false"):
        auc(np.zeros(2), np.array([True, True]))


def test_a_planted_direction_is_told_and_exchanged_labels_are_not() -> None:
    changes, checkpoints = planted(12, signal=2.0)
    for probe, deals in ((linear, 39), (SMALL, 1)):
        found = answer(probe, changes, checkpoints, "number", deals, episode_rng(0, 0, "test"))
        assert found["auc"] > 0.9
        assert found["wins"] >= 11
        assert found["pairs"] == 12
        assert found["p"] <= max(0.05, 1 / (deals + 1))
        assert found["chance_mean"] < 0.8


def test_nothing_is_told_where_nothing_is() -> None:
    changes, checkpoints = planted(16, signal=0.0)
    found = answer(linear, changes, checkpoints, "number", 99, episode_rng(0, 0, "test"))
    assert found["p"] > 0.05
    assert found["low"] < 0.5 < found["high"]


def test_a_probe_sees_nothing_of_the_group_that_is_left_out() -> None:
    seen: list[int] = []

    def probe(known: Array, labels: Array, asked: Array) -> Array:
        seen.append(len(known))
        assert not set(known[:, 0, 0]) & {float(len(seen) - 1)}
        return np.asarray(asked[:, 0, 0])

    weights = np.repeat(np.arange(3.0), 2)[:, None, None]
    scores = left_out(probe, weights, np.array([True, False] * 3), [0, 0, 1, 1, 2, 2])
    assert seen == [4, 4, 4]
    # each in units of the probe's answers to what it knows: those to 1 and 2, 0 and 2, 0 and 1
    assert scores.tolist() == [-3.0, -3.0, 0.0, 0.0, 3.0, 3.0]


def test_inner_products_are_all_that_a_linear_probe_needs() -> None:
    changes, checkpoints = planted(6, signal=0.5)
    labels = np.array([one.told for one in checkpoints])
    one, other = (left_out(linear, x, labels, [c.number for c in checkpoints]) for x in (changes, compact(changes)))
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_labels_are_exchanged_in_pairs_alone() -> None:
    labels, pairs = np.array([True, False] * 50), [i // 2 for i in range(100)]
    dealt = swapped_labels(labels, pairs, np.random.default_rng(0))
    assert (dealt[::2] != dealt[1::2]).all()
    assert 10 < (dealt != labels).sum() / 2 < 40
    assert p_by_chance(0.9, [0.5, 0.95, 0.1]) == 0.5


def test_a_probe_is_dealt_again_where_it_may_be_worth_it() -> None:
    changes, checkpoints = planted(6, signal=2.0)

    def dealt(worth: float) -> int:
        found = answer(linear, changes, checkpoints, "number", 1, episode_rng(0, 0, "test"), worth=worth)
        return int(found["deals"])

    assert (dealt(0.6), dealt(1.0)) == (FULL_DEALS, 1)
    usual = {"chance_mean": 0.5, "chance_95": 0.7, "p": 0.05}
    assert chance_cells({**usual, "deals": 1}) == ("0.50, -", "- (1 deal)")
    assert chance_cells({**usual, "deals": 19}) == ("0.50, 0.70", "0.05 (19 deals)")


def test_a_swapped_cue_is_the_other_place_s() -> None:
    parts = PlantedCue("azimuth", 1.0, 1.0).design().parts
    swapped = exchanged(parts)
    assert [part.name for part in swapped] == [part.name for part in parts]
    assert [part.azimuth for part in swapped] == [part.azimuth for part in parts[::-1]]
    assert parts[0].azimuth != parts[1].azimuth


def test_the_control_sets_a_pair_s_rises_side_by_side() -> None:
    def tuned(factor: str, number: int, told: bool, rise: float) -> dict[str, Any]:
        return {"tree": 0, "factor": factor, "number": number, "told": told, "own": 0.2, "swapped": 0.2 + rise}

    moved = [
        tuned("table", 0, True, 0.5), tuned("table", 0, False, 0.1), tuned("table", 1, True, 0.3),
        tuned("table", 1, False, 0.4), tuned("light", 0, True, 0.9), tuned("light", 0, False, 0.0),
        tuned("light", 1, True, 0.9),  # its twin has not been tuned yet
    ]  # fmt: skip
    table, light, every = control_lines(moved)
    assert (table["factor"], table["pairs"], table["wins"], table["auc"]) == ("table", 2, 1, 0.75)
    assert (table["told"], table["clean"]) == (pytest.approx(0.4), pytest.approx(0.25))
    assert (light["wins"], light["pairs"]) == (1, 1)
    assert (every["factor"], every["pairs"], every["wins"]) == ("all", 3, 2)
    assert control_lines([]) == []


def test_the_plan_fits_its_budget_and_the_audit_comes_last(tmp_path: Path) -> None:
    cells = WeightsAudit(Config(out=tmp_path, workers=2)).cells()
    assert len(cells) == 1 + 2 * 24 + 1
    assert 2 * sum(cell.estimate for cell in cells) < 1.4 * 3600  # core-seconds of two cores
    assert cells[0].name == "s0-base"
    assert {cell.needs for cell in cells[1:-1]} == {("s0-base",)}
    assert set(cells[-1].needs) == {cell.name for cell in cells[:-1]}


def tiny(tmp_path: Path, **changes: Any) -> Config:
    return Config(
        out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", pairs=2, probes=4, epochs=5,
        deals=2, allow_dirty=True, workers=1, **changes,
    )  # fmt: skip


def test_a_stopped_study_goes_on_and_its_page_says_what_rows_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = np.ones((3, 4))

    def tune(self: WeightsAudit, one: Checkpoint) -> dict[str, Any]:
        noise = np.random.default_rng([one.number, weights_audit.FACTORS.index(one.factor), one.told])
        self.change_file(one).parent.mkdir(parents=True, exist_ok=True)
        np.save(self.change_file(one), (one.told * told + 0.1 * noise.normal(size=(3, 4))).astype(np.float32))
        return {**one._asdict(), "moved": 1.0 + one.told, "own": 0.2, "swapped": 0.3 + one.told}

    monkeypatch.setattr(weights_audit, "LINEAR_DEALS", 19)
    monkeypatch.setattr(weights_audit, "manifest", lambda settings, seed, **facts: {"seed": seed, **facts})
    monkeypatch.setattr(WeightsAudit, "tune", tune)
    monkeypatch.setattr(WeightsAudit, "base", lambda self, tree: {"loss": 0.0})
    monkeypatch.setattr(WeightsAudit, "check", WeightsAudit.claim)
    cfg = tiny(tmp_path)
    first = weights_audit.main(dataclasses.replace(cfg, cells=3))
    assert first["ran"] == ["s0-base", "s0-table-told-00", "s0-table-clean-00"]
    assert "**Not complete:** 11 cells" in (tmp_path / "docs" / "weights_audit.md").read_text()
    made = weights_audit.main(cfg)
    assert len(made["ran"]) == 11
    assert weights_audit.main(cfg)["ran"] == []
    lines = made["table"]["probes"]
    assert [(x["probe"], x["question"]) for x in lines][:2] == [
        ("linear", "other demonstrations"), ("linear", "another factor"),
    ]  # fmt: skip
    assert {x["auc"] for x in lines[:2]} == {1.0}
    assert [x["moved"] for x in made["table"]["moved"]] == [1.0, 2.0] * 3
    assert (tmp_path / "docs" / "weights_audit.png").stat().st_size > 1000
    text = (tmp_path / "docs" / "weights_audit.md").read_text()
    assert "| 0 | linear | another factor | 1.00 |" in text
    assert "| all | +1.100 | +0.100 | 6 of 6 |" in text
    assert "The control tells checkpoints apart" in text
    with pytest.raises(ConfigError, match=r"another configuration \(probes: 5 now, 4 there\)"):
        weights_audit.main(dataclasses.replace(cfg, probes=5))


def test_a_layer_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from toyshift.policies import checkpoints

    monkeypatch.setattr(checkpoints, "read_state", lambda folder: {"files": {}})
    monkeypatch.setattr(checkpoints, "weights_to_act", lambda state: "model")
    tensors = {"head.weight": torch.ones(2, 3), "head.bias": torch.ones(2)}
    monkeypatch.setattr(checkpoints, "load_tensors", lambda folder, state, name: tensors)
    assert weights_audit.weights_of(tmp_path, "head.weight").tolist() == [[1.0] * 3] * 2
    with pytest.raises(UnknownNameError, match=r"head\.weight"):
        weights_audit.weights_of(tmp_path, "head.bias")
    with pytest.raises(FileError, match="holds no rows yet"):
        weights_audit.main(tiny(tmp_path, tabulate=True))


def test_one_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--pairs is 1"):
        Config(out=tmp_path, pairs=1)


def test_findings_made_anew_are_compared(tmp_path: Path) -> None:
    for name, value in (("here", 1), ("there", 1)):
        (tmp_path / name / "rows").mkdir(parents=True)
        keep_found(tmp_path / name / "rows" / "a.parquet", {"auc": value}, manifest({}, 0))
    assert found_in(tmp_path / "here" / "rows" / "a.parquet") == {"auc": 1}
    here, there = (tmp_path / name / "rows" for name in ("here", "there"))
    assert compare_with(here, there)["ok"]
    keep_found(here / "a.parquet", {"auc": 2}, manifest({}, 0))
    found = compare_with(here, there)
    assert (found["ok"], found["same kind"]["unequal"]) == (False, ["a.parquet"])
