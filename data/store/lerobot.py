"""Writing the LeRobotDataset v3 layout from collected episodes: whole or not at all, episode by episode."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
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
from toyshift.core.errors import ContractError, FileError, ToyShiftError, with_remedy
from toyshift.core.files import locked, write_json, write_text
from toyshift.core.progress import track
from toyshift.data.episode import (
    CLOSED,
    EPISODES,
    FINALIZING,
    INDEX_FILE,
    Encoded,
    closed_part,
    episode_files,
    episode_path,
    is_image,
    is_mask,
    read_encoded,
    write_encoded,
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
from toyshift.data.video import VideoFile, clip_crc, is_video_size

Load = Callable[[], Encoded]

FREED_IN = 16  # steps, at most, in which the episodes' own files go


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
    again with all of them. The files of single episodes are removed as soon as the files that they were joined into
    are closed, noted and read back, so that little more room is needed than the episodes have.
    Images above 160 pixels are video (lossy), all others PNG.

    Args:
        folder: folder of the dataset.
        action_contract: what the actions mean.
        observation_contract: cameras and state entries.
        manifest: JSON-able facts about how it was made, see `toyshift.core.manifest`.
        data_file_mb: size at which the next data file is begun [MB].
        robot_type: name of the robot in info.json.

    Raises:
        FileError: there is no episode, a file is truncated or damaged (named), or the disk is too full.
        ContractError: an episode does not fit the contracts or differs in its columns, or the folder was written under
            others.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileError(f"{folder} does not exist; collect episodes first")
    try:
        with locked(folder / ".cache" / "finalize"):
            _swap_in(folder)
            _take_back(folder)
            files = episode_files(folder)
            _refuse_damaged(folder, files)
            sources = _sources(folder, files, action_contract, observation_contract)
            if sources:
                _require_room(folder, observation_contract, data_file_mb)
                layout = _Layout(folder, action_contract, observation_contract, manifest, data_file_mb, robot_type)
                with _tidied(folder):
                    _write(layout, sources)
                write_text(folder / FINALIZING / "READY", "complete: only renames are left\n")
                _swap_in(folder)
            elif not (folder / "meta" / "info.json").exists():
                raise FileError(f"{folder} holds no episodes; collect some first")
            shutil.rmtree(folder / EPISODES, ignore_errors=True)
    except OSError as error:
        told = f"cannot write the dataset in {folder} ({error}); no episode is lost"
        raise FileError(with_remedy(told, error)) from error


def _take_back(folder: Path) -> None:
    """Makes files of their own again of episodes that a `finalize` that was stopped had removed; then removes its work.

    A file that it wrote goes as soon as its last episode is out, so that this needs the room of one of them.
    """
    if part := closed_part(folder):
        dataset = open_dataset(part, lenient=True)  # of which files are gone where this was stopped in turn
        rows = range(dataset.num_episodes)
        last = {file: i for i in rows for file in dataset.files_of(i)}
        files, old = episode_files(folder), _digests(folder)
        for i in rows:
            number = dataset.collected_indices[i]
            if number not in files and old.get(number) != dataset.episode_digest(i):  # the layout may have an older one
                write_encoded(folder, dataclasses.replace(dataset.encoded_with_histograms(i), index=number))
            for file in dataset.files_of(i):
                if last[file] == i:
                    file.unlink(missing_ok=True)
    shutil.rmtree(folder / FINALIZING, ignore_errors=True)


def _digests(folder: Path) -> dict[int, str]:
    """Returns the digests of the episodes in a finished layout, by collected number; none where there is no layout."""
    if not (folder / "meta" / "info.json").exists():
        return {}
    layout = open_dataset(folder)
    return {number: layout.episode_digest(i) for i, number in enumerate(layout.collected_indices)}


@contextlib.contextmanager
def _tidied(folder: Path) -> Iterator[None]:
    """Removes, where writing fails, what was written and is no episode's only place."""
    try:
        yield
    except (OSError, ToyShiftError):
        work, part = folder / FINALIZING, closed_part(folder)
        if part is None:
            shutil.rmtree(work, ignore_errors=True)
            raise
        dataset = open_dataset(part, lenient=True)
        kept = {file.resolve() for i in range(dataset.num_episodes) for file in dataset.files_of(i)}
        for name in ("data", "videos"):
            for file in (work / name).rglob("*"):
                if file.is_file() and file.resolve() not in kept:
                    file.unlink()
        raise


def _require_room(folder: Path, observation: ObservationContract, megabytes: float) -> None:
    """Refuses to begin what the disk will not hold: files that are joined, and the layout that is there already.

    Raises:
        FileError: says how much is needed, and how much is free.
    """
    total, old = _bytes_in(folder / EPISODES), sum(_bytes_in(folder / name) for name in ("data", "videos"))
    videos = sum(is_video_size(size) for _, size in observation.cameras)
    at_once = 1e6 * (megabytes + VIDEO_FILE_MB * videos) + (total + old) / FREED_IN
    need = min(total, at_once) + old
    free = shutil.disk_usage(folder).free
    if free < need:
        raise FileError(
            f"{folder}: writing the dataset takes about {need / 1e6:.1f} MB beside its episodes, {free / 1e6:.1f} MB "
            "are free; no episode is lost: make room and run the same command again"
        )


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


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

    @property
    def full(self) -> bool:
        """Whether the file that is open has reached its size."""
        return self._writer is not None and bool(self._handle.tell() >= self._bytes)

    def add(self, table: Any) -> dict[str, int]:
        """Writes one episode; returns the columns that say where it is."""
        if self.full:
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
        pq.read_metadata(self._path.absolute()).write_metadata_file(str(copy.absolute()))  # a:b/c would be an address


class _VideoFiles:
    """Video files of one camera, each closed when it has reached its size."""

    def __init__(self, root: Path, key: str, fps: float) -> None:
        self._root, self._key, self._fps = root, key, fps
        self._number = -1
        self._file: VideoFile | None = None

    @property
    def full(self) -> bool:
        """Whether the file that is open has reached its size."""
        return self._file is not None and self._file.bytes >= VIDEO_FILE_MB * 1e6

    def add(self, clip: bytes) -> dict[str, int | float]:
        """Appends an episode's clip; returns the columns that say where it is."""
        if self.full or (self._file is not None and not self._file.takes(clip)):
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


class _Layout:
    """A LeRobot layout that is being written, and all that its meta data will say.

    Args:
        folder: of the dataset; the layout grows in its folder FINALIZING.
        action, observation, manifest, megabytes, robot_type: see `finalize`.
    """

    def __init__(
        self, folder: Path, action: ActionContract, observation: ObservationContract, manifest: Mapping[str, Any],
        megabytes: float, robot_type: str,
    ) -> None:
        self.folder, self.work = folder, folder / FINALIZING
        self._action, self._observation, self._manifest = action, observation, manifest
        self._megabytes, self._robot_type = megabytes, robot_type
        self._fps = int(action.control_hz) if float(action.control_hz).is_integer() else action.control_hz
        self._columns: dict[str, Column] = {}
        self._stored: dict[str, Column] = {}  # without videos
        self._running: dict[str, RunningStats] = {}
        self._histograms: dict[str, Any] = {}
        self._tasks: dict[str, int] = {}
        self._rows: list[dict[str, Any]] = []
        self._index: list[str] = []
        self._data: _DataFiles | None = None
        self._videos: dict[str, _VideoFiles] = {}
        self._facts: dict[str, dict[str, int]] = {}  # of closed files: their size and checksum
        self.filled = False  # whether a file has reached its size since all were closed

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, collected: int, episode: Encoded) -> None:
        """Writes the next episode.

        Raises:
            ContractError: it does not fit the contracts, or those before it.
        """
        data = self._data or self._begin(episode)
        if episode.videos.keys() != self._videos.keys():
            different = sorted(episode.videos.keys() ^ self._videos.keys())
            what = f"{different} are video here or in the first episode, and PNG in the other"
            raise ContractError(f"{episode.source}: {what}; collect again into another folder")
        if (its := columns_of(episode)) != self._columns:
            different = sorted(k for k in self._columns.keys() | its.keys() if self._columns.get(k) != its.get(k))
            what = f"columns {different} differ from those of the first episode"
            raise ContractError(f"{episode.source}: {what}; delete the file and collect again")
        number, first = len(self), self._frames(len(self))
        task = str(episode.meta.get("task", ""))
        task_index = self._tasks.setdefault(task, len(self._tasks))
        table = episode_table(
            episode, self._stored, episode_index=number, first_index=first, task_index=task_index, fps=self._fps
        )
        place = data.add(table)
        stats = _episode_stats(episode, number, first, task_index, self._fps, self._running, self._histograms)
        row = _episode_row(number, task, first, len(episode), place, stats)
        for key, clip in episode.videos.items():
            row |= self._videos[key].add(clip)
        facts: dict[str, Any] = {"episode_index": number, "collected_index": collected}
        facts |= {"digest": episode.digest, "meta": episode.meta}
        if self._videos:
            facts["videos"] = {key: clip_crc(clip) for key, clip in episode.videos.items()}
        self._rows.append(row)
        self._index.append(json.dumps(facts, sort_keys=True))
        self.filled = self.filled or data.full or any(files.full for files in self._videos.values())

    def _begin(self, episode: Encoded) -> _DataFiles:
        self._columns = columns_of(episode)
        check_contracts(self._columns, self._action, self._observation, episode.source)
        self._videos = {key: _VideoFiles(self.work, key, self._fps) for key in episode.videos}
        self._stored = {k: c for k, c in self._columns.items() if k not in self._videos}
        self._data = _DataFiles(self.work, self._stored, self._megabytes)
        return self._data

    def _frames(self, count: int) -> int:
        return int(self._rows[count - 1]["dataset_to_index"]) if count else 0

    def _files(self, row: Mapping[str, Any]) -> list[str]:
        """Returns the files that hold an episode."""
        kinds = {"data": DATA_PATH} | {f"videos/{k}": VIDEO_PATH for k in self._videos}
        return [
            path.format(
                video_key=kind.removeprefix("videos/"), chunk_index=row[f"{kind}/chunk_index"],
                file_index=row[f"{kind}/file_index"],
            )
            for kind, path in kinds.items()
        ]

    def close(self) -> None:
        """Closes the files that are open; the next episode begins others."""
        self.filled = False
        for files in (self._data, *self._videos.values()):
            if files is not None:
                files.close()

    def note(self) -> Path:
        """Makes a dataset of the episodes so far, whose files are closed, beside the layout; it links to them.

        Its info.json is written last: a note is whole, or it is none.
        """
        place = self.work / f"{CLOSED}{len(self):07d}"
        place.mkdir()
        for name in ("data", "videos"):
            (place / name).symlink_to(Path("..", name))
        self.describe(place)
        return place

    def describe(self, place: Path) -> None:
        """Writes the meta data of the episodes so far, info.json last; their files are closed."""
        rows, count, frames = self._rows, len(self), self._frames(len(self))
        _write_rows(place / EPISODES_PATH, rows)
        _write_tasks(place / "meta" / "tasks.parquet", self._tasks)
        write_text(place / "meta" / INDEX_FILE, "\n".join(self._index) + "\n")
        total = {k: v.result() for k, v in self._running.items()}
        total |= {k: histogram_stats(h, frames) for k, h in self._histograms.items()}
        statistics = {k: {n: v.tolist() for n, v in s.items()} for k, s in total.items()}
        write_json(place / "meta" / "stats.json", statistics)
        for name in {name for row in rows for name in self._files(row)} - self._facts.keys():
            self._facts[name] = _facts(place / name)
        about = {str(p.relative_to(place)): _facts(p) for p in sorted((place / "meta").rglob("*")) if p.is_file()}
        ours = {
            "version": TOYSHIFT_VERSION, "action_contract": self._action.to_json(),
            "observation_contract": self._observation.to_json(), "manifest": dict(self._manifest),
            "columns": {k: {"dtype": c.dtype, "shape": list(c.shape)} for k, c in self._columns.items()},
            "files": self._facts | about,
        }
        write_json(place / "meta" / "toyshift.json", ours)
        info = {
            "codebase_version": CODEBASE_VERSION, "robot_type": self._robot_type, "fps": self._fps,
            "features": features(self._columns, self._action, self._observation, self._videos, self._fps),
            "total_episodes": count, "total_frames": frames, "total_tasks": len(self._tasks),
            "chunks_size": CHUNKS_SIZE, "data_files_size_in_mb": max(1, round(self._megabytes)),
            "video_files_size_in_mb": VIDEO_FILE_MB, "splits": {"train": f"0:{count}"}, "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
        }
        write_json(place / "meta" / "info.json", info)


def _facts(path: Path) -> dict[str, int]:
    return {"bytes": path.stat().st_size, "crc32": file_crc(path)}


def _write(layout: _Layout, sources: Mapping[int, Load]) -> None:
    """Writes all episodes, and removes the file of each when the files that it was joined into are noted and read back.

    That comes in at most FREED_IN steps: each notes all episodes so far. Each closes the files of all kinds, as the
    one that fills slowest would keep all that the others have written since it began.
    """
    numbers, freed, note = list(sources), 0, None
    step = -(-len(numbers) // FREED_IN)
    with contextlib.closing(layout):
        for number in track(numbers, "write", total=len(numbers), unit="episode"):
            layout.add(number, sources[number]())
            if not layout.filled or len(layout) - freed < step:
                continue
            layout.close()
            before, note = note, layout.note()
            _read_back(note, freed)
            for done in numbers[freed:len(layout)]:
                episode_path(layout.folder, done).unlink(missing_ok=True)
            if before:
                shutil.rmtree(before)
            freed = len(layout)
    layout.describe(layout.work)
    _read_back(layout.work, freed)


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
    pq.write_table(pa.Table.from_pylist(rows), path.absolute(), compression="zstd", write_page_checksum=True)


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
    pq.write_table(table.replace_schema_metadata({"pandas": json.dumps(pandas)}), path.absolute())


def _read_back(place: Path, first: int = 0) -> None:
    """Reads the row groups of a new layout, from episode `first`, before the episodes' own files go."""
    dataset: Dataset = open_dataset(place)
    for i in range(first, dataset.num_episodes):
        written = dataset.encoded(i)
        if not np.isfinite(written.arrays[ACTION]).all():
            raise FileError(f"{written.source}: actions read back are not finite; is the disk failing?")
