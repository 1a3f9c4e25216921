"""Pooled tokens of frozen encoders, computed once per dataset and read by memory map: training then sees no image."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toyshift.core.contract import STATE, image_key, mask_key
from toyshift.core.errors import FileError, with_remedy
from toyshift.core.files import cache_dir, json_hash, locked, read_json, write_json
from toyshift.core.maps import writable_map
from toyshift.core.progress import Progress
from toyshift.policies.batch_keys import bias_key, gain_key
from toyshift.policies.network.encoders import Jitter
from toyshift.policies.network.frozen import frozen_views
from toyshift.policies.network.policy import Policy
from toyshift.policies.training.augmentation import augment
from toyshift.policies.training.config import TrainConfig
from toyshift.policies.training.training_data import TrainingData

Arrays = Mapping[str, NDArray[Any]]

VERSION = 1
BLOCK = 64  # frames that are encoded at once, and marked as done
FACTS = "tokens.json"


def source_of_tokens(source: TrainingData, policy: Policy, config: TrainConfig, bf16: bool) -> TrainingData:
    """Returns the same batches with pooled tokens of frozen encoders for the images; encodes what is in no cache yet.

    The caches lie beside those of the decoded frames, under a hash of all that the tokens depend on. Tokens are
    float16.

    Args:
        source: batches of images.
        policy: on the device that encodes.
        config: token_copies and the augmentation of images are used.
        bf16: encode in bfloat16.

    Raises:
        FileError: a cache is damaged, or there is no room.
    """
    meaning = _meaning(policy, config, bf16)
    columns = []
    for (folder, arrays), dataset in zip(source.windows.arrays, source.windows.content_hashes, strict=True):
        place = _place(folder, json_hash({**meaning, "dataset": dataset}))
        with locked(place):
            if not (place / FACTS).exists():
                _build(place, folder, arrays, policy, config, bf16, {**meaning, "dataset": dataset})
        columns.append(_open(place))
    seen = [key for key in source.windows.arrays[0][1] if key.startswith(("observation.images.", "masks."))]
    return source.with_columns(columns, seen)


def _meaning(policy: Policy, config: TrainConfig, bf16: bool) -> dict[str, Any]:
    """Returns everything but the dataset that a cached token depends on."""
    digest = hashlib.sha256()
    for camera, encoder in sorted(policy.encoders.items()):
        for name, tensor in sorted(encoder.net.state_dict().items()):  # type: ignore[union-attr]
            digest.update(f"{camera}/{name}/{tuple(tensor.shape)}".encode())
            digest.update(np.ascontiguousarray(tensor.cpu().numpy()).view(np.uint8).data)
    made = policy.config
    facts: dict[str, Any] = {
        "version": VERSION, "weights": digest.hexdigest(), "encoder": made.encoder, "family": made.weight_family,
        "size": made.encoder_size, "pooling": made.pooling, "cameras": list(policy.cameras),
        "shared": made.share_encoder, "bf16": bf16, "copies": config.token_copies,
    }
    if made.prototype:
        facts["prototype"] = True
    if config.token_copies > 1:
        facts |= {name: getattr(config, name) for name in ("seed", "brightness", "contrast", "color", "shift")}
    return facts


def _place(folder: Path, name: str) -> Path:
    beside = folder / ".cache"
    writable = os.access(beside if beside.exists() else folder, os.W_OK)
    return (beside if writable else cache_dir("tokens")) / f"tokens-{name}"


def _encode(
    arrays: Arrays, rows: slice, copy: int, policy: Policy, config: TrainConfig, bf16: bool
) -> dict[str, NDArray[np.float16]]:
    """Returns the `copy`-th encoding of some frames: of the images as they are (0), or augmented."""
    cameras = policy.cameras
    shown = [key for c in cameras for key in (image_key(c), mask_key(c)) if key in arrays]
    batch: dict[str, Any] = {key: np.array(arrays[key][rows])[:, None] for key in shown}
    if copy:
        drawing_nothing_else = dataclasses.replace(config.policy, head="l1")
        plain = dataclasses.replace(config, state_noise=0.0, view_dropout=0.0, policy=drawing_nothing_else)
        batch[STATE] = np.array(arrays[STATE][rows])[:, None]
        batch = augment(batch, cameras, plain, rows.start * config.token_copies + copy)
    device = policy.indices.device
    tensors: dict[str, Tensor] = {k: torch.from_numpy(np.ascontiguousarray(v)).to(device) for k, v in batch.items()}
    jitter = {c: Jitter(tensors[gain_key(c)], tensors[bias_key(c)]) for c in cameras if gain_key(c) in tensors}
    images = {c: tensors[image_key(c)][:, 0] for c in cameras}
    masks = {c: tensors[mask_key(c)][:, 0] for c in cameras if mask_key(c) in tensors}
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        views = frozen_views(policy, images, masks, jitter or None)
    return {k: v.half().cpu().numpy() for k, v in views.items()}


def _build(
    place: Path, folder: Path, arrays: Arrays, policy: Policy, config: TrainConfig, bf16: bool, meaning: dict[str, Any]
) -> None:
    partial = place.with_name(place.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    count, copies = len(arrays[STATE]), config.token_copies
    blocks = [slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    shapes = {key: value.shape[1:] for key, value in _encode(arrays, slice(0, 1), 0, policy, config, bf16).items()}
    try:
        files = {k: partial / f"{k}.npy" for k in shapes}
        maps = {k: writable_map(files[k], (count, copies, *shape), "float16") for k, shape in shapes.items()}
        done = writable_map(partial / "done.npy", (len(blocks),), "uint8")
    except OSError as error:
        size = sum(int(np.prod(shape)) for shape in shapes.values()) * 2 * copies * count
        told = f"cannot make the cache of tokens {partial} ({error}); {count} frames take {size / 2**30:.1f} GiB"
        raise FileError(with_remedy(told, error, "lower --token-copies")) from error
    todo = [int(i) for i in np.flatnonzero(done == 0)]
    finished = count - sum(blocks[i].stop - blocks[i].start for i in todo)
    with Progress(f"encode {folder.name}", count, "frame", finished) as bar:
        for i in todo:
            for copy in range(copies):
                for key, value in _encode(arrays, blocks[i], copy, policy, config, bf16).items():
                    if not np.isfinite(value).all():
                        frames = f"frames {blocks[i].start}..{blocks[i].stop - 1} of {folder}"
                        raise FileError(
                            f"{config.policy.encoder} gives {key} beyond float16 in {frames}; give --token-copies 0"
                        )
                    maps[key][blocks[i], copy] = value
            done[i] = 1  # after the tokens: what a killed build marked is there
            bar.update(blocks[i].stop - blocks[i].start)
    (partial / "done.npy").unlink()
    write_json(partial / FACTS, {**meaning, "frames": count, "shapes": {k: list(v) for k, v in shapes.items()}})
    partial.replace(place)


def _open(place: Path) -> dict[str, NDArray[np.float16]]:
    again = f"delete {place}: it is made again from the dataset"
    facts = read_json(place / FACTS, again)
    arrays = {}
    for key, shape in facts["shapes"].items():
        path = place / f"{key}.npy"
        try:
            arrays[key] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise FileError(f"{path} is missing or truncated ({error}); {again}") from error
        if arrays[key].shape != (facts["frames"], facts["copies"], *shape):
            raise FileError(f"{path} has shape {arrays[key].shape}; {again}")
    return arrays
