"""What training reads: batches and statistics of one or more datasets, with some episodes held out for validation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError
from toyshift.core.seeds import episode_rng

Batch = dict[str, NDArray[Any]]
Indices = NDArray[np.int64]


class Sampler(Protocol):
    """A stream of index arrays; the array of a step depends on the seed and the step only."""

    def batch_indices(self, step: int) -> Indices: ...


class WindowsLike(Protocol):
    """The part of `toyshift.data.loader.Windows` that training uses."""

    def __len__(self) -> int: ...

    def batch(self, indices: Indices) -> Mapping[str, Any]: ...

    def sampler(self, batch_size: int, seed: int) -> Sampler: ...

    @property
    def stats(self) -> Mapping[str, Mapping[str, Any]]: ...

    @property
    def action_contract(self) -> ActionContract: ...

    @property
    def observation_contract(self) -> ObservationContract: ...

    @property
    def episodes(self) -> Indices: ...


class Source:
    """Training and validation batches of a `Windows`.

    Held-out episodes are chosen by the seed. Where the sampler draws a held-out frame, a training frame stands in for
    it, chosen by (seed, step): so the sampler's weights between datasets and its purity are kept.

    Args:
        windows: the frames; `windows.episodes` gives each frame's episode (unique over all datasets).
        batch_size: samples per batch.
        seed: root seed.
        validation: share of episodes held out; at least one when positive and there are two or more.
    """

    def __init__(self, windows: WindowsLike, batch_size: int, seed: int, validation: float) -> None:
        if not len(windows):
            raise ConfigError("the datasets hold no frames; collect demonstrations first")
        self.windows = windows
        self.batch_size = batch_size
        self.seed = seed
        self._sampler = windows.sampler(batch_size, seed)
        episodes = np.asarray(windows.episodes)
        names = np.unique(episodes)
        count = min(max(1, round(validation * len(names))), len(names) - 1) if validation > 0 else 0
        held = episode_rng(seed, 0, "validation").permutation(names)[:count]
        self._held_out = np.isin(episodes, held)
        self._train = np.flatnonzero(~self._held_out)
        self._validation = np.flatnonzero(self._held_out)
        self.episodes, self.validation_episodes = len(names) - count, count

    def indices(self, step: int) -> Indices:
        """Returns the frames (B,) that a step trains on."""
        drawn = np.array(self._sampler.batch_indices(step), dtype=np.int64)
        held = np.flatnonzero(self._held_out[drawn])
        if len(held):
            drawn[held] = self._train[episode_rng(self.seed, step, "stand-in").integers(len(self._train), size=len(held))]
        return drawn

    def batch(self, indices: Indices) -> Batch:
        """Returns the arrays of some frames; lists such as the instructions are left out."""
        return {k: v for k, v in self.windows.batch(indices).items() if isinstance(v, np.ndarray) and v.dtype.kind in "fiub"}

    def validation_indices(self, batches: int) -> list[Indices]:
        """Returns up to `batches` arrays of held-out frames, the same ones every time."""
        order = episode_rng(self.seed, 1, "validation").permutation(self._validation)
        return [order[i : i + self.batch_size] for i in range(0, min(len(order), batches * self.batch_size), self.batch_size)]


def open_source(folders: tuple[str, ...], chunk: int, weights: tuple[float, ...], batch_size: int, seed: int, validation: float) -> Source:
    """Opens dataset folders for training; builds their decoded caches where they are missing."""
    from toyshift.data.loader import Windows  # the only place of this room that touches data/

    windows: Any = Windows([Path(f) for f in folders], chunk=chunk, weights=list(weights) or None)
    return Source(windows, batch_size, seed, validation)
