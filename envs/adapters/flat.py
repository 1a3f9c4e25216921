"""Observations, spaces and info laid flat, as Stable-Baselines3 wants them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from toyshift.core.contract import MASK_SCALE, ActionContract
from toyshift.envs.cameras import FAR


def flat_observation(observation: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Returns {"pixels_<cam>": (..., H, W, 3) uint8, "masks_<cam>": (..., H, W, 1) uint8, "depth_<cam>": (..., H, W, 1)
    float32, "agent_pos": (..., S) float32}.

    No dots in the keys: MultiInputPolicy names torch modules after them, which refuse dots. Masks hold the contract's
    labels times MASK_SCALE: 0 background, 85 target, 170 other object, 255 robot.
    """
    flat: dict[str, NDArray[Any]] = {}
    flat |= {f"pixels_{camera}": image for camera, image in observation.get("pixels", {}).items()}
    for camera, mask in observation.get("masks", {}).items():
        flat[f"masks_{camera}"] = (mask * np.uint8(MASK_SCALE))[..., None]
    flat |= {f"depth_{camera}": depth[..., None] for camera, depth in observation.get("depth", {}).items()}
    return flat | {key: value for key, value in observation.items() if key not in ("pixels", "masks", "depth")}


def sb3_info(info: dict[str, Any]) -> dict[str, Any]:
    """Returns info with "episode" as "episode_index": Monitor and the algorithms look for return and length in
    "episode".
    """
    return {"episode_index" if key == "episode" else key: value for key, value in info.items()}


def flat_space(space: gym.Space[Any]) -> spaces.Dict:
    """Returns the space of `flat_observation`; a mask's bounds are 0 and 255, those of an image."""
    assert isinstance(space, spaces.Dict)
    flat: dict[str, gym.Space[Any]] = {}
    for key, part in space.spaces.items():
        if key == "pixels" and isinstance(part, spaces.Dict):
            flat |= {f"pixels_{camera}": image for camera, image in part.spaces.items()}
        elif key == "masks" and isinstance(part, spaces.Dict):
            shapes = {camera: (*(mask.shape or ()), 1) for camera, mask in part.spaces.items()}
            flat |= {f"masks_{camera}": spaces.Box(0, 255, shape, np.uint8) for camera, shape in shapes.items()}
        elif key == "depth" and isinstance(part, spaces.Dict):
            shapes = {camera: (*(depth.shape or ()), 1) for camera, depth in part.spaces.items()}
            flat |= {f"depth_{camera}": spaces.Box(0.0, FAR, shape, np.float32) for camera, shape in shapes.items()}
        else:
            flat[key] = part
    return spaces.Dict(flat)


def unit_space(contract: ActionContract) -> spaces.Box:
    """Returns the box [-1, 1] of a contract's actions."""
    return spaces.Box(-1.0, 1.0, (contract.size,), np.float32)
