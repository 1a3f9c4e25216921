"""Coherence: analytic gradients, its invariances, and gradients of a network of demonstrations."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toyshift.core.errors import ContractError
from toyshift.core.files import write_json
from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring import coherence as module
from toyshift.diagnostics.measuring.coherence import coherence, coherence_of, gradients_of, kept_weights, pulls
from toyshift.diagnostics.measuring.demonstrations import Demonstrations, demonstrations_of, opened
from toyshift.diagnostics.measuring.inside import EXPORTED
from toyshift.diagnostics.measuring.planted_learning import aligned_gradients
from toyshift.diagnostics.measuring.planted_networks import network
from toyshift.policies import checkpoints
from toyshift.policies.network.policy import Policy


def test_failed_episodes_are_not_shown(shown: Demonstrations) -> None:
    assert shown.names == ("a", "b")
    assert shown.dataset.tolist() == [0, 0, 0, 1, 1, 1]
    assert shown.length.tolist() == [4, 5, 7, 4, 5, 6]
    assert shown.first.tolist() == [0, 4, 9, 16, 20, 25]
    assert shown.frames(2, 3).tolist() == [9, 12, 15]
    assert shown.frames(0, 9).tolist() == [0, 1, 2, 3]
    assert shown.some(2).tolist() == [0, 2, 3, 5]
    raw = shown.source.windows.batch(np.arange(31))
    assert np.bincount(raw["episode_index"]).tolist() == [8, 10, 6, 7]  # of both, the third of a is left out


def test_gradients_are_those_of_the_mean_loss_of_an_episode(shown: Demonstrations, policy: Policy) -> None:
    found = gradients_of(policy, shown, np.array([2, 4]))
    trained = [p for p in policy.parameters() if p.requires_grad]
    assert found.shape == (2, sum(p.numel() for p in trained))
    batch = shown.batch(shown.frames(4, module.FRAMES))
    policy.zero_grad()
    policy.losses(batch).mean().backward()  # type: ignore[no-untyped-call]
    right = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in trained])
    assert np.allclose(found[1], right, atol=1e-6)
    policy.zero_grad()
    # along some direction the loss changes as they say
    way, step = [torch.randn_like(p) for p in trained], 1e-4
    losses = []
    for sign in (1, -2, 1):
        with torch.no_grad():
            for p, d in zip(trained, way, strict=True):
                p.add_(sign * step * d)
            losses.append(float(policy.losses(batch).double().mean()))
    slope = float(found[1] @ torch.cat([d.flatten() for d in way]).numpy())
    assert (losses[0] - losses[1]) / (2 * step) == pytest.approx(slope, rel=0.05)


def test_a_sketch_keeps_products(shown: Demonstrations, policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gradients_of(policy, shown, shown.some(2))
    monkeypatch.setattr(module, "KEPT_WHOLE", 10)
    sketched = gradients_of(policy, shown, shown.some(2))
    assert sketched.shape == (4, module.SKETCH)
    assert np.allclose(sketched @ sketched.T, whole @ whole.T, rtol=0.05, atol=0.02 * (whole**2).sum(axis=1).max())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10.0))
def test_scale_and_rotation_change_nothing(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(12, 5)) + rng.normal(size=5)
    turned = scale * gradients @ np.linalg.qr(rng.normal(size=(5, 5)))[0]
    dataset = np.repeat([0, 1], 6)
    one, other = (pulls(g @ g.T, dataset)[0] for g in (gradients, turned))
    assert one.alpha == pytest.approx(other.alpha)
    assert one.agreement == pytest.approx(other.agreement, nan_ok=True)
    # m-coherence is |sum g|^2 / sum |g|^2, and 1 + (m - 1) alpha
    total, squares = (gradients.sum(axis=0) ** 2).sum(), (gradients**2).sum()
    assert 1 + 11 * one.alpha == pytest.approx(total / squares)


def test_leaving_an_episode_out_is_measuring_without_it() -> None:
    rng = np.random.default_rng(0)
    gradients, dataset = rng.normal(size=(9, 4)) + 1.0, np.repeat([0, 1, 2], 3)
    dataset = np.r_[dataset, 0]
    gradients = np.r_[gradients, rng.normal(size=(1, 4))]
    without = pulls(gradients @ gradients.T, dataset)[1][0]
    again = pulls(gradients[1:] @ gradients[1:].T, dataset[1:])[0]
    assert without.alpha == pytest.approx(again.alpha)
    assert without.agreement == pytest.approx(again.agreement, nan_ok=True)


def test_sub_datasets_that_pull_alike_apart_or_against_each_other() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, 30))
    side = np.repeat([0, 1], 20)
    for second, verdict in (
        (np.eye(30)[0], "two sub-datasets share 100 % "), (np.eye(30)[1], "two sub-datasets share "),
        (-np.eye(30)[0], "two sub-datasets pull against each other (A -1."),
    ):  # fmt: skip
        pull = np.where(side[:, None] == 0, np.eye(30)[0], second)
        found = coherence(10 * pull + 0.3 * noise, side, ("left", "right")).found[1]
        assert found.verdict.startswith(verdict)
        assert found.table[0]["A"] == pytest.approx(float(second[0]), abs=0.02)
        assert found.value.value == pytest.approx(1 - second[0], abs=0.02)


def test_what_is_undefined_says_why() -> None:
    zero = coherence(np.zeros((6, 3)), np.zeros(6, np.int64)).found[0]
    assert zero.verdict == "undefined: all gradients are 0"
    assert math.isnan(zero.value.value)
    few = coherence(np.ones((4, 3)), np.array([0, 0, 0, 1])).found
    assert [one.verdict for one in few] == ["undefined: a sub-dataset has 1 episodes; it takes 3 to take one away"] * 2
    late = coherence(aligned_gradients(40, 0.0), np.repeat([0, 1], 20), ("left", "right")).found[1]
    # both are 0 up to drawn noise: which is told first is a matter of last bits
    assert re.match(r"undefined: the mean gradient of (left|right) is not told from 0 \(", late.verdict)


def test_a_policy_that_cannot_be_asked_says_so(
    folders: list[Path], policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(place: str, *data: Path) -> Asked:
        return Asked(policy=place, trained_on=data, objects="toys:test", scenes=2, looks=1, trials=0, camera="", seed=0,
                     out=tmp_path)  # fmt: skip

    def said(place: str, *data: Path) -> str:
        return coherence_of(asked(place, *data)).found[0].verdict

    assert said("ws://localhost:1").startswith("undefined: no gradients: the policy is behind a server")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    assert said(str(bundle)) == f"undefined: no gradients: {EXPORTED}"
    checkpoints.write_contracts(tmp_path, policy.action_contract, policy.observation_contract)
    write_json(tmp_path / "config.json", {"policy": policy.config.to_json(), "train": {"normalise": "mixture"}})
    checkpoints.save_checkpoint(tmp_path, 9, {checkpoints.MODEL: policy.state_dict()}, finished=True, extra={})
    checkpoints.keep_weights(tmp_path, 0, {checkpoints.MODEL: policy.state_dict()})
    assert said(str(tmp_path)) == "undefined: what it was trained on is not told: give --trained-on"
    found = coherence_of(asked(str(tmp_path), *folders)).found
    assert [one.subject for one in found] == [f"{tmp_path.name}, step 0"] * 2 + [tmp_path.name] * 2
    assert found[0].value == found[2].value
    assert found[0].verdict.startswith("episodes")
    assert [*kept_weights(tmp_path)] == ["step 0"]
    other = network("mean")
    with pytest.raises(ContractError):
        opened(folders, other)
    assert isinstance(demonstrations_of(asked(str(tmp_path), *folders), other), str)
