"""How our observation is called and shaped for somebody else's policy: presets, or a JSON file of `Keys`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import PIL.Image
from scipy.spatial.transform import Rotation

from toyshift.core import vla_eval_terms
from toyshift.core.arrays import Float32, Image
from toyshift.core.contract import (
    ENVIRONMENT_STATE,
    IMAGE_PREFIX,
    MASK_PREFIX,
    STATE,
    TASK,
    ActionContract,
    ObservationContract,
)
from toyshift.core.errors import ConfigError, ContractError, UnknownNameError
from toyshift.policies.remote.options import check_fields, preset_or_file

ALL = "*"  # every camera, every entry of the state
LARGEST = 4096  # side of an image [pixels]
JOINTS = "joints"  # the arm's joints in order
ROTATION_VECTOR = ("eef.rotvec.x", "eef.rotvec.y", "eef.rotvec.z")  # the hand's rotation, axis-angle, base frame [rad]

_LEROBOT = {"images": {IMAGE_PREFIX + ALL: ALL}, "state": {STATE: [ALL]}, "prompt": TASK}
PRESETS: dict[str, dict[str, Any]] = {
    "lerobot": _LEROBOT,
    "toyshift": _LEROBOT | {"masks": {MASK_PREFIX + ALL: ALL}, "environment_state": ENVIRONMENT_STATE},
    "libero": {
        "images": {"observation/image": "front", "observation/wrist_image": "wrist"},
        # hand position and axis-angle, then the joints of the two fingers of a Panda's hand [m]
        "state": {"observation/state": [
            "eef.x", "eef.y", "eef.z", *ROTATION_VECTOR,
            ["gripper.opening", 0.04, 0.0], ["gripper.opening", -0.04, 0.0],
        ]},
        # robosuite until 1.4 tells the orientation of the body "right_hand", a quarter turn from our site about the
        # axis of approach
        "hand_turn": math.pi / 2, "prompt": "prompt", "resize": 224,
    },
    # vla-eval's habit, with our masks beside it; a dot makes a map (see `vla_eval_line`)
    "vla-eval": {
        "images": {f"{vla_eval_terms.IMAGES}.{ALL}": ALL}, "masks": {f"{vla_eval_terms.MASKS}.{ALL}": ALL},
        "state": {vla_eval_terms.STATE: [ALL]}, "environment_state": vla_eval_terms.ENVIRONMENT_STATE,
        "prompt": vla_eval_terms.PROMPT,
    },
    "droid": {
        "images": {"observation/exterior_image_1_left": "front", "observation/wrist_image_left": "wrist"},
        "state": {
            "observation/joint_position": [JOINTS],
            "observation/gripper_position": [["gripper.opening", -1.0, 1.0]],  # 1 is closed
        },
        "prompt": "prompt", "resize": 224,
    },
}  # fmt: skip
# what vla-eval's own LIBERO benchmark sends to its model servers; actions are the preset "libero"
PRESETS["vla-eval-libero"] = PRESETS["libero"] | {
    "images": {"images.agentview": "front", "images.wrist": "wrist"},
    "state": {"states": PRESETS["libero"]["state"]["observation/state"]},
    "prompt": vla_eval_terms.PROMPT, "resize": 256,
}  # fmt: skip


def resize_with_pad(image: Image, side: int) -> Image:
    """Returns an image (H, W, 3) or mask (H, W) as a square of that side, its shape kept and the rest black, as openpi.

    Images are interpolated bilinearly; labels take the nearest.
    """
    height, width = image.shape[:2]
    if height == width == side:
        return image
    ratio = max(height, width) / side
    size = (max(1, int(width / ratio)), max(1, int(height / ratio)))
    how = PIL.Image.Resampling.BILINEAR if image.ndim == 3 else PIL.Image.Resampling.NEAREST
    small = PIL.Image.fromarray(image).resize(size, how)
    square = np.zeros((side, side, *image.shape[2:]), np.uint8)
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = np.asarray(small)
    return square


def without_pad(square: Image, size: tuple[int, int]) -> Image:
    """Returns a square image (S, S, 3) as one of height and width `size`, without what `resize_with_pad` put around."""
    height, width = size
    if square.shape[:2] == size:
        return square
    side = len(square)
    ratio = max(height, width) / side
    inner_width, inner_height = max(1, int(width / ratio)), max(1, int(height / ratio))
    top, left = (side - inner_height) // 2, (side - inner_width) // 2
    inner = np.ascontiguousarray(square[top : top + inner_height, left : left + inner_width])
    return np.asarray(PIL.Image.fromarray(inner).resize((width, height), PIL.Image.Resampling.BILINEAR))


@dataclasses.dataclass(frozen=True)
class Keys:
    """Which part of our observation goes under which key.

    Attributes:
        images: the policy's key -> our camera; a key that ends in "*" with camera "*" stands for every camera.
        state: the policy's key -> entries of our state by name, or [name, scale, offset] for scale * entry + offset;
            "*" is all of them, "joints" the arm's joints, "eef.rotvec.x|y|z" the hand's rotation as axis-angle [rad].
        masks: like images.
        hand_turn: turn of the hand's frame about its own z axis before "eef.rotvec" is taken [rad].
        environment_state: key of the target's pose, where the environment tells it; "" sends none.
        prompt: key of the instruction; "" sends none.
        resize: side of the square that images are resized to with padding [pixels]; 0 sends them as they are rendered.
    """

    images: Mapping[str, str]
    state: Mapping[str, list[Any]]
    masks: Mapping[str, str] = dataclasses.field(default_factory=dict)
    hand_turn: float = 0.0
    environment_state: str = ""
    prompt: str = "prompt"
    resize: int = 0

    def __post_init__(self) -> None:
        if not all(isinstance(part, Mapping) for part in (self.images, self.state, self.masks)):
            raise ConfigError("keys: images, state and masks are objects from the policy's key to ours")
        for key, camera in (*self.images.items(), *self.masks.items()):
            if not isinstance(camera, str):
                raise ConfigError(f"keys: {key!r} is {camera!r}; it must be the name of one of our cameras, or {ALL!r}")
        if isinstance(self.resize, bool) or not isinstance(self.resize, int) or not 0 <= self.resize <= LARGEST:
            raise ConfigError(f"keys: resize is {self.resize!r}; it must be a side in pixels up to {LARGEST}, or 0")
        turn = self.hand_turn
        if isinstance(turn, bool) or not isinstance(turn, int | float) or not math.isfinite(turn):
            raise ConfigError(f"keys: hand_turn is {self.hand_turn!r}; it must be an angle in radians")
        for key, entries in self.state.items():
            if not isinstance(entries, list):
                wanted = "it must be a list of names or [name, scale, offset]"
                raise ConfigError(f"keys: state {key!r} is {entries!r}; {wanted}")

    @classmethod
    def read(cls, text: str) -> Keys:
        """Returns the keys of a preset or JSON file."""
        return cls.of(preset_or_file("keys", text, PRESETS))

    @classmethod
    def of(cls, fields: Any) -> Keys:
        """Returns the keys that these fields state.

        Raises:
            ConfigError: they are no object, or hold what is no field of keys.
        """
        if not isinstance(fields, Mapping):
            raise ConfigError(f"keys: {fields!r} is no object")
        check_fields("keys", dict(fields), {f.name for f in dataclasses.fields(cls)})
        return cls(**{"images": {}, "state": {}} | dict(fields))

    @property
    def cameras(self) -> tuple[str, ...]:
        """Cameras that are named; empty where all are meant."""
        named = tuple(dict.fromkeys((*self.images.values(), *self.masks.values())))
        return () if ALL in named else named


class Translator:
    """Turns our observations into those of a policy.

    Args:
        keys: what goes where.
        actions: the environment's action contract; it names the joints.
        observations: its observation contract.
        policy: for errors.

    Raises:
        ContractError: a camera or an entry of the state that the environment does not have.
    """

    def __init__(self, keys: Keys, actions: ActionContract, observations: ObservationContract, policy: str) -> None:
        self._keys, self._names = keys, observations.state_names
        self._joints = actions.joint_names
        self._images = self._expand(keys.images, observations, policy)
        self._masks = self._expand(keys.masks, observations, policy)
        self._state = {
            key: [term for entry in entries for term in self._terms(entry, key, policy)]
            for key, entries in keys.state.items()
        }
        self._turns = any(name in ROTATION_VECTOR for terms in self._state.values() for name, _, _ in terms)

    @staticmethod
    def _expand(chosen: Mapping[str, str], observations: ObservationContract, policy: str) -> dict[str, str]:
        out: dict[str, str] = {}
        for key, camera in chosen.items():
            if camera == ALL:
                out.update({key.removesuffix(ALL) + name: name for name in observations.camera_names})
            elif camera not in observations.camera_names:
                there = ", ".join(observations.camera_names) or "none"
                raise ContractError(f"keys of {policy}: {key!r} wants camera {camera!r}; the environment has: {there}")
            else:
                out[key] = camera
        return out

    def _terms(self, entry: Any, key: str, policy: str) -> list[tuple[str, float, float]]:
        """Returns (name, scale, offset) for everything that one entry of the keys stands for."""
        three = [entry, 1.0, 0.0] if isinstance(entry, str) else entry
        name, scale, offset = three if isinstance(three, list) and len(three) == 3 else (None, 0.0, 0.0)
        if not isinstance(name, str) or not all(isinstance(x, int | float) for x in (scale, offset)):
            wanted = "it must be a name or [name, scale, offset]"
            raise ConfigError(f"keys of {policy}: {key!r} has the entry {entry!r}; {wanted}")
        names = self._names if name == ALL else self._joints if name == JOINTS else (name,)
        known = (*self._names, *(ROTATION_VECTOR if "eef.r11" in self._names else ()))
        for one in names:
            if one not in known:
                unknown = UnknownNameError("entry of the state", one, (*known, ALL, JOINTS))
                raise ContractError(f"keys of {policy}: {unknown}")
        return [(one, float(scale), float(offset)) for one in names]

    def values(self, state: Float32) -> dict[str, float]:
        """Returns every entry of the state by name, the derived ones among them where they are asked for."""
        values = dict(zip(self._names, state.tolist(), strict=True))
        if self._turns:
            first, second = np.asarray([[values[f"eef.r{row}{column}"] for row in (1, 2, 3)] for column in (1, 2)])
            rotation = Rotation.from_matrix(np.stack([first, second, np.cross(first, second)], axis=1))
            vector = (rotation * Rotation.from_rotvec([0.0, 0.0, self._keys.hand_turn])).as_rotvec()
            angle = np.linalg.norm(vector)
            if angle > 0.75 * np.pi and vector[np.argmax(np.abs(vector))] < 0:
                # a hand that points down is turned by about half a turn, which has two signs: no jumps between them
                vector *= 1 - 2 * np.pi / angle
            values |= dict(zip(ROTATION_VECTOR, vector.tolist(), strict=True))
        return values

    def joints(self, state: Float32) -> Float32:
        """Returns the measured angles of the arm's joints [rad]."""
        values = dict(zip(self._names, state.tolist(), strict=True))
        return np.asarray([values[name] for name in self._joints], dtype=np.float32)

    def __call__(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the observation under the policy's keys: uint8 images (H, W, 3), float32 states, the instruction."""
        side = self._keys.resize
        out: dict[str, Any] = {}
        for kind, chosen in (("pixels", self._images), ("masks", self._masks)):
            for key, camera in chosen.items():
                view = observation[kind][camera]
                out[key] = resize_with_pad(view, side) if side else view
        values = self.values(observation["agent_pos"])
        for key, terms in self._state.items():
            entries = [scale * values[name] + offset for name, scale, offset in terms]
            out[key] = np.asarray(entries, dtype=np.float32)
        if self._keys.environment_state and "environment_state" in observation:
            out[self._keys.environment_state] = observation["environment_state"]
        return out | ({self._keys.prompt: str(observation.get(TASK, ""))} if self._keys.prompt else {})
