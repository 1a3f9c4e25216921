"""LeRobot v3 folders of others: as an outline, whose actions stay unknown, and, under a contract, as episodes."""

from __future__ import annotations

import collections
import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ACTION, STATE, ObservationContract, image_key
from toyshift.core.errors import ContractError, FileError
from toyshift.data.episode import AUTO_FEATURES, DTYPES, Episode
from toyshift.data.formats.exchange import ReadOptions, Stream, given_contract
from toyshift.data.formats.lerobot_v3 import LeRobotFolder, open_lerobot
from toyshift.data.formats.outline import Outline, identity_of


def outline(path: Path) -> Outline:
    """Opens a LeRobot v3 folder by its meta data.

    Raises:
        FileError: a file of meta/ is missing or damaged, or it is of another version of the layout.
    """
    folder = open_lerobot(path)

    def first_images(camera: str, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        return (folder.first_image(i, folder.cameras[camera]) for i in numbers)

    metas = tuple(folder.meta(i) for i in range(folder.num_episodes))
    return Outline(path, "LeRobot v3", metas, folder.robot, tuple(folder.cameras), _identity(path), first_images)


def _identity(path: Path) -> str:
    return identity_of(f for f in path.rglob("*") if f.is_file() and f.suffix in (".json", ".parquet", ".mp4"))


def summary(path: Path) -> dict[str, Any]:
    """Returns episodes, frames, hours, fps, robot, cameras, features, tasks, splits and bytes of a LeRobot v3 folder.

    Raises:
        FileError: as `outline`.
    """
    folder = open_lerobot(path)
    lengths = folder.lengths or (0,)
    return {
        "folder": str(path), "episodes": folder.num_episodes, "frames": folder.num_frames,
        "hours": folder.num_frames / folder.fps / 3600.0, "fps": folder.fps, "robot": folder.robot,
        "episode_frames": {"min": min(lengths), "median": float(np.median(lengths)), "max": max(lengths)},
        "cameras": {name: list(folder.features[key].size) for name, key in folder.cameras.items()},
        "features": {key: dataclasses.asdict(feature) for key, feature in folder.features.items()},
        "tasks": dict(collections.Counter(folder.meta(i)["task"] for i in range(folder.num_episodes)).most_common()),
        "splits": folder.splits,
        "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
    }  # fmt: skip


def read(path: Path, options: ReadOptions) -> Stream:
    """Opens a LeRobot v3 folder under the action contract that is given.

    Its cameras become `observation.images.<camera>`; numbers keep their names, and text is left out.

    Raises:
        ContractError: no contract is given, or it does not fit what is there.
        FileError: as `outline`.
    """
    folder = open_lerobot(path)
    action = given_contract(options, str(path), "is a dataset of LeRobot's own, which has none")
    if missing := [key for key in (ACTION, STATE) if key not in folder.features]:
        what = f"has no feature {' and no '.join(missing)}, which training needs"
        raise ContractError(f"{path} {what}; there are: {', '.join(folder.features)}")
    if action.control_hz != folder.fps:
        raise ContractError(f"{path} has {folder.fps:g} frames a second, the contract says {action.control_hz:g} Hz")
    state = folder.features[STATE]
    names = state.names if len(state.names) == int(np.prod(state.shape)) else tuple(map(str, range(*state.shape[:1])))
    sizes = tuple((name, folder.features[key].size) for name, key in folder.cameras.items())

    def episodes(first: int) -> Iterator[Episode | FileError]:
        for i in range(first, folder.num_episodes):
            try:
                yield _episode(folder, i)
            except FileError as error:
                yield error

    facts = {"source": str(path), "content": _identity(path)}
    observation = ObservationContract(sizes, names)
    return Stream(action, observation, folder.num_episodes, episodes, facts, folder.robot or "unknown")


def _episode(folder: LeRobotFolder, i: int) -> Episode:
    numbers = [key for key, feature in folder.features.items() if feature.dtype in DTYPES]
    own = folder.episode(i, [*(k for k in numbers if k not in AUTO_FEATURES), *folder.cameras.values()])
    frames = {key: value for key, value in own.frames.items() if key not in folder.cameras.values()}
    frames |= {key: frames[key].astype(np.float32) for key in (ACTION, STATE)}
    frames |= {image_key(name): own.frames[key] for name, key in folder.cameras.items()}
    return Episode(i, frames, json.loads(json.dumps(own.meta, default=str)))
