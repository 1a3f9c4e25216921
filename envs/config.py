"""The configuration of a grasp environment: one frozen dataclass, contradictions rejected when it is made."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence

import numpy as np

from toyshift.core.choices import PURPOSES, ActionMode, Purpose, Quality, Reward, RobotName, Task
from toyshift.core.errors import ConfigError, shown
from toyshift.core.fields import Limit, check_fields, check_ranges
from toyshift.envs.cameras import CAMERAS, Camera, as_camera, image_size
from toyshift.envs.robots import get_robot
from toyshift.envs.shifts import Shifts

TASKS: dict[str, int | str] = {"grasp": 0, "pick": "1-5"}  # and how many other objects each has on the table
MAX_CLUTTER = 10
LIMITS: dict[str, Limit] = {
    "control_hz": (0.1, 1000), "physics_dt": (1e-5, 0.1), "lift_height": (0.001, 2), "hold_steps": 1,
    "settled_start": (0, 2), "start_noise": (0, 3.2), "max_models": 1,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class EnvConfig:
    """How the environment looks, moves and judges.

    Attributes:
        objects: the object set, e.g. "toys:train" or "ycb:DIR?graspable".
        task: "grasp" (the target is where a lone object would be) or "pick" (any object on the table could be the
            target; the instruction tells which).
        clutter: how many other objects of the set lie on the table: a number or a range such as "2-6", drawn in every
            episode; None is the task's own: 0 for grasp, "1-5" for pick.
        robot: name in `toyshift.envs.robots.ROBOTS`.
        action_mode: what an action means, of `core.choices.ACTION_MODES`, all with the gripper last: "eef_delta" (7:
            dx dy dz [m] and axis-angle [rad], added to the commanded hand pose), "eef_pose" (7: position [m] and
            axis-angle [rad], absolute), "joint_delta" (joints + 1: added to the commanded joint angles [rad]),
            "joint_pos" (joints + 1: joint angles [rad]).
        cameras: which cameras are observed: "front", "wrist", and `Camera`s (or mappings of their attributes); empty
            for none.
        image_size: height and width of the images [pixels], one number or two, of cameras that have no size of their
            own.
        depth: whether distances along the optical axis [m] are observed as well.
        control_hz: actions per second [Hz]; the control period must be a whole number of physics steps.
        physics_dt: physics step [s].
        lift_height: how far the object's lowest point must rise above where it started [m] (LEGO: 0.3; LEGO's relaxed:
            0.15); None is the robot's own, 0.3 of all but small ones; `lift` is the one that holds.
        hold_steps: for how many control steps in a row it must stay there.
        settled_start: half side of the square of start positions around `centre` [m] (ManiSkill's PickSingleYCB: 0.1);
            None is the robot's own, 0.1 of all but small ones; `spread` is the one that holds.
        centre: middle of the start positions on the table, robot base frame [m].
        start_noise: standard deviation of the joint angles at the start [rad] (ManiSkill: 0.02).
        quality: "fast" for policies, "high" (shadows, multisampling, the robot's full meshes) for videos.
        max_models: how many compiled scenes are kept.
        environment_state: whether the observation has the target's pose, "environment_state" (see
            `core.proprioception.TARGET`).
        reward: "dense" (what an episode has come to pays at every step), "cost" (what is missing costs at every step,
            so that success, which ends the episode, is the best that can happen) or "sparse" (1 for success); see
            `success.REWARDS`.
        purpose: what episodes are for, of `core.choices.PURPOSES`: those of one purpose start otherwise than those of
            another. Evaluation asks for "test".
        shift: how far episodes are from the training distribution, e.g. "camera-azimuth=3,object-mass=2"; see
            `envs.shifts`.
    """

    objects: str = "toys:train"
    task: Task = "grasp"
    clutter: int | str | None = None
    robot: RobotName = "panda"
    action_mode: ActionMode = "eef_delta"
    cameras: tuple[str | Camera, ...] = CAMERAS
    image_size: int | tuple[int, int] = 96
    depth: bool = False
    control_hz: float = 10.0
    physics_dt: float = 0.004
    lift_height: float | None = None
    hold_steps: int = 5
    settled_start: float | None = None
    centre: tuple[float, float] = (0.5, 0.0)
    start_noise: float = 0.02
    quality: Quality = "fast"
    max_models: int = 8
    environment_state: bool = False
    reward: Reward = "dense"
    shift: str = ""
    purpose: Purpose = PURPOSES[0]

    def __post_init__(self) -> None:
        if not isinstance(self.cameras, Sequence) or isinstance(self.cameras, str):
            example = f"({self.cameras!r},)" if isinstance(self.cameras, str) else "('front',)"
            raise ConfigError(f"cameras is {self.cameras!r}; it must be a list of names and Cameras, e.g. {example}")
        object.__setattr__(self, "cameras", tuple(map(as_camera, self.cameras)))
        size = image_size(self.image_size)
        object.__setattr__(self, "image_size", size[0] if size[0] == size[1] else size)
        check_fields(self)
        check_ranges(self, LIMITS)
        names = self.camera_names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"camera {twice[0]!r} is given twice; every camera needs a name of its own")
        if self.others[0] < 1 and self.task == "pick":  # `others` refuses what is no range
            raise ConfigError(f"clutter={self.clutter!r}, task 'pick': at least 1 other object must lie on the table")
        steps = 1.0 / (self.control_hz * self.physics_dt)
        if abs(steps - round(steps)) > 1e-6 or steps < 1:
            raise ConfigError(
                f"control_hz={self.control_hz} and physics_dt={self.physics_dt} give {steps:.3f} physics steps per "
                "action; it must be a whole number (e.g. 10 Hz with 0.004 s, 20 Hz with 0.002 s)"
            )
        Shifts.parse(self.shift)  # refuses what is not in the table

    @property
    def lift(self) -> float:
        """How far the object's lowest point must rise [m]: `lift_height`, or the robot's own."""
        return get_robot(self.robot).lift if self.lift_height is None else self.lift_height

    @property
    def spread(self) -> float:
        """Half side of the square of start positions [m]: `settled_start`, or the robot's own."""
        return get_robot(self.robot).spread if self.settled_start is None else self.settled_start

    @property
    def camera_names(self) -> tuple[str, ...]:
        """Names of the observed cameras, in order."""
        return tuple(camera.name if isinstance(camera, Camera) else camera for camera in self.cameras)

    @functools.cached_property
    def image_sizes(self) -> dict[str, tuple[int, int]]:
        """Camera name -> height and width of its images [pixels]."""
        own = {camera.name: camera.size for camera in self.cameras if isinstance(camera, Camera)}
        return {name: own.get(name) or image_size(self.image_size) for name in self.camera_names}

    @property
    def added_cameras(self) -> tuple[Camera, ...]:
        """The cameras that a scene does not have by itself."""
        return tuple(camera for camera in self.cameras if isinstance(camera, Camera) and not camera.built_in)

    @property
    def others(self) -> tuple[int, int]:
        """Least and largest number of other objects on the table."""
        clutter = TASKS[self.task] if self.clutter is None else self.clutter
        match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", str(clutter))
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (-1, -1)
        if isinstance(clutter, bool) or not 0 <= low <= high <= MAX_CLUTTER:
            raise ConfigError(
                f"clutter is {shown(clutter)}; give a number from 0 to {MAX_CLUTTER}, or a range such as '2-6'"
            )
        return low, high

    def draw_others(self, rng: np.random.Generator) -> int:
        """Returns how many other objects lie on the table in an episode, by its stream "others"."""
        low, high = self.others
        return int(rng.integers(low, high + 1))

    @property
    def substeps(self) -> int:
        """Physics steps per action."""
        return round(1.0 / (self.control_hz * self.physics_dt))
