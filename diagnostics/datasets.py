"""The datasets that a diagnosis is asked about: opened in any format, and vectors of their first images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, FileError, UndefinedError
from toyshift.core.files import atomic_path, cache_dir, content_hash, real_path
from toyshift.diagnostics.features import Features, vectors_of

if TYPE_CHECKING:
    from toyshift.data.formats.outline import Outline

CACHE_VERSION = 1


def opened(paths: Sequence[Path]) -> dict[str, Outline]:
    """Opens datasets, by their place; a folder of `toyshift data fragment` or `toyshift augment` is its sub-datasets.

    Raises:
        ConfigError: one is named twice.
        FileError: one is missing, damaged, empty or of no format that is known.
    """
    from toyshift.augment.sources import sub_datasets
    from toyshift.data.formats.outline import outline_of

    places: list[Path] = []
    for path in paths:
        given = sub_datasets(path)
        places += given.parts.values() if given else [path]
    if twice := next((p for i, p in enumerate(places) if real_path(p) in map(real_path, places[:i])), None):
        raise ConfigError(f"{twice} is named twice; its episodes would count twice")
    return {str(path): outline_of(path) for path in places}


def spread_evenly(outline: Outline, limit: int) -> list[int]:
    """Returns numbers of episodes, at most `limit`, spread evenly over a dataset."""
    count = len(outline.metas)
    return [int(i) for i in np.unique(np.linspace(0, count - 1, min(limit, count)).round())]


def first_frames(outline: Outline, camera: str, limit: int) -> NDArray[np.uint8]:
    """Returns the first images of a camera (n, H, W, 3) uint8 of at most `limit` episodes, spread evenly.

    Raises:
        UndefinedError: they are not of one size, or there is no camera.
        UnknownNameError: there is no such camera.
        FileError: an episode is damaged.
    """
    images = list(outline.first_images(outline.camera(camera), spread_evenly(outline, limit)))
    if len(shapes := {image.shape for image in images}) != 1:
        raise UndefinedError(f"{outline.path} has images of different shapes ({sorted(shapes)})")
    return np.stack(images)


def first_vectors(outline: Outline, features: Features, camera: str, limit: int) -> Array:
    """Returns vectors (n, D) of `first_frames`, kept in the user's cache for the next time; raises as these.

    Those of a function of one's own are not kept: nothing tells when it has changed.
    """
    own = ":" in features.name
    facts = (CACHE_VERSION, outline.identity, outline.camera(camera), limit, features.name, features.weights)
    kept = cache_dir("features") / f"{content_hash(*map(str, facts))}.npy"
    if not own and kept.is_file():
        try:
            return np.asarray(np.load(kept, allow_pickle=False))
        except (OSError, ValueError, EOFError) as error:
            raise FileError(f"{kept} is damaged ({error}); delete it: it is made again from the dataset") from error
    vectors = vectors_of(features, first_frames(outline, camera, limit))
    if not own:
        with atomic_path(kept) as temporary, open(temporary, "wb") as file:
            np.save(file, vectors, allow_pickle=False)
    return vectors
