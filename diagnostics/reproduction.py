"""Rows made again beside those of before: are they equal, and if not, how far apart are the outcomes?"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Any

from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.statistics import PairedDifference, holm, paired_difference
from toyshift.diagnostics.tables import render_table

EPISODE = ("policy", "object_set", "look", "shift", "scene", "purpose", "seed", "episode")  # names a row
COLUMNS = tuple(f.name for f in dataclasses.fields(Row) if f.name not in (*EPISODE, "wall_s"))


@dataclasses.dataclass(frozen=True)
class Reproduction:
    """Rows of one policy on one object set, made twice.

    Attributes:
        policy, object_set: whose they are.
        n: rows that both sides hold.
        equal: those that are equal in every column but the wall time.
        columns: how many rows differ, by column.
        only_here, only_there: rows that the other side lacks.
        paired: success here minus there, on the rows of both; None without any.
        p_holm: its p value, corrected for all that were compared together.
    """

    policy: str
    object_set: str
    n: int
    equal: int
    columns: dict[str, int]
    only_here: int
    only_there: int
    paired: PairedDifference | None
    p_holm: float | None = None

    @property
    def same(self) -> bool:
        """Whether both sides hold the same rows."""
        return self.equal == self.n and not self.only_here and not self.only_there

    @property
    def outcomes(self) -> int:
        """Rows that say success on one side alone."""
        return self.columns.get("success", 0)

    def to_json(self) -> dict[str, Any]:
        own = dataclasses.asdict(self) | {"outcomes": self.outcomes}
        return own | {"paired": self.paired.to_json() if self.paired else None}


def reproductions(here: Sequence[Row], there: Sequence[Row]) -> list[Reproduction]:
    """Compares rows that were made again with those of before, policy by policy and set by set."""
    groups: dict[tuple[str, str], list[dict[tuple[Any, ...], Row]]] = {}
    for side, rows in enumerate((here, there)):
        for row in rows:
            group = groups.setdefault((row.policy, row.object_set), [{}, {}])
            group[side][tuple(getattr(row, name) for name in EPISODE)] = row
    found = [_reproduction(*name, *sides) for name, sides in groups.items()]
    corrected = iter(holm([x.paired.p_value for x in found if x.paired]))
    return [dataclasses.replace(x, p_holm=float(next(corrected))) if x.paired else x for x in found]


def _reproduction(
    policy: str, object_set: str, here: dict[tuple[Any, ...], Row], there: dict[tuple[Any, ...], Row]
) -> Reproduction:
    shared = [(here[key], there[key]) for key in here if key in there]
    differ = [[name for name in COLUMNS if getattr(a, name) != getattr(b, name)] for a, b in shared]
    columns = collections.Counter(name for names in differ for name in names)
    paired = None
    if shared:
        now, before = [a.success for a, _ in shared], [b.success for _, b in shared]
        paired = paired_difference(now, before, [a.object_id for a, _ in shared])
    return Reproduction(
        policy, object_set, len(shared), differ.count([]), dict(columns), len(here) - len(shared),
        len(there) - len(shared), paired
    )  # fmt: skip


def reproduction_table(found: Sequence[Reproduction]) -> str:
    """Returns a line for each policy and set, for people."""
    head = ("policy", "on", "n", "equal rows", "other outcomes", "here minus there", "95 % new objects", "p", "Holm p")
    lines = []
    for x in found:
        told: tuple[str, ...] = ("-",) * 4
        if x.paired and x.p_holm is not None:
            change = x.paired.difference
            span = f"{100 * change.low:+.0f} to {100 * change.high:+.0f}"
            told = (f"{100 * change.value:+.1f}", span, f"{x.paired.p_value:.2g}", f"{x.p_holm:.2g}")
        lines.append((x.policy, x.object_set, str(x.n), str(x.equal), str(x.outcomes), *told))
    return render_table(head, lines)
