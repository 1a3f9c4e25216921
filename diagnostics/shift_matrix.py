"""What a policy loses under every shift: drops by factor and level, the factors' ranking, and whether two compound.

A *drop* is success without a shift minus success under it, on the same starts: above 0 the shift costs something.
*Interaction* of two shifts is drop(a+b) - drop(a) - drop(b), start by start; above 0 they compound. Two drops together
cannot exceed the success there is: where drop(a) + drop(b) does, the interaction must be negative (`floor`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.statistics import (
    CONFIDENCE,
    RESAMPLES,
    Estimate,
    PairedDifference,
    Rate,
    bootstrap_mean,
    paired_difference,
)
from toyshift.diagnostics.summaries import compare

Start = tuple[str, str, int, int, str]


@dataclasses.dataclass(frozen=True)
class Condition:
    """One factor at one level.

    Attributes:
        factor: its name.
        level: of it.
        n: episodes under the shift.
        rate: success under it.
        drop: success without the shift minus success under it, on the same starts.
    """

    factor: str
    level: int
    n: int
    rate: float
    drop: PairedDifference


@dataclasses.dataclass(frozen=True)
class Ranked:
    """A factor's place: its mean drop over the levels that were played, with an interval for new objects."""

    factor: str
    drop: Estimate


@dataclasses.dataclass(frozen=True)
class Interaction:
    """Two shifts together.

    Attributes:
        first, second: the shifts, as "factor=level".
        n: starts that were played without a shift, under each of them and under both.
        control: success on them without a shift.
        drops: of the first, the second and both.
        interaction: drop of both minus those of each, with an interval for new objects; its bounds are nan where
            there are too few objects to tell, or none differs from another.
        floor: whether the two drops add up to more than there is to lose.
    """

    first: str
    second: str
    n: int
    control: float
    drops: tuple[float, float, float]
    interaction: Estimate
    floor: bool


def starts_of(rows: Iterable[Row]) -> dict[str, dict[Start, bool]]:
    """Returns shift -> start -> success.

    Raises:
        ConfigError: a start was played twice under one shift: the rows are of several policies, looks or scenes.
    """
    found: dict[str, dict[Start, bool]] = {}
    for row in rows:
        start = row.object_set, row.object_id, row.seed, row.episode, row.purpose
        played = found.setdefault(row.shift, {})
        if start in played:
            raise ConfigError(f"episode {row.episode} of seed {row.seed} under {row.shift or 'no shift'} occurs twice")
        played[start] = row.success
    return found


def conditions(rows: Sequence[Row]) -> list[Condition]:
    """Returns every single shift that was played, in order of first appearance; `rows` are one policy's on one set.

    Raises:
        ConfigError: a shift shares no start with the unshifted episodes, or rows occur twice.
    """
    by_shift: dict[str, list[Row]] = {}
    for row in rows:
        by_shift.setdefault(row.shift, []).append(dataclasses.replace(row, shift=""))
    control = by_shift.pop("", [])
    out = []
    for shift, shifted in by_shift.items():
        if "," not in shift:
            factor, _, level = shift.partition("=")
            rate = sum(row.success for row in shifted) / len(shifted)
            out.append(Condition(factor, int(level), len(shifted), rate, compare(control, shifted)))
    return out


def ranking(rows: Sequence[Row]) -> list[Ranked]:
    """Returns the factors by their mean drop over levels, the worst first; ties by name. Arguments as `conditions`.

    The interval is `paired_difference`'s: levels of one start are episodes of one object, and count no more than that.
    Its p would take them as independent, and is not used.
    """
    played = starts_of(rows)
    control = played.get("", {})
    pairs: dict[str, list[tuple[bool, bool, str]]] = {}
    for shift, outcomes in played.items():
        if shift and "," not in shift:
            own = pairs.setdefault(shift.partition("=")[0], [])
            own += [(control[s], success, f"{s[0]}/{s[1]}") for s, success in outcomes.items() if s in control]
    found = []
    for name, own in pairs.items():
        if own:
            without, under, objects = zip(*own, strict=True)
            found.append(Ranked(name, paired_difference(without, under, objects).difference))
    return sorted(found, key=lambda one: (-one.drop.value, one.factor))


def interaction(
    rows: Sequence[Row], first: str, second: str, seed: int = 0, confidence: float = CONFIDENCE
) -> Interaction:
    """Returns how two shifts act together, on the starts that were played in all four ways.

    Args:
        rows: one policy's on one set.
        first, second: the shifts, as "factor=level", in the order in which they stand in a shift of both.
        seed: of the interval's resampling of objects.
        confidence: of the interval; of k pairs that are looked at together, 1 - 0.05 / k (Bonferroni).

    Raises:
        ConfigError: no start was played in all four ways.
    """
    played = starts_of(rows)
    ways = [played.get(shift, {}) for shift in ("", first, second, f"{first},{second}")]
    shared = sorted(set.intersection(*map(set, ways)))
    if not shared:
        raise ConfigError(f"no start was played without a shift, under {first}, under {second} and under both")
    c, a, b, both = (np.array([way[start] for start in shared], dtype=np.float64) for way in ways)
    objects = [f"{start[0]}/{start[1]}" for start in shared]
    values = a + b - both - c  # (c - both) - (c - a) - (c - b)
    more = max(1, round((1 - CONFIDENCE) / (1 - confidence)))  # as many samples beyond each bound as usual
    found = bootstrap_mean(values, objects, confidence, seed, more * RESAMPLES)
    if found.n < 2 or found.low == found.high:  # objects that are all alike tell nothing about how much others differ
        found = dataclasses.replace(found, low=float("nan"), high=float("nan"))
    drops = float((c - a).mean()), float((c - b).mean()), float((c - both).mean())
    return Interaction(
        first, second, len(shared), float(c.mean()), drops, found, bool(drops[0] + drops[1] > c.mean() + 1e-9)
    )


def rates_by_condition(rows: Iterable[Row]) -> dict[str, Rate]:
    """Returns success by shift, that without one as "none"."""
    starts = starts_of(rows).items()
    return {shift or "none": Rate(float(np.mean(list(won.values()))), len(won)) for shift, won in starts}


def to_json(one: Condition | Ranked | Interaction) -> dict[str, Any]:
    """Returns JSON-able fields: undefined figures are null."""
    values = {f.name: getattr(one, f.name) for f in dataclasses.fields(one)}
    return {
        name: value.to_json() if isinstance(value, Estimate | PairedDifference)
        else list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }  # fmt: skip
