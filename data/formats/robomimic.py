"""robomimic HDF5 in and out: `data/demo_i` with actions in [-1, 1], robomimic's names, and train/valid filters.

    data                          attributes total, env_args (JSON: env_name, env_type, env_kwargs), toyshift_contracts
      demo_i                      attributes num_samples, toyshift_meta (JSON)
        actions (N, A) float64    [-1, 1] through the action contract's bounds; double: physical float32 come back
        states (N, D)             the simulator's state of each frame
        rewards, dones (N,)       1 at the last frame (rewards: of a success)
        obs/<cam>_image           (N, H, W, 3) uint8, upright
        obs/<cam>_mask            (N, H, W, 1) uint8, 0 background, 1 target, 2 other object, 3 robot
        obs/state                 (N, S) float32
        toyshift/<column>         whatever else a frame has (cameras, executed actions, ...)
    mask/train, mask/valid        names of demonstrations

There is no next_obs (it would double the file): read with hdf5_load_next_obs=False.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import (
    ACTION,
    IMAGE_PREFIX,
    MASK_PREFIX,
    SIM_STATE,
    STATE,
    ActionContract,
    ObservationContract,
    image_key,
    mask_key,
)
from toyshift.core.errors import ContractError, FileError, with_remedy
from toyshift.core.files import atomic_path, require_new
from toyshift.data.episode import Episode, Frames, checked_frames, is_image, is_mask
from toyshift.data.formats.exchange import (
    CONTRACTS,
    ReadOptions,
    Stream,
    contracts_from,
    contracts_json,
    given_contract,
    require_package,
    unit_actions,
)
from toyshift.data.formats.outline import Outline, identity_of

META = "toyshift_meta"
HAS_STATE = "toyshift_sim_state"  # whether `states` holds the simulator's state, or, for want of it, the observed one
EXTRA = "toyshift"
ENV_TYPE = 2  # robomimic's EnvType.GYM_TYPE
ROOM_LEFT = 1 << 20  # bytes, for what HDF5 writes when it closes
VALID_EVERY = 10  # every tenth demonstration is in mask/valid


def recognises(path: Path) -> bool:
    """Whether a file ends as HDF5 files do."""
    return path.is_file() and path.suffix in (".hdf5", ".h5")


def write(path: Path, stream: Stream, *, skip_damaged: bool = False) -> dict[str, Any]:
    """Writes one HDF5 file, whole or not at all; one episode in memory at a time.

    Returns:
        episodes, frames, dropped (number and reason of what could not be read).

    Raises:
        ContractError: an action is outside the contract's bounds, so that [-1, 1] cannot hold it.
        FileError: an episode cannot be read and `skip_damaged` is off, or the file cannot be written.
    """
    h5py = require_package("h5py", "robomimic", "writing robomimic files")
    require_new(path)
    dropped: dict[str, str] = {}
    names: list[str] = []
    frames = 0
    try:
        with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
            data = file.create_group("data")
            for episode in stream.readable(skip_damaged, dropped):
                names.append(f"demo_{len(names)}")
                _write_demo(data.create_group(names[-1]), stream, episode)
                frames += len(episode)
            data.attrs["total"] = frames
            environment = {"env_name": "toyshift/Grasp-v0", "env_type": ENV_TYPE, "env_kwargs": _env_kwargs(stream)}
            data.attrs["env_args"] = json.dumps(environment)
            data.attrs[CONTRACTS] = contracts_json(stream)
            valid = names[VALID_EVERY - 1 :: VALID_EVERY] or names[-1:]
            train = [n for n in names if n not in valid] or names
            for key, members in (("train", train), ("valid", valid)):
                file.create_dataset(f"mask/{key}", data=np.array(members, dtype="S"))
    except OSError as error:
        raise FileError(with_remedy(f"cannot write {path} ({error})", error)) from error
    return {"episodes": len(names), "frames": frames, "dropped": dropped}


def _env_kwargs(stream: Stream) -> dict[str, Any]:
    action, cameras = stream.action, list(stream.observation.camera_names)
    sizes = {size for _, size in stream.observation.cameras}
    one_size = {"image_size": min(sizes)[0]} if len(sizes) == 1 else {}
    return {"action_mode": action.mode, "control_hz": action.control_hz, "cameras": cameras} | one_size


def _write_demo(group: Any, stream: Stream, episode: Episode) -> None:
    frames = checked_frames(episode)
    length = len(episode)
    group.attrs["num_samples"] = length
    group.attrs[META] = json.dumps(episode.meta, sort_keys=True)
    group.attrs[HAS_STATE] = SIM_STATE in frames
    where = f"{stream.source}, episode {episode.index}"
    done = np.arange(length) == length - 1
    columns = {
        "actions": unit_actions(stream.action, frames[ACTION], where),
        "rewards": (done & bool(episode.meta.get("success", True))).astype(np.float64),
        "dones": done.astype(np.int64),
        "states": frames.get(SIM_STATE, frames[STATE]),
        "obs/state": frames[STATE],
    }
    for key, values in frames.items():
        if is_image(key):
            columns[f"obs/{key.removeprefix(IMAGE_PREFIX)}_image"] = values
        elif is_mask(key):
            columns[f"obs/{key.removeprefix(MASK_PREFIX)}_mask"] = values[..., None]
        elif key not in (ACTION, STATE, SIM_STATE):
            columns[f"{EXTRA}/{key}"] = values
    _require_room(Path(group.file.filename), sum(values.nbytes for values in columns.values()))
    for name, values in columns.items():
        pictures = values.ndim >= 4 and values.dtype == np.uint8
        # A picture a chunk: frames are read at random. Checksums tell a flipped bit from a value.
        options = {"compression": "lzf", "chunks": (1, *values.shape[1:])} if pictures else {"chunks": values.shape}
        group.create_dataset(name, data=values, fletcher32=True, **options)
    group.file.flush()  # so that the room that is left is known


def _require_room(path: Path, size: int) -> None:
    """Raises OSError where the disk has no room for `size` more bytes: on a full one HDF5 brings the process down."""
    if shutil.disk_usage(path.parent).free < size + ROOM_LEFT:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read(path: Path, options: ReadOptions) -> Stream:
    """Opens a robomimic file: one of ours, or another one together with an action contract (`options.contract`).

    In a file of other origin, (N, H, W, 3) uint8 observations become cameras (the name without `_image`), and the other
    numbers, in the order of their names, the state; pictures are taken as they lie in the file (robosuite under the
    opengl convention stores them upside down).

    Raises:
        FileError: the file is truncated or damaged, or no robomimic file; says which demonstration.
        ContractError: there is no action contract, or the actions have another size.
    """
    h5py = require_package("h5py", "robomimic", "reading robomimic files")
    try:
        with h5py.File(path, "r") as file:
            names = _demos(file, path)
            ours = file["data"].attrs.get(CONTRACTS)
            env_args = str(file["data"].attrs.get("env_args", ""))
            first = file["data"][names[0]] if names else None
            if ours is not None:
                action, observation, robot = contracts_from(str(ours), str(path))
            elif first is None:
                raise FileError(f"{path} holds no demonstrations")
            else:
                action, observation, robot = *_foreign_contracts(first, path, options), "panda"
    except (OSError, KeyError, RuntimeError) as error:
        raise FileError(f"{path} is truncated or damaged ({error}); restore it from a copy") from error

    def episodes(start: int) -> Iterator[Episode | FileError]:
        with h5py.File(path, "r") as file:
            for number, name in enumerate(names[start:], start=start):
                try:
                    demo, where = file["data"][name], f"{path}, {name} (episode {number})"
                    yield _read_demo(demo, number, where, action, observation, foreign=ours is None)
                except ContractError as error:
                    yield FileError(f"{error}; correct the demonstration, or pass --skip-damaged to leave it out")
                except (OSError, KeyError, RuntimeError, ValueError) as error:
                    remedy = "restore it from a copy, or pass --skip-damaged: the other episodes are usable"
                    yield FileError(f"{path}, {name} (episode {number}): truncated or damaged ({error}); {remedy}")

    facts = {"source": str(path), "env_args": env_args, "foreign": ours is None}
    return Stream(action, observation, len(names), episodes, facts, robot)


def _demos(file: Any, path: Path) -> list[str]:
    """Returns the names of a file's demonstrations, in order."""
    if "data" not in file or "total" not in file["data"].attrs:
        there = ", ".join(file) or "nothing"
        raise FileError(f"{path} is no robomimic file: no group data with an attribute total; there is {there}")
    return sorted((n for n in file["data"] if n.startswith("demo")), key=lambda n: (len(n), n))


def outline(path: Path) -> Outline:
    """Opens a robomimic file without its actions; one of others has one task: its instruction, or its environment.

    Raises:
        FileError: the file is truncated or damaged, or no robomimic file.
    """
    h5py = require_package("h5py", "robomimic", "reading robomimic files")
    damaged = f"{path} is truncated or damaged ({{}}); restore it from a copy"
    try:
        with h5py.File(path, "r") as file:
            names = _demos(file, path)
            attributes = dict(file["data"].attrs)
            noted = [file["data"][name].attrs.get(META) for name in names]
            obs = file["data"][names[0]]["obs"] if names else {}
            keys = {k.removesuffix("_image"): k for k, v in obs.items() if v.ndim == 4 and v.shape[3] == 3}
    except (OSError, KeyError, RuntimeError) as error:
        raise FileError(damaged.format(error)) from error
    ours = CONTRACTS in attributes
    about = {key: json.loads(str(attributes.get(key) or "{}")) for key in ("env_args", "problem_info")}
    task = about["problem_info"].get("language_instruction") or about["env_args"].get("env_name", "")  # LIBERO's, or

    def first_images(camera: str, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        with h5py.File(path, "r") as file:
            for number in numbers:
                try:
                    yield np.asarray(file["data"][names[number]]["obs"][keys[camera]][0], dtype=np.uint8)
                except (OSError, KeyError, RuntimeError, ValueError) as error:
                    raise FileError(f"{names[number]} of {damaged.format(error)}") from error

    metas = tuple(json.loads(str(meta)) if ours else {"task": str(task)} for meta in noted)
    robot = contracts_from(str(attributes[CONTRACTS]), str(path))[2] if ours else ""
    kind = "ToyShift's robomimic" if ours else "robomimic"
    return Outline(path, kind, metas, robot, tuple(keys), identity_of([path]), first_images)


def _low_dim(obs: Any) -> list[str]:
    return sorted(k for k, v in obs.items() if v.ndim <= 2 and np.dtype(v.dtype).kind in "fiub")


def _foreign_contracts(demo: Any, path: Path, options: ReadOptions) -> tuple[ActionContract, ObservationContract]:
    action = given_contract(options, str(path), f"has no attribute {CONTRACTS}")
    obs = demo["obs"]
    cameras = tuple(
        (k.removesuffix("_image"), (int(v.shape[1]), int(v.shape[2])))
        for k, v in sorted(obs.items()) if v.ndim == 4 and v.shape[3] == 3
    )
    names = tuple(f"{k}.{j}" for k in _low_dim(obs) for j in range(obs[k].shape[1] if obs[k].ndim == 2 else 1))
    return action, ObservationContract(cameras, names)


def _read_demo(
    demo: Any, number: int, where: str, action: ActionContract, observation: ObservationContract, *, foreign: bool
) -> Episode:
    units: NDArray[Any] = demo["actions"][()]
    if units.ndim != 2 or units.shape[1] != action.size:
        names = ", ".join(action.names)
        raise ContractError(f"{where}: actions have shape {units.shape}; {action.mode} takes {action.size}: {names}")
    if np.abs(units).max(initial=0.0) > 1.0 + 1e-6 or not np.isfinite(units).all():
        raise ContractError(f"{where}: actions reach {np.abs(units).max():.4g}; robomimic's lie within -1 and 1")
    obs = demo["obs"]
    frames: Frames = {ACTION: action.from_unit(units.astype(np.float64))}
    if foreign:
        frames |= {image_key(c): obs[c if c in obs else f"{c}_image"][()] for c in observation.camera_names}
        parts = [np.asarray(obs[k][()], np.float32).reshape(len(units), -1) for k in _low_dim(obs)]
        frames[STATE] = np.concatenate(parts, axis=1)
        if "states" in demo:
            frames[SIM_STATE] = np.asarray(demo["states"][()], np.float64)
        success = bool(demo["rewards"][()].max() > 0) if "rewards" in demo else True
        meta: dict[str, Any] = {"task": "", "success": success, "demo": demo.name.rpartition("/")[2]}
    else:
        frames |= {image_key(k.removesuffix("_image")): obs[k][()] for k in obs if k.endswith("_image")}
        frames |= {mask_key(k.removesuffix("_mask")): obs[k][()][..., 0] for k in obs if k.endswith("_mask")}
        frames[STATE] = obs["state"][()]
        frames |= {k: v[()] for k, v in demo.get(EXTRA, {}).items()}
        meta = json.loads(str(demo.attrs[META]))
        if demo.attrs[HAS_STATE]:
            frames[SIM_STATE] = demo["states"][()]
    return Episode(number, frames, meta)
