"""How columns of frames look in LeRobotDataset v3: features, Parquet types, and the arrays behind them.

Images are struct columns `{bytes, path}` of PNG files, as the Hugging Face library writes them; large ones are no
columns but videos. Masks are base64 text of PNG files: LeRobot makes a camera of every image column, and cannot turn
binary columns into tensors, but hands text through untouched.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from toyshift.core.contract import ACTION, STATE, ActionContract, ObservationContract, image_key
from toyshift.core.errors import ContractError, FileError
from toyshift.data.episode import Encoded, is_image, is_mask
from toyshift.data.png import to_text
from toyshift.data.video import CODEC, PIXELS

CODEBASE_VERSION = "v3.0"
TOYSHIFT_VERSION = 1
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
FOOTERS = "meta/toyshift_footers"  # a copy of the end of every data file
CHUNKS_SIZE = 1000
DATA_FILE_MB = 100
VIDEO_FILE_MB = 200
AUTO_DTYPES = {
    "timestamp": "float32", "frame_index": "int64", "episode_index": "int64", "index": "int64", "task_index": "int64"
}

_IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@dataclasses.dataclass(frozen=True)
class Column:
    """What one frame of a column is: its dtype and its shape without the leading T."""

    dtype: str
    shape: tuple[int, ...]


def columns_of(episode: Encoded) -> dict[str, Column]:
    """Returns the columns of an episode, in sorted order."""
    columns = {k: Column("uint8", shape) for k, shape in episode.shapes.items()}
    columns |= {k: Column(str(v.dtype), v.shape[1:]) for k, v in episode.arrays.items()}
    return dict(sorted(columns.items()))


def check_contracts(
    columns: Mapping[str, Column], action: ActionContract, observation: ObservationContract, where: str
) -> None:
    """Raises ContractError when columns lack what the contracts promise or have another size."""
    wanted = {ACTION: Column("float32", (action.size,)), STATE: Column("float32", (len(observation.state_names),))}
    wanted |= {image_key(name): Column("uint8", (*size, 3)) for name, size in observation.cameras}
    for key, column in wanted.items():
        if columns.get(key) != column:
            found = f"column {key!r} is {columns.get(key)}, the contracts say {column}"
            remedy = "Collect again, or pass the contracts it was collected with"
            raise ContractError(f"{where}: {found}. {remedy}")


def features(
    columns: Mapping[str, Column], action: ActionContract, observation: ObservationContract,
    videos: Collection[str] = (), fps: float = 0.0,
) -> dict[str, dict[str, Any]]:
    """Returns the `features` of info.json; `videos` are the images that are stored as video, at `fps` [Hz]."""
    names: dict[str, list[str]] = {ACTION: list(action.names), STATE: list(observation.state_names)}
    out: dict[str, dict[str, Any]] = {}
    for key, column in columns.items():
        if is_image(key):
            out[key] = {"dtype": "image", "shape": list(column.shape), "names": ["height", "width", "channels"]}
            if key in videos:
                facts = {"height": column.shape[0], "width": column.shape[1], "codec": CODEC, "pix_fmt": PIXELS}
                facts |= {"is_depth_map": False, "fps": fps, "channels": 3}
                info = {f"video.{k}": v for k, v in facts.items()} | {"has_audio": False}
                out[key] |= {"dtype": "video", "info": info}
        elif is_mask(key):
            out[key] = {"dtype": "string", "shape": [1], "names": None}
        else:
            out[key] = {"dtype": column.dtype, "shape": list(column.shape) or [1], "names": names.get(key)}
    return out | {key: {"dtype": dtype, "shape": [1], "names": None} for key, dtype in AUTO_DTYPES.items()}


def schema(columns: Mapping[str, Column]) -> Any:
    """Returns the Arrow schema of a data file, with the metadata from which the Hugging Face library knows images."""
    fields, hf = [], {}
    for key, column in columns.items():
        if is_image(key):
            fields.append(pa.field(key, _IMAGE_TYPE))
            hf[key] = {"_type": "Image"}
        elif is_mask(key):
            fields.append(pa.field(key, pa.string()))
            hf[key] = _value("string")
        else:
            fields.append(pa.field(key, _arrow_type(column)))
            hf[key] = _hf_feature(column)
    for key, dtype in AUTO_DTYPES.items():
        fields.append(pa.field(key, _arrow_type(Column(dtype, ()))))
        hf[key] = _value(dtype)
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": hf}})})


def _value(dtype: str) -> dict[str, Any]:
    return {"dtype": dtype, "_type": "Value"}


def _hf_feature(column: Column) -> dict[str, Any]:
    if column.shape in ((), (1,)):
        return _value(column.dtype)
    if len(column.shape) == 1:
        return {"feature": _value(column.dtype), "length": column.shape[0], "_type": "Sequence"}
    return {"shape": list(column.shape), "dtype": column.dtype, "_type": f"Array{len(column.shape)}D"}


def _arrow_type(column: Column) -> Any:
    kind = pa.bool_() if column.dtype == "bool" else pa.from_numpy_dtype(np.dtype(column.dtype))
    if column.shape in ((), (1,)):
        return kind
    if len(column.shape) == 1:
        return pa.list_(kind, column.shape[0])
    for _ in column.shape:  # nested lists of free length are how the Hugging Face library stores ArrayND
        kind = pa.list_(kind)
    return kind


def to_arrow(array: NDArray[Any]) -> Any:
    """Turns (T, ...) numbers into an Arrow array of `schema`'s type."""
    flat = pa.array(array.reshape(-1))
    shape = array.shape[1:]
    if shape in ((), (1,)):
        return flat
    if len(shape) == 1:
        return pa.FixedSizeListArray.from_arrays(flat, shape[0])
    for axis in range(array.ndim - 1, 0, -1):
        count = int(np.prod(array.shape[:axis]))
        flat = pa.ListArray.from_arrays(pa.array(np.arange(count + 1, dtype=np.int32) * array.shape[axis]), flat)
    return flat


def from_arrow(array: Any, column: Column, where: str) -> NDArray[Any]:
    """Turns an Arrow column into (T, ...) numbers.

    Raises:
        FileError: the column holds another number of values or another kind.
    """
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    rows = len(array)
    while pa.types.is_nested(array.type):
        array = array.flatten()
    if array.null_count or len(array) != rows * int(np.prod(column.shape, dtype=np.int64)):
        found = f"{len(array)} values ({array.null_count} missing) in {rows} frames"
        raise FileError(f"{where}: {found}, but a frame has shape {column.shape}; restore the file from a copy")
    values: NDArray[Any] = array.to_numpy(zero_copy_only=False)
    return np.ascontiguousarray(values, dtype=column.dtype).reshape(rows, *column.shape)


def episode_table(
    episode: Encoded, columns: Mapping[str, Column], *, episode_index: int, first_index: int, task_index: int,
    fps: float,
) -> Any:
    """Returns the rows of one episode, automatic columns included."""
    length = len(episode)
    arrays = []
    for key in columns:
        if is_image(key):
            data = pa.array(episode.pngs[key], pa.binary())
            names = pa.array([f"frame-{t:06d}.png" for t in range(length)])
            arrays.append(pa.StructArray.from_arrays([data, names], fields=list(_IMAGE_TYPE)))
        elif is_mask(key):
            arrays.append(pa.array([to_text(data) for data in episode.pngs[key]]))
        else:
            arrays.append(to_arrow(episode.arrays[key]))
    arrays += [to_arrow(value) for value in auto_columns(length, episode_index, first_index, task_index, fps).values()]
    return pa.Table.from_arrays(arrays, schema=schema(columns))


def auto_columns(
    length: int, episode_index: int, first_index: int, task_index: int, fps: float
) -> dict[str, NDArray[Any]]:
    """Returns LeRobot's automatic columns, each (T,)."""
    frame = np.arange(length, dtype=np.int64)
    return {
        "timestamp": (frame / fps).astype(np.float32),  # [s]
        "frame_index": frame,
        "episode_index": np.full(length, episode_index, np.int64),
        "index": first_index + frame,
        "task_index": np.full(length, task_index, np.int64),
    }
