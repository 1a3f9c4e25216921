"""From where a camera stands to where it stood in training: how far, and what to move, in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.policies.runtime.turns import matrix_to_rotvec

SAID = 0.05  # cm or degrees below which a part is not worth a word


@dataclasses.dataclass(frozen=True)
class Move:
    """What brings a camera to its place, in its own axes as it stands now, seen from behind it.

    Attributes:
        right, up, forward: how far it goes [cm].
        pan, tilt, roll: how far it then turns [deg]: to the right, up, and clockwise, in this order.
    """

    right: float
    up: float
    forward: float
    pan: float
    tilt: float
    roll: float

    @classmethod
    def between(cls, now: Array, wanted: Array) -> Move:
        """Returns the move from one pose (4, 4) to another, both of the camera in one frame, OpenCV axes [m]."""
        change = np.linalg.inv(now) @ wanted
        right, down, forward = 100.0 * change[:3, 3]
        r = change[:3, :3]  # = turn about y (pan), then the new x (tilt), then the new z (roll)
        turns = np.arctan2(r[0, 2], r[2, 2]), np.arcsin(np.clip(-r[1, 2], -1, 1)), np.arctan2(r[1, 0], r[1, 1])
        pan, tilt, roll = (float(np.degrees(angle)) for angle in turns)
        return cls(float(right), float(-down), float(forward), pan, tilt, roll)

    def words(self) -> str:
        """Returns what to do, "" where there is nothing."""
        ways = (("right", "left"), ("up", "down"), ("forward", "back"))
        turns = (("to the right", "to the left"), ("up", "down"), ("clockwise", "anticlockwise"))
        moves = _said((self.right, self.up, self.forward), ways, "cm")
        turned = _said((self.pan, self.tilt, self.roll), turns, "degrees")
        parts = [f"move it {moves}" if moves else "", f"turn it {turned}" if turned else ""]
        return ", then ".join(filter(None, parts))


def _said(values: tuple[float, ...], ways: tuple[tuple[str, str], ...], unit: str) -> str:
    told = [f"{abs(v):.1f} {unit} {way[v < 0]}" for v, way in zip(values, ways, strict=True) if abs(v) >= SAID]
    return ", ".join(told)


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a camera is beside where it was.

    Attributes:
        centimetres, degrees: how far apart the poses are.
        spread_cm, spread_deg: how far the camera itself was from its mean in training, at most.
        move: what to do.
    """

    centimetres: float
    degrees: float
    spread_cm: float
    spread_deg: float
    move: Move

    def within(self, centimetres: float, degrees: float) -> bool:
        """Whether it is near enough, or no farther than in training."""
        near = self.centimetres <= max(centimetres, self.spread_cm)
        return near and self.degrees <= max(degrees, self.spread_deg)


def placement(now: Array, facts: Mapping[str, Any], hand: Array | None = None) -> Placement:
    """Compares a camera's pose with the training's.

    Args:
        now: (4, 4) in the robot's base frame, OpenCV axes [m].
        facts: of the camera, in a bundle's contract.json.
        hand: pose (4, 4) of the hand in the base frame, for a camera that the hand carries.
    """
    wanted = np.linalg.inv(np.asarray(facts["extrinsics"], dtype=np.float64))
    if facts["frame"] == "hand":
        assert hand is not None
        wanted = hand @ wanted
    low, high = (np.asarray(side, dtype=np.float64) for side in facts["position_range"])
    middle = np.asarray(facts["position"], dtype=np.float64)
    change = np.linalg.inv(now) @ wanted
    return Placement(
        100.0 * float(np.linalg.norm(change[:3, 3])),
        float(np.degrees(np.linalg.norm(matrix_to_rotvec(change[:3, :3])))),
        100.0 * float(np.linalg.norm(np.maximum(high - middle, middle - low))), float(facts["turn_max_deg"]),
        Move.between(now, wanted),
    )  # fmt: skip
