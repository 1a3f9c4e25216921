"""SAM: the gradient is that of the steepest place nearby, and a sharp minimum does not hold it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from toyshift.policies.repairs import repairs_of
from toyshift.policies.training.training_run import Run


class Valley:
    """A loss of one weight with a sharp minimum at -1, narrower than rho, and a flat one at 2."""

    def __init__(self, start: float) -> None:
        self.w = torch.nn.Parameter(torch.tensor([start], dtype=torch.float64))
        self.trained = torch.nn.Module()
        self.trained.w = self.w
        self.optimizer = torch.optim.SGD([self.w], lr=0.02)

    def backward(self, batch: dict[str, torch.Tensor]) -> float:
        sharp = 2.0 * torch.exp(-(((self.w + 1.0) / 0.1) ** 2))
        loss = (0.05 * (self.w - 2.0) ** 2 - sharp).sum()
        loss.backward()
        return float(loss.detach())


def end(repair: str, start: float = -1.05) -> float:
    valley, (sam,) = Valley(start), repairs_of(repair)
    for _ in range(1000):
        valley.optimizer.zero_grad()
        sam.gradients(valley, {})  # type: ignore[arg-type]
        valley.w.grad.clamp_(-1.0, 1.0)
        valley.optimizer.step()
    return float(valley.w.detach())


def test_a_sharp_minimum_does_not_hold_it_and_a_flat_one_does() -> None:
    assert end("sam?rho=1e-6") == pytest.approx(-1.0, abs=0.05)  # as gradient descent
    assert abs(end("sam?rho=0.5") + 1.0) > 0.4
    assert end("sam?rho=0.5", start=1.0) == pytest.approx(2.0, abs=0.6)


def test_the_gradient_is_that_at_rho_and_the_weights_come_back(
    make_config: Callable[..., Any], make_source: Callable[..., Any], tmp_path: Path
) -> None:
    config = make_config(tmp_path, repair="sam?rho=0.1", precision="f32")
    run = Run(config, make_source(config))
    batch = run.batch(0)[1]
    before = {n: p.detach().clone() for n, p in run.policy.named_parameters()}
    value = run.backward(batch)
    plain = {n: p.grad.clone() for n, p in run.policy.named_parameters() if p.grad is not None}
    length = torch.sqrt(sum((g.double() ** 2).sum() for g in plain.values()))
    run.optimizer.zero_grad(set_to_none=True)
    assert run.repairs[0].gradients(run, batch) == value
    found = {n: p.grad.clone() for n, p in run.policy.named_parameters() if p.grad is not None}
    assert all(torch.equal(p, before[n]) for n, p in run.policy.named_parameters())
    with torch.no_grad():
        for n, p in run.policy.named_parameters():
            if n in plain:
                p.add_(plain[n] * float(0.1 / length))
    run.optimizer.zero_grad(set_to_none=True)
    run.backward(batch)
    for n, p in run.policy.named_parameters():
        if p.grad is not None:
            assert torch.allclose(found[n], p.grad, atol=1e-4, rtol=1e-2)
