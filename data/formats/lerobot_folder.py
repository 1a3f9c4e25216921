"""LeRobot v3 folders as one of the formats that conversions read and write."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import SIM_STATE, image_key
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import json_hash, read_json
from toyshift.core.manifest import manifest
from toyshift.core.progress import track
from toyshift.core.runs import claim, finish, found
from toyshift.data.episode import EPISODES, INDEX_FILE, Episode, episode_indices, write_episode
from toyshift.data.formats import lerobot_foreign
from toyshift.data.formats.exchange import ReadOptions, Stream, require_episode
from toyshift.data.formats.outline import Outline
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize

MARKER = "convert.json"
OURS = (EPISODES, "meta/toyshift.json", f"meta/{INDEX_FILE}")  # one of them, and the folder is ours


def recognises(path: Path) -> bool:
    """Whether a folder is in the LeRobot layout."""
    return any((path / name).exists() for name in ("meta/info.json", "meta/toyshift.json", "episodes"))


def is_ours(path: Path) -> bool:
    """Whether ToyShift made a folder: it has contracts, or is to have them."""
    return any((path / name).exists() for name in OURS)


def read(path: Path, options: ReadOptions) -> Stream:
    """Opens a finished LeRobot folder, one of ours, or under a contract one of others."""
    if not is_ours(path):
        return lerobot_foreign.read(path, options)
    dataset = open_dataset(path, lenient=True)

    def episodes(first: int) -> Iterator[Episode | FileError]:
        for i in range(first, dataset.num_episodes):
            try:
                yield dataset.episode(i)
            except FileError as error:
                yield error

    facts = {"source": str(path), "content_hash": dataset.content_hash(), "manifest": dataset.manifest}
    action, observation = dataset.action_contract, dataset.observation_contract
    return Stream(action, observation, dataset.num_episodes, episodes, facts, dataset.robot_type)


def outline(path: Path) -> Outline:
    """Opens a finished LeRobot v3 folder, of ours or of others, without its actions."""
    if not is_ours(path):
        return lerobot_foreign.outline(path)
    dataset = open_dataset(path)
    dataset.require_episodes()

    def first_images(camera: str, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        return (dataset.first_image(i, image_key(camera)) for i in numbers)

    metas = tuple(dataset.meta(i) for i in range(dataset.num_episodes))
    cameras, identity = dataset.observation_contract.camera_names, dataset.content_hash()
    return Outline(
        path, "ToyShift", metas, dataset.robot_type, tuple(cameras), identity, first_images, ours=True,
        states=SIM_STATE in dataset.columns,
    )  # fmt: skip


def write(path: Path, stream: Stream, *, skip_damaged: bool = False) -> dict[str, Any]:
    """Writes a LeRobot v3 folder; killed or refused at any moment and run again, it goes on where it was.

    What is whole is the same whether damage is refused or left out, so a run with `skip_damaged` goes on with one
    without.

    Returns:
        episodes, frames, content_hash, dropped (number and reason of what could not be read).

    Raises:
        FileError: an episode cannot be read, or could not by an earlier run, and `skip_damaged` is off.
        ConfigError: the folder holds something else.
    """
    if path.is_file():
        raise ConfigError(f"{path} is a file; choose another destination")
    key = json_hash({"facts": stream.facts, "total": stream.total, "skip_damaged": False})
    marker = path / MARKER
    finished: dict[str, Any] | None = found(marker, key, "a conversion", "toyshift data convert")
    stored = episode_indices(path)
    if marker.exists() and not (stored or finished):
        claim(marker, key)  # nothing is there to go on with: what was damaged is looked at again
    before = read_json(marker) if marker.exists() else {}
    noted = (finished or before).get("dropped") or before.get("settings", {}).get("dropped", {})
    dropped: dict[str, str] = dict(noted)
    if dropped and not skip_damaged:
        what = f"{'finished' if finished else 'begun'} without damaged episodes ({', '.join(dropped.values())})"
        raise FileError(f"{path} is {what}; pass --skip-damaged, or choose another destination")
    if finished is not None:
        return finished
    first = max([-1, *stored, *map(int, dropped)]) + 1
    number = first - 1
    for episode in track(stream.episodes(first), "convert", stream.total - first, "episode"):
        if isinstance(episode, FileError):
            number += 1
            if not skip_damaged:
                raise episode
            dropped[str(number)] = str(episode)
            if marker.exists():
                claim(marker, key, {"dropped": dropped})
            continue
        if not marker.exists():  # not before there is something to write
            claim(marker, key, {"dropped": dropped})
        number = episode.index  # behind damage, numbers may be missing
        require_episode(stream, episode, stream.source)
        write_episode(path, Episode(number, episode.frames, episode.meta))
    facts = manifest({"converted": True}) | {"source": stream.facts}
    finalize(path, stream.action, stream.observation, facts, robot_type=stream.robot_type)
    result = open_dataset(path).facts() | {"dropped": dropped}
    finish(marker, result)
    return result
