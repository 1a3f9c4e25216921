"""The batch contract and the action contract: the names, shapes, units and frames that every room shares.

Batch (LeRobot's key names; B batch, T history, K action chunk, S state size, A action size):

    observation.images.<cam>        uint8   (B, T, H, W, 3)   sRGB; cam in {front, wrist, side, film, ...}
    masks.<cam>                     uint8   (B, T, H, W)      0 background, 1 target, 2 other object, 3 robot
    observation.state               float32 (B, T, S)         proprioception, names in the contract
    observation.environment_state   float32 (B, T, E)         privileged: the target's pose, where a policy may see it
    action                          float32 (B, K, A)         semantics in the action contract
    action_is_pad                   bool    (B, K)            True past the end of the episode
    task                            list[str]                 the instruction

    With T > 1, at steps of `stride` frames, the newest last:
    action.history                  float32 (B, (T - 1) * stride, A)   actions since the oldest observation
    history_is_pad                  bool    (B, T)            True before the episode's start: its first frame again

    For training, drawn by (seed, step) and applied where the policy runs:
    augment.gain.<cam>              float32 (B, 3)            factor of each colour
    augment.bias.<cam>              float32 (B)               added to standardised pixels
    augment.state                   float32 (B, S)            added to the state [its standard deviations]
    augment.keep                    bool    (B, cameras)      False hides a view
    augment.noise, augment.time     float32 (B, T, K, A), (B, T)   of heads that learn to take noise away; T steps seen

    Of datasets, beside what a policy may eat:
    dataset_name, episode_index, frame_index   list[str], int64 (B), int64 (B)   where a window was cut out
    camera.<cam>.extrinsics         float32 (4, 4)            pose of the camera in the base frame
    camera.<cam>.intrinsics         float32 (3, 3)            [pixels]
    factor.<name>                   float32 (1)               what was asked of this episode's shift or sub-dataset
    sim.state                       float64 (N)               mjSTATE_INTEGRATION; whose, the episode's meta data say

Only what a policy may eat starts with `observation.` or `action`.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.choices import ACTION_MODES
from toyshift.core.errors import ContractError, UnknownNameError

IMAGE_PREFIX = "observation.images."
MASK_PREFIX = "masks."
STATE = "observation.state"
ENVIRONMENT_STATE = "observation.environment_state"
ACTION = "action"
ACTION_IS_PAD = "action_is_pad"
ACTION_HISTORY = "action.history"  # actions before the newest observation of a window
HISTORY_IS_PAD = "history_is_pad"  # observations before the start of the episode
TASK = "task"
SIM_STATE = "sim.state"

MASK_BACKGROUND, MASK_TARGET, MASK_OTHER, MASK_ROBOT = 0, 1, 2, 3
MASK_SCALE = 85  # Stable-Baselines3 divides images by 255: labels 0..3 would all be black, 0, 85, 170, 255 are not


def image_key(camera: str) -> str:
    return IMAGE_PREFIX + camera


def mask_key(camera: str) -> str:
    return MASK_PREFIX + camera


@dataclasses.dataclass(frozen=True)
class ActionContract:
    """What an action means; it travels with every dataset, checkpoint and export.

    Stored and executed actions are physical (m, rad, gripper 0..1). `low` and `high` bound them, and map to [-1, 1]
    only at the borders that need it (Stable-Baselines3, robomimic).

    Attributes:
        mode: "joint_pos" (absolute joint angles), "joint_delta" (added to the commanded ones), "eef_delta" (dx, dy, dz,
            axis-angle; added to the commanded pose) or "eef_pose" (absolute position and axis-angle).
        names: one name per action entry, in order.
        units: one unit per action entry ("m", "rad", "1").
        low: lower bounds, physical units.
        high: upper bounds, physical units.
        control_hz: actions per second [Hz].
        frame: frame in which translations and rotations are expressed.
        rotation: representation of rotations.
        gripper: meaning of the gripper entry.
        joint_names: the robot's arm joints in order.
    """

    mode: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    control_hz: float
    joint_names: tuple[str, ...]
    frame: str = "robot_base"
    rotation: str = "axis_angle"
    gripper: str = "absolute, 1 = open, 0 = closed"

    def __post_init__(self) -> None:
        if self.mode not in ACTION_MODES:
            raise UnknownNameError("action mode", self.mode, ACTION_MODES)
        sizes = {len(self.names), len(self.units), len(self.low), len(self.high)}
        if len(sizes) != 1:
            raise ContractError(
                f"action contract: names, units, low and high have lengths {sorted(sizes)}; they must agree"
            )

    @property
    def size(self) -> int:
        """Number of entries of one action."""
        return len(self.names)

    def to_unit(self, action: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Maps physical actions (..., A) to [-1, 1]."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        return np.asarray(2.0 * (action - low) / (high - low) - 1.0, dtype=np.float32)

    def from_unit(self, action: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Maps [-1, 1] actions (..., A) to physical units."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        return np.asarray(low + 0.5 * (np.asarray(action) + 1.0) * (high - low), dtype=np.float32)

    def to_json(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ActionContract:
        known = {f.name for f in dataclasses.fields(cls)}
        try:
            fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in value.items() if k in known}
            return cls(**fields)
        except (TypeError, AttributeError) as error:
            raise ContractError(f"not an action contract: {error}") from error


def require_same_contract(a: ActionContract, b: ActionContract, name_a: str, name_b: str) -> None:
    """Raises ContractError naming every field in which two action contracts differ; never reinterprets."""
    ours, theirs = a.to_json(), b.to_json()
    fields = [k for k in ours if ours[k] != theirs[k]]
    # Another mode has other names, units and bounds: their values would only hide what matters.
    shown = ["mode"] if "mode" in fields else fields
    different = [f"{k}: {ours[k]!r} in {name_a}, {theirs[k]!r} in {name_b}" for k in shown]
    if len(fields) > len(shown):
        different.append(f"and so {', '.join(k for k in fields if k not in shown)}")
    if different:
        raise _differ("action", name_a, name_b, different)


def _differ(kind: str, name_a: str, name_b: str, different: list[str]) -> ContractError:
    told = f"the {kind} contracts of {name_a} and {name_b} differ ({'; '.join(different)})"
    return ContractError(f"{told}. Collect or train again under one contract")


@dataclasses.dataclass(frozen=True)
class ObservationContract:
    """What a policy sees: cameras with their image sizes, and the names of the state entries.

    Attributes:
        cameras: camera name -> (height, width) [pixels], as a tuple of pairs in order.
        state_names: one name per entry of `observation.state`; units are in the names' documentation (m, rad).
        environment_state_names: one name per entry of the privileged `observation.environment_state`; empty where there
            is none.
    """

    cameras: tuple[tuple[str, tuple[int, int]], ...]
    state_names: tuple[str, ...]
    environment_state_names: tuple[str, ...] = ()

    @property
    def camera_names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.cameras)

    def state_seen(self, privileged: bool) -> tuple[str, ...]:
        """Returns the names of the state entries that a policy sees, those of the privileged state last, if it does.

        Raises:
            ContractError: it does, and there are none.
        """
        if privileged and not self.environment_state_names:
            raise ContractError(
                "the policy sees the target's pose, but the observations have no environment_state; "
                "make the environment with environment_state=True"
            )
        return (*self.state_names, *(self.environment_state_names if privileged else ()))

    def to_json(self) -> dict[str, Any]:
        names = {"state_names": self.state_names, "environment_state_names": self.environment_state_names}
        listed = {key: list(value) for key, value in names.items() if value or key == "state_names"}
        return {"cameras": {name: list(size) for name, size in self.cameras}} | listed

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> ObservationContract:
        try:
            cameras = tuple((name, (int(size[0]), int(size[1]))) for name, size in value["cameras"].items())
            return cls(cameras, tuple(value["state_names"]), tuple(value.get("environment_state_names", ())))
        except (KeyError, TypeError, AttributeError) as error:
            raise ContractError(f"not an observation contract: {error}") from error


def require_same_observations(a: ObservationContract, b: ObservationContract, name_a: str, name_b: str) -> None:
    """Raises ContractError naming every camera, image size and state entry in which two contracts differ."""
    if a == b:
        return
    ours, theirs = dict(a.cameras), dict(b.cameras)

    def size(cameras: dict[str, tuple[int, int]], camera: str) -> str:
        return f"{cameras[camera][0]} x {cameras[camera][1]} pixels" if camera in cameras else "absent"

    cameras = [c for c in dict.fromkeys((*ours, *theirs)) if ours.get(c) != theirs.get(c)]
    different = [f"camera {c}: {size(ours, c)} in {name_a}, {size(theirs, c)} in {name_b}" for c in cameras]
    for mine, other, name in ((a, b, name_a), (b, a, name_b)):
        entries = (*other.state_names, *other.environment_state_names)
        if extra := [entry for entry in (*mine.state_names, *mine.environment_state_names) if entry not in entries]:
            different.append(f"state entries only in {name}: {', '.join(extra)}")
    raise _differ("observation", name_a, name_b, different or ["the order of cameras or state entries"])


def environment_options(actions: ActionContract, observations: ObservationContract) -> dict[str, Any]:
    """Returns the options of an environment that acts and shows as a policy's contracts say.

    What a contract cannot say is not among them: the pose of a camera of its own, the robot.
    """
    sides = {side for _, size in observations.cameras for side in size}
    chosen: dict[str, Any] = {"action_mode": actions.mode, "cameras": observations.camera_names}
    if len(sides) == 1:
        chosen["image_size"] = next(iter(sides))
    else:  # a camera with a pose of its own must be given: a policy does not know where it stood
        chosen["cameras"] = tuple({"name": name, "size": list(size)} for name, size in observations.cameras)
    return chosen | ({"environment_state": True} if observations.environment_state_names else {})
