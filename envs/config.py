"""The configuration of a grasp environment: one frozen dataclass, contradictions rejected when it is made."""

from __future__ import annotations

import dataclasses

from toyshift.core.contract import ACTION_MODES
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.envs.shifts import Shifts

CAMERAS = ("front", "wrist")
QUALITIES = ("fast", "high")


@dataclasses.dataclass(frozen=True)
class EnvConfig:
    """How the environment looks, moves and judges.

    Attributes:
        objects: the object set, e.g. "toys:train" or "ycb:DIR?graspable".
        robot: name in `toyshift.envs.robots.ROBOTS`.
        action_mode: "eef_delta" (7: dx dy dz [m], axis-angle [rad], gripper) or "joint_pos" (8: joint angles [rad], gripper).
        cameras: which cameras are observed, of "front" and "wrist"; empty for none.
        image_size: height and width of the images [pixels].
        control_hz: actions per second [Hz]; the control period must be a whole number of physics steps.
        physics_dt: physics step [s].
        lift_height: how far the object's lowest point must rise above where it started [m] (LEGO: 0.3; LEGO's relaxed: 0.15).
        hold_steps: for how many control steps in a row it must stay there.
        settled_start: half side of the square of start positions around `centre` [m] (ManiSkill's PickSingleYCB: 0.1).
        centre: middle of the start positions on the table, robot base frame [m].
        start_noise: standard deviation of the joint angles at the start [rad] (ManiSkill: 0.02).
        quality: "fast" for policies, "high" (shadows, multisampling) for videos.
        max_models: how many compiled scenes are kept.
        shift: how far episodes are from the training distribution, e.g. "camera-azimuth=3,object-mass=2"; see `envs.shifts`.
    """

    objects: str = "toys:train"
    robot: str = "panda"
    action_mode: str = "eef_delta"
    cameras: tuple[str, ...] = CAMERAS
    image_size: int = 96
    control_hz: float = 10.0
    physics_dt: float = 0.004
    lift_height: float = 0.3
    hold_steps: int = 5
    settled_start: float = 0.1
    centre: tuple[float, float] = (0.5, 0.0)
    start_noise: float = 0.02
    quality: str = "fast"
    max_models: int = 8
    shift: str = ""

    def __post_init__(self) -> None:
        if self.action_mode not in ACTION_MODES:
            raise UnknownNameError("action mode", self.action_mode, ACTION_MODES)
        for camera in self.cameras:
            if camera not in CAMERAS:
                raise UnknownNameError("camera", camera, CAMERAS)
        if self.quality not in QUALITIES:
            raise UnknownNameError("quality", self.quality, QUALITIES)
        if not 16 <= self.image_size <= 1024:
            raise ConfigError(f"image_size is {self.image_size}; it must be between 16 and 1024 pixels")
        steps = 1.0 / (self.control_hz * self.physics_dt)
        if abs(steps - round(steps)) > 1e-6 or steps < 1:
            raise ConfigError(
                f"control_hz={self.control_hz} and physics_dt={self.physics_dt} give {steps:.3f} physics steps per action; "
                "it must be a whole number (e.g. 10 Hz with 0.004 s, 20 Hz with 0.002 s)"
            )
        if self.lift_height <= 0 or self.hold_steps < 1 or self.max_models < 1:
            raise ConfigError("lift_height must be positive, hold_steps and max_models at least 1")
        Shifts.parse(self.shift)  # refuses what is not in the table

    @property
    def substeps(self) -> int:
        """Physics steps per action."""
        return round(1.0 / (self.control_hz * self.physics_dt))
