"""How close the shapes of `ycb-like` come to the scans of the YCB objects: volumetric IoU after rigid alignment.

python benchmarks/ycb_like_iou.py ../shared/ycb
python benchmarks/ycb_like_iou.py ../shared/ycb --json --only 024_bowl 029_plate

Both are solids: the shape as built, and the scan's surface as `ycb:DIR` uses it for physics (split vertices joined,
small holes closed). Volumes come from exact Boolean operations, not voxels, so walls of 1 mm count as what they are.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import clocks
import numpy as np
from overlap import aligned_iou

from toyshift.toys.meshes.meshfile import read_mesh
from toyshift.toys.meshes.repair import repaired
from toyshift.toys.meshes.ycb import find_objects
from toyshift.toys.ycb_like.ycb_like_set import SHAPES, fitted
from toyshift.toys.ycb_table import ycb_table


def main() -> None:
    parser = clocks.options(__doc__)
    parser.add_argument("folder", type=Path, help="folder with the scans")
    parser.add_argument("--only", nargs="+", metavar="ID", help="these objects only")
    parser.add_argument("--evaluations", type=int, default=150, help="Boolean operations of each of two refinements")
    args = parser.parse_args()
    started = time.perf_counter()
    rows = []
    for name, path in find_objects(args.folder).items():
        if args.only and name not in args.only:
            continue
        scan = repaired(read_mesh(path))[0]
        if not scan.is_watertight:
            print(f"{name}: the scan has holes; left out", file=sys.stderr)
            continue
        shape = fitted(SHAPES[name][1](), ycb_table()[name].box)
        value, _ = aligned_iou(scan, shape, args.evaluations)
        cm3 = {"scan_cm3": round(scan.volume * 1e6, 1), "shape_cm3": round(shape.volume * 1e6, 1)}
        rows.append({"id": name, "iou": round(value, 4), **cm3})
        if not args.json:
            volumes = f"scan {cm3['scan_cm3']:7.1f} cm3, shape {cm3['shape_cm3']:7.1f} cm3"
            print(f"{name:28} {value:6.3f}  {volumes}", flush=True)
    rows.sort(key=lambda row: float(str(row["iou"])))
    values = np.array([row["iou"] for row in rows], dtype=np.float64)
    found = {"median": float(np.median(values)), "min": float(values.min()), "below_0.4": int((values < 0.4).sum())}
    summary = {"n": len(rows), **found, "seconds": round(time.perf_counter() - started, 1)}
    if args.json:
        print(json.dumps({"objects": rows, **summary}, indent=1))
    else:
        print(f"\n{summary}\nlowest: " + ", ".join(f"{row['id']} {row['iou']}" for row in rows[:12]))


if __name__ == "__main__":
    main()
