"""How the report writes figures: rates, intervals, differences and p values, as text for people."""

from __future__ import annotations

import math

from toyshift.diagnostics.statistics import Estimate


def percent(rate: float, digits: int = 0) -> str:
    """Returns a rate as "61 %", with a no-break space; a rate that is not exactly 0 or 1 never looks as if it were."""
    if 0 < rate < 0.5 * 10 ** -(digits + 2):
        return f"<{10.0 ** -digits:.{digits}f}\u00a0%"
    if 1 > rate > 1 - 0.5 * 10 ** -(digits + 2):
        return f">{100 - 10.0 ** -digits:.{digits}f}\u00a0%"
    return f"{100 * rate:.{digits}f}\u00a0%"


def span(interval: tuple[float, float]) -> str:
    """Returns an interval of rates as "54\u201367 %"."""
    low, high = interval
    return f"{100 * low:.0f}\u2013{100 * high:.0f}\u00a0%"


def points(value: float) -> str:
    """Returns a difference of rates in percentage points with its sign, a true minus."""
    text = f"{100 * value:+.0f}"
    return ("0" if text in {"+0", "-0"} else text).replace("-", "\u2212")


def short(value: float) -> str:
    """Returns a number for an axis: 12000 as "12k", 0.05 as "0.05"."""
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g}{letter}"
    return f"{value:.3g}"


def number(value: float, digits: int = 2) -> str:
    return "\u221e" if value == math.inf else "\u2013" if math.isnan(value) else f"{value:.{digits}f}"


def between(estimate: Estimate, digits: int = 2) -> str:
    return f"{number(estimate.low, digits)}\u2013{number(estimate.high, digits)}"


def p_value(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
