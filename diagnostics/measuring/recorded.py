"""Dependence in a LeRobot v3 dataset of anybody's: what its columns tell of each episode, and what that gives away.

A factor is what stays the same through an episode and differs between episodes: the task, columns of meta/episodes,
features that are constant in each episode; and where the robot stands as it begins. Whether two of them go together is
measured as for ToyShift's own factors (`dependence`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from toyshift.core.contract import STATE
from toyshift.core.errors import FileError
from toyshift.core.progress import track
from toyshift.diagnostics.dependence import RELEVANT_SHIFTS, Dependences, Values, measure_dependence
from toyshift.diagnostics.measuring.dataset_card import named

if TYPE_CHECKING:
    from toyshift.data.formats.lerobot_v3 import LeRobotFolder

TASK = "task"
FACTOR = "factor."  # before the names of ToyShift's own columns
# words in a factor's name that say that it changes what has to be done; all others change what is seen, or who acts
DONE_WORDS = ("task", "object", "target", "goal", "position", "instruction", "skill")


@dataclasses.dataclass(frozen=True)
class Recorded:
    """The factors of a dataset's episodes.

    Attributes:
        relevant: name -> values (N,) of those that change what has to be done.
        irrelevant: the same of all others.
    """

    relevant: dict[str, Values]
    irrelevant: dict[str, Values]


def recorded_factors(folder: LeRobotFolder) -> Recorded:
    """Reads the factors of all episodes that can be read; images and text aside."""
    keys = [k for k, f in folder.features.items() if f.is_number and k not in ("index", "episode_index", "task_index")]
    rows: list[dict[str, Any]] = []
    for i in track(range(folder.num_episodes), "factors", folder.num_episodes, "episode"):
        try:
            values = folder.columns(i, keys)
        except FileError:
            continue  # `data check` has named it
        meta = folder.meta(i)
        row = {TASK: meta.pop("task") or None} | {k: v for k, v in meta.items() if isinstance(v, str | int | float)}
        for key, column in values.items():
            if key not in ("timestamp", "frame_index") and column[0].size == 1 and (column == column[0]).all():
                row[key.removeprefix(FACTOR)] = column[0].item()
        for k, start in enumerate(values[STATE][0].reshape(-1) if STATE in values else ()):
            row[_start(folder, k)] = float(start)
        rows.append(row)
    shared = [key for key in (rows[0] if rows else ()) if all(row.get(key) is not None for row in rows)]
    sides = Recorded({}, {})
    for key in shared:
        side = sides.relevant if _is_done(key) else sides.irrelevant
        side[key] = [row[key] for row in rows]
    return sides


def _start(folder: LeRobotFolder, k: int) -> str:
    names = folder.features[STATE].names
    return f"start of {names[k] if k < len(names) else f'state {k}'}"


def _is_done(name: str) -> bool:
    if name.startswith("start of "):
        return False
    return name in RELEVANT_SHIFTS or any(word in name.lower().replace("_", "-").split("-") for word in DONE_WORDS)


def measure_recorded(factors: Recorded, seed: int = 0) -> Dependences:
    """Measures each pair of a relevant and an irrelevant factor; one value an episode tells nothing of others."""
    def repeated(side: dict[str, Values]) -> dict[str, Values]:
        """Leaves out names that are of one episode each: ids, times."""
        return {k: v for k, v in side.items() if not isinstance(v[0], str) or len(set(v)) < len(v)}

    return measure_dependence({"": (repeated(factors.relevant), repeated(factors.irrelevant))}, seed)


def dependences_told(found: Dependences) -> Iterator[str]:
    """Yields in words each dependence that is more than chance, the strongest first."""
    for pair in filter(named, found.pairs):
        yield (
            f"{pair.irrelevant} gives away {pair.relevant}: it is guessed right in {pair.guess:.0%} of the episodes, "
            f"{pair.blind:.0%} if it told nothing (NMI {pair.nmi:.2f}, by chance {pair.chance:.2f}); "
            "a policy may take it for the rule"
        )


def unknown_told(factors: Recorded, found: Dependences) -> Iterator[str]:
    """Yields what the recorded factors cannot tell."""
    varying = {name for pair in found.pairs for name in (pair.relevant, pair.irrelevant)}
    if not varying & factors.relevant.keys():
        same = _listed(factors.relevant) or "none is recorded"
        yield f"what gives away what has to be done: no factor of that varies (task, object, place: {same})"
    starts = [name for name in factors.irrelevant if name.startswith("start of ")]
    if len(starts) == len(factors.irrelevant):
        yield (
            "whether viewpoint, light or background go with the task: none is recorded as a column; "
            "`toyshift diagnose --data DIR` looks at the first images"
        )
    if found.pairs:
        weakest = max(pair.seen_from for pair in found.pairs)
        yield f"dependence below NMI {weakest:.2f}, which {found.episodes} episodes may not tell from chance"


def _listed(side: dict[str, Values]) -> str:
    return ", ".join(f"{name} is {values[0]!r} in all" for name, values in side.items() if len(set(values)) == 1)
