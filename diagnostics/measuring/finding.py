"""What a measure found: one value with its interval beside what it would be if nothing were there, and words."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from toyshift.diagnostics.clusters import FEW
from toyshift.diagnostics.statistics import Estimate
from toyshift.diagnostics.tables import interval, render_table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One answer.

    Attributes:
        name: of the measure.
        subject: what it was asked about: a policy, and the set that it was tested on.
        value: with its 95 % interval; nan where it is undefined, and `verdict` says why.
        unit: of the value, in words.
        null: what the value would be on average if nothing were there.
        verdict: in plain words.
        card: one line for a card; "" where there is nothing to say.
        table: figures behind it, lines of equal keys.
        caveats: what was left out or assumed.
    """

    name: str
    subject: str = ""
    value: Estimate
    unit: str
    null: float
    verdict: str
    card: str
    table: tuple[dict[str, Any], ...] = ()
    caveats: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns JSON-able fields; what is undefined is null."""
        lines = [{key: _figure(cell) for key, cell in line.items()} for line in self.table]
        own = {"value": self.value.to_json(), "null": _figure(self.null), "table": lines}
        return dataclasses.asdict(self) | own | {"caveats": list(self.caveats)}


@dataclasses.dataclass(frozen=True)
class Findings:
    """A measure's answers: one per policy and object set.

    Attributes:
        found: the answers.
        training: successes and episodes of the policy as in training, where the measure asked for it and knows.
    """

    found: tuple[Finding, ...]
    training: tuple[int, int] | None = None

    def to_json(self) -> list[dict[str, Any]]:
        return [finding.to_json() for finding in self.found]


def undefined(name: str, unit: str, why: str, *, n: int = 0, subject: str = "") -> Finding:
    """Returns the finding of a measure that these data do not define, and why."""
    nothing = Estimate(math.nan, math.nan, math.nan, n)
    return Finding(
        name=name, subject=subject, value=nothing, unit=unit, null=math.nan, verdict=f"undefined: {why}", card=""
    )


def too_few(n: int, units: str) -> tuple[str, ...]:
    """Returns the caveat for which a finding of few units has no verdict; none from `clusters.FEW` on.

    A bootstrap of so few, and the normal approximation of a rank test, say more than they know.
    """
    return (f"{n} {units}: no verdict below {FEW}, where intervals are too narrow",) if n < FEW else ()


def findings_table(result: Findings) -> str:
    """Returns findings as text for terminals."""
    return "\n\n".join(_text(finding) for finding in result.found)


def _text(finding: Finding) -> str:
    head = f"{finding.name}{f' of {finding.subject}' if finding.subject else ''}: {finding.verdict}"
    if math.isnan(finding.value.value):
        return head
    value, null = finding.value, "" if math.isnan(finding.null) else f"; {finding.null:.3f} if nothing were there"
    lines = [head, f"{value.value:.3f} {interval(value.low, value.high, 3)} {finding.unit}{null}"]
    if finding.table:
        cells = [[_cell(cell) for cell in row.values()] for row in finding.table]
        lines.append(render_table([*finding.table[0]], cells))
    return "\n".join([*lines, *(f"note: {caveat}" for caveat in finding.caveats)])


def _figure(cell: Any) -> Any:
    return None if isinstance(cell, float) and not math.isfinite(cell) else cell


def _cell(cell: Any) -> str:
    return f"{cell:.3g}" if isinstance(cell, float) else str(cell)


def percent(rate: float) -> str:
    """Returns a rate as "12 %"."""
    return f"{100 * rate:.0f} %"


def listed(words: Iterable[str], most: int = 4) -> str:
    """Returns words as "a, b and 3 more"."""
    every = list(words)
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + rest
