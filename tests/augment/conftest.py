"""Episodes with few frames: a frame is augmented for itself, and drawing it takes longest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from toyshift.data.collecting.fragment_folder import PLAN
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize

EVERY = 6


@pytest.fixture(scope="session")
def thinned() -> Callable[[Path, Path], Path]:
    """Copies a folder of sub-datasets with every sixth frame; what is played in it leads nowhere any more."""

    def thin(source: Path, out: Path) -> Path:
        for part in sorted(source.glob("part-*")):
            dataset = open_dataset(part)
            for episode in dataset:
                frames = {key: value[::EVERY] for key, value in episode.frames.items()}
                write_episode(out / part.name, Episode(episode.index, frames, episode.meta))
            contracts = dataset.action_contract, dataset.observation_contract
            finalize(out / part.name, *contracts, dataset.manifest, robot_type=str(dataset.info["robot_type"]))
        shutil.copyfile(source / PLAN, out / PLAN)
        return out

    return thin
