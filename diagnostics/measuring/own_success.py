"""Whether a policy succeeds as in training: below half of the episodes nothing that it does has a label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash
from toyshift.core.workers import Pool
from toyshift.diagnostics.changes import training_objects, training_rows
from toyshift.diagnostics.evaluation import EvaluateConfig, evaluate
from toyshift.diagnostics.measuring.implied import looks_of, read_episodes
from toyshift.diagnostics.swapped_cells import SwapCell, cells_of

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

CAPABLE_FROM = 0.5  # success as in training, below which a policy is incapable


def own_success(asked: Asked, pool: Pool) -> tuple[int, int] | None:
    """Returns successes and episodes as in training, `asked.trials` of them; None where nobody says what that was.

    Where `asked.trained_on` names sub-datasets whose cue tells the place, they are the controls of `swapped_cells`: cue
    and place agree. With other datasets they have the looks of those; without, the training look.
    """
    from toyshift.data.collecting.fragment_folder import is_fragmented, read_plan

    folder = next(iter(asked.trained_on), None)
    if folder is None:
        rows = training_rows(asked, pool)
        return (sum(row.success for row in rows), len(rows)) if rows else None
    planned = next((f for f in (folder, folder.resolve().parent) if is_fragmented(f)), None)
    told = str(read_plan(planned)[1]["objects"]) if planned else ""
    objects = asked.training_set or told or training_objects(asked.policy)
    if not objects:
        return None
    cells: tuple[SwapCell | None, ...] = (None,)
    if planned:
        try:
            cells = tuple(cell for cell in cells_of(planned) if not cell.swapped)
        except ConfigError:  # its cue implies no place: then its looks are all that there is to show
            cells = (None,)
    look = looks_of(read_episodes(asked.trained_on)[0]) if cells == (None,) else {}
    won = played = 0
    for cell in cells:
        config = EvaluateConfig(
            asked.policy, objects, trials=-(-asked.trials // len(cells)), seed=asked.seed + 1000, look=look,
            remote=asked.remote, cell=cell,
        )  # fmt: skip
        name = f"{Path(asked.policy).name}_own_{json_hash([look, cell and cell.name, objects])[:8]}.parquet"
        rows = evaluate(config, asked.out / "rows" / name, pool=pool)
        won, played = won + sum(row.success for row in rows), played + len(rows)
    return won, played
