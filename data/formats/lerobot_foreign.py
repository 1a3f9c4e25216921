"""LeRobot v3 folders of others as an outline: tasks, cameras, robot and first images; their actions stay unknown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toyshift.data.formats.lerobot_v3 import open_lerobot
from toyshift.data.formats.outline import Outline, identity_of


def outline(path: Path) -> Outline:
    """Opens a LeRobot v3 folder by its meta data.

    Raises:
        FileError: a file of meta/ is missing or damaged, or it is of another version of the layout.
    """
    folder = open_lerobot(path)

    def first_images(camera: str, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        return (folder.first_image(i, folder.cameras[camera]) for i in numbers)

    metas = tuple(folder.meta(i) for i in range(folder.num_episodes))
    files = (file for file in path.rglob("*") if file.is_file() and file.suffix in (".json", ".parquet", ".mp4"))
    return Outline(path, "LeRobot v3", metas, folder.robot, tuple(folder.cameras), identity_of(files), first_images)
