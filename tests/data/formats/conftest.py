"""Small LeRobot v3 datasets for tests: one that LeRobot 0.4.4 wrote, and others, without images, as it would."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PICK = Path(__file__).parent / "lerobot_pick"  # tests/interop/lerobot_writes.py made it
NAMES = [f"joint_{k}" for k in range(3)]


def pick(folder: Path) -> Path:
    """Returns a copy of the dataset that LeRobot wrote: 4 episodes, a video, an image column, chunks of two files."""
    return Path(shutil.copytree(PICK, folder))


def walk(seed: int, length: int = 20, start: Sequence[float] | None = None) -> np.ndarray:
    """Returns the states of an arm that wanders, (T, 3)."""
    rng = np.random.default_rng(seed)
    first = rng.normal(size=3) if start is None else np.asarray(start)
    return (first + np.cumsum(rng.normal(size=(length, 3)) * 0.05, axis=0)).astype(np.float32)


def write_v3(
    folder: Path, states: Sequence[np.ndarray], *, tasks: Sequence[str] = (), noted: Mapping[str, Sequence[Any]] = {},
    constant: Mapping[str, Sequence[int]] = {}, info: Mapping[str, Any] = {},
) -> Path:
    """Writes a dataset whose action is the next state, in one row group, as LeRobot's conversions do.

    Args:
        folder: new.
        states: (T, 3) of each episode.
        tasks: of each; all the same by default.
        noted: columns of meta/episodes.
        constant: features that are one number in each episode.
        info: entries of info.json in place of the usual ones.
    """
    tasks = tasks or ["pick"] * len(states)
    names = list(dict.fromkeys(tasks))
    lengths = [len(s) for s in states]
    begins = np.cumsum([0, *lengths[:-1]]).tolist()
    state = np.concatenate(states)
    action = np.concatenate([np.concatenate([s[1:], s[-1:]]) for s in states])

    def each(values: Sequence[int]) -> Any:
        return pa.array(np.repeat(np.asarray(values, np.int64), lengths))

    steps = np.concatenate([np.arange(n) for n in lengths])
    table = pa.table({
        "observation.state": pa.FixedSizeListArray.from_arrays(pa.array(state.ravel()), 3),
        "action": pa.FixedSizeListArray.from_arrays(pa.array(action.ravel()), 3),
        **{key: each(values) for key, values in constant.items()},
        "timestamp": (steps / 15.0).astype(np.float32), "frame_index": steps, "episode_index": each(range(len(states))),
        "index": np.arange(len(steps)), "task_index": each([names.index(task) for task in tasks]),
    })  # fmt: skip
    for part in ("data/chunk-000", "meta/episodes/chunk-000"):
        (folder / part).mkdir(parents=True)
    pq.write_table(table, folder / "data/chunk-000/file-000.parquet")
    rows = {
        "episode_index": range(len(states)), "tasks": [[task] for task in tasks], "length": lengths,
        "data/chunk_index": [0] * len(states), "data/file_index": [0] * len(states), "dataset_from_index": begins,
        "dataset_to_index": [b + n for b, n in zip(begins, lengths, strict=True)], **noted,
    }  # fmt: skip
    pq.write_table(pa.table({k: list(v) for k, v in rows.items()}), folder / "meta/episodes/chunk-000/file-000.parquet")
    pq.write_table(pa.table({"task_index": range(len(names)), "task": names}), folder / "meta/tasks.parquet")
    stats = {key: {name: getattr(v, name)(0).tolist() for name in ("mean", "std", "min", "max")} for key, v in (
        ("observation.state", state), ("action", action))}  # fmt: skip
    (folder / "meta/stats.json").write_text(json.dumps(stats))
    number = {"dtype": "int64", "shape": [1], "names": None}
    features = {key: {"dtype": "float32", "shape": [3], "names": NAMES} for key in ("observation.state", "action")}
    features |= dict.fromkeys([*constant, "frame_index", "episode_index", "index", "task_index"], number)
    features["timestamp"] = {"dtype": "float32", "shape": [1], "names": None}
    usual = {
        "codebase_version": "v3.0", "robot_type": "arm", "fps": 15, "features": features,
        "splits": {"train": f"0:{len(states)}"}, "total_episodes": len(states), "total_frames": len(state),
        "chunks_size": 1000,
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet", "video_path": None,
    }  # fmt: skip
    (folder / "meta/info.json").write_text(json.dumps(usual | dict(info)))
    return folder


def rewrite(folder: Path, name: str, **columns: Any) -> None:
    """Puts other columns into a Parquet file of a dataset."""
    path = folder / name
    table = pq.read_table(path)
    for key, values in columns.items():
        key = key.replace("__", ".")
        array, place = pa.array(values, table[key].type), table.column_names.index(key)
        table = table.set_column(place, table.schema.field(key), array)
    pq.write_table(table, path)


class Files:
    """What the tests make LeRobot datasets with."""

    pick, walk, write, rewrite = map(staticmethod, (pick, walk, write_v3, rewrite))


@pytest.fixture
def v3() -> type[Files]:
    return Files
