"""Small datasets of a hand, whose episodes note what repairs read of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ACTION, STATE, ActionContract, ObservationContract, image_key, mask_key
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.lerobot import finalize

SIZE = 32
COLUMNS = tuple(f"eef.r{row}{column}" for column in (1, 2) for row in (1, 2, 3))
NAMES = ("eef.x", "eef.y", "eef.z", *COLUMNS, "gripper.opening")
CONTRACT = ActionContract(
    mode="eef_delta", names=("dx", "dy", "gripper"), units=("m", "m", "1"), low=(-1.0, -1.0, 0.0),
    high=(1.0, 1.0, 1.0), control_hz=10.0, joint_names=("j1",),
)  # fmt: skip
DOWN = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])


def write_demos(
    folder: Path, episodes: int = 8, seed: int = 0, without: tuple[str, ...] = (), rho: float = 0.0
) -> Path:
    """Writes episodes of 8 frames, of a target that lies somewhere and is drawn where it lies, on one of two tables.

    Args:
        folder: where to.
        episodes: their number.
        seed: of the places, tables and pixels.
        without: meta data that are not noted.
        rho: share of episodes whose table tells the side that the target lies on.
    """
    rng = np.random.default_rng(seed)
    for i in range(episodes):
        place = rng.uniform(-0.1, 0.1, 2)
        table = int(place[0] > 0) if rng.random() < rho else int(rng.integers(2))
        row, column = (np.clip(12 + 100 * place, 0, 24)).astype(int)
        image = np.full((8, SIZE, SIZE, 3), 60 + 120 * table, np.uint8)
        image += rng.integers(0, 8, image.shape, dtype=np.uint8)
        mask = np.zeros((8, SIZE, SIZE), np.uint8)
        mask[:, row : row + 8, column : column + 8] = 1
        image[mask == 1] = 250
        height = np.float32([0.2, 0.1, 0.02, 0.02, 0.02, 0.08, 0.15, 0.2])
        state = np.zeros((8, len(NAMES)), np.float32)
        state[:, :2] = rng.normal(0, 0.02, (8, 2))
        state[:, 2], state[:, 3:6], state[:, 6:9] = height, DOWN[:, 0], DOWN[:, 1]
        state[:, 9] = np.float32([1, 1, 1, 1, 0.4, 0.3, 0.3, 0.3])
        action = np.column_stack([np.tile(place, (8, 1)), np.arange(8) < 3]).astype(np.float32)
        pose = np.eye(4)
        pose[:2, 3] = place
        meta: dict[str, Any] = {
            "task": "grasp the toy", "success": True, "seed": 0, "object_id": "toy", "object_set": "toys:train",
            "attempts": 1, "object_pose": pose.tolist(),
            "grasp": {"rotation": DOWN.tolist(), "position": [*place.tolist(), 0.02]},
            "factors": {"look": {"table": table, "azimuth": float(i)}},
        }  # fmt: skip
        frames = {image_key("front"): image, mask_key("front"): mask, STATE: state, ACTION: action}
        write_episode(folder, Episode(i, frames, {k: v for k, v in meta.items() if k not in without}))
    finalize(folder, CONTRACT, ObservationContract((("front", (SIZE, SIZE)),), NAMES), {})
    return folder


@pytest.fixture(scope="session")
def write() -> Callable[..., Path]:
    return write_demos


@pytest.fixture(scope="session")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demos(tmp_path_factory.mktemp("demos") / "demos")


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_demos(tmp_path_factory.mktemp("demos") / "others", seed=1)
