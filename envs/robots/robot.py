"""What a robot is to this room: model files of robosuite, home pose, limits and gripper geometry."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

from toyshift.core.errors import MissingDependencyError


@dataclasses.dataclass(frozen=True)
class Gripper:
    """A parallel-jaw gripper, as a grasp planner and an actuator see it.

    The grasp frame is the site's: x is the closing direction, z the approach direction (out of the hand).

    Attributes:
        file: MJCF file below robosuite's `models/assets`.
        site: site between the finger tips.
        opening: largest distance between the finger pads [m].
        pad: half extents of a finger pad: across (y) and along the approach (z) [m].
        pad_offset: position of the pads' centre along the approach axis, from the site [m].
        tip_offset: position of the finger tips along the approach axis, from the site [m].
        finger: half width (y), thickness (x) of a finger [m].
        palm: half extents of the palm: along x, along y [m].
        palm_offset: position of the palm's face along the approach axis, from the site [m].
        joints: finger joints.
        open_ctrl: actuator targets when open.
        closed_ctrl: actuator targets when closed; beyond contact, so that thin objects are held as well.
        kp, damping, armature, force: stiffness [N/m], joint damping [N s/m], armature [kg] and force limit [N] of a finger.
        speed: how fast the commanded opening may change [share of the opening per second].
    """

    file: str
    site: str
    opening: float
    pad: tuple[float, float]
    pad_offset: float
    tip_offset: float
    finger: tuple[float, float]
    palm: tuple[float, float]
    palm_offset: float
    joints: tuple[str, ...]
    open_ctrl: tuple[float, ...]
    closed_ctrl: tuple[float, ...]
    kp: float
    damping: float
    armature: float
    force: float
    speed: float


@dataclasses.dataclass(frozen=True)
class Robot:
    """An arm with its gripper.

    Attributes:
        file: MJCF file below robosuite's `models/assets`.
        joints: arm joints in order.
        home: start pose [rad].
        kp: position stiffness per joint [N m/rad].
        force: torque limit per joint [N m].
        mount: body that carries the gripper.
        gripper: the gripper.
        wrist_camera: position and quaternion (wxyz, MuJoCo camera frame) in the mount's frame, vertical field of view [deg].
    """

    name: str
    file: str
    joints: tuple[str, ...]
    home: tuple[float, ...]
    kp: tuple[float, ...]
    force: tuple[float, ...]
    mount: str
    gripper: Gripper
    wrist_camera: tuple[tuple[float, float, float], tuple[float, float, float, float], float]


def asset_path(file: str) -> Path:
    """Returns the path of one of robosuite's model files, without importing robosuite (which takes seconds)."""
    spec = importlib.util.find_spec("robosuite")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependencyError("robosuite is not installed (it carries the robots' models): run `pip install robosuite==1.5.2`")
    path = Path(next(iter(spec.submodule_search_locations))) / "models" / "assets" / file
    if not path.is_file():
        raise MissingDependencyError(f"{path} is missing from the installed robosuite; this suite is tested with robosuite==1.5.2")
    return path
