"""Draws every shift at every level: one row per factor, what cannot be seen as a trace.

toyshift envs shifts --out runs/shifts
"""

from __future__ import annotations

import dataclasses
import math
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from toyshift.core.contract import MASK_OTHER, MASK_TARGET
from toyshift.core.errors import UnknownNameError
from toyshift.core.files import atomic_path, write_json
from toyshift.core.graphics import gl_backend
from toyshift.core.progress import track
from toyshift.scripts.options import Common

if TYPE_CHECKING:
    from toyshift.envs.tasks.grasp import GraspEnv

LABEL = 1.75  # width of a row's label [widths of a picture]
TRACE_STEPS = 12  # control steps of a trace
TRACES = {"object": "its way after the same push", "action": "the hand, told to rise and stay"}  # red; grey: training
PUSH = 0.6  # speed that the push of a trace gives the unshifted object [m/s]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, episode=0, size=(64, 512)):
    """Options of `toyshift envs shifts`."""

    out: Path
    """Folder of shifts.png and shifts.json."""
    objects: str = "toys:train?n=6"
    """Object set."""
    object: str = ""
    """Object of the set by its id; none takes the one that the episode draws."""
    episode: int = 0
    """Which episode of the seed is shown."""
    factor: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Factor to draw; give it several times for several; none is all."""
    size: int = 128
    """Width of one picture [pixels]."""


def main(cfg: Config) -> dict[str, Any]:
    """Draws every shift at every level into one picture, and writes the values behind it.

    Example: toyshift envs shifts --out runs/shifts
    """
    from toyshift.envs.shift_table import LEVELS, SHIFT_FACTORS

    for name in cfg.factor:
        if name not in SHIFT_FACTORS:
            raise UnknownNameError("shift", name, SHIFT_FACTORS)
    gl_backend()  # nothing is written where nothing can be rendered
    from PIL import Image

    from toyshift.envs import EnvConfig, GraspEnv

    factors = [SHIFT_FACTORS[name] for name in dict.fromkeys(cfg.factor or SHIFT_FACTORS)]
    env = GraspEnv(EnvConfig(objects=cfg.objects, cameras=("front",), image_size=cfg.size))
    options: dict[str, Any] = {"episode": cfg.episode} | ({"object": cfg.object} if cfg.object else {})
    rows: list[tuple[Any, list[Any], list[float]]] = []
    try:
        for factor in track(factors, "shifts"):
            cells, values = [], []
            for level in range(LEVELS + 1):
                observation, info = env.reset(seed=cfg.seed, options=options | {"shift": f"{factor.name}={level}"})
                values.append(float(info["shift_values"].get(factor.name, factor.start)))
                if factor.visual:
                    cells.append(observed(observation, "mask" in factor.apply))
                else:
                    cells.append(trace(env, "object" in factor.apply))
            rows.append((factor, cells, values))
        shown = env.object.id
    finally:
        env.close()
    title = f"{cfg.objects}: {shown}, seed {cfg.seed}, episode {cfg.episode}"
    sheet: Image.Image = draw(rows, title, cfg.size)
    path = cfg.out / "shifts.png"
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")
    table = {f.name: {"unit": f.unit, "values": values, "what": f.what, "source": f.source} for f, _, values in rows}
    facts = {"objects": cfg.objects, "object": shown, "seed": cfg.seed, "episode": cfg.episode}
    write_json(cfg.out / "shifts.json", facts | {"factors": table})
    print(f"{len(rows)} factors: {path}")
    return {"out": path, "object": shown, "factors": table}


# ---------------------------------------------------------------- what a cell shows


def observed(observation: dict[str, Any], masks: bool) -> Any:
    """Returns the front image (H, W, 3); to show masks darkened, the target in green and others in blue."""
    import numpy as np

    image, mask = observation["pixels"]["front"], observation["masks"]["front"]
    if not masks:
        return image
    shown = image // 3
    for label, colour in ((MASK_TARGET, (60, 230, 90)), (MASK_OTHER, (90, 140, 255))):
        shown[mask == label] = (0.25 * image[mask == label] + 0.75 * np.asarray(colour)).astype(np.uint8)
    return shown


def trace(env: GraspEnv, pushes: bool) -> list[float]:
    """Returns how far something moved after every control step [m].

    With `pushes` (mass and friction) the object, after the same push; else the hand, told to go up and stay.
    """
    import numpy as np

    still = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    rise = still.copy()
    rise[2] = 0.03
    if pushes:
        plain = env.objects.by_id(env.object.id)
        env.scene.data.qvel[env.scene.target.qvel][1] = PUSH * plain.mass / env.object.mass
    start = env.object_position() if pushes else env.hand_pose()[0]
    moved = [0.0]
    for step in range(TRACE_STEPS):
        env.advance(still if pushes or step >= TRACE_STEPS // 2 else rise)
        place = env.object_position() if pushes else env.hand_pose()[0]
        moved.append(float(abs(place - start)[1] if pushes else (place - start)[2]))
    return moved


# ---------------------------------------------------------------- the sheet


def draw(rows: list[tuple[Any, list[Any], list[float]]], title: str, size: int) -> Any:
    """Returns the sheet as a Pillow image: two blocks of rows side by side where there are many."""
    from PIL import Image, ImageDraw, ImageFont

    letters = max(9, size // 11)  # height of a letter [pixels]
    gap = size // 16
    big, small = ImageFont.load_default(letters * 1.15), ImageFont.load_default(letters * 0.85)
    high, wide = size + round(1.5 * letters) + gap, size + gap
    blocks = 1 if len(rows) < 8 else 2
    lines = math.ceil(len(rows) / blocks)
    label = round(LABEL * size)
    block = label + len(rows[0][1]) * wide + 2 * gap
    head = round(4.2 * letters)
    sheet = Image.new("RGB", (blocks * block + gap, head + lines * high + gap), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((2 * gap, gap), title, "#111", big)
    for index, (factor, cells, values) in enumerate(rows):
        left, top = 2 * gap + index // lines * block, head + index % lines * high
        if index % lines == 0:
            for level in range(len(cells)):
                x, name = left + label + level * wide + size / 2, f"level {level}" if level else "training"
                pen.text((x, head - 0.4 * letters), name, "#666", small, anchor="mb")
        pen.text((left, top + 0.2 * letters), factor.name, "#111", big)
        letters_per_line = int(label / small.getlength("n"))
        notes = [factor.what]
        if not factor.visual:
            notes.append(f"red: {TRACES[next(iter(factor.apply))]}, 1.2 s; grey: training")
        text = [line for note in notes for line in textwrap.wrap(note, letters_per_line)]
        split = len(text)
        text += textwrap.wrap(factor.source, letters_per_line)
        for k, line in enumerate(text):
            pen.text((left, top + (1.8 + 1.05 * k) * letters), line, "#333" if k < split else "#888", small)
        top_of_trace = 0.0 if factor.visual else max(max(cell) for cell in cells)
        for level, (cell, value) in enumerate(zip(cells, values, strict=True)):
            x = left + label + level * wide
            if factor.visual:
                sheet.paste(Image.fromarray(cell), (x, top))
            else:
                _plot(pen, cell, cells[0], top_of_trace, (x, top), size, small)
            unit = "" if factor.unit in ("1", "quality", "IoU") else f" {factor.unit}"
            pen.text((x + size / 2, top + size + 0.25 * letters), f"{value:.3g}{unit}", "#111", small, anchor="ma")
    return sheet


def _plot(
    pen: Any, values: list[float], training: list[float], highest: float, corner: tuple[int, int], size: int, font: Any
) -> None:
    """Draws a trace, with the training level's in grey behind it; time to the right, movement up."""
    x, y = corner
    pen.rectangle((x, y, x + size - 1, y + size - 1), fill="#f6f6f6", outline="#ccc")
    inner, floor = size - 12, y + size - 8

    def points(trace_: list[float]) -> list[tuple[float, float]]:
        scale = (size - 28) / max(highest, 1e-9)
        return [(x + 6 + inner * k / (len(trace_) - 1), floor - scale * value) for k, value in enumerate(trace_)]

    pen.line(points(training), fill="#aaa", width=2)
    pen.line(points(values), fill="#c0392b", width=2)
    pen.text((x + 5, y + 3), f"{100 * max(values):.1f} cm", "#c0392b", font)
