"""Two policies against each other: the difference for these objects and for new ones, and a verdict for each."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.clusters import FEW
from toyshift.diagnostics.comparing.counts import Counts
from toyshift.diagnostics.comparing.pairs import Matched, match
from toyshift.diagnostics.comparing.trials import Side, Trial
from toyshift.diagnostics.seen import Seen, not_unseen
from toyshift.diagnostics.statistics import holm

THESE, NEW = "these objects", "new objects"
Compared = tuple[tuple[Side, Side], str, str, Matched]  # two sides, group and shift, and their episodes there


@dataclasses.dataclass(frozen=True)
class Holds:
    """A difference, as far as it holds for something.

    Attributes:
        of: THESE (new episodes of the objects that were met) or NEW.
        low, high: its interval.
        p_value: two-sided, for no difference.
        p_holm: the same after Holm's correction for all comparisons made together.
        units: independent units: episodes of the smaller side, or objects.
        verdict: better, worse, equivalent, underpowered or unknown.
        more: units that would make an underpowered comparison decide, about; 0 otherwise.
        words: the verdict in words.
    """

    of: str
    low: float
    high: float
    p_value: float
    p_holm: float
    units: int
    verdict: str
    more: int
    words: str


@dataclasses.dataclass(frozen=True)
class Versus:
    """One comparison of two policies.

    Attributes:
        first, second: the policies.
        group, shift: what they were compared on.
        paired: whether starts are shared, and `why` (or why not).
        episodes: of both sides; equal where paired.
        rates: success of both.
        difference: the first minus the second.
        objects: objects met.
        separating: starts that only the first solved, and only the second; None where unpaired.
        holds: for these objects, and for new ones.
        notes: what to keep in mind.
    """

    first: str
    second: str
    group: str
    shift: str
    paired: bool
    why: str
    episodes: tuple[int, int]
    rates: tuple[float, float]
    difference: float
    objects: int
    separating: tuple[int, int] | None
    holds: tuple[Holds, Holds]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def judge(
    counts: Counts, p_holm: tuple[float, float], margin: float, confidence: float, together: int, alike: bool = True
) -> tuple[Holds, Holds]:
    """Returns what a difference is worth for these objects and for new ones.

    *Better* or *worse*: Holm's p is at most 1 - confidence. *Equivalent*: the interval at Bonferroni's level for all
    comparisons lies within the margin. Else *underpowered*: a large enough sample has an interval narrower than the
    margin, which excludes 0 or lies within the margin, whatever the true difference is; its size is told. *Unknown*
    where the question has no answer: one object says nothing of new ones, and other objects, or tasks, nothing of a
    difference between the policies on these.

    Args:
        counts: of the comparison.
        p_holm: corrected p values of both.
        margin: largest difference that does not matter.
        confidence: of intervals.
        together: comparisons that are made together.
        alike: whether the objects of both sides come from one set, or suite.
    """
    strict = 1 - (1 - confidence) / together
    smaller = int(min(counts.n1.sum(), counts.n2.sum()))
    found = []
    for of, bounds, p_value, corrected, units in (
        (THESE, counts.for_episodes, counts.p_episodes(), p_holm[0], smaller),
        (NEW, counts.for_objects, counts.p_objects(), p_holm[1], counts.objects),
    ):
        (low, high), (left, right) = bounds(confidence), bounds(strict)
        within = -margin <= left and right <= margin
        more = 0
        if not alike:
            verdict, words = "unknown", "unknown: other tasks"
        elif of == THESE and not counts.same_objects:
            verdict, words = "unknown", "unknown: other objects"
        elif of == NEW and counts.objects < 2:
            verdict, words = "unknown", "unknown: one object"
        elif corrected <= 1 - confidence and counts.value:
            verdict = "better" if counts.value > 0 else "worse"
            words = f"{verdict}, by less than {100 * margin:g} points" if within else verdict
        elif within:
            verdict, words = "equivalent", f"equivalent within {100 * margin:g} points"
        else:
            more = max(1, math.ceil(units * ((right - left) / margin) ** 2) - units)
            verdict, words = "underpowered", f"underpowered: {more:,} more {of.split()[1] if of == NEW else 'episodes'}"
        found.append(Holds(of, low, high, p_value, corrected, units, verdict, more, words))
    return found[0], found[1]


def compare_sides(
    sides: Sequence[Side], margin: float = 0.05, confidence: float = 0.95, pairing: str = "auto",
    all_pairs: bool = False,
) -> list[Versus]:
    """Compares the first side with each of the others, or each with each, on every group of episodes that they share.

    Episodes without a shift are compared where there are any; else those of every shift apart.
    """
    cells = [(pair, *cell) for pair in couples(sides, all_pairs) for cell in shared_cells(pair, pairing)]
    return compare_cells(cells, margin, confidence)


def compare_cells(cells: Sequence[Compared], margin: float = 0.05, confidence: float = 0.95) -> list[Versus]:
    """Compares two sides in each of the cells; Holm's correction is for all of them."""
    counts = [Counts.of(matched) for *_, matched in cells]
    corrected = [holm([p(c) for c in counts]) for p in (Counts.p_episodes, Counts.p_objects)]
    return [
        Versus(
            pair[0].name, pair[1].name, group, shift, matched.paired, matched.why,
            (len(matched.first), len(matched.second)), c.rates, c.value, c.objects,
            (int(c.only_1.sum()), int(c.only_2.sum())) if c.paired else None,
            judge(c, p_holm, margin, confidence, len(cells), _alike(matched)), _notes(pair, c, matched),
        )
        for (pair, group, shift, matched), c, p_holm in zip(cells, counts, zip(*corrected, strict=True), strict=True)
    ]  # fmt: skip


def _alike(matched: Matched) -> bool:
    return bool({e.group for e in matched.first} & {e.group for e in matched.second})


def couples(sides: Sequence[Side], all_pairs: bool = False) -> list[tuple[Side, Side]]:
    """Returns who is compared with whom."""
    if len(sides) < 2:
        names = ", ".join(side.name for side in sides) or "none"
        raise ConfigError(f"a comparison needs two policies, and there is {names}; give another FILE, or name --policy")
    found = itertools.combinations(sides, 2)
    return [pair for pair in found if all_pairs or pair[0] is sides[0]]


def shared_cells(
    pair: tuple[Side, Side], pairing: str = "auto", every: bool = False
) -> list[tuple[str, str, Matched]]:
    """Returns group, shift and episodes of what two sides are compared on; one mixed cell where they share no group.

    Args:
        pair: the sides.
        pairing: see `match`.
        every: take shifts also where there are episodes without one.
    """
    keyed: list[dict[tuple[str, str], list[Trial]]] = []
    for side in pair:
        cells: dict[tuple[str, str], list[Trial]] = {}
        for one in side.episodes:
            cells.setdefault((one.group, one.shift), []).append(one)
        keyed.append(cells)
    shared = [key for key in keyed[0] if key in keyed[1]]
    if not shared:
        groups = [" + ".join(dict.fromkeys(filter(None, (f"{g} {s}".strip() for g, s in cells)))) for cells in keyed]
        everything = match(pair, (pair[0].episodes, pair[1].episodes), pairing)
        return [(f"{groups[0] or '?'} | {groups[1] or '?'}", "", everything)]
    plain = [] if every else [key for key in shared if not key[1]]
    return [(*key, match(pair, (keyed[0][key], keyed[1][key]), pairing)) for key in plain or shared]


def _seen(side: Side, episodes: Sequence[Trial]) -> tuple[str, Seen | None, int]:
    """Returns what a policy says of the objects of some of its episodes, between its name and their number."""
    met = {e.cluster for e in episodes}
    known = [one.of({item for group, item in met if group == of}) for of, one in side.seen.items()]
    trained, unclear = (tuple(name for one in known for name in getattr(one, part)) for part in ("trained", "unclear"))
    return side.name, Seen(trained, unclear), len(met)


def _notes(pair: tuple[Side, Side], counts: Counts, matched: Matched) -> tuple[str, ...]:
    notes = [note for side in pair for note in (f"{side.name}: {text}" for text in side.notes)]
    both = [_seen(side, own) for side, own in zip(pair, (matched.first, matched.second), strict=True)]
    if counts.objects > 1 and (note := not_unseen(both)):
        notes.append(note)
    if 1 < counts.objects < FEW:
        notes.append(f"{counts.objects} objects: the interval for new objects errs on the wide side below {FEW}")
    if counts.rates in ((0.0, 0.0), (1.0, 1.0)):
        notes.append(f"all episodes of both {'succeed' if counts.rates[0] else 'fail'}: nothing here tells them apart")
    return tuple(notes)
