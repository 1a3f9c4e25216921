"""Which frames each training step sees: a pure function of (seed, step), so that a resumed run continues exactly."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import ConfigError
from toyshift.core.seeds import stream

# With weights, each block of this many draws holds every dataset exactly in its share.
BLOCK = 1 << 16


class Sampler:
    """A stream of draws cut into batches.

    Without weights the stream is one shuffled epoch of all frames after another: within an epoch no frame comes twice,
    and a batch may span two epochs. With weights the stream is cut into blocks of 65,536 draws; in each block every
    dataset has its share of the draws (rounded by largest remainders), in an order shuffled by (seed, block), and the
    k-th draw from a dataset is the k-th frame of that dataset's own shuffled epochs.

    Args:
        sizes: number of frames of each dataset; frames are numbered through in that order.
        batch_size: draws per step.
        seed: root seed.
        weights: share of each dataset, or None for one stream over all frames.
    """

    def __init__(
        self, sizes: Sequence[int], batch_size: int, seed: int, weights: Sequence[float] | None = None
    ) -> None:
        if batch_size < 1 or seed < 0 or not sizes or min(sizes) < 1:
            raise ConfigError(
                f"a sampler needs batch_size >= 1, seed >= 0 and frames in every dataset; "
                f"got batch_size={batch_size}, seed={seed}, sizes={list(sizes)}"
            )
        self.batch_size = batch_size
        self.seed = seed
        self._arguments = (tuple(sizes), batch_size, seed, weights)
        self._sizes = tuple(int(n) for n in sizes) if weights is not None else (int(sum(sizes)),)
        self._starts = np.cumsum([0, *self._sizes[:-1]])
        self._quotas = np.array([BLOCK]) if weights is None else _largest_remainders(np.asarray(weights, float))
        # An instance's own cache: epochs follow each other, so two per dataset are enough.
        self._permutation = functools.lru_cache(maxsize=2 * len(self._sizes))(self._make_permutation)
        self._block = functools.lru_cache(maxsize=2)(self._make_block)

    def __reduce__(self) -> tuple[Any, ...]:
        return Sampler, self._arguments  # the caches stay behind

    def batch_indices(self, step: int) -> Indices:
        """Returns the (B,) frame numbers of a step, counted from 0."""
        if step < 0:
            raise ConfigError(f"step must be >= 0, got {step}")
        draws = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)
        if len(self._sizes) == 1:
            return self._walk(0, draws)
        out = np.empty(len(draws), np.int64)
        for block in np.unique(draws // BLOCK):
            here = np.flatnonzero(draws // BLOCK == block)
            datasets, ranks = self._block(int(block))
            place = draws[here] % BLOCK
            for d in np.unique(datasets[place]):
                mine = here[datasets[place] == d]
                out[mine] = self._walk(int(d), int(block) * self._quotas[d] + ranks[draws[mine] % BLOCK])
        return out

    def _walk(self, dataset: int, draws: Indices) -> Indices:
        """Maps the k-th draws from a dataset to frames: epoch k // size, place k % size."""
        size = self._sizes[dataset]
        out = np.empty(len(draws), np.int64)
        for epoch in np.unique(draws // size):
            here = draws // size == epoch
            out[here] = self._permutation(dataset, int(epoch))[draws[here] % size]
        return out + int(self._starts[dataset])

    def _make_permutation(self, dataset: int, epoch: int) -> Indices:
        order: Indices = stream(self.seed, 0, dataset, epoch).permutation(self._sizes[dataset])
        return order

    def _make_block(self, block: int) -> tuple[Indices, Indices]:
        """Returns, for each draw of a block, its dataset and how many draws from that dataset precede it there."""
        datasets = stream(self.seed, 1, block).permutation(np.repeat(np.arange(len(self._quotas)), self._quotas))
        ranks = np.empty(BLOCK, np.int64)
        for d, quota in enumerate(self._quotas):
            ranks[datasets == d] = np.arange(quota)
        return datasets, ranks


def _largest_remainders(weights: Array) -> Indices:
    """Rounds shares of BLOCK draws to integers that add up to it."""
    exact = weights / weights.sum() * BLOCK
    quotas: Indices = np.floor(exact).astype(np.int64)
    quotas[np.argsort(quotas - exact, kind="stable")[: BLOCK - int(quotas.sum())]] += 1
    return quotas
