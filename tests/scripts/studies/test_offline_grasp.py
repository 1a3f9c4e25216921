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
from toyshift.scripts.studies.offline_grasp import NONE, Config, OfflineGrasp
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
    assert sum(cell.estimate for cell in cells) < 40 * 60


def test_the_page_says_what_rows_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"out": tmp_path / "run", "results": tmp_path / "results", "docs": tmp_path / "docs"}
    cfg = Config(**places, seeds=2, workers=1, allow_dirty=True)
    study = OfflineGrasp(cfg)
    study.claim()
    usual = {"n": 16, "low": 0.0, "high": 1.0, "moved_m": 0.01, "started_lifting": 0.75}
    for seed, k in ((0, 4), (1, 8)):
        told = {**usual, "method": "plain", "k": k, "believed": 0.9, "held_out_auc": None if seed else 0.8}
        keep_found(study.path(f"s{seed}-plain"), told, {})
    told = {**usual, "method": NONE, "k": 12, "believed": 0.75, "held_out_auc": 0.8}
    keep_found(study.path("s0-no-ascent"), told, {})
    keep_found(study.path("s0-data"), {"grasps": 40, "planned": 0.9, "moved": None}, {})
    table = study.tabulate()
    control, plain = table["methods"]
    assert (control["method"], control["optimism"]) == (NONE, 0.0)
    assert (plain["k"], plain["n"], plain["by_seed"], plain["held_out_auc"]) == (12, 32, [0.25, 0.5], 0.8)
    assert plain["optimism"] == pytest.approx(0.9 - 0.375)
    text = (tmp_path / "docs" / "offline_grasp.md").read_text()
    assert "| plain | 12 of 32 | 38 |" in text
    assert "of the planned ones 90 % lifted, of the moved copies -." in text
    assert "**Not complete:** 10 cells" in text
    known = offline_grasp.TriedGrasps(*planted(4), *np.zeros((3, 4), int))
    monkeypatch.setattr(OfflineGrasp, "known", lambda self, seed: offline_grasp.TriedGrasps(
        known.inputs, np.ones(4, bool), known.planned, known.toy, known.drop))  # fmt: skip
    with pytest.raises(ConfigError, match="all grasps lifted of 4"):
        study.improved(0, "plain")
