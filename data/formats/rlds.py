"""RLDS (TFDS folders of episodes of steps) in and out, through tensorflow_datasets itself (extra `oxe`).

Written, so that Open X-Embodiment code reads it:
    steps[]            observation {image, wrist_image, <camera>_mask, state}, action (7,), discount,
                       reward (1 at the last step of a success), is_first, is_last, is_terminal, language_instruction,
                       toyshift {every other column, the exact action among them}
    episode_metadata   file_path, toyshift_meta (JSON)
`action` is the OXE encoding of ours: change of position [m], of roll, pitch, yaw [rad], gripper 1 open, 0 closed, in
the robot's base frame; or, for joint modes, our action as it is. The exact columns come back from `toyshift`, so
nothing is lost in a round trip.

Read: folders that we wrote, and the sub-datasets in `oxe.OXE_DATASETS`, standardised.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ACTION, STATE, ObservationContract, image_key, mask_key
from toyshift.core.errors import ConfigError, ContractError, FileError, ToyShiftError, UnknownNameError
from toyshift.core.files import read_json
from toyshift.core.seeds import stream
from toyshift.data.episode import Episode, Frames
from toyshift.data.formats.exchange import ReadOptions, Stream, contracts_from
from toyshift.data.formats.outline import Outline, identity_of, picture
from toyshift.data.formats.oxe import OXE_DATASETS, oxe_contract, oxe_dataset, standardise
from toyshift.data.formats.rlds_write import EXTRA, FILE, IMAGES, tfds_package
from toyshift.data.formats.rlds_write import write as write

Steps = tuple[dict[str, NDArray[Any]], dict[str, Any]]  # flat columns (T, ...) of an episode's steps, and its metadata
_AGAIN = "restore it from a copy, or delete the folder and convert again"
_DEVICE = re.compile(r"\{\{.*?\}\}\s*")  # where TensorFlow ran what failed


def recognises(path: Path) -> bool:
    """Whether a folder, or a version folder in it, is TFDS's."""
    return path.is_dir() and _folder(path) is not None


def _folder(path: Path) -> Path | None:
    """The folder with the TFRecord files: `path` itself, or its version folder (the last by number)."""
    def version(folder: Path) -> list[int]:
        return [int(n) if n.isdigit() else -1 for n in folder.name.split(".")]

    versions = sorted((p for p in path.glob("*.*.*") if p.is_dir()), key=version)
    return next((p for p in [path, *reversed(versions)] if (p / "features.json").exists()), None)


def read(path: Path, options: ReadOptions) -> Stream:
    """Opens a TFDS folder: one that we wrote, or a sub-dataset of Open X-Embodiment.

    The builder's name, or `options.oxe`, says which.

    Episodes are streamed; one is in memory at a time. A sub-dataset's actions are read once before, for their bounds.

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
        action, observation, robot = contracts_from(json.dumps(read_json(folder / FILE, _AGAIN)), str(folder / FILE))
        return Stream(action, observation, total, functools.partial(_episodes, builder, _ours), facts, robot)
    name = options.oxe or builder.name
    if name not in OXE_DATASETS:
        unknown = UnknownNameError("Open X-Embodiment dataset", name, OXE_DATASETS)
        remedy = "name the sub-dataset with --oxe"
        raise ContractError(f"{unknown} ({folder} does not say what its actions mean: {remedy})")
    return _oxe_stream(builder, folder, name, total, options, facts)


def outline(path: Path) -> Outline:
    """Opens any TFDS folder of episodes of steps without its actions.

    Each of its tasks and of its first images takes one reading of the files; of the images only the first are decoded.

    Raises:
        FileError: a TFRecord file is truncated or damaged (named).
        ContractError: its steps hold no observation.
    """
    folder = _folder(path)
    if folder is None:
        raise FileError(f"{path} is no TFDS folder: there is no features.json in it or in a version folder")
    builder, tfds = _builder(folder), tfds_package()
    try:
        features = builder.info.features["steps"]["observation"]
    except (KeyError, TypeError) as error:
        raise ContractError(f"{folder} is no RLDS: it has no steps with an observation") from error
    pictures = [k for k, v in features.items() if isinstance(v, tfds.features.Image) and v.shape[-1] == 3]
    ours = (folder / FILE).exists()
    row = OXE_DATASETS.get(builder.name)
    names = {v: k for k, v in (IMAGES if ours else row.images if row else {}).items()}
    keys = {names.get(k) or k.removesuffix("_image"): k for k in pictures}
    told = [row.task] if row else ["language_instruction", "observation/natural_language_instruction"]

    def episodes() -> Iterator[tuple[int, Steps]]:
        for number, found in _numbered(builder, 0, pictures=False):
            if isinstance(found, FileError):
                raise found
            yield number, found

    def first_images(camera: str, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        wanted = set(numbers)
        for number, (steps, _) in episodes():
            if number in wanted:
                yield picture(steps[f"observation/{keys[camera]}"][0], f"{folder}, episode {number}")

    def meta(steps: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any]) -> dict[str, Any]:
        if ours:
            return dict(json.loads(metadata["toyshift_meta"]))
        return {"task": next((text for key in told if (text := _text(steps.get(key)))), "")}

    metas = tuple(meta(*found) for _, found in episodes())
    robot = contracts_from(json.dumps(read_json(folder / FILE, _AGAIN)), str(folder / FILE))[2] if ours else ""
    kind = "ToyShift's RLDS" if ours else "RLDS"
    files = (file for file in folder.iterdir() if file.is_file())
    return Outline(path, kind, metas, robot, tuple(sorted(keys)), identity_of(files), first_images)


def _builder(folder: Path) -> Any:
    tfds = tfds_package()
    try:
        builder = tfds.builder_from_directory(str(folder))
    except Exception as error:  # tfds raises whatever its JSON and protobuf readers raise
        why = f"{type(error).__name__}: {error}"
        raise FileError(
            f"{folder}: features.json or dataset_info.json is damaged ({why}); restore it from a copy"
        ) from error
    return builder


def _numbered(builder: Any, first: int, *, pictures: bool = True) -> Iterator[tuple[int, Steps | FileError]]:
    """Yields (number, (flat steps, episode metadata)) in the order of the files, from `first` on.

    Where a file is damaged its error comes once, and the next file follows: what a TFRecord file holds behind the
    damage cannot be found.
    """
    import tensorflow as tf
    import tensorflow_datasets as tfds

    seen = builder.info.features["steps"]["observation"]
    images = {k: tfds.decode.SkipDecoding() for k, v in seen.items() if isinstance(v, tfds.features.Image)}
    decoders = None if pictures else {"steps": {"observation": images}}
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    start = 0  # number of the file's first episode
    for split, facts in builder.info.splits.items():
        for shard, length in enumerate(facts.shard_lengths):
            number, start = max(start, first), start + length
            if number >= start:
                continue
            where = tfds.core.ReadInstruction(split, from_=shard, to=shard + 1, unit="shard")
            dataset = builder.as_dataset(split=where, read_config=config, decoders=decoders, shuffle_files=False)
            dataset = dataset.skip(number - (start - length))
            try:
                for example in dataset:
                    yield number, _arrays(example)
                    number += 1
            except tf.errors.OpError as error:
                file = facts.filepaths[shard]
                yield number, FileError(
                    f"{file}, record {number - (start - length)}: episode {number}, "
                    f"and so the rest of the file ({start - number} episodes), cannot be read "
                    f"({_DEVICE.sub('', str(error.message))[:160]}); "
                    f"restore the file from a copy, or pass --skip-damaged"
                )


def _episodes(
    builder: Any, make: Callable[[dict[str, NDArray[Any]], dict[str, Any], int], Episode], first: int
) -> Iterator[Episode | FileError]:
    return (found if isinstance(found, FileError) else make(*found, i) for i, found in _numbered(builder, first))


def _whole(builder: Any) -> Iterator[tuple[int, dict[str, NDArray[Any]], dict[str, Any]]]:
    """`_numbered`, where damage is an error."""
    for number, found in _numbered(builder, 0):
        if isinstance(found, FileError):
            raise found
        yield number, *found


def _arrays(example: Mapping[str, Any]) -> Steps:
    """One episode as flat columns of steps (T, ...), and its metadata."""
    steps = list(example["steps"].as_numpy_iterator())
    flat = [_flat(step) for step in steps]
    metadata = {k: v.numpy() for k, v in _flat(example.get("episode_metadata", {})).items()}
    columns = {key: [row[key] for row in flat] for key in (flat[0] if flat else ())}
    arrays = {k: np.array(v, object) if isinstance(v[0], bytes) else np.stack(v) for k, v in columns.items()}
    return arrays, metadata


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in tree.items():
        out |= _flat(value, f"{prefix}{key}/") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return out


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


def _oxe_stream(
    builder: Any, folder: Path, name: str, total: int, options: ReadOptions, facts: dict[str, Any]
) -> Stream:
    row = oxe_dataset(name)
    if not (options.control_hz or row.control_hz):
        raise ConfigError(f"how many actions per second {name} has is not recorded: say it with --control-hz")
    low = high = None
    sizes: dict[str, tuple[int, int]] = {}
    for _, found in _numbered(builder, 0, pictures=False):
        if isinstance(found, FileError):
            continue  # reported, or raised, when the episodes themselves are read
        steps = found[0]
        action = standardise(name, steps)[0][ACTION]
        low = action.min(0) if low is None else np.minimum(low, action.min(0))
        high = action.max(0) if high is None else np.maximum(high, action.max(0))
    if low is None or high is None:
        raise FileError(f"{folder}: no episode can be read; restore its TFRecord files from a copy")
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
    def standard(steps: Mapping[str, NDArray[Any]], metadata: Mapping[str, Any], number: int) -> Episode:
        return oxe_episode(name, steps, number)

    episodes = functools.partial(_episodes, builder, standard)
    return Stream(contract, observation, total, episodes, facts | {"oxe": name}, "oxe")


def oxe_episode(name: str, steps: Mapping[str, NDArray[Any]], number: int) -> Episode:
    """One episode of a sub-dataset, standardised: cameras primary, secondary, wrist; without a state, one zero."""
    row = oxe_dataset(name)
    columns, keep = standardise(name, steps)
    frames: Frames = {image_key(role): np.asarray(steps[f"observation/{k}"][keep]) for role, k in row.images.items()}
    frames |= {ACTION: columns[ACTION], STATE: columns.get(STATE, np.zeros((len(columns[ACTION]), 1), np.float32))}
    reward = steps.get("reward")
    success = {} if reward is None else {"success": bool(np.asarray(reward).max() > 0)}
    meta = {"task": _text(steps.get(row.task)), "dataset_name": name} | success
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
        seed: of the order in which datasets are drawn; episodes of one dataset come in the order of its files, again
            and again.

    Yields:
        (dataset, standardised episode); movements are in that dataset's own units: normalise them by its own
        statistics.

    Raises:
        FileError: a sub-dataset is missing (all that are missing are named).
    """
    missing = [name for name in weights if not recognises(Path(data_dir) / name)]
    if missing:
        count = f"{len(missing)} of the {len(weights)} datasets of the mixture"
        raise FileError(f"{data_dir} lacks {count}: {', '.join(missing)}")
    names = list(weights)
    shares = np.array([weights[n] for n in names], float)
    rng = stream(seed)
    opened: dict[str, Iterator[Any]] = {}
    while True:
        name = names[int(rng.choice(len(names), p=shares / shares.sum()))]
        if name not in opened:
            opened[name] = _for_ever(Path(data_dir) / name)
        number, steps, _ = next(opened[name])
        yield name, oxe_episode(name, steps, number)


def _for_ever(path: Path) -> Iterator[Any]:
    folder = _folder(path)
    assert folder is not None
    builder = _builder(folder)
    while True:
        count = 0
        for item in _whole(builder):
            count += 1
            yield item
        if not count:
            raise ToyShiftError(f"{folder} holds no episodes")
