"""Small pieces the report's page is put together from: data URIs, axis ticks, SVG paths."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Image
from toyshift.core.errors import ConfigError, FileError
from toyshift.diagnostics.reporting.formatting import short

MAX_POINTS = 240


def image_uri(image: Image, size: int | None = None, quality: int = 86) -> str:
    """Returns an image (H, W, 3) uint8 as a JPEG data URI, shrunk so that its longer side is at most `size` pixels."""
    import PIL.Image

    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ConfigError(f"a picture must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
    picture = PIL.Image.fromarray(image)
    if size and max(picture.size) > size:
        picture.thumbnail((size, size), PIL.Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def clip_uri(clip: bytes) -> str:
    """Returns an MP4 file that is at hand as a data URI."""
    return "data:video/mp4;base64," + base64.b64encode(clip).decode()


def video_uri(path: Path) -> str:
    """Returns an MP4 file as a data URI."""
    try:
        return clip_uri(Path(path).read_bytes())
    except OSError as error:
        remedy = "record it again, or leave it out of the report"
        raise FileError(f"the video {path} cannot be read ({error}); {remedy}") from error


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Returns round numbers that cover [low, high], about `count` steps."""
    if not math.isfinite(low) or not math.isfinite(high):
        raise ConfigError(f"an axis needs finite ends, got {low} and {high}")
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / count
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(base * f for f in (1, 2, 2.5, 5, 10) if base * f >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def thin(steps: Sequence[float], values: Sequence[float], limit: int = MAX_POINTS) -> tuple[Array, Array]:
    """Returns at most `limit` points of a curve, each the mean of the points it stands for."""
    x, y = np.asarray(steps, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if len(x) <= limit:
        return x, y
    x, y = (np.array([part.mean() for part in np.array_split(column, limit)]) for column in (x, y))
    return x, y


def curve_panel(title: str, curves: Sequence[tuple[str, str, Sequence[float], Sequence[float]]]) -> dict[str, Any]:
    """Returns a line chart's geometry in a 100 x 100 box, y down.

    Args:
        title: the metric.
        curves: (label, colour class, steps, values); the axis is logarithmic where all values are positive and span
            more than a factor of 8.
    """
    thinned = [(label, colour, *thin(steps, values)) for label, colour, steps, values in curves if len(steps)]
    if not thinned:
        raise ConfigError(f"the curve panel {title!r} has no point to draw")
    every = np.concatenate([y for *_, y in thinned])
    last = max(float(x.max()) for _, _, x, _ in thinned)
    low, high = float(every.min()), float(every.max())
    logarithmic = low > 0 and high / low > 8
    if logarithmic:
        ends = (math.floor(math.log10(low) * 3) / 3, math.ceil(math.log10(high) * 3) / 3)
        decades = range(math.floor(ends[0]), math.ceil(ends[1]) + 1)
        candidates = [m * 10.0**e for e in decades for m in (1, 2, 5)]
        marks = [c for c in candidates if ends[0] - 1e-9 <= math.log10(c) <= ends[1] + 1e-9]
        while len(marks) > 6:
            marks = marks[::2]
    else:
        marks = nice_ticks(min(0.0, low) if low < 0.5 * high else low, high)
        ends = (marks[0], marks[-1])

    def place(value: float) -> float:
        scaled = math.log10(value) if logarithmic else value
        return 100.0 * (1.0 - (scaled - ends[0]) / ((ends[1] - ends[0]) or 1.0))

    x_marks = [t for t in nice_ticks(0.0, last) if t <= last * 1.0001]
    lines = []
    for label, colour, x, y in thinned:
        places = (f"{100 * a / (last or 1):.2f} {place(float(b)):.2f}" for a, b in zip(x, y, strict=True))
        path = "M" + " L".join(places)
        lines.append({"label": label, "colour": colour, "path": path, "final": short(float(y[-1]))})
    return {
        "title": title, "log": logarithmic, "lines": lines,
        "y": [{"at": round(place(t), 2), "text": short(t)} for t in marks],
        "x": [{"at": round(100 * t / (last or 1), 2), "text": short(t)} for t in x_marks],
    }
