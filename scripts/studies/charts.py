"""Figures of studies, drawn with Pillow: success with intervals, by group and by level, and heat maps of drops."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from toyshift.core.files import atomic_path

SCALE = 2
PAGE = 830  # width at which GitHub shows a picture [pixels]: a wider one is shrunk, and its type with it
COLOURS = (
    (31, 119, 180), (214, 96, 30), (44, 140, 80), (148, 90, 180), (120, 120, 120), (180, 150, 20), (214, 39, 130),
    (100, 65, 40), (0, 190, 220),
)  # fmt: skip
DASHES = (6, 3, 1)  # of curves of others, which share a colour [pixels]
INK, GRID = (25, 25, 25), (225, 225, 225)


class Group(NamedTuple):
    """A panel: its title, and its lines from top to bottom.

    Each line is (label, number that picks the colour, what the study's table says: rate, interval, each seed's rate).
    """

    title: str
    lines: list[tuple[str, int, dict[str, Any]]]


def font(size: int) -> Any:
    return ImageFont.load_default(size * SCALE)


def save(sheet: Image.Image, out: Path) -> None:
    with atomic_path(out) as temporary:
        small = sheet.resize((sheet.width // SCALE, sheet.height // SCALE), Image.Resampling.LANCZOS)
        small.quantize(256, Image.Quantize.MAXCOVERAGE).save(temporary, optimize=True)


def success_chart(out: Path, groups: Sequence[Group], what: str = "success", more: str = "") -> None:
    """Draws one panel per object set: on each line a dot with the interval for new objects, rings for seeds.

    `what` says what the shares are, `more` what colours are.
    """
    label, row, top, gap = 122, 20, 34, 34
    names = [[name for name, _, _ in group.lines] for group in groups]
    labels = [label if i == 0 or names[i] != names[0] else 0 for i in range(len(groups))]  # the first panel's, where
    side = (PAGE - sum(labels) - gap * len(groups) - gap // 2) // len(groups)  # the others have the same
    numbers = sorted({number for group in groups for _, number, _ in group.lines if number}, reverse=True)
    colours = {number: COLOURS[i % len(COLOURS)] for i, number in enumerate(numbers)} | {0: COLOURS[4]}
    height = top + row * max(len(group.lines) for group in groups) + 46
    sheet = Image.new("RGB", (PAGE * SCALE, height * SCALE), (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for i, group in enumerate(groups):
        left = gap // 2 + i * (side + gap) + sum(labels[: i + 1])
        bottom = top + row * len(group.lines)
        draw.text(((left + side / 2) * SCALE, 8 * SCALE), group.title, fill=INK, font=font(13), anchor="ma")
        for share in (0, 25, 50, 75, 100):
            x = (left + side * share / 100) * SCALE
            draw.line([(x, top * SCALE), (x, bottom * SCALE)], fill=GRID, width=SCALE)
            draw.text((x, (bottom + 4) * SCALE), f"{share} %", fill=INK, font=font(10), anchor="ma")
        for k, (name, number, line) in enumerate(group.lines):
            y = (top + row * (k + 0.5)) * SCALE
            colour = colours[number]
            if labels[i]:
                draw.text(((left - 6) * SCALE, y), name, fill=INK, font=font(11), anchor="rm")
            low, high = ((left + side * share) * SCALE for share in line["clustered_objects_95"])
            draw.line([(low, y), (high, y)], fill=colour, width=2 * SCALE)
            for rate in line["by_seed"]:
                _ring(draw, (left + side * rate) * SCALE, y, 3 * SCALE, colour, fill=False)
            _ring(draw, (left + side * line["rate"]) * SCALE, y, 4 * SCALE, colour, fill=True)
    note = f"dot: {what} over all seeds; line: 95 % for new objects; rings: single seeds"
    if more:
        note += f"; {more}"
    elif any(name[-1].isdigit() for name in names[0]):
        note += "; numbers behind a name: demonstrations"
    draw.text((gap * SCALE, (height - 18) * SCALE), note, fill=INK, font=font(10))
    save(sheet, out)


def _ring(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, colour: tuple[int, int, int], *, fill: bool) -> None:
    draw.ellipse([x - r, y - r, x + r, y + r], fill=colour if fill else None, outline=colour, width=SCALE)


Curve = tuple[str, list[tuple[float, float, float, float]]]  # name and points


class CurvePanel(NamedTuple):
    """Shares against a figure.

    Attributes:
        title: above it.
        axis: what x is.
        curves: of (x, rate, low, high).
        ticks: of x, from the first to the last.
        beside: curves of others, grey and dashed, without intervals.
        log: equal ratios of x lie equally far apart, and curves are not drawn beside each other.
    """

    title: str
    axis: str
    curves: Sequence[Curve]
    ticks: Sequence[float]
    beside: Sequence[Curve] = ()
    log: bool = False


def curve_chart(
    out: Path, title: str, axis: str, curves: Sequence[Curve], ticks: Sequence[float], *, log: bool = False
) -> None:
    """Draws one panel; arguments as of `CurvePanel`."""
    curve_sheet(out, [CurvePanel(title, axis, curves, ticks, log=log)], columns=1)


def curve_sheet(out: Path, panels: Sequence[CurvePanel], columns: int, side: int = 460) -> None:
    """Draws panels side by side, `columns` in a row, each `side` pixels wide."""
    left, top, tall = 58, 40, round(250 * side / 460)
    legend = 16 * max(len(panel.curves) + len(panel.beside) for panel in panels)
    wide, high = left + side + 30, top + tall + 46 + legend
    rows = -(-len(panels) // columns)
    sheet = Image.new("RGB", (wide * columns * SCALE, high * rows * SCALE), (255, 255, 255))
    for i, panel in enumerate(panels):
        corner = left + wide * (i % columns), top + high * (i // columns)
        _curves(ImageDraw.Draw(sheet), panel, corner, (side, tall))
    save(sheet, out)


def _curves(draw: ImageDraw.ImageDraw, panel: CurvePanel, corner: tuple[int, int], size: tuple[int, int]) -> None:
    (left, top), (side, tall) = corner, size
    first, last = panel.ticks[0], panel.ticks[-1]

    def place(x: float, rate: float) -> tuple[float, float]:
        along = math.log(x / first) / math.log(last / first) if panel.log else (x - first) / (last - first)
        return (left + side * along) * SCALE, (top + tall * (1 - rate)) * SCALE

    draw.text(((left + side / 2) * SCALE, (top - 30) * SCALE), panel.title, fill=INK, font=font(13), anchor="ma")
    for share in (0, 25, 50, 75, 100):
        draw.line([place(first, share / 100), place(last, share / 100)], fill=GRID, width=SCALE)
        height = place(first, share / 100)[1]
        draw.text(((left - 6) * SCALE, height), f"{share} %", fill=INK, font=font(10), anchor="rm")
    for x in panel.ticks:
        draw.text((place(x, 0)[0], (top + tall + 5) * SCALE), f"{x:.3g}", fill=INK, font=font(10), anchor="ma")
    draw.text(((left + side / 2) * SCALE, (top + tall + 20) * SCALE), panel.axis, fill=INK, font=font(11), anchor="ma")
    every = [(curve, False) for curve in panel.curves] + [(curve, True) for curve in panel.beside]
    for i, ((name, points), others) in enumerate(every):
        colour = COLOURS[4] if others else COLOURS[i % len(COLOURS)]
        beside = 0 if others or panel.log else i - (len(panel.curves) - 1) / 2
        centre = [(place(x, rate)[0] + 3 * beside * SCALE, place(x, rate)[1]) for x, rate, _, _ in points]
        dash = DASHES[(i - len(panel.curves)) % len(DASHES)] if others else 0
        _line(draw, centre, colour, dash)
        for (x, _, low, high), (cx, cy) in zip(points, centre, strict=True):
            if not others:
                draw.line([(cx, place(x, low)[1]), (cx, place(x, high)[1])], fill=colour, width=SCALE)
            _ring(draw, cx, cy, 3.5 * SCALE, colour, fill=not others)
        y = (top + tall + 42 + 16 * i) * SCALE
        _line(draw, [(left * SCALE, y), ((left + 22) * SCALE, y)], colour, dash)
        draw.text(((left + 28) * SCALE, y), name, fill=INK, font=font(11), anchor="lm")


def _line(
    draw: ImageDraw.ImageDraw, points: Sequence[tuple[float, float]], colour: tuple[int, int, int], dash: int
) -> None:
    """Draws a line; `dash` is the length of its dashes and gaps [pixels], 0 for none."""
    if not dash:
        draw.line(points, fill=colour, width=2 * SCALE)
        return
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        pieces = max(1, round(math.hypot(x1 - x0, y1 - y0) / (dash * SCALE)))
        for k in range(0, pieces, 2):
            ends = [(x0 + (x1 - x0) * s / pieces, y0 + (y1 - y0) * s / pieces) for s in (k, k + 1)]
            draw.line(ends, fill=colour, width=2 * SCALE)


class FittedCurve(NamedTuple):
    """A curve on a `fitted_chart`: what was measured, what was fitted, and others' numbers.

    Attributes:
        name: for the legend.
        points: (x, rate, low, high) of each measurement.
        line: (x, rate, low, high) along the fitted curve; [] for none.
        beside: (x, rate) of others.
    """

    name: str
    points: Sequence[tuple[float, float, float, float]]
    line: Sequence[tuple[float, float, float, float]]
    beside: Sequence[tuple[float, float]]


def fitted_chart(out: Path, title: str, axis: str, curves: Sequence[FittedCurve]) -> None:
    """Draws shares against a number on a logarithmic axis: dots with intervals, fitted lines in their bands."""
    left, top, side, tall = 58, 40, 600, 300
    ticks = sorted({x for curve in curves for x, *_ in curve.points})
    first, last = math.log(ticks[0]), max(math.log(ticks[-1]), math.log(ticks[0]) + 1)
    size = (left + side + 30) * SCALE, (top + tall + 66 + 16 * len(curves)) * SCALE
    sheet = Image.new("RGBA", size, (255, 255, 255, 255))
    draw = ImageDraw.Draw(sheet)

    def place(x: float, rate: float) -> tuple[float, float]:
        along = (math.log(x) - first) / (last - first)
        return (left + 10 + (side - 20) * along) * SCALE, (top + tall * (1 - rate)) * SCALE

    draw.text(((left + side / 2) * SCALE, 10 * SCALE), title, fill=INK, font=font(13), anchor="ma")
    for share in (0, 25, 50, 75, 100):
        y = place(ticks[0], share / 100)[1]
        draw.line([(left * SCALE, y), ((left + side) * SCALE, y)], fill=GRID, width=SCALE)
        draw.text(((left - 6) * SCALE, y), f"{share} %", fill=INK, font=font(10), anchor="rm")
    for x in ticks:
        draw.text((place(x, 0)[0], (top + tall + 5) * SCALE), f"{x:g}", fill=INK, font=font(10), anchor="ma")
    draw.text(((left + side / 2) * SCALE, (top + tall + 20) * SCALE), axis, fill=INK, font=font(11), anchor="ma")
    for curve, colour in zip(curves, itertools.cycle(COLOURS)):
        if curve.line:
            ends = [place(x, low) for x, _, low, _ in curve.line] + [place(x, high) for x, *_, high in curve.line[::-1]]
            band = Image.new("RGBA", size, CLEAR)
            ImageDraw.Draw(band).polygon(ends, fill=(*colour, 45))
            sheet.alpha_composite(band)
    draw = ImageDraw.Draw(sheet)
    for i, (curve, colour) in enumerate(zip(curves, itertools.cycle(COLOURS))):
        draw.line([place(x, rate) for x, rate, _, _ in curve.line], fill=colour, width=2 * SCALE)
        nudge = (i - (len(curves) - 1) / 2) * 4 * SCALE  # intervals beside each other, not on top
        for x, rate, low, high in curve.points:
            cx = place(x, rate)[0] + nudge
            draw.line([(cx, place(x, low)[1]), (cx, place(x, high)[1])], fill=colour, width=SCALE)
            _ring(draw, cx, place(x, rate)[1], 3.5 * SCALE, colour, fill=True)
        for x, rate in curve.beside:
            cx, cy, r = place(x, rate)[0] + nudge, place(x, rate)[1], 4 * SCALE
            draw.rectangle([cx - r, cy - r, cx + r, cy + r], outline=colour, width=SCALE)
        y = (top + tall + 46 + 16 * i) * SCALE
        draw.line([(left * SCALE, y), ((left + 22) * SCALE, y)], fill=colour, width=2 * SCALE)
        draw.text(((left + 28) * SCALE, y), curve.name, fill=INK, font=font(11), anchor="lm")
    note = "dot: success with 95 % for new objects; line, band: the fitted curve and its 95 %; square: LEGO's"
    draw.text((left * SCALE, (top + tall + 46 + 16 * len(curves)) * SCALE), note, fill=INK, font=font(10), anchor="lm")
    save(sheet.convert("RGB"), out)


# of heat maps, whose background is clear: they are read on white and on black pages
CLEAR, BOTH = (0, 0, 0, 0), (128, 128, 128, 255)
NOTHING, LOSS, GAIN = (226, 228, 232), (168, 33, 20), (25, 92, 150)


class HeatLine(NamedTuple):
    """A line of a heat map: its name, a word behind it, and for each column (value in -1..1, whether it is sure)."""

    name: str
    word: str
    cells: list[tuple[float, bool] | None]


def heat_chart(out: Path, title: str, columns: Sequence[str], lines: Sequence[HeatLine], note: str) -> None:
    """Draws a table of drops as what success changes by, in points: red where it falls; a frame where that is sure."""
    left, top, row, width, word = 150, 52, 22, 92, 86
    size = left + width * len(columns) + word, top + row * len(lines) + 12 + 15 * len(note.splitlines())
    sheet = Image.new("RGBA", (size[0] * SCALE, size[1] * SCALE), CLEAR)
    draw = ImageDraw.Draw(sheet)
    draw.text((size[0] / 2 * SCALE, 8 * SCALE), title, fill=BOTH, font=font(13), anchor="ma")
    for i, column in enumerate(columns):
        place = (left + width * (i + 0.5)) * SCALE, (top - 6) * SCALE
        draw.text(place, column, fill=BOTH, font=font(11), anchor="ms")
    for k, line in enumerate(lines):
        y = top + row * k
        draw.text(((left - 8) * SCALE, (y + row / 2) * SCALE), line.name, fill=BOTH, font=font(11), anchor="rm")
        behind = (left + width * len(columns) + 8) * SCALE, (y + row / 2) * SCALE
        draw.text(behind, line.word, fill=BOTH, font=font(10), anchor="lm")
        for i, cell in enumerate(line.cells):
            if cell is None:
                continue
            (value, sure), x = cell, left + width * i
            strength = min(1.0, abs(value)) ** 0.7  # small drops are told apart as well
            end = LOSS if value > 0 else GAIN
            colour = tuple(round(a + strength * (b - a)) for a, b in zip(NOTHING, end, strict=True))
            box = [(x + 1) * SCALE, (y + 1) * SCALE, (x + width - 1) * SCALE, (y + row - 1) * SCALE]
            draw.rectangle(box, fill=colour)
            ink = (255, 255, 255) if strength > 0.5 else INK
            if sure:
                draw.rectangle([box[0] + 4, box[1] + 4, box[2] - 4, box[3] - 4], outline=ink, width=SCALE)
            middle = (x + width / 2) * SCALE, (y + row / 2) * SCALE
            told = f"{-100 * value:+.0f}" if round(100 * value) else "0"
            draw.text(middle, told, fill=ink, font=font(11), anchor="mm")
    for i, text in enumerate(note.splitlines()):
        draw.text((8 * SCALE, (top + row * len(lines) + 10 + 15 * i) * SCALE), text, fill=BOTH, font=font(10))
    with atomic_path(out) as temporary:
        sheet.resize(size, Image.Resampling.LANCZOS).save(temporary, optimize=True)
