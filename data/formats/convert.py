"""Converts datasets between LeRobot v3, RLDS and robomimic HDF5."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, ContractError, FileError
from toyshift.core.files import real_path
from toyshift.data.episode import Episode, checked_frames
from toyshift.data.formats.exchange import ReadOptions, Stream, module_of, open_stream, recognise, require_episode


def convert(
    src: Path, dst: Path, to: str, options: ReadOptions | None = None, *, skip_damaged: bool = False
) -> dict[str, Any]:
    """Converts a dataset; one episode is in memory at a time.

    Between our own datasets nothing is lost: back in LeRobot's layout they have the same content hash.

    Args:
        src: LeRobot folder, RLDS folder (features.json in it, or in one of its version folders) or robomimic HDF5 file.
        dst: folder, or file for robomimic.
        to: "lerobot", "rlds" or "robomimic".
        options: what the source does not say about itself.
        skip_damaged: leave out episodes that cannot be read, and say which.

    Returns:
        source, format of the source, out, to, episodes, frames, dropped, and what the writer adds.

    Raises:
        ConfigError: source and destination are the same, or the destination is something else already.
        FileError: an episode is damaged (named), or the source is no dataset.
        ContractError: what the actions mean is unknown, or they do not fit.
        MissingDependencyError: an optional package is missing (named, with the extra that brings it).
    """
    src, dst = Path(src), Path(dst)
    writer = module_of(to)
    if real_path(src) == real_path(dst):
        raise ConfigError(f"{src} cannot be both source and destination")
    kind = recognise(src)
    result: dict[str, Any] = writer.write(dst, _checked(open_stream(src, options), src), skip_damaged=skip_damaged)
    return {"source": str(src), "from": kind, "out": str(dst), "to": to} | result


def _checked(stream: Stream, src: Path) -> Stream:
    """Returns the stream with episodes that are not finite, or fit no contract, among those that cannot be read.

    The others can be kept.
    """

    def episodes(first: int) -> Iterator[Episode | FileError]:
        bad: FileError | None = None
        kept = first > 0
        for found in stream.episodes(first):
            item = found
            if not isinstance(found, FileError):
                try:
                    checked_frames(require_episode(stream, found, str(src)))
                except (ConfigError, ContractError) as error:
                    text = str(error) if str(src) in str(error) else f"{src}, {error}"
                    item = FileError(f"{text}; or pass --skip-damaged: the other episodes are usable")
            bad = bad or (item if isinstance(item, FileError) else None)
            kept = kept or not isinstance(item, FileError)
            yield item
        if not kept:
            raise FileError(f"{src}: none of its {stream.total} episodes can be used; the first: {bad}")

    return dataclasses.replace(stream, episodes=episodes)
