"""What meta/ of a LeRobot v3 dataset of anybody's says: its features, episodes and tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from toyshift.core.arrays import Array
from toyshift.core.errors import FileError
from toyshift.core.files import read_json

RESTORE = "restore it from a copy, or download it again"
PLACES = ("data/chunk_index", "data/file_index", "dataset_from_index", "dataset_to_index")
_NEEDED = ("episode_index", "tasks", "length", *PLACES[:3])


@dataclasses.dataclass(frozen=True)
class StoredFeature:
    """What info.json says of one feature.

    Attributes:
        dtype: "image", "video", "string" or that of numbers.
        shape: of one frame; of images (H, W, C) or (C, H, W), as their names say.
        names: of its entries, () where they are not told.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] = ()

    @property
    def is_picture(self) -> bool:
        return self.dtype in ("image", "video")

    @property
    def is_float(self) -> bool:
        return self.dtype in ("float32", "float64", "float16")

    @property
    def is_number(self) -> bool:
        return not self.is_picture and self.dtype not in ("string", "language")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of an image [pixels]."""
        at = (1, 2) if self.names[:1] in (("channels",), ("channel",)) else (0, 1)
        return self.shape[at[0]], self.shape[at[1]]


def features_of(folder: Path, info: Mapping[str, Any]) -> dict[str, StoredFeature]:
    """Returns the features that info.json announces.

    Raises:
        FileError: what it says of one, or of all, is damaged.
    """
    if not isinstance(info["features"], Mapping):
        raise FileError(f"{folder / 'meta' / 'info.json'}: features is no object; {RESTORE}")
    out = {}
    for key, said in info["features"].items():
        try:
            names = said.get("names") or ()
            if isinstance(names, Mapping):  # {"motors": [...]} of older recordings
                names = [name for part in names.values() for name in (part if isinstance(part, list) else [part])]
            shape = tuple(int(n) for n in said["shape"])
            out[key] = StoredFeature(str(said["dtype"]), shape, tuple(map(str, names)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"{folder / 'meta' / 'info.json'}: feature {key!r} is damaged"
            raise FileError(f"{what} ({type(error).__name__}: {error}); {RESTORE}") from error
    return out


def episode_rows(folder: Path) -> list[dict[str, Any]]:
    """Returns the rows of meta/episodes in order, without their statistics."""
    rows: list[dict[str, Any]] = []
    files = sorted((folder / "meta" / "episodes").glob("*/*.parquet"))
    if not files:
        raise FileError(f"{folder}: there is no file of episodes in meta/episodes; {RESTORE}")
    for file in files:
        there, table = _read(file, lambda name: not name.startswith(("stats/", "meta/")))
        rows += table.to_pylist()
        if missing := [name for name in _NEEDED if name not in there]:
            raise FileError(f"{file}: the columns {', '.join(missing)} are missing; {RESTORE}")
    rows.sort(key=lambda row: int(row["episode_index"]))
    if (numbers := [row["episode_index"] for row in rows]) != list(range(len(rows))):
        odd = next(i for i, number in enumerate(numbers) if number != i)
        raise FileError(f"{folder}: meta/episodes tells of episode {numbers[odd]} where {odd} should be; {RESTORE}")
    return rows


def whole_statistics(folder: Path) -> dict[str, dict[str, Any]]:
    """Returns meta/stats.json: feature -> min, max, mean, std, count, quantiles; {} where there is none.

    Raises:
        FileError: it is damaged.
    """
    path = folder / "meta" / "stats.json"
    said = read_json(path, RESTORE) if path.is_file() else {}
    if not isinstance(said, Mapping) or not all(isinstance(one, Mapping) for one in said.values()):
        raise FileError(f"{path}: it should have an object for each feature; {RESTORE}")
    return {key: dict(one) for key, one in said.items()}


def as_numbers(said: Any) -> Array | None:
    """Returns a statistic that is noted as nested lists, flat; None where it is no numbers."""
    try:
        return np.asarray(said, np.float64).reshape(-1)
    except (ValueError, TypeError):
        return None


def splits_of(folder: Path, info: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the splits of info.json, name -> what it says.

    Raises:
        FileError: they are no object.
    """
    said = info.get("splits") or {}
    if not isinstance(said, Mapping):
        raise FileError(f"{folder / 'meta' / 'info.json'}: splits is no object; {RESTORE}")
    return dict(said)


def episode_statistics(folder: Path, count: int) -> list[dict[str, Any]]:
    """Returns the statistics noted of each of `count` episodes, in order: "<feature>/<name>" -> values; {} for none."""
    rows: dict[int, dict[str, Any]] = {}
    for file in sorted((folder / "meta" / "episodes").glob("*/*.parquet")):
        _, table = _read(file, lambda name: name == "episode_index" or name.startswith("stats/"))
        for row in table.to_pylist():
            number = row.pop("episode_index")
            rows[number] = {k.removeprefix("stats/"): v for k, v in row.items() if v is not None}
    return [rows.get(i, {}) for i in range(count)]


def tasks_of(folder: Path) -> dict[int, str]:
    """Returns the instructions by number; the column of their text has had several names."""
    path = folder / "meta" / "tasks.parquet"
    if not path.is_file():
        return {}
    there, table = _read(path, lambda name: True)
    kinds = {name: table[name].type for name in there}
    texts = [name for name, kind in kinds.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]
    if "task_index" not in there or len(texts) != 1:
        wanted = "task_index and one column of text"
        raise FileError(f"{path}: it should have {wanted}, and has {', '.join(there)}; {RESTORE}")
    return dict(zip(table["task_index"].to_pylist(), table[texts[0]].to_pylist(), strict=True))


def _read(file: Path, wanted: Callable[[str], bool]) -> tuple[list[str], Any]:
    """Returns the names of all columns of a Parquet file, and a table of those wanted."""
    try:
        there = pq.read_schema(file.absolute()).names  # Arrow takes a:b/c for an address
        return there, pq.read_table(file.absolute(), columns=[name for name in there if wanted(name)])
    except (pa.ArrowException, OSError, ValueError) as error:
        raise FileError(f"{file} is unreadable ({error}); {RESTORE}") from error
