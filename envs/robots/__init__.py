"""The robots, one file each; adding one is copying a file, naming it here and in `core.choices.ROBOT_NAMES`."""

from __future__ import annotations

from toyshift.core.errors import UnknownNameError
from toyshift.envs.robots import iiwa, inspire, kinova3, panda, panda_robotiq, sawyer, so101, ur5e, xarm7
from toyshift.envs.robots.robot import Gripper, Robot

__all__ = ["ROBOTS", "Gripper", "Robot", "get_robot"]

# in the order of core.choices.ROBOT_NAMES
_FILES = (panda, panda_robotiq, ur5e, xarm7, kinova3, sawyer, iiwa, inspire, so101)
ROBOTS: dict[str, Robot] = {file.ROBOT.name: file.ROBOT for file in _FILES}


def get_robot(name: str) -> Robot:
    """Returns a robot of the registry, or raises UnknownNameError with the choices."""
    if name not in ROBOTS:
        raise UnknownNameError("robot", name, ROBOTS)
    return ROBOTS[name]
