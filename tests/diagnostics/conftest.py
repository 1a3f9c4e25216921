"""Rows with everything filled in but what a test is about, and folders that look like a policy's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from toyshift.core.files import write_json
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
