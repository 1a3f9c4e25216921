"""How a recorded episode is seen, as its meta data tell, and which cameras see a change of that."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from toyshift.augment.augmentation import SeenAs
from toyshift.envs.shifts import Look

CAMERA = "front"  # the camera that is moved; the wrist camera stays on the wrist
MOVES = ("camera-elevation", "camera-distance", "camera-fov")  # shift factors that move it; its azimuth is of the look
# of an episode's factors: shift factors that an augmentation gave it, with what they drew, and how it painted toys
CHANGED, COLOURS = "changed", "colours"
AUGMENTED = "_augmented"  # of an episode's meta data: what an augmentation made it of


def look_of(meta: Mapping[str, Any]) -> Look:
    """Returns the look of a recorded episode; the ordinary one where its meta data tell none."""
    return Look(**meta.get("factors", {}).get("look", {}))


def seen_of(meta: Mapping[str, Any]) -> SeenAs:
    """Returns how a recorded episode is seen, beside its shift."""
    factors = meta.get("factors", {})
    changed = factors.get(CHANGED, {})
    values = {name: float(value) for name, (value, *_) in changed.items()}
    draws = {name: tuple(rest) for name, (_, *rest) in changed.items()}
    return SeenAs(look_of(meta), values, draws, factors.get(COLOURS, {}))


def unmoved(meta: Mapping[str, Any], before: SeenAs, after: SeenAs, cameras: Sequence[str]) -> tuple[str, ...]:
    """Returns the cameras that see nothing else of an episode than was recorded, so that their frames may stay.

    Args:
        meta: of the recorded episode. One with a shift may hold noise, and one that was augmented other changes than
            meta data tell: of these none stays.
        before: how it was recorded.
        after: how it is to be seen.
        cameras: those that would be rendered.
    """
    if meta.get("factors", {}).get("shift") or AUGMENTED in meta:
        return ()
    if before == after:
        return tuple(cameras)
    return tuple(camera for camera in cameras if camera != CAMERA) if _still(before) == _still(after) else ()


def _still(seen: SeenAs) -> SeenAs:
    """Returns all of it that cameras see which are not moved."""
    values = {name: value for name, value in seen.values.items() if name not in MOVES}
    draws = {name: drawn for name, drawn in seen.draws.items() if name not in MOVES}
    return SeenAs(dataclasses.replace(seen.look, azimuth=0.0), values, draws, seen.colours)
