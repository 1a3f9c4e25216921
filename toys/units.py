"""Units of length of mesh files, which most formats leave open: named by the user, or inferred from the sizes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
LARGEST_METRES = 1.5  # what a hand grasps is smaller than this, so larger numbers are no metres
LARGEST_CENTIMETRES = 30.0  # and hardly longer than this, so larger numbers are millimetres


def infer_unit(edges: Sequence[float]) -> str:
    """The unit in which objects with these longest edges (in the files' unit) are as large as what a hand grasps.

    One unit holds for all files of a folder, so the median decides. Inches cannot be told from centimetres.
    """
    middle = statistics.median(edges)
    if middle <= LARGEST_METRES:
        return "m"
    return "cm" if middle <= LARGEST_CENTIMETRES else "mm"
