"""Where two policies differ: by object, by factor and level of shift, by kind of failure, and by how far objects are
from training toys.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence, Set
from typing import Any

import numpy as np

from toyshift.core.errors import ConfigError, ToyShiftError
from toyshift.core.failures import BY_EVENTS, BY_HEIGHTS
from toyshift.diagnostics.comparing.counts import Counts
from toyshift.diagnostics.comparing.pairs import Matched, match
from toyshift.diagnostics.comparing.trials import Side, Trial
from toyshift.diagnostics.comparing.versus import shared_cells
from toyshift.diagnostics.statistics import holm


@dataclasses.dataclass(frozen=True)
class Level:
    """Two policies on one level of a split.

    Attributes:
        name: the object, the factors, the shift, the kind of failure or the distance.
        episodes: of both sides.
        rates: success of both; of a kind of failure, how often it happened to both.
        difference: the first minus the second, with its interval for these objects.
        low, high: the interval.
        p_value: for no difference on these objects.
        p_holm: corrected for all levels of the split.
    """

    name: str
    episodes: tuple[int, int]
    rates: tuple[float, float]
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float


@dataclasses.dataclass(frozen=True)
class Split:
    """A comparison taken apart.

    Attributes:
        first, second: the policies.
        by: of SPLITS.
        levels: its levels; none where `why` says why not.
        why: why there are none, "" otherwise.
        training_set: object set that distances are taken to.
    """

    first: str
    second: str
    by: str
    levels: tuple[Level, ...]
    why: str = ""
    training_set: str = ""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def split(
    pair: tuple[Side, Side], by: str, confidence: float = 0.95, pairing: str = "auto", training_set: str = "",
    workers: int | None = None,
) -> Split:
    """Takes the comparison of two sides apart.

    Args:
        pair: the sides.
        by: of SPLITS. All but "factor" and "shift" look at what `compare_sides` looks at; "factor" takes the levels of
            a factor together.
        confidence: of intervals.
        pairing: as of `pairs.match`.
        training_set: object set that distances are taken to; "" takes what both were trained on, where they say so.
        workers: processes that measure distances.
    """
    names = pair[0].name, pair[1].name
    cells = shared_cells(pair, pairing)
    several = len({group for group, *_ in cells}) > 1
    if by == "failure":
        kinds = sorted({e.failure for _, _, m in cells for e in (*m.first, *m.second) if e.failure})
        if why := _no_kinds(kinds):
            return Split(*names, by, (), why)
        whole = joined([matched for *_, matched in cells])
        found = [(kind, Counts.of(whole, _is(kind))) for kind in kinds]
        return _split(pair, by, found, confidence)
    if by in ("factor", "shift"):
        every = _every_cell(pair, pairing)
        if not any(shift for _, shift, _ in every):
            return Split(*names, by, (), "the files share no shifted episodes")
        parts: dict[str, list[Matched]] = {}
        for group, shift, matched in every:
            changed = (factors(shift) if by == "factor" else shift) or "none"
            parts.setdefault(f"{group} {changed}" if several else changed, []).append(matched)
        whole_of = {name: joined(part) for name, part in parts.items()}
        starts = {name: by_start(matched) for name, matched in whole_of.items()}
        found = [(name, Counts.of(starts[name] or matched)) for name, matched in whole_of.items()]
        return _split(pair, by, found, confidence, {name for name, clustered in starts.items() if clustered})
    whole = joined([matched for *_, matched in cells])
    if by == "object":
        if not all(e.item for e in (*whole.first, *whole.second)):
            return Split(*names, by, (), "the files name no objects")
        return _by_trial(pair, by, whole, lambda e: f"{e.group} {e.item}" if several else e.item, confidence)
    try:
        toys = training_set or trained_on(pair)
        third = thirds({e.cluster for e in (*whole.first, *whole.second)}, toys, workers)
    except ToyShiftError as error:
        return Split(*names, by, (), f"no distances: {error}")
    found_by_distance = _by_trial(pair, by, whole, lambda e: third[e.cluster], confidence)
    return dataclasses.replace(found_by_distance, training_set=toys)


def factors(shift: str) -> str:
    """Returns the factors of a shift without their levels, as "light,table"."""
    return ",".join(sorted({part.partition("=")[0] for part in shift.split(",") if part}))


def by_start(matched: Matched) -> Matched | None:
    """Returns episodes with their start in place of their object, where several share one; None where none do.

    A start that was played under several levels of a factor is no more than one independent episode.
    """
    bases = [e.base for e in matched.first]
    if None in bases or len(set(bases)) == len(bases):
        return None
    first, second = (
        tuple(dataclasses.replace(e, item=repr(e.base)) for e in side) for side in (matched.first, matched.second)
    )
    return dataclasses.replace(matched, first=first, second=second)


def trained_on(pair: tuple[Side, Side]) -> str:
    """Returns the object set that both sides were trained on.

    Raises:
        ConfigError: a file does not say so, or they were trained on different ones.
    """
    if unsaid := next((side for side in pair if not side.trained_on), None):
        said = f"{unsaid.name} ({unsaid.origin}) does not say what it was trained on"
        raise ConfigError(f"{said}; name the training toys: --training-set toys:train")
    first, second = ("+".join(side.trained_on) for side in pair)
    if first != second:
        said = f"{pair[0].name} was trained on {first}, {pair[1].name} on {second}"
        raise ConfigError(f"{said}; name one: --training-set {first}")
    return first


def _no_kinds(kinds: Sequence[str]) -> str:
    """Returns why kinds of failure cannot be compared; "" where they can."""
    if not kinds:
        return "the files name no kinds of failure"
    by_events, by_heights = (sorted(told & set(kinds)) for told in (set(BY_EVENTS), set(BY_HEIGHTS)))
    if not (by_events and by_heights):
        return ""
    told = f"some failures are told by the simulator's events ({by_events[0]}), others by heights ({by_heights[0]})"
    return f"{told}: `toyshift evaluate` again plays the latter's episodes anew"


def _by_trial(
    pair: tuple[Side, Side], by: str, whole: Matched, name_of: Callable[[Trial], str], confidence: float
) -> Split:
    """Takes episodes apart by what each is called."""
    levels = dict.fromkeys(map(name_of, whole.first))
    parts = ((name, whole.only(lambda e, name=name: name_of(e) == name)) for name in levels)  # type: ignore[misc]
    return _split(pair, by, [(name, Counts.of(part)) for name, part in parts if part.second], confidence)


def _is(kind: str) -> Callable[[Trial], bool]:
    return lambda trial: trial.failure == kind


def joined(parts: Sequence[Matched]) -> Matched:
    """Returns several parts as one, paired where all are."""
    first, second = (tuple(e for part in parts for e in getattr(part, side)) for side in ("first", "second"))
    return Matched(first, second, all(part.paired for part in parts), parts[0].why)


def _every_cell(pair: tuple[Side, Side], pairing: str) -> list[tuple[str, str, Matched]]:
    """Returns the cells of `shared_cells`, shifted ones too, the unshifted first."""
    keys = [dict.fromkeys((e.group, e.shift) for e in side.episodes) for side in pair]
    found = []
    for key in sorted((key for key in keys[0] if key in keys[1]), key=lambda key: bool(key[1])):
        first, second = ([e for e in side.episodes if (e.group, e.shift) == key] for side in pair)
        found.append((*key, match(pair, (first, second), pairing)))
    return found


def _split(
    pair: tuple[Side, Side], by: str, found: Sequence[tuple[str, Counts]], confidence: float,
    clustered: Set[str] = frozenset(),
) -> Split:
    """Returns a split of these levels; counts of the `clustered` are by start (see `by_start`), of others by object."""
    together = [name in clustered for name, _ in found]
    p_values = [c.p_objects() if one else c.p_episodes() for (_, c), one in zip(found, together, strict=True)]
    levels = []
    for (name, c), one, p_value, corrected in zip(found, together, p_values, holm(p_values), strict=True):
        low, high = c.for_objects(confidence) if one else c.for_episodes(confidence)
        n = int(c.n1.sum()), int(c.n2.sum())
        levels.append(Level(name, n, c.rates, c.value, low, high, p_value, corrected))
    if by in ("object", "failure"):
        levels.sort(key=lambda level: (-abs(level.difference), level.name))
    return Split(pair[0].name, pair[1].name, by, tuple(levels))


def thirds(objects: set[tuple[str, str]], training_set: str, workers: int | None = None) -> dict[tuple[str, str], str]:
    """Returns object -> which third it belongs to of all these, by its distance to the nearest training toy.

    Args:
        objects: object set and id.
        training_set: object set of the training toys.
        workers: processes.

    Raises:
        ToyShiftError: a group of episodes is no object set, or has no object of that id.
    """
    from toyshift.toys import load_objects, set_distance

    toys = load_objects(training_set)
    far: dict[tuple[str, str], float] = {}
    for group in sorted({group for group, _ in objects}):
        if not group:
            raise ConfigError("the files name no object sets")
        rows = set_distance(toys, load_objects(group.split()[0]), workers)["objects"]
        far |= {(group, row["id"]): row["chamfer"]["distance"] for row in rows}
    if unknown := sorted(item for group, item in objects if (group, item) not in far):
        raise ConfigError(f"the object sets have no {', '.join(unknown[:3])}")
    first, second = np.quantile([far[key] for key in sorted(objects)], [1 / 3, 2 / 3])
    words = (f"near: up to {1000 * first:.1f} mm", f"middle: up to {1000 * second:.1f} mm", "far: beyond")
    return {key: words[int(far[key] > first) + int(far[key] > second)] for key in objects}
