"""Is a robot's camera where the training's was: boards seen by it, what to move, and what its images are like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toyshift.core.lazy import lazy_names

if TYPE_CHECKING:
    from toyshift.policies.cameras.board import CharucoBoard as CharucoBoard
    from toyshift.policies.cameras.camera_check import check_camera as check_camera

_PLACES = {"CharucoBoard": "board", "check_camera": "camera_check"}
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
