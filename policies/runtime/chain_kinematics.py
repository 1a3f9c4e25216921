"""Kinematics of a serial chain in NumPy: frames, Jacobian, and the inverse as the simulator's controller has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from toyshift.core.arrays import Array
from toyshift.policies.runtime.turns import matrix_to_rotvec

if TYPE_CHECKING:
    from toyshift.policies.runtime.arm_chain import ChainJoint

# as `envs.control.kinematics` has them; tests hold both to one another
ITERATIONS, DAMPING, MAX_STEP, POSTURE_GAIN = 3, 1e-4, 0.3, 0.05
REMEMBERED = 4  # places of the joints; a control step asks for the same few again and again


class ChainKinematics:
    """Where a chain's joints lead, and which joints lead to a place.

    Args:
        joints: from the base to the hand.
        hand_offset: of the hand's frame from the last joint's, in that joint's frame (3,) [m].
        hand_rotation: (3, 3) of the hand's frame in the last joint's.
        home: joint positions that the arm leans to where the hand's pose leaves a choice [rad or m].
    """

    def __init__(self, joints: Sequence[ChainJoint], hand_offset: Array, hand_rotation: Array, home: Array) -> None:
        self._axes = np.array([joint.axis for joint in joints], dtype=np.float64)  # (n, 3)
        self._hinge = np.array([joint.kind == "hinge" for joint in joints])
        x, y, z = self._axes.T
        zero = np.zeros(len(joints))
        cross = np.array([[zero, -z, y], [z, zero, -x], [-y, x, zero]]).transpose(2, 0, 1)  # (n, 3, 3)
        # a joint's frame in the one before it: still + sin q * turning + (1 - cos q) * bending + q * sliding, (n, 4, 4)
        self._still, self._turning, self._bending, self._sliding = np.zeros((4, len(joints), 4, 4))
        self._still[:], self._still[:, :3, 3] = np.eye(4), [joint.offset for joint in joints]
        self._turning[:, :3, :3] = cross * self._hinge[:, None, None]
        self._bending[:, :3, :3] = self._turning[:, :3, :3] @ self._turning[:, :3, :3]
        self._sliding[:, :3, 3] = self._axes * ~self._hinge[:, None]
        self._slides = not self._hinge.all()
        self._hand = np.eye(4)
        self._hand[:3, :3], self._hand[:3, 3] = hand_rotation, hand_offset
        self.low, self.high = np.array([(joint.low, joint.high) for joint in joints]).T
        self._home = np.asarray(home, dtype=np.float64)
        self._known: dict[bytes, Array] = {}  # frames by joint positions, the oldest first

    def forward(self, joints: Array) -> tuple[Array, Array]:
        """Returns the hand's position (3,) [m] and rotation (3, 3) in the robot's base frame.

        Args:
            joints: positions (n,), in order [rad or m].
        """
        hand = self._frames(joints)[-1]
        return hand[:3, 3].copy(), hand[:3, :3].copy()

    def solve(self, joints: Array, position: Array, rotation: Array) -> Array:
        """Returns joint positions (n,) that bring the hand towards a pose: damped least squares with a posture.

        The same steps as the simulator's controller makes, so that an action means the same there and here.

        Args:
            joints: where to start (n,).
            position: of the hand (3,), base frame [m].
            rotation: of the hand (3, 3), base frame.
        """
        solution = np.array(joints, dtype=np.float64)
        error = np.empty(6)
        for _ in range(ITERATIONS):
            frames = self._frames(solution)
            hand = frames[-1]
            jacobian = self._jacobian(frames)
            error[:3] = position - hand[:3, 3]
            error[3:] = matrix_to_rotvec(rotation @ hand[:3, :3].T)
            posture = POSTURE_GAIN * (self._home - solution)
            square = jacobian @ jacobian.T
            weights = _solved(square.tolist(), (error - jacobian @ posture).tolist(), DAMPING)
            step = posture + np.dot(weights, jacobian)
            largest = max(map(abs, step.tolist()))
            if largest > MAX_STEP:
                step *= MAX_STEP / largest
            solution = np.minimum(np.maximum(solution + step, self.low), self.high)
        return solution

    def _frames(self, joints: Array) -> Array:
        """Returns each joint's frame in the base's, and the hand's: (n + 1, 4, 4), to be read only."""
        joints = np.asarray(joints, dtype=np.float64)
        known, key = self._known, joints.tobytes()
        frames = known.get(key)
        if frames is None:
            frames = self._computed(joints)
            # a new dict, for other threads may be reading the old one
            self._known = dict([*known.items(), (key, frames)][-REMEMBERED:])
        return frames

    def _computed(self, joints: Array) -> Array:
        values = joints[:, None, None]
        local = np.sin(values) * self._turning
        local += (1.0 - np.cos(values)) * self._bending
        local += self._still
        if self._slides:
            local += values * self._sliding
        frames = np.empty((len(local) + 1, 4, 4))
        frames[0] = before = local[0]
        for i in range(1, len(local)):
            before = np.dot(before, local[i], out=frames[i])
        np.dot(before, self._hand, out=frames[-1])
        return frames

    def _jacobian(self, frames: Array) -> Array:
        """Returns the hand's (6, n): linear above angular velocity."""
        axes = (frames[:-1, :3, :3] @ self._axes[:, :, None])[:, :, 0]
        away = frames[-1, :3, 3] - frames[:-1, :3, 3]
        jacobian = np.empty((6, len(axes)))
        (ax, ay, az), (dx, dy, dz) = axes.T, away.T
        jacobian[0], jacobian[1], jacobian[2] = ay * dz - az * dy, az * dx - ax * dz, ax * dy - ay * dx
        jacobian[3:] = axes.T
        if self._slides:
            jacobian[:3, ~self._hinge], jacobian[3:, ~self._hinge] = axes[~self._hinge].T, 0.0
        return jacobian


def _solved(matrix: list[list[float]], right: list[float], damping: float) -> list[float]:
    """Solves a symmetric positive system of six with `damping` on its diagonal, by two blocks of three.

    In plain numbers: LAPACK wakes threads for six equations, which takes milliseconds on a busy machine.
    """
    (a, b, c, *p), (_, d, e, *q), (_, _, f, *r), *lower = matrix
    first = _inverse(a + damping, b, c, d + damping, e, f + damping)
    over = list(zip(p, q, r, strict=True))  # the block beside the first, by columns
    carried = [_times(first, column) for column in over]  # the first block's inverse times it
    (g, h, i), (_, j, k), (_, _, m) = (
        [value - _dot(one, column) for value, one in zip(row[3:], carried, strict=True)]
        for row, column in zip(lower, over, strict=True)
    )
    second = _inverse(g + damping, h, i, j + damping, k, m + damping)
    below = _times(second, [value - _dot(one, right) for value, one in zip(right[3:], carried, strict=True)])
    above = [value - _dot(column, below) for value, column in zip(right, (p, q, r), strict=False)]
    return [*_times(first, above), *below]


def _inverse(a: float, b: float, c: float, d: float, e: float, f: float) -> list[list[float]]:
    """Inverts the symmetric matrix ((a, b, c), (b, d, e), (c, e, f))."""
    x, y, z = d * f - e * e, c * e - b * f, b * e - c * d
    scale = 1.0 / (a * x + b * y + c * z)
    x, y, z, v = x * scale, y * scale, z * scale, (b * c - a * e) * scale
    return [[x, y, z], [y, (a * f - c * c) * scale, v], [z, v, (a * d - b * b) * scale]]


def _times(matrix: list[list[float]], vector: Sequence[float]) -> list[float]:
    x, y, z = vector
    return [a * x + b * y + c * z for a, b, c in matrix]


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return one[0] * other[0] + one[1] * other[1] + one[2] * other[2]
