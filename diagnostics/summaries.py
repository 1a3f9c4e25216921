"""What many rows say together: success with both intervals by group, by object and by seed, and paired comparisons."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.statistics import PairedDifference, clustered, holm, paired_difference, wilson


@dataclasses.dataclass(frozen=True)
class Summary:
    """Success of one policy on one object set in one scene, under one look and one shift.

    Attributes:
        policy, pooling, object_set, look, shift, scene: the group.
        n: episodes.
        k: successes.
        objects: distinct objects.
        rate: k / n.
        wilson: interval for episodes as independent draws.
        clustered: interval for new objects.
        failures: failure kind -> count, successes left out.
    """

    policy: str
    pooling: str
    object_set: str
    look: str
    n: int
    k: int
    objects: int
    rate: float
    wilson: tuple[float, float]
    clustered: tuple[float, float]
    failures: dict[str, int]
    shift: str = ""
    scene: str = ""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"wilson": list(self.wilson), "clustered": list(self.clustered)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Summary:
        """Returns the summary that `to_json` wrote."""
        return cls(**{**value, "wilson": tuple(value["wilson"]), "clustered": tuple(value["clustered"])})


def summarise(rows: Iterable[Row], confidence: float = 0.95) -> list[Summary]:
    """Returns one summary per (policy, pooling, object set, look, shift, scene), in order of first appearance."""
    groups: dict[tuple[str, str, str, str, str, str], list[Row]] = {}
    for row in rows:
        key = row.policy, row.pooling, row.object_set, row.look, row.shift, row.scene
        groups.setdefault(key, []).append(row)
    out = []
    for (policy, pooling, object_set, look, *changed), group in groups.items():
        k, n = sum(r.success for r in group), len(group)
        by_object = clustered([r.success for r in group], [r.object_id for r in group], confidence)
        failures = dict(sorted(collections.Counter(r.failure for r in group if r.failure).items()))
        intervals = wilson(k, n, confidence), (by_object.low, by_object.high)
        figures = n, k, by_object.n, k / n
        out.append(Summary(policy, pooling, object_set, look, *figures, *intervals, failures, *changed))
    return out


def _counts(rows: Iterable[Row], column: str) -> dict[Any, tuple[int, int]]:
    counts: dict[Any, tuple[int, int]] = {}
    for row in rows:
        k, n = counts.get(getattr(row, column), (0, 0))
        counts[getattr(row, column)] = k + row.success, n + 1
    return counts


def per_object(rows: Iterable[Row]) -> dict[str, tuple[int, int]]:
    """Returns object id -> (successes, episodes), best first, ties by id."""
    counts = _counts(rows, "object_id")
    return dict(sorted(counts.items(), key=lambda item: (-item[1][0] / item[1][1], item[0])))


def per_seed(rows: Iterable[Row]) -> dict[int, tuple[int, int]]:
    """Returns root seed -> (successes, episodes), in order of the seeds."""
    return dict(sorted(_counts(rows, "seed").items()))


def compare(a: Sequence[Row], b: Sequence[Row], confidence: float = 0.95) -> PairedDifference:
    """Compares two policies on the episodes both have played: same set, object, start, look, shift and scene.

    Raises:
        ConfigError: they share no episode, or one side holds an episode twice.
    """
    keyed: list[dict[tuple[str, str, int, int, str, str, str, str], bool]] = []
    for rows in (a, b):
        index = {
            (r.object_set, r.object_id, r.seed, r.episode, r.look, r.shift, r.purpose, r.scene): r.success for r in rows
        }
        if len(index) != len(rows):
            told = "a paired comparison takes the rows of one policy on each side"
            raise ConfigError(f"{told}; some (object, seed, episode) occurs twice")
        keyed.append(index)
    shared = sorted(keyed[0].keys() & keyed[1].keys())
    if not shared:
        told = "the two policies share no (object set, object, seed, episode)"
        raise ConfigError(f"{told}; evaluate both with the same sets, seed and trials")
    left, right = (np.array([index[key] for key in shared]) for index in keyed)
    return paired_difference(left, right, [f"{key[0]}/{key[1]}" for key in shared], confidence)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Two policies on one set, one comparison of several.

    Attributes:
        first, second: the policies.
        object_set: whose objects they met.
        paired: success of the first minus that of the second on the same episodes.
        p_holm: its p value, corrected for all comparisons that were made together.
    """

    first: str
    second: str
    object_set: str
    paired: PairedDifference
    p_holm: float

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"paired": self.paired.to_json()}


def compare_all(rows: Sequence[Row], first: str, others: Sequence[str]) -> list[Comparison]:
    """Compares one policy with others on every set, where they share episodes with the training look and no shift."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if not row.look and not row.shift:
            groups.setdefault((row.object_set, row.policy), []).append(row)
    pairs = []
    for object_set in dict.fromkeys(name for name, _ in groups):
        for other in others:
            sides = groups.get((object_set, first), []), groups.get((object_set, other), [])
            episodes = [{(r.object_id, r.seed, r.episode, r.purpose) for r in side} for side in sides]
            if episodes[0] & episodes[1]:
                pairs.append((other, object_set, compare(*sides)))
    corrected = holm([paired.p_value for *_, paired in pairs])
    return [Comparison(first, *pair, p) for pair, p in zip(pairs, corrected, strict=True)]
