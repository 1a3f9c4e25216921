"""Our policies for clients that speak as DROID's robots do: the presets `droid` of keys and actions, the other way.

Such a client sends two images, joint angles and how far the gripper is closed, and takes (10, 8) joint velocities at 15
Hz, of which it executes 8 (openpi's examples/droid). The rest of our state follows from the joint angles and from what
the robot was told before.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Float32
from toyshift.core.contract import IMAGE_PREFIX, STATE, TASK
from toyshift.core.errors import ContractError, shown
from toyshift.policies.remote.actions import ActionMeaning
from toyshift.policies.remote.keys import PRESETS, without_pad
from toyshift.policies.remote.session import PROTOCOL, MaskFinder, PolicySession

ROWS = 10  # of an answer
MAX_BYTES = 2**20  # of a message: more than three times what two images of 224 x 224 pixels need
JOINT_KEY, GRIPPER_KEY = "observation/joint_position", "observation/gripper_position"
CAMERAS: dict[str, str] = PRESETS["droid"]["images"]  # a client's key -> our camera
PROMPT: str = PRESETS["droid"]["prompt"]
MEANING = ActionMeaning.read("droid")
HAND = ("eef.x", "eef.y", "eef.z", *(f"eef.r{row}{column}" for column in (1, 2) for row in (1, 2, 3)))
LAG = ("lag.x", "lag.y", "lag.z")
OPENING, COMMAND = "gripper.opening", "command.gripper"


@dataclasses.dataclass(frozen=True)
class DroidArm:
    """What must be known of an arm to tell the rest of a state from its joint angles.

    Attributes:
        forward: joint angles (n,) [rad] to the hand's position (3,) [m] and rotation (3, 3), base frame.
        low, high: joint limits (n,) [rad].
        gripper_speed: how fast the commanded opening may change [share of the opening per second].
    """

    forward: Callable[[Array], tuple[Array, Array]]
    low: Array
    high: Array
    gripper_speed: float


def check_droid(policy: Any, finds_masks: bool) -> None:
    """Refuses a policy that a client of DROID cannot be served with.

    Args:
        policy: an `ActingPolicy`.
        finds_masks: whether the server finds masks; such clients send none.

    Raises:
        ContractError: names what does not fit.
    """
    action, seen = policy.action_contract, policy.observation_contract
    if action.mode != MEANING.mode or abs(action.control_hz - MEANING.control_hz) > 1e-6:
        acts = f"acts in {action.mode} at {action.control_hz:g} Hz"
        wanted = f"DROID's clients execute {MEANING.mode} at {MEANING.control_hz:g} Hz; collect and train for that"
        raise ContractError(f"--dialect droid: policy {policy.name} {acts}, {wanted}")
    if len(action.joint_names) != 7:
        raise ContractError(f"--dialect droid: policy {policy.name} moves {len(action.joint_names)} joints, DROID's 7")
    faults = [f"the camera {camera}" for camera in policy.cameras if camera not in CAMERAS.values()]
    known = (*action.joint_names, OPENING, *HAND, *LAG, COMMAND)
    faults += [f"{name} in its state" for name in seen.state_seen(policy.config.privileged) if name not in known]
    faults += ["masks (--masks finds them)"] if policy.needs_masks and not finds_masks else []
    if faults:
        raise ContractError(f"--dialect droid: policy {policy.name} needs {', '.join(faults)}, which no client sends")
    if policy.config.chunk < MEANING.execute:
        rows = f"{policy.config.chunk} actions, DROID's clients execute {MEANING.execute}"
        raise ContractError(f"--dialect droid: policy {policy.name} predicts {rows}: train with a larger --chunk")
    if policy.config.steps_seen > 1 and policy.execute != MEANING.execute:
        told = f"sees observations {policy.execute} actions apart, DROID's clients send one every {MEANING.execute}"
        raise ContractError(f"--dialect droid: policy {policy.name} {told}: train with --execute {MEANING.execute}")


class DroidSession:
    """One client of DROID's.

    Args:
        policy: an `ActingPolicy` that `check_droid` lets through.
        arm: its arm.
        masks: finds masks in the images.
    """

    def __init__(self, policy: Any, arm: DroidArm, masks: MaskFinder | None = None) -> None:
        mine = copy.copy(policy)
        mine.execute = MEANING.execute
        self._session, self._arm = PolicySession(mine, masks), arm
        self._sizes, self._cameras = dict(policy.observation_contract.cameras), policy.cameras
        self._names, self._joints = policy.observation_contract.state_names, policy.action_contract.joint_names
        self._low, self._high = (np.asarray(side) for side in (arm.low, arm.high))
        self.reset()

    def reset(self) -> None:
        self._session.reset()
        self._told: tuple[Array, float] | None = None  # joint angles [rad] and opening, as the robot was told last

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        message: dict[str, Any] = {TASK: observation.get(PROMPT, "")}
        for key, camera in CAMERAS.items():
            if camera in self._cameras:
                message[IMAGE_PREFIX + camera] = without_pad(_image(observation, key), self._sizes[camera])
        joints = _numbers(observation, JOINT_KEY, len(self._joints))
        opening = 1.0 - float(_numbers(observation, GRIPPER_KEY, 1)[0])
        command, told = self._told or (joints, float(opening >= 0.5))
        message[STATE] = self._state(joints, opening, command, told)
        chunk = np.asarray(self._session.infer(message)["actions"][:ROWS], np.float64)
        velocity = np.clip(chunk[:, :-1] / MEANING.scale[0], -1.0, 1.0)
        closed = MEANING.gripper_closed + chunk[:, -1:] * (MEANING.gripper_open - MEANING.gripper_closed)
        rows = np.concatenate([velocity, closed], axis=1).astype(np.float32)  # (<= ROWS, 8)
        still = np.append(np.zeros(len(self._joints), np.float32), rows[-1, -1])  # never executed
        self._told = self._after(rows[: MEANING.execute], command, told)
        return {"actions": np.concatenate([rows, np.tile(still, (ROWS - len(rows), 1))]).astype(np.float32)}

    def _state(self, joints: Array, opening: float, command: Array, told: float) -> Float32:
        position, rotation = self._arm.forward(joints)
        ahead, _ = self._arm.forward(command)
        values = dict(zip(self._joints, joints, strict=True)) | {OPENING: opening, COMMAND: told}
        values |= dict(zip(HAND, (*position, *rotation[:, :2].T.ravel()), strict=True))
        values |= dict(zip(LAG, ahead - position, strict=True))
        return np.asarray([values[name] for name in self._names], np.float32)

    def _after(self, rows: Float32, command: Array, told: float) -> tuple[Array, float]:
        """Returns what the robot has been told last when the client has executed these rows."""
        reach = self._arm.gripper_speed / MEANING.control_hz
        for action in MEANING.physical(rows):
            command = np.clip(command + action[:-1], self._low, self._high)
            told = min(max(float(action[-1]), told - reach), told + reach)
        return command, told


def droid_metadata(policy: Any, fingerprint: str) -> dict[str, Any]:
    """Returns what the server says in this dialect: which policy it is. What keys and actions mean, clients know."""
    said = {"protocol": PROTOCOL, "name": policy.name, "pooling": str(getattr(policy.config, "pooling_label", ""))}
    return {"toyshift": said | {"fingerprint": fingerprint, "dialect": "droid", "episode_start": True}}


def _part(observation: Mapping[str, Any], key: str) -> NDArray[Any]:
    if key not in observation:
        there = ", ".join(map(str, observation)) or "nothing"
        raise ContractError(f"DROID's observations have {key!r}; this one has: {there}")
    try:
        return np.asarray(observation[key])
    except ValueError as error:  # lists of different lengths
        raise ContractError(f"{key} must be an array, got {shown(observation[key])}") from error


def _image(observation: Mapping[str, Any], key: str) -> NDArray[np.uint8]:
    image = _part(observation, key)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.shape[0] != image.shape[1]:
        raise ContractError(f"{key} is {image.shape} {image.dtype}; it must be a square image (H, H, 3) uint8")
    if not 8 <= len(image) <= 1024:
        raise ContractError(f"{key} has a side of {len(image)} pixels; it must be from 8 to 1024")
    return image


def _numbers(observation: Mapping[str, Any], key: str, count: int) -> Array:
    values = np.atleast_1d(_part(observation, key))
    if values.shape != (count,) or values.dtype.kind not in "iuf":
        raise ContractError(f"{key} is {values.shape} {values.dtype}; it must be ({count},) numbers")
    numbers: Array = values.astype(np.float64)
    if not (np.abs(numbers) < 100.0).all():  # NaN too
        raise ContractError(f"{key} must be finite angles or shares, got {shown(numbers.tolist())}")
    return numbers
