"""What a tuning added: in which scenes a policy acts otherwise than the one it was tuned from, and what they share.

After "What's New in My Data?" (contrastive generation): there, what the tuned model finds more likely than the other
one is generated, learnt by the other, and generated again, so that more than the loudest novelty is found. Here scenes
are drawn, those with the largest change of the action are picked, the base policy's head learns the tuned one's actions
in them, and scenes are picked again. Policies of actions have no likelihood, so there is no mask of what is plausible
(recalled, not read). Where demonstrations are given, episodes are ranked by loss of the base minus loss of the tuned.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.measuring.finding import Finding, listed, too_few, undefined
from toyshift.diagnostics.statistics import CONFIDENCE, Estimate, bootstrap_tail, holm
from toyshift.diagnostics.tables import interval

NAME = "novelty"
UNIT = "of pairs in which a scene with the named value changes more than one without (AUC)"
ROUNDS, SHARE = 8, 0.2  # times that scenes are picked, and how many of all in the end
DEALS, RESAMPLES = 999, 2000
LEAST = 20  # scenes

Learn = Callable[[Indices], Array]  # scenes picked so far -> (N,) change of the action that is left in every scene


def novelty(
    change: Array, learn: Learn, values: Mapping[str, Sequence[str]], objects: Sequence[str], *,
    episodes: Sequence[int] | None = None, rounds: int = ROUNDS, deals: int = DEALS, seed: int = 0, subject: str = "",
    scenes: str = "scenes",
) -> Finding:
    """Returns what the scenes share in which a tuning changed most.

    Args:
        change: (N,) how far the tuned policy acts from its base.
        learn: what is left of it when the base has learnt some scenes.
        values: factor -> its value in each scene, in words.
        objects: (N,) the target of each scene.
        episodes: (N,) number of the episode that each scene is of; None takes each for an episode of its own.
        rounds: times that scenes are picked.
        deals: times that a factor's values are dealt out anew: to objects or episodes where all scenes of one have the
            same, else to scenes.
        seed: of deals and resampling.
        subject: whose tuning it is.
        scenes: what N things are called.
    """
    count = len(change)
    if count < LEAST or len(set(objects)) < 2:
        why = f"there are {count} {scenes} of {len(set(objects))} objects; it takes {LEAST}, of two"
        return undefined(NAME, UNIT, why, n=count, subject=subject)
    if np.ptp(change) <= 1e-12:
        why = f"both act as far from each other in all {scenes} ({change[0]:.3g})"
        return undefined(NAME, UNIT, why, n=count, subject=subject)
    picked = np.zeros(count, dtype=bool)
    goal, left = max(1, round(SHARE * count)), change
    for i in range(rounds):
        more = round(goal * (i + 1) / rounds) - int(picked.sum())
        picked[np.argsort(np.where(picked, -np.inf, left), kind="stable")[::-1][:more]] = True
        left = learn(np.flatnonzero(picked))
    rank = np.argsort(np.argsort(change, kind="stable"), kind="stable") + 1.0
    rank = np.array([rank[change == x].mean() for x in change])  # ties share their ranks
    number = np.unique(np.asarray(objects), return_inverse=True)[1]
    episode = np.arange(count) if episodes is None else np.unique(np.asarray(episodes), return_inverse=True)[1]
    told = {name: one for name, own in values.items() if len(set(own)) > 1
            for one in [_Factor.of(name, own, (number, episode))]}  # fmt: skip
    if not told:
        return undefined(NAME, UNIT, "no factor varies", n=count, subject=subject)
    dealt = {name: one.dealt(picked, rank, deals, seed) for name, one in told.items()}
    own = {name: one.best(one.member, picked, rank) for name, one in told.items()}
    p = [(1 + sum(z >= own[name][1] - 1e-9 for z, _ in dealt[name])) / (1 + deals) for name in told]
    corrected = dict(zip(told, holm(p), strict=True))
    order = sorted(told, key=lambda name: (corrected[name], -own[name][1]))
    named, first = [name for name in order if corrected[name] <= 0.05], order[0]
    best, _, auc = own[first]
    inside = told[first].member[:, best] > 0
    low, high = auc_interval(change, inside, number, seed)
    lines: list[dict[str, Any]] = [
        {"factor": name, "value": told[name].levels[own[name][0]],
         "of picked": float(told[name].member[picked, own[name][0]].mean()),
         "of all": float(told[name].member[:, own[name][0]].mean()), "AUC": own[name][2], "p (Holm)": corrected[name]}
        for name in order
    ]  # fmt: skip
    words = [f"{name.replace('_', ' ')} {told[name].levels[own[name][0]]}" for name in named]
    few = too_few(len(set(objects)), "objects")
    verdict = f"nothing is shown to be shared by the {scenes} in which the tuning changed most"
    card = ""
    if few:
        verdict = f"too few objects to tell what the tuning added (first {first})"
    elif named:
        verdict = card = f"tuning added: {listed(words)} (AUC {auc:.2f} {interval(low, high)} for the first)"
    caveats = (*few, f"the median change, {float(np.median(change)):.2f}, is a drift in all {scenes} and is left out",
               f"{int(picked.sum())} of {count} {scenes} are picked, in {rounds} rounds")  # fmt: skip
    null = float(np.mean([auc for _, auc in dealt[first]]))
    return Finding(name=NAME, subject=subject, value=Estimate(auc, low, high, count), unit=UNIT, null=null,
                   verdict=verdict, card=card, table=tuple(lines), caveats=caveats)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Factor:
    """A factor's values in N scenes.

    Attributes:
        name: of the factor.
        levels: its values.
        member: (N, L) one-hot.
        owner: (N,) number of the largest thing whose scenes all have one value: object, episode, or the scene itself.
    """

    name: str
    levels: tuple[str, ...]
    member: Array
    owner: Indices

    @classmethod
    def of(cls, name: str, values: Sequence[str], owners: Sequence[Indices]) -> _Factor:
        """Returns the factor; of owners (N,), the largest things first, it has the first that it is constant in."""
        levels, number = np.unique(np.asarray(values), return_inverse=True)
        every = (*owners, np.arange(len(number)))
        owner = next(own for own in every if len(set(zip(own, number, strict=True))) == len(set(own)))
        return cls(name, tuple(levels.tolist()), np.eye(len(levels))[number], owner)

    def best(self, member: Array, picked: Array, rank: Array) -> tuple[int, float, float]:
        """Returns the value that the picked scenes have most beyond its share, by how many deviations, and its AUC."""
        n, k = len(picked), int(picked.sum())
        size = member.sum(axis=0)
        share = size / n
        spread = np.sqrt(np.maximum(k * share * (1 - share) * (n - k) / max(1, n - 1), 1e-12))
        z = (member[picked].sum(axis=0) - k * share) / spread
        z = np.where((size > 1) & (size < n), z, -np.inf)  # one scene tells of no value
        best = int(np.argmax(z))
        pairs = size[best] * (n - size[best])
        auc = (rank @ member[:, best] - size[best] * (size[best] + 1) / 2) / pairs if pairs else math.nan
        return best, float(z[best]), float(auc)

    def dealt(self, picked: Array, rank: Array, deals: int, seed: int) -> list[tuple[float, float]]:
        """Returns deviations and AUC where values are dealt out anew to the owners."""
        rng = episode_rng(seed, 0, f"novelty {self.name}")
        own = self.member[np.unique(self.owner, return_index=True)[1]]  # (owners, L)
        return [self.best(own[rng.permutation(len(own))][self.owner], picked, rank)[1:] for _ in range(deals)]


def auc_interval(change: Array, inside: NDArray[np.bool_], owner: Indices, seed: int) -> tuple[float, float]:
    """Returns the bootstrap interval of an AUC, over objects: percentiles, further out where these are few.

    Args:
        change: (N,) that scenes are ranked by.
        inside: (N,) those that should rank above the others.
        owner: (N,) number of the object.
        seed: of the resampling.
    """
    count = int(owner.max()) + 1
    first, second = np.eye(count)[owner[inside]], np.eye(count)[owner[~inside]]  # (n, O), (m, O)
    more = np.sign(change[inside][:, None] - change[~inside][None])
    wins = first.T @ (0.5 + 0.5 * more) @ second  # (O, O) pairs that are right
    drawn = episode_rng(seed, 1, NAME).multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)
    pairs = (drawn @ first.sum(axis=0)) * (drawn @ second.sum(axis=0))
    right = ((drawn @ wins) * drawn).sum(axis=1)
    if not (pairs > 0).any():
        return math.nan, math.nan
    tail = bootstrap_tail(count, CONFIDENCE)
    low, high = np.quantile(right[pairs > 0] / pairs[pairs > 0], (tail, 1 - tail))
    return float(low), float(high)
