"""Where further demonstrations should lie: on objects where a policy is furthest behind the expert.

After GROOVE, which lets tasks be drawn by regret. A cell is what kinds of parts toys have and which third of the sizes
they are of. Regret is the expert's success minus the policy's, of Beta(1, 1) means, so that cells of few episodes are
near the middle. What did not rise although it was tried again is given up: regret alone would pour everything into what
nobody can learn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.diagnostics.actors import BUILTIN

if TYPE_CHECKING:
    from toyshift.diagnostics.rows import Row
    from toyshift.toys.model import GraspObject

EVEN = 0.1  # share that is dealt out evenly, so that every cell is seen again
EXPERT = "oracle"
SIZES = ("small", "middling", "large")


@dataclasses.dataclass(frozen=True)
class CellShare:
    """What a cell gets.

    Attributes:
        cell: kinds of parts and size, in words.
        episodes: of the policy, that were played.
        success: the policy's, a Beta(1, 1) mean.
        expert: likewise the expert's.
        objects: of the set that is collected with.
        share: of the attempts.
        given_up: whether it did not rise since the round before.
    """

    cell: str
    episodes: int
    success: float
    expert: float
    objects: int
    share: float
    given_up: bool


def mean(successes: Array, episodes: Array) -> Array:
    """Returns the means of success under a Beta(1, 1) prior."""
    return np.asarray((successes + 1.0) / (episodes + 2.0), np.float64)


def stuck(successes: Array, episodes: Array, before: tuple[Array, Array]) -> Array:
    """Says which cells (C,) did not rise by the standard error of the rise; those that were never played are not.

    Args:
        successes: of the last round (C,).
        episodes: likewise.
        before: the same of the round before it.
    """
    now, then = mean(successes, episodes), mean(*before)
    error = np.sqrt(now * (1 - now) / (episodes + 2) + then * (1 - then) / (before[1] + 2))
    return np.asarray((now - then < error) & (episodes > 0) & (before[1] > 0))


def shares(
    successes: Array, episodes: Array, expert: Array, before: tuple[Array, Array] | None = None
) -> Array:
    """Returns the share of new demonstrations of each cell (C,): 0.9 by regret, 0.1 evenly.

    Args:
        successes: of the policy (C,).
        episodes: of the policy (C,).
        expert: mean success of the expert (C,), see `mean`.
        before: successes and episodes of the policy before the last round of demonstrations; None = no round yet.

    Returns:
        (C,) that add up to 1; even where no regret is left.
    """
    regret = np.maximum(0.0, expert - mean(successes, episodes))
    if before is not None:
        regret = np.where(stuck(successes, episodes, before), 0.0, regret)
    even = np.full(len(regret), 1.0 / len(regret))
    return even if regret.sum() <= 0 else np.asarray((1 - EVEN) * regret / regret.sum() + EVEN * even)


def size_of(obj: GraspObject) -> float:
    """Returns the longest side of an object's box [m]."""
    return float(max(obj.mesh.extents))


def cell_of(obj: GraspObject, thirds: Array) -> str:
    """Returns the cell of a toy: "cuboid and ring, small"; `thirds` (2,) are the sizes between the three.

    Raises:
        ConfigError: it is no toy.
    """
    toy = obj.info.get("toy")
    if toy is None:
        raise ConfigError(f"cells are of toys, which have kinds of parts; {obj.id} of {obj.source} is none")
    kinds = " and ".join(sorted({part["kind"] for part in toy["primitives"]}))
    return f"{kinds}, {SIZES[int(np.searchsorted(thirds, size_of(obj), side='right'))]}"


def counts(rows: Sequence[Row], cells: dict[str, str], names: Sequence[str]) -> tuple[Array, Array]:
    """Returns successes and episodes (C,) by cell, of rows of objects whose cells are known."""
    place = {name: i for i, name in enumerate(names)}
    found = np.zeros((2, len(names)))
    for row in rows:
        if (cell := cells[row.object_id]) in place:
            found[:, place[cell]] += (row.success, 1)
    return found[0], found[1]


def allocated(
    rows: Sequence[Row], objects: Mapping[str, GraspObject], played: Mapping[str, GraspObject],
    before: Sequence[Row] = (),
) -> tuple[dict[str, float], list[CellShare]]:
    """Returns the share of each object that is collected with, and the cells that it follows from.

    Args:
        rows: of one policy and of the expert (`toyshift evaluate`).
        objects: that are collected with, by id.
        played: those of the rows, by id.
        before: rows of the policy of the round before; () = no round yet.

    Raises:
        ConfigError: there are rows of several policies, or none of the expert.
    """
    policies = sorted({row.policy for row in rows} - set(BUILTIN))
    if len(policies) != 1:
        there = ", ".join(policies) or "none"
        raise ConfigError(f"demonstrations follow the rows of one policy, and there are {there}")
    if not any(row.policy == EXPERT for row in rows):
        raise ConfigError(f"there are no rows of {EXPERT}, whose success tells what can be learnt; evaluate it as well")
    thirds = np.quantile([size_of(obj) for obj in objects.values()], (1 / 3, 2 / 3))
    own = {i: cell_of(obj, thirds) for i, obj in objects.items()}
    names = sorted(set(own.values()))
    cells = {row.object_id: cell_of(played[row.object_id], thirds) for row in (*rows, *before)}
    successes, episodes = counts([row for row in rows if row.policy == policies[0]], cells, names)
    if not episodes.any():
        raise ConfigError("no row is of a cell of the objects that are collected with; evaluate on toys like them")
    expert = mean(*counts([row for row in rows if row.policy == EXPERT], cells, names))
    earlier = counts([row for row in before if row.policy not in BUILTIN], cells, names) if before else None
    found = shares(successes, episodes, expert, earlier)
    given_up = stuck(successes, episodes, earlier) if earlier else np.zeros(len(names), np.bool_)
    members = {name: [i for i in objects if own[i] == name] for name in names}
    table = [
        CellShare(name, int(episodes[c]), float(mean(successes, episodes)[c]), float(expert[c]), len(members[name]),
                  float(found[c]), bool(given_up[c]))
        for c, name in enumerate(names)
    ]  # fmt: skip
    each = {i: float(found[c]) / len(members[name]) for c, name in enumerate(names) for i in members[name]}
    return each, sorted(table, key=lambda line: -line.share)
