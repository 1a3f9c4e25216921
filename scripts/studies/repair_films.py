"""Films of `toyshift study repair`: on each shortcut the best repair beside none, from the same starts.

Best is the repair whose success with the cue otherwise is furthest above none's, sure or not: the title says by how
much. Starts are shown that only the repaired policy wins, where there are some, and the caption says so. Picked films
prove nothing; the table does.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from toyshift.core.files import write_json
from toyshift.diagnostics.reporting.clips import INDEX, PLAYED
from toyshift.scripts.studies.figures import points
from toyshift.scripts.studies.repair_entries import NONE
from toyshift.scripts.studies.repair_results import OOD, TITLES, split_rows

if TYPE_CHECKING:
    from toyshift.diagnostics import EvaluateConfig, Row
    from toyshift.scripts.studies.repair import RepairCell, RepairStudy

MOST = 2  # starts of each shortcut
SIZE = 160  # of a film [pixels]
HOLD = 3  # times that the last picture is repeated


class FilmedStart(NamedTuple):
    """A start that both policies played.

    Attributes:
        seed: of the study.
        before, after: rows without the repair and with it.
    """

    seed: int
    before: Row
    after: Row


def best_repair(table: Mapping[str, Any], bed: str) -> tuple[str, Mapping[str, Any]] | None:
    """Returns the repair that gains most on a shortcut against none, and by how much; None where there is none.

    Args:
        table: what table.json holds.
        bed: of which shortcut.
    """
    kinds = {x["repair"]: x["kind"] for x in table["success"] if x["shortcut"] == bed}
    gains = {
        x["repair"]: x["difference"] for x in table["differences"]
        if (x["shortcut"], x["minus"], x["played"]) == (bed, NONE, OOD) and kinds[x["repair"]] != "control"
    }  # fmt: skip
    return max(gains.items(), key=lambda item: item[1]["value"]) if gains else None


def chosen_starts(pairs: Sequence[FilmedStart], most: int) -> list[FilmedStart]:
    """Returns the starts to show: those that only the repair wins first, then any; each object once if there are more.

    Args:
        pairs: starts with the cue otherwise.
        most: so many.
    """
    ordered = sorted(pairs, key=lambda x: (-only_repaired(x), x.seed, x.before.look, x.before.episode))
    first = {x.before.object_id: x for x in reversed(ordered)}
    return sorted(ordered, key=lambda x: (-only_repaired(x), first[x.before.object_id] is not x))[:most]


def only_repaired(start: FilmedStart) -> bool:
    """Whether only the repaired policy succeeds from a start."""
    return start.after.success and not start.before.success


def film_repairs(study: RepairStudy, table: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Films the best repair of each shortcut beside none, into the folder of results; what is there is kept.

    A shortcut whose policies are not in the study's folder of work any more has no films.

    Args:
        study: that is complete.
        table: what its table.json holds.

    Returns:
        what the index of the films holds: title, caption, and file and name of each side.
    """
    folder = study.folders[1] / PLAYED
    found: list[dict[str, Any]] = []
    for bed in study.sizes.beds:
        if (best := best_repair(table, bed)) is not None:
            entry, gain = best
            title = f"{TITLES[bed]}: {entry} beside {NONE}"
            sure = f"{100 * gain['value']:+.0f} points ({points(dict(gain))}) with the cue otherwise"
            found += [{"title": f"{title[0].upper()}{title[1:]}", **x} for x in _films(study, folder, bed, entry, sure)]
    if found:
        write_json(folder / INDEX, {"films": found})
        kept = {Path(film[side]["file"]).parts[0] for film in found for side in ("before", "after")}
        for old in folder.iterdir():
            if old.is_dir() and old.name not in kept:  # of policies that were the best before
                shutil.rmtree(old)
    return found


def _films(study: RepairStudy, folder: Path, bed: str, entry: str, sure: str) -> Iterator[dict[str, Any]]:
    for start in chosen_starts(_starts(study, bed, entry), MOST):
        films = {}
        for side, name, row in (("before", NONE, start.before), ("after", entry, start.after)):
            part = study.parts[f"{bed}-{name}-s{start.seed}"]
            if (film := _film(study, part, row, folder)) is None:
                return
            ended = "lifted" if row.success else row.failure.replace("_", " ")
            films[side] = {"file": str(film.relative_to(folder)), "name": f"{name}: {ended}"}
        why = "only the repaired policy lifts it" if only_repaired(start) else "no start is won by the repair alone"
        yield {"caption": f"{sure}; {start.before.object_id}, seed {start.seed}, picked because {why}", **films}


def _starts(study: RepairStudy, bed: str, entry: str) -> list[FilmedStart]:
    """Returns the starts with the cue otherwise that an entry and none have both played."""
    from toyshift.diagnostics import read_rows, read_rows_manifest

    pairs = []
    for seed in range(study.sizes.seeds):
        if f"{bed}-{entry}-s{seed}" not in study.parts:  # a row of one seed
            continue
        sides = []
        for name in (NONE, entry):
            path = study.path(f"{bed}-{name}-s{seed}")
            rows = split_rows([(read_rows_manifest(path), read_rows(path))])[OOD]
            sides.append({(row.look, row.shift, row.seed, row.episode): row for row in rows})
        pairs += [FilmedStart(seed, sides[0][k], sides[1][k]) for k in sides[0] if k in sides[1]]
    return pairs


def _film(study: RepairStudy, part: RepairCell, row: Row, folder: Path) -> Path | None:
    """Plays a row's episode again and films it; None where its policy is not there any more."""
    from toyshift.diagnostics.actors import policy_fingerprint
    from toyshift.diagnostics.video import record_rollouts
    from toyshift.policies.checkpoints import STATE_FILE

    policy = study.folder_of(part) / "policy"
    if not (policy / STATE_FILE).exists():
        return None
    config = next(c for c in study.tests(part, str(policy)).values() if _plays(c, row))
    where = folder / f"{part.bed}-{part.entry}-s{part.seed}-{policy_fingerprint(str(policy))[:8]}"
    return record_rollouts(config, [row], where, 1, 1, size=SIZE, hold_frames=HOLD)[0].path


def _plays(config: EvaluateConfig, row: Row) -> bool:
    return (config.look_label, config.shift) == (row.look, row.shift)
