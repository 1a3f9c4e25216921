"""LeRobot v3 folders of others as an outline: tasks, cameras, robot and first images; their actions stay unknown."""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from toyshift.core.contract import IMAGE_PREFIX
from toyshift.core.errors import FileError
from toyshift.data.formats.outline import Outline, identity_of, picture
from toyshift.data.store.dataset import FROM, read_info
from toyshift.data.store.layout import VIDEO_PATH

_RESTORE = "restore it from a copy, or download it again"


def outline(path: Path) -> Outline:
    """Opens a LeRobot v3 folder by its meta data.

    Raises:
        FileError: a file of meta/ is missing or damaged, or it is of another version of the layout.
    """
    info = read_info(path)
    kinds = {key: feature["dtype"] for key, feature in info["features"].items()}
    keys = {_camera(key): key for key, kind in kinds.items() if kind in ("image", "video")}
    episodes = _episodes(path)

    def first_images(camera: str, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        key = keys[camera]
        return (_of_video if kinds[key] == "video" else _of_column)(path, info, key, episodes, numbers)

    metas = tuple({"task": ", ".join(episode["tasks"] or ())} for episode in episodes)
    files = (file for file in path.rglob("*") if file.is_file() and file.suffix in (".json", ".parquet", ".mp4"))
    robot = str(info.get("robot_type") or "")
    return Outline(path, "LeRobot v3", metas, robot, tuple(keys), identity_of(files), first_images)


def _camera(key: str) -> str:
    return key.removeprefix(IMAGE_PREFIX).removeprefix("observation.")


def _episodes(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of meta/episodes in order, without their statistics."""
    rows: list[dict[str, Any]] = []
    files = sorted((path / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise FileError(f"{path}: there is no file of episodes in meta/episodes; {_RESTORE}")
    for file in files:
        try:
            there = pq.read_schema(file.absolute()).names  # Arrow takes a:b/c for an address
            wanted = [name for name in there if not name.startswith(("stats/", "meta/"))]
            rows += pq.read_table(file.absolute(), columns=wanted).to_pylist()
        except (pa.ArrowException, OSError, ValueError) as error:
            raise FileError(f"{file} is unreadable ({error}); {_RESTORE}") from error
        needed = ("episode_index", "tasks", "data/chunk_index", "data/file_index", "dataset_from_index")
        if missing := [name for name in needed if name not in there]:
            raise FileError(f"{file}: the columns {', '.join(missing)} are missing; {_RESTORE}")
    return sorted(rows, key=lambda row: int(row["episode_index"]))


def _of_column(
    path: Path, info: Mapping[str, Any], key: str, episodes: Sequence[Mapping[str, Any]], numbers: Sequence[int]
) -> Iterator[NDArray[np.uint8]]:
    """Yields first images that lie in the data files; of a file only the row groups with one of them are read."""
    def file_of(episode: Mapping[str, Any]) -> Path:
        chunk, file = episode["data/chunk_index"], episode["data/file_index"]
        return path / str(info["data_path"]).format(chunk_index=chunk, file_index=file)

    begins: dict[Path, int] = {}  # number of each file's first frame
    for episode in episodes:
        begins.setdefault(file_of(episode), episode["dataset_from_index"])
    name: Path | None = None
    opened: Any = None
    table: Any = None
    group, ends, sizes = -1, [0], [0]
    for number in numbers:
        file = file_of(episodes[number])
        where = f"{file}, episode {number}"
        try:
            if file != name:
                name, opened, group = file, pq.ParquetFile(file.absolute()), -1
                sizes = [opened.metadata.row_group(g).num_rows for g in range(opened.num_row_groups)]
                ends = np.cumsum(sizes).tolist()
            row = episodes[number]["dataset_from_index"] - begins[file]
            if (found := bisect.bisect_right(ends, row)) != group:
                group, table = found, opened.read_row_group(found, columns=[key])[key]
            data = table[row - ends[group] + sizes[group]].as_py()["bytes"]
        except (pa.ArrowException, OSError, ValueError, IndexError, KeyError, TypeError) as error:
            raise FileError(f"{where}: unreadable ({type(error).__name__}: {error}); {_RESTORE}") from error
        yield picture(data or b"", where)


def _of_video(
    path: Path, info: Mapping[str, Any], key: str, episodes: Sequence[Mapping[str, Any]], numbers: Sequence[int]
) -> Iterator[NDArray[np.uint8]]:
    """Yields first images that lie in video files, in whatever codec PyAV decodes."""
    template, half = str(info.get("video_path") or VIDEO_PATH), 0.5 / float(info["fps"])
    for number in numbers:
        episode = episodes[number]
        try:
            chunk, file = (episode[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index"))
            begin = float(episode[f"videos/{key}/{FROM}"])  # [s]
        except (KeyError, TypeError) as error:
            raise FileError(f"{path}: episode {number} tells no place of its video {key}; {_RESTORE}") from error
        name = path / template.format(video_key=key, chunk_index=chunk, file_index=file)
        try:
            with av.open(str(name)) as container:
                stream = container.streams.video[0]
                container.seek(int(begin / stream.time_base), stream=stream)
                frame = next(f for f in container.decode(stream) if f.time is not None and f.time >= begin - half)
                image = frame.to_ndarray(format="rgb24")
        except (av.FFmpegError, OSError, IndexError, ValueError, StopIteration) as error:
            why = f"{type(error).__name__}: {error}"
            raise FileError(f"{name}, episode {number}: unreadable ({why}); {_RESTORE}") from error
        yield np.asarray(image, dtype=np.uint8)
