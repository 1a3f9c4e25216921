"""OpenCV, an extra of this package."""

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
        remedy = "run `pip install 'toyshift[opencv]'`, on a machine without libGL `pip install opencv-python-headless`"
        raise MissingDependencyError(f"{what} needs OpenCV ({error}); {remedy}") from error
    if tuple(map(int, cv2.__version__.split(".")[:2])) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        raise MissingDependencyError(f"{what} needs OpenCV {wanted}, found {cv2.__version__}; upgrade opencv-python")
    return cv2
