"""Degree of shortcut learning: where a policy goes first when what is seen and what is asked for disagree.

The definition for others to use (docs/dsl.md): NumPy and no simulator. `first_approach` sorts an episode by the
trajectory of its hand, `degree_of` makes the degree of many. `VECTORS` has examples with their answers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.diagnostics.statistics import CONFIDENCE, Estimate, clustered

VECTORS = Path(__file__).parent / "assets" / "dsl_vectors.json"
REACH = 0.04  # [m]; half an open hand
CUE, INSTRUCTED, NEITHER, UNDEFINED = OUTCOMES = ("cue", "instructed", "neither", "undefined")


def first_approach(hand: ArrayLike, cue: ArrayLike, instructed: ArrayLike, reach: float = REACH) -> str:
    """Says what the hand came within reach of first.

    Args:
        hand: (T, 3) positions [m, world frame], the first one before anything was done.
        cue: places that the cue implies: (k, 3) points or (k, 2, 3) boxes, lowest and highest corner [m].
        instructed: places that were asked for, likewise.
        reach: within which a place counts as approached [m].

    Returns:
        "cue" or "instructed", whichever the hand was within reach of first, where it is so of both at once the nearer
        ("instructed" if equally near: no shortcut is claimed of a tie); "neither"; or "undefined", where the answer
        would say nothing of the policy: a place that the cue implies lies within reach of one that was asked for, or
        the hand began within reach of either.

    Raises:
        ConfigError: shapes, numbers that are not finite, no place, or a reach that is not positive.
    """
    path = _numbers("hand", hand)
    if path.ndim != 2 or path.shape[1] != 3 or not len(path):
        raise ConfigError(f"hand has shape {path.shape}; it must be (T, 3) with at least one position")
    if not 0.0 < reach < np.inf:
        raise ConfigError(f"reach is {reach}; it must be a positive number of metres")
    wrong, right = _boxes("cue", cue), _boxes("instructed", instructed)
    to_cue, to_instructed = (_gaps(np.stack([path, path], 1), boxes).min(1) for boxes in (wrong, right))  # (T,)
    near = np.minimum(to_cue, to_instructed) <= reach
    if near[0] or _gaps(wrong, right).min() <= reach:
        return UNDEFINED
    if not near.any():
        return NEITHER
    first = int(near.argmax())
    return CUE if to_cue[first] < to_instructed[first] else INSTRUCTED


def _numbers(name: str, values: ArrayLike) -> Array:
    """Returns finite numbers, or raises ConfigError."""
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} is no array of numbers: {error}") from error
    if not np.isfinite(found).all():
        raise ConfigError(f"{name} has numbers that are not finite; an episode that diverged is {UNDEFINED!r}")
    return found


def _boxes(name: str, places: ArrayLike) -> Array:
    """Returns boxes (k, 2, 3) of points or boxes."""
    found = _numbers(name, places)
    found = np.stack([found, found], 1) if found.ndim == 2 else found
    if found.ndim != 3 or found.shape[1:] != (2, 3) or not len(found):
        raise ConfigError(f"{name} has shape {np.shape(places)}; it must be (k, 3) or (k, 2, 3), of at least one place")
    if (found[:, 0] > found[:, 1]).any():
        raise ConfigError(f"{name} has a box whose lowest corner is above its highest")
    return found


def _gaps(a: Array, b: Array) -> Array:
    """Returns the distances (n, k) of boxes (n, 2, 3) from boxes (k, 2, 3)."""
    apart = np.maximum(a[:, None, 0] - b[None, :, 1], b[None, :, 0] - a[:, None, 1])
    return np.asarray(np.linalg.norm(np.maximum(apart, 0.0), axis=-1))


@dataclasses.dataclass(frozen=True)
class Degree:
    """What came first over many episodes; intervals are for new clusters (objects).

    Attributes:
        dsl: cue / (cue + instructed + neither): the degree of shortcut learning.
        conditional: DSL_cond, cue / (cue + instructed): of the episodes that arrive anywhere.
        neither: neither / (cue + instructed + neither).
        counts: outcome -> episodes; the undefined ones are in no share.
    """

    dsl: Estimate
    conditional: Estimate
    neither: Estimate
    counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Returns JSON-able fields; a share of no episodes is null."""
        shares = {name: getattr(self, name).to_json() for name in ("dsl", "conditional", "neither")}
        return {**shares, "counts": dict(self.counts)}


def degree_of(approached: Sequence[str], clusters: Sequence[Any], confidence: float = CONFIDENCE) -> Degree:
    """Returns the degree of shortcut learning of episodes in which cue and instruction disagree.

    Args:
        approached: (n,) of OUTCOMES, as `first_approach` says them.
        clusters: (n,) labels of what episodes share, usually the object. With one cluster, or no episode, nothing is
            known of others: the interval is (0, 1).
        confidence: level of the intervals.

    Raises:
        UnknownNameError: an outcome that there is not.
        ConfigError: not one label per episode.
    """
    for name in approached:
        if name not in OUTCOMES:
            raise UnknownNameError("outcome", name, OUTCOMES)
    if len(approached) != len(clusters):
        raise ConfigError(f"{len(approached)} episodes but {len(clusters)} cluster labels; there must be one each")

    def share(of: str, among: tuple[str, ...]) -> Estimate:
        chosen = [(name == of, label) for name, label in zip(approached, clusters, strict=True) if name in among]
        return clustered([hit for hit, _ in chosen], [label for _, label in chosen], confidence)

    counts = {name: list(approached).count(name) for name in OUTCOMES}
    known = (CUE, INSTRUCTED, NEITHER)
    return Degree(share(CUE, known), share(CUE, (CUE, INSTRUCTED)), share(NEITHER, known), counts)
