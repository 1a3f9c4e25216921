"""Data and runs whose answers are known: what repairs of training are tried on, in tests and by `--self-test`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from toyshift.core.arrays import Array, Float32, Indices
from toyshift.core.contract import MASK_TARGET, STATE, ActionContract, ObservationContract
from toyshift.policies.config import PolicyConfig
from toyshift.policies.network.policy import Policy
from toyshift.policies.repairs import repairs_of

RATE = 0.05  # of `fitted`
DESCENT = 1000  # steps of `descended`
SIZE, CAMERAS, STATES = 32, ("front", "wrist"), ("x", "y", "opening")


# ------------------------------------------------------------ of gradients


class Valley:
    """A run of one weight: its loss has a sharp minimum at -1, narrower than rho, and a flat one at 2."""

    def __init__(self, start: float) -> None:
        self.w = nn.Parameter(torch.tensor([start], dtype=torch.float64))
        self.trained = nn.Module()
        self.trained.w = self.w
        self.optimizer = torch.optim.SGD([self.w], lr=0.02)

    def backward(self, batch: dict[str, Tensor]) -> float:
        sharp = 2.0 * torch.exp(-(((self.w + 1.0) / 0.1) ** 2))
        loss = (0.05 * (self.w - 2.0) ** 2 - sharp).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())


def descended(repair: str, start: float) -> float:
    """Returns the weight that gradient descent in the valley ends at with a repair's gradients."""
    valley, (made,) = Valley(start), repairs_of(repair)
    run: Any = valley  # as much of a run as such a repair asks for
    for _ in range(DESCENT):
        valley.optimizer.zero_grad()
        made.gradients(run, {})
        assert valley.w.grad is not None
        valley.w.grad.clamp_(-1.0, 1.0)
        valley.optimizer.step()
    return float(valley.w.detach())


def common_and_own(parts: int, entries: int = 60) -> tuple[Tensor, Tensor]:
    """Returns a gradient (entries,) that is common to all parts, and those of the parts (parts, entries), each of which
    has entries of its own beside it (disjoint).
    """
    rng = torch.Generator().manual_seed(0)
    common = torch.randn(entries, generator=rng)
    own = torch.zeros(parts, entries)
    for i in range(parts):
        own[i, i::parts] = 10.0 * torch.randn(len(own[i, i::parts]), generator=rng)
    return common, common + own


class LinearRun:
    """A run of weights (n,) whose gradient is the mean of a batch's rows (B, n) under `STATE`."""

    def __init__(self, entries: int) -> None:
        self.w = nn.Parameter(torch.zeros(entries))
        self.optimizer = torch.optim.SGD([self.w], lr=1.0)

    def named_parameters(self) -> dict[str, nn.Parameter]:
        return {"w": self.w}

    def backward(self, batch: dict[str, Tensor]) -> float:
        loss = (batch[STATE] @ self.w).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())


def repaired_gradient(repair: str, *batches: Tensor) -> Tensor | None:
    """Returns the gradient (n,) that a repair makes of the last of several batches (B, n); None where it makes none."""
    linear, (made,) = LinearRun(batches[0].shape[1]), repairs_of(repair)
    run: Any = linear
    for batch in batches:
        linear.optimizer.zero_grad(set_to_none=True)
        made.gradients(run, {STATE: batch})
    return linear.w.grad


# ------------------------------------------------------------ of points


def two_cues(rng: torch.Generator, count: int, correlation: float) -> tuple[Tensor, Tensor]:
    """Returns points (N, 2) and their class: the right cue, and a wrong one, twice as strong, that agrees so often."""
    right = torch.randint(0, 2, (count,), generator=rng)
    agrees = torch.rand(count, generator=rng) < (1.0 + correlation) / 2.0
    wrong = torch.where(agrees, right, 1 - right)
    x = torch.stack([2.0 * right - 1.0, 2.0 * (2.0 * wrong - 1.0)], dim=1)
    return x + 0.3 * torch.randn(count, 2, generator=rng), right


def fast_slow(rng: np.random.Generator, count: int, fast: float) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Returns points of two classes (N, 20), their sign, and who has the fast feature.

    The fast feature is large and in some only, the slow one small and in all; the rest is noise.
    """
    sign = rng.choice([-1.0, 1.0], count)
    has = rng.random(count) < fast
    x = rng.standard_normal((count, 20))
    x[:, 0] = 4.0 * sign * has + 0.3 * x[:, 0]
    x[:, 1] += 1.5 * sign
    return x, sign, has


def fitted(x: Array, sign: Array, weights: Array, steps: int) -> Array:
    """Returns the weights (F,) of a logistic regression by gradient descent from 0: early steps go to the fast feature.

    Args:
        x: (N, F).
        sign: (N,) -1 or 1.
        weights: (N,) of the points.
        steps: of the descent.
    """
    w = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    data, target, weight = (torch.from_numpy(np.asarray(a)) for a in (x, sign, weights / weights.mean()))
    for _ in range(steps):
        loss = (functional.softplus(-target * (data @ w)) * weight).mean()
        (gradient,) = torch.autograd.grad(loss, w)
        w = (w - RATE * gradient).detach().requires_grad_()
    return np.asarray(w.detach().numpy())


def noisy_cue(g: float, covariance: float = 0.3, count: int = 40_000) -> tuple[Tensor, Tensor, Tensor]:
    """Returns a cue of variance 1 under added noise of deviation g (N, 1), labels that covary with it, that noise."""
    rng = np.random.default_rng(0)
    cue = rng.standard_normal(count)
    label = covariance * cue + np.sqrt(1.0 - covariance**2) * rng.standard_normal(count)
    noise = g * rng.standard_normal(count)
    x, y, z = (torch.from_numpy(a).reshape(-1, 1) for a in (cue + noise, label, noise))
    return x, y, z


def mixed(place: Array, factor: Indices, seed: int) -> Array:
    """Returns features (N, 12) that hold a place and a factor (N,), mixed; `seed` is of the noise."""
    fixed, rng = np.random.default_rng(0), np.random.default_rng(seed)
    ways, mix = fixed.standard_normal((3, 2)), fixed.standard_normal((12, 12))
    parts = np.column_stack([place, np.eye(3)[factor] @ ways, 0.3 * rng.standard_normal((len(place), 9))])
    return np.asarray(parts @ mix)


def place_and_factor(rho: float, count: int = 4000) -> tuple[Array, Array, Array]:
    """Returns features (N, 12) that hold a place and a factor, mixed; the place; the factor, one-hot of three values.

    In a share `rho` the factor tells the place.
    """
    rng = np.random.default_rng(1)
    place = rng.uniform(-1, 1, count)
    told = np.digitize(place, [-1 / 3, 1 / 3])
    factor = np.where(rng.random(count) < rho, told, rng.integers(0, 3, count))
    return mixed(place, factor, 2), place, np.eye(3)[factor]


def linear_r2(x: Array, y: Array, smallest: float | None = None) -> float:
    """Returns R2 of a linear reader, of directions that are larger than `smallest` relative to the largest."""
    design = np.column_stack([x, np.ones(len(x))])
    rest = y - design @ np.linalg.lstsq(design, y, rcond=smallest)[0]
    return float(1.0 - rest.var(axis=0).sum() / y.var(axis=0).sum())


def around(centre: Array, spread: float, count: int, seed: int) -> Float32:
    """Returns directions (count, D) near one of them (D,)."""
    rng = np.random.default_rng(seed)
    found = centre + spread * rng.standard_normal((count, len(centre)))
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True), np.float32)


# ------------------------------------------------------------ of networks


def seeing(repair: str, pooling: str) -> Policy:
    """Returns a small network with random weights that a repair changes as it changes a training's; "" for none."""
    config = PolicyConfig(
        pooling=pooling, width=16, stem=8, token_hidden=16, hidden=32, layers=1, chunk=2, execute=1, gripper_gain=0.0
    )
    training: Any = SimpleNamespace(policy=config, caches_tokens=False)
    for made in repairs_of(repair):
        training.policy = made.policy(training)
    action = ActionContract(
        mode="eef_delta", names=("dx", "dy", "gripper"), units=("m", "m", "1"), low=(-1.0, -1.0, 0.0),
        high=(1.0, 1.0, 1.0), control_hz=10.0, joint_names=("j1",),
    )
    observation = ObservationContract(tuple((camera, (SIZE, SIZE)) for camera in CAMERAS), STATES)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Policy(training.policy, action, observation).eval()


def answers(policy: Policy, *, negative: bool = False, moved: int = 0) -> Tensor:
    """Returns the actions of a network for four scenes of noise around a target.

    Args:
        policy: looks at them.
        negative: shows the images' negative.
        moved: columns by which the masks are moved.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, SIZE, SIZE, 3), dtype=np.uint8)
    masks = np.zeros((4, SIZE, SIZE), np.uint8)
    masks[:, 8:20, 4:16] = MASK_TARGET
    shown = torch.from_numpy(255 - images if negative else images)
    marked = torch.from_numpy(np.roll(masks, moved, axis=2))
    state = torch.from_numpy(rng.standard_normal((4, len(STATES))).astype(np.float32))
    with torch.no_grad():
        return policy.predict(dict.fromkeys(policy.cameras, shown), dict.fromkeys(policy.cameras, marked), state)
