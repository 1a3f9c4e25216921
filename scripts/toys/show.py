"""Draws a contact sheet of a set.

toyshift toys show toys:train?n=48 --out toys.png
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from toyshift.core.files import atomic_path
from toyshift.core.progress import track
from toyshift.scripts.toys.options import SetConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(SetConfig, limit=1, size=(16, 1024)):
    """Options of `toyshift toys show`."""

    out: Path
    """PNG file to write."""
    limit: int = 100
    """At most so many objects, the first of the set."""
    size: int = 160
    """Width of one thumbnail [pixels]."""


def main(cfg: Config) -> dict[str, Any]:
    """Draws a contact sheet of a set: every object with its id, smallest width and mass.

    Example: toyshift toys show toys:train?n=48 --out toys.png
    """
    from PIL import Image, ImageDraw, ImageFont

    from toyshift.envs import thumbnail
    from toyshift.toys import load_objects

    objects = load_objects(cfg.objects)
    chosen = objects.ids[: cfg.limit]
    columns = min(len(chosen), math.ceil(math.sqrt(len(chosen) * 1.5)))
    lines = math.ceil(len(chosen) / columns)
    letters = max(9, cfg.size // 12)  # height of a letter [pixels]
    gap, caption = cfg.size // 10, round(2.8 * letters)
    font = ImageFont.load_default(letters)
    wide, high = cfg.size + gap, cfg.size + caption + gap
    sheet = Image.new("RGB", (columns * wide + gap, lines * high + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for index, name in enumerate(track(chosen, "thumbnails")):
        left, top = gap + index % columns * wide, gap + index // columns * high
        found = objects.by_id(name)
        sheet.paste(Image.fromarray(thumbnail(found, size=cfg.size)), (left, top))
        size = f"{found.width * 1000:.0f} mm, {found.mass * 1000:.0f} g"
        for text, colour, line in ((found.id, "#111", 0.2), (size, "#666", 1.45)):
            place = (left + cfg.size / 2, top + cfg.size + line * letters)
            draw.text(place, fitting(text, font.getlength, cfg.size), colour, font, anchor="ma")
    with atomic_path(cfg.out) as temporary:
        sheet.save(temporary, format="PNG")
    print(f"{len(chosen)} of {len(objects)} objects: {cfg.out}")
    return {"objects": objects.spec, "shown": list(chosen), "out": cfg.out}


def fitting(text: str, length: Callable[[str], float], room: float) -> str:
    """The text, shortened in its middle until it fits `room` [pixels]."""
    shown, kept = text, len(text)
    while kept > 2 and length(shown) > room:
        kept -= 1
        shown = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    return shown if kept > 2 else text[:2]
