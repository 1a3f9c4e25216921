"""A network that tells a grasp's outcome, trained in several ways, and grasps that are improved by its gradient.

Every way is meant to keep an optimiser from finding what only the network believes in: weight decay; SAM; IGNITE, which
holds the sensitivity of the mean prediction to the weights at a bound (its training code was read); the least of five.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from toyshift.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from toyshift.core.arrays import Array
    from toyshift.scripts.studies.weight_probes import Labels

METHODS = ("plain", "decay", "sam", "ignite", "ensemble")
HIDDEN, EPOCHS, RATE, DECAY = 128, 400, 3e-3, 0.1
RHO, LAMBDA, EPSILON, ETA = 0.05, 1e-3, 1e-3, 1e-3  # of SAM and IGNITE; of IGNITE the multiplier, bound and its rate
STEP_R = 0.01  # of IGNITE's difference of gradients, in the weights
MEMBERS = 5  # of the ensemble
POSE = 9  # first inputs: position and two columns of the rotation
MOVED, TURNED = 0.015, math.radians(20.0)  # standard deviations of the copies' moves [m] and turns [rad]


@dataclasses.dataclass(frozen=True, eq=False)
class GraspSurrogate:
    """Predicts success of inputs (n, D) in their own units.

    Attributes:
        networks: one, or those of an ensemble, whose least prediction counts.
        mean, std: (D,) of the training inputs.
    """

    networks: tuple[nn.Module, ...]
    mean: Array
    std: Array

    def logits(self, standardised: Tensor) -> Tensor:
        """Returns the least logit (n,) of standardised inputs (n, D)."""
        import torch

        return torch.stack([network(standardised)[:, 0] for network in self.networks]).amin(0)

    def predict(self, inputs: Array) -> Array:
        """Returns the probability (n,) that grasps lift."""
        import torch

        with torch.no_grad():
            x = torch.as_tensor((inputs - self.mean) / self.std, dtype=torch.float32)
            found: Array = torch.sigmoid(self.logits(x)).double().numpy()
        return found


def fit_surrogate(inputs: Array, labels: Labels, method: str, seed: int) -> GraspSurrogate:
    """Returns what a way of training makes of grasps.

    Args:
        inputs: (n, D).
        labels: (n,) whether each lifted.
        method: of METHODS.
        seed: of the initial weights.
    """
    import numpy as np

    mean, std = inputs.mean(0), np.maximum(inputs.std(0), 1e-6)
    count = MEMBERS if method == "ensemble" else 1
    networks = tuple(_trained((inputs - mean) / std, labels, method, seed * MEMBERS + i) for i in range(count))
    return GraspSurrogate(networks, mean, std)


def _trained(inputs: Array, labels: Labels, method: str, seed: int) -> nn.Module:
    import numpy as np
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = inputs.shape[1]
        network = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, 1)
        )  # fmt: skip
    x, y = (torch.as_tensor(np.asarray(a, np.float32)) for a in (inputs, labels))
    weights = list(network.parameters())
    optimiser = torch.optim.AdamW(weights, lr=RATE, weight_decay=DECAY if method == "decay" else 0.0)

    def loss() -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(network(x)[:, 0], y)

    def mean_prediction() -> Tensor:
        return torch.sigmoid(network(x)[:, 0]).mean()

    multiplier = LAMBDA
    for _ in range(EPOCHS):
        found = gradients(loss, weights)
        if method == "sam":
            found = moved(loss, weights, found, RHO)
        elif method == "ignite":
            push, length = sharpness(mean_prediction, weights)
            found = [g + multiplier * RHO * p for g, p in zip(found, push, strict=True)]
            multiplier = next_multiplier(multiplier, length)
        for weight, gradient in zip(weights, found, strict=True):
            weight.grad = gradient
        optimiser.step()
    return network


def gradients(function: Callable[[], Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    """Returns the gradient of a function of the weights."""
    import torch

    return list(torch.autograd.grad(function(), weights))


def moved(
    function: Callable[[], Tensor], weights: Sequence[Tensor], direction: Sequence[Tensor], radius: float
) -> list[Tensor]:
    """Returns the gradient at weights that are moved by a radius along a direction; they are put back."""
    import torch

    length = torch.stack([d.norm() for d in direction]).norm().clamp(min=1e-12)
    before = [weight.detach().clone() for weight in weights]
    with torch.no_grad():
        for weight, d in zip(weights, direction, strict=True):
            weight += radius * d / length
    found = gradients(function, weights)
    with torch.no_grad():
        for weight, old in zip(weights, before, strict=True):
            weight.copy_(old)
    return found


def sharpness(function: Callable[[], Tensor], weights: Sequence[Tensor]) -> tuple[list[Tensor], float]:
    """Returns the gradient of |grad function|, by a difference of two gradients, and |grad function| itself.

    The Hessian times the gradient's direction is (grad at weights + r direction - grad at weights) / r.
    """
    import torch

    here = gradients(function, weights)
    ahead = moved(function, weights, here, STEP_R)
    length = float(torch.stack([g.norm() for g in here]).norm())
    return [(a - g) / STEP_R for a, g in zip(ahead, here, strict=True)], length


def next_multiplier(multiplier: float, length: float) -> float:
    """Returns IGNITE's multiplier after a step: larger while rho |grad| is above its bound, never below 0."""
    return max(0.0, multiplier + ETA * (RHO * length - EPSILON))


class Improved(NamedTuple):
    """Inputs (n, D) after ascent, and what is predicted of them (n,)."""

    inputs: Array
    predicted: Array


def ascend(surrogate: GraspSurrogate, inputs: Array, steps: int, rate: float) -> Improved:
    """Moves the poses of grasps (n, D) up the predicted success, by Adam in standardised units; the rest stays.

    Rotations are made orthonormal at the end, and predictions are of what they then are.
    """
    import torch

    start = torch.as_tensor((inputs - surrogate.mean) / surrogate.std, dtype=torch.float32)
    pose = start[:, :POSE].clone().requires_grad_(True)
    optimiser = torch.optim.Adam([pose], lr=rate)
    for _ in range(steps):
        optimiser.zero_grad()
        climbed: Any = -surrogate.logits(torch.cat([pose, start[:, POSE:]], 1)).sum()
        climbed.backward()
        optimiser.step()
    moved_to = inputs.copy()
    moved_to[:, :POSE] = pose.detach().double().numpy() * surrogate.std[:POSE] + surrogate.mean[:POSE]
    for row in moved_to:
        row[3:POSE] = rotation_of(row[3:POSE])[:, :2].T.ravel()
    return Improved(moved_to, surrogate.predict(moved_to))


def rotation_of(columns: Array) -> Array:
    """Returns the rotation (3, 3) whose first two columns are nearest to given ones (6,), by Gram and Schmidt."""
    import numpy as np

    first = columns[:3] / np.linalg.norm(columns[:3])
    second = columns[3:] - first * (first @ columns[3:])
    second = second / np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


# ---------------------------------------------------------------- poses


def drops_of(object_poses: Array, starts: Array) -> NDArray[np.int64]:
    """Returns which drop each grasp (n) is of, by the object's pose then (n, 4, 4), of those of all drops (D, 4, 4).

    A drop may have no grasp.

    Raises:
        ConfigError: a pose is none of them.
    """
    import numpy as np

    apart = np.abs(object_poses[:, None] - starts[None]).max((2, 3)) if len(object_poses) else np.zeros((0, 1))
    if len(apart) and apart.min(1).max() > 1e-9:
        raise ConfigError("grasps were planned for an object that lay otherwise than it does now; give another --out")
    return np.asarray(apart.argmin(1), np.int64)


def moved_pose(pose: Array, rng: np.random.Generator) -> Array:
    """Returns a pose (4, 4) that was moved by MOVED along each axis, and turned about each by TURNED, both normal."""
    from scipy.spatial.transform import Rotation

    found = pose.copy()
    found[:3, 3] += MOVED * rng.normal(size=3)
    found[:3, :3] = pose[:3, :3] @ Rotation.from_rotvec(TURNED * rng.normal(size=3)).as_matrix()
    return found


def inputs_of(pose: Array, object_pose: Array, width: float, vertices: Array) -> Array:
    """Returns what a network is told of a grasp (13,): see `TriedGrasps`.

    Args:
        pose: (4, 4) gripper in the object's frame.
        object_pose: (4, 4) object in the base frame.
        width: distance between the contacts [m].
        vertices: (n, 3) of the object, in its frame [m].
    """
    import numpy as np

    turn = object_pose[:3, :3]
    rotation = turn @ pose[:3, :3]
    extents = np.ptp(vertices @ turn.T, axis=0)
    return np.concatenate([turn @ pose[:3, 3], rotation[:, :2].T.ravel(), [width], extents])


def pose_of(inputs: Array, rotation: Array) -> Array:
    """Returns the gripper's pose (4, 4) in the frame of an object whose rotation (3, 3) is given: of `inputs_of`."""
    import numpy as np

    found = np.eye(4)
    found[:3, :3] = rotation.T @ rotation_of(inputs[3:POSE])
    found[:3, 3] = rotation.T @ inputs[:3]
    return found
