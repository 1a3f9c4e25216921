"""Demonstrations: grasp search, collection, storage as LeRobotDataset v3, and the training loader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toyshift.core.lazy import lazy_names

if TYPE_CHECKING:
    from toyshift.data.collecting.collection import collect as collect
    from toyshift.data.collecting.config import CollectConfig as CollectConfig
    from toyshift.data.episode import Episode as Episode
    from toyshift.data.episode import episode_indices as episode_indices
    from toyshift.data.episode import read_episode as read_episode
    from toyshift.data.episode import write_episode as write_episode
    from toyshift.data.formats.lerobot_v3 import LeRobotFolder as LeRobotFolder
    from toyshift.data.formats.lerobot_v3 import open_lerobot as open_lerobot
    from toyshift.data.loading.loader import Windows as Windows
    from toyshift.data.loading.sampler import Sampler as Sampler
    from toyshift.data.store.dataset import Dataset as Dataset
    from toyshift.data.store.dataset import open_dataset as open_dataset
    from toyshift.data.store.lerobot import finalize as finalize

_PLACES = {
    "CollectConfig": "collecting.config",
    "Dataset": "store.dataset",
    "Episode": "episode",
    "LeRobotFolder": "formats.lerobot_v3",
    "Sampler": "loading.sampler",
    "Windows": "loading.loader",
    "collect": "collecting.collection",
    "episode_indices": "episode",
    "finalize": "store.lerobot",
    "open_dataset": "store.dataset",
    "open_lerobot": "formats.lerobot_v3",
    "read_episode": "episode",
    "write_episode": "episode",
}
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
