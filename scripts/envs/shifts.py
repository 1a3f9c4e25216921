"""Draws every shift at every level: one row per factor, each as it shows best.

Most are pictures of the front camera, some of one that sees the whole robot; chances are shares of 25 images or
episodes, places a plan of the table, and what cannot be seen is a trace.

toyshift envs shifts --out runs/shifts
"""

from __future__ import annotations

import dataclasses
import functools
import math
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from toyshift.core.errors import UnknownNameError
from toyshift.core.files import atomic_path, write_json
from toyshift.core.graphics import gl_backend
from toyshift.core.progress import track
from toyshift.scripts.options import Common

if TYPE_CHECKING:
    from toyshift.envs.tasks.grasp import GraspEnv

LABEL = 2.1  # width of a row's label [widths of a picture]
HEADED = 8  # rows below one heading
TRACE_STEPS = 12  # control steps of a trace
DRAWN = 25  # images, or episodes, of a share; episodes of a plan
THERE, MISSING, ELSEWHERE = "#3cae5a", "#c9ccd1", "#e07b1f"  # the target's mask
PUSH = 0.6  # speed that the push of a trace gives the unshifted object [m/s]


# what a picture of a row holds: an image (H, W, 3), the heights of a trace [m], masks and their colours, or places
Cell = Any


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
    options = {"episode": cfg.episode} | ({"object": cfg.object} if cfg.object else {})
    rows: list[tuple[Any, list[Cell], list[float]]] = []
    try:
        env.reset(seed=cfg.seed, options=options)
        shown = env.object.id
        for factor in track(factors, "shifts"):
            cells: list[Cell] = []
            values = []
            for level in range(LEVELS + 1):
                shift = {"episode": cfg.episode, "object": shown, "shift": f"{factor.name}={level}"}
                observation, info = env.reset(seed=cfg.seed, options=shift)
                values.append(float(info["shift_values"].get(factor.name, factor.start)))
                cells.append(way_of(factor).cell(env, observation, shift))
            rows.append((factor, cells, values))
    finally:
        env.close()
    title = f"{cfg.objects}: {shown}, seed {cfg.seed}, episode {cfg.episode}"
    sheet: Image.Image = draw(rows, title, cfg.size)
    path = cfg.out / "shifts.png"
    with atomic_path(path) as temporary:
        sheet.quantize(256).save(temporary, format="PNG", optimize=True)
    table = {f.name: {"unit": f.unit, "values": values, "what": f.what, "source": f.source} for f, _, values in rows}
    facts = {"objects": cfg.objects, "object": shown, "seed": cfg.seed, "episode": cfg.episode}
    write_json(cfg.out / "shifts.json", facts | {"factors": table})
    print(f"{len(rows)} factors: {path}")
    return {"out": path, "object": shown, "factors": table}


# ---------------------------------------------------------------- what a cell shows


def front(env: GraspEnv, observation: dict[str, Any], shift: dict[str, Any]) -> Any:
    """Returns the front image (H, W, 3)."""
    return observation["pixels"]["front"]


def film(env: GraspEnv, observation: dict[str, Any], shift: dict[str, Any]) -> Any:
    """Returns an image (H, W, 3) of the camera that sees the whole robot."""
    return env.picture(len(observation["pixels"]["front"]), "film")


def labelled(env: GraspEnv, observation: dict[str, Any], shift: dict[str, Any]) -> Any:
    """Returns the front image (H, W, 3) darkened, by its masks the target in green and others in blue."""
    import numpy as np

    from toyshift.core.contract import MASK_OTHER, MASK_TARGET

    image, mask = observation["pixels"]["front"], observation["masks"]["front"]
    shown = image // 3
    for label, colour in ((MASK_TARGET, (60, 230, 90)), (MASK_OTHER, (90, 140, 255))):
        shown[mask == label] = (0.25 * image[mask == label] + 0.75 * np.asarray(colour)).astype(np.uint8)
    return shown


def masks(env: GraspEnv, observation: dict[str, Any], shift: dict[str, Any], apart: int) -> list[Any]:
    """Returns where the target is in DRAWN masks (H, W) bool: `apart` control steps from one another while nothing
    moves, or with 0 one of each of as many episodes.
    """
    import numpy as np

    from toyshift.core.contract import MASK_TARGET

    still, found = np.array([0, 0, 0, 0, 0, 0, 1], np.float32), []
    for k in range(DRAWN):
        found.append(observation["masks"]["front"] == MASK_TARGET)
        for _ in range(apart):
            env.advance(still)
        observation = env.observe() if apart else env.reset(options=shift | {"episode": shift["episode"] + k + 1})[0]
    return found


def colours(truth: list[Any], found: list[Any]) -> list[str]:
    """Returns a colour for each mask: what became of the target's."""
    return [
        MISSING if not now.any() else THERE if (now & true).sum() > 0.5 * true.sum() else ELSEWHERE
        for true, now in zip(truth, found, strict=True)
    ]


def places(env: GraspEnv, observation: dict[str, Any], shift: dict[str, Any]) -> Any:
    """Returns where the object starts in DRAWN episodes (n, 2): to the right and away from the front camera [m]."""
    import numpy as np

    found = []
    for k in range(DRAWN):
        env.reset(options=shift | {"episode": shift["episode"] + k})
        x, y, _ = env.object_position()
        found.append((y, -x))
    return np.array(found)


def trace(env: GraspEnv, observation: dict[str, Any], shift: dict[str, Any], pushes: bool = False) -> list[float]:
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


def shown_value(factor: Any, value: float) -> str:
    """A value with its unit, a chance in percent."""
    if way_of(factor).chance:
        return f"{100 * value:.0f} %"
    return f"{value:.3g}" + ("" if factor.unit in ("1", "quality", "IoU") else f" {factor.unit}")


def notes(factor: Any) -> list[str]:
    """What a row's label says below the name: what changes, and how that is shown where it is no plain picture."""
    return [*filter(None, (factor.what, way_of(factor).note))]


def _lines(texts: list[str], letters: int) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, letters)]


def draw(rows: list[tuple[Any, list[Cell], list[float]]], title: str, size: int) -> Any:
    """Returns the sheet as a Pillow image, one row per factor."""
    from PIL import Image, ImageDraw, ImageFont

    letters = _letters(size)
    gap = size // 16
    big, small = ImageFont.load_default(letters * 1.1), ImageFont.load_default(letters * 0.9)
    wide, label = size + gap, round(LABEL * size)
    letters_per_line = int(label / small.getlength("n")) + 1
    texts = [(_lines(notes(factor), letters_per_line), textwrap.wrap(factor.source, letters_per_line))
             for factor, _, _ in rows]  # fmt: skip
    tops, low = [], round(2.2 * letters)
    for index, (ours, theirs) in enumerate(texts):
        tops.append(low + (round(1.5 * letters) if index % HEADED == 0 else 0))
        text_high = (1.8 + 1.1 * len(ours + theirs)) * letters
        low = tops[-1] + round(max(size + 1.7 * letters, text_high)) + gap
    sheet = Image.new("RGB", (2 * gap + label + len(rows[0][1]) * wide, low), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((gap, gap), title, "#111", big)
    for index, ((factor, cells, values), top) in enumerate(zip(rows, tops, strict=True)):
        if index % HEADED == 0:
            for level in range(len(cells)):
                x, name = gap + label + level * wide + size / 2, f"level {level}" if level else "training"
                pen.text((x, top - 0.2 * letters), name, "#555", small, anchor="mb")
        pen.text((gap, top), factor.name, "#111", big)
        ours, theirs = texts[index]
        for k, line in enumerate(ours + theirs):
            pen.text((gap, top + (1.5 + 1.1 * k) * letters), line, "#333" if k < len(ours) else "#777", small)
        for level, (cell, value) in enumerate(zip(cells, values, strict=True)):
            x = gap + label + level * wide
            way_of(factor).draw(sheet, cell, cells, (x, top), size)
            place = (x + size / 2, top + size + 0.25 * letters)
            pen.text(place, shown_value(factor, value), "#111", small, anchor="ma")
    return sheet


def _letters(size: int) -> int:
    """Returns the height of a letter beside pictures of a size [pixels]."""
    return max(11, size // 8)


def _picture(sheet: Any, found: Any, every: list[Any], corner: tuple[int, int], size: int) -> None:
    """Draws an image."""
    import numpy as np
    from PIL import Image

    sheet.paste(Image.fromarray(np.asarray(found)), corner)


def _squares(sheet: Any, found: list[Any], every: list[Any], corner: tuple[int, int], size: int) -> None:
    """Draws a square of its colour for every image's or episode's mask, in reading order."""
    from PIL import ImageDraw

    pen = ImageDraw.Draw(sheet)
    side = math.isqrt(DRAWN)
    step = size / side
    for k, colour in enumerate(colours(every[0], found)):
        x, y = corner[0] + k % side * step, corner[1] + k // side * step
        pen.rectangle((x + 1, y + 1, x + step - 2, y + step - 2), fill=colour)


def _plan(sheet: Any, found: Any, every: list[Any], corner: tuple[int, int], size: int) -> None:
    """Draws places on the table from above, with those of the training level in grey."""
    import numpy as np
    from PIL import ImageDraw

    pen = ImageDraw.Draw(sheet)
    middle = 0.5 * (np.min(every, axis=(0, 1)) + np.max(every, axis=(0, 1)))
    scale = 0.45 * size / np.abs(np.asarray(every) - middle).max()
    pen.rectangle((*corner, corner[0] + size - 1, corner[1] + size - 1), fill="#f6f6f6", outline="#ccc")
    for points, colour, radius in ((every[0], "#bbb", 0.02 * size), (found, "#c0392b", 0.025 * size)):
        for right, away in (points - middle) * (scale, -scale) + np.asarray(corner) + 0.5 * size:
            pen.ellipse((right - radius, away - radius, right + radius, away + radius), fill=colour)


def _plot(sheet: Any, values: list[float], every: list[list[float]], corner: tuple[int, int], size: int) -> None:
    """Draws a trace, with the training level's in grey behind it; time to the right, movement up."""
    from PIL import ImageDraw, ImageFont

    pen, highest = ImageDraw.Draw(sheet), max(map(max, every))
    x, y = corner
    pen.rectangle((x, y, x + size - 1, y + size - 1), fill="#f6f6f6", outline="#ccc")
    inner, floor = size - 12, y + size - 8

    def points(trace_: list[float]) -> list[tuple[float, float]]:
        scale = (size - 28) / max(highest, 1e-9)
        return [(x + 6 + inner * k / (len(trace_) - 1), floor - scale * value) for k, value in enumerate(trace_)]

    pen.line(points(every[0]), fill="#aaa", width=2)
    pen.line(points(values), fill="#c0392b", width=2)
    font = ImageFont.load_default(_letters(size) * 0.9)
    pen.text((x + 5, y + 3), f"{100 * max(values):.1f} cm", "#c0392b", font)


# ---------------------------------------------------------------- how each factor is shown


@dataclasses.dataclass(frozen=True)
class Way:
    """How a factor is shown.

    Attributes:
        cell: (env, observation, options of the reset) -> what a picture holds, at one level.
        draw: (sheet, what it holds, those of all levels, corner, size) -> None.
        note: how it is shown, in words; "" for a picture of the front camera.
        chance: whether the value is a chance, and pictures are shares.
    """

    cell: Callable[[GraspEnv, dict[str, Any], dict[str, Any]], Cell]
    draw: Callable[[Any, Cell, list[Cell], tuple[int, int], int], None] = _picture
    note: str = ""
    chance: bool = False


def _shares(apart: int, note: str) -> Way:
    return Way(functools.partial(masks, apart=apart), _squares, f"{DRAWN} {note}", chance=True)


def _traces(what: str, pushes: bool) -> Way:
    return Way(functools.partial(trace, pushes=pushes), _plot, f"red: {what}, 1.2 s; grey: training")


FILMED = Way(film, note="seen from the side")  # the front camera hardly sees wall and robot
PUSHED, RISING = _traces("its way after the same push", True), _traces("the hand, told to rise and stay", False)
WAYS = {  # by factor; any other is a picture of the front camera, with masks in colour where they change
    "background": FILMED, "robot-start": FILMED, "robot-colour": FILMED,
    "object-pose": Way(places, _plan, f"from above: red, {DRAWN} episodes; grey, in training"),
    "object-mass": PUSHED, "object-friction": PUSHED, "action-latency": RISING, "action-noise": RISING,
    "mask-dropout": _shares(1, "images: green where it is there, grey missing"),
    "mask-gap": _shares(2, "images in 5 s: green where it is there, grey missing"),
    "mask-wrong": _shares(0, "episodes: green right, orange wrong"),
}  # fmt: skip


def way_of(factor: Any) -> Way:
    """Returns how a factor is shown."""
    return WAYS.get(factor.name) or Way(labelled if "mask" in factor.apply else front)
