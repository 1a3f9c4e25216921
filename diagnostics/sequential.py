"""Is one policy better than another? A paired test that may be looked at after every round, and stopped at any look.

In a round every object is met once, by both policies from the same start. D[r, o] in {-1, 0, 1} is success of the
first policy minus success of the second in round r on object o; starts are drawn independently. Two questions have a
test each:

* *these objects*: the mean of d_o over the objects that were met, where d_o = E[D[r, o]] is the gap on object o;
* *new objects*: the mean of d_o over the population of which they are independent draws.

Both bet against "the gap is at most mu" (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by
betting", 2024): a bettor with capital 1 multiplies it by 1 + b (x - mu) / (1 + mu) for a value x in [-1, 1] and a bet
b in [0, 1). If that claim is true, capital has an expectation of at most 1. `BETS` holds several bets; each has its own
share of the capital, fixed beforehand in `SHARES`, and all together are the evidence: nothing is tuned on what is
tested. An episode in which both policies do the same leaves the capital at mu = 0 as it is: only discordant ones count,
as in McNemar's test. The claim "at least mu" is bet against with signs changed.

**These objects.** Capital is multiplied by prod_o (1 + b (D[r, o] - mu - c_o) / (1 + mu)) in round r. The centres c_o
are guesses of d_o - mean(d) from earlier rounds; they sum to 0, and are so small that no factor is negative. Objects of
a round are independent given the past, so the expectation of the product is the product of expectations, which by the
inequality of arithmetic and geometric means is at most (1 + b (mean(d) - mu) / (1 + mu))^K <= 1 where mean(d) <= mu. So
capital is a supermartingale over rounds, and by Ville's inequality it *ever* reaches 1/a with a probability of at most
a. Nothing is assumed of the objects. It holds at the end of rounds, not in their middle.

**New objects.** Meeting an object again is no new draw of objects, so rounds must not be multiplied. After r rounds
capital is E_r = prod_o (1 + b (m_o - mu) / (1 + mu)), m_o the mean of D[1..r, o]: one factor for each object. For r
fixed, E_r has an expectation of at most 1, for objects are independent. Looking after every round is allowed because
rounds are exchangeable: given all that is known after round r + 1 but the order of the rounds, m_o after r rounds has
the expectation m_o after r + 1, independently over objects, and E_r is affine in each of them. So E_r is a martingale
*backwards* in r, and Doob's inequality bounds the chance that any of E_R, ..., E_1 reaches 1/a by a E[E_1] <= a, for
every R. (Reverse martingales to this end: Manole and Ramdas, "Martingale methods for sequential estimation of convex
functionals and divergences", 2023.) It needs bets that are fixed beforehand and objects drawn independently. Nothing is
assumed of the distribution of their gaps, which has a price: a small gap seen on few objects is never called
(`least_gap`).

Two-sided: each direction has half of the error. The gaps that were never refuted at any look form a confidence
sequence: with a probability of at least the confidence it holds the true gap at all rounds at once. What is decided is
read off it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.diagnostics.statistics import CONFIDENCE

THESE, NEW = "these", "new"
# The best bet is about gap / discordance: 10 points are 0.3 where policies differ in a third of the episodes.
BETS: Array = np.geomspace(0.05, 0.999, 16)
# Of new objects few are all that there will ever be, and rounds take chance out of each: the boldest bet has half.
SHARES: dict[str, Array] = {THESE: np.full(16, 1 / 16), NEW: np.append(np.full(15, 1 / 30), 1 / 2)}
CANDIDATES: Array = np.arange(-199, 200) / 200  # gaps that are bet against; -1 and 1 cannot be refuted


def log_capital(values: Array, candidates: Array, centres: Array | None = None) -> Array:
    """Returns the logarithm of what each bet makes of one capital against "the mean is at most mu".

    Args:
        values: (..., K) in [-1, 1], one for each object.
        candidates: (M,) the mu, above -1.
        centres: (..., K) of sum 0, each in [-2, 2]; they are scaled down where a factor could be negative. None is 0.

    Returns:
        (..., M, B) for the B bets.
    """
    room = 1.0 + candidates  # (M,)
    gains = values[..., None, :] - candidates[:, None]  # (..., M, K)
    found = []
    for bet in BETS:
        own = gains
        if centres is not None:
            largest = np.maximum(centres.max(axis=-1), 1e-12)[..., None]  # (..., 1)
            share = np.minimum(1.0, 0.999 * (1.0 - bet) * room / (bet * largest))  # (..., M)
            own = gains - share[..., None] * centres[..., None, :]
        found.append(np.log1p(bet / room[:, None] * own).sum(axis=-1))
    return np.stack(found, axis=-1)


def centres_of(sums: Array, squares: Array, rounds: int) -> Array:
    """Returns guesses (..., K) of how far each object's gap lies from the mean of all.

    They are the objects' means, drawn towards the mean of all by the share of their spread that is chance (empirical
    Bayes, from variances within and between objects); 0 before there are two rounds, and for one object.

    Args:
        sums, squares: (..., K) of each object's differences and their squares.
        rounds: how many differences each object has.
    """
    if rounds < 2 or sums.shape[-1] < 2:
        return np.zeros_like(sums)
    means = sums / rounds
    chance = (squares - sums**2 / rounds).mean(axis=-1) / (rounds - 1) / rounds  # of an object's mean
    spread = means.var(axis=-1, ddof=1)
    real = np.where(spread > chance, 1.0 - chance / np.where(spread > chance, spread, 1.0), 0.0)
    return np.asarray(real[..., None] * (means - means.mean(axis=-1, keepdims=True)))


@dataclasses.dataclass(frozen=True)
class PairedTest:
    """How a comparison stands after some rounds; see the top of this file. Leading axes are comparisons side by side.

    Attributes:
        about: THESE objects, or NEW ones.
        rounds: how many there were.
        sums: (..., K) differences, by object.
        squares: (..., K) their squares: in how many rounds the policies differed.
        capital: (2, ..., M, B) logarithm of every bet's capital, against "at most" and "at least" the candidates.
        low, high: (...) ends of the confidence sequence; the true gap lies strictly between them.
        candidates: (M,) gaps that are bet against, from low to high.
        confidence: level, in (0, 1).
    """

    about: str
    rounds: int
    sums: Array
    squares: Array
    capital: Array
    low: Array
    high: Array
    candidates: Array
    confidence: float

    @classmethod
    def begin(
        cls, about: str, objects: int, runs: tuple[int, ...] = (), candidates: ArrayLike = CANDIDATES,
        confidence: float = CONFIDENCE,
    ) -> PairedTest:
        """Returns the test before its first round.

        Args:
            about: THESE or NEW.
            objects: how many a round has.
            runs: shape of the comparisons side by side; () for one.
            candidates: (M,) gaps that are bet against.
            confidence: level.
        """
        if about not in (THESE, NEW):
            raise ConfigError(f"a paired test is about {THESE!r} or {NEW!r} objects, got {about!r}")
        if objects < 1 or not 0.0 < confidence < 1.0:
            raise ConfigError(f"{objects} objects at confidence {confidence}: needs 1 or more, and one in (0, 1)")
        against = np.asarray(candidates, dtype=np.float64)
        if not (np.all(np.abs(against) < 1.0) and np.all(np.diff(against) > 0.0)):
            raise ConfigError("candidate gaps must rise, and lie strictly between -1 and 1")
        nothing, edge = np.zeros((*runs, objects)), np.ones(runs)
        capital = np.zeros((2, *runs, len(against), len(BETS)))
        return cls(about, 0, nothing, nothing, capital, -edge, edge, against, confidence)

    def after(self, differences: ArrayLike) -> PairedTest:
        """Returns the test after one more round.

        Args:
            differences: (..., K) success of the first policy minus that of the second, of every object.
        """
        found = np.asarray(differences, dtype=np.float64)
        if found.shape != self.sums.shape or not np.isin(found, (-1.0, 0.0, 1.0)).all():
            raise ConfigError(f"a round has {self.sums.shape} differences, each -1, 0 or 1; got shape {found.shape}")
        sums, rounds = self.sums + found, self.rounds + 1
        sides = ((1.0, self.candidates), (-1.0, -self.candidates))
        if self.about == THESE:
            guesses = centres_of(self.sums, self.squares, self.rounds)
            gained = [log_capital(sign * found, against, sign * guesses) for sign, against in sides]
            capital = self.capital + np.stack(gained)
        else:
            capital = np.stack([log_capital(sign * sums / rounds, against) for sign, against in sides])
        refuted = _log_sum(capital, SHARES[self.about]) >= math.log(2.0 / (1.0 - self.confidence))  # (2, ..., M)
        # A claim is refuted only along with all that are further from the data: what is left is an interval.
        below = np.logical_and.accumulate(refuted[0], axis=-1).sum(axis=-1)
        above = np.logical_and.accumulate(refuted[1][..., ::-1], axis=-1).sum(axis=-1)
        edges = np.concatenate([[-1.0], self.candidates]), np.concatenate([[1.0], self.candidates[::-1]])
        return dataclasses.replace(
            self, rounds=rounds, sums=sums, squares=self.squares + found**2, capital=capital,
            low=np.maximum(self.low, edges[0][below]), high=np.minimum(self.high, edges[1][above]),
        )  # fmt: skip

    def evidence(self) -> Array:
        """Returns (2, ...) the capital won from "no better" and from "no worse"; the test must have candidate 0."""
        logarithms = _log_sum(self.capital, SHARES[self.about])[..., int(np.flatnonzero(self.candidates == 0.0)[0])]
        return np.asarray(np.exp(np.minimum(logarithms, 700.0)))  # beyond, no number could hold it

    def verdict(self, margin: float = 0.0) -> str:
        """Returns "better", "worse", "equivalent" (within the margin, if that is above 0), or "" while undecided."""
        if self.low >= 0.0:
            return "better"
        if self.high <= 0.0:
            return "worse"
        return "equivalent" if margin > 0.0 and -margin <= self.low and self.high <= margin else ""

    @property
    def gap(self) -> float:
        """Mean difference so far; 0 before the first round."""
        return float(self.sums.mean()) / max(self.rounds, 1)

    @property
    def discordance(self) -> float:
        """Share of the episodes so far in which one policy alone succeeded."""
        return float(self.squares.mean()) / max(self.rounds, 1)

    def to_json(self, margin: float = 0.0) -> dict[str, Any]:
        """Returns the figures of one comparison."""
        better, worse = self.evidence()
        interval = {"gap": self.gap, "low": float(self.low), "high": float(self.high)}
        evidence = {"evidence_better": float(better), "evidence_worse": float(worse)}
        return {"about": self.about, "verdict": self.verdict(margin), **interval, **evidence}


def _log_sum(logarithms: Array, shares: Array) -> Array:
    """Returns the logarithm of all bets' capital together (...), from that of each (..., B) and their shares (B,)."""
    most = logarithms.max(axis=-1)
    return np.asarray(most + np.log(np.exp(logarithms - most[..., None]) @ shares))


def least_gap(objects: int, confidence: float = CONFIDENCE) -> float:
    """Returns the least gap that must be seen for the test for new objects to call it, with so many objects.

    It suffices where the same gap is seen on every object; where it varies, more is needed (capital is concave in what
    is seen of the objects). A true gap below it may be called where chance shows a larger one at some look. A test
    without assumptions cannot do much better: where a share g / (1 + g) of the population's objects is always lost
    and the gap is g on the others, the mean gap is 0, yet n objects show none of the lost ones with a probability of
    (1 + g)^-n. inf where no gap is ever called.
    """
    gaps = np.arange(1, 1001) / 1000
    reached = np.array([_log_sum(objects * log_capital(gap[None], np.zeros(1)), SHARES[NEW])[0] for gap in gaps])
    enough = reached >= math.log(2.0 / (1.0 - confidence))
    return float(gaps[int(np.argmax(enough))]) if enough.any() else math.inf
