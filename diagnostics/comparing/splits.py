"""Where two policies differ: by object, by shift, by kind of failure, and by how far objects are from training toys."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from toyshift.core.errors import ConfigError, ToyShiftError
from toyshift.diagnostics.comparing.counts import Counts
from toyshift.diagnostics.comparing.pairs import Matched, match
from toyshift.diagnostics.comparing.trials import Side, Trial
from toyshift.diagnostics.comparing.versus import shared_cells
from toyshift.diagnostics.statistics import holm


@dataclasses.dataclass(frozen=True)
class Level:
    """Two policies on one level of a split.

    Attributes:
        name: the object, the shift, the kind of failure or the distance.
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
    """

    first: str
    second: str
    by: str
    levels: tuple[Level, ...]
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def split(
    pair: tuple[Side, Side], by: str, confidence: float = 0.95, pairing: str = "auto", training_set: str = "",
    workers: int | None = None,
) -> Split:
    """Takes the comparison of two sides apart.

    Args:
        pair: the sides.
        by: of SPLITS. All but "shift" look at what `compare_sides` looks at.
        confidence: of intervals.
        pairing: as of `pairs.match`.
        training_set: object set that distances are taken to.
        workers: processes that measure distances.
    """
    cells = shared_cells(pair, pairing)
    several = len({group for group, *_ in cells}) > 1
    if by == "failure":
        kinds = sorted({e.failure for _, _, m in cells for e in (*m.first, *m.second) if e.failure})
        if not kinds:
            return Split(pair[0].name, pair[1].name, by, (), "the files name no kinds of failure")
        whole = joined([matched for *_, matched in cells])
        found = [(kind, Counts.of(whole, _is(kind))) for kind in kinds]
        return _split(pair, by, found, confidence)
    if by == "shift":
        every = _every_cell(pair, pairing)
        if not any(shift for _, shift, _ in every):
            return Split(pair[0].name, pair[1].name, by, (), "the files share no shifted episodes")
        named = [(f"{group} {s or 'none'}" if several else s or "none", Counts.of(m)) for group, s, m in every]
        return _split(pair, by, named, confidence)
    whole = joined([matched for *_, matched in cells])
    if by == "object":
        if not all(e.item for e in (*whole.first, *whole.second)):
            return Split(pair[0].name, pair[1].name, by, (), "the files name no objects")
        names: Callable[[Trial], str] = lambda e: f"{e.group} {e.item}" if several else e.item  # noqa: E731
    else:
        try:
            third = thirds({e.cluster for e in (*whole.first, *whole.second)}, training_set, workers)
        except ToyShiftError as error:
            return Split(pair[0].name, pair[1].name, by, (), f"no distances: {error}")
        names = lambda e: third[e.cluster]  # noqa: E731
    levels = dict.fromkeys(map(names, whole.first))
    parts = ((name, whole.only(lambda e, name=name: names(e) == name)) for name in levels)  # type: ignore[misc]
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


def _split(pair: tuple[Side, Side], by: str, found: Sequence[tuple[str, Counts]], confidence: float) -> Split:
    p_values = [counts.p_episodes() for _, counts in found]
    levels = [
        Level(
            name, (int(c.n1.sum()), int(c.n2.sum())), c.rates, c.value, *c.for_episodes(confidence), p_value, corrected
        )
        for (name, c), p_value, corrected in zip(found, p_values, holm(p_values), strict=True)
    ]
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

    if not training_set:
        raise ConfigError("name the training toys: --training-set toys:train")
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
