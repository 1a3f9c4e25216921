"""How often each interval of `diagnostics/` covers the truth, simulated over rates, sizes and clusters.

nice -n 10 python benchmarks/interval_coverage.py                  writes results/coverage/ (minutes, one core)
python benchmarks/interval_coverage.py --interval nmi              these anew, in place
python benchmarks/interval_coverage.py --interval clustered --simulations 500 --out /tmp/coverage

Lines of intervals that are not asked for stay as they are in the folder of --out.

One line of cells.csv per cell: how the episodes were drawn, and which share of the intervals held the truth. Of those
for new objects every simulated object has its own rates, drawn around the mean with an intra-object correlation `icc`
(Beta, for pairs Dirichlet), and the truth is the mean. table.json sums up; docs/statistics.md shows it.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.files import write_json, write_text
from toyshift.core.information import normalised_mutual_information
from toyshift.diagnostics import contingency, statistics, unpaired
from toyshift.diagnostics.score_intervals import tango_interval, wilson_interval

Z = 1.959963984540054
BAND = (0.93, 0.98)
ENOUGH = 20  # objects, or units of a bootstrap, from which on the band is promised
PAIRS = {  # rates of the four outcomes of a start: both, only A, only B, neither
    "equal": (0.60, 0.05, 0.05, 0.30), "far": (0.50, 0.30, 0.05, 0.15), "near": (0.80, 0.07, 0.03, 0.10),
    "high": (0.90, 0.07, 0.02, 0.01), "low": (0.05, 0.15, 0.05, 0.75),
}  # fmt: skip
SIDES = ((0.5, 0.5), (0.8, 0.7), (0.95, 0.9), (0.6, 0.1))
SIZES: tuple[int | tuple[int, int], ...] = (2, 5, 20, (2, 10))  # episodes of an object; (2, 10) take turns
Bounds = tuple[Any, Any]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One way to draw episodes. Attributes that mean nothing for an interval keep their default.

    Attributes:
        what: the rates, in words.
        truth: what the interval should hold; a function of the draw where it is about the drawn objects.
        objects: simulated objects (or scenes).
        each: episodes of an object; two numbers take turns.
        icc: correlation of the outcomes of an object's episodes.
        draw: random generator and number of simulations -> bounds, and the truth of each where it differs.
        expected: how many of the rarer outcome (of the starts that separate A and B) a simulation holds on average.
    """

    what: str
    truth: float
    objects: int
    each: int | tuple[int, int]
    icc: float
    draw: Callable[[np.random.Generator, int], tuple[Bounds, Any]]
    expected: float

    @property
    def enough(self) -> bool:
        """Whether the cell is large enough for the band to be promised."""
        return self.objects >= ENOUGH and self.expected >= 5


def sizes(objects: int, each: int | tuple[int, int]) -> Any:
    return np.resize(each, objects).astype(np.float64)  # (m,)


def beta(rng: np.random.Generator, rate: float, icc: float, shape: tuple[int, ...]) -> Any:
    if not icc:
        return np.full(shape, rate)
    return rng.beta(rate * (1 / icc - 1), (1 - rate) * (1 / icc - 1), size=shape)


def rates() -> Iterator[Cell]:
    """Wilson's interval: independent episodes."""
    for n, rate in itertools.product((10, 20, 50, 100, 200, 1000), (0.02, 0.05, 0.1, 0.3, 0.5, 0.8, 0.95)):

        def draw(rng: np.random.Generator, runs: int, n: int = n, rate: float = rate) -> tuple[Bounds, None]:
            return wilson_interval(rng.binomial(n, rate, size=runs), n, Z), None

        yield Cell(f"{rate:g}", rate, n, 1, 0.0, draw, n * min(rate, 1 - rate))


def rates_of_objects() -> Iterator[Cell]:
    """`clustered`: one rate, new objects."""
    grid = itertools.product((5, 8, 10, 20, 40, 100), SIZES, (0.05, 0.2, 0.5, 0.8, 0.95), (0.0, 0.1, 0.3, 0.6))
    for m, each, rate, icc in grid:
        size = sizes(m, each)

        def draw(
            rng: np.random.Generator, runs: int, size: Any = size, rate: float = rate, icc: float = icc
        ) -> tuple[Bounds, None]:
            shape = (runs, len(size))
            k = rng.binomial(size.astype(int), beta(rng, rate, icc, shape)).astype(float)
            return statistics.clustered_interval(k, np.broadcast_to(size, shape)), None

        yield Cell(f"{rate:g}", rate, m, each, icc, draw, size.sum() * min(rate, 1 - rate))


def drawn_pairs(rng: np.random.Generator, runs: int, mean: Any, icc: float, size: Any) -> tuple[Any, Any]:
    """Returns counts (runs, m, 4) of the four outcomes, and the objects' rates."""
    shape = (runs, len(size), 4)
    drawn = rng.gamma(np.maximum(np.asarray(mean) * (1 / icc - 1), 1e-9), size=shape) if icc else None
    own = np.broadcast_to(mean, shape) if drawn is None else drawn / drawn.sum(-1, keepdims=True)
    return rng.multinomial(np.broadcast_to(size.astype(int), shape[:2]), own).astype(float), own


def pairs() -> Iterator[Cell]:
    """`PairedDifference.episodes`: shared starts, these objects; icc 0 is one object, or objects that are alike."""
    for n, (name, mean), icc in itertools.product((20, 50, 100, 200, 1000), PAIRS.items(), (0.0, 0.3)):
        size = sizes(n // 5, 5)

        def draw(
            rng: np.random.Generator, runs: int, mean: Any = mean, icc: float = icc, size: Any = size
        ) -> tuple[Bounds, Any]:
            counts, own = drawn_pairs(rng, runs, mean, icc, size)
            a, b = counts[..., 1].sum(-1), counts[..., 2].sum(-1)
            truth = (own[..., 1] - own[..., 2]).mean(-1)
            return tango_interval(a, b, size.sum(), Z), truth

        yield Cell(name, mean[1] - mean[2], n, 1, icc, draw, n * (mean[1] + mean[2]))


def pairs_of_objects() -> Iterator[Cell]:
    """`paired_difference`: shared starts, new objects."""
    for m, each, (name, mean), icc in itertools.product((8, 10, 20, 40, 100), SIZES, PAIRS.items(), (0.0, 0.1, 0.4)):
        size = sizes(m, each)

        def draw(
            rng: np.random.Generator, runs: int, mean: Any = mean, icc: float = icc, size: Any = size
        ) -> tuple[Bounds, None]:
            counts, _ = drawn_pairs(rng, runs, mean, icc, size)
            of_each = np.broadcast_to(size, counts.shape[:2])
            return statistics.paired_interval(counts[..., 1], counts[..., 2], of_each), None

        yield Cell(name, mean[1] - mean[2], m, each, icc, draw, size.sum() * (mean[1] + mean[2]))


def drawn_sides(
    rng: np.random.Generator, runs: int, two: tuple[float, float], icc: float, shared: float, size: Any
) -> tuple[list[Any], list[Any]]:
    """Returns successes and rates of two policies that met the same objects; `shared` couples what is hard for both."""
    from scipy.stats import beta as beta_law
    from scipy.stats import norm

    common = rng.normal(size=(runs, len(size)))
    counts, own = [], []
    for rate in two:
        if icc:
            skill = shared * common + np.sqrt(1 - shared**2) * rng.normal(size=common.shape)
            p = beta_law.ppf(norm.cdf(skill), rate * (1 / icc - 1), (1 - rate) * (1 / icc - 1))
        else:
            p = np.full(common.shape, rate)
        own.append(p)
        counts.append(rng.binomial(size.astype(int), p).astype(float))
    return counts, own


def sides() -> Iterator[Cell]:
    """`unpaired_episodes`: Newcombe's, independent episodes of objects that are alike."""
    for n, two, more in itertools.product((20, 50, 100, 200, 1000), SIDES, (1, 3)):

        def draw(
            rng: np.random.Generator, runs: int, n: int = n, two: tuple[float, float] = two, more: int = more
        ) -> tuple[Bounds, None]:
            k1, k2 = (rng.binomial(count, p, size=(runs, 1)) for count, p in zip((n, n * more), two, strict=True))
            return unpaired.unpaired_episodes(k1, np.full((runs, 1), n), k2, np.full((runs, 1), n * more)), None

        rarer = n * min(*two, *(1 - p for p in two))
        yield Cell(f"{two[0]:g} - {two[1]:g}", two[0] - two[1], n, 1, 0.0, draw, rarer)


def sides_of_objects() -> Iterator[Cell]:
    """`unpaired_objects`: the same objects, but not the same starts; or other objects ("apart")."""
    coupled = ((0.0, 0.0), (0.1, 0.0), (0.1, 0.8), (0.4, 0.0), (0.4, 0.8))
    for m, each, two, (icc, shared) in itertools.product((10, 20, 40), (2, 5, 20), SIDES, coupled):
        for apart in (False, True) if not shared else (False,):
            size = sizes(m, each)

            def draw(
                rng: np.random.Generator, runs: int, two: tuple[float, float] = two, icc: float = icc,
                shared: float = shared, size: Any = size, apart: bool = apart,
            ) -> tuple[Bounds, None]:
                (k1, k2), _ = drawn_sides(rng, runs, two, icc, shared, size)
                n1 = n2 = np.broadcast_to(size, k1.shape)
                if apart:
                    none = np.zeros_like(k1)
                    k1, k2 = np.concatenate([k1, none], 1), np.concatenate([none, k2], 1)
                    n1, n2 = np.concatenate([n1, none], 1), np.concatenate([none, n2], 1)
                return unpaired.unpaired_objects(k1, n1, k2, n2), None

            what = f"{two[0]:g} - {two[1]:g}{', apart' if apart else f', coupled {shared:g}' if shared else ''}"
            rarer = size.sum() * min(*two, *(1 - p for p in two))
            yield Cell(what, two[0] - two[1], m, each, icc, draw, rarer)


def ratios() -> Iterator[Cell]:
    """`rate_ratio` of two `clustered` rates: retention."""
    for m, each, two, icc in itertools.product((10, 20, 40), (2, 5), ((0.5, 0.8), (0.8, 0.9), (0.2, 0.6)), (0.1, 0.4)):
        size = sizes(m, each)

        def draw(
            rng: np.random.Generator, runs: int, two: tuple[float, float] = two, icc: float = icc, size: Any = size
        ) -> tuple[Bounds, None]:
            (k1, k2), _ = drawn_sides(rng, runs, two, icc, 0.0, size)
            each = [statistics.clustered_interval(k, np.broadcast_to(size, k.shape)) for k in (k1, k2)]
            rate = [k.sum(-1) / size.sum() for k in (k1, k2)]
            bounds = []
            for i in range(runs):
                top, bottom = (
                    statistics.Estimate(float(rate[j][i]), float(each[j][0][i]), float(each[j][1][i]), len(size))
                    for j in (0, 1)
                )
                found = statistics.rate_ratio(top, bottom)
                bounds.append((found.low, found.high))
            low, high = np.array(bounds).T
            return (np.nan_to_num(low, nan=0.0), np.nan_to_num(high, nan=np.inf)), None  # undefined holds everything

        rarer = size.sum() * min(*two, *(1 - p for p in two))
        yield Cell(f"{two[0]:g} / {two[1]:g}", two[0] / two[1], m, each, icc, draw, rarer)


def bootstraps() -> Iterator[Cell]:
    """`bootstrap_mean` and `bootstrap_ratio` of scenes."""
    laws: dict[str, tuple[Callable[..., Any], float]] = {
        "normal": (lambda rng, n: rng.normal(1, 1, n), 1.0), "gamma 2": (lambda rng, n: rng.gamma(2, 1, n), 2.0),
        "gamma 0.3": (lambda rng, n: rng.gamma(0.3, 1, n), 0.3),
    }  # fmt: skip
    for n, ratio, (name, (law, mean)) in itertools.product((5, 10, 20, 40, 100), (False, True), laws.items()):
        if ratio and name == "normal":
            continue  # its denominator may be 0 or below

        def draw(
            rng: np.random.Generator, runs: int, n: int = n, law: Any = law, ratio: bool = ratio
        ) -> tuple[Bounds, None]:
            bounds = []
            for i in range(max(1, runs // 4)):
                top = law(rng, n)
                bottom = (top + law(rng, n)) / 2 if ratio else np.ones(n)  # scenes are hard for both
                found = statistics.bootstrap_ratio(top, bottom, seed=i, resamples=1000)
                bounds.append((found.low, found.high))
            low, high = np.array(bounds).T
            return (low, high), None

        yield Cell(f"{'ratio' if ratio else 'mean'}, {name}", 1.0 if ratio else mean, n, 1, 0.0, draw, n)


def signed_ratios() -> Iterator[Cell]:
    """`bootstrap_ratio` of beta = <da, d> / |d|^2, whose numerator has either sign (counterfactual, named, case,
    patching): scenes of objects, of which some have more; |d|^2 from a gamma distribution of shape 2, and an object has
    a beta of its own, normal around the mean by 0.5, beside a scene's noise of 1.
    """
    for m, each, beta_ in itertools.product((10, 20, 40), (1, (1, 10)), (0.0, 1.0)):
        owner = np.repeat(np.arange(m), sizes(m, each).astype(int))

        def draw(
            rng: np.random.Generator, runs: int, m: int = m, owner: Any = owner, beta_: float = beta_
        ) -> tuple[Bounds, None]:
            def one(i: int) -> statistics.Estimate:
                square = rng.gamma(2.0, 0.5, len(owner))
                own = beta_ + 0.5 * rng.normal(size=m)[owner]
                product = own * square + np.sqrt(square) * rng.normal(size=len(owner))
                return statistics.bootstrap_ratio(product, square, owner.tolist(), seed=i, resamples=1000)

            return _bounds(one(i) for i in range(max(1, runs // 4))), None

        yield Cell(f"beta {beta_:g}", beta_, m, each, 0.0, draw, m)


def bootstraps_of_objects() -> Iterator[Cell]:
    """`bootstrap_mean` of zeros and ones by objects of 1 or 10 episodes (ignorance, probes), and, of 20 objects and
    more, at 99.2 % (interactions of shifts).
    """
    grid = itertools.product((10, 20, 40), (0.1, 0.5), (0.0, 0.3), (0.95, 1 - 0.05 / 6))
    for m, rate, icc, level in grid:
        if level > 0.95 and m == 10:
            continue
        size = sizes(m, (1, 10)).astype(int)

        def draw(
            rng: np.random.Generator, runs: int, size: Any = size, rate: float = rate, icc: float = icc,
            level: float = level,
        ) -> tuple[Bounds, None]:
            owner = np.repeat(np.arange(len(size)), size)

            def one(i: int) -> statistics.Estimate:
                hit = rng.random(len(owner)) < beta(rng, rate, icc, (len(size),))[owner]
                return statistics.bootstrap_mean(hit.astype(float), owner.tolist(), level, i, 1000)

            return _bounds(one(i) for i in range(max(1, runs // 4))), None

        what = f"{rate:g}{'' if level == 0.95 else f', at {100 * level:.1f} %'}"
        yield Cell(what, rate, m, (1, 10), icc, draw, size.sum() * min(rate, 1 - rate))


def diversities() -> Iterator[Cell]:
    """Percentiles of `measure_vectors`: two sub-datasets of normal vectors whose means lie `apart`, in units of a
    coordinate's spread; 8 coordinates, brought to unit length. The truth is that of 2,000 vectors of each.
    """
    from toyshift.diagnostics.diversity import measure_vectors
    from toyshift.diagnostics.reference_scale import UnitScale

    def vectors(rng: np.random.Generator, n: int, apart: float) -> dict[str, Any]:
        return {name: rng.normal(size=(n, 8)) + 2.0 + apart * side * np.eye(8)[0] for side, name in enumerate("ab")}

    for apart, of in itertools.product((0.0, 3.0), ("diversity", "disparity", "fragmentation")):
        many = np.concatenate([*vectors(np.random.default_rng(0), 2000, apart).values()])
        kernel = UnitScale().potential(UnitScale().squared(many))
        within = np.mean([(part.sum() - np.trace(part)) / (2000 * 1999) for part in (kernel[:2000, :2000],
                                                                                   kernel[2000:, 2000:])])  # fmt: skip
        across = kernel[:2000, 2000:].mean()
        truths = {"diversity": 1 / within, "disparity": 1 / across, "fragmentation": within / across}
        for n in (10, 40):

            def draw(
                rng: np.random.Generator, runs: int, n: int = n, apart: float = apart, of: str = of
            ) -> tuple[Bounds, None]:
                found = (measure_vectors(vectors(rng, n, apart), UnitScale(), seed=i, resamples=1000)
                         for i in range(max(1, runs // 4)))  # fmt: skip
                return _bounds(getattr(one, of) for one in found), None

            yield Cell(f"{of}, apart {apart:g}", float(truths[of]), n, 1, 0.0, draw, n)


def gaps() -> Iterator[Cell]:
    """The gap of two parts in dissociation: rises of loss by objects, from a gamma distribution of shape 4; of `parts`
    the one serves seen objects twice as much, the other new ones ("apart"), or all are alike; the two that lie furthest
    apart are taken, and the truth is that of all parts.
    """
    from toyshift.diagnostics.measuring.dissociation import dissociation

    for m, parts, apart in itertools.product((10, 20, 40), (2, 6), (False, True)):

        def draw(
            rng: np.random.Generator, runs: int, m: int = m, parts: int = parts, apart: bool = apart
        ) -> tuple[Bounds, None]:
            ids = [str(i) for i in range(m)]

            def one(i: int) -> statistics.Estimate:
                seen, new = rng.gamma(4.0, 0.25, (2, parts, m))
                if apart:
                    seen[0], new[1] = 2 * seen[0], 2 * new[1]
                names = [f"part {k}" for k in range(parts)]
                return dissociation(seen, new, names, (ids, ids), seed=i).value

            return _bounds(one(i) for i in range(max(1, runs // 4))), None

        yield Cell(f"{parts} parts{', apart' if apart else ''}", 2 / 3 if apart else 0.0, m, 1, 0.0, draw, m)


def rank_correlations() -> Iterator[Cell]:
    """`rank_correlation`: Spearman's, of independent normal pairs."""
    from toyshift.diagnostics.measuring.predicted import rank_correlation

    for n, rho in itertools.product((5, 8, 16, 30, 100), (0.0, 0.5, 0.9)):

        def draw(rng: np.random.Generator, runs: int, n: int = n, rho: float = rho) -> tuple[Bounds, None]:
            x = rng.normal(size=(runs, n))
            y = rho * x + np.sqrt(1 - rho**2) * rng.normal(size=x.shape)
            return _bounds(rank_correlation(one, other) for one, other in zip(x, y, strict=True)), None

        yield Cell(f"{rho:g}", 6 / np.pi * np.arcsin(rho / 2), n, 1, 0.0, draw, n)


def _bounds(found: Iterable[Any]) -> Bounds:
    """Returns low and high of estimates; an undefined one holds everything."""
    low, high = np.array([(one.low, one.high) for one in found]).T
    return np.nan_to_num(low, nan=-np.inf), np.nan_to_num(high, nan=np.inf)


def lengths() -> Iterator[Cell]:
    """`mean_length` of counterfactual: the length of a mean vector, whose units scatter alike or mostly along it."""
    from toyshift.diagnostics.measuring.counterfactual import mean_length

    for m, across, length in itertools.product((6, 10, 20, 40), (1.0, 0.2), (0.0, 0.3, 1.0)):

        def draw(
            rng: np.random.Generator, runs: int, m: int = m, across: float = across, length: float = length
        ) -> tuple[Bounds, None]:
            shape, size = np.array([1.0, across]), np.ones(m, np.int64)
            drawn = rng.normal(size=(max(1, runs // 4), m, 2)) * shape + [length, 0.0]
            return _bounds(mean_length(one, size) for one in drawn), None

        yield Cell(f"length {length:g}, across {across:g}", length, m, 1, 0.0, draw, m)


def jackknives() -> Iterator[Cell]:
    """`jackknife`, of coherence: two sub-datasets whose gradients share half of their squared length, beside noise of
    episodes, whose sizes differ (a gamma distribution of shape 2).
    """
    from toyshift.diagnostics.measuring.coherence import pulls

    for each, noise, of in itertools.product((8, 24), (2.0, 6.0), ("alpha", "fragmentation")):

        def draw(
            rng: np.random.Generator, runs: int, each: int = each, noise: float = noise, of: str = of
        ) -> tuple[Bounds, None]:
            dataset = np.repeat([0, 1], each)
            means = np.zeros((2, 32))
            means[:, 0], means[:, 1] = 1.0, (0.5**0.5, -(0.5**0.5))

            def one() -> statistics.Estimate:
                size = np.sqrt(rng.gamma(2.0, 0.5, 2 * each) * noise / 32)
                gradients = means[dataset] + size[:, None] * rng.normal(size=(2 * each, 32))
                found, without = pulls(gradients @ gradients.T, dataset)
                return statistics.jackknife(getattr(found, of), [getattr(left, of) for left in without], dataset)

            return _bounds(one() for _ in range(max(1, runs // 4))), None

        truth = 1.0 / (1.5 + noise) if of == "alpha" else 1.0 - 0.5 / 1.5
        yield Cell(f"{of}, noise {noise:g}", truth, 2 * each, 1, 0.0, draw, 2 * each)


def areas() -> Iterator[Cell]:
    """`auc_interval` of novelty: scenes with a value, which each has with a chance of 0.3, and without; changes are
    normal, objects' own by `own` beside a scene's 1. The value is given, not chosen.
    """
    from scipy.stats import norm

    from toyshift.diagnostics.measuring.novelty import auc_interval

    for m, own, more in itertools.product((10, 20, 40), (0.0, 1.0), (0.0, 1.0)):

        def draw(
            rng: np.random.Generator, runs: int, m: int = m, own: float = own, more: float = more
        ) -> tuple[Bounds, None]:
            owner = np.repeat(np.arange(m), 10)
            bounds = []
            for i in range(max(1, runs // 4)):
                inside = rng.random(len(owner)) < 0.3
                change = more * inside + own * rng.normal(size=m)[owner] + rng.normal(size=len(owner))
                bounds.append(auc_interval(change, inside, owner, i))
            low, high = np.array(bounds).T
            return (low, high), None

        truth = float(norm.cdf(more / np.sqrt(2 * (1 + own**2))))  # of two scenes of different objects
        yield Cell(f"added {more:g}, own {own:g}", truth, m, 10, 0.0, draw, 3 * m)


def agreements() -> Iterator[Cell]:
    """`fisher` of `agreement`: Pearson's correlation of two columns over names: normal figures, and rates of 50
    episodes, which are of any size and noisy.
    """
    from toyshift.diagnostics.comparing.agreement import fisher, pearson

    def normal(rng: np.random.Generator, runs: int, n: int, rho: float) -> tuple[Any, Any]:
        r = rng.normal(size=(runs, n))
        return rho * r + np.sqrt(1 - rho**2) * rng.normal(size=r.shape), r

    def noisy(rng: np.random.Generator, runs: int, n: int, apart: float) -> tuple[Any, Any]:
        r = rng.random((runs, n))
        s = np.clip(r + apart * rng.normal(size=r.shape), 0.0, 1.0)
        return rng.binomial(50, s) / 50, rng.binomial(50, r) / 50

    for (columns, by), n in itertools.product(((normal, 0.5), (normal, 0.8), (normal, 0.95), (noisy, 0.1),
                                               (noisy, 0.3)), (5, 10, 20)):  # fmt: skip

        def draw(
            rng: np.random.Generator, runs: int, n: int = n, by: float = by, columns: Any = columns
        ) -> tuple[Bounds, None]:
            found = pearson(*columns(rng, runs, n, by))
            low, high = np.array([fisher(float(value), n) for value in found]).T
            return (low, high), None

        many = [column.ravel() for column in columns(np.random.default_rng(0), 20_000, n, by)]
        truth = by if columns is normal else float(np.corrcoef(*many)[0, 1])
        yield Cell(f"{'normal' if columns is normal else 'rates, apart'} {by:g}", truth, n, 1, 0.0, draw, n)


def violations() -> Iterator[Cell]:
    """`mmrv` of `agreement`: bounds of what MMRV is of the true rates of these names; `objects` are names, `each`
    episodes of a name, on both sides or on one. True rates here are those there, but for a normal difference.
    """
    from toyshift.diagnostics.comparing.agreement import agreement, mmrv
    from toyshift.diagnostics.statistics import Rate

    for n, each, apart, both in itertools.product((3, 10, 20), (10, 50, 1000), (0.0, 0.1, 0.3), (False, True)):

        def draw(
            rng: np.random.Generator, runs: int, n: int = n, each: int = each, apart: float = apart, both: bool = both
        ) -> tuple[Bounds, Any]:
            r = rng.random((max(1, runs // 4), n))
            s = np.clip(r + apart * rng.normal(size=r.shape), 0.0, 1.0)
            found = []
            for ours, theirs in zip(s, r, strict=True):
                here = [Rate(k / each, each) for k in rng.binomial(each, ours)]
                seen = [Rate(k / each, each) for k in rng.binomial(each, theirs)] if both else map(Rate, theirs)
                found.append(agreement(dict(enumerate(here)), dict(enumerate(seen))).mmrv)  # type: ignore[arg-type]
            return _bounds(found), mmrv(s, r)

        yield Cell(f"apart {apart:g}, episodes {'on both sides' if both else 'here'}", 0.0, n, each, 0.0, draw, each)


def sides_of_probes() -> Iterator[Cell]:
    """`beside` of probes: a factor's balanced accuracy minus the place's R2, by objects of 10 looks each; `coupled`
    objects are hard for both, and of four factors that are read equally well the best is taken.
    """
    from toyshift.diagnostics.measuring.finding import Finding
    from toyshift.diagnostics.measuring.probes import PLACE, beside

    for m, factors, coupled in ((10, 1, False), (20, 1, False), (40, 1, False), (20, 1, True), (20, 4, False),
                                (40, 4, False)):  # fmt: skip

        def draw(
            rng: np.random.Generator, runs: int, m: int = m, factors: int = factors, coupled: bool = coupled
        ) -> tuple[Bounds, None]:
            owner = np.repeat(np.arange(m), 10)

            def score(loss: Any, i: int) -> Finding:
                lost = statistics.bootstrap_ratio(loss, np.ones(len(loss)), owner.tolist(), seed=i, resamples=1000)
                value = statistics.Estimate(1 - lost.value, 1 - lost.high, 1 - lost.low, lost.n)
                return Finding(name="probes", value=value, unit="", null=0.5, verdict="", card="",
                               table=({"chance": 0.5},))  # fmt: skip

            def one(i: int) -> statistics.Estimate:
                hard = rng.gamma(4.0, 0.25, m)  # 1 on average
                place = (rng.normal(size=len(owner)) ** 2) * 0.3 * hard[owner]
                found = {PLACE: score(place, i)}
                for k in range(factors):
                    own = hard if coupled else rng.gamma(4.0, 0.25, m)
                    wrong = rng.random(len(owner)) < np.minimum(0.15 * own, 1.0)[owner]
                    found[f"factor {k}"] = score(wrong.astype(float), 9 * i + k)
                return beside(found).value

            return _bounds(one(i) for i in range(max(1, runs // 4))), None

        what = f"factors {factors}{', coupled' if coupled else ''}"
        yield Cell(what, (1 - 2 * 0.15) - (1 - 0.3), m, 10, 0.0, draw, 1.5 * m)


def skills() -> Iterator[Cell]:
    """`Skill.under` of predicted, where its model holds: normal errors of spread 1 cm, objects of tolerances from 1 to
    2 cm, one scene each, displaced by up to 2 cm.
    """
    from toyshift.diagnostics.measuring.predicted import Skill, chance_to_hold

    def scenes(rng: np.random.Generator, m: int) -> tuple[Any, Any]:
        return rng.uniform(1.0, 2.0, m), rng.uniform(0.0, 2.0, m)

    room, far = scenes(np.random.default_rng(0), 200_000)
    truth = float((chance_to_hold(far, room, 1.0) - chance_to_hold(0.0, room, 1.0)).mean())
    for m, played in itertools.product((10, 20), (20, 100)):

        def draw(rng: np.random.Generator, runs: int, m: int = m, played: int = played) -> tuple[Bounds, None]:
            def one(i: int) -> statistics.Estimate:
                room, far = scenes(rng, m)
                won = int((rng.random(played) < chance_to_hold(0.0, room, 1.0)[np.arange(played) % m]).sum())
                return Skill(won, played, room, np.arange(m), i).under(far)

            return _bounds(one(i) for i in range(max(1, runs // 10))), None

        yield Cell(f"episodes {played}", truth, m, 1, 0.0, draw, 0.1 * played)


def dependences() -> Iterator[Cell]:
    """`nmi_interval`: v tells u with a share `rho` of the episodes, and nothing in the others.

    The draws are fewer, as of bootstraps; samples in which u or v does not vary are drawn again, for no pair is made of
    them. `objects` are episodes.
    """
    grid = itertools.product((20, 40, 100, 200, 1000), (0.0, 0.3, 0.5, 0.8, 0.95, 0.98, 1.0), ((2, 2), (2, 4), (4, 8)))
    for n, rho, (a, b) in grid:
        joint = np.full((a, b), (1 - rho) / (a * b)) + rho / b * np.repeat(np.eye(a), b // a, axis=1)

        def draw(rng: np.random.Generator, runs: int, n: int = n, joint: Any = joint) -> tuple[Bounds, None]:
            bounds: list[tuple[float, float]] = []
            while len(bounds) < max(1, runs // 4):
                cells = rng.choice(joint.size, size=n, p=joint.ravel())
                u, v = (np.unique(of, return_inverse=True)[1] for of in np.divmod(cells, joint.shape[1]))
                if min(u.max(), v.max()) > 0:
                    chance, _ = contingency.shuffled(u, v, rng, 500)
                    bounds.append(contingency.nmi_interval(u, v, chance, rng))
            low, high = np.array(bounds).T
            return (low, high), None

        truth = float(normalised_mutual_information(joint))
        rarer = n if rho in (0.0, 1.0) else n * (1 - rho) * (1 - 1 / a)  # episodes that break the rule
        yield Cell(f"{a}x{b}, rho {rho:g}", truth, n, 1, 0.0, draw, rarer)


INTERVALS: dict[str, Callable[[], Iterator[Cell]]] = {
    "wilson": rates, "clustered": rates_of_objects, "paired-episodes": pairs, "paired-objects": pairs_of_objects,
    "unpaired-episodes": sides, "unpaired-objects": sides_of_objects, "rate-ratio": ratios, "bootstrap": bootstraps,
    "rank-correlation": rank_correlations, "mean-length": lengths, "jackknife": jackknives, "auc": areas,
    "agreement": agreements, "beside": sides_of_probes, "skill": skills,
    "nmi": dependences, "mmrv": violations, "signed-ratio": signed_ratios, "bootstrap-objects": bootstraps_of_objects,
    "diversity": diversities, "dissociation": gaps,
}  # fmt: skip


def simulate(name: str, simulations: int, seed: int, enough: bool = False, every: int = 1) -> list[dict[str, Any]]:
    """Returns the cells of an interval with their coverage.

    Args:
        name: of INTERVALS.
        simulations: per cell.
        seed: each cell draws from its own stream of it.
        enough: leave out cells that are too small for the band to be promised.
        every: take one cell in so many.
    """
    rows = []
    cells = [(number, cell) for number, cell in enumerate(INTERVALS[name]()) if cell.enough or not enough]
    for number, cell in cells[::every]:
        rng = np.random.default_rng([seed, list(INTERVALS).index(name), number])
        (low, high), own = cell.draw(rng, simulations)
        truth = cell.truth if own is None else own
        covered = (low <= truth + 1e-12) & (truth <= high + 1e-12)
        finite = np.isfinite(high - low)
        rows.append({
            "interval": name, "rates": cell.what, "objects": cell.objects, "each": str(cell.each), "icc": cell.icc,
            "enough": cell.enough, "simulations": len(covered), "covered": round(float(covered.mean()), 4),
            "width": round(float((high - low)[finite].mean()), 4) if finite.any() else "",
        })  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns, by interval and for cells that are large enough and those that are not, how the coverage is spread."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(row["interval"] for row in rows):
        found[name] = {}
        for word, enough in (("enough", True), ("few", False)):
            covered = np.array([row["covered"] for row in rows if row["interval"] == name and row["enough"] == enough])
            if len(covered):
                found[name][word] = {
                    "cells": len(covered), "mean": float(covered.mean().round(4)), "least": float(covered.min()),
                    "most": float(covered.max()), "below": int((covered < BAND[0]).sum()),
                    "above": int((covered > BAND[1]).sum()),
                }  # fmt: skip
    return found


def lines_that_stay(file: Path, asked: Collection[str]) -> list[dict[str, Any]]:
    """Returns the lines of intervals that are not simulated now."""
    if not file.is_file():
        return []
    with file.open(encoding="utf-8", newline="") as text:
        lines = [line for line in csv.DictReader(text) if line["interval"] not in asked]
    return [line | {"covered": float(line["covered"]), "enough": line["enough"] == "True"} for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--interval", nargs="*", choices=list(INTERVALS), default=list(INTERVALS))
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("results/coverage"))
    args = parser.parse_args()
    rows = lines_that_stay(args.out / "cells.csv", args.interval)
    for name in args.interval:
        rows += simulate(name, args.simulations, args.seed)
        found = table(rows)[name]
        print(name, *(f"{word}: {found[word]}" for word in found), sep="\n  ", flush=True)
    rows.sort(key=lambda row: list(INTERVALS).index(row["interval"]))
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(args.out / "cells.csv", text.getvalue())
    write_json(args.out / "table.json", table(rows))


if __name__ == "__main__":
    main()
