"""What can be wrong with a LeRobot v3 dataset of anybody's, whatever its actions mean.

Numbers are read first, of all episodes; then the images, one by one, where these are asked for.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.core.contract import ACTION, STATE
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.progress import track
from toyshift.data.episode import AUTO_FEATURES
from toyshift.data.formats.alike import Fingerprint, fingerprint
from toyshift.data.formats.lerobot_folder import is_ours
from toyshift.data.formats.lerobot_images import check_images
from toyshift.data.formats.lerobot_meta import as_numbers, episode_statistics
from toyshift.data.formats.lerobot_twins import (
    alike_in,
    duplicates,
    joined,
    motion_keys,
    prints_of,
    shared,
    split_problems,
)
from toyshift.data.formats.lerobot_v3 import LeRobotFolder, open_lerobot
from toyshift.data.store.checks import TIME_TOLERANCE, CheckResult, Problem, check_dataset
from toyshift.data.store.statistics import RunningStats, array_stats

KINDS = (
    "dataset", "unreadable", "columns", "not finite", "timestamps", "numbering", "tasks", "image size", "frozen camera",
    "statistics", "duplicated episode", "near-duplicate", "splits", "shared episode",
)  # fmt: skip
STATS_OFF = 0.01  # of a number's range: further off, a noted mean, minimum, maximum or standard deviation is wrong
NOTED = ("mean", "std", "min", "max")


@dataclasses.dataclass(eq=False)
class _Numbers:
    """What one reading of all numbers gives.

    Attributes:
        problems: found on the way.
        states: of each readable episode what a camera must show, (T, S); nothing, S = 0, where that is not recorded.
        prints: of each readable episode with actions or states.
        stats: key -> of all frames.
    """

    problems: list[Problem]
    states: dict[int, Array]
    prints: dict[int, Fingerprint]
    stats: dict[str, RunningStats]


def check_any(
    path: Path, *, repair: Path | None = None, images: bool = True, against: Path | None = None
) -> CheckResult:
    """Checks a LeRobot v3 dataset, one of ours as `check_dataset` does, one of others as `check_lerobot` does.

    Raises:
        ConfigError: a copy without the bad episodes is asked for, of a dataset of others.
        FileError, ContractError: as these do.
    """
    if not is_ours(path):
        if repair is not None:
            remedy = f"convert it first (`toyshift data convert {path} DIR --to lerobot --contract FILE`)"
            raise ConfigError(f"--repair copies datasets with an action contract, and {path} has none: {remedy}")
        return check_lerobot(path, images=images, against=against)
    result = check_dataset(path, repair)
    if against is None:
        return result
    folder = open_lerobot(path)
    both = shared(folder, prints_of(folder), open_lerobot(against))
    return dataclasses.replace(result, problems=(*result.problems, *both))


def check_lerobot(path: Path, *, images: bool = True, against: Path | None = None) -> CheckResult:
    """Checks every episode of a LeRobot v3 dataset.

    Args:
        path: its folder.
        images: decode all images as well, which takes most of the time.
        against: a second dataset, such as the one to test on, which should share no episode with the first.

    Raises:
        FileError: a file of meta/ is missing or damaged, or it is of another version of the layout.
    """
    folder = open_lerobot(path)
    problems = _of_meta(folder)
    numbers = _read_numbers(folder)
    problems += numbers.problems
    noted, place = {}, str(folder.folder / "meta" / "stats.json")
    try:
        noted = folder.statistics()
        problems += _of_statistics(folder, numbers, noted, place)
    except FileError as error:
        problems.append(Problem("statistics", None, None, str(error), place))
    pairs = alike_in(numbers.prints)
    problems += duplicates(folder, pairs) + split_problems(folder, pairs)
    if against is not None:
        problems += shared(folder, numbers.prints, open_lerobot(against))
    if images:
        problems += check_images(folder, numbers.states, noted)
    problems.sort(key=lambda p: (p.episode is not None, p.episode or 0))
    unknown = tuple(_unknown(folder, images, against is not None))
    return CheckResult(folder.folder, folder.num_episodes, folder.num_frames, tuple(problems), unknown=unknown)


def _of_meta(folder: LeRobotFolder) -> list[Problem]:
    """What meta/ says against itself."""
    info, place = folder.info, str(folder.folder / "meta" / "info.json")
    said = {"total_episodes": folder.num_episodes, "total_frames": folder.num_frames}
    texts = [f"{key} is {info[key]}, meta/episodes has {there}" for key, there in said.items() if info[key] != there]
    used = {task for row in folder.rows for task in row["tasks"] or ()}
    if unlisted := sorted(used - set(folder.tasks.values())):
        texts.append(f"tasks that meta/tasks.parquet does not list: {', '.join(map(repr, unlisted[:3]))}")
    if not folder.num_episodes:
        texts.append("holds no episodes")
    expected = 0
    for i, row in enumerate(folder.rows):
        if row["dataset_from_index"] != expected:
            texts.append(f"episode {i} begins at frame {row['dataset_from_index']}; those before it end at {expected}")
            break
        expected += int(row["length"])
    return [Problem("dataset", None, None, text, place) for text in texts]


def _read_numbers(folder: LeRobotFolder) -> _Numbers:
    """Reads all that is no image, and checks it episode by episode."""
    keys = [k for k, f in folder.features.items() if f.is_number]
    moving = motion_keys(folder)
    shown = [STATE] if STATE in moving else moving
    found = _Numbers([], {}, {}, {key: RunningStats() for key in keys if len(folder.features[key].shape) == 1})
    statistics = episode_statistics(folder.folder, folder.num_episodes)
    for i, noted in enumerate(track(statistics, "numbers", folder.num_episodes, "episode")):
        file = str(folder.file_of(i))
        try:
            values = folder.columns(i, keys)
        except FileError as error:
            found.problems.append(Problem("unreadable", i, None, str(error), file))
            continue
        for check in (_not_finite, _timestamps, _numbering, _task_numbers):
            found.problems += [Problem(kind, i, frame, text, file) for kind, frame, text in check(folder, i, values)]
        for key, running in found.stats.items():
            running.add(values[key])
            if noted and key not in AUTO_FEATURES and (off := _off(array_stats(values[key]), key, noted, folder)):
                place = f"the statistics noted in meta/episodes are not those of the frames: {off}"
                found.problems.append(Problem("statistics", i, None, place, file))
        found.states[i] = joined(values, shown)
        if moving and len(found.states[i]):
            found.prints[i] = fingerprint(joined(values, moving))
    return found


_Found = Iterator[tuple[str, int | None, str]]  # kind, first frame concerned, what was found


def _not_finite(folder: LeRobotFolder, i: int, values: Mapping[str, NDArray[Any]]) -> _Found:
    for key, array in values.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = np.argwhere(~np.isfinite(array))[0]
            yield "not finite", int(bad[0]), f"{key}{[int(n) for n in bad[1:]]} is {array[tuple(bad)]}"


def _timestamps(folder: LeRobotFolder, i: int, values: Mapping[str, NDArray[Any]]) -> _Found:
    if "timestamp" not in values:
        yield "columns", None, "there is no column timestamp"
        return
    times = values["timestamp"].reshape(-1).astype(np.float64)
    off = np.abs(times - np.arange(len(times)) / folder.fps) > TIME_TOLERANCE
    if not off.any():
        return
    t = int(off.argmax())
    usual = f"; frames are {np.median(np.diff(times)):.4f} s apart" if len(times) > 1 else ""
    yield "timestamps", t, f"frame {t} is said to be at {times[t]:.4f} s; at fps {folder.fps:g} it is not{usual}"


def _numbering(folder: LeRobotFolder, i: int, values: Mapping[str, NDArray[Any]]) -> _Found:
    for key, first in (("frame_index", 0), ("index", int(folder.rows[i]["dataset_from_index"]))):
        if key not in values:
            continue
        numbers = values[key].reshape(-1)
        wrong = numbers != first + np.arange(len(numbers))
        if wrong.any():
            t = int(wrong.argmax())
            yield "numbering", t, f"{key} is {numbers[t]} where {first + t} is due"


def _task_numbers(folder: LeRobotFolder, i: int, values: Mapping[str, NDArray[Any]]) -> _Found:
    noted = set(folder.rows[i]["tasks"] or ())
    numbers = values.get("task_index", np.zeros((0, 1), np.int64)).reshape(-1)
    for number in np.unique(numbers):
        if (task := folder.tasks.get(int(number))) not in noted:
            t = int((numbers == number).argmax())
            said = "is not in meta/tasks.parquet" if task is None else f"({task!r}) is not what meta/episodes says"
            yield "tasks", t, f"task_index {number} {said}"


def _off(
    true: Mapping[str, NDArray[Any]], key: str, noted: Mapping[str, Any], folder: LeRobotFolder
) -> str:
    """Returns the first statistic of a feature that is not the one noted under "<key>/<name>", or ""."""
    scale = np.maximum(true["max"] - true["min"], 1e-6 + 1e-6 * np.abs(true["max"]))
    for name in NOTED:
        if (said := noted.get(f"{key}/{name}")) is None:
            continue
        if (values := as_numbers(said)) is None:
            return f"{key}, {name}: no numbers"
        if values.shape != true[name].shape:
            return f"{key}, {name}: {len(values)} numbers for {len(true[name])} entries"
        wrong = ~(np.abs(values - true[name]) <= STATS_OFF * scale)
        if wrong.any():
            k = int(wrong.argmax())
            names = folder.features[key].names
            entry = names[k] if len(names) == len(values) else str(k)
            return f"{key}, {name} of {entry} is noted as {values[k]:.4g}, and is {true[name][k]:.4g}"
    return ""


def _of_statistics(
    folder: LeRobotFolder, numbers: _Numbers, noted: Mapping[str, Mapping[str, Any]], place: str
) -> list[Problem]:
    """Compares meta/stats.json, by which LeRobot normalises, with the numbers of all frames."""
    texts = [] if noted else ["is missing, or empty: LeRobot normalises by it"]
    whole = len(numbers.states) == folder.num_episodes
    for key, running in numbers.stats.items():
        if not noted or not whole or not folder.features[key].is_float or key in AUTO_FEATURES:
            continue  # of episodes that cannot be read the statistics are not known
        if key not in noted:  # of others LeRobot's policies see nothing
            texts += [f"has nothing of {key}"] if key.startswith((ACTION, "observation")) else []
        elif off := _off(running.result(), key, {f"{key}/{n}": v for n, v in noted[key].items()}, folder):
            texts.append(f"{off}, over all frames")
    return [Problem("statistics", None, None, text, place) for text in texts]


def _unknown(folder: LeRobotFolder, images: bool, against: bool) -> Iterator[str]:
    """What these checks cannot tell of this dataset."""
    yield "what its actions mean: no contract says their units, frame or bounds, or which way the gripper opens"
    if not motion_keys(folder):
        yield "whether episodes are there twice: no feature holds actions or states"
    if not against and len(folder.splits) < 2:
        yield "whether a test set shares episodes with it: it has one split; name the other dataset with --against"
    if not images and folder.cameras:
        yield "whether its images are whole: they were not decoded"
