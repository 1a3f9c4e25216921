"""What a dataset of any format tells without its actions: what was noted of each episode, and how each begins.

So datasets of others, whose actions nobody explains, can be looked at where they lie, without a converted copy.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import FileError, UndefinedError, UnknownNameError
from toyshift.core.files import content_hash
from toyshift.data.formats.exchange import module_of, recognise


@dataclasses.dataclass(frozen=True, eq=False)
class Outline:
    """A dataset as it is seen from outside.

    Attributes:
        path: its file or folder.
        kind: format, in words.
        metas: what was noted of each episode, see `Dataset.meta`; of datasets of others its task, where they tell it.
        robot: name of the robot; "" where it is not told.
        cameras: names.
        identity: hash that changes where the dataset does.
        first_images: camera, episodes (rising numbers) -> the image (H, W, 3) uint8 with which each begins, in order.
        ours: whether it is a folder of ToyShift's, which `toyshift augment` and `data mix` read.
        states: whether its frames keep the simulator's state, so that they can be rendered again.
    """

    path: Path
    kind: str
    metas: tuple[dict[str, Any], ...]
    robot: str
    cameras: tuple[str, ...]
    identity: str
    first_images: Callable[[str, Sequence[int]], Iterator[NDArray[np.uint8]]]
    ours: bool = False
    states: bool = False

    def camera(self, name: str = "") -> str:
        """Returns a camera; of no name front, or the first that there is.

        Raises:
            UnknownNameError: there is none of that name.
            UndefinedError: there is none at all.
        """
        if name in self.cameras:
            return name
        if not self.cameras:
            raise UndefinedError(f"{self.path} has no camera")
        if name:
            raise UnknownNameError(f"camera of {self.path}", name, self.cameras)
        return "front" if "front" in self.cameras else self.cameras[0]


def outline_of(path: Path) -> Outline:
    """Opens a LeRobot v3 folder, an RLDS folder or a robomimic file, of ours or of others.

    Raises:
        FileError: it is missing, damaged, of another format or version, or holds no episode.
        MissingDependencyError: the format needs an optional package.
    """
    outline: Outline = module_of(recognise(Path(path))).outline(Path(path))
    if not outline.metas:
        raise FileError(f"{path} holds no episodes; collect some, or leave it out")
    return outline


def identity_of(files: Iterable[Path]) -> str:
    """Returns a hash of files' names, sizes and times of change: reading gigabytes of video would take minutes."""
    facts = [(file, file.stat()) for file in sorted(files)]
    return content_hash(*(f"{file.name} {stat.st_size} {stat.st_mtime_ns}" for file, stat in facts))


def picture(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decodes an image file (PNG, JPEG, ...) to (H, W, 3) uint8.

    Raises:
        FileError: it is damaged.
    """
    from PIL import Image as Pictures
    from PIL import UnidentifiedImageError

    try:
        return np.asarray(Pictures.open(io.BytesIO(data)).convert("RGB"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise FileError(f"{where}: the image cannot be decoded ({error}); restore the file from a copy") from error
