"""The robots, one file each; adding one is copying a file and naming its robot in ROBOTS."""

from __future__ import annotations

from toyshift.core.errors import UnknownNameError
from toyshift.envs.robots.iiwa import IIWA
from toyshift.envs.robots.inspire import INSPIRE
from toyshift.envs.robots.kinova3 import KINOVA3
from toyshift.envs.robots.panda import PANDA
from toyshift.envs.robots.panda_robotiq import PANDA_ROBOTIQ
from toyshift.envs.robots.robot import Gripper, Robot, asset_path
from toyshift.envs.robots.sawyer import SAWYER
from toyshift.envs.robots.ur5e import UR5E
from toyshift.envs.robots.xarm7 import XARM7

__all__ = ["ROBOTS", "Gripper", "Robot", "asset_path", "get_robot"]

ROBOTS = {robot.name: robot for robot in (PANDA, PANDA_ROBOTIQ, UR5E, XARM7, KINOVA3, SAWYER, IIWA, INSPIRE)}


def get_robot(name: str) -> Robot:
    """Returns a robot of the registry, or raises UnknownNameError with the choices."""
    if name not in ROBOTS:
        raise UnknownNameError("robot", name, ROBOTS)
    return ROBOTS[name]
