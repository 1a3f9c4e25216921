"""What can be wrong with the images of a LeRobot v3 dataset: each is decoded."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import FileError
from toyshift.core.progress import track
from toyshift.data.formats.lerobot_meta import as_numbers
from toyshift.data.formats.lerobot_v3 import LeRobotFolder
from toyshift.data.store.checks import FROZEN, Problem, longest_run

MOVED = 0.05  # of the state's standard deviation over the dataset: a camera must show that
PIXELS_OFF = 0.05  # of black to white; LeRobot's own are of some of the images only, before they were encoded


def check_images(
    folder: LeRobotFolder, states: Mapping[int, Array], noted: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    """Decodes every image.

    Args:
        folder: the dataset.
        states: (T, S) of the episodes that can be read, which a camera must show.
        noted: statistics of meta/stats.json.
    """
    problems: list[Problem] = []
    sums = {key: (np.zeros(3), 0) for key in folder.cameras.values()}
    spread = np.concatenate(list(states.values())).std(axis=0) if states else np.zeros(0)
    for i in track(range(folder.num_episodes), "images", folder.num_episodes, "episode"):
        for key in sums:
            video = folder.features[key].dtype == "video"
            seen: list[int] = []
            total = np.zeros(3)
            try:
                file = str(folder.video_of(i, key)[0] if video else folder.file_of(i))
                for t, image in enumerate(folder.images(i, key)):
                    if image.shape[:2] != folder.features[key].size and not t:
                        height, width = folder.features[key].size
                        text = f"{key} is {image.shape[0]} x {image.shape[1]}, info.json says {height} x {width}"
                        problems.append(Problem("image size", i, 0, text, file))
                    seen.append(zlib.crc32(np.ascontiguousarray(image).data))
                    total += image.mean(axis=(0, 1)) / 255.0
            except FileError as error:
                if i in states or video:  # else the file was named before
                    problems.append(Problem("unreadable", i, None, str(error), str(folder.file_of(i))))
                continue
            sums[key] = (sums[key][0] + total, sums[key][1] + len(seen))
            problems += _frozen(i, key, seen, states.get(i), spread, file)
    return problems + _pixels(folder, sums, noted)


def _frozen(
    i: int, key: str, seen: Sequence[int], state: Array | None, spread: Array, file: str
) -> list[Problem]:
    """A camera that shows the same picture again and again while the robot moves."""
    same = np.array([a == b for a, b in itertools.pairwise(seen)], np.bool_)
    start, length = longest_run(same)
    if state is None or length < FROZEN:
        return []
    moved = np.ptp(state[start : start + length + 1], axis=0)
    if not (moved > MOVED * spread).any() or not moved.any():
        return []
    text = f"{key} shows the same picture {length + 1} times in a row while the state changes"
    return [Problem("frozen camera", i, start, text, file)]


def _pixels(
    folder: LeRobotFolder, sums: Mapping[str, tuple[Array, int]], noted: Mapping[str, Mapping[str, Any]]
) -> list[Problem]:
    """Compares the mean of all pixels with the one noted."""
    place = str(folder.folder / "meta" / "stats.json")
    out = []
    for key, (total, count) in sums.items():
        said = as_numbers(noted.get(key, {}).get("mean", ()))
        if said is not None and len(said) == 3 and count and np.abs(said - total / count).max() > PIXELS_OFF:
            there = ", ".join(f"{v:.3f}" for v in total / count)
            text = f"{key}, mean of the pixels is noted as {', '.join(f'{v:.3f}' for v in said)}, and is {there}"
            out.append(Problem("statistics", None, None, text, place))
    return out
