"""Pieces from which Open X-Embodiment datasets are standardised: functions from columns to (T, n) numbers."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Float32
from toyshift.core.errors import ContractError

Steps = Mapping[str, NDArray[Any]]  # "observation/state" -> (T, ...), as tfds names them
Part = Callable[[Steps], Float32]

CLOSED_BELOW, OPEN_ABOVE = 0.05, 0.95  # what counts as closed and as open in Bridge's continuous gripper
RELATIVE = 0.1  # smallest relative gripper action that means something


def column(key: str, start: int | None = None, stop: int | None = None) -> Part:
    """Entries start:stop of a column; (T,) counts as (T, 1)."""

    def part(steps: Steps) -> Float32:
        if key not in steps:
            raise ContractError(f"the dataset has no column {key!r}; available: {', '.join(sorted(steps))}")
        values = np.asarray(steps[key], dtype=np.float32)
        return values.reshape(len(values), -1)[:, start:stop]

    return part


def constant(value: float, count: int = 1) -> Part:
    """`count` entries that are always the same: padding, or a gripper that there is not."""
    return lambda steps: np.full((len(next(iter(steps.values()))), count), value, np.float32)


def clipped(part: Part) -> Part:
    """Within 0 and 1."""
    return lambda steps: np.clip(part(steps), 0.0, 1.0)


def inverted(part: Part) -> Part:
    """1 - value: closedness to openness."""
    return lambda steps: 1.0 - part(steps)


def settled(part: Part) -> Part:
    """A continuous gripper made binary: on the way it is what is reached next; at the end, the last value (Bridge)."""

    def settle(steps: Steps) -> Float32:
        values = part(steps)[:, 0]
        out, reached = np.empty_like(values), values[-1]
        for t in range(len(values) - 1, -1, -1):
            if not CLOSED_BELOW <= values[t] <= OPEN_ABOVE:
                reached = np.float32(values[t] > OPEN_ABOVE)
            out[t] = reached
        return out[:, None]

    return settle


def from_relative(part: Part) -> Part:
    """Relative gripper actions (> 0 closes, < 0 opens, about 0 stays) to absolute ones (1 open, 0 closed).

    Before the first of them the gripper is taken to be in the other state; without any, open.
    """

    def absolute(steps: Steps) -> Float32:
        values = part(steps)[:, 0]
        moves = np.where(values < -RELATIVE, 1.0, np.where(values > RELATIVE, 0.0, np.nan))
        told = np.flatnonzero(~np.isnan(moves))
        before = 1.0 - moves[told[0]] if len(told) else 1.0
        # (T,), index of the latest one
        last = np.maximum.accumulate(np.where(np.isnan(moves), -1, np.arange(len(moves))))
        return np.where(last < 0, before, moves[np.maximum(last, 0)]).astype(np.float32)[:, None]

    return absolute


def euler(part: Part) -> Part:
    """Quaternions xyzw to roll, pitch, yaw [rad] (rotation about the fixed x, then y, then z axis)."""

    def angles(steps: Steps) -> Float32:
        from scipy.spatial.transform import Rotation

        return np.asarray(Rotation.from_quat(part(steps)).as_euler("xyz"), dtype=np.float32)

    return angles


def unpacked(key: str, count: int) -> Part:
    """A column of zlib-compressed float32 bytes (Kuka), `count` numbers each."""

    def unpack(steps: Steps) -> Float32:
        if key not in steps:
            raise ContractError(f"the dataset has no column {key!r}; available: {', '.join(sorted(steps))}")
        try:
            return np.stack([np.frombuffer(zlib.decompress(data), "<f4", count) for data in steps[key]])
        except (zlib.error, ValueError) as error:
            raise ContractError(f"column {key!r} does not hold compressed float32 numbers ({error})") from error

    return unpack


def joined(parts: tuple[Part, ...], steps: Steps) -> Float32:
    """The parts side by side: (T, n) float32."""
    return np.concatenate([part(steps) for part in parts], axis=1).astype(np.float32)
