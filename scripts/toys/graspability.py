"""Measures how often sampled grasps of each toy succeed.

toyshift toys graspability 'toys:train?n=500'
toyshift collect --objects 'toys:train?select=top-graspable&pool=500' --out runs/demos     then
"""

from __future__ import annotations

import dataclasses
from typing import Any

from toyshift.scripts.options import Parallel
from toyshift.scripts.toys.options import SetConfig
from toyshift.toys.graspability import TRIES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(SetConfig, Parallel, tries=1, workers=0):
    """Options of `toyshift toys graspability`."""

    tries: int = TRIES
    """Grasps per toy; the selection of top-graspable toys reads the tables of the default and of seed 0."""


def main(cfg: Config) -> dict[str, Any]:
    """Measures how often sampled grasps of each toy succeed in simulation; goes on where an earlier run ended.

    Example: toyshift toys graspability 'toys:train?n=500'
    """
    from toyshift.data.grasping.graspability import measure_graspability
    from toyshift.toys.graspability import table_path

    shares = measure_graspability(cfg.objects, cfg.tries, cfg.seed, cfg.processes)
    mean = sum(shares.values()) / len(shares)
    never, always = (sum(share == limit for share in shares.values()) for limit in (0.0, 1.0))
    told = f"{mean:.1%} of {cfg.tries} sampled grasps succeed; never {never} toys, always {always}"
    table = table_path(cfg.tries, cfg.seed)
    print(f"{len(shares)} toys of {cfg.objects}: {told}; table {table}")
    facts = {"objects": cfg.objects, "count": len(shares), "tries": cfg.tries, "mean": mean}
    return {**facts, "never": never, "always": always, "table": table, "shares": shares}
