"""Who finds the target in images, and how a person says where it is: a box, or a click."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Image, Mask
from toyshift.core.contract import MASK_BACKGROUND, MASK_TARGET
from toyshift.core.errors import ConfigError, ContractError

Images = Mapping[str, Image]
Masks = dict[str, Mask]
Found = NDArray[np.bool_]  # (H, W): what is the target
State = TypeVar("State")


class MaskProvider(Protocol):
    """Finds the target in the images of one episode."""

    def masks(self, images: Images) -> Masks:
        """Returns label masks {camera: (H, W) uint8} of images {camera: (H, W, 3) uint8 sRGB}.

        The target is MASK_TARGET. Called for every observation that a policy sees, in order; a new provider is made for
        every episode. One that must be told where the target is has `Follower.prompt`, called before the first images.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Prompt:
    """Where the target is in an image, as whoever looks at it says: one of the two.

    Attributes:
        box: top, left, bottom and right; the last two are the first row and column behind it [pixels].
        click: row and column of a pixel of it.
    """

    box: tuple[int, int, int, int] | None = None
    click: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.box is None) == (self.click is None):
            raise ConfigError("a prompt is either a box or a click: give one of the two")
        if self.box is not None:
            top, left, bottom, right = self.box
            if not (0 <= top < bottom and 0 <= left < right):
                raise ConfigError(f"box {self.box} is empty; give top, left, bottom and right, in pixels of the image")

    @classmethod
    def around(cls, found: Found) -> Prompt | None:
        """Returns the smallest box around what is marked (H, W); None where nothing is."""
        if not found.any():
            return None
        rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
        return cls((int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1))

    def check(self, camera: str, size: tuple[int, int]) -> None:
        """Raises ConfigError where it lies outside an image of `size`, height and width."""
        bottom, right = self.box[2:] if self.box else (self.click or (0, 0))
        edge = 0 if self.box else 1
        if min(bottom, right) < 0 or bottom + edge > size[0] or right + edge > size[1]:
            what = f"box {self.box}" if self.box else f"click {self.click}"
            raise ConfigError(f"{what} lies outside the image of camera {camera}, {size[0]} x {size[1]} pixels")


def labels(found: Found) -> Mask:
    """Returns a mask of labels (H, W) uint8 of what is the target (H, W) bool."""
    return np.where(found, MASK_TARGET, MASK_BACKGROUND).astype(np.uint8)


class Follower(abc.ABC, Generic[State]):
    """A provider that looks at each camera's first image in its own way, and follows what it found there.

    Attributes:
        name: of the provider, for errors.
        prompted: whether it must be told where the target is. Cameras whose first image does not show it may be left
            out; they then have empty masks.
    """

    name = ""
    prompted = True

    def __init__(self) -> None:
        self._prompts: dict[str, Prompt] = {}
        self._sizes: dict[str, tuple[int, ...]] = {}
        self._states: dict[str, State] = {}

    def prompt(self, prompts: Mapping[str, Prompt]) -> None:
        """Says where the target is in the next images {camera: prompt}; what was followed is forgotten."""
        self._prompts = dict(prompts)
        self._states.clear()
        self._sizes.clear()

    def masks(self, images: Images) -> Masks:
        """See `MaskProvider.masks`.

        Raises:
            ConfigError: nobody said where the target is, or a prompt lies outside its image.
            ContractError: an image is none, or of another size than the first of its camera.
        """
        if self.prompted and not self._prompts:
            raise ConfigError(f"masks {self.name}: say where the target is in the first image, by a box or a click")
        out: Masks = {}
        for camera, image in images.items():
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                told = f"an image of camera {camera} is {image.shape} {image.dtype}"
                raise ContractError(f"masks {self.name}: {told}; it must be (H, W, 3) uint8")
            size = image.shape[:2]
            if size != self._sizes.setdefault(camera, size):
                before = " x ".join(map(str, self._sizes[camera]))
                told = f"images of camera {camera} were {before} pixels and are now {size[0]} x {size[1]}"
                raise ContractError(f"masks {self.name}: {told}; begin again, with a new prompt")
            told_now = self._prompts.get(camera)
            if camera in self._states:
                found, self._states[camera] = self.follow(self._states[camera], image)
            elif told_now is None and self.prompted:
                found = np.zeros(size, dtype=bool)
            else:
                if told_now is not None:
                    told_now.check(camera, (size[0], size[1]))
                found, self._states[camera] = self.begin(camera, image, told_now)
            out[camera] = labels(found)
        return out

    @abc.abstractmethod
    def begin(self, camera: str, image: Image, prompt: Prompt | None) -> tuple[Found, State]:
        """Returns the target (H, W) in a camera's first image (H, W, 3), and what is to be known of it later."""

    @abc.abstractmethod
    def follow(self, state: State, image: Image) -> tuple[Found, State]:
        """Returns the target (H, W) in a later image, and what is to be known of it from now on."""
