"""Our policies for clients that speak as DROID's robots do: the presets `droid` of keys and actions, the other way.

Such a client sends two images, joint angles and how far the gripper is closed, and takes (10, 8) joint velocities at 15
Hz, of which it executes 8 (openpi's examples/droid); chunks of other rates are sampled again along their path. The rest
of our state follows from the joint angles and from what the robot was told before.
"""

from __future__ import annotations

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
    if action.mode != MEANING.mode:
        wanted = f"DROID's clients execute {MEANING.mode}: collect with --action-mode {MEANING.mode}, and train"
        raise ContractError(f"--dialect droid: policy {policy.name} acts in {action.mode}, {wanted}")
    if len(action.joint_names) != 7:
        raise ContractError(f"--dialect droid: policy {policy.name} moves {len(action.joint_names)} joints, DROID's 7")
    faults = [f"the camera {camera}" for camera in policy.cameras if camera not in CAMERAS.values()]
    known = (*action.joint_names, OPENING, *HAND, *LAG, COMMAND)
    faults += [f"{name} in its state" for name in seen.state_seen(policy.config.privileged) if name not in known]
    faults += ["masks (--masks finds them)"] if policy.needs_masks and not finds_masks else []
    if faults:
        raise ContractError(f"--dialect droid: policy {policy.name} needs {', '.join(faults)}, which no client sends")
    ahead, needed = policy.config.chunk / action.control_hz, MEANING.execute / MEANING.control_hz  # [s]
    if ahead < needed - 1e-6:
        told = f"predicts {ahead:.2g} s, DROID's clients execute {needed:.2g} s before they ask again"
        raise ContractError(f"--dialect droid: policy {policy.name} {told}: train with a larger --chunk")
    apart = policy.execute / action.control_hz  # [s]
    if (policy.config.steps_seen > 1 or policy.config.ensemble) and abs(apart - needed) > 1e-6:
        told = f"remembers observations {apart:.2g} s apart, DROID's clients send one every {needed:.2g} s"
        raise ContractError(f"--dialect droid: policy {policy.name} {told}: train without --history and --ensemble")


class DroidSession:
    """One client of DROID's.

    Args:
        policy: an `ActingPolicy` that `check_droid` lets through.
        arm: its arm.
        masks: finds masks in the images.
    """

    def __init__(self, policy: Any, arm: DroidArm, masks: MaskFinder | None = None) -> None:
        self._session, self._arm, self._hz = PolicySession(policy, masks), arm, policy.action_contract.control_hz
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
        chunk = at_rate(np.asarray(self._session.infer(message)["actions"], np.float64), self._hz)
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


def at_rate(chunk: Array, hz: float) -> Array:
    """Returns the rows (<= ROWS, A) at DROID's rate of a chunk (K, A) of deltas at another, along the same path.

    The gripper's entry, the last, is what holds at the beginning of a row.
    """
    count = min(ROWS, int(len(chunk) / hz * MEANING.control_hz + 1e-6))
    at = np.arange(count + 1) * hz / MEANING.control_hz  # when rows begin and end, in the chunk's steps
    path = np.concatenate([np.zeros((1, chunk.shape[1])), np.cumsum(chunk, axis=0)])
    steps = np.arange(len(path))
    rows = np.stack([np.diff(np.interp(at, steps, column)) for column in path[:, :-1].T], axis=1)
    gripper = chunk[np.minimum((at[:-1] + 1e-6).astype(int), len(chunk) - 1), -1:]
    return np.concatenate([rows, gripper], axis=1)


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
