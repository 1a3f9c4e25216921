"""USEFUL: what a short training has not found the simple way for is found, and shown twice."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from toyshift.core.arrays import Array, Indices
from toyshift.policies.repairs.useful import phases, repeats

FAST, STEPS, RATE = 0.85, 100, 0.05  # long after, a linear model is where it would be without


def fast_slow(rng: np.random.Generator, count: int, fast: float) -> tuple[Array, Array, Array]:
    """Returns points of two classes (N, 20), their sign, and who has the fast feature.

    The fast feature is large and in some only, the slow one small and in all; the rest is noise.
    """
    sign = rng.choice([-1.0, 1.0], count)
    has = rng.random(count) < fast
    x = rng.standard_normal((count, 20))
    x[:, 0] = 4.0 * sign * has + 0.3 * x[:, 0]
    x[:, 1] += 1.5 * sign
    return x, sign, has


def fitted(x: Array, sign: Array, weights: Array, steps: int) -> torch.Tensor:
    """Logistic regression by gradient descent from 0: its early steps go to the fast feature."""
    w = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    data, target, weight = (torch.from_numpy(np.asarray(a)) for a in (x, sign, weights / weights.mean()))
    for _ in range(steps):
        loss = (functional.softplus(-target * (data @ w)) * weight).mean()
        (gradient,) = torch.autograd.grad(loss, w)
        w = (w - RATE * gradient).detach().requires_grad_()
    return w.detach()


def looked(x: Array, sign: Array) -> Indices:
    """How often each point is shown after a first training of 8 % of the steps."""
    logits = x @ fitted(x, sign, np.ones(len(x)), round(0.08 * STEPS)).numpy()
    return repeats(logits[:, None], np.logaddexp(0.0, -sign * logits), (sign > 0).astype(int))


def test_the_points_without_the_fast_feature_are_found() -> None:
    for seed in range(5):
        x, sign, has = fast_slow(np.random.default_rng(seed), 600, FAST)
        twice = looked(x, sign) == 2
        assert twice[~has].mean() > 0.97  # all of them
        assert (~has)[twice].mean() > 0.85  # and hardly any other


def test_accuracy_without_the_fast_feature_rises_and_by_chance_it_does_not() -> None:
    scores: dict[str, list[float]] = {"plain": [], "random": [], "useful": []}
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x, sign, _ = fast_slow(rng, 600, FAST)
        other, truth, _ = fast_slow(rng, 20_000, 0.0)
        useful = looked(x, sign)
        ways = {"plain": np.ones(len(x)), "random": rng.permutation(useful), "useful": useful}
        for name, weights in ways.items():
            w = fitted(x, sign, np.asarray(weights, np.float64), STEPS).numpy()
            scores[name].append(float((np.sign(other @ w) == truth).mean()))
    gain = np.subtract(scores["useful"], scores["plain"])
    chance = np.subtract(scores["random"], scores["plain"])
    assert gain.min() > 0.002
    assert 0.005 < gain.mean() < 0.01  # 0.913 to 0.920
    assert abs(chance.mean()) < 0.3 * gain.mean()


def test_a_class_that_cannot_be_cut_in_two_is_left_alone() -> None:
    assert repeats(np.zeros((6, 2)), np.arange(6.0), np.zeros(6, int)).tolist() == [1] * 6
    assert repeats(np.eye(3), np.arange(3.0), np.zeros(3, int)).tolist() == [1] * 3


def test_phases_follow_the_gripper_and_the_height() -> None:
    gripper = np.float32([1, 1, 0, 0, 0, 1, 0, 0])  # opens again: another attempt
    height = np.float32([0.3, 0.1, 0.05, 0.05, 0.2, 0.3, 0.1, 0.2])
    assert phases(gripper, height).tolist() == [0, 0, 1, 1, 2, 0, 1, 2]
