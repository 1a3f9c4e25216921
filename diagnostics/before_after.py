"""Datasets before and after an augmentation, side by side: diversity, disparity, and how much looks tell of tasks."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toyshift.core.errors import UndefinedError
from toyshift.diagnostics.datasets import first_vectors, opened
from toyshift.diagnostics.dependence import DATASET, Dependences, Pair, factors_of, measure_dependence
from toyshift.diagnostics.diversity import Diversity, episodes_of_each, measure_vectors
from toyshift.diagnostics.features import features_of
from toyshift.diagnostics.reference_scale import shipped_scale
from toyshift.diagnostics.statistics import Estimate
from toyshift.diagnostics.tables import interval, render_table

MEANING = {
    "diversity": "within sub-datasets: larger is more diverse", "disparity": "between them: smaller is more alike",
    "fragmentation": "disparity / diversity: 1 when all are alike",
}  # fmt: skip


COPIES = (  # what intervals do not know
    "Copies count as episodes of their own: the intervals after are narrower than of as many new demonstrations, and "
    "plain copies make diversity a little smaller, for each picture then has its twin."
)


@dataclasses.dataclass(frozen=True)
class SubDatasetsSeen:
    """What is measured of sub-datasets.

    Attributes:
        diversity: of their first images, by thumbnails in shipped units; None where it is not defined.
        why: it is not.
        dependences: of the factors of their episodes.
    """

    diversity: Diversity | None
    why: str
    dependences: Dependences

    def pair(self, relevant: str, irrelevant: str) -> Pair | None:
        """Returns the dependence of two factors; None where one of them does not vary."""
        wanted = relevant, irrelevant
        return next((p for p in self.dependences.pairs if (p.relevant, p.irrelevant) == wanted), None)

    @property
    def strongest(self) -> Pair | None:
        """The strongest dependence between factors, that on the dataset aside."""
        return next((p for p in self.dependences.pairs if p.irrelevant != DATASET), None)


def seen_in(folders: Sequence[Path], seed: int = 0) -> SubDatasetsSeen:
    """Measures sub-datasets, or folders of them, by the first image of each episode and by the episodes' meta data."""
    outlines = opened(folders)
    features = features_of()
    factors = {name: factors_of(outline.metas, outline.robot) for name, outline in outlines.items()}
    dependences = measure_dependence(factors, seed)
    try:
        limit = episodes_of_each(len(outlines))
        vectors = {name: first_vectors(outline, features, "", limit) for name, outline in outlines.items()}
        return SubDatasetsSeen(measure_vectors(vectors, shipped_scale(features), features.name, seed), "", dependences)
    except UndefinedError as error:
        return SubDatasetsSeen(None, str(error), dependences)


def before_after(
    before: Sequence[Path], after: Sequence[Path], planted: tuple[str, str] | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """Returns a row for each measure: name, meaning, and before and after as {value, low, high}, None where undefined.

    Args:
        before: sub-datasets, or a folder of them.
        after: likewise.
        planted: factors between which a dependence was planted; None takes the strongest before and the strongest
            after.
        seed: of intervals.
    """
    sides = seen_in(before, seed), seen_in(after, seed)
    rows: list[dict[str, Any]] = []
    for name, meaning in MEANING.items():
        found = [side.diversity.estimates()[name] if side.diversity else None for side in sides]
        told = [_number(value) for value in found]
        note = next((side.why for side in sides if side.why), "")
        rows.append({"measure": name, "meaning": note or meaning, "before": told[0], "after": told[1]})
    strongest = [(p.relevant, p.irrelevant) for side in sides if (p := side.strongest)]
    for relevant, irrelevant in dict.fromkeys([planted] if planted else strongest):
        pairs = [side.pair(relevant, irrelevant) for side in sides]
        told = [_number(Estimate(pair.nmi, pair.low, pair.high, 0) if pair else None) for pair in pairs]
        name, meaning = f"NMI({relevant}, {irrelevant})", "0: the one tells nothing of the other, 1: all"
        rows.append({"measure": name, "meaning": meaning, "before": told[0], "after": told[1]})
    return rows


def _number(found: Estimate | None) -> dict[str, float] | None:
    return {"value": found.value, "low": found.low, "high": found.high} if found else None


def before_after_table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the rows as text for terminals, and what must be known to read them."""

    def cell(value: dict[str, float] | None) -> str:
        return f"{value['value']:.3f} {interval(value['low'], value['high'], 3)}" if value else "-"

    lines = [[row["measure"], cell(row["before"]), cell(row["after"]), row["meaning"]] for row in rows]
    return render_table(["measure", "before [95 %]", "after [95 %]", "meaning"], lines) + f"\n{COPIES}"
