"""Intervals for success rates, ratios and paired differences that know which episodes belong to the same object.

Three sources of doubt are kept apart:

* `wilson`: episodes are independent draws (an optimist's interval when several episodes share an object);
* `clustered`, `paired_difference`: objects are the sample. The number of episodes is divided by a design effect, which
  is estimated from the spread of the objects (`clusters.py`), and a score interval (`score_intervals.py`) taken of the
  result. It stays where rates can be, and unlike a bootstrap it does not collapse to a point at 0 % or 100 %;
* `bootstrap_ratio`, `bootstrap_mean`: seeded bootstrap over scenes (or clusters of them).

`rate_ratio` divides two rates of different objects, `mcnemar` is the exact test of a paired difference, and `holm`
corrects the p values of several tests. What each interval covers: `docs/statistics.md`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.diagnostics.clusters import of_pairs, of_rate
from toyshift.diagnostics.score_intervals import normal_quantile, tango_interval, wilson_interval

CONFIDENCE = 0.95
RESAMPLES = 4000


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: the point estimate.
        low: lower bound of the interval.
        high: upper bound.
        n: number of independent units behind it (episodes, objects or scenes; the function that made it says which).
    """

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int | str | None]:
        """Returns JSON-able fields: an infinite figure as "inf" or "-inf", an undefined one as null."""
        return {k: _to_json(v) for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Estimate:
        """Returns the estimate that `to_json` wrote."""
        figures = {k: float("nan") if value[k] is None else float(value[k]) for k in ("value", "low", "high")}
        return cls(**figures, n=int(value["n"]))


class Rate(NamedTuple):
    """A success rate.

    Attributes:
        value: from 0 to 1.
        episodes: behind it; None takes the rate for the true one.
    """

    value: float
    episodes: int | None = None


def _to_json(figure: float | int) -> float | int | str | None:
    if isinstance(figure, int) or np.isfinite(figure):
        return figure
    return None if np.isnan(figure) else ("inf" if figure > 0 else "-inf")


def wilson(k: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns Wilson's score interval of a proportion.

    Args:
        k: successes; may be fractional when n is an effective number.
        n: trials; with none, nothing is known and the interval is (0, 1).
        confidence: level, in (0, 1).

    Raises:
        ConfigError: k is not in [0, n], or the confidence is not in (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise ConfigError(f"confidence is {confidence}; it must lie strictly between 0 and 1, e.g. 0.95")
    if n < 0 or not 0 <= k <= n:
        raise ConfigError(f"{k} successes in {n} trials: successes must lie between 0 and the number of trials")
    if n == 0:
        return 0.0, 1.0
    low, high = wilson_interval(k, n, normal_quantile(confidence))
    return float(low), float(high)


def _sums_by_cluster(values: Array, clusters: Sequence[Any]) -> tuple[Array, Array]:
    """Returns the sum and the count of each cluster."""
    if len(values) != len(clusters):
        raise ConfigError(f"{len(values)} values but {len(clusters)} cluster labels; there must be one label per value")
    _, which = np.unique(np.asarray([str(c) for c in clusters]), return_inverse=True)
    return np.bincount(which, weights=values).astype(np.float64), np.bincount(which).astype(np.float64)


def clustered(successes: ArrayLike, clusters: Sequence[Any], confidence: float = CONFIDENCE) -> Estimate:
    """Returns a success rate with an interval for *new objects*, clustered by object.

    It is Wilson's interval of an effective number of episodes (`clusters.of_rate`): n divided by the design effect, by
    which objects differ more than chance makes them. One object alone says nothing about other objects: the interval
    is (0, 1).

    Args:
        successes: (n,) booleans.
        clusters: (n,) labels, usually object ids.
        confidence: level.
    """
    values = np.asarray(successes, dtype=np.float64)
    if values.size == 0:
        return Estimate(float("nan"), 0.0, 1.0, 0)
    k, size = _sums_by_cluster(values, clusters)
    rate, m = float(values.mean()), len(size)
    if m < 2:
        return Estimate(rate, 0.0, 1.0, m)
    low, high = clustered_interval(k, size, confidence)
    return Estimate(rate, float(low), float(high), m)


def clustered_interval(k: Array, size: Array, confidence: float = CONFIDENCE) -> tuple[Array, Array]:
    """Returns the bounds of `clustered` from k successes of size episodes, (..., m) of m > 1 objects."""
    n = of_rate(k, size).share(confidence) * size.sum(-1)
    return wilson_interval(k.sum(-1) / size.sum(-1) * n, n, normal_quantile(confidence))


def _resampled_sums(columns: Array, rng: np.random.Generator, resamples: int) -> Array:
    """Returns sums over bootstrap samples of the rows: (n, c) -> (resamples, c)."""
    n = len(columns)
    out = np.empty((resamples, columns.shape[1]))
    step = max(1, 4_000_000 // n)  # keeps the count matrix below 32 MB
    for start in range(0, resamples, step):
        stop = min(resamples, start + step)
        counts = rng.multinomial(n, np.full(n, 1.0 / n), size=stop - start)
        out[start:stop] = counts @ columns
    return out


def bootstrap_tail(n: int, confidence: float) -> float:
    """Returns which share of n units' bootstrap samples lies beyond each bound.

    Samples of the sample vary less than samples do, by the root of (n - 1) / n, and their own spread is uncertain:
    their percentiles are taken further out, by Student's t (Hesterberg's expanded percentile interval, 2015).
    """
    from scipy.stats import norm, t

    if n < 2:
        return 0.0
    return float(norm.cdf(-np.sqrt(n / (n - 1)) * t.ppf(0.5 + confidence / 2, n - 1)))


def bootstrap_mean(
    values: ArrayLike, clusters: Sequence[Any] | None = None, confidence: float = CONFIDENCE, seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Returns a mean with a seeded bootstrap over values, or over clusters of them, as `bootstrap_ratio` does."""
    return bootstrap_ratio(values, np.ones(np.shape(np.asarray(values))), clusters, confidence, seed, resamples)


def bootstrap_ratio(
    numerator: ArrayLike, denominator: ArrayLike, clusters: Sequence[Any] | None = None,
    confidence: float = CONFIDENCE, seed: int = 0, resamples: int = RESAMPLES,
) -> Estimate:
    """Returns mean(numerator) / mean(denominator) with a seeded bootstrap; pairs stay together.

    The interval is made of percentiles, further out where there are few units (`bootstrap_tail`). With fewer than 20
    units, or very skewed ones, it still covers less than it says: `docs/statistics.md`.

    Args:
        numerator: (n,) one value per scene.
        denominator: (n,) of the same scenes, at least 0; where its mean is 0 the ratio is inf (or nan for 0 / 0).
        clusters: (n,) labels that are resampled as a whole; None resamples scenes.
        confidence: level.
        seed: of the resampling.
        resamples: number of bootstrap samples.
    """
    top, bottom = np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    if top.shape != bottom.shape or top.ndim != 1:
        raise ConfigError(f"a ratio needs two vectors of one length, got shapes {top.shape} and {bottom.shape}")
    if top.size == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    pair = (top, bottom) if clusters is None else [_sums_by_cluster(c, clusters)[0] for c in (top, bottom)]
    columns = np.stack(pair, axis=1)
    sums = _resampled_sums(columns, np.random.default_rng(seed), resamples)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(top.sum() / bottom.sum())
        ratios = sums[:, 0] / sums[:, 1]
    ratios = ratios[~np.isnan(ratios)]
    if not len(ratios):
        return Estimate(value, float("nan"), float("nan"), len(columns))
    # Interpolating between finite and infinite order statistics gives nan: take order statistics themselves there.
    method = "linear" if np.isfinite(ratios).all() else "nearest"
    tail = bootstrap_tail(len(columns), confidence)
    low, high = np.quantile(ratios, [tail, 1 - tail], method=method)  # type: ignore[call-overload]
    return Estimate(value, float(low), float(high), len(columns))


def jackknife(value: float, without: ArrayLike, strata: ArrayLike | None = None) -> Estimate:
    """Returns a value with a 95 % interval (Student's t) from what it is without each unit.

    For what a bootstrap would bias, because it draws units twice: products of different units, or what grows with
    the number of different ones.

    Args:
        value: of all n units.
        without: (n,) the value without each unit.
        strata: (n,) which sample each unit was drawn into; one sample by default.
    """
    from scipy.stats import t

    left = np.asarray(without, dtype=np.float64)
    number = np.zeros(len(left), dtype=np.int64) if strata is None else np.asarray(strata)
    variance, groups = 0.0, np.unique(number)
    for group in groups:
        own = left[number == group]
        variance += (len(own) - 1) / len(own) * float(((own - own.mean()) ** 2).sum())
    freedom = len(left) - len(groups)
    reach = float(t.ppf(0.5 + CONFIDENCE / 2, freedom)) * variance**0.5 if freedom > 0 else float("nan")
    return Estimate(value, value - reach, value + reach, len(left))


def rate_ratio(top: Estimate, bottom: Estimate) -> Estimate:
    """Returns the ratio of two rates that were measured on different objects, from the intervals of both.

    MOVER-R (Donner and Zou, 2012): each side's variance is taken from its own interval, towards the end that counts,
    and put into Fieller's formula. So it knows what those intervals know (objects as clusters, few of them, rates near
    0 and 1), and draws no random numbers. The sides are taken as independent.

    Args:
        top: a rate with its interval, e.g. of `clustered`.
        bottom: the one it is divided by; where that is 0 (or either is unknown), the ratio is undefined: nan. Where its
            interval reaches 0, the ratio's reaches infinity.

    Returns:
        The ratio; its `n` is the number of objects of both sides.
    """
    p, q, n = top.value, bottom.value, top.n + bottom.n
    if not q > 0.0 or np.isnan(p):
        return Estimate(float("nan"), float("nan"), float("nan"), n)

    def root(end: float, other: float) -> float:
        return float(np.sqrt(max(0.0, (p * q) ** 2 - end * (2 * p - end) * other * (2 * q - other))))

    low = top.low * (2 * p - top.low) / (p * q + root(top.low, bottom.high)) if top.low > 0.0 else 0.0
    to_zero = bottom.low * (2 * q - bottom.low)
    high = (p * q + root(top.high, bottom.low)) / to_zero if to_zero > 0.0 else float("inf")
    return Estimate(p / q, low, high, n)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns the p values of several tests, corrected by Holm's step-down method, in the order given.

    Those at or below 0.05 are, all together, wrong with a probability of at most 0.05, however the tests depend on each
    other.
    """
    order = np.argsort(p_values, kind="stable")
    steps = [(len(p_values) - i) * p_values[k] for i, k in enumerate(order)]
    corrected = np.empty(len(p_values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if steps else []
    return [float(p) for p in corrected]


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """Success of policy A minus success of policy B on the same episodes.

    Attributes:
        difference: mean of a - b, with the interval for new objects.
        only_a: episodes in which only A succeeded.
        only_b: episodes in which only B succeeded.
        both: episodes in which both did.
        neither: episodes in which neither did.
        p_value: exact McNemar test (two-sided, episodes independent).
    """

    difference: Estimate
    only_a: int
    only_b: int
    both: int
    neither: int
    p_value: float

    @property
    def n(self) -> int:
        """All episodes."""
        return self.only_a + self.only_b + self.both + self.neither

    def episodes(self, confidence: float = CONFIDENCE) -> Estimate:
        """Returns the difference with its interval for new episodes of these objects (Tango's score interval)."""
        low, high = tango_interval(self.only_a, self.only_b, self.n, normal_quantile(confidence))
        return Estimate(self.difference.value, float(low), float(high), self.n)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"difference": self.difference.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PairedDifference:
        """Returns the comparison that `to_json` wrote."""
        return cls(**{**value, "difference": Estimate.from_json(value["difference"])})


def paired_difference(
    a: ArrayLike, b: ArrayLike, clusters: Sequence[Any], confidence: float = CONFIDENCE
) -> PairedDifference:
    """Compares two policies on the same (object, seed, episode) triples.

    The interval is for new objects: Tango's of an effective number of episodes (`clusters.of_pairs`). One object says
    nothing about others: the interval is (-1, 1). `PairedDifference.episodes` has the one for these objects.

    Args:
        a: (n,) successes of A.
        b: (n,) successes of B in the same order.
        clusters: (n,) object ids.
        confidence: level.
    """
    first, second = np.asarray(a, dtype=bool), np.asarray(b, dtype=bool)
    if first.shape != second.shape or first.ndim != 1 or not first.size:
        shapes = f"{first.shape} and {second.shape}"
        raise ConfigError(f"a paired comparison needs two equally long, non-empty vectors, got shapes {shapes}")
    solved_a, size = _sums_by_cluster((first & ~second).astype(np.float64), clusters)
    solved_b, _ = _sums_by_cluster((second & ~first).astype(np.float64), clusters)
    only_a, only_b, n, m = int(solved_a.sum()), int(solved_b.sum()), first.size, len(size)
    low, high = map(float, paired_interval(solved_a, solved_b, size, confidence)) if m > 1 else (-1.0, 1.0)
    both, neither = int(np.sum(first & second)), int(np.sum(~first & ~second))
    estimate = Estimate((only_a - only_b) / n, low, high, m)
    return PairedDifference(estimate, only_a, only_b, both, neither, mcnemar(only_a, only_b))


def paired_interval(
    only_a: Array, only_b: Array, size: Array, confidence: float = CONFIDENCE
) -> tuple[Array, Array]:
    """Returns the bounds of `paired_difference` from counts by object, (..., m) of m > 1 objects."""
    n = size.sum(-1)
    share = of_pairs(only_a, only_b, size).share(confidence)
    return tango_interval(only_a.sum(-1) * share, only_b.sum(-1) * share, n * share, normal_quantile(confidence))


def mcnemar(only_a: int, only_b: int) -> float:
    """Returns the p value of McNemar's exact test: whether of the episodes that separate two policies half are A's."""
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
