"""Intervals for success rates, ratios and paired differences that know which episodes belong to the same object.

Three sources of doubt are kept apart:

* `wilson`: episodes are independent draws (an optimist's interval when several episodes share an object);
* `clustered`: objects are the sample. The design effect is estimated from the spread of the objects' rates, the
  number of episodes divided by it, corrected for few objects by Student's t, and Wilson's formula applied to the
  result. It stays inside [0, 1], and unlike a bootstrap it does not collapse to a point at 0 % or 100 %;
* `bootstrap_ratio`, `bootstrap_mean`: seeded percentile bootstrap over scenes (or clusters of them).

`rate_ratio` divides two rates of different objects, and `holm` corrects the p values of several tests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError

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
    from statsmodels.stats.proportion import proportion_confint  # 1 s import, only when an interval is asked for

    low, high = proportion_confint(k, n, alpha=1.0 - confidence, method="wilson")
    return float(max(0.0, low)), float(min(1.0, high))


def _sums_by_cluster(values: Array, clusters: Sequence[Any]) -> tuple[Array, Array]:
    """Returns the sum and the count of each cluster."""
    if len(values) != len(clusters):
        raise ConfigError(f"{len(values)} values but {len(clusters)} cluster labels; there must be one label per value")
    _, which = np.unique(np.asarray([str(c) for c in clusters]), return_inverse=True)
    return np.bincount(which, weights=values).astype(np.float64), np.bincount(which).astype(np.float64)


def clustered(successes: ArrayLike, clusters: Sequence[Any], confidence: float = CONFIDENCE) -> Estimate:
    """Returns a success rate with an interval for *new objects*, clustered by object.

    It is Wilson's interval with a design effect, corrected by Student's t.
    Variance of the rate: m / (m-1) * sum_j (k_j - p n_j)^2 / n^2 over m clusters. The design effect is its ratio to
    p (1-p) / n, not below 1. Where all outcomes agree it cannot be estimated, and each object counts once. One
    object alone says nothing about other objects: the interval is (0, 1).

    Args:
        successes: (n,) booleans.
        clusters: (n,) labels, usually object ids.
        confidence: level.
    """
    values = np.asarray(successes, dtype=np.float64)
    if values.size == 0:
        return Estimate(float("nan"), 0.0, 1.0, 0)
    k, size = _sums_by_cluster(values, clusters)
    n, m = float(values.size), len(size)
    rate = float(values.mean())
    if m < 2:
        return Estimate(rate, 0.0, 1.0, m)
    from scipy.stats import norm, t

    if 0.0 < rate < 1.0:
        variance = m / (m - 1) * float(np.sum((k - rate * size) ** 2)) / n**2
        effective = n / max(1.0, variance / (rate * (1.0 - rate) / n))
    else:
        effective = float(m)
    quantile = 0.5 + confidence / 2.0
    effective *= float(norm.ppf(quantile) / t.ppf(quantile, m - 1)) ** 2
    low, high = wilson(rate * effective, effective, confidence)
    return Estimate(rate, low, high, m)


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


def bootstrap_mean(
    values: ArrayLike, clusters: Sequence[Any] | None = None, confidence: float = CONFIDENCE, seed: int = 0,
    resamples: int = RESAMPLES,
) -> Estimate:
    """Returns a mean with a seeded percentile bootstrap over values, or over clusters of them."""
    return bootstrap_ratio(values, np.ones(np.shape(np.asarray(values))), clusters, confidence, seed, resamples)


def bootstrap_ratio(
    numerator: ArrayLike, denominator: ArrayLike, clusters: Sequence[Any] | None = None,
    confidence: float = CONFIDENCE, seed: int = 0, resamples: int = RESAMPLES,
) -> Estimate:
    """Returns mean(numerator) / mean(denominator) with a seeded percentile bootstrap; pairs stay together.

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
    low, high = np.quantile(ratios, [0.5 - confidence / 2, 0.5 + confidence / 2], method=method)  # type: ignore[call-overload]
    return Estimate(value, float(low), float(high), len(columns))


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
        difference: mean of a - b, with the interval.
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

    The interval is the wider hull of two: cluster-robust (differences summed by object, Student's t with one degree
    of freedom less than objects) and Bonett and Price's for paired proportions, which keeps a width when no episode
    separates the policies.

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
    from scipy.stats import binomtest, norm, t

    n = first.size
    only_a, only_b = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    value = (only_a - only_b) / n
    z = float(norm.ppf(0.5 + confidence / 2))
    p12, p21 = (only_a + 1) / (n + 2), (only_b + 1) / (n + 2)
    half = z * float(np.sqrt(max(0.0, p12 + p21 - (p12 - p21) ** 2) / (n + 2)))
    low, high = p12 - p21 - half, p12 - p21 + half
    sums, size = _sums_by_cluster(first.astype(np.float64) - second, clusters)
    m = len(size)
    if m > 1:
        error = float(np.sqrt(m / (m - 1) * np.sum((sums - value * size) ** 2))) / n
        reach = float(t.ppf(0.5 + confidence / 2, m - 1)) * error
        low, high = min(low, value - reach), max(high, value + reach)
    p_value = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    estimate = Estimate(value, max(-1.0, low), min(1.0, high), m)
    both, neither = int(np.sum(first & second)), int(np.sum(~first & ~second))
    return PairedDifference(estimate, only_a, only_b, both, neither, p_value)
