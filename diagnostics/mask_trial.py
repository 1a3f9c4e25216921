"""A mask provider on recorded images: what it finds, how long it takes, and how far it is from the truth."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Image, Mask
from toyshift.core.contract import MASK_TARGET, image_key, mask_key
from toyshift.core.errors import UnknownNameError
from toyshift.core.progress import track
from toyshift.data.store.dataset import Dataset, open_dataset
from toyshift.data.video import read_video
from toyshift.diagnostics.mask_sources import target_ious

FOUND, TINT = (255, 0, 220), 0.55  # colour of what was found, and how much of it
EPISODES = 33  # of a dataset whose first images are looked at, for its empty table


@dataclasses.dataclass(frozen=True, eq=False)
class Footage:
    """Images of one camera, and what is known of them.

    Attributes:
        camera: its name.
        images: (H, W, 3) each, in order.
        masks: true labels (H, W) of each; None where nobody knows.
        fps: frames per second.
    """

    camera: str
    images: Sequence[Image]
    masks: Sequence[Mask] | None
    fps: float


def video_footage(path: Path, camera: str, most: int = 0) -> Footage:
    """Returns the images of a video file, at most `most` of them (0: all); raises FileError as `read_video`."""
    images, fps = read_video(path, most or None)
    return Footage(camera, images, None, fps)


def episode_footage(folder: Path, episode: int, camera: str, most: int = 0) -> Footage:
    """Returns an episode of a dataset, at most `most` of its images (0: all).

    Raises:
        FileError: the dataset cannot be read, or has no such episode.
        UnknownNameError: it has no such camera.
    """
    dataset = _opened(folder, camera)
    columns = [name for name in (image_key(camera), mask_key(camera)) if name in dataset.columns]
    frames = dataset.episode(episode, columns).frames
    masks = frames.get(mask_key(camera))
    end = most or None
    known = None if masks is None else list(masks[:end])
    return Footage(camera, list(frames[image_key(camera)][:end]), known, float(dataset.action_contract.control_hz))


def usual_first_image(folder: Path, camera: str) -> Image:
    """Returns the median (H, W, 3) of the first images of a dataset's episodes: what lies elsewhere each time is gone.

    Raises: as of `episode_footage`.
    """
    dataset = _opened(folder, camera)
    chosen = np.unique(np.linspace(0, dataset.num_episodes - 1, EPISODES).round().astype(int))
    first = np.stack([dataset.first_image(int(i), image_key(camera)) for i in chosen])
    return np.asarray(np.median(first, axis=0), dtype=np.uint8)


def _opened(folder: Path, camera: str) -> Dataset:
    dataset = open_dataset(folder)
    dataset.require_episodes()
    names = dataset.observation_contract.camera_names
    if camera not in names:
        raise UnknownNameError(f"camera of {folder}", camera, names)
    return dataset


@dataclasses.dataclass(frozen=True, eq=False)
class MaskTrial:
    """What came of it.

    Attributes:
        pictures: every image with what was found (H, W, 3).
        found: number of images in which something was found.
        ious: with the true mask, of every image that shows enough of the target (see `target_ious`).
        milliseconds, cpu_milliseconds: median time of a frame after the first, by the clock and of the processor; nan
            where there is one frame only.
        first_milliseconds: of the first frame, in which a provider learns.
    """

    pictures: list[Image]
    found: int
    ious: list[float]
    milliseconds: float
    cpu_milliseconds: float
    first_milliseconds: float


def tried(provider: Any, footage: Footage) -> MaskTrial:
    """Asks a provider, which knows its prompt already, for the mask of every image, in order."""
    camera, pictures, ious, found = footage.camera, [], [], 0
    spent: list[tuple[float, float]] = []
    for index, image in enumerate(track(footage.images, "frames")):
        begun = time.perf_counter(), time.process_time()
        mask = np.asarray(provider.masks({camera: image})[camera], dtype=np.uint8)
        spent.append((1e3 * (time.perf_counter() - begun[0]), 1e3 * (time.process_time() - begun[1])))
        true = None if footage.masks is None else footage.masks[index]
        ious += [] if true is None else target_ious({camera: mask}, {camera: true})
        found += bool((mask == MASK_TARGET).any())
        pictures.append(overlay(image, mask, true))
    later = list(zip(*spent[1:], strict=True)) or [(float("nan"),)] * 2
    middle = [statistics.median(times) for times in later]
    return MaskTrial(pictures, found, ious, middle[0], middle[1], spent[0][0])


def overlay(image: Image, mask: Mask, true: Mask | None = None) -> Image:
    """Returns an image (H, W, 3) in which the mask's target is tinted magenta and the true one has a white outline."""
    out = image.astype(np.float32)
    where = mask == MASK_TARGET
    out[where] = (1 - TINT) * out[where] + TINT * np.asarray(FOUND, np.float32)
    if true is not None:
        out[_outline(true == MASK_TARGET)] = 255.0
    return np.asarray(out.round(), dtype=np.uint8)


def _outline(found: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marks (H, W) the pixels around what is found that touch it."""
    from scipy.ndimage import binary_dilation

    return np.asarray(binary_dilation(found) & ~found)
