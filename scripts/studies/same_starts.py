"""One kind of policy minus another on the same starts: interval and p for new objects, and each seed's difference.

A difference is *shown* where its interval lies on one side of 0, p is at most `ALPHA` after Holm's correction, and
every seed's difference, which says how far newly trained policies differ, lies on that side; with one seed none is.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from toyshift.scripts.studies.planted import ALPHA, SharedStarts, matched

if TYPE_CHECKING:
    from toyshift.core.arrays import Array
    from toyshift.diagnostics import PairedDifference, Row

LEAST_SEEDS = 2  # of a difference that is shown


class Paired(NamedTuple):
    """A difference of two kinds of policies.

    Attributes:
        found: with its interval.
        p: of no difference on new objects.
        by_seed: the difference of each seed that both have.
    """

    found: PairedDifference
    p: float
    by_seed: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return {**self.found.to_json(), "p_objects": self.p, "by_seed": list(self.by_seed)}


def p_for_objects(first: Sequence[bool], second: Sequence[bool], objects: Sequence[str]) -> float:
    """Returns p for "no difference on new objects" of outcomes (n,) of the same starts with objects (n,)."""
    import numpy as np

    from toyshift.diagnostics.comparing.counts import Counts

    one, other = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    _, which = np.unique(np.asarray(objects), return_inverse=True)

    def by_object(marks: Any) -> Array:
        return np.asarray(np.bincount(which, weights=np.asarray(marks, dtype=np.float64)), dtype=np.float64)

    n = by_object(np.ones(len(one)))
    only = by_object(one & ~other), by_object(other & ~one)
    return Counts(True, by_object(one), n, by_object(other), n, *only).p_objects()


def difference(first: Sequence[Row], second: Sequence[Row], what: str) -> Paired | None:
    """Returns one kind minus another; arguments as of `planted.matched`. None where no start is left."""
    return _paired([matched(first, second, what)])


def trend(line: Sequence[Sequence[Row]], what: str) -> Paired | None:
    """Returns the mean difference of all pairs of a line's kinds, the later minus the earlier.

    So what lies between the ends counts; of two kinds it is their difference. A start counts in each pair, and an
    object's starts are taken together.

    Args:
        line: rows of each kind, as of `planted.matched`.
        what: likewise.
    """
    return _paired([matched(later, earlier, what) for earlier, later in itertools.combinations(line, 2)])


def _paired(pairs: Sequence[SharedStarts]) -> Paired | None:
    import numpy as np

    from toyshift.diagnostics import paired_difference

    first, second, objects, seeds = (
        list(itertools.chain.from_iterable(column)) for column in zip(*pairs, strict=True)
    )
    if not first:
        return None
    gaps, number = np.subtract(first, second, dtype=np.float64), np.asarray(seeds)
    each = tuple(float(gaps[number == seed].mean()) for seed in np.unique(number))
    return Paired(paired_difference(first, second, objects), p_for_objects(first, second, objects), each)


def corrected(found: Sequence[Paired | None]) -> list[dict[str, Any] | None]:
    """Returns the JSON of differences, with p values corrected for all that there are."""
    from toyshift.diagnostics.statistics import holm

    p_values = iter(holm([x.p for x in found if x is not None]))
    return [None if x is None else x.to_json() | {"holm_p": next(p_values)} for x in found]


def sign_of(x: dict[str, Any] | None) -> int:
    """Returns the sign of a difference that is shown, 0 where none is; of JSON as of `corrected`."""
    sign = significant(x)
    agree = x is not None and len(x["by_seed"]) >= LEAST_SEEDS and all(value * sign > 0 for value in x["by_seed"])
    return sign if agree else 0


def significant(x: dict[str, Any] | None) -> int:
    """Returns the sign of a difference beyond 0 with its interval, and with p after Holm, whatever seeds say."""
    if x is None or x["holm_p"] > ALPHA:
        return 0
    return int(x["difference"]["low"] > 0) - int(x["difference"]["high"] < 0)


def each_text(x: dict[str, Any] | None) -> str:
    """Returns the seeds' differences as "+0.50, +0.31"; "-" where there is none."""
    return ", ".join(f"{value:+.2f}" for value in x["by_seed"]) if x else "-"


RULE = (
    f"a difference is *shown* where its p is at most {ALPHA:g} after that, its interval does not hold 0, and every "
    f"seed's difference, of at least {LEAST_SEEDS}, lies on its side"
)
