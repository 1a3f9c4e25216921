"""Heads that start from noise: they learn two answers where L1 averages them, draw from the seed, act and export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.core.errors import MissingDependencyError
from toyshift.policies import PolicyConfig, export, load_policy, train, verify
from toyshift.policies.network.heads import make_head
from toyshift.policies.training.augmentation import augment

Make = Callable[..., Any]
NOISE = ("diffusion", "flow")


def head_of(name: str, **kwargs: Any) -> Any:
    if name == "diffusion":
        pytest.importorskip("diffusers")
    return make_head(5, 1, PolicyConfig(head=name, chunk=2, execute=1, hidden=64, **kwargs))


@pytest.mark.parametrize("name", NOISE)
def test_two_good_answers_stay_two(name: str) -> None:
    head = head_of(name, denoise=20)
    optimizer = torch.optim.Adam(head.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    features = torch.zeros(256, 5)
    for _ in range(400):
        # both actions -1, or both 1
        target = (2.0 * (torch.rand(256, 1, 1, generator=generator) < 0.5).float() - 1.0).expand(256, 2, 1)
        noise, time = torch.randn(256, 2, 1, generator=generator), torch.rand(256, generator=generator)
        optimizer.zero_grad()
        head.errors(features, target, noise, time).mean().backward()
        optimizer.step()
    with torch.no_grad():
        out = head(features, torch.randn(256, 2, 1, generator=generator))
    assert (out.abs() - 1.0).abs().median() < 0.2  # near one of the two, not at their mean
    assert 0.3 < (out[:, 0] > 0).float().mean() < 0.7
    assert (out[:, 0].sign() == out[:, 1].sign()).float().mean() > 0.9  # and the chunk is of one mind


@pytest.mark.parametrize("name", NOISE)
def test_validation_draws_are_the_same_every_time(name: str) -> None:
    head = head_of(name)
    features, target = torch.randn(4, 5), torch.randn(4, 2, 1)
    assert torch.equal(head.errors(features, target), head.errors(features, target))
    assert not torch.equal(
        head.errors(features, target, torch.randn(4, 2, 1), torch.rand(4)), head.errors(features, target)
    )


def test_noise_of_training_is_a_function_of_seed_and_step(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path, {"head": "flow"})
    source = make_source(config)
    batch = source.batch(source.indices(0))
    a, b, other = (augment(batch, ("front", "wrist"), config, step) for step in (4, 4, 5))
    assert a["augment.noise"].shape == (8, 1, 4, 3)
    assert a["augment.time"].shape == (8, 1)
    assert all(np.array_equal(a[k], b[k]) for k in a)
    assert not np.array_equal(a["augment.noise"], other["augment.noise"])


@pytest.mark.parametrize("name", NOISE)
@pytest.mark.usefixtures("one_table_of_operators")
def test_trained_acts_and_exports(name: str, make_config: Make, make_source: Make, tmp_path: Path) -> None:
    if name == "diffusion":
        pytest.importorskip("diffusers")
    config = make_config(tmp_path / "run", {"head": name, "denoise": 2}, steps=2)
    train(config, make_source(config, cameras=("front",)))
    policy = load_policy(tmp_path / "run")
    rng = np.random.default_rng(0)
    obs = {
        "pixels": {c: rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for c in policy.cameras},
        "masks": {c: rng.integers(0, 2, (32, 32), dtype=np.uint8) for c in policy.cameras},
        "agent_pos": rng.normal(size=3).astype(np.float32),
    }
    policy.reset()
    first, second = policy.act(obs), policy.act(obs)
    assert not np.array_equal(first, second)  # another draw
    policy.reset()
    np.testing.assert_array_equal(policy.act(obs), first)  # every episode draws the same
    export(tmp_path / "run", tmp_path / "bundle")
    assert verify(tmp_path / "bundle")["passed"]
    bundle = load_policy(tmp_path / "bundle")
    bundle.reset()
    np.testing.assert_allclose(bundle.act(obs), first, atol=1e-5)


def test_an_absent_diffusers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(MissingDependencyError, match=r"toyshift\[diffusion\]"):
        make_head(5, 1, PolicyConfig(head="diffusion"))
