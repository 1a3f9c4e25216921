"""A filled box in the place of a mask, as a detector of boxes would give it."""

from __future__ import annotations

import numpy as np

from toyshift.core.arrays import Image
from toyshift.policies.masks.colour import ColourFollower, OwnColours, marked
from toyshift.policies.masks.provider import Follower, Found, Prompt
from toyshift.policies.opencv import opencv


class FilledBox(Follower[tuple[OwnColours, Found]]):
    """The box of the prompt, filled; later the box around what `ColourFollower` finds, or the last one where it finds
    nothing.

    Where a click is given, the first box is the one around what looks like the clicked pixel.
    """

    name = "box"

    def __init__(self) -> None:
        super().__init__()
        self._cv2, self._inside = opencv(f"masks {self.name}"), ColourFollower()

    def begin(self, camera: str, image: Image, prompt: Prompt | None) -> tuple[Found, tuple[OwnColours, Found]]:
        assert prompt is not None  # `prompted`
        _, colours = self._inside.begin(camera, image, prompt)
        box = filled(marked(self._cv2, image, prompt))
        return box, (colours, box)

    def follow(self, state: tuple[OwnColours, Found], image: Image) -> tuple[Found, tuple[OwnColours, Found]]:
        found, colours = self._inside.follow(state[0], image)
        box = filled(found) if found.any() else state[1]
        return box, (colours, box)


def filled(found: Found) -> Found:
    """Marks (H, W) the smallest box around what is found; nothing where nothing is."""
    out = np.zeros(found.shape, dtype=bool)
    if (around := Prompt.around(found)) is not None and around.box is not None:
        top, left, bottom, right = around.box
        out[top:bottom, left:right] = True
    return out
