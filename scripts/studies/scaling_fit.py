"""A curve of success over the number of toys and of demonstrations, fitted to counts, with intervals for new objects.

    logit(success) = ceiling - gap * toys ** -power + slope * log10(demonstrations / reference)

`ceiling` is the logit with very many toys and `reference` demonstrations, `gap` what one toy lacks of it, `power` how
fast that is made up, `slope` what ten times as many demonstrations add. Fitted by maximum likelihood (scipy); objects
are resampled whole, with all that every policy did with them, and the curve fitted again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from toyshift.core.arrays import Array

NAMES = ("ceiling", "gap", "power", "slope")
LOW, HIGH = np.array([-8.0, -8.0, 0.1, -8.0]), np.array([8.0, 8.0, 5.0, 8.0])
START = np.array([1.0, 1.0, 0.7, 0.5])
FEWEST_TOYS, FEWEST_DEMOS = 3, 2  # different numbers of them, below which a curve is not determined
RESAMPLES = 400


class ScalingGrid(NamedTuple):
    """Of each cell the number of toys and of demonstrations, (C,); and the demonstrations at which ceilings are told.
    """

    toys: Array
    demos: Array
    reference: float

    @classmethod
    def of(cls, cells: Sequence[tuple[int, int]], reference: float) -> ScalingGrid:
        toys, demos = (np.array(column, dtype=np.float64) for column in zip(*cells, strict=True))
        return cls(toys, demos, reference)

    @property
    def determines(self) -> bool:
        """Whether there are enough different numbers for a curve."""
        enough = len(np.unique(self.toys)) >= FEWEST_TOYS and len(np.unique(self.demos)) >= FEWEST_DEMOS
        return enough and len(self.toys) > len(NAMES)

    def rates(self, parameters: Array) -> Array:
        """Returns the success (..., C) of parameters (..., 4) in the order of NAMES."""
        from scipy.special import expit

        ceiling, gap, power, slope = np.moveaxis(np.asarray(parameters)[..., None], -2, 0)
        logit = ceiling - gap * self.toys**-power + slope * np.log10(self.demos / self.reference)
        return np.asarray(expit(logit))


def fit_curve(grid: ScalingGrid, k: ArrayLike, n: ArrayLike, start: ArrayLike = START) -> Array:
    """Returns the parameters (4,) under which k successes of n episodes in each cell (C,) are most likely."""
    from scipy.optimize import least_squares
    from scipy.special import xlogy

    wins, size = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    seen = wins / size
    most = xlogy(wins, seen) + xlogy(size - wins, 1 - seen)

    def deviances(parameters: Array) -> Array:  # whose squares add up to -2 log likelihood, but for a constant
        p = np.clip(grid.rates(parameters), 1e-9, 1 - 1e-9)
        deviance = 2 * (most - wins * np.log(p) - (size - wins) * np.log1p(-p))
        return np.asarray(np.sign(seen - p) * np.sqrt(np.maximum(deviance, 0.0)))

    def slopes(parameters: Array) -> Array:
        p = np.clip(grid.rates(parameters), 1e-9, 1 - 1e-9)
        found = deviances(parameters)
        with np.errstate(divide="ignore", invalid="ignore"):  # at the data itself the root's slope is -sqrt(n p (1-p))
            by_logit = np.where(np.abs(found) > 1e-4, -size * (seen - p) / found, -np.sqrt(size * p * (1 - p)))
        shrunk = grid.toys ** -parameters[2]
        of_power = parameters[1] * shrunk * np.log(grid.toys)
        of_demos = np.log10(grid.demos / grid.reference)
        return np.asarray(by_logit[:, None] * np.stack([np.ones_like(shrunk), -shrunk, of_power, of_demos], axis=1))

    inside = np.clip(start, LOW + 1e-6, HIGH - 1e-6)
    return np.asarray(least_squares(deviances, inside, jac=slopes, bounds=(LOW, HIGH), x_scale="jac").x)


@dataclasses.dataclass(frozen=True, eq=False)
class ScalingFit:
    """A fitted curve.

    Attributes:
        grid: the cells that it was fitted to.
        parameters: (4,) in the order of NAMES.
        resampled: (R, 4) those of resampled objects.
        objects: how many there are.
        misses: (C,) success in each cell minus the curve's.
    """

    grid: ScalingGrid
    parameters: Array
    resampled: Array
    objects: int
    misses: Array

    def band(self, toys: ArrayLike, demos: float) -> Array:
        """Returns value, low and high (3, len(toys)) of the curve: percentiles of the resampled ones."""
        from toyshift.diagnostics.statistics import CONFIDENCE, bootstrap_tail

        many = np.asarray(toys, dtype=np.float64)
        grid = ScalingGrid(many, np.full(len(many), demos), self.grid.reference)
        tail = bootstrap_tail(self.objects, CONFIDENCE)
        ends = np.quantile(grid.rates(self.resampled), [tail, 1 - tail], axis=0)
        return np.concatenate([grid.rates(self.parameters)[None], ends])

    def interval(self, name: str) -> tuple[float, float, float]:
        """Returns a parameter with its interval: Student's, of how far the resampled ones spread (powers: their logs).

        Percentiles of them would hold the parameter less often than they say.
        """
        from scipy.stats import t

        from toyshift.diagnostics.statistics import CONFIDENCE

        i, m = NAMES.index(name), self.objects
        value, again = self.parameters[i], self.resampled[:, i]
        spread = np.sqrt(m / (m - 1)) * (np.log(again) if name == "power" else again).std()
        reach = spread * t.ppf(0.5 + CONFIDENCE / 2, m - 1)
        if name == "power":
            return float(value), float(value * np.exp(-reach)), float(value * np.exp(reach))
        return float(value), float(value - reach), float(value + reach)

    def is_determined(self, name: str) -> bool:
        """Whether a parameter's interval keeps within what is looked for; else the rows do not tell it."""
        i = NAMES.index(name)
        _, low, high = self.interval(name)
        return bool(low > LOW[i] and high < HIGH[i])

    def to_json(self) -> dict[str, Any]:
        told = {name: {"value_low_high": list(self.interval(name)), "told": self.is_determined(name)} for name in NAMES}
        worst = float(self.misses[np.argmax(np.abs(self.misses))])
        return {"reference": self.grid.reference, "cells": len(self.misses), "worst_miss": worst, **told}


def fit_with_intervals(grid: ScalingGrid, k: Array, n: Array, seed: int = 0, resamples: int = RESAMPLES) -> ScalingFit:
    """Fits the curve to k successes of n episodes by object and cell (O > 1, C), and to resampled objects.

    The intervals speak of new objects and of these policies: not of newly drawn toys or newly trained policies.
    """
    rng = np.random.default_rng(seed)
    wins, size = k.sum(0), n.sum(0)
    parameters = fit_curve(grid, wins, size)
    again = []
    for counts in rng.multinomial(len(k), np.full(len(k), 1 / len(k)), size=resamples):
        drawn = counts @ n
        met = drawn > 0  # an object that few cells met may be missing
        some = ScalingGrid(grid.toys[met], grid.demos[met], grid.reference)
        again.append(fit_curve(some, (counts @ k)[met], drawn[met], parameters))
    misses = wins / size - grid.rates(parameters)
    return ScalingFit(grid, parameters, np.array(again), len(k), misses)
