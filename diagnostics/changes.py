"""Success of whole episodes with one factor changed, paired with the same episodes unchanged, and on training toys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.workers import Pool
from toyshift.diagnostics.evaluation import EvaluateConfig, evaluate_all
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.statistics import PairedDifference
from toyshift.diagnostics.summaries import Summary, compare, summarise
from toyshift.diagnostics.tables import summary_table
from toyshift.policies.provenance import trained_on

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

# Several levels a factor: scenes and episodes take turns, so that one odd texture does not decide.
DEFAULT_FACTORS: dict[str, tuple[Any, ...]] = {
    "table": (1, 2, 3),
    "background": (1, 2, 3),
    "azimuth": (-15.0, 15.0),
    "light": (0.5, 1.6),
    "object_colour": (1, 2, 3),
}


def levels_beside(look: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Returns factor -> levels to change a look to; the ordinary value stands in the place of the look's own."""
    from toyshift.envs.shifts import Look

    ordinary = dataclasses.asdict(Look())
    return {
        factor: tuple(ordinary[factor] if level == look.get(factor) else level for level in levels)
        for factor, levels in DEFAULT_FACTORS.items()
    }


@dataclasses.dataclass(frozen=True)
class ChangedSuccess:
    """Success of one policy by changed factor, from the same starts under every change.

    Attributes:
        under: factor -> success with that factor changed, "" for none.
        change: factor -> success with it changed minus success without, on the same episodes.
        training: success on the objects that it was trained on, nothing changed; None where they are unknown.
    """

    under: Mapping[str, Summary]
    change: Mapping[str, PairedDifference]
    training: Summary | None = None

    @classmethod
    def of_rows(cls, by_factor: Mapping[str, Sequence[Row]], training: Sequence[Row] = ()) -> ChangedSuccess:
        """Summarises one policy's rows by changed factor, "" for none, and its rows on training toys."""

        def plain(rows: Sequence[Row]) -> list[Row]:
            return [dataclasses.replace(row, look="") for row in rows]  # else a pair would differ in its look

        under = {factor: summarise(rows)[0] for factor, rows in by_factor.items()}
        unchanged = plain(by_factor[""])  # under the usual look, which need not be the ordinary one
        change = {f: compare(plain(rows), unchanged) for f, rows in by_factor.items() if f}
        return cls(under, change, summarise(training)[0] if training else None)

    def to_json(self) -> dict[str, Any]:
        return {
            "under": {factor: summary.to_json() for factor, summary in self.under.items()},
            "change": {factor: difference.to_json() for factor, difference in self.change.items()},
            "training": self.training and self.training.to_json(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ChangedSuccess:
        """Returns what `to_json` wrote."""
        return cls(
            {factor: Summary.from_json(found) for factor, found in value["under"].items()},
            {factor: PairedDifference.from_json(found) for factor, found in value["change"].items()},
            Summary.from_json(value["training"]) if value["training"] else None,
        )


def training_objects(policy: str) -> str:
    """Returns the object sets that a policy was trained on, joined by "+"; "" where one of its datasets says none."""
    sets = [one["object_sets"] for one in trained_on(policy) or ()]
    return "+".join(dict.fromkeys(name for names in sets for name in names)) if all(sets) else ""


def episodes_under(
    asked: Asked, told: str, *, objects: str = "", look: Mapping[str, Any] | None = None, shift: str = ""
) -> tuple[EvaluateConfig, Path]:
    """Returns `asked.trials` episodes, with the same starts whatever is changed, as `evaluate_all` takes them.

    Args:
        asked: policy, objects, trials, seed and folder.
        told: name of the file of rows.
        objects: other objects than those that are asked about.
        look: the appearance, changed from the ordinary one.
        shift: see `envs.shifts`.
    """
    config = EvaluateConfig(
        asked.policy, objects or asked.objects, trials=asked.trials, seed=asked.seed + 1000, look=look or {},
        shift=shift, remote=asked.remote,
    )  # fmt: skip
    return config, asked.out / "rows" / f"{Path(asked.policy).name}_{told}.parquet"


def rows_under(
    asked: Asked, told: str, pool: Pool, objects: str = "", look: Mapping[str, Any] | None = None
) -> list[Row]:
    """Plays episodes of `episodes_under`; rows are kept, and not played again."""
    return evaluate_all([episodes_under(asked, told, objects=objects, look=look)], pool=pool)[0]


def training_rows(asked: Asked, pool: Pool, plain: list[Row] | None = None) -> list[Row]:
    """Plays the objects that a policy was trained on, under the usual look; [] where nobody says what they are.

    Args:
        asked: see `episodes_under`.
        pool: who plays.
        plain: rows of the objects that are asked about, if they have been played already.
    """
    training = asked.training_set or training_objects(asked.policy)
    if training == asked.objects:
        return plain if plain is not None else rows_under(asked, "plain", pool, look=asked.base_look)
    return rows_under(asked, "training", pool, training, asked.base_look) if training else []


def changes_of(asked: Asked) -> ChangedSuccess | None:
    """Plays `asked.trials` episodes with each factor changed, with none, and on the training toys; None for 0 trials.

    Rows are kept: asked again, nothing is played again.
    """
    if not asked.trials:
        return None
    with asked.playing() as pool:
        base = asked.base_look
        looks = {"": base} | {factor: base | {factor: levels} for factor, levels in levels_beside(base).items()}
        episodes = [episodes_under(asked, factor or "plain", look=look) for factor, look in looks.items()]
        by_factor = dict(zip(looks, evaluate_all(episodes, pool=pool), strict=True))
        return ChangedSuccess.of_rows(by_factor, training_rows(asked, pool, by_factor[""]))


def changes_table(result: ChangedSuccess) -> str:
    """Returns a line per change as text for terminals, the training toys first."""
    first = [result.training] if result.training else []
    return summary_table([*first, *result.under.values()])
