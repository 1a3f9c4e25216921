"""OpenCV, which comes with robosuite; where ToyShift was installed without its dependencies it may be missing."""

from __future__ import annotations

from typing import Any

from toyshift.core.errors import MissingDependencyError

OLDEST = (4, 7)  # from then on ArUco boards are in the main package


def opencv(what: str) -> Any:
    """Returns the module cv2.

    Args:
        what: needs it, for the error.

    Raises:
        MissingDependencyError: it is missing, too old, or lacks a system library.
    """
    try:
        import cv2
    except ImportError as error:  # OpenCV with windows also wants libGL
        remedy = "run `pip install 'opencv-python-headless>=4.7,<4.12'`, on a machine without libGL too"
        raise MissingDependencyError(f"{what} needs OpenCV ({error}); {remedy}") from error
    if tuple(map(int, cv2.__version__.split(".")[:2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise MissingDependencyError(f"{what} needs OpenCV {wanted}, found {cv2.__version__}; upgrade opencv-python")
    return cv2
