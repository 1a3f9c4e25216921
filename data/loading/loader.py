"""Random access to training windows of one or several datasets, gathered from memory-mapped decoded frames."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Float32, Indices
from toyshift.core.contract import (
    ACTION,
    ACTION_HISTORY,
    ACTION_IS_PAD,
    HISTORY_IS_PAD,
    STATE,
    TASK,
    ActionContract,
    ObservationContract,
)
from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.seeds import stream
from toyshift.data.loading.cache import THREADS, cached_arrays
from toyshift.data.loading.normalisation import NORMALISATIONS, Normalisation, Stats, action_mask, weighted_stats
from toyshift.data.loading.sampler import Sampler
from toyshift.data.store.dataset import Dataset, open_dataset
from toyshift.data.store.mixture import is_mixture, open_alike, read_mixture
from toyshift.data.store.provenance import provenance

Batch = dict[str, Any]
Arrays = Mapping[str, NDArray[Any]]
Normalisations = Mapping[str, Mapping[str, Normalisation]]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _Part:
    """Some episodes of one dataset, as the loader needs them; `arrays` are memory maps of all its frames."""

    folder: Path
    threads: int
    action_contract: ActionContract
    observation_contract: ObservationContract
    content_hash: str
    arrays: Arrays
    starts: Indices  # (E + 1,) first frame of each episode
    tasks: tuple[str, ...]  # (E,)
    episodes: Indices  # those that windows are made of, in order
    made_of: Mapping[str, Any]  # see `provenance`

    def __reduce__(self) -> tuple[Any, ...]:
        # Memory maps would travel as copies: a worker maps the files itself.
        return _opened_again, (self.folder, self.threads, self.episodes)

    @functools.cached_property
    def frames(self) -> Indices:
        """The frames of the episodes, in order."""
        if len(self.episodes) == len(self.tasks):
            # Without a copy: the list of a large dataset's frames is most of what is held in memory.
            return np.arange(self.starts[-1])
        spans = [np.arange(self.starts[e], self.starts[e + 1]) for e in self.episodes]
        return np.concatenate([np.empty(0, np.int64), *spans])

    @classmethod
    def of(cls, dataset: Dataset, threads: int, episodes: Indices | None = None) -> _Part:
        """Maps a dataset's frames, and chooses the episodes that are no failures, unless told which.

        Raises:
            FileError: there is no episode to choose, or the dataset is damaged.
        """
        metas = [dataset.meta(i) for i in range(dataset.num_episodes)]
        if episodes is None:
            # A policy imitates what it is shown: what `collect --keep failed` recorded as a failure is left out.
            episodes = np.flatnonzero([meta.get("success") is not False for meta in metas])
            if not len(episodes):
                raise FileError(f"{dataset.folder} holds failures only; there is nothing to imitate in it")
        return cls(
            dataset.folder, threads, dataset.action_contract, dataset.observation_contract, dataset.content_hash(),
            cached_arrays(dataset, threads=threads), np.cumsum([0, *dataset.lengths]).astype(np.int64),
            tuple(str(meta.get("task", "")) for meta in metas), episodes, provenance(dataset),
        )


def _opened_again(folder: Path, threads: int, episodes: Indices) -> _Part:
    return _Part.of(open_dataset(folder), threads, episodes)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Windows:
    """Windows of T observations, the last one the frame's own, and a chunk of K actions, by frame number.

    Episodes that are recorded as failures are left out. Frames are numbered through over the folders in the order
    given. Nothing is held in memory but indices; several processes share the files' pages.

    Attributes:
        folders: finished datasets, all under one action contract and one observation contract; or a single mixture file
            (`toyshift data mix`), in whose place its datasets and weights stand afterwards.
        chunk: number K of actions in a window; the first is the frame's own.
        weights: share of each folder in the draws and in `stats`, or None: every frame counts the same.
        threads: decoding threads where a cache has to be built.
        history: number T of observations in a window.
        stride: control steps between them.
        normalise: None (batches are physical), "normal" or "bounds_q99": states and actions normalised by the
            statistics of their own dataset.
        act_as: with `normalise`, the `dataset_name` in whose physical units batches are given, "" the first's: all
            datasets then look like that one. None: batches stay normalised.

    Raises:
        ContractError: two folders' contracts differ (both are named).
        FileError: a dataset is damaged.
        UnknownNameError: of a normalisation, or a dataset to act as.
    """

    folders: Sequence[Path]
    chunk: int
    weights: Sequence[float] | None = None
    _: dataclasses.KW_ONLY
    threads: int = THREADS
    history: int = 1
    stride: int = 1
    normalise: str | None = None
    act_as: str | None = None
    _parts: tuple[_Part, ...] = ()  # what was opened; `dataclasses.replace` passes it on
    _without: tuple[str, ...] = ()  # columns that batches leave out
    _fixed: Normalisations = dataclasses.field(default_factory=dict)  # those of other frames, to be used for these

    def __post_init__(self) -> None:
        if min(self.chunk, self.history, self.stride) < 1:
            got = f"chunk={self.chunk}, history={self.history}, stride={self.stride}"
            raise ConfigError(f"windows need chunk >= 1, history >= 1 and stride >= 1, got {got}")
        if self.normalise is not None and self.normalise not in NORMALISATIONS:
            raise UnknownNameError("normalisation", self.normalise, NORMALISATIONS)
        if not self._parts:
            self._open()
        if self.act_as and self.act_as not in self.names:
            raise UnknownNameError("dataset to act as", self.act_as, self.names)

    def _open(self) -> None:
        folders, weights = tuple(Path(f) for f in self.folders), self.weights
        if any(is_mixture(f) for f in folders):
            if len(folders) > 1 or weights is not None:
                raise ConfigError(
                    f"a mixture file brings its own datasets and weights: name it alone, without weights; "
                    f"got {', '.join(map(str, folders))}"
                )
            mixture = read_mixture(folders[0])
            folders, weights = tuple(mixture.folders), mixture.weights
        if not folders:
            raise ConfigError("windows need at least one folder")
        if weights is not None:
            if len(weights) != len(folders) or not all(math.isfinite(w) and w > 0 for w in weights):
                count = len(folders)
                raise ConfigError(f"weights must be {count} positive numbers, one per folder; got {list(weights)}")
            weights = tuple(float(w) for w in weights)
        parts = tuple(_Part.of(dataset, self.threads) for dataset in open_alike(folders))
        for name, value in {"folders": folders, "weights": weights, "_parts": parts}.items():
            object.__setattr__(self, name, value)

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """The `dataset_name` of each folder."""
        names = [part.folder.resolve().name for part in self._parts]
        return tuple(n if names.count(n) == 1 else str(p.folder) for n, p in zip(names, self._parts, strict=True))

    @functools.cached_property
    def _offsets(self) -> Indices:
        return np.cumsum([0, *(len(part.frames) for part in self._parts)])

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @property
    def num_episodes(self) -> int:
        return sum(len(part.episodes) for part in self._parts)

    @property
    def action_contract(self) -> ActionContract:
        """What actions mean, in every folder."""
        return self._parts[0].action_contract

    @property
    def observation_contract(self) -> ObservationContract:
        """Cameras and state entries, in every folder."""
        return self._parts[0].observation_contract

    @property
    def content_hashes(self) -> tuple[str, ...]:
        """One per folder, for manifests."""
        return tuple(part.content_hash for part in self._parts)

    @property
    def made_of(self) -> tuple[Mapping[str, Any], ...]:
        """What is in each folder, see `data.store.provenance`."""
        return tuple(part.made_of for part in self._parts)

    @functools.cached_property
    def keys(self) -> tuple[str, ...]:
        """Columns that `batch` returns: those that every folder has (masks may be missing in data from elsewhere)."""
        everywhere = set.intersection(*(set(part.arrays) for part in self._parts)).difference(self._without)
        return tuple(key for key in self._parts[0].arrays if key in everywhere)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The instructions of these episodes, each once, sorted."""
        return tuple(sorted({part.tasks[e] for part in self._parts for e in part.episodes}))

    @property
    def arrays(self) -> list[tuple[Path, Arrays]]:
        """Each folder and the memory maps of all its frames, those of failed episodes among them."""
        return [(part.folder, part.arrays) for part in self._parts]

    def described(self) -> Iterator[tuple[Path, Arrays, Indices, list[dict[str, Any]]]]:
        """Yields each folder, the maps of all its frames, the first frame of each episode (E + 1,), and all meta data.

        What episodes note of themselves is read anew from the folder, and not kept.
        """
        for part in self._parts:
            dataset = open_dataset(part.folder)
            yield part.folder, part.arrays, part.starts, [dataset.meta(i) for i in range(dataset.num_episodes)]

    def with_columns(self, columns: Sequence[Arrays], without: Collection[str] = ()) -> Windows:
        """Returns these windows with other columns; not to be sent to other processes.

        Args:
            columns: for each folder, arrays with a row for each of its frames; `batch` gathers them as well.
            without: columns that `batch` leaves out.
        """
        parts = tuple(
            dataclasses.replace(part, arrays={**part.arrays, **more})
            for part, more in zip(self._parts, columns, strict=True)
        )
        return dataclasses.replace(self, _parts=parts, _without=(*self._without, *without))

    def batch(self, indices: Indices | Sequence[int]) -> Batch:
        """Gathers windows.

        Args:
            indices: (B,) frame numbers, 0 <= index < len(self), in any order.

        Returns:
            Keys of the batch contract: `observation.images.<cam>` (B, T, H, W, 3) uint8, `masks.<cam>` (B, T, H, W)
            uint8, `observation.state` (B, T, S) float32, `action` (B, K, A) float32 (past the end of the episode its
            last action again), `action_is_pad` (B, K) bool, `task` and `dataset_name` lists of B strings,
            `episode_index` and `frame_index` (B,) int64. With T > 1 also `history_is_pad` (B, T) bool (before the start
            of the episode its first observation is repeated) and `action.history` (B, (T-1) * stride, A), the actions
            before the newest observation.

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
            pieces.append((here, self._gather(int(d), self._parts[d].frames[wanted[here] - self._offsets[d]])))
        if len(pieces) == 1:
            return pieces[0][1]
        return _interleave(pieces, len(wanted)) if pieces else self._gather(0, wanted)

    def dataset_of(self, indices: Indices) -> Indices:
        """Returns the number of the folder (B,) that each frame number comes from."""
        return np.asarray(np.searchsorted(self._offsets, indices, side="right") - 1)

    def _gather(self, d: int, frames: Indices) -> Batch:
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
            for key, kind in ((STATE, STATE), (ACTION, ACTION), (ACTION_HISTORY, ACTION)):
                if key in out:
                    out[key] = self._units(d, kind)(out[key])
        out[TASK] = [part.tasks[e] for e in episode]
        out["dataset_name"] = [self.names[d]] * len(frames)
        out["episode_index"] = episode
        out["frame_index"] = frames - part.starts[episode]
        return out

    def sampler(self, batch_size: int, seed: int, repeats: Indices | None = None) -> Sampler:
        """Returns the stream of index arrays for training; see `Sampler` for the order with and without weights.

        With `repeats` (N,), the times that an epoch shows each frame, its numbers are places in that list of frames.
        """
        spans = itertools.pairwise(self._offsets)
        sizes = [int(b - a) if repeats is None else int(repeats[a:b].sum()) for a, b in spans]
        return Sampler(sizes, batch_size, seed, self.weights)

    def split(self, share: float, seed: int) -> tuple[Windows, Windows]:
        """Splits by episode, within each folder: (rest, a share of the episodes for validation, at least one).

        Args:
            share: share of episodes in the second part, 0 < share < 1.
            seed: root seed of the choice.

        Raises:
            ConfigError: the share is out of range or a folder has a single episode.
        """
        counts = [len(part.episodes) for part in self._parts]
        if not 0 < share < 1 or min(counts) < 2:
            raise ConfigError(
                f"a split needs 0 < share < 1 and two episodes in every folder; got share={share} and {counts} episodes"
            )
        kept, held = [], []
        for d, part in enumerate(self._parts):
            count = min(max(1, round(share * counts[d])), counts[d] - 1)
            order = stream(seed, d).permutation(part.episodes)
            held.append(dataclasses.replace(part, episodes=np.sort(order[:count])))
            kept.append(dataclasses.replace(part, episodes=np.sort(order[count:])))
        train = dataclasses.replace(self, _parts=tuple(kept))
        # a policy is validated in the units it was trained in
        return train, dataclasses.replace(self, _parts=tuple(held), _fixed=train.normalisations)

    def _units(self, d: int, key: str) -> Callable[[NDArray[Any]], Float32]:
        """Returns what turns a part's states or actions into those of a batch; only with `normalise`."""
        own = self.normalisations[self.names[d]][key]
        if self.act_as is None:
            return own.apply
        other = self.normalisations[self.act_as or self.names[0]][key]
        return lambda values: other.restore(own.apply(values))

    @functools.cached_property
    def stats(self) -> dict[str, Stats]:
        """Statistics of `observation.state` and `action` over these frames, as `batch` returns them.

        mean, std, min, max, q01, q99, each (n,) float32. With weights each folder counts by its weight, otherwise each
        frame the same.
        """
        frames = [part.frames for part in self._parts]
        shares = self.weights or [float(len(f)) for f in frames]
        found = {}
        for key in (STATE, ACTION):
            maps = [self._units(d, key) for d in range(len(frames))] if self.normalise else None
            found[key] = weighted_stats([part.arrays[key] for part in self._parts], frames, shares, maps)
        return found

    @functools.cached_property
    def normalisations(self) -> Normalisations:
        """Each dataset's own normalisation of `observation.state` and `action`, by name; none without `normalise`.

        `normalisations[name]["action"].restore` turns a policy's output into physical actions. They are statistics of
        these frames; after `split`, both sides have those of the first.
        """
        if self.normalise is None or self._fixed:
            return self._fixed
        masks = {STATE: None, ACTION: action_mask(self.action_contract)}
        return {
            name: {
                key: Normalisation.of(self.normalise, weighted_stats([part.arrays[key]], [part.frames], [1.0]), mask)
                for key, mask in masks.items()
            }
            for name, part in zip(self.names, self._parts, strict=True)
        }

    @property
    def scaling(self) -> dict[str, Stats]:
        """"mean" and "std" of `observation.state` and `action` for a policy's normaliser: what becomes 0, and what 1.

        Those of `stats`; with `act_as`, those of that dataset's normalisation.
        """
        if self.normalise is None or self.act_as is None:
            return self.stats
        return {key: unit.scaling for key, unit in self.normalisations[self.act_as or self.names[0]].items()}


def _interleave(pieces: list[tuple[Indices, Batch]], size: int) -> Batch:
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
