"""The robots, one file each; adding one is copying a file and naming it in `core.choices.ROBOT_NAMES`."""

from __future__ import annotations

import importlib

from toyshift.core.choices import ROBOT_NAMES
from toyshift.core.errors import UnknownNameError
from toyshift.envs.robots.robot import Gripper, Robot, asset_path

__all__ = ["ROBOTS", "Gripper", "Robot", "asset_path", "get_robot"]

# by name; each has its ROBOT in a file of this folder
ROBOTS: dict[str, Robot] = {
    name: importlib.import_module(f"{__name__}.{name.replace('-', '_')}").ROBOT for name in ROBOT_NAMES
}


def get_robot(name: str) -> Robot:
    """Returns a robot of the registry, or raises UnknownNameError with the choices."""
    if name not in ROBOTS:
        raise UnknownNameError("robot", name, ROBOTS)
    return ROBOTS[name]
