"""A monitor: distances of pathways by hand, and columns that depend on nothing but the weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.policies.parts import TRANSFORMERS
from toyshift.policies.training.monitor import COLUMNS, FRAMES, pathway_distance
from toyshift.policies.training.training_run import Run

Make = Callable[..., Any]


def test_distances_of_pathways_by_hand() -> None:
    active = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]], dtype=bool)
    within, between = pathway_distance(active, ["a", "a", "b"])
    assert within == 0.5  # one of two units is shared
    assert between == 1.0
    assert pathway_distance(np.zeros((2, 3), dtype=bool), ["a", "a"])[0] == 0.0
    assert math.isnan(pathway_distance(active, ["a", "b", "c"])[0])
    alone = pathway_distance(active, [0, 0, 0])
    assert alone[0] == pytest.approx((0.5 + 1 + 1) / 3)
    assert math.isnan(alone[1])


def test_columns_are_of_the_weights_that_act_and_change_nothing(
    make_config: Make, make_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TRANSFORMERS, "transformer-tiny", (16, 2, 2))  # width, blocks, heads
    config = make_config(tmp_path, monitor=True, ema=0.5, policy={"policy_net": "transformer-tiny", "history": 1})
    run = Run(config, make_source(config))
    assert run.monitor is not None
    assert len(run.monitor.frames) == min(FRAMES, len(run.source.windows))
    first = run.monitor.columns(run)
    assert first["weight_distance"] == 0.0
    assert -1.0 <= first["consistency"] <= 1.0
    assert set(first) <= set(COLUMNS)
    before = {k: v.clone() for k, v in run.policy.state_dict().items()}
    state = torch.random.get_rng_state()
    with torch.no_grad():
        for p in run.policy.parameters():
            p.add_(0.1)
    count = sum(p.numel() for p in run.policy.parameters())
    moved = run.monitor.columns(run)
    assert moved["weight_distance"] == pytest.approx(0.1 * count**0.5, rel=1e-3)
    # the averaged weights, which act, have not moved
    assert {k: v for k, v in moved.items() if k != "weight_distance"} == {
        k: v for k, v in first.items() if k != "weight_distance"
    }
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.allclose(v, before[k] + 0.1) for k, v in run.policy.named_parameters())
