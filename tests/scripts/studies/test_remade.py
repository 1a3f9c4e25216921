"""Copies of a dataset: what is left out, what is changed, and that a stopped copy goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError
from toyshift.data.episode import Episode, episode_indices, write_episode
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.scripts.studies.remade import corrupt, donors, remake

ACTIONS = ActionContract("joint_pos", ("j0", "gripper"), ("rad", "1"), (-1.0, 0.0), (1.0, 1.0), 20.0, ("j0",))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for i in range(4):
        rng = np.random.default_rng(i)
        frames = {
            "observation.images.front": rng.integers(0, 256, (3 + i, 8, 8, 3), dtype=np.uint8),
            "observation.state": rng.normal(size=(3 + i, 1)).astype(np.float32),
            "action": rng.normal(size=(3 + i, 2)).astype(np.float32),
        }  # fmt: skip
        write_episode(tmp_path / "src", Episode(i, frames, {"task": "lift", "success": True, "object_id": f"toy-{i}"}))
    finalize(tmp_path / "src", ACTIONS, ObservationContract((("front", (8, 8)),), ("q0",)), {"seed": 0})
    return tmp_path / "src"


def test_episodes_are_taken_to_the_bit_and_in_order(source: Path, tmp_path: Path) -> None:
    out = remake(source, tmp_path / "out", [3, 1], {"what": "test"})
    before, after = open_dataset(source), open_dataset(out)
    assert [after.episode_digest(i) for i in range(2)] == [before.episode_digest(i) for i in (3, 1)]
    assert after.action_contract == before.action_contract
    content = after.content_hash()
    assert open_dataset(remake(source, out, [3, 1], {"what": "test"})).content_hash() == content
    for takes, facts in (([3, 1], {"what": "other"}), ([3, 2], {"what": "test"})):
        with pytest.raises(ConfigError, match="another configuration"):
            remake(source, out, takes, facts)


def test_a_stopped_copy_goes_on(source: Path, tmp_path: Path) -> None:
    def killed(episode: Episode) -> Episode:
        raise KeyboardInterrupt

    def renamed(episode: Episode) -> Episode:
        return dataclasses.replace(episode, meta=episode.meta | {"task": "drop"})

    with pytest.raises(KeyboardInterrupt):
        remake(source, tmp_path / "out", range(4), {}, {2: killed})
    assert episode_indices(tmp_path / "out") == {0, 1}
    remake(source, tmp_path / "out", range(4), {}, {2: renamed})
    at_once = remake(source, tmp_path / "at-once", range(4), {}, {2: renamed})
    made = open_dataset(tmp_path / "out")
    assert [made.meta(i)["task"] for i in range(4)] == ["lift", "lift", "drop", "lift"]
    assert made.content_hash() == open_dataset(at_once).content_hash()


def test_corrupted_episodes_have_others_actions_and_their_own_images(source: Path, tmp_path: Path) -> None:
    before, after = open_dataset(source), open_dataset(corrupt(source, tmp_path / "out", 0.5, seed=1))
    given = donors(4, 0.5, 1)
    assert len(given) == 2
    for i in range(4):
        old, new, length = before.episode(i).frames, after.episode(i).frames, len(before.episode(i))
        assert (old["observation.images.front"] == new["observation.images.front"]).all()
        other = before.episode(given.get(i, i)).frames["action"]
        expected = other[np.minimum(np.arange(length), len(other) - 1)]
        assert (new["action"] == expected).all()
        assert after.meta(i).get("corrupted", False) == (i in given)
