"""Random access to training windows of one or several datasets, gathered from memory-mapped decoded frames."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import (
    ACTION,
    ACTION_HISTORY,
    ACTION_IS_PAD,
    HISTORY_IS_PAD,
    STATE,
    TASK,
    ActionContract,
    ObservationContract,
    require_same_contract,
    require_same_observations,
)
from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.data.loading.cache import THREADS, cached_arrays
from toyshift.data.loading.normalisation import NORMALISATIONS, Normalisation, Stats, action_mask, weighted_stats
from toyshift.data.loading.sampler import Sampler
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.mixture import is_mixture, read_mixture

Batch = dict[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class _Part:
    """One dataset as the loader needs it; `arrays` are memory maps of all its frames."""

    folder: Path
    name: str
    arrays: dict[str, NDArray[Any]]
    starts: NDArray[np.int64]  # (E + 1,) first frame of each episode
    tasks: tuple[str, ...]  # (E,)


class Windows:
    """Windows of T observations, the last one the frame's own, and a chunk of K actions, by frame number.

    Episodes that are recorded as failures are left out. Frames are numbered through over the folders in the order given. Nothing is held in memory but indices; several processes share the files' pages.

    Args:
        folders: finished datasets, all under one action contract and one observation contract; or a single mixture file (`toyshift data mix`).
        chunk: number K of actions in a window; the first is the frame's own.
        weights: share of each folder in the draws and in `stats`, or None: every frame counts the same.
        threads: decoding threads where a cache has to be built.
        history: number T of observations in a window.
        stride: control steps between them.
        normalise: None (batches are physical), "normal" or "bounds_q99": states and actions normalised by the statistics of their own dataset.

    Attributes:
        action_contract: what actions mean, in every folder.
        observation_contract: cameras and state entries, in every folder.
        content_hashes: one per folder, for manifests.
        keys: columns of the cache that `batch` returns.

    Raises:
        ContractError: two folders' contracts differ (both are named).
        FileError: a dataset is damaged.
    """

    def __init__(self, folders: Sequence[Path], chunk: int, weights: Sequence[float] | None = None, *, threads: int = THREADS, history: int = 1, stride: int = 1, normalise: str | None = None) -> None:
        folders = [Path(f) for f in folders]
        if any(is_mixture(f) for f in folders):
            if len(folders) > 1 or weights is not None:
                raise ConfigError(f"a mixture file brings its own datasets and weights: name it alone, without weights; got {', '.join(map(str, folders))}")
            mixture = read_mixture(folders[0])
            folders, weights = list(mixture.folders), mixture.weights
        if not folders or chunk < 1:
            raise ConfigError(f"windows need at least one folder and chunk >= 1, got {len(folders)} folders and chunk={chunk}")
        if min(history, stride) < 1:
            raise ConfigError(f"windows need history >= 1 and stride >= 1, got {history} and {stride}")
        if weights is not None and (len(weights) != len(folders) or not all(math.isfinite(w) and w > 0 for w in weights)):
            raise ConfigError(f"weights must be {len(folders)} positive numbers, one per folder; got {list(weights)}")
        datasets = [open_dataset(folder) for folder in folders]
        for other in datasets[1:]:
            require_same_contract(datasets[0].action_contract, other.action_contract, str(folders[0]), str(other.folder))
            require_same_observations(datasets[0].observation_contract, other.observation_contract, str(folders[0]), str(other.folder))
        if normalise is not None and normalise not in NORMALISATIONS:
            raise UnknownNameError("normalisation", normalise, NORMALISATIONS)
        self.chunk, self.history, self.stride = chunk, history, stride
        self.normalise = normalise
        self.weights = None if weights is None else tuple(float(w) for w in weights)
        self.action_contract: ActionContract = datasets[0].action_contract
        self.observation_contract: ObservationContract = datasets[0].observation_contract
        self._threads = threads
        self.content_hashes = tuple(dataset.content_hash() for dataset in datasets)
        self._parts = []
        names = [folder.resolve().name for folder in folders]
        for dataset in datasets:
            dataset.require_episodes()
            tasks = tuple(str(dataset.meta(i).get("task", "")) for i in range(dataset.num_episodes))
            starts = np.cumsum([0, *dataset.lengths]).astype(np.int64)
            name = dataset.folder.resolve().name
            name = name if names.count(name) == 1 else str(dataset.folder)
            self._parts.append(_Part(dataset.folder, name, cached_arrays(dataset, threads=threads), starts, tasks))
        # Columns that every folder has: masks may be missing in data from elsewhere.
        self.keys = tuple(k for k in self._parts[0].arrays if all(k in part.arrays for part in self._parts))
        # a policy imitates what it is shown: episodes that `collect --keep failed` recorded as failures are left out
        self._select([np.flatnonzero([dataset.meta(i).get("success") is not False for i in range(dataset.num_episodes)]) for dataset in datasets])
        for part, episodes in zip(self._parts, self._episodes, strict=True):
            if not len(episodes):
                raise FileError(f"{part.folder} holds failures only; there is nothing to imitate in it")

    def _select(self, episodes: list[NDArray[np.int64]]) -> None:
        """Restricts the windows to these episodes of each part."""
        self._episodes = [np.sort(e) for e in episodes]
        self._frames = [_frames_of(part, e) for part, e in zip(self._parts, self._episodes, strict=True)]
        self._offsets = np.cumsum([0, *(len(f) for f in self._frames)])
        self._stats: dict[str, Stats] | None = None
        self._normalisations: dict[str, dict[str, Normalisation]] = {}

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @property
    def num_episodes(self) -> int:
        return sum(len(e) for e in self._episodes)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The instructions of these episodes, each once, sorted."""
        return tuple(sorted({part.tasks[e] for part, episodes in zip(self._parts, self._episodes, strict=True) for e in episodes}))

    def __getstate__(self) -> dict[str, Any]:
        # Memory maps would travel as copies: a worker maps the files itself.
        state = {k: v for k, v in self.__dict__.items() if k not in ("_parts", "_frames")}
        return state | {"folders": [part.folder for part in self._parts]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        options = {"threads": state["_threads"], "history": state["history"], "stride": state["stride"], "normalise": state["normalise"]}
        self.__init__(state["folders"], state["chunk"], state["weights"], **options)  # type: ignore[misc]
        self._select(state["_episodes"])
        self._normalisations = state["_normalisations"]

    @property
    def arrays(self) -> list[tuple[Path, Mapping[str, NDArray[Any]]]]:
        """Each folder and the memory maps of all its frames, those of failed episodes among them."""
        return [(part.folder, part.arrays) for part in self._parts]

    def with_columns(self, columns: Sequence[Mapping[str, NDArray[Any]]], without: Collection[str] = ()) -> Windows:
        """Returns these windows with more columns, which `batch` gathers like the stored ones; not to be sent to other processes.

        Args:
            columns: for each folder, arrays with a row for each of its frames.
            without: columns that `batch` leaves out.
        """
        view = Windows.__new__(Windows)
        view.__dict__.update(self.__dict__)
        view._parts = [dataclasses.replace(part, arrays={**part.arrays, **more}) for part, more in zip(self._parts, columns, strict=True)]
        view.keys = tuple(k for k in (*self.keys, *columns[0]) if k not in without)
        return view

    def batch(self, indices: NDArray[np.integer[Any]] | Sequence[int]) -> Batch:
        """Gathers windows.

        Args:
            indices: (B,) frame numbers, 0 <= index < len(self), in any order.

        Returns:
            Keys of the batch contract: `observation.images.<cam>` (B, T, H, W, 3) uint8, `masks.<cam>` (B, T, H, W) uint8, `observation.state`
            (B, T, S) float32, `action` (B, K, A) float32 (physical; past the end of the episode its last action again), `action_is_pad` (B, K)
            bool, `task` and `dataset_name` lists of B strings, `episode_index` and `frame_index` (B,) int64. With T > 1 also `history_is_pad` (B, T)
            bool (before the start of the episode its first observation is repeated) and `action.history` (B, (T-1) * stride, A), the actions before
            the newest observation.

        Raises:
            ConfigError: an index is out of range.
        """
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        if wanted.size and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise ConfigError(f"frame numbers must be in 0..{len(self) - 1}, got {wanted.min()}..{wanted.max()}")
        part_of = self.dataset_of(wanted)
        pieces = []
        for d in np.unique(part_of):
            here = np.flatnonzero(part_of == d)
            pieces.append((here, self._gather(int(d), self._frames[d][wanted[here] - self._offsets[d]])))
        if len(pieces) == 1:
            return pieces[0][1]
        return _interleave(pieces, len(wanted)) if pieces else self._gather(0, wanted)

    def dataset_of(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the number of the folder (B,) that each frame number comes from."""
        return np.asarray(np.searchsorted(self._offsets, indices, side="right") - 1)

    def _gather(self, d: int, frames: NDArray[np.int64]) -> Batch:
        part = self._parts[d]
        episode = np.searchsorted(part.starts, frames, side="right") - 1
        first = part.starts[episode][:, None]
        seen = frames[:, None] + self.stride * np.arange(1 - self.history, 1)  # (B, T)
        rows = np.maximum(seen, first).reshape(-1)
        out: Batch = {}
        for key in self.keys:
            if key == ACTION:
                continue
            source = part.arrays[key]
            gathered = np.empty((len(frames), self.history, *source.shape[1:]), source.dtype)
            # mode="clip" lets NumPy write into `out` directly; the range was checked above.
            np.take(source, rows, axis=0, out=gathered.reshape(len(rows), *source.shape[1:]), mode="clip")
            out[key] = gathered
        if self.history > 1:
            before = frames[:, None] + np.arange(-(self.history - 1) * self.stride, 0)
            out[ACTION_HISTORY] = np.take(part.arrays[ACTION], np.maximum(before, first), axis=0)
            out[HISTORY_IS_PAD] = seen < first
        steps = frames[:, None] + np.arange(self.chunk)  # (B, K)
        last = part.starts[episode + 1][:, None] - 1
        out[ACTION] = np.take(part.arrays[ACTION], np.minimum(steps, last), axis=0)  # (B, K, A)
        out[ACTION_IS_PAD] = steps > last
        if self.normalise is not None:
            own = self.normalisations[part.name]
            for key, kind in ((STATE, STATE), (ACTION, ACTION), (ACTION_HISTORY, ACTION)):
                if key in out:
                    out[key] = own[kind].apply(out[key])
        out[TASK] = [part.tasks[e] for e in episode]
        out["dataset_name"] = [part.name] * len(frames)
        out["episode_index"] = episode
        out["frame_index"] = frames - part.starts[episode]
        return out

    def sampler(self, batch_size: int, seed: int) -> Sampler:
        """Returns the stream of index arrays for training; see `Sampler` for the order with and without weights."""
        return Sampler([len(f) for f in self._frames], batch_size, seed, self.weights)

    def split(self, share: float, seed: int) -> tuple[Windows, Windows]:
        """Splits by episode, within each folder: (rest, a share of the episodes for validation, at least one).

        Args:
            share: share of episodes in the second part, 0 < share < 1.
            seed: root seed of the choice.

        Raises:
            ConfigError: the share is out of range or a folder has a single episode.
        """
        if not 0 < share < 1 or min(len(e) for e in self._episodes) < 2:
            raise ConfigError(f"a split needs 0 < share < 1 and two episodes in every folder; got share={share} and {[len(e) for e in self._episodes]} episodes")
        kept, held = [], []
        for d, episodes in enumerate(self._episodes):
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(d,))))
            count = min(max(1, round(share * len(episodes))), len(episodes) - 1)
            order = rng.permutation(episodes)
            held.append(order[:count])
            kept.append(order[count:])
        train, validation = self._view(kept), self._view(held)
        validation._normalisations = train.normalisations  # a policy is validated in the units it was trained in
        return train, validation

    def _view(self, episodes: list[NDArray[np.int64]]) -> Windows:
        view = Windows.__new__(Windows)
        view.__dict__.update(self.__dict__)
        view._select(episodes)
        return view

    @property
    def stats(self) -> dict[str, Stats]:
        """Statistics of `observation.state` and `action` over these frames, as `batch` returns them: mean, std, min, max, q01, q99, each (n,) float32.

        With weights each folder counts by its weight, otherwise each frame the same.
        """
        if self._stats is None:
            shares = self.weights or [float(len(f)) for f in self._frames]
            maps = {key: [self.normalisations[p.name][key] for p in self._parts] if self.normalise else None for key in (STATE, ACTION)}
            self._stats = {key: weighted_stats([p.arrays[key] for p in self._parts], self._frames, shares, maps[key]) for key in (STATE, ACTION)}
        return self._stats

    @property
    def normalisations(self) -> dict[str, dict[str, Normalisation]]:
        """Each dataset's own normalisation of `observation.state` and `action`, by `dataset_name`; none without `normalise`.

        `normalisations[name]["action"].restore` turns a policy's output into physical actions. They are statistics of these frames; after
        `split`, both parts have those of the first.
        """
        if self.normalise is not None and not self._normalisations:
            masks: dict[str, NDArray[np.bool_] | None] = {STATE: None, ACTION: action_mask(self.action_contract)}
            self._normalisations = {
                part.name: {key: Normalisation.of(self.normalise, weighted_stats([part.arrays[key]], [frames], [1.0]), mask) for key, mask in masks.items()}
                for part, frames in zip(self._parts, self._frames, strict=True)
            }
        return self._normalisations


def _frames_of(part: _Part, episodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the frames of some episodes, in order."""
    if len(episodes) == 0:
        return np.empty(0, np.int64)
    if len(episodes) == len(part.tasks):
        return np.arange(part.starts[-1])  # without a copy: the list of a large dataset's frames is most of what is held in memory
    return np.concatenate([np.arange(part.starts[e], part.starts[e + 1]) for e in episodes])


def _interleave(pieces: list[tuple[NDArray[np.int64], Batch]], size: int) -> Batch:
    """Puts the batches of several datasets into the order that was asked for."""
    out: Batch = {}
    for key, example in pieces[0][1].items():
        if isinstance(example, list):
            values = np.empty(size, object)
            for here, piece in pieces:
                values[here] = piece[key]
            out[key] = values.tolist()
        else:
            out[key] = np.empty((size, *example.shape[1:]), example.dtype)
            for here, piece in pieces:
                out[key][here] = piece[key]
    return out
