"""Whether a policy succeeds as in training: below half of the episodes nothing that it does has a label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash
from toyshift.core.workers import Pool
from toyshift.diagnostics.changes import training_objects, training_rows
from toyshift.diagnostics.evaluation import EvaluateConfig, evaluate
from toyshift.diagnostics.looks import evenly
from toyshift.diagnostics.measuring.implied import read_episodes
from toyshift.diagnostics.sensitivity import SensitivityConfig
from toyshift.diagnostics.swapped_cells import CueCell, EpisodeCell, SwapCell, training_cells

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

CAPABLE_FROM = SensitivityConfig.capable_from  # success as in training: one rule for all measures
STARTS = 2000  # added to the seed: these starts are no others' (1000: changes, and the test with swapped cues)

Way = tuple[str, CueCell]  # objects, and the cell that deals places and looks


def own_success(asked: Asked, pool: Pool) -> tuple[int, int] | None:
    """Returns successes and episodes as in training, about `asked.trials`; None where nobody says what that was.

    Of sub-datasets (`asked.trained_on`) places and looks are dealt as their plan dealt them, whatever the correlation;
    other datasets' are those of their own episodes, place and look together. Without data, or where they do not tell,
    the square of all starts under the ordinary look.
    """
    try:
        ways = ways_of(asked) if asked.trained_on else []
    except ConfigError:  # an episode does not tell where its target lay
        ways = []
    if not ways:
        rows = training_rows(asked, pool)
        return (sum(row.success for row in rows), len(rows)) if rows else None
    won = played = 0
    for (objects, cell), share in ways:
        if not objects:
            return None
        config = EvaluateConfig(
            asked.policy, objects, trials=max(1, round(asked.trials * share)), seed=asked.seed + STARTS,
            remote=asked.remote, cell=cell,
        )  # fmt: skip
        told = json_hash([cell.name, objects, config.seed])[:8]
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
        found += [((asked.training_set or told, cell), share) for cell, share in cells]
        plain += [] if cells else [folder]
    if plain:
        objects = asked.training_set or told or training_objects(asked.policy)
        found.append(((objects, _as_in(plain, asked.trials)), float(len(plain))))
    whole = sum(share for _, share in found)
    return [(way, share / whole) for way, share in found]


def _as_in(folders: Sequence[Path], most: int) -> EpisodeCell:
    """Returns places and looks of episodes of datasets, `most` of them or all, evenly from the first to the last."""
    factors, places = read_episodes(folders)
    starts = [
        (float(x), float(y), tuple((name, values[i]) for name, values in factors.items()))
        for i in evenly(len(places), most) for x, y in [places[i]]
    ]  # fmt: skip
    return EpisodeCell("the data", "the data", "look", tuple(starts))
