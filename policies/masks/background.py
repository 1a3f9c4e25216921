"""The target against a picture of the empty table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from toyshift.core.arrays import Image
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.pictures import read_picture
from toyshift.policies.masks.blobs import followed, grey, grey_at_border, largest, without_robot
from toyshift.policies.masks.colour import marked
from toyshift.policies.masks.colours import ColourCells, cells_of, counted
from toyshift.policies.masks.provider import Follower, Found, Prompt
from toyshift.policies.opencv import opencv

DIFFERENT = 24.0  # of 255, the channel that differs most: beyond noise and small changes of light
GAIN = (0.5, 2.0)  # factors by which the light, or the camera's exposure, may have changed
TYPICAL = 2e-4  # share of the picture's pixels from which on a colour is the table's
MOST_ROBOT = 0.5  # share of the picture that may be the robot: where more is grey, the table is
MOVING = ("wrist",)  # cameras that the robot carries, of those that every scene has
SUFFIXES = (".png", ".jpg", ".jpeg")


class _Empty(NamedTuple):
    """A picture of the empty table (H, W, 3), where the robot is in it, and by cell whether a colour is the table's."""

    picture: Image
    robot: Found
    typical: Found


class EmptyTable(Follower[tuple[str, Found]]):
    """What differs from a picture of the empty table and has not the robot's grey; of that, the largest blob first.

    Of a camera that stands still, pixel by pixel; where the picture shows the robot, and for cameras that move, what
    has none of the picture's colours. A prompt is not needed, but tells objects apart. It cannot tell an object of the
    table's colour under a moving camera, a grey one from the robot that touches it, or a shadow from an object.

    Args:
        pictures: camera -> image (H, W, 3) of the same camera and size, of the table without objects.
        moving: cameras that the robot carries.
    """

    name, prompted = "background", False

    def __init__(self, pictures: Mapping[str, Image], moving: Collection[str] = MOVING) -> None:
        super().__init__()
        self._cv2, self._moving = opencv(f"masks {self.name}"), frozenset(moving)
        self._empty = {camera: self._known(picture) for camera, picture in pictures.items()}

    def begin(self, camera: str, image: Image, prompt: Prompt | None) -> tuple[Found, tuple[str, Found]]:
        if camera not in self._empty:
            there = ", ".join(sorted(self._empty)) or "none"
            told = f"masks {self.name}: there is no picture of the empty table by camera {camera}"
            raise ConfigError(f"{told}; there are: {there}")
        if (size := self._empty[camera].picture.shape[:2]) != image.shape[:2]:
            told = f"the picture of the empty table by camera {camera} is {size[0]} x {size[1]} pixels"
            raise ConfigError(f"masks {self.name}: {told}, its images {image.shape[0]} x {image.shape[1]}")
        found = self._differs(camera, image)
        target = largest(found) if prompt is None else followed(found, marked(self._cv2, image, prompt))
        return target, (camera, target)

    def follow(self, state: tuple[str, Found], image: Image) -> tuple[Found, tuple[str, Found]]:
        camera, before = state
        target = followed(self._differs(camera, image), before)
        return target, (camera, target if target.any() else before)

    def _known(self, picture: Image) -> _Empty:
        everything = np.ones(picture.shape[:2], dtype=bool)
        robot = grey_at_border(grey(picture), picture)
        if robot.mean() > MOST_ROBOT:
            robot = ~everything
        counts = counted(cells_of(self._cv2, picture), ~robot)
        return _Empty(picture, robot, np.asarray(counts >= TYPICAL * picture[..., 0].size))

    def _differs(self, camera: str, image: Image) -> Found:
        """Marks (H, W) what is neither table nor robot."""
        empty = self._empty[camera]
        cells: ColourCells = cells_of(self._cv2, image)
        strange = ~empty.typical[cells] | (empty.robot & grey(image))
        if camera not in self._moving:
            before, now = empty.picture.astype(np.float32), image.astype(np.float32)
            gain = np.clip(np.median((now + 1.0) / (before + 1.0), axis=(0, 1)), *GAIN)
            apart = np.abs(now - gain * before).max(axis=-1) > DIFFERENT
            strange = np.where(empty.robot, strange, apart)
        return without_robot(np.asarray(strange), image)


def empty_pictures(place: Path) -> dict[str, Image]:
    """Reads pictures of the empty table of a folder, front.png for camera front and so on.

    Raises:
        FileError: there is no such folder, none in it, or one cannot be read.
    """
    if not place.is_dir():
        raise FileError(f"{place} is no folder with pictures of the empty table, such as {place / 'front.png'}")
    found = {path.stem: path for path in sorted(place.iterdir()) if path.suffix.lower() in SUFFIXES}
    if not found:
        raise FileError(f"{place} holds no picture of the empty table, such as front.png for camera front")
    return {camera: read_picture(path) for camera, path in found.items()}
