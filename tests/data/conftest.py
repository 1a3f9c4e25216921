"""Small synthetic datasets for the tests of storage and loading."""

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.lerobot import finalize

ACTIONS = ActionContract("joint_pos", ("j0", "gripper"), ("rad", "1"), (-1.0, 0.0), (1.0, 1.0), 20.0, ("j0",))
OBSERVATIONS = ObservationContract((("front", (8, 12)), ("wrist", (8, 12))), ("q0", "q1", "width"))


def make_episode(index: int, length: int = 6, seed: int = 0) -> Episode:
    rng = np.random.default_rng([seed, index])
    frames = {
        "observation.state": rng.normal(size=(length, 3)).astype(np.float32),
        "action": rng.normal(size=(length, 2)).astype(np.float32),
    }
    for camera in ("front", "wrist"):
        frames[f"observation.images.{camera}"] = rng.integers(0, 256, (length, 8, 12, 3), dtype=np.uint8)
        frames[f"masks.{camera}"] = rng.integers(0, 4, (length, 8, 12), dtype=np.uint8)
        frames[f"camera.{camera}.extrinsics"] = rng.normal(size=(length, 4, 4)).astype(np.float32)
        frames[f"camera.{camera}.intrinsics"] = np.tile(np.eye(3, dtype=np.float32), (length, 1, 1))
    frames["sim.state"] = rng.normal(size=(length, 5))
    frames["next.done"] = np.arange(length) == length - 1
    frames["pressure"] = rng.normal(size=(length, 1)).astype(np.float32)
    return Episode(
        index, frames, {"task": f"lift {index % 2}", "success": True, "seed": seed, "object_id": f"toy-{index}"}
    )


class Maker:
    """What the tests make datasets with."""

    actions = ACTIONS
    observations = OBSERVATIONS

    episode = staticmethod(make_episode)

    @staticmethod
    def collect(folder, indices, length=None, seed=0):
        for i in indices:
            write_episode(folder, make_episode(i, length or 4 + i % 4, seed))
        return folder

    @classmethod
    def dataset(cls, folder, indices=range(5), length=None, seed=0, actions=ACTIONS, **options):
        cls.collect(folder, indices, length, seed)
        finalize(folder, actions, OBSERVATIONS, {"seed": seed}, **options)
        return folder


@pytest.fixture
def maker():
    return Maker
