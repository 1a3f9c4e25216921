"""Demonstrations: planning, collection, storage as LeRobotDataset v3, and the training loader; names are imported when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toyshift.data.batching import batches
    from toyshift.data.collection import CollectConfig, collect
    from toyshift.data.dataset import Dataset, open_dataset
    from toyshift.data.episode import Episode, episode_indices, read_episode, write_episode
    from toyshift.data.lerobot import finalize
    from toyshift.data.loader import Windows
    from toyshift.data.sampler import Sampler

# name -> module: to add one, add a line here and below.
_MODULES = {
    "CollectConfig": "collection",
    "Dataset": "dataset",
    "Episode": "episode",
    "Sampler": "sampler",
    "Windows": "loader",
    "batches": "batching",
    "collect": "collection",
    "episode_indices": "episode",
    "finalize": "lerobot",
    "open_dataset": "dataset",
    "read_episode": "episode",
    "write_episode": "episode",
}

__all__ = [
    "CollectConfig",
    "Dataset",
    "Episode",
    "Sampler",
    "Windows",
    "batches",
    "collect",
    "episode_indices",
    "finalize",
    "open_dataset",
    "read_episode",
    "write_episode",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; available: {', '.join(__all__)}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
