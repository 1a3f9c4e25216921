"""Any LeRobot `Robot` (lerobot 0.4): its keys and units become ours; what `send_action` returns is what was sent."""

from __future__ import annotations

import dataclasses
import importlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Image
from toyshift.core.errors import ConfigError, MissingDependencyError, RobotError
from toyshift.core.files import BY_HAND, read_json
from toyshift.policies.robots.robot_driver import RobotDriver
from toyshift.policies.runtime.robot_runtime import Readings
from toyshift.policies.safety.limits import RobotLimits
from toyshift.policies.safety.safety_layer import SafeCommand

UNITS = {"rad": 1.0, "deg": math.pi / 180.0}
FIRST = 10.0  # longest wait for the first observation [s]


@dataclasses.dataclass(frozen=True)
class LeRobotNames:
    """What a LeRobot robot is, and what its keys mean; read from a JSON file.

    Attributes:
        type: as it is registered, such as so101_follower.
        module: that registers it, such as lerobot.robots.so101_follower.
        config: fields of its configuration.
        joints: our joint's name -> its key, such as shoulder_pan.pos, in our order.
        unit: of the joints' values, rad or deg; LeRobot's normalised values (-100 to 100) are neither, so set
            use_degrees where a robot has it.
        low, high: position limits (n,) [rad].
        gripper: key of the gripper.
        gripper_open, gripper_shut: its values there.
        gripper_width, gripper_force: between the open fingers, and largest [m, N].
        cameras: our camera -> its key.
    """

    type: str
    module: str
    config: Mapping[str, Any]
    joints: Mapping[str, str]
    unit: str
    low: tuple[float, ...]
    high: tuple[float, ...]
    gripper: str
    gripper_open: float
    gripper_shut: float
    gripper_width: float
    gripper_force: float
    cameras: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> LeRobotNames:
        """Reads a JSON file with these fields.

        Raises:
            FileError: it is missing or no JSON.
            ConfigError: a field is missing or unknown, or values contradict each other.
        """
        value = read_json(path, BY_HAND)
        try:
            fields: Any = {key: tuple(entry) if isinstance(entry, list) else entry for key, entry in value.items()}
            names = cls(**fields)
        except (TypeError, AttributeError) as error:
            known = ", ".join(field.name for field in dataclasses.fields(cls))
            raise ConfigError(f"{path} names no LeRobot robot ({error}); its fields: {known}") from error
        if names.unit not in UNITS:
            raise ConfigError(f"{path}: unit is {names.unit!r}; it must be rad or deg")
        if not len(names.joints) == len(names.low) == len(names.high) or names.gripper_open == names.gripper_shut:
            raise ConfigError(f"{path}: joints, low and high must be as many, and the gripper open elsewhere than shut")
        return names

    def action_of(self, joints: Array, opening: float) -> dict[str, float]:
        """Returns LeRobot's action of joint positions (n,) [rad] and an opening (0..1)."""
        values = np.asarray(joints) / UNITS[self.unit]
        action = {key: float(value) for key, value in zip(self.joints.values(), values, strict=True)}
        return action | {self.gripper: self.gripper_shut + opening * (self.gripper_open - self.gripper_shut)}

    def joints_of(self, told: Mapping[str, Any]) -> tuple[Array, float]:
        """Returns joint positions (n,) [rad] and the opening (0..1) of an observation or action.

        Raises:
            RobotError: a key is missing.
        """
        if missing := [key for key in (*self.joints.values(), self.gripper) if key not in told]:
            raise RobotError(f"LeRobot's robot tells no {', '.join(missing)}; it tells: {', '.join(map(str, told))}")
        joints = np.array([float(told[key]) for key in self.joints.values()]) * UNITS[self.unit]
        span = self.gripper_open - self.gripper_shut
        return joints, (float(told[self.gripper]) - self.gripper_shut) / span


def made_robot(names: LeRobotNames) -> Any:
    """Makes the robot that a file names, not connected yet.

    Raises:
        MissingDependencyError: LeRobot is not installed.
        ConfigError: there is no such robot, or it takes another configuration.
    """
    try:
        import draccus
        from lerobot.robots import RobotConfig, make_robot_from_config
    except ImportError as error:
        told = f"a robot of LeRobot's needs lerobot ({error}), which wants NumPy 2"
        raise MissingDependencyError(
            f'{told}: pip install "lerobot>=0.4,<0.5", in an environment of its own (docs/robot.md)'
        ) from error
    try:
        importlib.import_module(names.module)
        # as LeRobot's own commands read theirs: cameras and paths become what they are
        return make_robot_from_config(draccus.decode(RobotConfig, {"type": names.type, **names.config}))
    except Exception as error:  # whatever a robot's module raises
        raise ConfigError(f"LeRobot makes no robot {names.type!r} of {names.module} ({error})") from error


class LeRobotRobot(RobotDriver):
    """Observes in a thread of its own; one lock keeps observations and commands apart, as they share a bus.

    LeRobot tells no stamps: joints get the time at which they were asked for, images that at which they last changed.

    Args:
        address: JSON file with the fields of `LeRobotNames`.
        clock: seconds.
        make: makes the robot of what the file names.

    Raises:
        RobotError: it does not connect, or does not tell what the file says.
    """

    def __init__(
        self, address: str, clock: Callable[[], float] = time.monotonic,
        make: Callable[[LeRobotNames], Any] = made_robot,
    ) -> None:  # fmt: skip
        self.names, self._clock = LeRobotNames.read(Path(address)), clock
        self._robot = make(self.names)
        self._lock = threading.Lock()
        self._news = threading.Condition()
        self._newest: tuple[dict[str, Any], float] | None = None
        self._changed: dict[str, tuple[Image, float]] = {}
        self._why, self._stopped = "", False
        self._closed = threading.Event()
        try:
            if not self._robot.is_connected:
                self._robot.connect()
        except Exception as error:
            raise RobotError(f"LeRobot's {self.names.type} does not connect: {error}") from error
        self._thread = threading.Thread(target=self._observe, name="toyshift-lerobot", daemon=True)
        self._thread.start()
        with self._news:
            self._news.wait_for(lambda: self._newest is not None or self._why, FIRST)
        sizes = {camera: image.shape[:2] for camera, image in self.read().images.items()}
        names = self.names
        self.limits = RobotLimits(
            tuple(names.joints), names.low, names.high, (), (), names.gripper_width, names.gripper_force, (1.0, 60.0),
            {camera: (int(size[0]), int(size[1])) for camera, size in sizes.items()},
        )  # fmt: skip

    def read(self) -> Readings:
        with self._news:
            if self._why or self._newest is None:
                raise RobotError(self._why or "LeRobot's robot has not told anything yet")
            (told, stamp), changed = self._newest, dict(self._changed)
        joints, opening = self.names.joints_of(told)
        images = {camera: image for camera, (image, _) in changed.items()}
        stamps = {camera: when for camera, (_, when) in changed.items()}
        return Readings(joints, opening * self.names.gripper_width, images, stamp, stamps)

    def send(self, command: SafeCommand) -> SafeCommand:
        if self._stopped:
            raise RobotError("the robot is stopped; begin again")
        asked = self.names.action_of(command.joints, command.opening)
        try:
            with self._lock:
                sent = self._robot.send_action(asked)
        except Exception as error:
            raise RobotError(f"LeRobot's {self.names.type} does not take the command: {error}") from error
        if dict(sent) == asked:
            return command
        joints, opening = self.names.joints_of(sent)  # it has limits of its own, such as max_relative_target
        return dataclasses.replace(command, joints=joints, opening=opening)

    def stop(self) -> None:
        """Sends the arm to where it is: LeRobot knows no other stop that keeps it up."""
        self._stopped = True
        try:
            with self._lock:
                told = self._robot.get_observation()
                if not np.isfinite(self.names.joints_of(told)[0]).all():
                    raise ValueError("it does not tell where its joints are")
                self._robot.send_action({key: told[key] for key in (*self.names.joints.values(), self.names.gripper)})
        except Exception as error:
            raise RobotError(f"LeRobot's {self.names.type} could not be stopped: {error}") from error

    def begin(self, episode: int) -> None:
        self._stopped = False

    def close(self) -> None:
        self._closed.set()
        self._thread.join(2.0)
        with self._lock:
            self._robot.disconnect()

    def _observe(self) -> None:
        while not self._closed.is_set():
            asked = self._clock()
            try:
                with self._lock:
                    told = dict(self._robot.get_observation())
                self._take(told, asked)
            except Exception as error:  # told by `read`
                with self._news:
                    self._why = f"LeRobot's {self.names.type} cannot be read: {error}"
                    self._news.notify_all()
                self._closed.wait(0.1)
            self._closed.wait(0.005)  # a lock is not fair: commands come in here

    def _take(self, told: dict[str, Any], asked: float) -> None:
        images = {camera: np.asarray(told[key]) for camera, key in self.names.cameras.items()}
        with self._news:
            for camera, image in images.items():
                before = self._changed.get(camera)
                if before is None or not np.array_equal(before[0], image):
                    self._changed[camera] = (image, asked)
            self._newest, self._why = (told, asked), ""
            self._news.notify_all()
