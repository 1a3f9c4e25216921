"""LeRobot v3 folders as one of the formats that conversions read and write."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import json_hash, read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.core.progress import track
from toyshift.data.episode import Episode, episode_indices, write_episode
from toyshift.data.formats.exchange import ReadOptions, Stream, require_episode
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize

CONFIG = "convert.json"


def recognises(path: Path) -> bool:
    """Whether a folder is in the LeRobot layout."""
    return any((path / "meta" / name).exists() for name in ("info.json", "toyshift.json")) or (path / "episodes").is_dir()


def read(path: Path, options: ReadOptions) -> Stream:
    """Opens a finished LeRobot folder of ours; see `open_dataset`."""
    dataset = open_dataset(path, lenient=True)

    def episodes(first: int) -> Iterator[Episode | FileError]:
        for i in range(first, dataset.num_episodes):
            try:
                yield dataset.episode(i)
            except FileError as error:
                yield error

    facts = {"source": str(path), "content_hash": dataset.content_hash(), "manifest": dataset.manifest}
    return Stream(dataset.action_contract, dataset.observation_contract, dataset.num_episodes, episodes, facts, str(dataset.info.get("robot_type", "panda")))


def write(path: Path, stream: Stream, *, skip_damaged: bool = False) -> dict[str, Any]:
    """Writes a LeRobot v3 folder; killed at any moment and run again, it goes on where it was.

    Returns:
        episodes, frames, content_hash, dropped (number and reason of what could not be read).

    Raises:
        FileError: an episode cannot be read and `skip_damaged` is off.
        ConfigError: the folder holds something else.
    """
    key = json_hash({"facts": stream.facts, "total": stream.total, "skip_damaged": skip_damaged})
    before = _before(path, key)
    if before.get("finished"):
        finished: dict[str, Any] = before["finished"]
        return finished
    dropped: dict[str, str] = dict(before.get("dropped", {}))
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / CONFIG, {"key": key, "dropped": dropped, "finished": None})
    first = max([-1, *episode_indices(path), *map(int, dropped)]) + 1
    number = first - 1
    for episode in track(stream.episodes(first), "convert", stream.total - first, "episode"):
        number = number + 1 if isinstance(episode, FileError) else episode.index  # behind damage, numbers may be missing
        if isinstance(episode, FileError):
            if not skip_damaged:
                raise episode
            dropped[str(number)] = str(episode)
            write_json(path / CONFIG, {"key": key, "dropped": dropped, "finished": None})
            continue
        require_episode(stream, episode, str(stream.facts.get("source", "")))
        write_episode(path, Episode(number, episode.frames, episode.meta))
    finalize(path, stream.action, stream.observation, manifest({"converted": True}) | {"source": stream.facts}, robot_type=stream.robot_type)
    made = open_dataset(path)
    result = {"episodes": made.num_episodes, "frames": made.num_frames, "content_hash": made.content_hash(), "dropped": dropped}
    write_json(path / CONFIG, {"key": key, "dropped": dropped, "finished": result})
    return result


def _before(path: Path, key: str) -> dict[str, Any]:
    if not (path / CONFIG).exists():
        if path.is_file() or (path.is_dir() and any(path.iterdir())):
            raise ConfigError(f"{path} exists and was not made by `toyshift data convert`; choose another destination")
        return {}
    before = read_json(path / CONFIG)
    if before.get("key") != key:
        raise ConfigError(f"{path} holds another conversion; choose another destination, or delete it")
    return dict(before)
