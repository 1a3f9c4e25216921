"""Rows with everything filled in but what a test is about, and folders that look like a policy's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.files import write_json
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.lerobot import finalize
from toyshift.diagnostics.rows import Row


def make_row(episode=0, success=False, policy="detpool", object_id="ball", **changes) -> Row:
    values = {
        "policy": policy, "pooling": "detpool", "object_set": "toys:test", "object_id": object_id, "seed": 7,
        "episode": episode, "success": success, "max_height": 0.31 if success else 0.01, "steps": 60,
        "failure": "" if success else "not_lifted", "look": "", "wall_s": 0.5,
    }
    return Row(**{**values, **changes})


@pytest.fixture
def row() -> Callable[..., Row]:
    return make_row


@pytest.fixture
def policy_folder() -> Callable[..., Path]:
    """Writes a folder that has a policy's hashes but no network, with what it says of itself."""

    def make(folder: Path, weights: bytes = b"1", **said: object) -> Path:
        write_json(folder / "config.json", said)
        (folder / "model.safetensors").write_bytes(weights)
        entry = {"path": "model.safetensors", "sha256": hashlib.sha256(weights).hexdigest()}
        write_json(folder / "state.json", {"step": 1, "finished": True, "files": {"model.safetensors": entry}})
        return folder

    return make


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache of the test's own."""
    monkeypatch.setenv("TOYSHIFT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def demos() -> Callable[..., Path]:
    """Writes a small dataset whose images have one brightness, and noise."""

    def make(folder: Path, episodes: int, brightness: int) -> Path:
        action = ActionContract("joint_pos", ("j0", "gripper"), ("rad", "1"), (-1.0, 0.0), (1.0, 1.0), 20.0, ("j0",))
        for i in range(episodes):
            rng = np.random.default_rng([brightness, i])
            frames = {
                "observation.state": np.zeros((3, 1), np.float32), "action": np.zeros((3, 2), np.float32),
                "observation.images.front": rng.integers(brightness, brightness + 20, (3, 16, 16, 3), dtype=np.uint8),
            }
            write_episode(folder, Episode(i, frames, {"task": "lift", "object_id": f"toy-{i}"}))
        finalize(folder, action, ObservationContract((("front", (16, 16)),), ("q0",)), {})
        return folder

    return make
