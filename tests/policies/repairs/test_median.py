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


def planted(parts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A gradient that is common to all parts, and those parts, each with entries of its own beside it (disjoint)."""
    rng = torch.Generator().manual_seed(0)
    common = torch.randn(60, generator=rng)
    own = torch.zeros(parts, 60)
    for i in range(parts):
        own[i, i::parts] = 10.0 * torch.randn(60 // parts if 60 % parts == 0 else len(own[i, i::parts]), generator=rng)
    return common, common + own


def test_the_median_is_the_common_part_and_the_mean_is_not() -> None:
    common, parts = planted(3)
    assert torch.equal(median3(*parts), common)
    assert (parts.mean(dim=0) - common).abs().mean() > 1.0
    assert torch.equal(median3(*parts), parts.median(dim=0).values)


def test_winsorised_means_stop_at_the_next_entry() -> None:
    values = torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [1e6]])
    assert winsorised(values, 1).item() == pytest.approx((1 + 1 + 2 + 3 + 4 + 5 + 6 + 6) / 8)
    values[-1] = 1e9  # moves nothing any more
    assert winsorised(values, 1).item() == pytest.approx(28 / 8)
    common, parts = planted(8)
    assert (winsorised(parts, 1) - common).abs().max() < 1e-5


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
