"""The target by the colours that it has and its surroundings lack, learnt from a prompt in the first image."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from toyshift.core.arrays import Float32, Image
from toyshift.policies.masks.blobs import SMALLEST, followed
from toyshift.policies.masks.colours import ColourCells, cells_of, counted
from toyshift.policies.masks.provider import Follower, Found, Prompt
from toyshift.policies.opencv import opencv

ROUNDS = 3  # of telling the target from the rest inside the box, and counting again
RARE = 1e-4  # share of pixels below which a colour says nothing
LIKE = (40, 10, 10)  # how far lightness and colour [of 255] may be from the clicked pixel's and belong to it


class OwnColours(NamedTuple):
    """What is known of a target: by cell, how likely such a pixel is the target's (n,), and where it was (H, W)."""

    likely: Float32
    place: Found


class ColourFollower(Follower[OwnColours]):
    """Colours that are more frequent in the target than around it, where they are connected to its last place.

    The ratio of two histograms, as in Swain and Ballard's back-projection ("Color Indexing", IJCV 1991). It needs no
    weights, and works with moving cameras. What else has the target's colours is taken for it: a grey target and the
    robot, or two red objects that touch.
    """

    name = "colour"

    def __init__(self) -> None:
        super().__init__()
        self._cv2 = opencv(f"masks {self.name}")

    def begin(self, camera: str, image: Image, prompt: Prompt | None) -> tuple[Found, OwnColours]:
        assert prompt is not None  # `prompted`
        cells = cells_of(self._cv2, image)
        found = inside = marked(self._cv2, image, prompt)
        for _ in range(ROUNDS):
            likely = _likely(cells, found)
            found = inside & (likely[cells] > 0.5)
        return found, OwnColours(likely, found if found.any() else inside)

    def follow(self, state: OwnColours, image: Image) -> tuple[Found, OwnColours]:
        cells = cells_of(self._cv2, image)
        found = followed(np.asarray(state.likely[cells] > 0.5), state.place)
        return found, OwnColours(state.likely, found) if found.sum() >= SMALLEST else state


def _likely(cells: ColourCells, found: Found) -> Float32:
    """Returns, by cell, how likely a pixel of that colour is the target's, if half of all pixels were."""
    mine, others = (counted(cells, part) / max(1, int(part.sum())) for part in (found, ~found))
    return np.asarray(mine / (mine + others + np.float32(RARE)), dtype=np.float32)


def marked(cv2: Any, image: Image, prompt: Prompt) -> Found:
    """Returns what a prompt marks (H, W): the box, or what is connected to the click and looks like it."""
    found = np.zeros(image.shape[:2], dtype=bool)
    if prompt.box is not None:
        top, left, bottom, right = prompt.box
        found[top:bottom, left:right] = True
        return found
    assert prompt.click is not None
    row, column = prompt.click
    lab = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2LAB)
    grown = np.zeros((image.shape[0] + 2, image.shape[1] + 2), np.uint8)
    how = cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | 8
    cv2.floodFill(lab, grown, (column, row), 0, LIKE, LIKE, how)
    return np.asarray(grown[1:-1, 1:-1] > 0)
