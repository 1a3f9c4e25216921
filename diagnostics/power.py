"""How many episodes a comparison of two policies needs, and what a given number can see.

Formulas (`docs/statistics.md`): Connor's (1987) for shared starts, made exact for McNemar's exact test; the difference
of two proportions (Fleiss, 1981) for unpaired ones; for new objects a design effect 1 + (each - 1) icc, and Student's t
with a degree of freedom less than objects. The tests compare all of them with simulations.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from toyshift.core.errors import ConfigError
from toyshift.core.fields import check_fields, check_ranges

MOST = 10_000_000  # episodes; beyond it a plan is no plan


@dataclasses.dataclass(frozen=True)
class Design:
    """What is to be seen, and how episodes resemble each other.

    Attributes:
        rate: success of one policy.
        difference: success of the other one minus it.
        power: how often the difference is to be found.
        confidence: of the test: 1 minus the false alarms that are allowed.
        comparisons: made together; the test is done as Holm's worst case asks for.
        correlation: of the outcomes of both policies on one start; None where starts are not shared.
        each: episodes of an object.
        icc: correlation of the differences (of the outcomes, where unpaired) within an object.

    Raises:
        ConfigError: a figure is out of range, or no two policies can have these rates and this correlation.
    """

    rate: float
    difference: float
    power: float = 0.8
    confidence: float = 0.95
    comparisons: int = 1
    correlation: float | None = None
    each: int = 5
    icc: float = 0.1

    def __post_init__(self) -> None:
        check_fields(self)
        check_ranges(self, {"correlation": (-1, 1)})
        for name, value in (("rate", self.rate), ("rate plus difference", self.other)):
            if not 0 <= value <= 1:
                raise ConfigError(f"the {name} is {100 * value:g} %; it must lie between 0 and 100 %")
        if not self.difference:
            raise ConfigError("a difference of 0 needs no episodes to be missed; give one that would matter")
        if not 0 <= self.icc <= 1 or self.each < 1 or self.comparisons < 1:
            raise ConfigError("an icc lies between 0 and 1, and there is at least 1 episode of an object, 1 comparison")
        if not 0 < self.alpha < 1 or not self.alpha < self.power < 1:
            raise ConfigError(f"a power of {100 * self.power:g} % must lie between false alarms and 100 %")
        if self.correlation is not None and self.separating < abs(self.difference) - 1e-12:
            most = (self.apart - abs(self.difference)) / (2 * self._spread)
            raise ConfigError(f"these rates allow a correlation of at most {most:.2f}, not {self.correlation:g}")
        largest = min(self.rate + self.other, 2 - self.rate - self.other)  # no start is solved, or missed, by both
        if self.correlation is not None and self.separating > largest + 1e-12:
            least = (self.apart - largest) / (2 * self._spread)
            raise ConfigError(f"these rates allow a correlation of at least {least:.2f}, not {self.correlation:g}")

    @property
    def other(self) -> float:
        """Success of the other policy."""
        return self.rate + self.difference

    @property
    def alpha(self) -> float:
        """False alarms that are allowed to one comparison."""
        return (1 - self.confidence) / self.comparisons

    @property
    def apart(self) -> float:
        """Share of starts that only one of both would solve if outcomes did not depend on starts."""
        return self.rate * (1 - self.other) + self.other * (1 - self.rate)

    @property
    def _spread(self) -> float:
        return math.sqrt(self.rate * (1 - self.rate) * self.other * (1 - self.other))

    @property
    def separating(self) -> float:
        """Share of starts that only one of both solves."""
        return self.apart - 2 * (self.correlation or 0.0) * self._spread

    @property
    def effect(self) -> float:
        """Design effect for new objects."""
        return 1 + (self.each - 1) * self.icc

    @property
    def deviations(self) -> tuple[float, float]:
        """Standard deviations of a difference of one episode each: without a difference, and with it."""
        if self.correlation is not None:
            return _of_pairs(self.difference, self.separating)
        mean = (self.rate + self.other) / 2
        own = self.rate * (1 - self.rate) + self.other * (1 - self.other)
        return math.sqrt(2 * mean * (1 - mean)), math.sqrt(own)


def _of_pairs(difference: float, separating: float) -> tuple[float, float]:
    """Returns `Design.deviations` of shared starts."""
    return math.sqrt(separating), math.sqrt(max(0.0, separating - difference**2))


def power_for_episodes(design: Design, n: int) -> float:
    """Returns how often n episodes (of each policy) find the difference on these objects."""
    if design.correlation is not None:
        return pairs_power(n, design.difference, design.separating, design.alpha)
    from scipy.stats import norm

    null, own = design.deviations
    return float(norm.cdf((abs(design.difference) * math.sqrt(n) - norm.isf(design.alpha / 2) * null) / (own or 1e-9)))


def pairs_power(n: int, difference: float, separating: float, alpha: float) -> float:
    """Returns the power of McNemar's exact test: over how many starts separate, and how many of those lean one way.

    Args:
        n: starts that both policies meet.
        difference: true one of the success rates.
        separating: share of the starts that only one of both solves.
        alpha: two-sided level.
    """
    from scipy.stats import binom

    separating = min(1.0, separating)
    lean = min(1.0, (separating + abs(difference)) / (2 * separating))
    middle, reach = n * separating, 9 * math.sqrt(n * separating * (1 - separating)) + 9  # no count is beyond it
    counts = np.arange(max(0, math.floor(middle - reach)), min(n, math.ceil(middle + reach)) + 1)
    worst = binom.ppf(alpha / 2, counts, 0.5)  # fewest on the losing side that need not be rejected
    worst -= 2 * binom.cdf(worst, counts, 0.5) > alpha
    found = binom.sf(counts - worst - 1, counts, lean) + binom.cdf(worst, counts, lean)
    return float(np.sum(binom.pmf(counts, n, separating) * np.where(worst < 0, 0.0, found)))


def power_for_objects(design: Design, objects: int) -> float:
    """Returns how often so many objects, `each` episodes of them, find the difference for new objects."""
    from scipy.stats import nct, t

    if objects < 2:
        return 0.0
    null, own = design.deviations
    free = objects - 1
    own = max(own, 1e-3)  # where every start separates in one direction
    expected = abs(design.difference) * math.sqrt(objects * design.each / design.effect) / own
    if expected > 30:
        return 1.0  # where SciPy's noncentral t is no longer accurate
    return float(nct.sf(t.isf(design.alpha / 2, free) * null / own, free, expected))


def episodes_needed(design: Design) -> int:
    """Returns how many episodes of each policy find the difference on these objects with the design's power."""
    if design.correlation is not None:
        return pairs_needed(design.difference, design.separating, design.power, design.alpha)
    power_of = functools.partial(power_for_episodes, design)
    return _fewest(power_of, design.difference, design.deviations, design.power, design.alpha)


def pairs_needed(difference: float, separating: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Returns how many shared starts McNemar's exact test needs to find a difference, looked at once.

    Args:
        difference: that is to be found; for one that was seen, the answer would say nothing beyond its p.
        separating: share of the starts that only one of both policies solves, at least |difference|.
        power: how often it is to be found.
        alpha: two-sided level.
    """
    if not 0 < abs(difference) <= separating + 1e-12:
        told = f"where {100 * separating:g} % of the starts separate two policies"
        raise ConfigError(f"{told}, no difference of {100 * difference:g} points can be planned for")
    power_of = functools.partial(pairs_power, difference=difference, separating=separating, alpha=alpha)
    return _fewest(power_of, difference, _of_pairs(difference, separating), power, alpha)


def _fewest(
    power_of: Callable[[int], float], difference: float, deviations: tuple[float, float], power: float, alpha: float
) -> int:
    """Returns the first n from that of the formula on that has the power: an exact test needs a few more."""
    from scipy.stats import norm

    null, own = deviations
    reach = norm.isf(alpha / 2) * null + norm.ppf(power) * own
    n = max(1, math.ceil(float(reach / difference) ** 2))
    _require(n, difference)
    while power_of(n) < power:
        n += max(1, n // 200)
    return n


def objects_needed(design: Design) -> int:
    """Returns how many objects, `each` episodes of them, find the difference for new objects."""
    from scipy.stats import norm

    null, own = design.deviations
    reach = norm.isf(design.alpha / 2) * null + norm.ppf(design.power) * own
    objects = max(2, math.ceil(float(reach / design.difference) ** 2 * design.effect / design.each))
    _require(objects * design.each, design.difference)
    while power_for_objects(design, objects) < design.power:  # Student's t needs a few more than the normal quantile
        objects += max(1, objects // 200)
    return objects


def _require(episodes: int, difference: float) -> None:
    if episodes > MOST:
        told = f"{abs(100 * difference):g} points need about {episodes:,} episodes"
        raise ConfigError(f"{told}, more than {MOST:,}: ask for a larger difference, or fewer episodes of each object")


@dataclasses.dataclass(frozen=True)
class PowerPlan:
    """What a design needs.

    Attributes:
        design: the design.
        episodes: of each policy, for these objects.
        objects: for new objects, `design.each` episodes of them.
        power: of a given number of episodes: for these objects, and for new ones; None where none was given.
    """

    design: Design
    episodes: int
    objects: int
    power: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "episodes_for_objects": self.objects * self.design.each}


def plan(design: Design, given: int = 0) -> PowerPlan:
    """Returns what a design needs, and the power of a given number of episodes of each policy (0 for none)."""
    power = None
    if given > MOST:
        raise ConfigError(f"episodes is {given:,}; it must be at most {MOST:,}")
    if given:
        power = power_for_episodes(design, given), power_for_objects(design, given // design.each)
    return PowerPlan(design, episodes_needed(design), objects_needed(design), power)
