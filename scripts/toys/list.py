"""Lists the objects of a set.

toyshift toys list ycb-like
"""

from __future__ import annotations

from typing import Any

from toyshift.core.progress import track
from toyshift.scripts.toys.options import SetConfig


def main(cfg: SetConfig) -> dict[str, Any]:
    """Lists the objects of a set: id, name, smallest width, mass, and whether a Panda hand can hold it.

    What a set with ?graspable left out is listed behind it, and why.

    Example: toyshift toys list ycb-like
    """
    from toyshift.toys import load_objects
    from toyshift.toys.objectset import PANDA_OPENING, too_light

    objects = load_objects(cfg.objects)
    rows = []
    for obj in track(objects, "objects"):
        fits = obj.graspable(PANDA_OPENING)
        row = {
            "id": obj.id, "name": obj.name, "width_m": obj.width, "mass_kg": obj.mass, "graspable": fits,
            "density_kg_m3": obj.density, "light": too_light(obj),
        }  # fmt: skip
        rows.append(row)
        size = f"width {obj.width * 1000:6.1f} mm  mass {obj.mass * 1000:7.1f} g"
        light = f", too light ({obj.density:.0f} kg/m^3)" if row["light"] else ""
        print(f"{obj.id:<32} {obj.name:<28} {size}  {'graspable' if fits else 'too wide'}{light}")
    left_out = objects.left_out
    for name, why in left_out.items():
        print(f"{name:<32} left out: {why}")
    print(f"{len(rows)} objects in {objects.spec}" + (f", {len(left_out)} left out" if left_out else ""))
    facts = {"objects": objects.spec, "fingerprint": objects.fingerprint, "count": len(rows), "left_out": left_out}
    return facts | {"rows": rows}
