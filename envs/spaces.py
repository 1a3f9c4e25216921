"""The action and observation contracts of the grasp environments, and the Gymnasium spaces that follow from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces

from toyshift.core.arrays import Array
from toyshift.core.contract import MASK_ROBOT, ActionContract, ObservationContract
from toyshift.core.proprioception import TARGET, bounds_of, names_of, proprioception
from toyshift.envs.cameras import FAR
from toyshift.envs.config import EnvConfig
from toyshift.envs.robots import Robot

MAX_DELTA = 0.05  # largest translation of one eef_delta action, per axis [m]
MAX_TURN = 0.3  # largest rotation of one eef_delta action, per axis [rad]
MAX_JOINT_DELTA = 0.2  # largest turn of a joint in one joint_delta action [rad]
AXIS_ANGLE_BOUND = 3.2  # [rad]; a little more than half a turn
# the commanded hand pose stays in this box of the robot's base frame: lower and upper corner [m]
WORKSPACE = ((0.2, -0.5, 0.004), (0.85, 0.5, 0.75))


def action_contract(config: EnvConfig, robot: Robot, joint_limits: Array) -> ActionContract:
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
        mode=config.action_mode, names=(*names, "gripper"), units=(*units, "1"), low=(*low, 0.0), high=(*high, 1.0),
        control_hz=config.control_hz, joint_names=robot.joints,
    )


def observation_contract(config: EnvConfig, robot: Robot) -> ObservationContract:
    """Returns the contract of the observations: cameras with image sizes, names of the state and of the privileged
    state.
    """
    privileged = names_of(TARGET) if config.environment_state else ()
    return ObservationContract(tuple(config.image_sizes.items()), names_of(proprioception(robot.joints)), privileged)


def observation_space(config: EnvConfig, robot: Robot) -> spaces.Dict:
    """Returns the space of observations; all bounds are finite.

    {"pixels": {cam: HWC}, "masks": {cam: HW}, "depth": {cam: HW}, "agent_pos": (S,), "environment_state": (12,)}.
    Cameras' parts are absent without cameras, depth and the privileged state unless the configuration asks for them.
    """
    sizes = config.image_sizes.items()
    parts: dict[str, spaces.Space[Any]] = {}
    if config.cameras:
        parts["pixels"] = spaces.Dict({c: spaces.Box(0, 255, (*size, 3), np.uint8) for c, size in sizes})
        parts["masks"] = spaces.Dict({c: spaces.Box(0, MASK_ROBOT, size, np.uint8) for c, size in sizes})
    if config.cameras and config.depth:
        parts["depth"] = spaces.Dict({c: spaces.Box(0.0, FAR, size, np.float32) for c, size in sizes})
    parts["agent_pos"] = spaces.Box(*bounds_of(proprioception(robot.joints)), dtype=np.float32)
    if config.environment_state:
        parts["environment_state"] = spaces.Box(*bounds_of(TARGET), dtype=np.float32)
    return spaces.Dict(parts)


def action_space(contract: ActionContract, seed: int | None = None) -> spaces.Box:
    """Returns the box of physical actions."""
    low, high = (np.asarray(side, np.float32) for side in (contract.low, contract.high))
    return spaces.Box(low, high, dtype=np.float32, seed=seed)
