"""Medians of gradients: what all parts share stays, to the bit, and what one part wants alone goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.policies.repairs.median import median3, winsorised
from toyshift.policies.training.training_run import Run


def gradients_of(run: Run, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    run.optimizer.zero_grad(set_to_none=True)
    run.backward(batch)
    return {n: p.grad.clone() for n, p in run.policy.named_parameters() if p.grad is not None}


def hooked(run: Run, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    run.optimizer.zero_grad(set_to_none=True)
    run.repairs[0].gradients(run, batch)
    return {n: p.grad.clone() for n, p in run.policy.named_parameters() if p.grad is not None}


def test_rm3_learns_from_the_third_step_on(
    make_config: Callable[..., Any], make_source: Callable[..., Any], tmp_path: Path
) -> None:
    config = make_config(tmp_path, repair="rm3", precision="f32")
    run = Run(config, make_source(config))
    start = {n: p.detach().clone() for n, p in run.policy.named_parameters()}
    seen = []
    for step in range(3):
        assert all(torch.equal(p, start[n]) for n, p in run.policy.named_parameters())  # nothing learnt before
        indices, batch = run.batch(step)
        seen.append(gradients_of(run, batch))
        run.train_step(indices, batch)
    assert not all(torch.equal(p, start[n]) for n, p in run.policy.named_parameters())
    want = {name: median3(*(g[name] for g in seen)) for name in seen[0]}
    assert all(torch.equal(median3(*(g[n] for g in run.repairs[0].last)), want[n]) for n in want)


@pytest.mark.parametrize(("repair", "parts"), [("m3", 3), ("winsor?c=2", 8)])
def test_parts_are_those_of_the_batch(
    repair: str, parts: int, make_config: Callable[..., Any], make_source: Callable[..., Any], tmp_path: Path
) -> None:
    config = make_config(tmp_path, repair=repair, precision="f32", batch_size=10)
    run = Run(config, make_source(config))
    batch = run.batch(0)[1]
    cuts = np.array_split(np.arange(10), parts)
    each = [gradients_of(run, {k: v[c[0] : c[-1] + 1] for k, v in batch.items()}) for c in cuts]
    found = hooked(run, batch)
    for name, value in found.items():
        stack = torch.stack([g.get(name, torch.zeros_like(value)) for g in each])
        want = stack.median(dim=0).values if parts == 3 else winsorised(stack, 2)
        assert torch.equal(value, want)
