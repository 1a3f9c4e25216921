"""The action and observation contracts of the grasp environments, and the Gymnasium spaces that follow from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.envs.cameras import FAR
from toyshift.envs.config import EnvConfig
from toyshift.envs.robots import Robot

MAX_DELTA = 0.05  # largest translation of one eef_delta action, per axis [m]
MAX_TURN = 0.3  # largest rotation of one eef_delta action, per axis [rad]
MAX_JOINT_DELTA = 0.2  # largest turn of a joint in one joint_delta action [rad]
AXIS_ANGLE_BOUND = 3.2  # [rad]; a little more than half a turn
# the commanded hand pose stays in this box of the robot's base frame: lower and upper corner [m]
WORKSPACE = ((0.2, -0.5, 0.004), (0.85, 0.5, 0.75))
JOINT_BOUND = 4.0  # [rad]; every joint angle lies within
EXTENT_BOUND = 1.0  # [m]; no object is longer (see `Stage`)
REACH_BOUND = 2.0  # [m]; every hand position lies within

# names of "environment_state": the target's centre of mass relative to the hand, first two columns of its rotation (both along the
# base frame's axes), sides of its bounding box in its own frame
ENVIRONMENT_STATE = (
    "object.dx", "object.dy", "object.dz", *(f"object.r{row}{column}" for column in (1, 2) for row in (1, 2, 3)),
    "object.length_x", "object.length_y", "object.length_z",
)  # fmt: skip


def state_names(robot: Robot) -> tuple[str, ...]:
    """Names of `observation.state`: joint angles [rad], gripper opening (0..1), hand position [m], first two columns of its rotation, command.

    `lag.*` is how far the commanded hand position is ahead of the measured one [m], and `command.gripper` the commanded
    opening. `eef_delta` actions are added to the command: without it, what an action does would depend on something unseen
    (2-3 cm while the hand moves).
    """
    rotation = tuple(f"eef.r{row}{column}" for column in (1, 2) for row in (1, 2, 3))
    return (*robot.joints, "gripper.opening", "eef.x", "eef.y", "eef.z", *rotation, "lag.x", "lag.y", "lag.z", "command.gripper")


def action_contract(config: EnvConfig, robot: Robot, joint_limits: NDArray[np.float64]) -> ActionContract:
    """Returns the contract of an action mode.

    Args:
        config: environment configuration.
        robot: the robot.
        joint_limits: (n, 2) lower and upper joint limits [rad].
    """
    pose = ("m",) * 3 + ("rad",) * 3
    joints = robot.joint_units
    names: tuple[str, ...]
    match config.action_mode:
        case "joint_pos":
            names, units = robot.joints, joints
            low, high = (tuple(round(float(x), 4) for x in joint_limits[:, side]) for side in (0, 1))
        case "joint_delta":
            names, units = tuple(f"d{name}" for name in robot.joints), joints
            low, high = (-MAX_JOINT_DELTA,) * len(joints), (MAX_JOINT_DELTA,) * len(joints)
        case "eef_pose":
            names, units = ("x", "y", "z", "rx", "ry", "rz"), pose
            low, high = (*WORKSPACE[0], *(-AXIS_ANGLE_BOUND,) * 3), (*WORKSPACE[1], *(AXIS_ANGLE_BOUND,) * 3)
        case _:
            names, units = ("dx", "dy", "dz", "rx", "ry", "rz"), pose
            low, high = (-MAX_DELTA,) * 3 + (-MAX_TURN,) * 3, (MAX_DELTA,) * 3 + (MAX_TURN,) * 3
    return ActionContract(
        mode=config.action_mode,
        names=(*names, "gripper"),
        units=(*units, "1"),
        low=(*low, 0.0),
        high=(*high, 1.0),
        control_hz=config.control_hz,
        joint_names=robot.joints,
    )


def observation_contract(config: EnvConfig, robot: Robot) -> ObservationContract:
    """Returns the contract of the observations: cameras with image sizes, names of the state and of the privileged state."""
    privileged = ENVIRONMENT_STATE if config.environment_state else ()
    return ObservationContract(tuple(config.image_sizes.items()), state_names(robot), privileged)


def observation_space(config: EnvConfig, robot: Robot) -> spaces.Dict:
    """Returns the space of {"pixels": {cam: HWC}, "masks": {cam: HW}, "depth": {cam: HW}, "agent_pos", "environment_state"}; all bounds are finite.

    Cameras' parts are absent without cameras, depth and the privileged state unless the configuration asks for them.
    """
    sizes = config.image_sizes
    joints = len(robot.joints)
    high = np.array([JOINT_BOUND] * joints + [1.5] + [REACH_BOUND] * 3 + [1.01] * 6 + [REACH_BOUND] * 3 + [1.0], np.float32)
    low = -high
    low[joints] = -0.5
    parts: dict[str, spaces.Space[Any]] = {}
    if config.cameras:
        parts["pixels"] = spaces.Dict({c: spaces.Box(0, 255, (*size, 3), np.uint8) for c, size in sizes.items()})
        parts["masks"] = spaces.Dict({c: spaces.Box(0, 3, size, np.uint8) for c, size in sizes.items()})
    if config.cameras and config.depth:
        parts["depth"] = spaces.Dict({c: spaces.Box(0.0, FAR, size, np.float32) for c, size in sizes.items()})
    parts["agent_pos"] = spaces.Box(low, high, dtype=np.float32)
    if config.environment_state:
        bound = np.array([REACH_BOUND] * 3 + [1.01] * 6 + [EXTENT_BOUND] * 3, np.float32)
        parts["environment_state"] = spaces.Box(np.where(np.arange(12) < 9, -bound, 0), bound, dtype=np.float32)
    return spaces.Dict(parts)


def action_space(contract: ActionContract, seed: int | None = None) -> spaces.Box:
    """Returns the box of physical actions."""
    return spaces.Box(np.asarray(contract.low, np.float32), np.asarray(contract.high, np.float32), dtype=np.float32, seed=seed)
