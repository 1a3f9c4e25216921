"""The robots, one file each; adding one is copying a file and naming it in FILES."""

from __future__ import annotations

import importlib

from toyshift.core.errors import UnknownNameError
from toyshift.envs.robots.robot import Gripper, Robot, asset_path

__all__ = ["ROBOTS", "Gripper", "Robot", "asset_path", "get_robot"]

# Files of this folder, each with its ROBOT
FILES = ("panda", "panda_robotiq", "ur5e", "xarm7", "kinova3", "sawyer", "iiwa", "inspire")
ROBOTS: dict[str, Robot] = {
    robot.name: robot for robot in (importlib.import_module(f"{__name__}.{file}").ROBOT for file in FILES)
}


def get_robot(name: str) -> Robot:
    """Returns a robot of the registry, or raises UnknownNameError with the choices."""
    if name not in ROBOTS:
        raise UnknownNameError("robot", name, ROBOTS)
    return ROBOTS[name]
