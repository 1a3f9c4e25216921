"""A robot's images become the contract's: cut to the training's field of view, resized; and what images are like."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Float32, Image, Mask
from toyshift.core.errors import ContractError

Size = tuple[int, int]  # height, width [pixels]
EDGE = 0.02  # share of the training's field of view that may be missing at a side: lenses are never calibrated exactly
QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
LOOKS = ("brightness", "red", "green", "blue", "sharpness")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclasses.dataclass(frozen=True)
class Lens:
    """A pinhole camera without distortion, and the size of the images that its numbers are of.

    Attributes:
        size: height and width [pixels].
        focal: fx, fy [pixels].
        centre: principal point cx, cy from the image's top left corner [pixels].
    """

    size: Size
    focal: tuple[float, float]
    centre: tuple[float, float]

    def __post_init__(self) -> None:
        if min(self.size) < 1 or not all(0 < value < np.inf for value in (*self.focal, *self.centre)):
            raise ContractError(f"no lens: images of {self.size}, focal lengths {self.focal}, centre {self.centre}")

    @classmethod
    def of(cls, intrinsics: Any, size: Size) -> Lens:
        """Makes a lens of a matrix (3, 3) [pixels] for images of `size`."""
        matrix = np.asarray(intrinsics, dtype=np.float64)
        if matrix.shape != (3, 3):
            raise ContractError(f"intrinsics must be 3 x 3 numbers, got {matrix.shape}")
        (fx, _, cx), (_, fy, cy), _ = matrix.tolist()
        return cls((int(size[0]), int(size[1])), (fx, fy), (cx, cy))


@dataclasses.dataclass(frozen=True)
class Frame:
    """The part of an image that becomes another image.

    Attributes:
        source: size of the image.
        box: top, left, bottom and right of the part [pixels].
        target: size that it gets.
    """

    source: Size
    box: tuple[float, float, float, float]
    target: Size

    @property
    def whole(self) -> bool:
        """Whether the image stays as it is."""
        return self.source == self.target and self.box == (0.0, 0.0, *map(float, self.source))

    @functools.cached_property
    def _rows(self) -> tuple[NDArray[np.int64], Float32]:
        return _weights(self.box[0], self.box[2], self.source[0], self.target[0])

    @functools.cached_property
    def _columns(self) -> tuple[NDArray[np.int64], Float32]:
        return _weights(self.box[1], self.box[3], self.source[1], self.target[1])

    def image(self, image: Image) -> Image:
        """Returns the part of an image (H, W, 3), each new pixel the mean of what it covers."""
        if self.whole:
            return image
        (places, shares), (height, width) = self._columns, self.target
        first, last = int(places.min()), int(places.max()) + 1  # nobody needs the other columns
        rows, share = self._rows
        covered = np.asarray(image)[rows, first:last].reshape(height, -1, 3 * (last - first))
        part = _averaged(covered, share).reshape(height, -1, 3)
        # channels and rows become the last axis: three numbers in a row would be copied one by one
        part = np.ascontiguousarray(part.transpose(1, 2, 0)).reshape(-1, 3 * height)
        both = _averaged(part[places - first], shares) + np.float32(0.5)
        return np.ascontiguousarray(both.astype(np.uint8).reshape(width, 3, height).transpose(2, 0, 1))

    def mask(self, mask: Mask) -> Mask:
        """Returns the part of a mask (H, W), each new pixel the label in its middle."""
        if self.whole:
            return mask
        top, left, bottom, right = self.box
        rows, columns = (
            np.clip((start + (np.arange(n) + 0.5) * (end - start) / n).astype(int), 0, limit - 1)
            for start, end, n, limit in zip((top, left), (bottom, right), self.target, self.source, strict=True)
        )
        return np.ascontiguousarray(np.asarray(mask)[np.ix_(rows, columns)])


def _weights(start: float, end: float, source: int, target: int) -> tuple[NDArray[np.int64], Float32]:
    """Returns for every new row the old ones that it covers (target, k), and their shares (target, k)."""
    edges = np.linspace(start, end, target + 1)
    first = np.floor(edges[:-1] + 1e-9).astype(np.int64)
    count = int((np.ceil(edges[1:] - 1e-9).astype(np.int64) - first).max())
    places = first[:, None] + np.arange(max(count, 1))
    shares = np.minimum(places + 1, edges[1:, None]) - np.maximum(places, edges[:-1, None])
    shares = np.where((places >= 0) & (places < source), shares.clip(0), 0.0)
    shares /= shares.sum(1, keepdims=True)
    return places.clip(0, source - 1), shares.astype(np.float32)


def _averaged(values: NDArray[Any], shares: Float32) -> Float32:
    """Returns weighted means (n, m) of values (n, k, m), by shares (n, k) that sum to one."""
    return np.asarray((shares[:, None] @ values.astype(np.float32, copy=False))[:, 0], dtype=np.float32)


def frame_of(camera: str, size: Size, lens: Lens | None, training: Lens | None, target: Size) -> Frame:
    """Returns which part of a robot's images shows what the training's images showed.

    Args:
        camera: its name, for errors.
        size: of the robot's images.
        lens: of the robot's camera; None where it is not known: images of the training's shape are then taken whole.
        training: lens with which the training's images were made; None where the bundle does not say.
        target: size of the contract's images.

    Raises:
        ContractError: the robot's camera sees less than the training's, or nobody knows what it sees.
    """
    height, width = size
    if lens is None or training is None:
        if height * target[1] != width * target[0]:
            lacks = "the bundle has no intrinsics of it" if training is None else "give its intrinsics"
            told = f"images of camera {camera} are {height} x {width}, the training's {target[0]} x {target[1]}"
            raise ContractError(f"{told}: without intrinsics nobody knows which part to take; {lacks}")
        return Frame(size, (0.0, 0.0, float(height), float(width)), target)
    if lens.size != size:
        raise ContractError(f"images of camera {camera} are {height} x {width}, its intrinsics are for {lens.size}")
    ends = []
    for axis in (0, 1):  # columns, rows
        span, f, c = training.size[1 - axis], training.focal[axis], training.centre[axis]
        low, high = (lens.centre[axis] + lens.focal[axis] * (edge - c) / f for edge in (0.0, float(span)))
        limit, slack = float((width, height)[axis]), EDGE * (high - low)
        if low < -slack or high > limit + slack:
            side = ("left or right", "above or below")[axis]
            raise ContractError(
                f"camera {camera} sees less than the training's camera, {side}: of its images, pixels {low:.0f} to "
                f"{high:.0f} of {limit:.0f} would be needed; use a wider lens, or a larger part of the sensor"
            )
        ends.append((max(low, 0.0), min(high, limit)))
    (left, right), (top, bottom) = ends
    whole = size == target and max(abs(left), abs(top), abs(right - width), abs(bottom - height)) < 1e-3
    return Frame(size, (0.0, 0.0, float(height), float(width)) if whole else (top, left, bottom, right), target)


def looks_of(image: Image) -> Array:
    """Returns what an image (H, W, 3) is like: mean luma, mean red, green and blue [0..255], and sharpness.

    Sharpness is the mean size of the luma's differences between neighbouring pixels [0..255].
    """
    luma = np.asarray(image, np.float32) @ LUMA
    steps = [np.abs(np.diff(luma, axis=axis)).mean() for axis in (0, 1)]
    return np.array([luma.mean(), *np.asarray(image, np.float64).mean((0, 1)), np.mean(steps)])


def looks_table(images: Any) -> Mapping[str, list[float]]:
    """Returns what images are like, by LOOKS: the QUANTILES over all of them."""
    values = np.quantile([looks_of(image) for image in images], QUANTILES, axis=0)
    return {name: [round(float(value), 4) for value in column] for name, column in zip(LOOKS, values.T, strict=True)}
