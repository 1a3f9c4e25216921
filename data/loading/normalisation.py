"""Statistics of states and actions, and the two published normalisations made of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Float32, Indices
from toyshift.core.contract import ActionContract
from toyshift.core.errors import ContractError, UnknownNameError

NORMALISATIONS = ("normal", "bounds_q99")
# Rows taken in at a time, and rows kept for a dataset's quantiles: memory stays bounded whatever the dataset's size.
BLOCK_ROWS = 1 << 17
QUANTILE_ROWS = 1 << 19
# Below this range an entry is taken as constant (float32 values of order one are not told apart closer than 1e-7).
CONSTANT = 1e-6

Stats = dict[str, Float32]


@dataclasses.dataclass(frozen=True, eq=False)
class Normalisation:
    """Maps physical vectors (..., n) to what a network trains on, and back.

    "normal" is (x - mean) / std; "bounds_q99" maps the 1 % and 99 % quantiles to -1 and 1 and clips beyond them.
    Entries outside `mask` stay physical (the gripper's command: 0 and 1 mean the same in every dataset); entries that
    never change become 0 and come back as their constant.

    Attributes:
        kind: one of NORMALISATIONS.
        centre: (n,) physical value that becomes 0.
        scale: (n,) physical distance that becomes 1; 0 where the entry never changes.
        mask: (n,) which entries are normalised.
    """

    kind: str
    centre: Float32
    scale: Float32
    mask: NDArray[np.bool_]

    @classmethod
    def of(cls, kind: str, stats: Stats, mask: NDArray[np.bool_] | None = None) -> Normalisation:
        """Makes one from a dataset's statistics.

        Args:
            kind: one of NORMALISATIONS.
            stats: mean, std, q01, q99, each (n,); see `weighted_stats`.
            mask: (n,) entries to normalise, or None for all.

        Raises:
            UnknownNameError: there is no such kind.
            ContractError: the mask has another size.
        """
        if kind not in NORMALISATIONS:
            raise UnknownNameError("normalisation", kind, NORMALISATIONS)
        chosen = np.ones(len(stats["mean"]), bool) if mask is None else np.asarray(mask, bool)
        if chosen.shape != stats["mean"].shape:
            raise ContractError(f"the mask has shape {chosen.shape}, the statistics {stats['mean'].shape}")
        if kind == "normal":
            centre, scale = stats["mean"], stats["std"]
        else:
            centre, scale = (stats["q99"] + stats["q01"]) / 2, (stats["q99"] - stats["q01"]) / 2
        return cls(kind, centre, np.where(scale < CONSTANT, np.float32(0), scale), chosen)

    def apply(self, values: NDArray[np.floating[Any]]) -> Float32:
        """Normalises physical values (..., n)."""
        out = np.where(self.scale > 0, (values - self.centre) / np.where(self.scale > 0, self.scale, 1), 0)
        if self.kind == "bounds_q99":
            out = np.clip(out, -1, 1)
        return np.where(self.mask, out, values).astype(np.float32)

    def restore(self, values: NDArray[np.floating[Any]]) -> Float32:
        """Returns physical values (..., n) of normalised ones."""
        return np.where(self.mask, values * self.scale + self.centre, values).astype(np.float32)

    @property
    def scaling(self) -> Stats:
        """What becomes 0 ("mean") and the distance that becomes 1 ("std"); 0 and 1 outside the mask."""
        zero, one = np.float32(0), np.float32(1)
        return {"mean": np.where(self.mask, self.centre, zero), "std": np.where(self.mask, self.scale, one)}

    def to_json(self) -> dict[str, Any]:
        """Returns what a checkpoint or a manifest keeps; `from_json` reads it."""
        return {"kind": self.kind} | {name: getattr(self, name).tolist() for name in ("centre", "scale", "mask")}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Normalisation:
        """Reads `to_json`.

        Raises:
            ContractError: it is none.
        """
        try:
            kind, arrays = str(value["kind"]), [np.asarray(value[k], np.float32) for k in ("centre", "scale")]
            mask = np.asarray(value["mask"], bool)
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"not a normalisation: {error!r}") from error
        if kind not in NORMALISATIONS:
            raise UnknownNameError("normalisation", kind, NORMALISATIONS)
        if len({a.shape for a in (*arrays, mask)}) != 1:
            raise ContractError("not a normalisation: centre, scale and mask differ in size")
        return cls(kind, arrays[0], arrays[1], mask)


def action_mask(contract: ActionContract) -> NDArray[np.bool_]:
    """Returns the action entries (A,) that are normalised: all but the gripper's, as Open X-Embodiment mixtures do."""
    return np.array(["gripper" not in name for name in contract.names])


def weighted_stats(
    columns: Sequence[NDArray[Any]], frames: Sequence[Indices], shares: Sequence[float],
    maps: Sequence[Callable[[NDArray[Any]], NDArray[Any]]] | None = None,
) -> Stats:
    """Returns statistics of some rows of several datasets' columns, each dataset counting by its share.

    Args:
        columns: (N_d, n) each, memory maps: blocks of rows are read.
        frames: (F_d,) each, the rows that count.
        shares: one each, any scale.
        maps: what is done to the rows first, one each; None: nothing.

    Returns:
        mean, std, min, max, q01, q99, each (n,) float32. A quantile is the smallest value below or at which that share
        of the weight lies, exact up to QUANTILE_ROWS rows of a dataset and of evenly spaced rows beyond.
    """

    def read(d: int, rows: Indices) -> NDArray[Any]:
        return columns[d][rows] if maps is None else maps[d](columns[d][rows])

    total = float(sum(shares))
    blocks = [
        (d, f[i : i + BLOCK_ROWS], share / len(f) / total)
        for d, (f, share) in enumerate(zip(frames, shares, strict=True))
        for i in range(0, len(f), BLOCK_ROWS)
    ]
    size = columns[0].shape[1]
    mean, variance = np.zeros(size), np.zeros(size)
    low, high = np.full(size, np.inf), np.full(size, -np.inf)
    for d, rows, weight in blocks:
        values = read(d, rows).astype(np.float64)
        mean += np.full(len(values), weight) @ values
        low, high = np.minimum(low, values.min(0)), np.maximum(high, values.max(0))
    for d, rows, weight in blocks:
        variance += np.full(len(rows), weight) @ (read(d, rows).astype(np.float64) - mean) ** 2
    out = {"mean": mean, "std": np.sqrt(variance), "min": low, "max": high}
    thin = [f[:: -(-len(f) // QUANTILE_ROWS)] for f in frames]
    weights = np.concatenate([np.full(len(f), share / len(f)) for f, share in zip(thin, shares, strict=True)])
    weights /= weights.sum()
    kept = np.concatenate([read(d, f) for d, f in enumerate(thin)])
    quantiles = np.array([_quantiles(values, weights) for values in kept.T])
    return {k: v.astype(np.float32) for k, v in (out | {"q01": quantiles[:, 0], "q99": quantiles[:, 1]}).items()}


def _quantiles(values: NDArray[Any], weights: Array) -> list[float]:
    """Returns the 1 % and 99 % quantiles of weighted values."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    places = [int(np.searchsorted(reached, q * (1 - 1e-12))) for q in (0.01, 0.99)]
    return [float(values[order[min(p, len(order) - 1)]]) for p in places]
