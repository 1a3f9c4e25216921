"""Two small datasets, one with a failed episode, and a network that can be shown them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.lerobot import finalize
from toyshift.diagnostics.measuring.demonstrations import Demonstrations, opened
from toyshift.policies.config import PolicyConfig
from toyshift.policies.network.policy import Policy

ACTION = ActionContract("joint_pos", ("j0", "gripper"), ("rad", "1"), (-1.0, -1.0), (1.0, 1.0), 20.0, ("j0",))
SEES = ObservationContract((("front", (16, 16)),), ("q0",))
PARTS = {"a": (True, True, False, True), "b": (True, True, True)}  # episodes that succeeded


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    made = []
    for name, succeeded in PARTS.items():
        folder = tmp_path_factory.mktemp("data") / name
        for i, success in enumerate(succeeded):
            rng, n = np.random.default_rng([len(made), i]), 4 + i
            frames: dict[str, NDArray[np.generic]] = {
                "observation.state": rng.normal(size=(n, 1)).astype(np.float32),
                "action": rng.normal(size=(n, 2)).astype(np.float32).clip(-1, 1),
                "observation.images.front": rng.integers(0, 255, (n, 16, 16, 3), dtype=np.uint8),
            }
            write_episode(folder, Episode(i, frames, {"task": "lift", "object_id": f"toy-{i}", "success": success}))
        finalize(folder, ACTION, SEES, {})
        made.append(folder)
    return made


@pytest.fixture(scope="session")
def policy() -> Policy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        small = {"width": 8, "stem": 8, "token_hidden": 8, "hidden": 8, "layers": 1, "chunk": 2, "execute": 1}
        return Policy(PolicyConfig(pooling="mean", **small), ACTION, SEES).eval()  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def shown(folders: list[Path], policy: Policy) -> Demonstrations:
    return opened(folders, policy)
