"""Whether a simulator ranks and rates as another column of rates does: MMRV and Pearson, as SimplerEnv defines them.

MMRV (mean maximum rank violation) = mean_i max_j |R_i - R_j| * [(S_i > S_j) != (R_i > R_j)], S the simulator's rates, R
the others (a real robot's): by how much of R the worst wrongly ordered pair of each entry differs; 0 is best. The
formula is of SimplerEnv (arXiv 2405.05941), whose published figures are test vectors (tests/diagnostics/comparing).

A bootstrap of it covers 60 to 72 % where 95 are asked for: names that are drawn twice cannot be ordered wrongly with
themselves. So its bounds are of another kind: every rate has an exact interval, all of them together hold in 95 % of
cases, and no rates inside them have an MMRV beyond the bounds. They hold the MMRV of *these* names at least so often,
mostly always, and are wide (docs/statistics.md).
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toyshift.core.arrays import Array
from toyshift.core.errors import FileError, UnknownNameError
from toyshift.diagnostics.score_intervals import normal_quantile
from toyshift.diagnostics.statistics import CONFIDENCE, Estimate, Rate

LEAST = 3  # entries; two are ordered rightly or wrongly, and always lie on a line
LINE = 1e-9  # a correlation nearer to 1 or -1 is of points on a line
COLUMNS, EPISODES = ("name", "rate"), "episodes"


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How two columns of rates agree.

    Attributes:
        names: what was compared, in order.
        here, there: rates of each.
        mmrv: mean maximum rank violation, with bounds for the true rates of these names; nan where undefined.
        pearson: correlation, with Fisher's interval for names of their kind; likewise.
        exact: whether the rates there are taken for the true ones, since nobody says how many episodes they are of.
        why: what is undefined, and why; "" where nothing is.
    """

    names: tuple[str, ...]
    here: tuple[float, ...]
    there: tuple[float, ...]
    mmrv: Estimate
    pearson: Estimate
    exact: bool
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"mmrv": self.mmrv.to_json(), "pearson": self.pearson.to_json()}


def mmrv(here: ArrayLike, there: ArrayLike) -> Array:
    """Returns the mean maximum rank violation of rates (..., n) against those there, (..., n)."""
    s, r = np.asarray(here, dtype=np.float64), np.asarray(there, dtype=np.float64)
    wrong = (s[..., :, None] > s[..., None, :]) != (r[..., :, None] > r[..., None, :])
    return np.asarray((np.abs(r[..., :, None] - r[..., None, :]) * wrong).max(-1).mean(-1))


def pearson(here: ArrayLike, there: ArrayLike) -> Array:
    """Returns Pearson's correlation of rates (..., n) with those there, (..., n); nan where a column is constant."""
    s, r = np.asarray(here, dtype=np.float64), np.asarray(there, dtype=np.float64)
    constant = (np.ptp(s, axis=-1) == 0) | (np.ptp(r, axis=-1) == 0)
    s, r = s - s.mean(-1, keepdims=True), r - r.mean(-1, keepdims=True)
    spread = np.sqrt((s**2).sum(-1) * (r**2).sum(-1))
    return np.where(constant, np.nan, (s * r).sum(-1) / np.where(constant, 1.0, spread))


def rate_bounds(rates: Sequence[Rate], confidence: float) -> tuple[Array, Array]:
    """Returns exact (Clopper and Pearson's) bounds (n,) of rates; those without episodes are known.

    Wilson's cover less than they say at the levels at which many intervals hold together.
    """
    from scipy.stats import beta

    value = np.array([rate.value for rate in rates])
    n = np.array([rate.episodes or 0 for rate in rates], dtype=np.float64)
    k, tail = np.round(value * n), 0.5 - confidence / 2
    with np.errstate(invalid="ignore"):
        low = np.where(k > 0, beta.ppf(tail, k, n - k + 1), 0.0)
        high = np.where(k < n, beta.isf(tail, k + 1, n - k), 1.0)
    return np.where(n > 0, low, value), np.where(n > 0, high, value)


def mmrv_bounds(here: tuple[Array, Array], there: tuple[Array, Array]) -> tuple[float, float]:
    """Returns bounds that the MMRV of no rates between these exceeds: of every pair the least and the most violation.

    Pairs are taken one by one, so the bounds may lie further out than any rates do.

    Args:
        here: least and largest rates (n,) of the simulator.
        there: of the others.
    """
    s_low, s_high, r_low, r_high = (x[:, None] for x in (*here, *there))
    s_above, s_not = s_high > s_low.T, s_low <= s_high.T  # S_i > S_j can be; S_i <= S_j can be
    # (S_i > S_j, R_i <= R_j), and (S_i <= S_j, R_i > R_j)
    most = np.maximum((r_high.T - r_low) * s_above, (r_high - r_low.T) * s_not).clip(0.0)
    least = np.maximum((r_low.T - r_high) * ~s_not, (r_low - r_high.T) * ~s_above).clip(0.0)
    for pairs in (most, least):
        np.fill_diagonal(pairs, 0.0)
    return float(least.max(-1).mean()), float(most.max(-1).mean())


def fisher(correlation: float, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Returns Fisher's interval of a correlation of n points; all that it can be of three, and of points on a line."""
    if n <= LEAST or abs(correlation) > 1 - LINE:
        return -1.0, 1.0
    middle, reach = math.atanh(correlation), normal_quantile(confidence) / math.sqrt(n - 3)
    return math.tanh(middle - reach), math.tanh(middle + reach)


def agreement(here: Mapping[str, Rate], there: Mapping[str, Rate]) -> Agreement:
    """Compares the rates of the names that both have.

    MMRV's bounds hold what it is of the true rates of these names, on these objects (episodes are independent draws),
    in at least 95 % of cases, mostly in all. Pearson's interval is of what the correlation would be with other names of
    their kind, where figures are normal: it takes the rates as they are (docs/statistics.md).

    Args:
        here: name -> the simulator's rate.
        there: name -> the other one's.
    """
    names = tuple(name for name in there if name in here)
    ours, others = [here[x] for x in names], [there[x] for x in names]
    s, r = np.array([rate.value for rate in ours]), np.array([rate.value for rate in others])
    undefined = Estimate(math.nan, math.nan, math.nan, len(names))
    exact = any(rate.episodes is None for rate in others)
    columns = tuple(map(float, s)), tuple(map(float, r))
    if len(names) < LEAST:
        why = f"MMRV and Pearson are undefined for fewer than {LEAST} names in common"
        return Agreement(names, *columns, undefined, undefined, exact, why)
    if np.ptp(r) == 0:
        why = "MMRV and Pearson are undefined: the rates to compare with are all the same, and rank nothing"
        return Agreement(names, *columns, undefined, undefined, exact, why)
    measured = sum(rate.episodes is not None for rate in (*ours, *others))
    together = 1 - (1 - CONFIDENCE) / max(1, measured)  # Bonferroni: all hold at once
    bounds = mmrv_bounds(rate_bounds(ours, together), rate_bounds(others, together))
    ranks = Estimate(float(mmrv(s, r)), *bounds, len(names))
    if np.ptp(s) == 0:
        why = "Pearson is undefined: success is the same for all names here"
        return Agreement(names, *columns, ranks, undefined, exact, why)
    value = float(pearson(s, r))
    return Agreement(names, *columns, ranks, Estimate(value, *fisher(value, len(names)), len(names)), exact)


def read_rates(path: Path, known: Collection[str]) -> dict[str, Rate]:
    """Reads a CSV table with the columns name and rate, and perhaps episodes.

    Args:
        path: the table, in UTF-8.
        known: names that there are.

    Raises:
        FileError: it cannot be read, lacks a column, names something twice gives no rate from 0 to 1 or no number of
            episodes.
        UnknownNameError: a name that is not known.
    """
    rates: dict[str, Rate] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            there = list(table.fieldnames or ())
            if missing := [column for column in COLUMNS if column not in there]:
                told = f"{path} has no column {' and '.join(missing)}"
                raise FileError(f"{told}; it has: {', '.join(there) or 'none'}. The first line names them: name,rate")
            lines = [(table.line_num, line) for line in table]
    except OSError as error:
        raise FileError(f"{path} cannot be read ({error.strerror or error}); give a CSV file: name,rate") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} is no readable table ({error})") from error
    for number, line in lines:
        where = f"{path}, line {number}"
        name, text = (line[column] for column in COLUMNS)
        if not name or text is None:
            raise FileError(f"{where}: a line is a name and a rate, such as camera-azimuth=3,0.4")
        name = name.strip()
        if name in rates:
            raise FileError(f"{where}: {name!r} is named twice")
        if name not in known:
            raise UnknownNameError(f"name of {where}", name, known)
        rates[name] = Rate(_rate(text, where), _episodes(line[EPISODES], where) if EPISODES in there else None)
    if not rates:
        raise FileError(f"{path} holds no rates")
    return rates


def _rate(text: str, where: str) -> float:
    told = f"{where}: the rate is {text!r}; it must be a number from 0 to 1"
    try:
        value = float(text)
    except ValueError:
        raise FileError(told) from None
    if not 0.0 <= value <= 1.0:  # refuses nan too
        raise FileError(f"{told}{': 40 % is 0.4' if value > 1 else ''}")
    return value


def _episodes(text: str | None, where: str) -> int:
    if text is None or not text.strip().isdecimal() or int(text) < 1:
        raise FileError(f"{where}: episodes is {text!r}; it must be a whole number of at least 1")
    return int(text)
