"""Writing RLDS folders through tensorflow_datasets; the layout is described in `rlds`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ACTION, IMAGE_PREFIX, MASK_PREFIX, STATE
from toyshift.core.errors import ConfigError, ContractError, FileError, with_remedy
from toyshift.core.files import atomic_dir, require_new, write_json
from toyshift.data.episode import Encoded, encode_episode, is_image
from toyshift.data.formats.exchange import (
    CONTRACTS,
    Stream,
    contracts_json,
    require_package,
)

VERSION = "1.0.0"
EPISODES_PER_SHARD = 100
EXTRA = "toyshift"
FILE = f"{CONTRACTS}.json"
# OXE's names of our cameras; others keep theirs, with _image behind
IMAGES = {"front": "image", "wrist": "wrist_image"}


def tfds_package() -> Any:
    """Imports tensorflow_datasets, and keeps TensorFlow off the GPU: it only reads files here."""
    tfds = require_package("tensorflow_datasets", "oxe", "RLDS")
    require_package("tensorflow", "oxe", "RLDS").config.set_visible_devices([], "GPU")
    return tfds


def _picture_name(key: str) -> str:
    """Returns what OXE calls an image or a mask of ours."""
    if not is_image(key):
        return f"{key.removeprefix(MASK_PREFIX)}_mask"
    camera = key.removeprefix(IMAGE_PREFIX)
    return IMAGES.get(camera, f"{camera}_image")


def oxe_action(mode: str, actions: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turns our actions (T, A) into OXE's: rotations become roll, pitch, yaw [rad]; joint actions stay as they are."""
    if not mode.startswith("eef"):
        return actions
    from scipy.spatial.transform import Rotation

    angles = Rotation.from_rotvec(actions[:, 3:6].astype(np.float64)).as_euler("xyz")
    return np.concatenate([actions[:, :3], angles.astype(np.float32), actions[:, 6:]], axis=1)


def write(path: Path, stream: Stream, *, skip_damaged: bool = False) -> dict[str, Any]:
    """Writes `path/1.0.0`, whole or not at all, readable as `tfds.builder(path.name, data_dir=path.parent)`.

    Returns:
        episodes, frames, dropped (number and reason of what could not be read), version_dir.

    Raises:
        FileError: an episode cannot be read and `skip_damaged` is off, or there is no room.
        MissingDependencyError: tensorflow_datasets is not installed.
    """
    tfds = tfds_package()
    from tensorflow.errors import OpError

    require_new(path)
    name = path.name.lower().replace("-", "_").replace(".", "_")
    if not name.isidentifier():
        raise ConfigError(f"{path.name!r} cannot be the name of a TFDS dataset: letters, digits and _ only")
    dropped: dict[str, str] = {}
    episodes = frames = 0
    writer: Any = None
    columns: dict[str, tuple[str, tuple[int, ...]]] = {}
    try:
        with atomic_dir(path) as temporary:
            folder = temporary / VERSION
            folder.mkdir()
            for found in stream.readable(skip_damaged, dropped):
                encoded = encode_episode(found, video=False)
                if writer is None:
                    columns = _columns(encoded)
                    writer = _writer(tfds, name, folder, encoded, stream)
                if _columns(encoded) != columns:
                    different = sorted(_columns(encoded).items() ^ columns.items())[:4]
                    where = f"episode {found.index} of {stream.source}"
                    raise ContractError(f"{where} has other columns than the first: {different}")
                writer.add_examples({"train": [_example(encoded, stream)]})
                episodes, frames = episodes + 1, frames + len(encoded)
            if writer is None:
                raise FileError(f"{stream.source or 'the source'} holds no episode that can be read")
            writer.close_all()
            write_json(folder / FILE, json.loads(contracts_json(stream)))
    except (OSError, OpError) as error:
        raise FileError(with_remedy(f"cannot write {path} ({error})", error)) from error
    return {"episodes": episodes, "frames": frames, "dropped": dropped, "version_dir": str(path / VERSION)}


def _columns(encoded: Encoded) -> dict[str, tuple[str, tuple[int, ...]]]:
    arrays = {k: (str(v.dtype), v.shape[1:]) for k, v in encoded.arrays.items()}
    return {k: ("png", s) for k, s in encoded.shapes.items()} | arrays


def _writer(tfds: Any, name: str, folder: Path, encoded: Encoded, stream: Stream) -> Any:
    import tensorflow as tf

    features = tfds.features
    states = len(stream.observation.state_names)
    observation: dict[str, Any] = {"state": features.Tensor(shape=(states,), dtype=np.float32)}
    for key, shape in encoded.shapes.items():
        whole = shape if is_image(key) else (*shape, 1)
        observation[_picture_name(key)] = features.Image(shape=whole, encoding_format="png")
    # TFRecords know no double precision: such columns are stored as bytes
    encodings = {"float64": "bytes"}
    extra = {
        k: features.Tensor(shape=v.shape[1:], dtype=tf.as_dtype(v.dtype), encoding=encodings.get(str(v.dtype), "none"))
        for k, v in encoded.arrays.items() if k != STATE
    }  # fmt: skip
    width = oxe_action(stream.action.mode, encoded.arrays[ACTION][:1]).shape[1]
    scalars: dict[str, Any] = dict.fromkeys(("discount", "reward"), np.float32)
    scalars |= dict.fromkeys(("is_first", "is_last", "is_terminal"), np.bool_)
    steps = {
        "observation": observation, "action": features.Tensor(shape=(width,), dtype=np.float32),
        "language_instruction": features.Text(), EXTRA: extra,
    }
    steps |= {k: features.Scalar(dtype=v) for k, v in scalars.items()}
    metadata = {"file_path": features.Text(), "toyshift_meta": features.Text()}
    shown = {"steps": features.Dataset(steps), "episode_metadata": metadata}
    version, about = tfds.core.Version(VERSION), f"Grasping demonstrations from ToyShift; contracts in {FILE}"
    identity = tfds.core.DatasetIdentity(name=name, version=version, data_dir=str(folder), module_name="")
    info = tfds.core.DatasetInfo(builder=identity, description=about, features=features.FeaturesDict(shown))
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=EPISODES_PER_SHARD, overwrite=False)
    writer.initialize_splits(["train"])
    return writer


def _example(encoded: Encoded, stream: Stream) -> dict[str, Any]:
    length, arrays = len(encoded), encoded.arrays
    actions = oxe_action(stream.action.mode, arrays[ACTION])
    task, success = str(encoded.meta.get("task", "")), bool(encoded.meta.get("success", True))
    steps = []
    for t in range(length):
        last = t == length - 1
        observation: dict[str, Any] = {"state": arrays[STATE][t]}
        for key, files in encoded.pngs.items():
            observation[_picture_name(key)] = io.BytesIO(files[t])
        steps.append({
            "observation": observation, "action": actions[t], "language_instruction": task,
            "discount": np.float32(1.0), "reward": np.float32(last and success), "is_first": t == 0, "is_last": last,
            "is_terminal": last and success, EXTRA: {k: v[t] for k, v in arrays.items() if k != STATE},
        })  # fmt: skip
    metadata = {"file_path": encoded.source, "toyshift_meta": json.dumps(encoded.meta, sort_keys=True)}
    return {"steps": steps, "episode_metadata": metadata}
