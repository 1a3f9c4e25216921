"""Whether a simulator ranks and rates as another column of rates does: MMRV and Pearson, as SimplerEnv defines them.

MMRV (mean maximum rank violation) = mean_i max_j |R_i - R_j| * [(S_i > S_j) != (R_i > R_j)], S the simulator's rates, R
the others (a real robot's): by how much of R the worst wrongly ordered pair of each entry differs; 0 is best. The
formula is of SimplerEnv (arXiv 2405.05941), whose published figures are test vectors (tests/diagnostics/comparing).
"""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from toyshift.core.arrays import Array
from toyshift.core.errors import FileError, UnknownNameError
from toyshift.diagnostics.statistics import CONFIDENCE, RESAMPLES, Estimate

AT_ONCE = 4_000_000  # numbers of the resamples' matrices at a time
LEAST = 3  # entries; two are ordered rightly or wrongly, and always lie on a line
COLUMNS = ("name", "rate")


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How two columns of rates agree.

    Attributes:
        names: what was compared, in order.
        here, there: rates of each.
        mmrv: mean maximum rank violation, with a percentile interval over entries; nan where undefined.
        pearson: correlation, likewise.
        why: what is undefined, and why; "" where nothing is.
    """

    names: tuple[str, ...]
    here: tuple[float, ...]
    there: tuple[float, ...]
    mmrv: Estimate
    pearson: Estimate
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


def agreement(here: Mapping[str, float], there: Mapping[str, float], seed: int = 0) -> Agreement:
    """Compares the rates of the names that both have.

    The interval resamples names (conditions or policies): what it would be with others of their kind. It does not know
    how many episodes stand behind a rate, and is narrow, MMRV's by far (docs/statistics.md).

    Args:
        here: name -> the simulator's rate.
        there: name -> the other one's.
        seed: of the resampling.
    """
    names = tuple(name for name in there if name in here)
    s, r = np.array([here[x] for x in names]), np.array([there[x] for x in names])
    undefined = Estimate(math.nan, math.nan, math.nan, len(names))
    columns = tuple(map(float, s)), tuple(map(float, r))
    if len(names) < LEAST:
        why = f"MMRV and Pearson are undefined for fewer than {LEAST} names in common"
        return Agreement(names, *columns, undefined, undefined, why)
    if np.ptp(r) == 0:
        why = "MMRV and Pearson are undefined: the rates to compare with are all the same, and rank nothing"
        return Agreement(names, *columns, undefined, undefined, why)
    rng = np.random.default_rng(seed)
    which = rng.integers(0, len(names), (RESAMPLES, len(names)))
    tails = 0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2

    def estimate(value: Array, resampled: Array) -> Estimate:
        low, high = np.quantile(resampled[~np.isnan(resampled)], tails)
        return Estimate(float(value), float(low), float(high), len(names))

    # in parts, so that memory stays bounded: every resample has a matrix of names by names
    parts = np.array_split(which, math.ceil(which.size * len(names) / AT_ONCE))
    ranks = estimate(mmrv(s, r), np.concatenate([mmrv(s[part], r[part]) for part in parts]))
    if np.ptp(s) == 0:
        return Agreement(
            names, *columns, ranks, undefined, "Pearson is undefined: success is the same for all names here"
        )
    return Agreement(names, *columns, ranks, estimate(pearson(s, r), pearson(s[which], r[which])))


def read_rates(path: Path, known: Collection[str]) -> dict[str, float]:
    """Reads a CSV table with the columns name and rate.

    Args:
        path: the table, in UTF-8.
        known: names that there are.

    Raises:
        FileError: it cannot be read, lacks a column, names something twice or gives no rate from 0 to 1.
        UnknownNameError: a name that is not known.
    """
    rates: dict[str, float] = {}
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
        rates[name] = _rate(text, where)
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
