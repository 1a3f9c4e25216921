"""Any LeRobot v3 dataset, of ours or of others, read as it lies on the disk: without a contract, and without lerobot.

Whatever its features and cameras are called, images or videos, one file or many chunks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from toyshift.core.contract import IMAGE_PREFIX
from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.data.episode import AUTO_FEATURES, Episode
from toyshift.data.formats.lerobot_meta import (
    PLACES,
    RESTORE,
    StoredFeature,
    episode_rows,
    features_of,
    splits_of,
    tasks_of,
    whole_statistics,
)
from toyshift.data.formats.outline import picture
from toyshift.data.store.dataset import FROM, read_info
from toyshift.data.store.layout import VIDEO_PATH, Column, from_arrow

_LATE = 0.5  # periods that a video's frame may be off its time
_DAMAGE = (pa.ArrowException, OSError, ValueError, IndexError, KeyError, TypeError)


class LeRobotFolder:
    """A LeRobot v3 dataset.

    Attributes:
        folder: where it lies.
        info: contents of meta/info.json.
        fps: frames per second [Hz].
        robot: name of the robot; "" where it is not told.
        features: key -> what is stored of each frame, LeRobot's automatic columns (`timestamp`, ...) included.
        cameras: name -> key of the images, in order.
        tasks: the instructions of meta/tasks.parquet, by their number.
        splits: name -> "FIRST:END", as info.json says it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.info = read_info(self.folder)
        self.features = features_of(self.folder, self.info)
        self.fps = _fps(self.folder, self.info["fps"])
        self.robot = str(self.info.get("robot_type") or "")
        pictures = (key for key, feature in self.features.items() if feature.is_picture)
        self.cameras = {key.removeprefix(IMAGE_PREFIX).removeprefix("observation."): key for key in pictures}
        self.rows = episode_rows(self.folder)
        self.tasks = tasks_of(self.folder)
        self.splits = splits_of(self.folder, self.info)
        self._begins: dict[Path, int] = {}  # number of each data file's first frame
        for i in range(self.num_episodes):
            self._begins.setdefault(self.file_of(i), int(self.rows[i]["dataset_from_index"]))
        self._opened: tuple[Path, Any, list[int]] | None = None
        self._groups: dict[tuple[str, ...], tuple[Path, int, Any]] = {}  # the last row group that was read of columns

    @property
    def num_episodes(self) -> int:
        return len(self.rows)

    @property
    def num_frames(self) -> int:
        return sum(self.lengths)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of frames of each episode."""
        return tuple(int(row["length"]) for row in self.rows)

    def __len__(self) -> int:
        return self.num_episodes

    def __iter__(self) -> Iterator[Episode]:
        return (self.episode(i) for i in range(self.num_episodes))

    def meta(self, i: int) -> dict[str, Any]:
        """Returns what is noted of episode i: its task, and columns of meta/episodes that are not LeRobot's own."""
        row = self._row(i)
        own = ("episode_index", "tasks", "length", *PLACES)
        more = {k: v for k, v in row.items() if k not in own and not k.startswith("videos/")}
        return {"task": ", ".join(row["tasks"] or ()), **more}

    def episode(self, i: int, keys: Iterable[str] | None = None) -> Episode:
        """Reads and decodes episode i.

        Args:
            i: 0 <= i < num_episodes.
            keys: features to read; None for all but the automatic ones. Images of a long episode are large: `images`
                hands them out one by one.

        Returns:
            frames: number columns (T, ...), strings (T,), images (T, H, W, 3) uint8 sRGB, under their own keys.

        Raises:
            UnknownNameError: there is no such feature.
            FileError: a file is missing or damaged, or holds something else than meta/ says.
        """
        wanted = [k for k in self.features if k not in AUTO_FEATURES] if keys is None else list(keys)
        frames = self.columns(i, [k for k in wanted if not self._feature(k).is_picture])
        frames |= {k: np.stack(list(self.images(i, k))) for k in wanted if self._feature(k).is_picture}
        return Episode(i, frames, self.meta(i))

    def columns(self, i: int, keys: Iterable[str]) -> dict[str, NDArray[Any]]:
        """Reads features of episode i that are no images: numbers (T, ...), strings (T,); raises as `episode`."""
        wanted = {key: self._feature(key) for key in keys}
        table = self._table(i, tuple(wanted))
        where = self._where(i)
        return {key: _array(table[key], feature, f"{where}, {key}") for key, feature in wanted.items()}

    def images(self, i: int, key: str) -> Iterator[NDArray[np.uint8]]:
        """Yields the T images (H, W, 3) of a camera's key, in whatever codec PyAV decodes; raises as `episode`."""
        if self._feature(key).dtype == "video":
            return self._of_video(i, key, int(self._row(i)["length"]))
        return (self._picture(i, key, t, cell) for t, cell in enumerate(self._table(i, (key,))[key]))

    def first_image(self, i: int, key: str) -> NDArray[np.uint8]:
        """Returns the image (H, W, 3) with which episode i begins, and decodes no other; raises as `episode`."""
        if self._feature(key).dtype == "video":
            return next(self._of_video(i, key, 1))
        return self._picture(i, key, 0, self._table(i, (key,))[key][0])

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Returns meta/stats.json: feature -> min, max, mean, std, count, quantiles; {} where there is none.

        Raises:
            FileError: it is damaged.
        """
        return whole_statistics(self.folder)

    def file_of(self, i: int) -> Path:
        """Returns the data file that holds episode i."""
        row = self._row(i)
        return self._path("data_path", chunk_index=row["data/chunk_index"], file_index=row["data/file_index"])

    def _path(self, template: str, **numbers: Any) -> Path:
        """Returns a file by one of info.json's templates."""
        said = self.info.get(template) or VIDEO_PATH
        try:
            return self.folder / str(said).format(**numbers)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            what = f"{template} is {said!r}, into which {', '.join(numbers)} do not go"
            raise FileError(f"{self.folder / 'meta' / 'info.json'}: {what}; {RESTORE}") from error

    def video_of(self, i: int, key: str) -> tuple[Path, float]:
        """Returns the video file that holds episode i, and when the episode begins there [s]."""
        row = self._row(i)
        try:
            chunk, file = (row[f"videos/{key}/{name}"] for name in ("chunk_index", "file_index"))
            begin = float(row[f"videos/{key}/{FROM}"])
        except (KeyError, TypeError) as error:
            raise FileError(f"{self.folder}: episode {i} tells no place of its video {key}; {RESTORE}") from error
        return self._path("video_path", video_key=key, chunk_index=chunk, file_index=file), begin

    # ---------------------------------------------------------------- inside

    def _row(self, i: int) -> dict[str, Any]:
        if not 0 <= i < len(self.rows):
            raise ConfigError(f"{self.folder} has no episode {i}; available: 0..{len(self.rows) - 1}")
        return self.rows[i]

    def _feature(self, key: str) -> StoredFeature:
        if key not in self.features:
            raise UnknownNameError(f"feature of {self.folder}", key, self.features)
        return self.features[key]

    def _where(self, i: int) -> str:
        return f"{self.file_of(i)}, episode {i}"

    def _table(self, i: int, keys: tuple[str, ...]) -> Any:
        """Reads an episode's rows of columns; only the row groups with one of them, and the last one only once."""
        path, where, row = self.file_of(i), self._where(i), self._row(i)
        columns = (*keys, *(name for name in ("episode_index",) if name not in keys))
        try:
            if self._opened is None or self._opened[0] != path:
                opened = pq.ParquetFile(path.absolute())  # Arrow takes a:b/c for an address
                sizes = [opened.metadata.row_group(g).num_rows for g in range(opened.num_row_groups)]
                self._opened = (path, opened, np.cumsum([0, *sizes]).tolist())
            _, opened, ends = self._opened
            first = int(row["dataset_from_index"]) - self._begins[path]
            last = first + int(row["length"])
            groups = [g for g in range(len(ends) - 1) if ends[g] < last and ends[g + 1] > first]
            pieces = [self._group(path, opened, g, columns) for g in groups]
            pieces = pieces or [opened.schema_arrow.empty_table()]
            table = pa.concat_tables(pieces).slice(first - ends[groups[0]] if groups else 0, last - first)
        except FileNotFoundError as error:
            raise FileError(f"{where}: the file is missing; {RESTORE}") from error
        except _DAMAGE as error:
            raise FileError(f"{where}: unreadable ({type(error).__name__}: {error}); {RESTORE}") from error
        if missing := [name for name in columns if name not in table.column_names]:
            raise FileError(f"{where}: columns of info.json are missing: {', '.join(missing)}; {RESTORE}")
        there = table["episode_index"].to_pylist()
        if not there or there != [i] * int(row["length"]):
            held = ", ".join(map(str, sorted(set(there)))) or "none"
            found = f"{len(there)} frames of episodes {held}"
            raise FileError(f"{where}: meta/episodes promises {row['length']} frames there, and it holds {found}")
        return table

    def _group(self, path: Path, opened: Any, number: int, columns: tuple[str, ...]) -> Any:
        kept = self._groups.get(columns)
        if kept is None or kept[:2] != (path, number):
            kept = self._groups[columns] = (path, number, opened.read_row_group(number, columns=list(columns)))
        return kept[2]

    def _picture(self, i: int, key: str, t: int, cell: Any) -> NDArray[np.uint8]:
        where, value = f"{self._where(i)}, {key}, frame {t}", cell.as_py() or {}
        data = value.get("bytes")
        if data is None and value.get("path"):  # an image file of its own
            try:
                data = (self.folder / str(value["path"])).read_bytes()
            except OSError as error:
                raise FileError(f"{where}: the image {value['path']} is missing ({error}); {RESTORE}") from error
        return picture(data or b"", where)

    def _of_video(self, i: int, key: str, count: int) -> Iterator[NDArray[np.uint8]]:
        """Yields the first images of an episode, each the one that is shown at its time."""
        name, begin = self.video_of(i, key)
        where, period, found = f"{name}, episode {i}", 1.0 / self.fps, 0
        try:
            with av.open(str(name)) as container:
                stream = container.streams.video[0]
                container.seek(max(0, int(begin / stream.time_base)), stream=stream)
                for frame in _decoded(container, stream, begin + (count - _LATE) * period):
                    early = frame.time is None or frame.time < begin + (found - _LATE) * period
                    if early:
                        continue
                    if frame.time > begin + (found + _LATE) * period:
                        break
                    found += 1
                    yield np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
                    if found == count:
                        return
        except FileNotFoundError as error:
            raise FileError(f"{where}: the file is missing; {RESTORE}") from error
        except (av.FFmpegError, *_DAMAGE) as error:
            raise FileError(f"{where}: unreadable ({type(error).__name__}: {error}); {RESTORE}") from error
        at = f"{begin + found * period:.3f} s"
        said = f"the video has no frame for frame {found} of the episode ({at}; {found} of {count} were found)"
        raise FileError(f"{where}: {said}; {RESTORE}")


def _decoded(container: Any, stream: Any, end: float) -> Iterator[Any]:
    """Yields a video's frames; decoders make something of a packet that is cut off, and say nothing.

    Raises:
        ValueError: a packet before `end` [s] is.
    """
    for packet in container.demux(stream):
        if packet.is_corrupt and (packet.pts is None or packet.pts * packet.time_base < end):
            raise ValueError("the file is cut off")
        yield from packet.decode()


def open_lerobot(folder: Path) -> LeRobotFolder:
    """Opens a LeRobot v3 dataset of anybody's by its meta data.

    Raises:
        FileError: a file of meta/ is missing or damaged, or it is of another version of the layout.
    """
    return LeRobotFolder(Path(folder))


def _fps(folder: Path, said: Any) -> float:
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 < said < float("inf"):
        raise FileError(f"{folder / 'meta' / 'info.json'}: fps is {said!r}; it must be a number above 0; {RESTORE}")
    return float(said)


def _array(values: Any, feature: StoredFeature, where: str) -> NDArray[Any]:
    if feature.dtype in ("string", "language"):
        return np.asarray([str(v) for v in values.to_pylist()])
    try:
        column = Column(np.dtype(feature.dtype).name, () if feature.shape == (1,) else feature.shape)
    except TypeError as error:
        raise FileError(f"{where}: columns of dtype {feature.dtype!r} are not known; leave them out") from error
    try:
        array = from_arrow(values, column, where)
    except (ValueError, pa.ArrowException) as error:
        raise FileError(f"{where}: no numbers of dtype {feature.dtype} ({error}); {RESTORE}") from error
    return array.reshape(len(array), *feature.shape)
