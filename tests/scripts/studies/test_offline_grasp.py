"""Grasps improved by a network: exact gradients of planted functions, poses there and back, the plan and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.core.errors import ConfigError
from toyshift.scripts.studies import grasp_surrogates, offline_grasp
from toyshift.scripts.studies.cells import keep_found
from toyshift.scripts.studies.grasp_surrogates import (
    EPSILON,
    ETA,
    LAMBDA,
    METHODS,
    RHO,
    ascend,
    drops_of,
    fit_surrogate,
    inputs_of,
    moved,
    moved_pose,
    next_multiplier,
    pose_of,
    rotation_of,
    sharpness,
)
from toyshift.scripts.studies.offline_grasp import NONE, Config, OfflineGrasp, TriedGrasps, held_out
from toyshift.scripts.studies.weight_probes import auc


def test_ignite_s_push_is_the_gradient_of_the_gradient_s_length() -> None:
    matrix = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    weights = torch.tensor([1.0, -2.0], dtype=torch.float64, requires_grad=True)

    def function() -> torch.Tensor:
        return 0.5 * weights @ matrix @ weights

    (push,), length = sharpness(function, [weights])
    slope = matrix @ weights.detach()
    assert length == pytest.approx(float(slope.norm()))
    np.testing.assert_allclose(push, matrix @ slope / slope.norm(), atol=1e-9)  # of a quadratic it is exact
    assert weights.tolist() == [1.0, -2.0]  # put back
    (ahead,) = moved(function, [weights], [torch.tensor([3.0, 4.0], dtype=torch.float64)], 0.5)
    np.testing.assert_allclose(ahead, matrix @ torch.tensor([1.3, -1.6], dtype=torch.float64), atol=1e-9)


def test_ignite_s_multiplier_grows_above_its_bound_alone() -> None:
    assert next_multiplier(LAMBDA, EPSILON / RHO) == pytest.approx(LAMBDA)
    assert next_multiplier(LAMBDA, 1.0) == pytest.approx(LAMBDA + ETA * (RHO - EPSILON))
    assert next_multiplier(0.0, 0.0) == 0.0


def planted(count: int, seed: int = 0) -> tuple[Any, Any]:
    """Grasps (n, 13) that lift within 2 cm of the object's middle along x, whatever else they are."""
    rng = np.random.default_rng(seed)
    rotations = [moved_pose(np.eye(4), rng)[:3, :2].T.ravel() for _ in range(count)]
    inputs = np.column_stack([0.03 * rng.normal(size=(count, 3)), rotations, rng.random((count, 4))])
    return inputs, np.abs(inputs[:, 0]) < 0.02


def test_a_planted_outcome_is_learnt_and_climbed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grasp_surrogates, "EPOCHS", 120)
    (inputs, labels), (others, truth) = planted(240), planted(80, seed=1)
    for method in METHODS:
        if method != "plain":
            monkeypatch.setattr(grasp_surrogates, "EPOCHS", 60)
        assert auc(fit_surrogate(inputs, labels, method, 0).predict(others), truth) > 0.85
    own = fit_surrogate(inputs, labels, "plain", 0)
    start = others[(np.abs(others[:, 0]) > 0.02) & (np.abs(others[:, 0]) < 0.04)]
    made = ascend(own, start, 50, 0.02)
    assert made.predicted.mean() > own.predict(start).mean() + 0.2
    assert np.abs(made.inputs[:, 0]).mean() < np.abs(start[:, 0]).mean()
    assert (made.inputs[:, 9:] == start[:, 9:]).all()  # width and object are not the hand's to change
    for row in made.inputs:
        rotation = rotation_of(row[3:9])
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
        np.testing.assert_allclose(rotation[:, :2].T.ravel(), row[3:9], atol=1e-9)
    still = ascend(own, start, 0, 0.02)
    np.testing.assert_allclose(still.inputs, start, atol=1e-6)


def test_a_pose_is_told_and_told_back() -> None:
    rng = np.random.default_rng(0)
    there, grasp = moved_pose(np.eye(4), rng), moved_pose(np.eye(4), rng)
    vertices = np.array([[0.0, 0, 0], [0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.3]])
    inputs = inputs_of(grasp, there, 0.04, vertices)
    assert inputs.shape == (13,)
    np.testing.assert_allclose(pose_of(inputs, there[:3, :3]), grasp, atol=1e-9)
    assert inputs[9] == 0.04
    np.testing.assert_allclose(inputs_of(grasp, np.eye(4), 0.0, vertices)[10:], [0.1, 0.2, 0.3])


def test_a_drop_without_a_grasp_is_not_counted_away() -> None:
    starts = np.stack([np.eye(4) * (i + 1) for i in range(3)])
    assert drops_of(starts[[0, 0, 2]], starts).tolist() == [0, 0, 2]
    assert drops_of(np.zeros((0, 4, 4)), starts).tolist() == []
    with pytest.raises(ConfigError, match="lay otherwise"):
        drops_of(starts[:1] + 0.1, starts)


def test_the_plan_fits_its_budget_and_all_need_the_data(tmp_path: Path) -> None:
    cells = OfflineGrasp(Config(out=tmp_path, workers=2)).cells()
    assert [cell.name for cell in cells] == ["s0-data", "s0-no-ascent", *(f"s0-{method}" for method in METHODS)]
    assert {cell.needs for cell in cells[1:]} == {("s0-data",)}
    assert 2 * sum(cell.estimate for cell in cells) < 0.35 * 3600  # core-seconds of two cores


def test_the_page_says_what_rows_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"out": tmp_path / "run", "results": tmp_path / "results", "docs": tmp_path / "docs"}
    cfg = Config(**places, seeds=2, workers=1, allow_dirty=True)
    study = OfflineGrasp(cfg)
    study.claim()
    usual: dict[str, Any] = {"n": 16, "low": 0.0, "high": 1.0, "moved_m": 0.01, "held_out": 30}
    before = [i < 12 for i in range(16)]
    for seed, k in ((0, 4), (1, 8)):
        told = {**usual, "method": "plain", "k": k, "believed": 0.9, "held_out_auc": None if seed else 0.8}
        lifts = {"lifted": [i < k for i in range(16)], "before": before, "toys": [f"{seed}:{i}" for i in range(16)]}
        keep_found(study.path(f"s{seed}-plain"), {**told, **lifts}, {})
    told = {**usual, "method": NONE, "k": 12, "believed": 0.75, "held_out_auc": 0.8, "held_out": 28}
    lifts = {"lifted": before, "before": before, "toys": [f"0:{i // 2}" for i in range(16)]}
    keep_found(study.path("s0-no-ascent"), {**told, **lifts}, {})
    keep_found(study.path("s0-data"), {"grasps": 40, "planned": 0.9, "moved": None}, {})
    table = study.tabulate()
    control, plain = table["methods"]
    assert (control["method"], control["optimism"]) == (NONE, 0.0)
    assert (plain["k"], plain["n"], plain["by_seed"], plain["held_out_auc"]) == (12, 32, [0.25, 0.5], 0.8)
    assert plain["optimism"] == pytest.approx(0.9 - 0.375)
    assert (control["toys"], plain["toys"], plain["lifted_before"]) == (8, 32, 0.75)  # a toy of each seed
    assert plain["change"]["difference"]["value"] == pytest.approx(-12 / 32)
    assert "change" not in control
    text = (tmp_path / "docs" / "offline_grasp.md").read_text()
    assert "| plain | 12 of 32 | 38 |" in text
    assert "| 75 | -38 (" in text
    assert "were 28 to 60 grasps of starts that were held out." in text
    assert "of the planned ones 90 % lifted, of the moved copies -." in text
    assert "**Not complete:** 10 cells" in text
    monkeypatch.setattr(OfflineGrasp, "known", lambda *_: grasps(40, lifted=True))
    with pytest.raises(ConfigError, match="all grasps lifted of 32"):
        study.improved(0, "plain")


def grasps(count: int, lifted: bool = False) -> TriedGrasps:
    """Planted grasps of two toys, five starts each; all lift where that is asked for."""
    inputs, truth = planted(count)
    number = np.arange(count)
    planned = number % 2 == 0
    return TriedGrasps(inputs, truth | lifted, planned, number % 10 // 5, number % 5)


def test_a_start_is_held_out_with_all_of_its_grasps() -> None:
    known = grasps(60)
    out = held_out(known, 5, 0)
    assert out.sum() == 2 * 6
    starts = set(zip(known.toy[out].tolist(), known.drop[out].tolist(), strict=True))
    assert len(starts) == 2
    assert not starts & set(zip(known.toy[~out].tolist(), known.drop[~out].tolist(), strict=True))
    assert (held_out(known, 5, 0) == out).all()


@pytest.mark.parametrize("method", [NONE, "plain"])
def test_networks_climb_from_grasps_that_they_have_not_seen(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, learnt, tried = grasps(400), [], []
    out = held_out(known, 5, 0)

    def fit(inputs: Any, labels: Any, usual: str, seed: int) -> Any:
        learnt.append((inputs, labels, usual))
        return fit_surrogate(inputs, labels, usual, seed)

    def outcomes(self: OfflineGrasp, seed: int, known: TriedGrasps, chosen: Any, inputs: Any, pool: Any) -> Any:
        tried.append(chosen)
        assert (inputs[:, 9:] == known.inputs[chosen, 9:]).all()
        return np.abs(inputs[:, 0]) < 0.02  # as planted

    monkeypatch.setattr(grasp_surrogates, "EPOCHS", 120)
    monkeypatch.setattr(offline_grasp, "fit_surrogate", fit)
    monkeypatch.setattr(OfflineGrasp, "known", lambda *_: known)
    monkeypatch.setattr(OfflineGrasp, "outcomes", outcomes)
    study = OfflineGrasp(Config(out=tmp_path, workers=1, toys=2, drops=5, tried=32))
    found = study.improved(0, method)
    ((inputs, labels, usual),) = learnt
    assert usual == "plain"
    np.testing.assert_array_equal(inputs, known.inputs[~out])
    np.testing.assert_array_equal(labels, known.lifted[~out])
    assert (found["n"], found["held_out"], len(found["toys"])) == (32, 80, 32)
    assert found["held_out_auc"] > 0.8
    if method == NONE:
        assert not tried
        assert found["lifted"] == found["before"]
    else:
        assert set(tried[0].tolist()) <= set(np.flatnonzero(out).tolist())
        assert found["k"] >= sum(found["before"])


def test_grasps_are_tried_from_their_own_start(tmp_path: Path) -> None:
    study = OfflineGrasp(Config(out=tmp_path, workers=1, toys=2, drops=1, grasps=2))
    known = study.known(0)
    n = len(known.lifted)
    assert known.planned.sum() * 2 == n > 0
    chosen = np.arange(n)[::-1]
    again = study.outcomes(0, known, chosen, known.inputs[chosen], None)
    assert (again == known.lifted[chosen]).all()  # what they are is what was tried
    assert (study.known(0).lifted == known.lifted).all()
