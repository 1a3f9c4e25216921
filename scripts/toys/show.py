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

EDGE = 1.05  # height of a picture, of the largest object in it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(SetConfig, limit=1, size=(16, 1024)):
    """Options of `toyshift toys show`."""

    out: Path
    """PNG file to write."""
    limit: int = 100
    """At most so many objects, the first of the set."""
    size: int = 160
    """Width of one thumbnail [pixels]."""


EXPLAINED = "width: the smallest horizontal one, however it lies; a gripper has to open further"


def main(cfg: Config) -> dict[str, Any]:
    """Draws a contact sheet of a set, all at one scale: every object with its id, smallest width and mass.

    Example: toyshift toys show toys:train?n=48 --out toys.png
    """
    from PIL import Image, ImageDraw, ImageFont

    from toyshift.envs.render.thumbnails import extent, thumbnail
    from toyshift.toys import load_objects

    objects = load_objects(cfg.objects)
    chosen = objects.ids[: cfg.limit]
    span = EDGE * max(extent(objects.by_id(name)) for name in chosen)  # [m]
    columns = columns_of(len(chosen))
    lines = math.ceil(len(chosen) / columns)
    letters = max(10, cfg.size // 11)  # height of a letter [pixels]
    gap, caption = cfg.size // 10, round(2.8 * letters)
    font = ImageFont.load_default(letters)
    wide, high = cfg.size + gap, cfg.size + caption + gap
    across = columns * wide + gap
    of = "" if len(chosen) == len(objects) else f" of {len(objects)}"
    told = [f"{objects.spec}: {len(chosen)}{of} objects, all at one scale", EXPLAINED]
    words = [line for text in told for line in wrapped(text, font.getlength, across - 2 * gap)]
    bar = bar_length(span)
    head = round((1.4 * len(words) + 2.2) * letters) + gap
    sheet = Image.new("RGB", (across, head + lines * high + gap), "white")
    draw = ImageDraw.Draw(sheet)
    for index, text in enumerate(words):
        draw.text((gap, gap + 1.4 * index * letters), text, "#111", font)
    ruler = gap + (1.4 * len(words) + 0.9) * letters  # its height in the sheet
    draw.line((gap, ruler, gap + bar / span * cfg.size, ruler), "#111", max(2, letters // 5))
    draw.text((gap + bar / span * cfg.size + letters / 2, ruler), f"{bar * 1000:g} mm", "#111", font, anchor="lm")
    for index, name in enumerate(track(chosen, "thumbnails")):
        left, top = gap + index % columns * wide, head + gap + index // columns * high
        found = objects.by_id(name)
        sheet.paste(Image.fromarray(thumbnail(found, cfg.size, span)), (left, top))
        size = f"width {found.width * 1000:.0f} mm, {found.mass * 1000:.0f} g"
        for text, colour, line in ((found.id, "#111", 0.2), (size, "#555", 1.45)):
            place = (left + cfg.size / 2, top + cfg.size + line * letters)
            draw.text(place, fitting(text, font.getlength, wide - letters / 2), colour, font, anchor="ma")
    with atomic_path(cfg.out) as temporary:
        sheet.save(temporary, format="PNG")
    print(f"{len(chosen)} of {len(objects)} objects: {cfg.out}")
    return {"objects": objects.spec, "shown": list(chosen), "mm_per_pixel": 1000 * span / cfg.size, "out": cfg.out}


def columns_of(count: int) -> int:
    """How many pictures stand side by side: about as many as below one another, so that few places stay empty."""
    wanted = min(count, math.ceil(math.sqrt(1.2 * count)))
    return min(range(max(1, wanted - 2), min(count, wanted + 2) + 1), key=lambda n: (-count % n, abs(n - wanted)))


def bar_length(span: float) -> float:
    """The longest of 1, 2, 5, 10, ... mm that is at most half a picture's height `span` [m]."""
    power = 10.0 ** math.floor(math.log10(500 * span))
    return max(k for k in (1, 2, 5) if k * power <= 500 * span) * power / 1000


def wrapped(text: str, length: Callable[[str], float], room: float) -> list[str]:
    """The text in lines of at most `room` [pixels], broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and length(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def fitting(text: str, length: Callable[[str], float], room: float) -> str:
    """The text, shortened in its middle until it fits `room` [pixels]."""
    shown, kept = text, len(text)
    while kept > 2 and length(shown) > room:
        kept -= 1
        shown = f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"
    return shown if kept > 2 else text[:2]
