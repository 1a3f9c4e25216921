"""Checks a folder of one's own meshes.

toyshift toys import my_meshes --unit mm
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.progress import track
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift toys import`."""

    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DIR")]
    """Folder or zip file with OBJ, STL, PLY, GLB or OFF files, or with objects in the YCB layout."""
    unit: str = ""
    """Unit of the files: m, cm, mm or in; inferred where it is not given."""
    scale: str = ""
    """A further factor for the sizes."""
    density: str = ""
    """Density of objects without a mass [kg/m^3]; 500 where it is not given."""
    mass: str = ""
    """Mass of every object [kg]."""
    masses: str = ""
    """CSV file with the columns id and mass_g."""


def main(cfg: Config) -> dict[str, Any]:
    """Checks meshes: says what each object is, what was repaired, and what is wrong; exit code 1 if one cannot be used.

    Objects of less than 50 kg/m^3 are named: their mass is likely to be a placeholder.

    Example: toyshift toys import my_meshes --unit mm
    """
    from toyshift.toys.meshes.inspection import check, plan_folder
    from toyshift.toys.objectset import LEAST_DENSITY

    options = {key: getattr(cfg, key) for key in ("unit", "scale", "density", "mass", "masses") if getattr(cfg, key)}
    plan, ycb = plan_folder(cfg.folder, options)
    if plan.inferred:
        print(f"{plan.inferred}; give --unit to say so")
    rows = []
    for row in track(check(plan, ycb), "checking", total=len(plan.recipes)):
        rows.append(dataclasses.asdict(row))
        if not row.ok:
            print(f"{row.id:<28} FAILED: {row.error}")
            continue
        box, wide = " x ".join(f"{edge * 1000:.0f}" for edge in row.box), "" if row.graspable else " (too wide)"
        size = f"{row.faces:>7} faces  {box:>15} mm  {row.volume * 1e6:7.1f} cm3"
        mass = f"{row.mass * 1000:7.1f} g ({row.mass_from})"
        print(f"{row.id:<28} {size}  {mass}  width {row.width * 1000:5.1f} mm{wide}  {row.parts} parts")
        if row.light:
            what = f"weighs {row.density:.0f} kg/m^3, less than {LEAST_DENSITY:g}: a placeholder?"
            print(f"{'':<28} {what} ?graspable leaves it out, ?graspable&light does not")
        for text in row.repairs:
            print(f"{'':<28} {text}")
    failed = [row["id"] for row in rows if not row["ok"]]
    suffix = "?" + "&".join(f"{k}={v}" for k, v in options.items()) if options else ""
    spec = f"{'ycb' if ycb else 'meshes'}:{cfg.folder}{suffix}"
    light = [row["id"] for row in rows if row["light"]]
    lost = f"; failed: {', '.join(failed)}" if failed else ""
    lost += f"; too light for ?graspable: {', '.join(light)}" if light else ""
    print(f"{len(rows) - len(failed)} of {len(rows)} objects can be used as {spec}{lost}")
    facts = {"ok": not failed, "objects": spec, "unit": plan.unit, "inferred": plan.inferred}
    return {**facts, "count": len(rows), "failed": failed, "light": light, "rows": rows}
