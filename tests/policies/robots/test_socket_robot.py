"""The driver at a socket: clocks that differ, connections that break, robots that talk nonsense; absent packages."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, MissingDependencyError, RobotError, UnknownNameError
from toyshift.policies.robots import open_robot
from toyshift.policies.robots.frames import LENGTH, receive_message, send_message
from toyshift.policies.robots.socket_robot import SocketRobot
from toyshift.policies.safety import RobotLimits
from toyshift.policies.safety.safety_layer import SafeCommand

pytest.importorskip("msgpack")
LIMITS = RobotLimits(("a",), (-1.0,), (1.0,), (), (), 0.08, 20.0, (1.0, 50.0), {"front": (2, 3)})
AHEAD = 1000.0  # of the robot's clock before ours [s]


class Arm:
    """A robot of one joint, as the protocol has it; it listens at a port until it is ended."""

    def __init__(self, port: int = 0, limits: RobotLimits = LIMITS) -> None:
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self.listener.getsockname()[1])
        self.limits, self.got, self.connection, self.joint = limits, [], None, 0.25  # type: ignore[var-annotated]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError, RobotError):
            self.connection, _ = self.listener.accept()
            send_message(self.connection, {"hello": self.limits.to_json()})
            while True:
                message = receive_message(self.connection, "the driver")
                if "ping" in message:
                    send_message(self.connection, {"pong": time.monotonic() + AHEAD})
                else:
                    self.got.append(message)

    def say(self, **changed: Any) -> None:
        told = {
            "joints": np.array([self.joint]), "width": 0.04, "time": time.monotonic() + AHEAD, "episode": 0,
            "image_time": time.monotonic() + AHEAD, "images": {"front": np.zeros((2, 3, 3), np.uint8)},
        }  # fmt: skip
        send_message(self.connection, {"readings": told | changed})

    def end(self) -> None:
        for one in (self.listener, self.connection):
            with contextlib.suppress(OSError, AttributeError):
                one.shutdown(socket.SHUT_RDWR)
            if one is not None:
                one.close()
        self.thread.join(5)


@pytest.fixture
def arm() -> Iterator[Arm]:
    made = Arm()
    yield made
    made.end()


def soon(robot: SocketRobot, seconds: float = 5.0) -> Any:
    """Returns the first readings that come."""
    end = time.monotonic() + seconds
    while True:
        try:
            return robot.read()
        except RobotError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def lost(robot: SocketRobot) -> str:
    """Returns what it says when its connection is lost."""
    end = time.monotonic() + 5.0
    while time.monotonic() < end:
        try:
            robot.read()
        except RobotError as error:
            return str(error)
        time.sleep(0.01)
    return "still there"


def test_stamps_come_to_our_clock_and_commands_arrive(arm: Arm) -> None:
    with SocketRobot(f"127.0.0.1:{arm.port}") as robot:
        assert robot.limits == LIMITS
        with pytest.raises(RobotError, match="not said anything yet"):
            robot.read()
        arm.say()
        readings = soon(robot)
        assert abs(readings.time - time.monotonic()) < 0.5  # its clock is 1,000 s ahead
        assert readings.image_times["front"] == pytest.approx(readings.time, abs=0.1)
        np.testing.assert_array_equal(readings.joints, [0.25])
        robot.send(SafeCommand(np.array([0.5]), 0.25, 0.0, 15.0, np.zeros(2, np.float32)))
        robot.stop()
        arm.say(stopped=True)
        end = time.monotonic() + 5.0
        while len(arm.got) < 2 and time.monotonic() < end:
            time.sleep(0.01)
        assert arm.got[0]["command"]["joints"] == pytest.approx([0.5])
        assert (arm.got[0]["command"]["opening"], arm.got[0]["command"]["force"]) == (0.25, 15.0)
        assert "stop" in arm.got[1]
        time.sleep(0.1)
        with pytest.raises(RobotError, match="is stopped"):
            robot.send(SafeCommand(np.array([0.5]), 0.25, 0.0, 15.0, np.zeros(2, np.float32)))


def test_a_robot_that_is_killed_is_found_again(arm: Arm) -> None:
    with SocketRobot(f"127.0.0.1:{arm.port}") as robot:
        arm.say()
        soon(robot)
        arm.end()
        assert "was lost" in lost(robot)
        with pytest.raises(RobotError):
            robot.stop()
        again = Arm(arm.port)
        again.joint = -0.5
        end = time.monotonic() + 5.0
        while again.connection is None and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.2)  # its hello and the pings
        again.say()
        np.testing.assert_array_equal(soon(robot).joints, [-0.5])
        again.end()
        lost(robot)
        other = Arm(arm.port, RobotLimits(("b",), (-1.0,), (1.0,), (), (), 0.08, 20.0, (1.0, 50.0), {}))
        end = time.monotonic() + 5.0
        while "another robot" not in lost(robot) and time.monotonic() < end:
            time.sleep(0.05)
        assert "another robot answers" in lost(robot)
        other.end()


@pytest.mark.parametrize("nonsense", [b"\xc1\xc1", b"", LENGTH.pack(2**31)])
def test_nonsense_breaks_the_connection_and_not_the_driver(arm: Arm, nonsense: bytes) -> None:
    with SocketRobot(f"127.0.0.1:{arm.port}") as robot:
        arm.say()
        soon(robot)
        raw = nonsense if len(nonsense) == LENGTH.size else LENGTH.pack(len(nonsense)) + nonsense
        arm.connection.sendall(raw)
        assert "was lost" in lost(robot)


def test_what_is_no_robot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="franky, lerobot, ros2, socket"):
        open_robot("panda:1.2.3.4")
    with pytest.raises(ConfigError, match="write socket:ADDRESS"):
        open_robot("socket")
    wrong = Arm(limits=SimpleNamespace(to_json=lambda: {"x": 1}))  # type: ignore[arg-type]
    with pytest.raises(RobotError, match="no robot answers"):
        SocketRobot(f"127.0.0.1:{wrong.port}")
    wrong.end()
    for name in ("franky", "rclpy", "lerobot", "lerobot.robots"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingDependencyError, match="pip install franky-control"):
        open_robot("franky:172.16.0.2")
    ros = {
        "joints": {"a": "panda_joint1"}, "low": [-1], "high": [1], "gripper_joint": "f", "gripper_action": "g",
        "gripper_width": 0.08, "gripper_force": 70, "cameras": {}, "sizes": {},
    }  # fmt: skip
    file = tmp_path / "robot.json"
    file.write_text(json.dumps(ros))
    with pytest.raises(MissingDependencyError, match="come with ROS 2, not from PyPI"):
        open_robot(f"ros2:{file}")
    file.write_text(json.dumps(ros | {"low": [-1, -1]}))
    with pytest.raises(ConfigError, match="must be as many"):
        open_robot(f"ros2:{file}")
    file.write_text(json.dumps({
        "type": "x", "module": "x", "config": {}, "joints": {"a": "a.pos"}, "unit": "deg", "low": [0], "high": [1],
        "gripper": "g.pos", "gripper_open": 1, "gripper_shut": 0, "gripper_width": 0.08, "gripper_force": 9,
        "cameras": {},
    }))  # fmt: skip
    with pytest.raises(MissingDependencyError, match="pip install \"lerobot"):
        open_robot(f"lerobot:{file}")
