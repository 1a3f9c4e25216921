"""Whether a policy succeeds as in training: below half of the episodes nothing that it does has a label."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.files import json_hash
from toyshift.core.workers import Pool
from toyshift.diagnostics.changes import training_objects, training_rows
from toyshift.diagnostics.evaluation import EvaluateConfig, evaluate
from toyshift.diagnostics.measuring.implied import looks_of, read_episodes
from toyshift.diagnostics.sensitivity import SensitivityConfig
from toyshift.diagnostics.swapped_cells import SwapCell, training_cells

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

CAPABLE_FROM = SensitivityConfig.capable_from  # success as in training: one rule for all measures
STARTS = 2000  # added to the seed: these starts are no others' (1000: changes, and the test with swapped cues)

Way = tuple[str, Mapping[str, Any], SwapCell | None]  # objects, looks, and the cell that deals place and cue


def own_success(asked: Asked, pool: Pool) -> tuple[int, int] | None:
    """Returns successes and episodes as in training, about `asked.trials`; None where nobody says what that was.

    Of sub-datasets (`asked.trained_on`) places and looks are dealt as their plan dealt them, whatever the correlation;
    other datasets have the square of all starts and the looks of their episodes; without any, the training look.
    """
    if not asked.trained_on:
        rows = training_rows(asked, pool)
        return (sum(row.success for row in rows), len(rows)) if rows else None
    won = played = 0
    ways = ways_of(asked)
    for (objects, look, cell), share in ways:
        if not objects:
            return None
        config = EvaluateConfig(
            asked.policy, objects, trials=max(1, round(asked.trials * share)), seed=asked.seed + STARTS, look=look,
            remote=asked.remote, cell=cell,
        )  # fmt: skip
        told = json_hash([look, cell and cell.name, objects, config.seed])[:8]
        rows = evaluate(config, asked.out / "rows" / f"{Path(asked.policy).name}_own_{told}.parquet", pool=pool)
        won, played = won + sum(row.success for row in rows), played + len(rows)
    return won, played


def ways_of(asked: Asked) -> list[tuple[Way, float]]:
    """Returns how the datasets of `asked.trained_on` dealt episodes, each with its share; a dataset counts as one."""
    from toyshift.data.collecting.fragment_folder import is_fragmented, read_plan

    found: list[tuple[Way, float]] = []
    plain: list[Path] = []
    told = ""
    for folder in map(Path, asked.trained_on):
        planned = next((f for f in (folder, folder.resolve().parent) if is_fragmented(f)), None)
        cells: list[tuple[SwapCell, float]] = []
        if planned:
            design, plan = read_plan(planned)
            told = str(plan["objects"])
            cells = [x for x in training_cells(design) if planned == folder or x[0].place_of == folder.name]
        found += [((asked.training_set or told, {}, cell), share) for cell, share in cells]
        plain += [] if cells else [folder]
    if plain:
        objects = asked.training_set or told or training_objects(asked.policy)
        found.append(((objects, looks_of(read_episodes(plain)[0]), None), float(len(plain))))
    whole = sum(share for _, share in found)
    return [(way, share / whole) for way, share in found]
