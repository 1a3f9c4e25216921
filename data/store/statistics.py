"""Statistics of a dataset that is read once: exact moments, image histograms, and quantiles over thinned rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Stats = dict[str, NDArray[Any]]

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
# Rows kept for quantiles; beyond it every second one is dropped, so that memory stays bounded.
MAX_ROWS = 400_000


def array_stats(rows: NDArray[Any]) -> Stats:
    """Returns min, max, mean, std, count and quantiles of (T, n) rows; each (n,), count (1,)."""
    values = rows.astype(np.float64)
    out: Stats = {name: getattr(values, name)(0) for name in ("min", "max", "mean", "std")}
    out["count"] = np.array([len(rows)])
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    return out | dict(zip(QUANTILES, quantiles, strict=True))


def histogram_stats(histogram: NDArray[np.int64], frames: int) -> Stats:
    """Returns the same for pixels in 0..1 from counts (3, 256); each (3, 1, 1) as LeRobot has it, count in frames."""
    level = np.arange(256) / 255.0
    total = histogram.sum(1)  # (3,)
    mean = histogram @ level / total
    variance = (histogram * (level[None] - mean[:, None]) ** 2).sum(1) / total
    cumulative = histogram.cumsum(1)
    out: Stats = {
        "min": np.array([level[np.flatnonzero(h)[0]] for h in histogram]),
        "max": np.array([level[np.flatnonzero(h)[-1]] for h in histogram]),
        "mean": mean,
        "std": np.sqrt(variance),
    }
    for name, q in QUANTILES.items():
        out[name] = np.array([level[np.searchsorted(c, q * n)] for c, n in zip(cumulative, total, strict=True)])
    return {k: v.reshape(3, 1, 1) for k, v in out.items()} | {"count": np.array([frames])}


class RunningStats:
    """Statistics of one column over all episodes, with bounded memory."""

    def __init__(self) -> None:
        self._count = 0
        self._mean: NDArray[np.float64] = np.zeros(1)
        self._square: NDArray[np.float64] = np.zeros(1)
        self._low: NDArray[np.float64] = np.full(1, np.inf)
        self._high: NDArray[np.float64] = np.full(1, -np.inf)
        self._rows: list[NDArray[Any]] = []
        self._kept = 0
        self._stride = 1

    def add(self, rows: NDArray[Any]) -> None:
        """Takes in (T, n) rows."""
        values = rows.astype(np.float64)
        count = self._count + len(values)
        # Chan's parallel update of mean and sum of squared deviations: no cancellation over millions of frames.
        mean, square = values.mean(0), ((values - values.mean(0)) ** 2).sum(0)
        delta = mean - self._mean
        self._square = self._square + square + delta**2 * (self._count * len(values) / count)
        self._mean = self._mean + delta * (len(values) / count)
        self._low, self._high = np.minimum(self._low, values.min(0)), np.maximum(self._high, values.max(0))
        first = -self._count % self._stride
        self._rows.append(rows[first :: self._stride].copy())
        self._kept += len(self._rows[-1])
        self._count = count
        if self._kept > MAX_ROWS:
            self._rows = [np.concatenate(self._rows)[::2].copy()]
            self._kept = len(self._rows[0])
            self._stride *= 2

    def result(self) -> Stats:
        """Returns what `array_stats` returns; quantiles are exact up to MAX_ROWS rows."""
        std = np.sqrt(self._square / self._count)
        out: Stats = {"min": self._low, "max": self._high, "mean": self._mean, "std": std}
        out["count"] = np.array([self._count])
        quantiles = np.quantile(np.concatenate(self._rows), list(QUANTILES.values()), axis=0)
        return out | dict(zip(QUANTILES, quantiles, strict=True))
