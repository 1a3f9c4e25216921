"""Draws docs/fragments.png (u against v for four dials) and prints planted and measured dependence over a grid.

python benchmarks/fragments.py --out docs/fragments.png     a few seconds; nothing is simulated
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from toyshift.core.seeds import episode_rng
from toyshift.data.collecting.dials import Fragmentation, fragment
from toyshift.data.collecting.factors import FACTORS
from toyshift.data.collecting.fragment_folder import Dependence, measure

EPISODES = 50  # of each of two sub-datasets
SIDE, MARGIN, SCALE = 180, 62, 2  # four panels are as wide as GitHub shows a picture
INK = (20, 20, 20)
COLOURS = ((31, 119, 180), (214, 96, 30))
PANELS = ((0.5, 0.8, 1.0), (0.5, 0.8, 0.5), (0.5, 0.2, 1.0), (1.0, 0.8, 1.0))


def drawn(design: Fragmentation, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns u and v of the episodes of each sub-dataset."""
    values = []
    for i, part in enumerate(design.parts):
        rows = [part.draw(episode_rng(seed, i * EPISODES + k, "sub-dataset")) for k in range(EPISODES)]
        values.append((np.array([r[design.relevant] for r in rows]), np.array([r[design.factor] for r in rows])))
    return values


def panel(
    design: Fragmentation, picture: ImageDraw.ImageDraw, left: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> Dependence:
    """Draws one scatter plot with the bins behind it."""
    values = drawn(design)
    u, v = (FACTORS[name] for name in (design.relevant, design.factor))
    side, x0, y0 = SIDE * SCALE, left, MARGIN * SCALE

    def place(a: float, b: float) -> tuple[float, float]:
        return x0 + (a - v.low) / (v.high - v.low) * side, y0 + side - (b - u.low) / (u.high - u.low) * side

    for edge in v.edges():
        picture.line([place(edge, u.low), place(edge, u.high)], fill=(228, 228, 228), width=SCALE)
    for edge in u.edges():
        picture.line([place(v.low, edge), place(v.high, edge)], fill=(228, 228, 228), width=SCALE)
    picture.rectangle([x0, y0, x0 + side, y0 + side], outline=(90, 90, 90), width=SCALE)
    for colour, (us, vs) in zip(COLOURS, values, strict=True):
        for a, b in zip(vs, us, strict=True):
            x, y = place(float(a), float(b))
            picture.ellipse([x - 3 * SCALE, y - 3 * SCALE, x + 3 * SCALE, y + 3 * SCALE], fill=colour)
    result = measure(design, values)
    assert result.planted is not None
    assert result.measured is not None
    title = f"diversity {design.diversity:g}, disparity {design.disparity:g},\ncorrelation {design.correlation:g}"
    title += f"\nNMI {result.planted:.2f} planted, {result.measured:.2f} measured"
    picture.text((x0, 6 * SCALE), title, fill=INK, font=font, spacing=4 * SCALE)
    below = x0 + side / 2, y0 + side + 5 * SCALE
    picture.text(below, f"azimuth {v.low:g} to {v.high:g} deg", fill=INK, font=font, anchor="ma")
    return result


def figure(out: Path) -> None:
    """Writes the picture."""
    gap = 24 * SCALE
    sheet = Image.new("RGB", (gap + len(PANELS) * (SIDE * SCALE + gap), (MARGIN + SIDE + 26) * SCALE), (255, 255, 255))
    picture, font = ImageDraw.Draw(sheet), ImageFont.load_default(12 * SCALE)
    for k, (diversity, disparity, correlation) in enumerate(PANELS):
        design = fragment(2, diversity=diversity, disparity=disparity, correlation=correlation)
        panel(design, picture, gap + k * (SIDE * SCALE + gap), font)
    label = Image.new("RGB", (SIDE * SCALE, 18 * SCALE), (255, 255, 255))
    ImageDraw.Draw(label).text((SIDE * SCALE / 2, 0), "position -10 to 10 cm", fill=INK, font=font, anchor="ma")
    sheet.paste(label.rotate(90, expand=True), (2 * SCALE, MARGIN * SCALE))
    sheet = sheet.resize((sheet.width // SCALE, sheet.height // SCALE), Image.Resampling.LANCZOS)
    sheet.quantize(64).save(out, optimize=True)


def table() -> None:
    """Prints planted / measured NMI (correlation 1) over diversity and disparity, and over the correlation."""
    disparities = (0.2, 0.4, 0.8, 1.0)
    print("diversity | " + " | ".join(f"disparity {d:g}" for d in disparities))
    for diversity in (0.0, 0.25, 0.5, 0.75, 1.0):
        cells = []
        for disparity in disparities:
            design = fragment(2, diversity=diversity, disparity=disparity, correlation=1.0)
            result = measure(design, drawn(design))
            cells.append("undefined" if result.planted is None else f"{result.planted:.3f} / {result.measured:.3f}")
        print(f"{diversity:g} | " + " | ".join(cells))
    for correlation in (0.0, 0.25, 0.5, 0.75, 1.0):
        design = fragment(2, diversity=0.5, disparity=0.8, correlation=correlation)
        result = measure(design, drawn(design))
        found = f"planted {result.planted:.3f}, measured {result.measured:.3f}, agrees {result.agrees}"
        print(f"correlation {correlation:g}: {found}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/fragments.png"))
    figure(parser.parse_args().out)
    table()
