"""The robots, one file each; adding one is copying a file and naming its robot in ROBOTS."""

from __future__ import annotations

from toyshift.core.errors import UnknownNameError
from toyshift.envs.robots.panda import PANDA
from toyshift.envs.robots.robot import Gripper, Robot, asset_path

__all__ = ["ROBOTS", "Gripper", "Robot", "asset_path", "get_robot"]

ROBOTS = {robot.name: robot for robot in (PANDA,)}


def get_robot(name: str) -> Robot:
    """Returns a robot of the registry, or raises UnknownNameError with the choices."""
    if name not in ROBOTS:
        raise UnknownNameError("robot", name, ROBOTS)
    return ROBOTS[name]
