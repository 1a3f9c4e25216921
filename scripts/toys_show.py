"""Draws a contact sheet of a set.

toyshift toys show toys:train?n=48 --out toys.png
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.errors import ConfigError
from toyshift.core.files import atomic_path
from toyshift.core.progress import track
from toyshift.scripts.toys_options import SetConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(SetConfig):
    """Options of `toyshift toys show`."""

    out: Path
    """PNG file to write."""
    limit: int = 100
    """At most so many objects, the first of the set."""
    size: int = 160
    """Width of one thumbnail [pixels]."""

    def __post_init__(self) -> None:
        if self.limit < 1 or not 16 <= self.size <= 1024:
            raise ConfigError(f"--limit must be at least 1 and --size 16..1024, got {self.limit} and {self.size}")


def main(cfg: Config) -> dict[str, Any]:
    """Draws a contact sheet of a set.

    Example: toyshift toys show toys:train?n=48 --out toys.png
    """
    from PIL import Image

    from toyshift.envs import thumbnail
    from toyshift.toys import load_objects

    objects = load_objects(cfg.objects)
    chosen = objects.ids[: cfg.limit]
    columns = math.ceil(math.sqrt(len(chosen) * 1.5))
    lines = math.ceil(len(chosen) / columns)
    sheet = np.full((lines * cfg.size, columns * cfg.size, 3), 255, dtype=np.uint8)  # (H, W, 3)
    for index, name in enumerate(track(chosen, "thumbnails")):
        line, column = divmod(index, columns)
        sheet[line * cfg.size : (line + 1) * cfg.size, column * cfg.size : (column + 1) * cfg.size] = thumbnail(objects.by_id(name), size=cfg.size)
    with atomic_path(cfg.out) as temporary:
        Image.fromarray(sheet).save(temporary, format="PNG")
    print(f"{len(chosen)} of {len(objects)} objects: {cfg.out}")
    return {"objects": objects.spec, "shown": list(chosen), "out": cfg.out}
