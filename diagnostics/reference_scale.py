"""How far apart two images are: in units of reference pictures that are the same whatever is measured.

Two scales. The *reference scale* is made once of the features of reference pictures: their 24 leading principal
components, each divided by its standard deviation over the reference, and what lies outside these components as one
more, so that nothing that varies is unseen. Squared distances d^2 are divided so that two reference pictures have 2 on
average, as two unrelated directions have on a sphere. exp(-d^2 / 2) is then the cosine of the two as points on a unit
sphere (of infinite dimension), on which the paper's potential is taken: distances there are |f(x) - f(y)|^2 =
2 - 2 exp(-d^2 / 2). Only differences enter, so that an image set whose features vary twice as far is never less
diverse. The *unit scale* is the paper's: features scaled to unit length as they are.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Float32
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import atomic_path, content_hash
from toyshift.diagnostics.features import Features

SHIPPED = Path(__file__).parent / "assets" / "scales"
REMAKE = "make it anew with `python benchmarks/reference_scale.py`"
COMPONENTS = 24
FEWEST = 20  # reference pictures
TEMPERATURE = 2.0  # Wang and Isola's t


def _squared(points: Array) -> Array:
    """Returns squared distances (N, N) of points (N, D)."""
    centred = points - points.mean(axis=0)  # so that far-off points of small differences lose no digits
    square = (centred**2).sum(axis=1)
    squared = np.maximum(0.0, square[:, None] + square[None, :] - 2.0 * centred @ centred.T)
    np.fill_diagonal(squared, 0.0)
    return np.asarray(squared)


@dataclasses.dataclass(frozen=True)
class UnitScale:
    """The paper's: distances of features scaled to unit length."""

    @property
    def told(self) -> str:
        return "scaled to unit length, without a reference (the paper's)"

    def squared(self, vectors: Array) -> Array:
        """Returns squared distances (N, N) of feature vectors (N, D)."""
        return _squared(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))

    def potential(self, squared: Array) -> Array:
        """Returns the potentials of pairs: 1 for the same image, towards 0 the further apart they are."""
        return np.asarray(np.exp(-TEMPERATURE * squared))


@dataclasses.dataclass(frozen=True)
class ReferenceScale:
    """A fixed scale, made of reference pictures.

    Attributes:
        weights: (D,) factor on each feature; parts that are to weigh the same have the same total variance.
        directions: (K, D) orthonormal principal components of the weighted features over the reference.
        units: (K,) what lengths along them are in units of: standard deviations over the reference, times the root of
            the number of components.
        outside: likewise for all that lies outside them.
        about: what it was made of: "encoder", "weights" (their digest), "reference" (in words), "pictures".
    """

    weights: Float32
    directions: Float32
    units: Float32
    outside: float
    about: Mapping[str, Any]

    @property
    def told(self) -> str:
        return f"in units of {self.about['pictures']} reference pictures ({self.about['reference']})"

    def placed(self, vectors: Array) -> Array:
        """Returns points (N, K + D) that lie 2 apart on average (squared), if they are reference pictures."""
        weighted = vectors * self.weights.astype(np.float64)
        directions = self.directions.astype(np.float64)
        scores = weighted @ directions.T
        left = weighted - scores @ directions
        return np.concatenate([scores / self.units, left / self.outside], axis=1)

    def squared(self, vectors: Array) -> Array:
        """Returns squared distances (N, N) of feature vectors (N, D).

        Raises:
            ConfigError: the vectors are of another length than those of the reference.
        """
        if vectors.shape[1] != len(self.weights):
            there = f"{len(self.weights)} of {self.about['encoder']}"
            raise ConfigError(f"the scale is for vectors of {there}, these have {vectors.shape[1]}; take its own scale")
        return _squared(self.placed(vectors))

    def potential(self, squared: Array) -> Array:
        """Returns the potentials of pairs: 1 for the same image, down to exp(-4) for those that are nothing alike."""
        return np.asarray(np.exp(-TEMPERATURE * 2.0 * -np.expm1(-squared / 2.0)))


Scale = UnitScale | ReferenceScale


def make_scale(vectors: Array, features: Features, reference: str) -> ReferenceScale:
    """Makes a scale of the features of reference pictures, one per episode.

    Args:
        vectors: (N, D), what `features` makes of the pictures, N at least 20.
        features: whose they are.
        reference: the pictures in words.

    Raises:
        ConfigError: they are too few, or all the same.
    """
    if len(vectors) < FEWEST:
        raise ConfigError(f"a scale needs at least {FEWEST} reference pictures, got {len(vectors)}")
    parts = np.split(vectors, np.cumsum(features.blocks)[:-1], axis=1) if features.blocks else [vectors]
    totals = [float(part.var(axis=0).sum()) for part in parts]
    if min(totals) < 1e-12:
        raise ConfigError(f"the reference pictures are all the same to {features.name}; take some that differ")
    sizes = [part.shape[1] for part in parts]
    weights = np.repeat(1.0 / np.sqrt(totals), sizes)
    weighted = (vectors - vectors.mean(axis=0)) * weights
    _, singular, directions = np.linalg.svd(weighted, full_matrices=False)
    deviations = singular / np.sqrt(len(vectors))
    varying = int(np.sum(deviations > 1e-6 * deviations[0]))
    keep = max(1, min(COMPONENTS, varying, len(vectors) // 4))
    left = float(np.sqrt((deviations[keep:] ** 2).sum()))
    outside = max(left, float(deviations[keep - 1]))  # where the reference has nothing else, its least component
    root = np.sqrt(keep + (left / outside) ** 2)
    about = {"encoder": features.name, "weights": features.weights, "reference": reference, "pictures": len(vectors)}
    return ReferenceScale(
        weights.astype(np.float32), directions[:keep].astype(np.float32),
        (root * deviations[:keep]).astype(np.float32), float(root * outside), about,
    )  # fmt: skip


def _members(scale: ReferenceScale) -> dict[str, Any]:
    """Returns the arrays of a file, with the hash of all others."""
    about = json.dumps(dict(scale.about), sort_keys=True)
    arrays = {"weights": scale.weights, "directions": scale.directions, "units": scale.units}
    members: dict[str, Any] = {**arrays, "outside": np.float64(scale.outside), "about": np.array(about)}
    parts = (part for name, array in members.items() for part in (name, np.ascontiguousarray(array).tobytes()))
    return members | {"hash": np.array(content_hash(*parts))}


def write_scale(path: Path, scale: ReferenceScale) -> None:
    """Writes a scale as an NPZ file without objects."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **_members(scale))


def read_scale(path: Path, features: Features) -> ReferenceScale:
    """Reads a scale that `write_scale` wrote.

    Raises:
        FileError: it is missing or not whole.
        ConfigError: it is of other features.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        outside, about = float(found["outside"]), json.loads(str(found["about"]))
        scale = ReferenceScale(found["weights"], found["directions"], found["units"], outside, about)
        whole = str(found["hash"]) == str(_members(scale)["hash"])
    except FileNotFoundError as error:
        raise FileError(f"there is no {path}; {REMAKE}") from error
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:  # cut off, or something else
        raise FileError(f"{path} is no scale ({error}); {REMAKE}") from error
    if not whole:
        raise FileError(f"{path} is damaged: its hash is another; {REMAKE}")
    made = (scale.about["encoder"], scale.about["weights"])
    if made != (features.name, features.weights):
        raise ConfigError(f"{path} is a scale of {' '.join(made)}, not of {features.name} {features.weights}; {REMAKE}")
    return scale


def shipped_scale(features: Features) -> ReferenceScale:
    """Returns the scale that comes with ToyShift.

    Raises:
        ConfigError: there is none for these features.
    """
    path = SHIPPED / f"{features.name}.npz"
    there = sorted(file.stem for file in SHIPPED.glob("*.npz"))
    if features.name not in there:
        raise ConfigError(
            f"no scale is shipped for {features.name} (there are {', '.join(there)}); give --scale DIR, a dataset to "
            f"measure against, --scale FILE.npz of benchmarks/reference_scale.py, or --scale unit"
        )
    return read_scale(path, features)
