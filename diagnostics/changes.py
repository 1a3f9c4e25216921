"""Success of whole episodes under the changes that `leaning` makes to scenes, one factor at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.workers import core_count, worker_pool
from toyshift.diagnostics.evaluation import EvaluateConfig, evaluate
from toyshift.diagnostics.leaning import DEFAULT_FACTORS
from toyshift.diagnostics.summaries import Summary, summarise
from toyshift.diagnostics.tables import summary_table

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked


@dataclasses.dataclass(frozen=True)
class ChangedSuccess:
    """Success of one policy by changed factor, "" for none; the same starts under every change."""

    under: Mapping[str, Summary]

    def to_json(self) -> dict[str, Any]:
        return {factor: summary.to_json() for factor, summary in self.under.items()}


def changes_of(asked: Asked) -> ChangedSuccess | None:
    """Plays `asked.trials` episodes with each factor changed and with none; None where no trials are wanted."""
    if not asked.trials:
        return None
    under = {}
    with worker_pool(core_count()) as pool:
        for factor, levels in {"": (), **DEFAULT_FACTORS}.items():
            look = {factor: levels} if factor else {}
            config = EvaluateConfig(
                asked.policy, asked.objects, trials=asked.trials, seed=asked.seed + 1000, look=look
            )
            rows = asked.out / "rows" / f"{Path(asked.policy).name}_{factor or 'plain'}.parquet"
            under[factor] = summarise(evaluate(config, rows, pool=pool))[0]
    return ChangedSuccess(under)


def changes_table(result: ChangedSuccess) -> str:
    """Returns a line per change as text for terminals."""
    return summary_table(list(result.under.values()))
