"""Measures the objects of a set.

toyshift toys stats ycb:DIR
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toyshift.core.progress import track
from toyshift.scripts.toys_options import SetConfig


def main(cfg: SetConfig) -> dict[str, Any]:
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
