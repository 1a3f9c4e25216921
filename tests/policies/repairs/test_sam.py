"""SAM: the gradient is that of the steepest place nearby, and a sharp minimum does not hold it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from toyshift.policies.training.training_run import Run


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
