"""An arm as a serial chain, and its forward kinematics in NumPy: what a bundle carries in the place of a simulator."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ContractError
from toyshift.policies.runtime.chain_kinematics import ChainKinematics

MOST_TURN = 4 * math.pi  # of a hinge [rad, and rad/s]: what is larger is meant in degrees
MOST_LENGTH = 0.5  # of a gripper's opening and its fingers [m]: what is larger is meant in millimetres
PROBE_OFF = 1e-5  # how far the chain may lead from a known place [m]
PROBED = (0.1, 0.1, 0.0)  # a point of the hand's frame that turns with every joint [m]
Vector = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class ChainJoint:
    """One joint; its frame has the base frame's axes while all joints are at zero.

    Attributes:
        name: of the joint.
        kind: "hinge" [rad] or "slide" [m].
        axis: unit vector that it turns about or moves along, in its own frame.
        offset: of its frame from that of the joint before it (of the first: from the base), in that joint's frame [m].
        low, high: limits of the position [rad or m].
        velocity, acceleration: largest magnitudes [rad/s or m/s, and per s]; None where nobody says.
    """

    name: str
    kind: str
    axis: Vector
    offset: Vector
    low: float
    high: float
    velocity: float | None = None
    acceleration: float | None = None


@dataclasses.dataclass(frozen=True)
class ArmChain:
    """A serial arm with its gripper.

    Attributes:
        robot: its name.
        joints: from the base to the hand.
        home: joint positions with which episodes of the training began.
        site: name of the hand's frame: x is the closing direction, z points out of the hand.
        hand_offset: of the hand's frame from the last joint's, in that joint's frame [m].
        hand_rotation: (3, 3) of the hand's frame in the last joint's.
        gripper_width: between the fingers where they are open [m]; shut is 0.
        gripper_speed: how fast the commanded opening may change [share of the opening per second].
        sources: where the limits are from, by "position", "velocity", "acceleration".
        probe: joint positions in which the hand's place is known.
        probe_point: where PROBED of the hand's frame is there [m], as the simulator has it: the chain must lead to it.
        tip: how far the finger tips reach beyond the hand's frame along its z [m]; 0 in bundles that do not tell.
    """

    robot: str
    joints: tuple[ChainJoint, ...]
    home: tuple[float, ...]
    site: str
    hand_offset: Vector
    hand_rotation: tuple[Vector, Vector, Vector]
    gripper_width: float
    gripper_speed: float
    sources: Mapping[str, str]
    probe: tuple[float, ...]
    probe_point: Vector
    tip: float = 0.0

    def __post_init__(self) -> None:
        if not len(self.home) == len(self.joints) == len(self.probe) or not self.joints:
            raise ContractError(f"arm {self.robot}: home has {len(self.home)} entries for {len(self.joints)} joints")
        for joint in self.joints:
            if joint.kind not in ("hinge", "slide") or not abs(math.hypot(*joint.axis) - 1.0) < 1e-6:
                told = f"a {joint.kind}, axis {joint.axis}"
                raise ContractError(f"arm {self.robot}: joint {joint.name} is no hinge or slide about a unit: {told}")
            if not -math.inf < joint.low < joint.high < math.inf:
                raise ContractError(f"arm {self.robot}: joint {joint.name} moves from {joint.low} to {joint.high}")
            for what, value in (("velocity", joint.velocity), ("acceleration", joint.acceleration)):
                if value is not None and not 0 < value < math.inf:
                    told = f"the {what} of joint {joint.name} is at most {value}, which must be above 0, or null"
                    raise ContractError(f"arm {self.robot}: {told}")
            if joint.kind == "hinge" and max(-joint.low, joint.high, joint.velocity or 0.0) > MOST_TURN:
                told = f"moves from {joint.low} to {joint.high} at up to {joint.velocity}"
                raise ContractError(f"arm {self.robot}: joint {joint.name} {told}: are these radians, not degrees?")
        rotation = np.asarray(self.hand_rotation)
        if rotation.shape != (3, 3) or not np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6):
            raise ContractError(f"arm {self.robot}: the hand's rotation is none: {self.hand_rotation}")
        if not (self.gripper_width > 0 and self.gripper_speed > 0):
            width, speed = self.gripper_width, self.gripper_speed
            raise ContractError(f"arm {self.robot}: gripper of {width} m and speed {speed}; both must be above 0")
        if self.gripper_width > MOST_LENGTH or not 0 <= self.tip <= MOST_LENGTH:
            told = f"gripper of {self.gripper_width} m, finger tips {self.tip} m before the hand's frame"
            raise ContractError(f"arm {self.robot}: {told}: are these metres, not millimetres?")
        if outside := self.outside(np.asarray(self.home)):
            raise ContractError(f"arm {self.robot}: at home {outside}")
        position, rotation = self.forward(np.asarray(self.probe))
        off = float(np.abs(position + rotation @ PROBED - self.probe_point).max())
        if not off <= PROBE_OFF:
            told = f"the chain leads {off:.2g} m away from where the hand is known to be"
            raise ContractError(f"arm {self.robot}: {told}; export again")

    @functools.cached_property
    def kinematics(self) -> ChainKinematics:
        """Where the joints lead, and which lead to a place."""
        offset, rotation, home = map(np.asarray, (self.hand_offset, self.hand_rotation, self.home))
        return ChainKinematics(self.joints, offset, rotation, home)

    def forward(self, joints: Array) -> tuple[Array, Array]:
        """Returns the hand's position (3,) [m] and rotation (3, 3) in the robot's base frame.

        Args:
            joints: positions (n,), in order [rad or m].
        """
        return self.kinematics.forward(joints)

    def outside(self, joints: Array, slack: float = 0.05) -> str:
        """Says which joint is beyond its limits by more than `slack`; "" where none is."""
        for joint, value in zip(self.joints, joints, strict=True):
            if not joint.low - slack <= value <= joint.high + slack:
                return f"joint {joint.name} is at {value:.4g}, its limits are {joint.low:.4g} to {joint.high:.4g}"
        return ""

    def to_json(self) -> dict[str, Any]:
        value: dict[str, Any] = dataclasses.asdict(self) | {"sources": dict(self.sources)}
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ArmChain:
        try:
            fields: dict[str, Any] = {k: _tuples(v) for k, v in value.items()}
            joints = tuple(ChainJoint(**{k: _tuples(v) for k, v in joint.items()}) for joint in value["joints"])
            return cls(**{**fields, "joints": joints})
        except ContractError:
            raise
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ContractError(f"not an arm: {error}") from error


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value
