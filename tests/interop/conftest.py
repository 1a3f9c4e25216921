"""Datasets for the interop tests, made in the test: grasps of a hand, 32 x 48 pixels."""

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.lerobot import finalize

NAMES = ("dx", "dy", "dz", "rx", "ry", "rz", "gripper")
ACTIONS = ActionContract(
    "eef_delta", NAMES, ("m",) * 3 + ("rad",) * 3 + ("1",), (-0.05,) * 3 + (-0.3,) * 3 + (0.0,),
    (0.05,) * 3 + (0.3,) * 3 + (1.0,), 10.0, ("j0", "j1")
)
OBSERVATIONS = ObservationContract((("front", (32, 48)), ("wrist", (32, 48))), ("q0", "q1", "gripper.opening"))


def make_episode(index, length):
    rng = np.random.default_rng([7, index])
    low, high = np.asarray(ACTIONS.low), np.asarray(ACTIONS.high)
    frames = {
        "observation.state": rng.normal(size=(length, 3)).astype(np.float32),
        "action": rng.uniform(low, high, (length, 7)).astype(np.float32)
    }
    for camera in ("front", "wrist"):
        frames[f"observation.images.{camera}"] = rng.integers(0, 256, (length, 32, 48, 3), dtype=np.uint8)
        frames[f"masks.{camera}"] = rng.integers(0, 4, (length, 32, 48), dtype=np.uint8)
        frames[f"camera.{camera}.extrinsics"] = rng.normal(size=(length, 4, 4)).astype(np.float32)
    frames["sim.state"] = rng.normal(size=(length, 5))  # double precision
    frames["executed_action"] = frames["action"] + np.float32(0.001)
    return Episode(index, frames, {
        "task": f"pick up toy {index % 2}", "success": index != 2, "seed": 7, "object_id": f"toy-{index}"
    })


@pytest.fixture
def demos(tmp_path):
    """A finished dataset of five episodes with 12 to 16 frames."""
    for i in range(5):
        write_episode(tmp_path / "demos", make_episode(i, 12 + i))
    finalize(tmp_path / "demos", ACTIONS, OBSERVATIONS, {"seed": 7})
    return tmp_path / "demos"
