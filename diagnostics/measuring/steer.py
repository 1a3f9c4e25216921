"""Whether one direction inside a network carries a factor: added to the features, it moves actions as the factor does.

After G-ACT. The direction is the mean of h(changed) - h(base) over paired scenes of some objects, and is tried on the
scenes of the others. A factor may take one to three directions (by k-means), each for some of its levels. The views of
the pairs are saved: `toyshift train --repair erase?pairs=FILE` erases a factor by them.
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import torch
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Float32, Indices
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.measuring.finding import Finding, Findings, too_few, undefined
from toyshift.diagnostics.measuring.inside import STILL, Inside, actions_of, encoded, features_at, inside_of
from toyshift.diagnostics.statistics import Estimate, bootstrap_mean, bootstrap_ratio
from toyshift.diagnostics.tables import interval
from toyshift.policies.repairs.pairs import FeaturePairs, weights_of, write_pairs

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME = "steer"
COSINE = "cosine of the action's change by the direction with its change by the factor"
MOST = 3  # directions of a factor
DRAWS = 4  # random directions a look
CLOSE = 0.01  # fewer directions are taken where they agree as well as this [cosine]

Act = Callable[[Array, Indices], Array]  # features (n, F) of the looks of these numbers -> actions (n, K * A)


def directions_of(change: Array, levels: Indices, count: int, seed: int = 0) -> dict[int, Array]:
    """Returns each level's direction (F,): the mean change of the cluster that most of the level's changes belong to.

    Args:
        change: (n, F) of features.
        levels: (n,) to which the factor was changed.
        count: of clusters.
        seed: of k-means.
    """
    from scipy.cluster.vq import kmeans2

    if min(count, len(np.unique(change, axis=0))) == 1:  # k-means cannot tell equal changes apart
        label = np.zeros(len(change), dtype=np.int64)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # an empty cluster is nobody's
            _, label = kmeans2(change, count, minit="++", rng=episode_rng(seed, count, "steer"))
    return {
        level: change[label == np.bincount(label[levels == level]).argmax()].mean(axis=0)
        for level in np.unique(levels).tolist()
    }


def steering(
    base: Array, changed: Array, levels: Indices, objects: Sequence[str], act: Act, *, seed: int = 0, subject: str = "",
    factor: str = "the factor",
) -> Finding:
    """Returns how well a factor's direction moves the action as the factor does, on objects it was not made of.

    Args:
        base: (N, F) features of looks.
        changed: (N, F) of the same looks with the factor changed.
        levels: (N,) to which level.
        objects: (N,) the target of each look.
        act: what the rest of the network makes of features.
        seed: of folds, k-means, random directions and bootstrap.
        subject: whose features they are.
        factor: what it is called.
    """
    names = list(dict.fromkeys(objects))
    if len(names) < 2:
        why = "a direction is tried on other objects than it is made of; there is one"
        return undefined(NAME, COSINE, why, n=len(names), subject=subject)
    rng = episode_rng(seed, 0, "steer")
    level_of = dict(zip(objects, levels.tolist(), strict=True))
    dealt = sorted(rng.permutation(names).tolist(), key=level_of.__getitem__)  # so that each half meets every level
    half = {name: i % 2 for i, name in enumerate(dealt)}
    fold = np.array([half[name] for name in objects])
    every = np.arange(len(base))
    start = act(base, every)
    way = act(changed, every) - start  # (N, K * A)
    size = np.sqrt((way**2).mean(axis=1))
    moved = size >= STILL
    if len({name for name, kept in zip(objects, moved, strict=True) if kept}) < 2:
        told = f"in {int(moved.sum())} of {len(way)} looks {factor} moves the action by {STILL} standard deviations"
        why = f"{told}; there is nothing to steer by"
        return undefined(NAME, COSINE, why, n=len(names), subject=subject)
    varied = np.abs(changed - base).max(axis=0) > 0  # e.g. not the state: a random direction leaves it alone as well
    most = min(MOST, len(np.unique(levels)))
    by_count = np.zeros((most, len(base)))
    own, random, length = np.zeros((3, len(base)))
    chosen: list[int] = []
    for f in (0, 1):
        fit, test = fold != f, fold == f
        if not set(levels[test].tolist()) <= set(levels[fit].tolist()):
            why = f"a level of {factor} is met with half of the objects only; more scenes are needed"
            return undefined(NAME, COSINE, why, n=len(names), subject=subject)
        tried = []
        for count in range(1, most + 1):
            direction = directions_of((changed - base)[fit], levels[fit], count, seed)
            added = np.stack([direction[level] for level in levels.tolist()])  # (N, F)
            tried.append((added, act(base + added, every) - start))
        cosines = np.stack([_cosines(gone, way) for _, gone in tried])  # (counts, N)
        agreed = cosines[:, fit & moved].mean(axis=1) if (fit & moved).any() else np.zeros(most)
        best = int(np.argmax(agreed > agreed.max() - CLOSE))
        chosen.append(best + 1)
        added, gone = tried[best]
        strayed = [_cosines(act(base + _random(added, varied, rng), every) - start, way) for _ in range(DRAWS)]
        by_count[:, test], own[test] = cosines[:, test], cosines[best, test]
        random[test], length[test] = np.mean(strayed, axis=0)[test], np.sqrt((gone**2).mean(axis=1))[test]
    where = [name for name, kept in zip(objects, moved, strict=True) if kept]

    def mean(values: Array) -> Estimate:
        return bootstrap_mean(values[moved], where, seed=seed)

    agreement, null = mean(own), mean(random)
    ratio = bootstrap_ratio(length[moved], size[moved], where, seed=seed)
    counted = [mean(cosine) for cosine in by_count]
    lines: list[dict[str, Any]] = [
        {"directions": count, "cosine": one.value, "low": one.low, "high": one.high,
         "times as far": ratio.value if count == max(chosen) else math.nan}
        for count, one in enumerate(counted, 1)
    ]  # fmt: skip
    lines.append(
        {"directions": "random", "cosine": null.value, "low": null.low, "high": null.high, "times as far": math.nan}
    )
    few = too_few(agreement.n, "objects")
    verdict, card = _verdict(factor, agreement, null, ratio, max(chosen))
    if few:
        verdict, card = f"too few objects to tell whether a direction carries {factor}", ""
    caveats = [*few, f"the direction moves actions {ratio.value:.2f} {interval(ratio.low, ratio.high)} times as far",
               f"the action moves by {size[moved].mean():.2f} standard deviations"]  # fmt: skip
    if left := len(moved) - int(moved.sum()):
        caveats.append(f"{left} looks in which {factor} hardly moves the action are left out")
    return Finding(
        name=NAME, subject=subject, value=agreement, unit=COSINE, null=null.value, verdict=verdict, card=card,
        table=tuple(lines), caveats=tuple(caveats),
    )  # fmt: skip


def _cosines(a: Array, b: Array) -> Array:
    """Returns the cosine of each row of a and b; 0 where one of them is 0."""
    product = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.asarray((a * b).sum(axis=1) / np.where(product > 0, product, 1.0))


def _random(added: Array, varied: NDArray[np.bool_], rng: np.random.Generator) -> Array:
    """Returns directions of equal norm, drawn for each row, in the entries that vary."""
    drawn = rng.normal(size=added.shape) * varied
    norms = [np.linalg.norm(x, axis=1, keepdims=True) for x in (added, drawn)]
    return np.asarray(drawn * norms[0] / norms[1])


def _verdict(
    factor: str, agreement: Estimate, null: Estimate, ratio: Estimate, count: int
) -> tuple[str, str]:
    """Returns a verdict and the line for a card."""
    span = f"cosine {agreement.value:.2f} {interval(agreement.low, agreement.high)}"
    if agreement.low <= max(null.high, 0.0):
        return f"no direction is shown to carry {factor} ({span}, a random one {null.value:.2f})", ""
    many = "one direction carries" if count == 1 else f"{count} directions carry"
    it = "it" if count == 1 else "them"
    if agreement.low > 0.5:
        said = f"{many} {factor}: adding {it} moves actions as changing {factor} does ({span})"
    else:
        said = f"{many} {factor} in part ({span}, a random one {null.value:.2f})"
    if ratio.high < 0.5 or ratio.low > 2:
        said += f", {ratio.value:.1f} times as far"
    return said, said


def steered(inside: Inside, seed: int = 0) -> tuple[Finding, ...]:
    """Returns a finding for each factor, of the features that a network's head (or its history) reads."""
    policy = inside.policy
    base = encoded(policy, inside.shown[""])
    own = features_at(policy, base)

    def act(features: Array, index: Indices) -> Array:
        given = torch.from_numpy(features).to(own.dtype)
        return actions_of(policy, given, base.state[torch.from_numpy(index)])

    start = np.asarray(own.numpy(), dtype=np.float64)
    found = []
    for factor in inside.factors:
        changed = features_at(policy, encoded(policy, inside.shown[factor]))
        told = factor.replace("_", " ")
        found.append(
            steering(
                start, np.asarray(changed.numpy(), dtype=np.float64), inside.levels[factor], inside.objects, act,
                seed=seed, subject=f"{inside.name}, {factor}", factor=f"the {told}",
            )
        )
    return tuple(found)


def steer_of(asked: Asked) -> Findings:
    """Answers for the network of a policy's folder."""
    inside = inside_of(asked)
    if isinstance(inside, str):
        return Findings((undefined(NAME, COSINE, inside, subject=asked.policy),))
    found = steered(inside, asked.seed)
    if inside.policy.cameras and not inside.policy.config.blind:
        weights = weights_of(Path(asked.policy))
        place = asked.out / "pairs" / f"{Path(asked.policy).resolve().name}-{weights[:8]}.npz"
        write_pairs(place, pairs_of(inside, weights))
        note = f"the pairs are in {place}: toyshift train --repair erase?pairs={quote(str(place))} --init-from ..."
        found = (dataclasses.replace(found[0], caveats=(*found[0].caveats, note)), *found[1:])
    return Findings(found)


def pairs_of(inside: Inside, weights: str) -> FeaturePairs:
    """Returns the pooled views of the looks, unchanged and changed; `weights` are those of `weights_of`."""
    policy = inside.policy
    views = len(policy.cameras) * policy.config.width

    def seen(factor: str) -> Float32:
        return np.asarray(features_at(policy, encoded(policy, inside.shown[factor]))[:, :views].numpy(), np.float32)

    return FeaturePairs(weights, seen(""), {name: seen(name) for name in inside.factors}, dict(inside.levels))
