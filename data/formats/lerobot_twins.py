"""Episodes of LeRobot v3 datasets that are there twice, in one dataset, in two splits of it, or in two datasets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.core.contract import ACTION, STATE
from toyshift.core.errors import ConfigError
from toyshift.core.progress import track
from toyshift.data.episode import AUTO_FEATURES
from toyshift.data.formats.alike import Alike, Fingerprint, alike, fingerprint
from toyshift.data.formats.lerobot_v3 import LeRobotFolder
from toyshift.data.store.checks import Problem


def motion_keys(folder: LeRobotFolder) -> list[str]:
    """Returns the features whose values tell one episode from another: action and state, or all of their kind."""
    numbers = [k for k, f in folder.features.items() if f.is_float and k not in AUTO_FEATURES]
    usual = [k for k in (STATE, ACTION) if k in numbers]
    return usual or [k for k in numbers if k.startswith((ACTION, "observation"))]


def joined(values: Mapping[str, NDArray[Any]], keys: Sequence[str]) -> Array:
    """Returns features of one episode side by side, (T, D)."""
    if not keys:
        return np.zeros((len(next(iter(values.values()), ())), 0))
    return np.concatenate([values[k].reshape(len(values[k]), -1).astype(np.float64) for k in keys], axis=1)


def alike_in(prints: Mapping[int, Fingerprint]) -> list[Alike]:
    """Returns the pairs of episodes that are alike, under their numbers in the dataset."""
    numbers = list(prints)
    pairs = alike(list(prints.values()))
    return [dataclasses.replace(p, first=numbers[p.first], second=numbers[p.second]) for p in pairs]


def duplicates(folder: LeRobotFolder, pairs: Sequence[Alike]) -> list[Problem]:
    """Tells of each episode the first one that it repeats."""
    first: dict[int, Alike] = {}
    for pair in pairs:
        first.setdefault(pair.second, pair)
    return [
        Problem(
            "duplicated episode" if pair.how == "same" else "near-duplicate", pair.second, None,
            pair.told(f"episode {pair.first}"), str(folder.file_of(pair.second)),
        )
        for pair in first.values()
    ]


def split_problems(folder: LeRobotFolder, pairs: Sequence[Alike]) -> list[Problem]:
    """Splits that name episodes twice or none, and episodes of one that repeat those of another."""
    place, texts = str(folder.folder / "meta" / "info.json"), []
    splits: dict[str, range] = {}
    for name, said in folder.splits.items():
        begin, colon, end = str(said).partition(":")
        if not colon or not (begin + end).isdigit():
            texts.append(f"split {name} is {said!r}; it should be FIRST:END, such as 0:{folder.num_episodes}")
            continue
        splits[name] = range(int(begin or 0), int(end or folder.num_episodes))
        if splits[name].stop > folder.num_episodes:
            texts.append(f"split {name} is {said}, and there are {folder.num_episodes} episodes")
    names = list(splits)
    for k, one in enumerate(names):
        for other in names[k + 1 :]:
            both = range(max(splits[one].start, splits[other].start), min(splits[one].stop, splits[other].stop))
            texts += [f"splits {one} and {other} share the episodes {both[0]} to {both[-1]}"] if both else []
    for pair in pairs:
        for one in names:
            for other in names:
                if one != other and pair.first in splits[one] and pair.second in splits[other]:
                    what = pair.told(f"episode {pair.first} of split {one}")
                    texts.append(f"episode {pair.second} of split {other}: {what}")
    return [Problem("splits", None, None, text, place) for text in texts]


def prints_of(folder: LeRobotFolder) -> dict[int, Fingerprint]:
    """Returns the fingerprint of each episode that has actions or states.

    Raises:
        FileError: an episode cannot be read.
    """
    keys, prints = motion_keys(folder), {}
    for i in track(range(folder.num_episodes if keys else 0), "motion", folder.num_episodes, "episode"):
        motion = joined(folder.columns(i, keys), keys)
        if len(motion):
            prints[i] = fingerprint(motion)
    return prints


def shared(folder: LeRobotFolder, prints: Mapping[int, Fingerprint], other: LeRobotFolder) -> list[Problem]:
    """Tells of each episode one of another dataset that it repeats.

    Raises:
        ConfigError: their actions and states cannot be compared.
        FileError: an episode of the other cannot be read.
    """
    theirs = prints_of(other)
    sizes = [{one.path.shape[1] for one in some.values()} for some in (prints, theirs)]
    if sizes[0] != sizes[1] or not sizes[0]:
        told = " and ".join(f"{one.folder} has {', '.join(motion_keys(one)) or 'none'}" for one in (folder, other))
        raise ConfigError(f"actions and states cannot be compared: {told}, {sizes[0]} and {sizes[1]} numbers a frame")
    mine, numbers, first = list(prints), list(theirs), dict[int, str]()
    for pair in alike([*prints.values(), *theirs.values()]):
        if pair.first < len(mine) <= pair.second:
            number = numbers[pair.second - len(mine)]
            first.setdefault(mine[pair.first], pair.told(f"episode {number} of {other.folder}"))
    return [Problem("shared episode", i, None, text, str(folder.file_of(i))) for i, text in first.items()]
