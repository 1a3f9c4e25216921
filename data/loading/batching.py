"""Batches in order, gathered ahead by several threads, for one rank of many: what each step and rank sees depends on (seed, step) alone."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import ConfigError
from toyshift.data.loading.loader import Batch, Windows
from toyshift.data.loading.sampler import Sampler


def shard(indices: NDArray[np.int64], rank: int, world: int) -> NDArray[np.int64]:
    """Returns a rank's part (B / world,) of a step's frames (B,): every world-th, so that the ranks' parts never overlap.

    Raises:
        ConfigError: the ranks would get batches of different sizes, or there is no such rank.
    """
    if not 0 <= rank < world:
        raise ConfigError(f"rank must be in 0..{world - 1}, got {rank}")
    if len(indices) % world:
        raise ConfigError(f"a batch of {len(indices)} is not divided among {world} ranks; choose a multiple, such as {-(-len(indices) // world) * world}")
    return indices[rank::world]


def worker_steps(start: int, stop: int, worker: int, workers: int) -> range:
    """Returns the steps that one of several loading processes prepares: every workers-th, so that no step comes twice.

    For a loader with processes of its own (a torch `IterableDataset`: `worker_info.id`, `worker_info.num_workers`).
    """
    if not 0 <= worker < workers:
        raise ConfigError(f"worker must be in 0..{workers - 1}, got {worker}")
    return range(start + worker, stop, workers)


def batches(windows: Windows, sampler: Sampler, start: int, stop: int, *, rank: int = 0, world: int = 1, workers: int = 1) -> Iterator[Batch]:
    """Yields a rank's batches of the steps start, ..., stop - 1, in order.

    To go on exactly after an interruption, in the middle of an epoch too, start at the step that comes next; the number of workers may be another,
    and the number of ranks as well (together they see the same frames).

    Args:
        windows: where batches are gathered.
        sampler: the global stream; its batch size is that of all ranks together.
        start: first step.
        stop: step after the last.
        rank: number of this process in the training.
        world: number of processes in the training.
        workers: threads that gather ahead, two batches each; NumPy copies pixels without holding Python's lock.

    Raises:
        ConfigError: the batch is not divided among the ranks, or an argument is out of range.
    """
    if workers < 1 or not 0 <= start <= stop:
        raise ConfigError(f"batches need workers >= 1 and 0 <= start <= stop, got workers={workers}, start={start}, stop={stop}")

    def make(step: int) -> Batch:
        return windows.batch(shard(sampler.batch_indices(step), rank, world))

    with ThreadPoolExecutor(workers, thread_name_prefix="toyshift-batches") as pool:
        pending: collections.deque[Future[dict[str, Any]]] = collections.deque()
        try:
            for step in range(start, stop):
                pending.append(pool.submit(make, step))
                if len(pending) > 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
