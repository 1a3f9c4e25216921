"""The layout of the state: name, unit and bounds of each entry, and what a mirror does to it; environments fill it."""

from __future__ import annotations

import dataclasses

import numpy as np

from toyshift.core.arrays import Float32

JOINT_BOUND = 4.0  # [rad]; every joint angle lies within
REACH = 2.0  # [m]; every hand position lies within
OPENING = "gripper.opening"  # measured, 0 shut to 1 open
_COLUMNS = [f"r{row}{column}" for column in (1, 2) for row in (1, 2, 3)]  # of a rotation, the first two


@dataclasses.dataclass(frozen=True)
class Part:
    """Entries of a state that are read together.

    Attributes:
        read: what fills them; an environment has a value (n,) of this name.
        names: one name per entry.
        unit: of every entry.
        low, high: bounds of every entry.
        mirrored: those of the names whose sign changes when the scene is mirrored left to right (y of the base frame,
            and the hand's closing direction).
    """

    read: str
    names: tuple[str, ...]
    unit: str
    low: float
    high: float
    mirrored: tuple[str, ...] = ()


# After the joint angles. `lag` is how far the commanded hand position is ahead of the measured one, `command.gripper`
# the commanded opening: `eef_delta` actions are added to the command, and without it what an action does would depend
# on something unseen (2-3 cm while the hand moves).
HAND = (
    Part("opening", (OPENING,), "1", -0.5, 1.5),
    Part("position", ("eef.x", "eef.y", "eef.z"), "m", -REACH, REACH, ("eef.y",)),
    Part("rotation", tuple(f"eef.{entry}" for entry in _COLUMNS), "1", -1.01, 1.01, ("eef.r11", "eef.r31", "eef.r22")),
    Part("lag", ("lag.x", "lag.y", "lag.z"), "m", -REACH, REACH, ("lag.y",)),
    Part("command", ("command.gripper",), "1", -1.0, 1.0),
)
# Of the privileged "environment_state": the target's centre of mass relative to the hand and the first two columns of
# its rotation, both along the base frame's axes; the sides of its bounding box in its own frame.
TARGET = (
    Part("offset", ("object.dx", "object.dy", "object.dz"), "m", -REACH, REACH),
    Part("target_rotation", tuple(f"object.{entry}" for entry in _COLUMNS), "1", -1.01, 1.01),
    Part("extents", ("object.length_x", "object.length_y", "object.length_z"), "m", 0.0, 1.0),  # no object is longer
)
MIRRORED = tuple(name for part in HAND for name in part.mirrored)
# joints of arms whose hand is another one after half a turn, a jaw against a finger: MIRRORED is not true of them
ONE_SIDED = (("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll"),)


def proprioception(joints: tuple[str, ...]) -> tuple[Part, ...]:
    """Returns the parts of `observation.state` of a robot with these arm joints, in order."""
    return Part("joints", joints, "rad, slides m", -JOINT_BOUND, JOINT_BOUND), *HAND


def names_of(parts: tuple[Part, ...]) -> tuple[str, ...]:
    """Returns one name per entry, in order."""
    return tuple(name for part in parts for name in part.names)


def bounds_of(parts: tuple[Part, ...]) -> tuple[Float32, Float32]:
    """Returns the lower and upper bounds (S,) of the entries."""
    sizes = [len(part.names) for part in parts]
    low, high = (
        np.repeat(np.array(side, np.float32), sizes) for side in zip(*((p.low, p.high) for p in parts), strict=True)
    )
    return low, high
