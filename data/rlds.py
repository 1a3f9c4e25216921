"""RLDS (TFDS folders of episodes of steps) in and out, through tensorflow_datasets itself (extra `oxe`).

Written, so that Open X-Embodiment code reads it:
    steps[]            observation {image, wrist_image, <camera>_mask, state}, action (7,), discount, reward (1 at the last step of a success),
                       is_first, is_last, is_terminal, language_instruction, toyshift {every other column, the exact action among them}
    episode_metadata   file_path, toyshift_meta (JSON)
`action` is the OXE encoding of ours: change of position [m], of roll, pitch, yaw [rad], gripper 1 open, 0 closed, in the robot's base frame; or, for
joint modes, our action as it is. The exact columns come back from `toyshift`, so nothing is lost in a round trip.

Read: folders that we wrote, and the sub-datasets in `oxe.OXE_DATASETS`, standardised.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ACTION, IMAGE_PREFIX, MASK_PREFIX, STATE, ObservationContract, image_key, mask_key
from toyshift.core.errors import ConfigError, ContractError, FileError, ToyShiftError, UnknownNameError
from toyshift.core.files import atomic_dir, read_json, write_json
from toyshift.core.progress import track
from toyshift.data.episode import Encoded, Episode, Frames, encode_episode, is_image
from toyshift.data.oxe import OXE_DATASETS, oxe_contract, oxe_dataset, standardise
from toyshift.data.stream import (
    CONTRACTS,
    ReadOptions,
    Stream,
    contracts_from,
    contracts_json,
    require_episode,
    require_new,
    require_package,
)

VERSION = "1.0.0"
EPISODES_PER_SHARD = 100
EXTRA = "toyshift"
FILE = f"{CONTRACTS}.json"
IMAGES = {"front": "image", "wrist": "wrist_image"}  # OXE's names of our cameras; others keep theirs, with _image behind


def tfds_package() -> Any:
    """Imports tensorflow_datasets, and keeps TensorFlow off the GPU: it only reads files here."""
    tfds = require_package("tensorflow_datasets", "oxe", "RLDS")
    require_package("tensorflow", "oxe", "RLDS").config.set_visible_devices([], "GPU")
    return tfds


def recognises(path: Path) -> bool:
    """Whether a folder, or a version folder in it, is TFDS's."""
    return path.is_dir() and _folder(path) is not None


def _folder(path: Path) -> Path | None:
    """The folder with the TFRecord files: `path` itself, or its version folder (the last by number)."""
    versions = sorted((p for p in path.glob("*.*.*") if p.is_dir()), key=lambda p: [int(n) if n.isdigit() else -1 for n in p.name.split(".")])
    return next((p for p in [path, *reversed(versions)] if (p / "features.json").exists()), None)


def _image_name(camera: str) -> str:
    return IMAGES.get(camera, f"{camera}_image")


# ---------------------------------------------------------------- writing


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
            for number, found in enumerate(track(stream.episodes(0), "convert", stream.total, "episode")):
                if isinstance(found, FileError):
                    if not skip_damaged:
                        raise found
                    dropped[str(number)] = str(found)
                    continue
                encoded = encode_episode(require_episode(stream, found, str(stream.facts.get("source", ""))))
                if writer is None:
                    columns = _columns(encoded)
                    writer = _writer(tfds, name, folder, encoded, stream)
                if _columns(encoded) != columns:
                    raise ContractError(f"episode {number} of {stream.facts.get('source', '')} has other columns than the first: {sorted(_columns(encoded).items() ^ columns.items())[:4]}")
                writer.add_examples({"train": [_example(encoded, stream)]})
                episodes, frames = episodes + 1, frames + len(encoded)
            if writer is None:
                raise FileError(f"{stream.facts.get('source', 'the source')} holds no episode that can be read")
            writer.close_all()
            write_json(folder / FILE, json.loads(contracts_json(stream)))
    except OSError as error:
        raise FileError(f"cannot write {path} ({error}); make room, or choose another place") from error
    return {"episodes": episodes, "frames": frames, "dropped": dropped, "version_dir": str(path / VERSION)}


def _columns(encoded: Encoded) -> dict[str, tuple[str, tuple[int, ...]]]:
    return {k: ("png", s) for k, s in encoded.shapes.items()} | {k: (str(v.dtype), v.shape[1:]) for k, v in encoded.arrays.items()}


def _writer(tfds: Any, name: str, folder: Path, encoded: Encoded, stream: Stream) -> Any:
    import tensorflow as tf

    features = tfds.features
    observation: dict[str, Any] = {"state": features.Tensor(shape=(len(stream.observation.state_names),), dtype=np.float32)}
    for key, shape in encoded.shapes.items():
        if is_image(key):
            observation[_image_name(key.removeprefix(IMAGE_PREFIX))] = features.Image(shape=shape, encoding_format="png")
        else:
            observation[f"{key.removeprefix(MASK_PREFIX)}_mask"] = features.Image(shape=(*shape, 1), encoding_format="png")
    # TFRecords know no double precision: such columns are stored as bytes
    extra = {
        k: features.Tensor(shape=v.shape[1:], dtype=tf.as_dtype(v.dtype), encoding="bytes" if v.dtype == np.float64 else "none")
        for k, v in encoded.arrays.items() if k != STATE
    }  # fmt: skip
    width = oxe_action(stream.action.mode, encoded.arrays[ACTION][:1]).shape[1]
    scalars = {"discount": np.float32, "reward": np.float32, "is_first": np.bool_, "is_last": np.bool_, "is_terminal": np.bool_}
    steps = {"observation": observation, "action": features.Tensor(shape=(width,), dtype=np.float32), "language_instruction": features.Text(), EXTRA: extra}
    steps |= {k: features.Scalar(dtype=v) for k, v in scalars.items()}
    metadata = {"file_path": features.Text(), "toyshift_meta": features.Text()}
    whole = features.FeaturesDict({"steps": features.Dataset(steps), "episode_metadata": metadata})
    identity = tfds.core.DatasetIdentity(name=name, version=tfds.core.Version(VERSION), data_dir=str(folder), module_name="")
    info = tfds.core.DatasetInfo(builder=identity, description="Grasping demonstrations from ToyShift; contracts in " + FILE, features=whole)
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
            name = _image_name(key.removeprefix(IMAGE_PREFIX)) if is_image(key) else f"{key.removeprefix(MASK_PREFIX)}_mask"
            observation[name] = io.BytesIO(files[t])
        steps.append({
            "observation": observation, "action": actions[t], "language_instruction": task, "discount": np.float32(1.0), "reward": np.float32(last and success),
            "is_first": t == 0, "is_last": last, "is_terminal": last and success, EXTRA: {k: v[t] for k, v in arrays.items() if k != STATE},
        })  # fmt: skip
    return {"steps": steps, "episode_metadata": {"file_path": encoded.source, "toyshift_meta": json.dumps(encoded.meta, sort_keys=True)}}


# ---------------------------------------------------------------- reading


def read(path: Path, options: ReadOptions) -> Stream:
    """Opens a TFDS folder: one that we wrote, or a sub-dataset of Open X-Embodiment (by the builder's name, or `options.oxe`).

    Episodes are streamed; one is in memory at a time. For a sub-dataset the actions are read once beforehand, for their bounds.

    Raises:
        FileError: a TFRecord file is truncated or damaged (named), or a split is empty.
        ContractError: the folder is neither ours nor a sub-dataset that is known.
    """
    folder = _folder(path)
    if folder is None:
        raise FileError(f"{path} is no TFDS folder: there is no features.json in it or in a version folder")
    builder = _builder(folder)
    total = sum(builder.info.splits[s].num_examples for s in builder.info.splits)
    if total < 1:
        raise FileError(f"{folder} holds no episodes")
    facts = {"source": str(path), "name": builder.name}
    if (folder / FILE).exists():
        action, observation, robot = contracts_from(json.dumps(read_json(folder / FILE)), str(folder / FILE))
        return Stream(action, observation, total, lambda first: (_ours(steps, meta, i) for i, (steps, meta) in _numbered(builder, folder, first)), facts, robot)
    name = options.oxe or builder.name
    if name not in OXE_DATASETS:
        raise ContractError(str(UnknownNameError("Open X-Embodiment dataset", name, OXE_DATASETS)) + f" ({folder} does not say what its actions mean: name the sub-dataset with --oxe)")
    return _oxe_stream(builder, folder, name, total, options, facts)


def _builder(folder: Path) -> Any:
    tfds = tfds_package()
    try:
        builder = tfds.builder_from_directory(str(folder))
    except Exception as error:  # tfds raises whatever its JSON and protobuf readers raise
        raise FileError(f"{folder}: features.json or dataset_info.json is damaged ({type(error).__name__}: {error}); restore it from a copy") from error
    return builder


def _numbered(builder: Any, folder: Path, first: int, *, pictures: bool = True) -> Iterator[tuple[int, tuple[dict[str, NDArray[Any]], dict[str, Any]]]]:
    """Yields (number, (flat steps, episode metadata)) in the order of the files, from `first` on."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    decoders = None if pictures else {"steps": {"observation": {k: tfds.decode.SkipDecoding() for k, v in builder.info.features["steps"]["observation"].items() if isinstance(v, tfds.features.Image)}}}
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    number = first
    for split, facts in builder.info.splits.items():
        if first >= facts.num_examples:
            first -= facts.num_examples
            continue
        dataset = builder.as_dataset(split=f"{split}[{first}:]" if first else split, read_config=config, decoders=decoders, shuffle_files=False)
        first = 0
        try:
            for example in dataset:
                yield number, _arrays(example)
                number += 1
        except tf.errors.OpError as error:
            raise FileError(f"{damaged_record(folder) or folder}: episode {number} cannot be read ({str(error.message)[:200]}); restore the file from a copy") from error


def _arrays(example: Mapping[str, Any]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """One episode as flat columns of steps (T, ...), and its metadata."""
    steps = list(example["steps"].as_numpy_iterator())
    flat = [_flat(step) for step in steps]
    metadata = {k: v.numpy() for k, v in _flat(example.get("episode_metadata", {})).items()}
    return {key: np.stack([row[key] for row in flat]) if not isinstance(flat[0][key], bytes) else np.array([row[key] for row in flat], object) for key in (flat[0] if flat else ())}, metadata


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return out


def damaged_record(folder: Path) -> str:
    """Returns the first TFRecord file that cannot be read to its end, with the record's number; "" where all can."""
    import tensorflow as tf

    for file in sorted(folder.glob("*.tfrecord*")):
        record = 0
        try:
            for _ in tf.data.TFRecordDataset(str(file)):
                record += 1
        except tf.errors.OpError:
            return f"{file}, record {record}"
    return ""


def _ours(steps: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any], number: int) -> Episode:
    names = {v: k for k, v in IMAGES.items()}
    frames: Frames = {}
    for key, value in steps.items():
        group, _, name = key.partition("/")
        if group == EXTRA:
            frames[name] = value
        elif key == "observation/state":
            frames[STATE] = value
        elif group == "observation" and name.endswith("_mask"):
            frames[mask_key(name.removesuffix("_mask"))] = value[..., 0]
        elif group == "observation":
            frames[image_key(names.get(name) or name.removesuffix("_image"))] = value
    return Episode(number, frames, json.loads(metadata["toyshift_meta"]))


def _oxe_stream(builder: Any, folder: Path, name: str, total: int, options: ReadOptions, facts: dict[str, Any]) -> Stream:
    row = oxe_dataset(name)
    if not (options.control_hz or row.control_hz):
        raise ConfigError(f"how many actions per second {name} has is not recorded: say it with --control-hz")
    low = high = None
    sizes: dict[str, tuple[int, int]] = {}
    for _, (steps, _) in _numbered(builder, folder, 0, pictures=False):
        action = standardise(name, steps)[0][ACTION]
        low = action.min(0) if low is None else np.minimum(low, action.min(0))
        high = action.max(0) if high is None else np.maximum(high, action.max(0))
    assert low is not None
    assert high is not None
    features = builder.info.features["steps"]["observation"]
    for role, key in row.images.items():
        if key not in features:
            raise ContractError(f"{folder} has no picture {key!r}, which {name} has; available: {', '.join(features)}")
        height, width = features[key].shape[:2]
        if height is None or width is None:
            raise ContractError(f"{folder}: pictures {key!r} have no fixed size; resize them before converting")
        sizes[role] = (int(height), int(width))
    state = row.state_encoding.value or ("none",)
    contract = oxe_contract(name, low, high, options.control_hz)
    observation = ObservationContract(tuple(sizes.items()), tuple(state))
    return Stream(contract, observation, total, lambda first: (oxe_episode(name, steps, i) for i, (steps, _) in _numbered(builder, folder, first)), facts | {"oxe": name}, "oxe")


def oxe_episode(name: str, steps: Mapping[str, NDArray[Any]], number: int) -> Episode:
    """One episode of a sub-dataset, standardised: cameras primary, secondary, wrist; a dataset without state gets one zero."""
    row = oxe_dataset(name)
    columns, keep = standardise(name, steps)
    frames: Frames = {image_key(role): np.asarray(steps[f"observation/{key}"][keep]) for role, key in row.images.items()}
    frames |= {ACTION: columns[ACTION], STATE: columns.get(STATE, np.zeros((len(columns[ACTION]), 1), np.float32))}
    reward = steps.get("reward")
    meta = {"task": _text(steps.get(row.task)), "dataset_name": name} | ({} if reward is None else {"success": bool(np.asarray(reward).max() > 0)})
    return Episode(number, frames, meta)


def _text(column: NDArray[Any] | None) -> str:
    """The instruction of the first step: bytes, or (language_table) code points padded with zeros."""
    if column is None or len(column) == 0:
        return ""
    first = column[0]
    if isinstance(first, bytes):
        return first.decode("utf-8", "replace")
    return "".join(chr(int(c)) for c in np.asarray(first).reshape(-1) if c)


def oxe_mixture_stream(data_dir: Path, weights: Mapping[str, float], seed: int = 0) -> Iterator[tuple[str, Episode]]:
    """Draws episodes of several sub-datasets for ever, each dataset in its share; memory does not grow with their size.

    Args:
        data_dir: folder with one folder per sub-dataset.
        weights: relative shares, e.g. `oxe_mixture("oxe_magic_soup")`.
        seed: of the order in which datasets are drawn; episodes of one dataset come in the order of its files, again and again.

    Yields:
        (dataset, standardised episode); movements are in that dataset's own units: normalise them by its own statistics.

    Raises:
        FileError: a sub-dataset is missing (all that are missing are named).
    """
    missing = [name for name in weights if not recognises(Path(data_dir) / name)]
    if missing:
        raise FileError(f"{data_dir} lacks {len(missing)} of the {len(weights)} datasets of the mixture: {', '.join(missing)}")
    names = list(weights)
    shares = np.array([weights[n] for n in names], float)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    opened: dict[str, Iterator[Any]] = {}
    while True:
        name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        if name not in opened:
            opened[name] = _for_ever(Path(data_dir) / name)
        number, (steps, _) = next(opened[name])
        yield name, oxe_episode(name, steps, number)


def _for_ever(path: Path) -> Iterator[Any]:
    folder = _folder(path)
    assert folder is not None
    builder = _builder(folder)
    while True:
        count = 0
        for item in _numbered(builder, folder, 0):
            count += 1
            yield item
        if not count:
            raise ToyShiftError(f"{folder} holds no episodes")
