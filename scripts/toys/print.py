"""Writes objects of a set for a 3-D printer, with a sheet of labels.

toyshift toys print toys:train --n 20 --out prints
toyshift toys print toys:train --n 20 --fit so101 --out prints      as large as the gripper of this robot wants them
"""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

from toyshift.core.choices import RobotName
from toyshift.core.errors import ConfigError
from toyshift.core.files import write_text
from toyshift.core.progress import track
from toyshift.scripts.toys.options import SetConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(SetConfig, n=1):
    """Options of `toyshift toys print`."""

    out: Path
    """Folder for the 3MF and STL files, manifest.json and labels.html."""
    n: int = 20
    """How many objects, the first of the set."""
    fit: RobotName | None = None
    """Robot whose gripper toys are to fit, as those of toys:train fit a Panda's; the manifest tells the set with its
    scale, which is what to simulate."""
    bed: tuple[float, float, float] = (220.0, 220.0, 250.0)
    """Largest x, y and z of a print [mm]."""
    wall: float = 1.2
    """Thinnest wall that comes out well [mm]."""
    density: float = 1240.0
    """Density of the solid filament [kg/m^3]; 1240 is PLA."""


def fitted(spec: str, robot: str) -> str:
    """Returns a set of toys as large as the gripper of a robot wants them: "toys:train" as "toys:train?scale=0.75".

    Raises:
        ConfigError: the set holds other objects than toys, or has a scale already.
    """
    from toyshift.envs.robots import get_robot
    from toyshift.toys.grammar import parse

    scale, terms = get_robot(robot).toy_scale, parse(spec)
    for term in terms:
        if term.source != "toys" or "scale" in dict(term.options):
            why = "has a scale of its own" if term.source == "toys" else "holds no toys, whose size is their own"
            raise ConfigError(f"--fit {robot} makes toys larger or smaller: {term.text!r} {why}")
    if scale == 1.0:
        return spec
    return "+".join(f"{term.text}{'&' if term.options else '?'}scale={scale:g}" for term in terms)


def main(cfg: Config) -> dict[str, Any]:
    """Writes objects as 3MF and STL in millimetres, lying on a flat stable side, and a sheet of labels.

    Example: toyshift toys print toys:train --n 20 --out prints
    """
    from PIL import Image

    from toyshift.envs import thumbnail
    from toyshift.toys import load_objects
    from toyshift.toys.show.printing import PrintConfig, label_sheet, prepare, write_prints

    printer = PrintConfig(cfg.bed, cfg.wall, cfg.density)
    objects = load_objects(cfg.objects if cfg.fit is None else fitted(cfg.objects, cfg.fit))
    chosen = [objects.by_id(name) for name in objects.ids[: cfg.n]]
    ready = [(found, prepare(found, printer)) for found in track(chosen, "checking", unit="object")]
    manifest = write_prints(cfg.out, objects.spec, ready, printer)
    pictures = {}
    for found in track(chosen, "labels", unit="object"):
        png = io.BytesIO()
        Image.fromarray(thumbnail(found, 160)).save(png, format="PNG")
        pictures[found.id] = png.getvalue()
    write_text(cfg.out / "labels.html", label_sheet(manifest, pictures))
    for row in manifest["prints"]:
        size = " x ".join(f"{edge:5.1f}" for edge in row["size_mm"])
        told = f"wall {row['wall_mm']:5.1f} mm  solid {row['solid_mass_g']:6.1f} g  {'; '.join(row['warnings'])}"
        print(f"{row['id']:<28} {size} mm  {told}".rstrip())
    print(f"{len(ready)} objects as 3MF and STL, manifest.json and labels.html: {cfg.out}")
    return {**manifest, "out": cfg.out, "labels": cfg.out / "labels.html"}
