"""Limits: what a robot says of itself, what is allowed of it, and whether a bundle and a robot belong together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.contract import ActionContract
from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.fields import check_fields, check_ranges
from toyshift.policies.runtime.arm_chain import ArmChain
from toyshift.policies.runtime.robot_runtime import Colours

WIDTH_OFF = 0.05  # share by which gripper widths may differ
RATE_OFF = 0.01  # share by which the rates of commands may differ
Corner = tuple[float, float, float]


@dataclasses.dataclass(frozen=True)
class RobotLimits:
    """What a driver says of its robot.

    Attributes:
        joint_names: of the arm, in the order in which it reads and takes them.
        low, high: position limits (n,) [rad, slides m].
        velocity, acceleration: largest magnitudes (n,); () where the driver does not know them.
        gripper_width: between the open fingers [m].
        gripper_force: largest force that it can be told [N].
        control_hz: rates of commands that it takes, least and most [Hz].
        cameras: camera -> size of its images (height, width) [pixels].
        masks: cameras of whose images it gives masks as well.
        colours: of its images.
    """

    joint_names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    velocity: tuple[float, ...]
    acceleration: tuple[float, ...]
    gripper_width: float
    gripper_force: float
    control_hz: tuple[float, float]
    cameras: Mapping[str, tuple[int, int]]
    masks: tuple[str, ...] = ()
    colours: Colours = "rgb"

    def __post_init__(self) -> None:
        n = len(self.joint_names)
        ways = list(zip(self.low, self.high, strict=False))
        if not len(self.low) == len(self.high) == n or not all(low < high for low, high in ways):
            told = f"{n} joints, from {self.low} to {self.high}"
            raise ContractError(f"limits of a robot: {told}; each needs its own, the lower first")
        for what, values in (("velocity", self.velocity), ("acceleration", self.acceleration)):
            if len(values) not in (0, n) or not all(0 < value < np.inf for value in values):
                told = f"the largest {what} of {n} joints is {values}"
                raise ContractError(f"limits of a robot: {told}; each must be above 0, or () where nobody knows")
        rates = len(self.control_hz) == 2 and 0 < self.control_hz[0] <= self.control_hz[1]
        if not (0 < self.gripper_width < np.inf and self.gripper_force > 0 and rates):
            told = f"a gripper of {self.gripper_width} m and {self.gripper_force} N, at {self.control_hz} Hz"
            raise ContractError(f"limits of a robot: {told}; they must be above 0, and the least rate the first")

    def to_json(self) -> dict[str, Any]:
        value = dataclasses.asdict(self)
        return value | {"cameras": {camera: list(size) for camera, size in self.cameras.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RobotLimits:
        try:
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list | tuple) else v for k, v in value.items()}
            cameras = {str(camera): (int(size[0]), int(size[1])) for camera, size in value["cameras"].items()}
            return cls(**{**fields, "cameras": cameras})
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise ContractError(f"not the limits of a robot: {error!r}") from error


@dataclasses.dataclass(frozen=True)
class SafetyLimits:
    """What is allowed, beside the robot's own limits.

    Attributes:
        box_low, box_high: corners of the box in which hand and finger tips stay, base frame [m]. The table's surface is
            at z = 0.
        margin: of the joints from the ends of their ways [rad, slides m].
        speed: share of the joints' largest velocities.
        acceleration: share of the joints' largest accelerations.
        unknown_speed, unknown_acceleration: of joints of which nobody knows them [rad/s, slides m/s, and per s].
        jump: farthest that a joint may be asked to go in one step [rad, slides m]; what asks for more is held, not cut.
        force: of the gripper [N].
        astray: farthest that a measured joint may be from where it was sent [rad, slides m].
    """

    box_low: Corner = (0.2, -0.5, 0.0)
    box_high: Corner = (0.85, 0.5, 0.75)
    margin: float = 0.05
    speed: float = 0.8
    acceleration: float = 0.8
    unknown_speed: float = 1.0
    unknown_acceleration: float = 5.0
    jump: float = 0.5
    force: float = 30.0
    astray: float = 0.35

    def __post_init__(self) -> None:
        check_fields(self)
        shares = dict.fromkeys(("speed", "acceleration"), (0.01, 1.0))
        positive = dict.fromkeys(("unknown_speed", "unknown_acceleration", "jump", "force", "astray"), (1e-3, 1e3))
        check_ranges(self, {"margin": (0.0, 1.0), **shares, **positive})
        if not all(low < high for low, high in zip(self.box_low, self.box_high, strict=True)):
            raise ConfigError(f"the box goes from {self.box_low} to {self.box_high}; its first corner is the lower one")


@dataclasses.dataclass(frozen=True, eq=False)
class Allowed:
    """Limits of one pair of bundle and robot, as numbers (n,): the narrower of what is said wherever two say it.

    Attributes:
        low, high: joint positions.
        step: farthest that a joint may go in one period.
        change: how much that may change from one period to the next. It is at least `step`, so that standing still is
            always allowed: no joint goes faster than it can stop within one period.
        speed: largest velocity.
        period: of control [s].
        opening_step: how much the gripper's opening may change in one period.
        force: of the gripper [N].
        points: of the hand's frame that stay in the box (k, 3) [m]: the hand, and both finger tips while it is open.
        box_low, box_high: see SafetyLimits.
        jump, astray: see SafetyLimits.
    """

    low: Array
    high: Array
    step: Array
    change: Array
    speed: Array
    period: float
    opening_step: float
    force: float
    points: Array
    box_low: Array
    box_high: Array
    jump: float
    astray: float

    @classmethod
    def of(cls, arm: ArmChain, contract: ActionContract, limits: SafetyLimits, robot: RobotLimits | None) -> Allowed:
        """Puts together what arm, contract, robot and user say.

        Raises:
            ConfigError: a joint has no way left.
        """
        low, high = (np.array([getattr(joint, side) for joint in arm.joints]) for side in ("low", "high"))
        low, high = low + limits.margin, high - limits.margin
        if robot is not None:
            low, high = np.maximum(low, np.add(robot.low, limits.margin)), np.minimum(
                high, np.subtract(robot.high, limits.margin)
            )
        if not (low < high).all():
            name = arm.joints[int(np.argmin(high - low))].name
            raise ConfigError(f"margin of {limits.margin:g} leaves joint {name} no way; take a smaller one")
        speed = limits.speed * _largest(arm, "velocity", limits.unknown_speed, robot)
        acceleration = limits.acceleration * _largest(arm, "acceleration", limits.unknown_acceleration, robot)
        period = 1.0 / contract.control_hz
        change = acceleration * period**2
        half = arm.gripper_width / 2
        points = np.array([[0.0, 0.0, 0.0], [half, 0.0, arm.tip], [-half, 0.0, arm.tip]])
        force = limits.force if robot is None else min(limits.force, robot.gripper_force)
        return cls(
            low, high, np.minimum(speed * period, change), change, speed, period, arm.gripper_speed * period, force,
            points, np.array(limits.box_low), np.array(limits.box_high), limits.jump, limits.astray,
        )  # fmt: skip


def _largest(arm: ArmChain, kind: str, unknown: float, robot: RobotLimits | None) -> Array:
    told = [getattr(joint, kind) for joint in arm.joints]
    values = np.array([unknown if value is None else value for value in told])
    own = () if robot is None else getattr(robot, kind)
    if len(own):  # where the bundle does not know, the robot does
        values = np.where([value is None for value in told], own, np.minimum(values, own))
    return values


def require_agreement(
    name: str, contract: ActionContract, arm: ArmChain, seen: Mapping[str, tuple[int, int]], needs_masks: bool,
    robot: RobotLimits, *, detector: bool = False, lenses: Mapping[str, Any] | None = None,
) -> None:
    """Refuses a pair of bundle and robot in which one word has two meanings.

    Args:
        name: of the bundle, for the message.
        contract: what its actions mean.
        arm: as the bundle knows it.
        seen: cameras that the policy looks at, with the size of their images.
        needs_masks: whether the policy looks at masks.
        robot: what the driver says.
        detector: whether something finds masks in the images.
        lenses: cameras whose intrinsics are given.

    Raises:
        ContractError: names all that differs: joints or their order, rate, gripper, cameras, masks.
    """
    wrong = []
    if contract.joint_names != robot.joint_names:
        ours, theirs = ", ".join(contract.joint_names), ", ".join(robot.joint_names)
        order = "in another order" if sorted(contract.joint_names) == sorted(robot.joint_names) else "others"
        wrong.append(f"joints, {order}: {ours} in the bundle, {theirs} on the robot")
    else:
        for joint, low, high in zip(arm.joints, robot.low, robot.high, strict=True):
            if not (low < joint.high and joint.low < high):
                ways = f"{joint.low:g} to {joint.high:g}, the robot's {low:g} to {high:g}"
                wrong.append(f"joint {joint.name} goes from {ways}")
    least, most = robot.control_hz
    if not least * (1 - RATE_OFF) <= contract.control_hz <= most * (1 + RATE_OFF):
        wrong.append(f"rate: the policy acts at {contract.control_hz:g} Hz, the robot takes {least:g} to {most:g} Hz")
    if not abs(robot.gripper_width / arm.gripper_width - 1.0) <= WIDTH_OFF:
        wrong.append(f"gripper: {arm.gripper_width:g} m wide in the bundle, {robot.gripper_width:g} m on the robot")
    for camera, size in seen.items():
        there = robot.cameras.get(camera)
        if there is None:
            wrong.append(f"camera {camera}: the robot has {', '.join(robot.cameras) or 'none'}")
        elif camera not in (lenses or {}) and there[0] * size[1] != there[1] * size[0]:
            shapes = f"{there[0]} x {there[1]} pixels, the policy's {size[0]} x {size[1]}"
            wrong.append(f"camera {camera}: {shapes}; give its intrinsics")
        if needs_masks and not detector and there is not None and camera not in robot.masks:
            wrong.append(f"masks of camera {camera}: nobody gives them; say who finds them: --masks")
    if wrong:
        raise ContractError(f"bundle {name} and the robot disagree, nothing was started: {'; '.join(wrong)}")
