"""ROS 2 messages to readings and commands, without ROS: whatever has the fields of the messages is taken.

REP-103: SI units, radians. Topics as ros2_control's have them: sensor_msgs/JointState, sensor_msgs/Image,
sensor_msgs/CameraInfo in; trajectory_msgs/JointTrajectory and control_msgs/GripperCommand out.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Image
from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.files import BY_HAND, read_json
from toyshift.policies.runtime.framing import Lens

# encoding -> channels, and which of them are red, green and blue
ENCODINGS = {
    "rgb8": (3, (0, 1, 2)), "bgr8": (3, (2, 1, 0)), "rgba8": (4, (0, 1, 2)), "bgra8": (4, (2, 1, 0)),
    "mono8": (1, (0, 0, 0)),
}  # fmt: skip


def seconds_of(stamp: Any) -> float:
    """Returns a builtin_interfaces/Time or Duration in seconds."""
    return float(stamp.sec) + 1e-9 * float(stamp.nanosec)


def duration_of(seconds: float) -> dict[str, int]:
    """Returns the fields of a Duration."""
    whole = math.floor(seconds)
    nano = round((seconds - whole) * 1e9)
    return {"sec": whole + nano // 10**9, "nanosec": nano % 10**9}


def joints_of(message: Any, names: Sequence[str]) -> tuple[Array, float]:
    """Returns positions (n,) of joints in an order of ours [rad or m], and their stamp [s], of a JointState.

    Raises:
        ContractError: a joint is missing or named twice, or there are not as many positions as names.
    """
    there, positions = list(message.name), np.asarray(message.position, dtype=np.float64)
    if len(there) != len(positions) or len(set(there)) != len(there):
        raise ContractError(f"a JointState of {len(there)} names and {len(positions)} positions, or a name twice")
    if missing := [name for name in names if name not in there]:
        raise ContractError(f"a JointState without {', '.join(missing)}; it has: {', '.join(there)}")
    return positions[[there.index(name) for name in names]], seconds_of(message.header.stamp)


def image_of(message: Any) -> tuple[Image, float]:
    """Returns an image (H, W, 3) RGB and its stamp [s], of an Image; rows may be padded.

    Raises:
        ContractError: another encoding, or fewer bytes than rows and their length say.
    """
    if message.encoding not in ENCODINGS:
        raise ContractError(f"an Image of encoding {message.encoding!r}; known: {', '.join(ENCODINGS)}")
    channels, order = ENCODINGS[message.encoding]
    height, width, step = int(message.height), int(message.width), int(message.step)
    data = np.frombuffer(bytes(message.data), np.uint8)
    if step < width * channels or len(data) < height * step:
        told = f"an Image of {height} x {width} {message.encoding}"
        raise ContractError(f"{told} with rows of {step} and {len(data)} bytes")
    rows = data[: height * step].reshape(height, step)[:, : width * channels].reshape(height, width, channels)
    return np.ascontiguousarray(rows[..., list(order)]), seconds_of(message.header.stamp)


def lens_of(message: Any) -> Lens:
    """Returns the lens of a CameraInfo; distortion is not undone, so images must be rectified."""
    return Lens.of(np.asarray(message.k, dtype=np.float64).reshape(3, 3), (int(message.height), int(message.width)))


def trajectory_of(joints: Array, names: Sequence[str], seconds: float) -> dict[str, Any]:
    """Returns the fields of a JointTrajectory that leads to positions (n,) in `seconds`, from wherever the arm is.

    Its stamp of zero means "now"; "points" holds the fields of JointTrajectoryPoints.
    """
    point = {
        "positions": [float(value) for value in joints], "velocities": [], "accelerations": [], "effort": [],
        "time_from_start": duration_of(seconds),
    }  # fmt: skip
    return {"joint_names": list(names), "points": [point]}


@dataclasses.dataclass(frozen=True)
class RosNames:
    """How a robot's topics and joints are called, and what its gripper's numbers mean; read from a JSON file.

    Attributes:
        joints: our joint's name -> ROS's, in our order.
        low, high: position limits (n,) [rad or m].
        joint_states, trajectory: topics of JointState in and JointTrajectory out.
        gripper_joint: joint of JointState that tells the gripper's width.
        gripper_action: name of the GripperCommand action.
        gripper_per_width: its position over the width between the fingers: 0.5 where one finger's way is told.
        gripper_width, gripper_force: largest [m, N].
        cameras: camera -> topic of its images.
        sizes: camera -> height and width of its images [pixels].
    """

    joints: Mapping[str, str]
    low: tuple[float, ...]
    high: tuple[float, ...]
    gripper_joint: str
    gripper_action: str
    gripper_width: float
    gripper_force: float
    cameras: Mapping[str, str]
    sizes: Mapping[str, tuple[int, int]]
    joint_states: str = "/joint_states"
    trajectory: str = "/joint_trajectory_controller/joint_trajectory"
    gripper_per_width: float = 0.5

    @classmethod
    def read(cls, path: Path) -> RosNames:
        """Reads a JSON file with these fields.

        Raises:
            FileError: it is missing or no JSON.
            ConfigError: a field is missing, unknown or of another kind.
        """
        value = read_json(path, BY_HAND)
        try:
            lists: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items()}
            sizes = {str(camera): (int(size[0]), int(size[1])) for camera, size in value["sizes"].items()}
            names = cls(**{**lists, "sizes": sizes})
            lengths = {len(names.joints), len(names.low), len(names.high)}
            if len(lengths) != 1 or names.cameras.keys() != names.sizes.keys():
                raise ConfigError(f"{path}: joints, low and high must be as many, and cameras and sizes the same ones")
            return names
        except (TypeError, KeyError, ValueError, AttributeError, IndexError) as error:
            if isinstance(error, ConfigError):
                raise
            fields = ", ".join(field.name for field in dataclasses.fields(cls))
            raise ConfigError(f"{path} does not name a ROS 2 robot ({error}); its fields: {fields}") from error

    def opening_position(self, opening: float) -> float:
        """Returns the GripperCommand's position of an opening (0..1)."""
        return opening * self.gripper_width * self.gripper_per_width

    def width_of(self, position: float) -> float:
        """Returns the width [m] of a position of the gripper's joint."""
        return position / self.gripper_per_width
