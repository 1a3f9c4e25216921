"""Lists, shows and measures the objects of a set.

toyshift toys list ycb-like                      one line per object
toyshift toys show toys:train?n=48 --out toys.png
toyshift toys stats ycb:DIR                      sizes, masses, and what a gripper cannot hold
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from toyshift.core.errors import ConfigError
from toyshift.core.files import atomic_path
from toyshift.core.progress import track
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetConfig(Common):
    """Options of `toys list` and `toys stats`."""

    objects: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SET")]
    """Object set, e.g. toys:train?n=50, ycb-like, ycb:DIR."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShowConfig(SetConfig):
    """Options of `toys show`."""

    out: Path
    """PNG file to write."""
    limit: int = 100
    """At most so many objects, the first of the set."""
    size: int = 160
    """Width of one thumbnail [pixels]."""

    def __post_init__(self) -> None:
        if self.limit < 1 or not 16 <= self.size <= 1024:
            raise ConfigError(f"--limit must be at least 1 and --size 16..1024, got {self.limit} and {self.size}")


def list_(cfg: SetConfig) -> dict[str, Any]:
    """Lists the objects of a set: id, name, smallest width, mass, and whether a Panda hand can hold it.

    Example: toyshift toys list ycb-like
    """
    from toyshift.toys import load_objects
    from toyshift.toys.objectset import PANDA_OPENING

    objects = load_objects(cfg.objects)
    rows = []
    for obj in track(objects, "objects"):
        rows.append({"id": obj.id, "name": obj.name, "width_m": obj.width, "mass_kg": obj.mass, "graspable": obj.graspable(PANDA_OPENING)})
        print(f"{obj.id:<32} {obj.name:<28} width {obj.width * 1000:6.1f} mm  mass {obj.mass * 1000:7.1f} g  {'graspable' if rows[-1]['graspable'] else 'too wide'}")
    print(f"{len(rows)} objects in {objects.spec}")
    return {"objects": objects.spec, "fingerprint": objects.fingerprint, "count": len(rows), "rows": rows}


def show(cfg: ShowConfig) -> dict[str, Any]:
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


def stats(cfg: SetConfig) -> dict[str, Any]:
    """Measures a set: quantiles of width, mass and extent, and the objects that are too wide for a Panda hand.

    Example: toyshift toys stats ycb-like
    """
    from toyshift.toys import load_objects
    from toyshift.toys.objectset import PANDA_OPENING

    objects = load_objects(cfg.objects)
    measures: dict[str, list[float]] = {"width_m": [], "mass_kg": [], "longest_m": []}
    for obj in track(objects, "objects"):
        measures["width_m"].append(obj.width)
        measures["mass_kg"].append(obj.mass)
        measures["longest_m"].append(float(obj.mesh.extents.max()))
    summary = {}
    for name, values in measures.items():
        low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
        summary[name] = {"q05": float(low), "median": float(middle), "q95": float(high)}
        print(f"{name:<10} 5 % {low:.4f}   median {middle:.4f}   95 % {high:.4f}")
    wide = {name: float(width) for name, width in objects.ungraspable.items()}
    print(f"{len(objects)} objects in {objects.spec}; too wide for {PANDA_OPENING * 1000:.0f} mm: {len(wide)}" + (f" ({', '.join(wide)})" if wide else ""))
    return {"objects": objects.spec, "fingerprint": objects.fingerprint, "count": len(objects), "ungraspable": wide, **summary}


COMMANDS: dict[str, Callable[[Any], dict[str, Any]]] = {"list": list_, "show": show, "stats": stats}


def command(word: str) -> Callable[[Any], dict[str, Any]]:
    """Returns the function of one word."""
    return COMMANDS[word]
