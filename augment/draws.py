"""Distributions of a factor, as a spec writes them: `-30:30` is uniform, `0,3,5` one of several, `any` the whole range.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from toyshift.core.errors import ConfigError

ANY = "any"
WORDS = "LOW:HIGH (uniform), A,B,C (one of them), A (always) or any (the factor's whole range)"


@dataclasses.dataclass(frozen=True)
class FactorSpan:
    """What a factor may be: from `low` to `high`, whole numbers or a continuum."""

    name: str
    low: float
    high: float
    whole: bool = False


@dataclasses.dataclass(frozen=True)
class Draw:
    """A distribution: one of `values` where there are any, else uniform from `low` to `high`, None for the whole span.
    """

    low: float | None = None
    high: float | None = None
    values: tuple[float, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Draw:
        """Reads what `WORDS` says; raises ConfigError."""
        if text == ANY:
            return cls()
        low, colon, high = text.partition(":")
        try:
            numbers = [float(part) for part in ((low, high) if colon else text.split(","))]
        except ValueError:
            numbers = []
        if not numbers or not all(map(math.isfinite, numbers)):
            raise ConfigError(f"it must be {WORDS}")
        if colon and low and numbers[0] > numbers[1]:
            raise ConfigError("the lower end stands first")
        return cls(numbers[0], numbers[1]) if colon else cls(values=tuple(numbers))

    def __str__(self) -> str:
        if self.values:
            return ",".join(f"{value:g}" for value in self.values)
        return ANY if self.low is None else f"{self.low:g}:{self.high:g}"

    def check(self, span: FactorSpan) -> None:
        """Refuses what is not within a factor's span."""
        numbers = self.values or ((self.low, self.high) if self.low is not None and self.high is not None else ())
        for number in numbers:
            if not span.low <= number <= span.high or (span.whole and number != int(number)):
                kind = "whole numbers" if span.whole else "it is"
                raise ConfigError(f"{span.name} is {self}; {kind} from {span.low:g} to {span.high:g}")

    def draw(self, span: FactorSpan, rng: np.random.Generator) -> float:
        """Draws a value; takes one number of `rng` in any case."""
        share = float(rng.random())
        if self.values:
            value = self.values[int(share * len(self.values))]
            return int(value) if span.whole else value
        low, high = (span.low, span.high) if self.low is None or self.high is None else (self.low, self.high)
        return math.floor(low + share * (high - low + 1)) if span.whole else low + (high - low) * share


