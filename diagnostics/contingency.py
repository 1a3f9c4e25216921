"""Tables of counts of two factors: their NMI, what chance deals out, and an interval; large ones by occupied cells.

Most cells of a large table (a thousand objects and as many instructions) are empty: of these only cells that occur are
kept, so that a table costs as many steps as there are episodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from toyshift.core.arrays import Array, Indices
from toyshift.core.information import entropy, estimated_mutual_information, normalised_mutual_information

LARGE = 1_000  # cells beyond which a table is large
CELLS = 1_000_000  # of tables in memory at a time, or episodes of large ones
DRAWS, FEW = 200, 24  # of a law, for an end of an interval; of a large table, whose estimate is about normal
STEPS = 8  # halvings of the way on which an end lies
# Of a law beyond an end; 2.5 % less a margin, chosen by simulation, for ends that are found by so few draws.
TAIL = 0.02
TIE = 1e-9  # rounding of equal estimates
Draws = Callable[[float, int], Array]


def counted(u: Indices, v: Indices) -> Indices:
    """Returns how often codes (N,) of two factors meet, (A, B)."""
    shape = (int(u.max()) + 1, int(v.max()) + 1)
    return np.bincount(u * shape[1] + v, minlength=shape[0] * shape[1]).reshape(shape)


def is_large(u: Indices, v: Indices) -> bool:
    """Whether codes (N,) of two factors make a table of many cells, of which little is drawn."""
    return (int(u.max()) + 1) * (int(v.max()) + 1) > LARGE


def _is_sparse(u: Indices, v: Indices) -> bool:
    return (int(u.max()) + 1) * (int(v.max()) + 1) > max(LARGE, len(u))


def told(u: Indices, v: Indices) -> tuple[float, float]:
    """Returns the NMI of codes (N,), by Miller and Madow, and the share whose u is the most frequent one at their v."""
    if _is_sparse(u, v):
        nmi, guess = _measured(u[None], v[None])
    else:
        nmi, guess = _of_tables(counted(u, v)[None])
    return float(nmi[0]), float(guess[0])


def shuffled(u: Indices, v: Indices, rng: np.random.Generator, shuffles: int) -> tuple[Array, Array]:
    """Returns NMI and guess (R,) as of `told` with v dealt out at random: tables of the same margins."""
    if _is_sparse(u, v):

        def dealt(size: int) -> tuple[Array, Array]:
            every = (size, len(v))
            return _measured(np.broadcast_to(u, every), rng.permuted(np.broadcast_to(v, every), axis=1))

        found = [dealt(size) for size in _pieces(shuffles, len(u))]
    else:
        from scipy.stats import random_table

        counts = counted(u, v)
        law = random_table(counts.sum(axis=1), counts.sum(axis=0), seed=rng)
        sizes = _pieces(shuffles, counts.size)
        found = [_of_tables(np.asarray(law.rvs(size)).reshape(size, *counts.shape)) for size in sizes]
    return np.concatenate([nmi for nmi, _ in found]), np.concatenate([guess for _, guess in found])


def nmi_interval(u: Indices, v: Indices, chance: Array, rng: np.random.Generator) -> tuple[float, float]:
    """Returns the ends of the 95 % interval of the NMI of codes (N,) that both vary: a bootstrap by test inversion.

    `chance` is what `shuffled` finds (R,): the interval begins at 0 (or below) where these episodes are no more tied,
    or where fewer than 25 shuffles cannot tell.

    A resampled table is seldom as tied, or as loose, as the law that it stands for could be: where no episode breaks a
    rule, no resample does. So laws are drawn along a way through what was counted: from independence (0; the same
    margins) over the shares that were counted (1) to those beyond what the margins alone would give (2). The interval
    holds those of which at most 98 % measure less, and at most 98 % more, than these episodes do; those that measure as
    much count half. Of large tables fewer laws are drawn, and the low end is put lower by what chance measures, to
    err on the wide side.
    """
    value, _ = told(u, v)
    draws, nmi = _large_way(u, v, rng) if is_large(u, v) else _small_way(counted(u, v), rng)
    few = is_large(u, v)

    def place(drawn: Array) -> float:
        """Returns where `value` is among estimates of draws of a law, as a normal deviate; it falls along the way."""
        if few:
            return float((value - drawn.mean()) / max(drawn.std(ddof=1), TIE))
        less, same = int(np.sum(drawn < value - TIE)), int(np.sum(np.abs(drawn - value) <= TIE))
        return NormalDist().inv_cdf((less + same / 2 + 0.5) / (len(drawn) + 1))

    size = FEW if few else DRAWS

    def end(deviate: float, first: float, last: float) -> float:
        """Returns the NMI of the law at which the place is `deviate`; the places of both ends of the way are known."""
        low, high = (0.0, first), (2.0, last)
        for step in range(STEPS):
            at = (low[0] + high[0]) / 2
            here = place(draws(at, size if few or 2 * step >= STEPS else size // 4))
            low, high = ((at, here), high) if here > deviate else (low, (at, here))
        share = (low[1] - deviate) / (low[1] - high[1]) if low[1] > high[1] else 0.5
        return nmi(low[0] + (high[0] - low[0]) * min(max(share, 0.0), 1.0))

    beyond = NormalDist().inv_cdf(1 - TAIL)
    drawn = draws(2.0, size)
    first, last = place(chance), place(drawn)
    low = end(beyond, first, last) if first > beyond else 0.0
    if few:  # laws of the cells that were seen have less bias than these episodes; chance shows how much there can be
        low = max(0.0, low - max(0.0, float(chance.mean())))
    if last < -beyond:
        high = end(-beyond, first, last)
    else:  # only the margins' share of the error is left
        least = drawn.mean() - beyond * drawn.std() if few else np.quantile(drawn, TAIL)
        high = nmi(2.0) + max(0.0, value - float(least))
    low, high = min(low, value), max(min(high, 1.0), value)
    if high - low < TIE:  # an estimate below 0 that all laws exceed
        high = low + 1 / len(u)
    return low, high


def _pieces(tables: int, cells: int) -> list[int]:
    size = max(1, CELLS // cells)
    return [min(size, tables - done) for done in range(0, tables, size)]


def _of_tables(counts: Indices) -> tuple[Array, Array]:
    """Returns NMI and guess (R,) of tables (R, A, B)."""
    guess = counts.max(axis=-2).sum(axis=-1) / counts.sum(axis=(-2, -1))
    return estimated_mutual_information(counts), np.asarray(guess)


def _measured(u: Indices, v: Indices) -> tuple[Array, Array]:
    """Returns NMI and guess (R,) of codes (R, N): as `_of_tables`, without empty cells."""
    runs, n = u.shape
    values = int(u.max()) + 1
    entropies = []  # of u, of v, of both; Miller and Madow's
    for codes in (u, v):
        size = int(codes.max()) + 1
        each = np.bincount((codes + size * np.arange(runs)[:, None]).ravel(), minlength=runs * size)
        each = each.reshape(runs, size)
        entropies.append(entropy(each / n, 1) + (np.count_nonzero(each, axis=1) - 1) / (2 * n))
    of_each, counts, met = _levels(v * values + u)
    own = np.bincount(of_each, counts * np.log(counts), minlength=runs) / n
    entropies.append(math.log(n) - own + (np.bincount(of_each, minlength=runs) - 1) / (2 * n))
    column = met // values
    first = np.flatnonzero(np.r_[True, (np.diff(column) != 0) | (np.diff(of_each) != 0)])
    right = np.bincount(of_each[first], np.maximum.reduceat(counts, first), minlength=runs) / n
    both = entropies[0] + entropies[1]
    return np.asarray(np.where(both > 0, 2 * (both - entropies[2]) / np.where(both > 0, both, 1), np.nan)), right


def _levels(codes: Indices) -> tuple[Indices, Indices, Indices]:
    """Returns of codes (R, N), for every one that occurs in a row: the row, how often it does, and the code."""
    ordered = np.sort(codes, axis=1)
    new = np.ones(ordered.shape, bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, ordered.size))
    return starts // codes.shape[1], counts, ordered.ravel()[starts]


def _small_way(counts: Indices, rng: np.random.Generator) -> tuple[Draws, Callable[[float], float]]:
    """Returns what draws estimates of a law of the way, and its NMI."""
    n = int(counts.sum())
    seen = counts / n
    apart = np.outer(seen.sum(axis=1), seen.sum(axis=0))
    tied = np.maximum(seen - apart, 0)
    if tied.sum() < TIE:  # exactly independent: any way out will do
        ranks = (np.repeat(np.arange(size), counts.sum(axis=1 - axis)) for axis, size in enumerate(counts.shape))
        tied = counted(*ranks).astype(np.float64)
    tied /= tied.sum()

    def law(at: float) -> Array:
        return (1 - at) * apart + at * seen if at <= 1 else (2 - at) * seen + (at - 1) * tied

    def draws(at: float, size: int) -> Array:
        shares = law(at).ravel()
        drawn = rng.multinomial(n, shares / shares.sum(), size=size).reshape(size, *counts.shape)
        found = estimated_mutual_information(drawn)
        return np.asarray(found[~np.isnan(found)])

    return draws, lambda at: float(normalised_mutual_information(law(at)))


def _large_way(u: Indices, v: Indices, rng: np.random.Generator) -> tuple[Draws, Callable[[float], float]]:
    """Returns the same of a large table; its laws are shares of cells that occur, and of independence."""
    n, values = len(u), int(u.max()) + 1
    _, counts, codes = _levels((v * values + u)[None])
    rows, columns = codes % values, codes // values
    margins = np.bincount(u) / n, np.bincount(v) / n
    apart = margins[0][rows] * margins[1][columns]  # of the cells that occur
    seen = counts / n
    tied = np.maximum(seen - apart, 0)
    tied = tied / tied.sum() if tied.sum() > TIE else seen

    def draws(at: float, size: int) -> Array:
        edges = np.cumsum(seen if at <= 1 else (2 - at) * seen + (at - 1) * tied)

        def some(count: int) -> Array:
            cells = np.searchsorted(edges[:-1], rng.random((count, n)) * edges[-1], side="right")
            us, vs = rows[cells], columns[cells]
            if at < 1:
                loose = rng.random((count, n)) >= at
                vs[loose] = v[rng.integers(n, size=int(loose.sum()))]
            return _measured(us, vs)[0]

        return np.concatenate([some(count) for count in _pieces(size, n)])

    def nmi(at: float) -> float:
        if at > 1:
            shares = (2 - at) * seen + (at - 1) * tied
            both = float(entropy(shares))
            alone = sum(float(entropy(np.bincount(of, shares))) for of in (rows, columns))
        else:
            alone = sum(float(entropy(margin)) for margin in margins)
            both = float(entropy(at * seen + (1 - at) * apart))
            if at < 1:  # cells that do not occur hold (1 - at) of what independence would give them
                rest = max(0.0, 1.0 - float(apart.sum()))
                both += (1 - at) * (alone - float(entropy(apart)) - rest * math.log(1 - at))
        return 2 * (alone - both) / alone

    return draws, nmi
