"""Writing the LeRobotDataset v3 layout from collected episodes: whole or not at all, episode by episode."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toyshift.core.contract import (
    ACTION,
    STATE,
    ActionContract,
    ObservationContract,
    require_same_contract,
    require_same_observations,
)
from toyshift.core.errors import ContractError, FileError
from toyshift.core.files import locked, write_json, write_text
from toyshift.core.progress import track
from toyshift.data.episode import (
    EPISODES,
    FINALIZING,
    INDEX_FILE,
    Encoded,
    episode_files,
    episode_path,
    is_image,
    is_mask,
    read_encoded,
)
from toyshift.data.store.dataset import Dataset, file_crc, open_dataset
from toyshift.data.store.layout import (
    AUTO_DTYPES,
    CHUNKS_SIZE,
    CODEBASE_VERSION,
    DATA_FILE_MB,
    DATA_PATH,
    EPISODES_PATH,
    FOOTERS,
    TOYSHIFT_VERSION,
    VIDEO_FILE_MB,
    VIDEO_PATH,
    Column,
    auto_columns,
    check_contracts,
    columns_of,
    episode_table,
    features,
    schema,
)
from toyshift.data.store.statistics import RunningStats, Stats, array_stats, histogram_stats
from toyshift.data.video import VideoFile, clip_crc

Load = Callable[[], Encoded]


def finalize(
    folder: Path,
    action_contract: ActionContract,
    observation_contract: ObservationContract,
    manifest: Mapping[str, Any],
    *,
    data_file_mb: float = DATA_FILE_MB,
    robot_type: str = "panda",
) -> None:
    """Turns `<folder>/episodes` into the LeRobot v3 layout in the same folder; one episode in memory at a time.

    Episodes are numbered 0..n-1 in the order of their collected numbers. Killed at any moment and run again it
    completes; run on a finished folder it does nothing; run after more episodes were collected it writes the layout
    again with all of them. The files of single episodes are removed once the layout has been written and read back.
    Images above 160 pixels are video (lossy), all others PNG.

    Args:
        folder: folder of the dataset.
        action_contract: what the actions mean.
        observation_contract: cameras and state entries.
        manifest: JSON-able facts about how it was made, see `toyshift.core.manifest`.
        data_file_mb: size at which the next data file is begun [MB].
        robot_type: name of the robot in info.json.

    Raises:
        FileError: there is no episode, a file is truncated or damaged (named), or the disk is full.
        ContractError: an episode does not fit the contracts or differs in its columns, or the folder was written under
            others.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileError(f"{folder} does not exist; collect episodes first")
    try:
        with locked(folder / ".cache" / "finalize"):
            work = folder / FINALIZING
            _swap_in(folder)
            shutil.rmtree(work, ignore_errors=True)
            files = episode_files(folder)
            _refuse_damaged(folder, files)
            sources = _sources(folder, files, action_contract, observation_contract)
            if sources:
                _write(work, sources, action_contract, observation_contract, manifest, data_file_mb, robot_type)
                _read_back(work)
                write_text(work / "READY", "complete: only renames are left\n")
                _swap_in(folder)
            elif not (folder / "meta" / "info.json").exists():
                raise FileError(f"{folder} holds no episodes; collect some first")
            shutil.rmtree(folder / EPISODES, ignore_errors=True)
    except OSError as error:
        remedy = "no episode is lost: make room and run the command again"
        raise FileError(f"cannot write the dataset in {folder} ({error}); {remedy}") from error


def _swap_in(folder: Path) -> None:
    """Moves a complete layout into place; every step can be repeated, meta/ (and so info.json) comes last."""
    work = folder / FINALIZING
    if not (work / "READY").exists():
        return
    for name in ("data", "videos", "meta"):
        if (work / name).exists():
            shutil.rmtree(folder / name, ignore_errors=True)
            (work / name).replace(folder / name)
    shutil.rmtree(folder / EPISODES, ignore_errors=True)
    (work / "READY").unlink()
    shutil.rmtree(work, ignore_errors=True)


def _refuse_damaged(folder: Path, files: set[int]) -> None:
    whole = {episode_path(folder, i) for i in files}
    damaged = sorted(str(p) for p in (folder / EPISODES).glob("episode-*.npz") if p not in whole)
    if damaged:
        others = f"the other {len(whole)} episodes are whole"
        raise FileError(f"truncated: {', '.join(damaged[:5])}. Delete and collect again; {others}")


def _sources(
    folder: Path, files: set[int], action: ActionContract, observation: ObservationContract
) -> dict[int, Load]:
    """Returns what to write, by collected number; nothing when the layout already holds every file."""

    sources: dict[int, Load] = {i: functools.partial(read_encoded, folder, i) for i in files}
    if not (folder / "meta" / "info.json").exists():
        return dict(sorted(sources.items()))
    old = open_dataset(folder)
    require_same_contract(old.action_contract, action, str(folder), "the new episodes")
    require_same_observations(old.observation_contract, observation, str(folder), "the new episodes")
    stored = dict(zip(old.collected_indices, range(old.num_episodes), strict=True))
    if all(i in stored and read_encoded(folder, i).digest == old.episode_digest(stored[i]) for i in files):
        return {}

    old_ones: dict[int, Load] = {i: functools.partial(old.encoded_with_histograms, row) for i, row in stored.items()}
    return dict(sorted((old_ones | sources).items()))


class _DataFiles:
    """Data files with one row group per episode, each closed when it has reached its size."""

    def __init__(self, root: Path, columns: Mapping[str, Column], megabytes: float) -> None:
        self._root, self._bytes = root, megabytes * 1e6
        self._schema = schema(columns)
        # PNG files neither compress nor repeat; numbers do both.
        pngs = [k for k in columns if is_image(k) or is_mask(k)]
        leaves = [f"{k}.bytes" if is_image(k) else k for k in pngs]
        names = [f"{k}.path" for k in pngs if is_image(k)]
        paths = [_leaf(k, column) for k, column in columns.items() if k not in pngs] + list(AUTO_DTYPES)
        self._options: dict[str, Any] = {
            "compression": dict.fromkeys(paths + names, "zstd") | dict.fromkeys(leaves, "none"),
            "use_dictionary": [*AUTO_DTYPES, *names],
            "write_statistics": list(AUTO_DTYPES),
            "write_page_checksum": True,
        }
        self._number = -1
        self._path = root
        self._handle: Any = None
        self._writer: Any = None

    def add(self, table: Any) -> dict[str, int]:
        """Writes one episode; returns the columns that say where it is."""
        if self._writer is not None and self._handle.tell() >= self._bytes:
            self.close()
        if self._writer is None:
            self._number += 1
            self._path = self._root / DATA_PATH.format(**_place(self._number))
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = pa.OSFile(str(self._path), "wb")
            self._writer = pq.ParquetWriter(self._handle, self._schema, **self._options)
        self._writer.write_table(table, row_group_size=table.num_rows)
        return {f"data/{k}": v for k, v in _place(self._number).items()}

    def close(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._handle.close()
        self._writer = None
        # where each episode lies is written at a file's end: of one that is cut off, a copy saves the episodes before
        copy = self._root / FOOTERS / self._path.relative_to(self._root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        pq.read_metadata(self._path).write_metadata_file(str(copy))


class _VideoFiles:
    """Video files of one camera, each closed when it has reached its size."""

    def __init__(self, root: Path, key: str, fps: float) -> None:
        self._root, self._key, self._fps = root, key, fps
        self._number = -1
        self._file: VideoFile | None = None

    def add(self, clip: bytes) -> dict[str, int | float]:
        """Appends an episode's clip; returns the columns that say where it is."""
        if self._file is not None and (self._file.bytes >= VIDEO_FILE_MB * 1e6 or not self._file.takes(clip)):
            self.close()
        if self._file is None:
            self._number += 1
            path = VIDEO_PATH.format(video_key=self._key, **_place(self._number))
            self._file = VideoFile(self._root / path, self._fps)
        begin, end = self._file.add(clip)
        place = _place(self._number) | {"from_timestamp": begin, "to_timestamp": end}
        return {f"videos/{self._key}/{k}": v for k, v in place.items()}

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _place(number: int) -> dict[str, int]:
    """Returns the chunk of a file, and its number there."""
    return {"chunk_index": number // CHUNKS_SIZE, "file_index": number % CHUNKS_SIZE}


def _leaf(key: str, column: Column) -> str:
    """Returns Parquet's path of a number column, which names each level of lists."""
    return key if column.shape in ((), (1,)) else key + ".list.element" * len(column.shape)


def _write(
    work: Path, sources: Mapping[int, Load], action: ActionContract, observation: ObservationContract,
    manifest: Mapping[str, Any], megabytes: float, robot_type: str,
) -> None:
    fps = int(action.control_hz) if float(action.control_hz).is_integer() else action.control_hz
    columns: dict[str, Column] = {}
    stored: dict[str, Column] = {}  # without videos
    running: dict[str, RunningStats] = {}
    histograms: dict[str, Any] = {}
    tasks: dict[str, int] = {}
    rows: list[dict[str, Any]] = []
    index: list[str] = []
    frames = 0
    data: _DataFiles | None = None
    videos: dict[str, _VideoFiles] = {}
    with contextlib.ExitStack() as stack:
        for number, (collected, load) in enumerate(track(sources.items(), "write", total=len(sources), unit="episode")):
            episode = load()
            if data is None:
                columns = columns_of(episode)
                check_contracts(columns, action, observation, episode.source)
                videos = {key: _VideoFiles(work, key, fps) for key in episode.videos}
                stored = {k: c for k, c in columns.items() if k not in videos}
                data = _DataFiles(work, stored, megabytes)
                stack.callback(data.close)
                for files in videos.values():
                    stack.callback(files.close)
            if episode.videos.keys() != videos.keys():
                different = sorted(episode.videos.keys() ^ videos.keys())
                what = f"{different} are video here or in the first episode, and PNG in the other"
                raise ContractError(f"{episode.source}: {what}; collect again into another folder")
            if (its := columns_of(episode)) != columns:
                different = sorted(k for k in columns.keys() | its.keys() if columns.get(k) != its.get(k))
                what = f"columns {different} differ from those of the first episode"
                raise ContractError(f"{episode.source}: {what}; delete the file and collect again")
            task = str(episode.meta.get("task", ""))
            task_index = tasks.setdefault(task, len(tasks))
            table = episode_table(
                episode, stored, episode_index=number, first_index=frames, task_index=task_index, fps=fps
            )
            place = data.add(table)
            stats = _episode_stats(episode, number, frames, task_index, fps, running, histograms)
            rows.append(_episode_row(number, task, frames, len(episode), place, stats))
            for key, clip in episode.videos.items():
                rows[-1] |= videos[key].add(clip)
            facts: dict[str, Any] = {"episode_index": number, "collected_index": collected}
            facts |= {"digest": episode.digest, "meta": episode.meta}
            if videos:
                facts["videos"] = {key: clip_crc(clip) for key, clip in episode.videos.items()}
            index.append(json.dumps(facts, sort_keys=True))
            frames += len(episode)
    _write_rows(work / EPISODES_PATH, rows)
    _write_tasks(work / "meta" / "tasks.parquet", tasks)
    write_text(work / "meta" / INDEX_FILE, "\n".join(index) + "\n")
    total = {k: v.result() for k, v in running.items()} | {k: histogram_stats(h, frames) for k, h in histograms.items()}
    write_json(work / "meta" / "stats.json", {k: {n: v.tolist() for n, v in s.items()} for k, s in total.items()})
    written = sorted(p for p in work.rglob("*") if p.is_file())
    ours = {
        "version": TOYSHIFT_VERSION, "action_contract": action.to_json(), "observation_contract": observation.to_json(),
        "manifest": dict(manifest),
        "columns": {k: {"dtype": c.dtype, "shape": list(c.shape)} for k, c in columns.items()},
        "files": {str(p.relative_to(work)): {"bytes": p.stat().st_size, "crc32": file_crc(p)} for p in written},
    }
    write_json(work / "meta" / "toyshift.json", ours)
    info = {
        "codebase_version": CODEBASE_VERSION, "robot_type": robot_type, "fps": fps,
        "features": features(columns, action, observation, videos, fps),
        "total_episodes": len(rows), "total_frames": frames, "total_tasks": len(tasks), "chunks_size": CHUNKS_SIZE,
        "data_files_size_in_mb": max(1, round(megabytes)), "video_files_size_in_mb": VIDEO_FILE_MB,
        "splits": {"train": f"0:{len(rows)}"}, "data_path": DATA_PATH, "video_path": VIDEO_PATH,
    }
    write_json(work / "meta" / "info.json", info)


def _episode_stats(
    episode: Encoded, number: int, first: int, task_index: int, fps: float, running: dict[str, RunningStats],
    histograms: dict[str, Any],
) -> dict[str, Stats]:
    """Returns one episode's statistics, and adds it to those of the dataset."""
    columns = {k: v[:, None] for k, v in auto_columns(len(episode), number, first, task_index, fps).items()}
    columns |= {k: episode.arrays[k] for k in (STATE, ACTION)}
    out = {}
    for key, value in columns.items():
        out[key] = array_stats(value)
        running.setdefault(key, RunningStats()).add(value)
    for key, histogram in episode.histograms.items():
        out[key] = histogram_stats(histogram, len(episode))
        histograms[key] = histograms.get(key, 0) + histogram
    return out


def _episode_row(
    number: int, task: str, first: int, length: int, place: dict[str, int], stats: Mapping[str, Stats]
) -> dict[str, Any]:
    row: dict[str, Any] = {"episode_index": number, "tasks": [task], "length": length, **place}
    row |= {"dataset_from_index": first, "dataset_to_index": first + length}
    row |= {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0}
    return row | {f"stats/{key}/{name}": v.tolist() for key, values in stats.items() for name, v in values.items()}


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd", write_page_checksum=True)


def _write_tasks(path: Path, tasks: Mapping[str, int]) -> None:
    """Writes the task table as pandas would, with the task as index, without needing pandas."""
    numbers, names = pa.array(list(tasks.values()), pa.int64()), pa.array(list(tasks), pa.string())
    table = pa.table({"task_index": numbers, "task": names})

    def about(name: str | None, pandas: str, numpy: str, metadata: dict[str, str] | None = None) -> dict[str, Any]:
        said = {"field_name": name, "name": name, "pandas_type": pandas, "numpy_type": numpy}
        return said | {"metadata": metadata}

    pandas = {
        "index_columns": ["task"], "column_indexes": [about(None, "unicode", "object", {"encoding": "UTF-8"})],
        "columns": [about("task_index", "int64", "int64"), about("task", "unicode", "object")],
        "creator": {"library": "pyarrow", "version": pa.__version__}, "pandas_version": "2.0.0",
    }
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path)


def _read_back(work: Path) -> None:
    """Reads every row group of a new layout before the episodes' own files go."""
    dataset: Dataset = open_dataset(work)
    for i in range(dataset.num_episodes):
        written = dataset.encoded(i)
        if not np.isfinite(written.arrays[ACTION]).all():
            raise FileError(f"{written.source}: actions read back are not finite; is the disk failing?")
