"""Training augmentation as a pure function of (seed, step): what is drawn never depends on what ran before."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core import proprioception
from toyshift.core.arrays import Float32
from toyshift.core.contract import ACTION, ACTION_HISTORY, STATE, image_key, mask_key
from toyshift.core.seeds import episode_rng
from toyshift.policies.batch_keys import FROZEN, KEPT_VIEWS, NOISE, NOISE_TIME, STATE_NOISE, bias_key, gain_key
from toyshift.policies.training.config import TrainConfig

Batch = dict[str, NDArray[Any]]


def shifted(frames: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Moves each frame by whole pixels and repeats its edge where nothing moved in.

    Args:
        frames: (B, T, H, W, ...) images or masks.
        offsets: (B, 2) rows and columns to move by.
    """
    height, width = frames.shape[2:4]
    out = np.empty_like(frames)
    for i, (dy, dx) in enumerate(offsets):
        rows = np.clip(np.arange(height) - dy, 0, height - 1)
        columns = np.clip(np.arange(width) - dx, 0, width - 1)
        np.take(np.take(frames[i], rows, axis=1), columns, axis=2, out=out[i])
    return out


# What changes its sign when the scene is mirrored left to right (base frame's y, and the hand's closing direction).
MIRRORED_STATE = proprioception.MIRRORED
MIRRORED_ACTION = ("dy", "rx", "rz")


def mirror_signs(names: tuple[str, ...], mirrored: tuple[str, ...]) -> NDArray[np.float32]:
    """Returns -1 for the entries that a mirrored scene negates, 1 for the others."""
    return np.array([-1.0 if name in mirrored else 1.0 for name in names], dtype=np.float32)


def mirrored(
    batch: Batch, cameras: tuple[str, ...], which: NDArray[np.bool_], state: Float32, action: Float32
) -> Batch:
    """Mirrors the chosen samples left to right: images, masks, state and actions together.

    The robot stands at y = 0, the front camera looks along y = 0 and the wrist camera across the closing direction: the
    mirror image of a demonstration is one as well, but for the arm's joint angles and the light.

    Args:
        batch: NumPy batch of the batch contract.
        cameras: the views the policy looks through.
        which: (B,) samples to mirror.
        state: (S,) signs of the state entries.
        action: (A,) signs of the action entries.
    """
    out = dict(batch)
    for key in [k for camera in cameras for k in (image_key(camera), mask_key(camera)) if k in batch]:
        flipped = np.array(batch[key])
        flipped[which] = flipped[which][:, :, :, ::-1]
        out[key] = flipped
    sign = which[:, None, None].astype(np.float32)
    out[STATE] = batch[STATE] * (1.0 + sign * (state - 1.0)).astype(np.float32)
    for key in [k for k in (ACTION, ACTION_HISTORY) if k in batch]:
        out[key] = batch[key] * (1.0 + sign * (action - 1.0)).astype(np.float32)
    return out


def augment(
    batch: Batch, cameras: tuple[str, ...], config: TrainConfig, step: int,
    signs: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None, part: tuple[int, slice] | None = None,
) -> Batch:
    """Returns a new batch with the augmentation of this step; the input is left as it is.

    The shift moves image and mask together. The rest is only drawn here and applied on the training device, by the
    policy's `forward`; `batch_keys.py` lists the keys.

    Args:
        batch: NumPy batch of the batch contract.
        cameras: the views the policy looks through.
        config: how strong each augmentation is; 0 turns it off.
        step: training step, from 0; of the copies of a frozen encoder's tokens it draws one for each sample.
        signs: of state and action entries in a mirrored scene; needed with `mirror`.
        part: (samples in the step's whole batch, those of them that `batch` holds): each is augmented as in the whole
            batch.
    """
    rng = episode_rng(config.seed, step, "augmentation")
    size, here = part or (len(batch[STATE]), slice(None))
    out = dict(batch)
    if config.mirror:
        assert signs is not None
        out = batch = mirrored(batch, cameras, (rng.random(size) < 0.5)[here], *signs)
        out = dict(out)
    if frozen := [key for key in batch if key.startswith(FROZEN)]:  # (B, T, copies, ...)
        copies = episode_rng(config.seed, step, "copies").integers(batch[frozen[0]].shape[2], size=size)[here]
        out |= {key: batch[key][np.arange(len(copies)), :, copies] for key in frozen}
    for camera in () if frozen else cameras:
        if config.shift:
            offsets = rng.integers(-config.shift, config.shift + 1, (size, 2))[here]
            for key in (image_key(camera), mask_key(camera)):
                if key in batch:
                    out[key] = shifted(batch[key], offsets)
        if config.brightness or config.contrast or config.color:
            contrast = 1.0 + config.contrast * rng.uniform(-1, 1, (size, 1))
            color = 1.0 + config.color * rng.uniform(-1, 1, (size, 3))
            out[gain_key(camera)] = (contrast * color).astype(np.float32)[here]
            # a standardised pixel spans [-2, 2]: the full range is 4
            out[bias_key(camera)] = (4.0 * config.brightness * rng.uniform(-1, 1, size)).astype(np.float32)[here]
    if config.state_noise:
        noise = rng.standard_normal((size, batch[STATE].shape[-1]))[here]
        out[STATE_NOISE] = (config.state_noise * noise).astype(np.float32)
    if config.view_dropout and len(cameras) > 1:
        keep = rng.random((size, len(cameras))) >= config.view_dropout
        lucky = rng.integers(len(cameras), size=size)  # the view that stays when all would go
        keep[np.arange(size), lucky] |= ~keep.any(axis=1)
        out[KEPT_VIEWS] = keep[here]
    if config.policy.needs_noise:
        seen = (size, config.policy.steps_seen)
        out[NOISE] = rng.standard_normal((*seen, *batch[ACTION].shape[1:]), dtype=np.float32)[here]
        out[NOISE_TIME] = rng.random(seen, dtype=np.float32)[here]
    return out
