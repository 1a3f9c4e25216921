"""Says how many episodes a comparison of two policies needs, or what a given number of them can see.

toyshift power --difference 5 --rate 80              80 % against 85 %
toyshift power --difference 10 --rate 60 --episodes 200 --each 5
"""

from __future__ import annotations

import dataclasses
from typing import Any

from toyshift.scripts.options import Common

CORRELATIONS = (0.6, 0.3, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    Common, difference=(-100, 100), rate=(0, 100), power=(1, 99.9), confidence=(50, 99.99), comparisons=1, episodes=0,
    each=1, icc=(0, 1), correlation=(-1, 1),
):
    """Options of `toyshift power`."""

    difference: float
    """Difference that is to be seen, in percentage points: the other policy's success minus --rate."""
    rate: float
    """Success of one policy [%]."""
    episodes: int = 0
    """Episodes of each policy whose power is asked for; 0 for none."""
    power: float = 80.0
    """How often the difference is to be found [%]."""
    confidence: float = 95.0
    """100 minus the false alarms that are allowed [%]."""
    comparisons: int = 1
    """Comparisons that are made together (Holm's correction, its worst case)."""
    correlation: float | None = None
    """Of the outcomes of both policies on one start; by default 0.6, 0.3 and 0 are shown."""
    each: int = 5
    """Episodes of an object, for statements about new objects."""
    icc: float = 0.1
    """How much episodes of one object resemble each other: intra-object correlation of the differences."""


def main(cfg: Config) -> dict[str, Any]:
    """Says how many episodes are needed to see a difference, with shared starts and without, and for new objects.

    Example: toyshift power --difference 5 --rate 80
    Example: toyshift power --difference 10 --rate 60 --episodes 200 --correlation 0.4 --icc 0.2
    """
    from toyshift.core.errors import ConfigError
    from toyshift.diagnostics.power import Design, plan
    from toyshift.diagnostics.tables import render_table

    known: list[float | None] = list(CORRELATIONS) if cfg.correlation is None else [cfg.correlation]
    plans, impossible = [], []
    for correlation in [*known, None]:
        try:
            design = Design(
                cfg.rate / 100, cfg.difference / 100, cfg.power / 100, cfg.confidence / 100, cfg.comparisons,
                correlation, cfg.each, cfg.icc,
            )
        except ConfigError:
            if cfg.correlation is not None or correlation in (None, 0.0):
                raise
            impossible.append(f"{correlation:g}")
            continue
        plans.append(plan(design, cfg.episodes))
    other = cfg.rate + cfg.difference
    print(f"{cfg.rate:g} % against {other:g} %, found in {cfg.power:g} % of cases, at {cfg.confidence:g} % confidence")
    given = [f"power of {cfg.episodes}", "for new"] if cfg.episodes else []
    header = ["starts", "correlation", "episodes", "for new: objects", "= episodes", *given]
    rows = []
    for found in plans:
        shared = found.design.correlation is not None
        words = ["shared", f"{found.design.correlation:g}"] if shared else ["not shared", ""]
        counts = [f"{x:,}" for x in (found.episodes, found.objects, found.objects * cfg.each)]
        rows.append([*words, *counts, *(f"{100 * p:.0f} %" for p in found.power or ())])
    print(render_table(header, rows))
    effect = plans[0].design.effect
    print(f"episodes of each policy; for new objects {cfg.each} of each object (design effect {effect:g})")
    if impossible:
        print(f"these rates cannot have a correlation of {' or '.join(impossible)}")
    return {"plans": [found.to_json() for found in plans]}
