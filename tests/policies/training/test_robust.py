"""The robust policy of Re-Mix: its loss is the weighted one, and weights go where something can still be learnt."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.core.contract import ACTION
from toyshift.data.loading.remix import remix_weights
from toyshift.policies.network.heads import masked_mean, sample_mean
from toyshift.policies.training.robust import RobustRun
from toyshift.policies.training.train import train

Make = Callable[..., Any]


def run_of(folder: Path, make_config: Make, make_source: Make, **changes: Any) -> RobustRun:
    config = make_config(
        folder / "mix", data=("even", "odd"), steps=40, policy={"pooling": "detpool"}, contrast=0.0, brightness=0.0,
        color=0.0, precision="f32", **changes,
    )
    reference = folder / "reference"
    train(dataclasses.replace(config, out=str(reference)), make_source(config))
    return RobustRun(config, make_source(config), reference)


@pytest.fixture
def run(tmp_path: Path, make_config: Make, make_source: Make) -> RobustRun:
    return run_of(tmp_path, make_config, make_source)


def test_losses_of_samples_average_to_the_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted, target = (torch.randn(5, 4, 3, generator=generator) for _ in range(2))
    whole = torch.zeros(5, 4, dtype=torch.bool)
    errors = (predicted - target).abs()
    torch.testing.assert_close(sample_mean(errors, whole).mean(), masked_mean(errors, whole))
    padded = whole.clone()
    padded[1, 2:] = True
    torch.testing.assert_close(sample_mean(errors, padded)[1], masked_mean(errors[1:2, :2], whole[:1, :2]))


def test_the_gradient_is_that_of_the_weighted_mean_losses(run: RobustRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run.optimizer, "step", lambda: None)
    weights = np.array([0.9, 0.1])
    losses, reference, dataset = run.losses(0)
    assert losses.shape == reference.shape == dataset.shape == (run.config.batch_size,)
    expected = sum(w * losses[dataset == d].mean() for d, w in enumerate(weights))
    run.config = dataclasses.replace(run.config, grad_clip=0.0)
    run.learn(weights)
    assert float(run.loss({}).detach()) == pytest.approx(expected, rel=1e-5)
    name, parameter = next((n, p) for n, p in run.policy.named_parameters() if n.startswith("head") and p.ndim > 1)
    weighted = parameter.grad.clone()
    run.losses(0)
    run.optimizer.zero_grad()
    for d, w in enumerate(weights):
        (w * run._losses[torch.from_numpy(dataset == d)].mean()).backward(retain_graph=True)
    torch.testing.assert_close(dict(run.policy.named_parameters())[name].grad, weighted, rtol=1e-4, atol=1e-6)


def test_a_dataset_of_noise_is_drawn_less_than_one_that_can_be_learnt(
    tmp_path: Path, make_config: Make, make_source: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noisy(config: Any) -> Any:
        source = make_source(config)
        rng = np.random.default_rng(0)
        draw = source.windows.batch

        def batch(indices: np.ndarray) -> dict[str, Any]:
            out = draw(indices)
            odd = indices % 2 == 1
            action = out[ACTION].copy()
            # new at every visit
            action[odd] = rng.permutation(action[odd]) + rng.normal(0.0, 0.3, action[odd].shape).astype(np.float32)
            return out | {ACTION: action}

        monkeypatch.setattr(source.windows, "batch", batch)
        return source

    run = run_of(tmp_path, make_config, noisy, batch_size=16)
    found = remix_weights(run, [1, 1], 40)
    assert run.step == 40
    assert found.weights[0] > found.weights[1]
    assert found.excess[0] > found.excess[1]
