"""Robots, and the loop that moves them: a driver is a file here and a line of the table."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.lazy import lazy_names

if TYPE_CHECKING:
    from toyshift.policies.robots.control_loop import ControlLoop as ControlLoop
    from toyshift.policies.robots.robot_driver import RobotDriver as RobotDriver

_PLACES = {"ControlLoop": "control_loop", "RobotDriver": "robot_driver"}
__getattr__, __dir__ = lazy_names(__name__, _PLACES)

# Name -> file and class, made with the address. Adding a robot is copying one file and adding one line here.
DRIVERS = {
    "socket": ("socket_robot", "SocketRobot", "HOST:PORT of `toyshift robot sim`"),
    "franky": ("franky_robot", "FrankyRobot", "address of a Franka's control box"),
    "ros2": ("ros2_robot", "Ros2Robot", "FILE.json that names topics"),
    "lerobot": ("lerobot_robot", "LeRobotRobot", "FILE.json that names a LeRobot robot, and what its keys mean"),
}


def open_robot(text: str) -> RobotDriver:
    """Connects to a robot: NAME:ADDRESS, such as socket:127.0.0.1:8123.

    Raises:
        UnknownNameError: there is no driver of that name.
        ConfigError: no address.
        RobotError: nothing answers there.
        MissingDependencyError: the driver's package is not installed.
    """
    name, _, address = text.partition(":")
    if name not in DRIVERS:
        raise UnknownNameError("robot driver", name, DRIVERS)
    file, made, wanted = DRIVERS[name]
    if not address:
        raise ConfigError(f"--robot {text}: write {name}:ADDRESS, the {wanted}")
    driver: RobotDriver = getattr(importlib.import_module(f"{__name__}.{file}"), made)(address)
    return driver
