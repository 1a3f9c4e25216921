"""Says how far the shapes of one set are from those of another.

toyshift toys distance toys:train ycb-like
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import tyro

from toyshift.scripts.options import Parallel

_BAR = 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Parallel):
    """Options of `toyshift toys distance`."""

    a: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="A")]
    """What distances are measured to, e.g. the training toys: toys:train."""
    b: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="B")]
    """What is measured, e.g. the test objects: ycb-like."""


def main(cfg: Config) -> dict[str, Any]:
    """Finds the nearest object of A for every object of B, and says how many are farther than what is usual inside A.

    The result is cached: the second time it is there at once.

    Example: toyshift toys distance toys:train ycb-like
    """
    from toyshift.toys import load_objects, set_distance

    result = set_distance(load_objects(cfg.a), load_objects(cfg.b), cfg.workers or None)
    rows = sorted(result["objects"], key=lambda row: -float(row["chamfer"]["distance"]))
    summary = result["summary"]
    usual = summary["chamfer"]["leave_one_out"]["q95"]
    longest = max([usual, *(row["chamfer"]["distance"] for row in rows)]) or 1.0
    mark = min(round(_BAR * usual / longest), _BAR - 1)
    print(f"{'object of B':<28} {'Chamfer':>8}  {'| = 95 % inside A':<{_BAR}}  scaled    IoU  nearest of A")
    for row in rows:
        bar = list(("#" * round(_BAR * row["chamfer"]["distance"] / longest)).ljust(_BAR))
        bar[mark] = "|"
        iou = f"{row['iou']['distance']:.3f}" if "iou" in row else "    -"
        nearest, scaled = row["chamfer"], row["chamfer_scaled"]["distance"]
        head = f"{row['id'][:28]:<28} {nearest['distance'] * 1000:5.1f} mm  {''.join(bar)}"
        print(f"{head}  {scaled:6.3f}  {iou}  {nearest['nearest']}")
    for name, entry in summary.items():
        if "farther" not in entry:
            print(f"{name}: no pair of closed surfaces to compare")
            continue
        inner = entry["leave_one_out"]
        limit, percent = (inner["q05"], 5) if name == "iou" else (inner["q95"], 95)
        print(
            f"{name}: {entry['farther']} of {entry['of']} objects of {cfg.b} are farther from every object of {cfg.a} "
            f"than those are from each other ({percent}th percentile of leave-one-out: {limit:.4f})"
        )
    return result
