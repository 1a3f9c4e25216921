"""What training reads: batches and statistics of one or more datasets, with some episodes held out for validation."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Indices
from toyshift.core.contract import (
    ACTION,
    ACTION_IS_PAD,
    HISTORY_IS_PAD,
    STATE,
    TASK,
    ActionContract,
    ObservationContract,
    mask_key,
    require_same_contract,
    require_same_observations,
)
from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.seeds import episode_rng
from toyshift.policies import checkpoints
from toyshift.policies.batch_keys import FROZEN, HINT, INSTRUCTION
from toyshift.policies.config import PolicyConfig
from toyshift.policies.instructions import Instructions, instructions_of
from toyshift.policies.parts import TABLES
from toyshift.policies.training.config import TrainConfig

Batch = dict[str, NDArray[Any]]
DATASET_NAME = "dataset_name"  # of a batch of windows: whose data each sample is of
Stats = Mapping[str, NDArray[Any]]


class SamplerLike(Protocol):
    """A stream of index arrays; the array of a step depends on the seed and the step only."""

    def batch_indices(self, step: int) -> Indices: ...


class WindowsLike(Protocol):
    """The part of `toyshift.data.loading.loader.Windows` that training uses."""

    def __len__(self) -> int: ...

    def batch(self, indices: Indices) -> dict[str, Any]: ...

    @property
    def arrays(self) -> list[tuple[Path, Mapping[str, NDArray[Any]]]]: ...

    @property
    def content_hashes(self) -> tuple[str, ...]: ...

    def with_columns(self, columns: Sequence[Mapping[str, NDArray[Any]]], without: Collection[str] = ()) -> Self: ...

    def described(self) -> Iterator[tuple[Path, Mapping[str, NDArray[Any]], Indices, list[dict[str, Any]]]]: ...

    def sampler(self, batch_size: int, seed: int, repeats: Indices | None = None) -> SamplerLike: ...

    def dataset_of(self, indices: Indices) -> Indices: ...

    @property
    def scaling(self) -> Mapping[str, Stats]: ...

    @property
    def tasks(self) -> tuple[str, ...]: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def action_contract(self) -> ActionContract: ...

    @property
    def observation_contract(self) -> ObservationContract: ...


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingData:
    """Training and validation batches, in the physical units that the policy takes and gives.

    Attributes:
        windows: frames to train on.
        held_out: frames of other episodes to validate on, or None.
        batch_size: samples per batch.
        seed: root seed of the order.
        instructions: what the policy is told, None for nothing.
        made_of: of each dataset, what a policy trained on it should remember, see `data.store.provenance`.
        repeats: (N,) how often an epoch shows each frame of `windows`; None shows each once.
    """

    windows: WindowsLike
    held_out: WindowsLike | None
    batch_size: int
    seed: int
    instructions: Instructions | None = None
    made_of: tuple[Mapping[str, Any], ...] = ()
    repeats: Indices | None = None

    def __post_init__(self) -> None:
        if not len(self.windows):
            raise ConfigError("the datasets hold no frames; collect demonstrations first")

    @functools.cached_property
    def _sampler(self) -> SamplerLike:
        if self.repeats is None:
            return self.windows.sampler(self.batch_size, self.seed)
        return self.windows.sampler(self.batch_size, self.seed, self.repeats)

    @functools.cached_property
    def _shown(self) -> Indices | None:
        """The frames of an epoch, those that come several times so often; None where each comes once."""
        return None if self.repeats is None else np.repeat(np.arange(len(self.windows)), self.repeats)

    def with_columns(self, columns: Sequence[Mapping[str, NDArray[Any]]], without: Collection[str]) -> TrainingData:
        """Returns the same batches with other columns, see `Windows.with_columns`."""
        held_out = None if self.held_out is None else self.held_out.with_columns(columns, without)
        return dataclasses.replace(self, windows=self.windows.with_columns(columns, without), held_out=held_out)

    def indices(self, step: int) -> Indices:
        """Returns the frames (B,) that a step trains on."""
        drawn = np.asarray(self._sampler.batch_indices(step), dtype=np.int64)
        return drawn if self._shown is None else self._shown[drawn]

    def batch(self, indices: Indices) -> Batch:
        """Returns arrays of some training frames, and instructions as numbers for a policy that is told them."""
        return self.told(self.windows.batch(indices))

    def told(self, batch: Mapping[str, Any]) -> Batch:
        """Returns what the policy reads of a batch of windows, with instructions as numbers where it is told them."""
        arrays = _arrays(batch)
        return arrays if self.instructions is None else arrays | {INSTRUCTION: self.instructions(self._said(batch))}

    def _said(self, batch: Mapping[str, Any]) -> list[str]:
        """Returns what is said with each sample of a batch of windows (B,): its task, or whose data it is of."""
        key = DATASET_NAME if self.instructions is not None and self.instructions.kind == "setup" else TASK
        said: list[str] = batch[key]
        return said

    def stats(self) -> dict[str, Stats]:
        """Returns "mean" and "std" of `observation.state` and `action` for the policy's normaliser."""
        return {key: self.windows.scaling[key] for key in (STATE, ACTION)}

    @property
    def validates(self) -> bool:
        """Whether there are held-out frames."""
        return self.held_out is not None

    def validation_batches(self, count: int) -> list[Batch]:
        """Returns up to `count` batches of held-out frames, the same ones every time; none without held-out frames.

        Frames with an instruction that a table does not know are left out.
        """
        if self.held_out is None:
            return []
        order = episode_rng(self.seed, 0, "validation").permutation(len(self.held_out))[: count * self.batch_size]
        batches = [self.held_out.batch(order[i : i + self.batch_size]) for i in range(0, len(order), self.batch_size)]
        if self.instructions is not None:
            batches = [_some(batch, [self.instructions.knows(s) for s in self._said(batch)]) for batch in batches]
        arrays = [self.told(batch) for batch in batches if len(batch[STATE])]
        # of the images as they are
        return [{k: v[:, :, 0] if k.startswith(FROZEN) else v for k, v in batch.items()} for batch in arrays]

    def relative_stats(self, matrix: NDArray[np.float32], frames: int = 4096) -> dict[str, NDArray[np.float32]]:
        """Returns mean and std of the actions minus state @ matrix, over a random sample of the training frames.

        Args:
            matrix: (S, A), see `policy.state_to_action`.
            frames: size of the sample; padding is left out.
        """
        order = episode_rng(self.seed, 0, "relative").permutation(len(self.windows))[:frames]
        rows = []
        for i in range(0, len(order), 256):
            batch = self.batch(order[i : i + 256])
            relative = batch[ACTION] - (batch[STATE][:, -1] @ matrix)[:, None]
            rows.append(relative[~batch[ACTION_IS_PAD]])
        actions = np.concatenate(rows).astype(np.float64)
        return {"mean": actions.mean(axis=0).astype(np.float32), "std": actions.std(axis=0).astype(np.float32)}

    def require_masks(self, cameras: tuple[str, ...], what: str) -> None:
        """Raises ContractError where the datasets lack the masks of a camera."""
        found = self.windows.batch(np.zeros(1, dtype=np.int64))
        if missing := [c for c in cameras if mask_key(c) not in found]:
            raise ContractError(
                f"{what} needs masks, but the datasets have none for camera {', '.join(missing)}; "
                f"use a pooling that ignores masks, or add masks to the data"
            )


def _arrays(batch: Mapping[str, Any]) -> Batch:
    """Keeps what the policy reads: numbers, not instructions, and not what is there for re-rendering only."""
    read = (HISTORY_IS_PAD, "observation.", "masks.", "action", FROZEN, HINT)
    return {k: v for k, v in batch.items() if isinstance(v, np.ndarray) and k.startswith(read)}


def _some(batch: Mapping[str, Any], keep: list[bool]) -> dict[str, Any]:
    """Returns the samples of a batch that are to be kept."""
    index = np.flatnonzero(keep)
    return {k: v[index] if isinstance(v, np.ndarray) else [v[i] for i in index] for k, v in batch.items()}


def _policy_told(config: TrainConfig, windows: WindowsLike) -> PolicyConfig:
    """Returns the policy's configuration with its table's vocabulary: its own, that of `init_from`, or the data's."""
    policy = config.repaired().policy
    if (policy.told not in TABLES and not policy.fallback) or policy.vocabulary:
        return policy
    start, ours = config.init_from, windows.names if policy.told == "setup" else windows.tasks
    vocabulary = checkpoints.read_policy_config(Path(start)).vocabulary if start and policy.tabled else ours
    return dataclasses.replace(policy, vocabulary=vocabulary)


def open_other(folder: str, config: TrainConfig, source: TrainingData) -> TrainingData:
    """Opens one more dataset, or several (DIR,DIR), as `source` is opened: the same windows, under the same contracts.

    Raises:
        ConfigError: datasets are normalised one by one, which another one has no place among.
        ContractError: its actions mean others, or it shows others.
    """
    from toyshift.data.loading.loader import Windows

    if config.normalise != "mixture":
        raise ConfigError(f"normalise {config.normalise} has no statistics for {folder}; use normalise mixture")
    policy, folders = config.policy, [Path(one) for one in folder.split(",")]
    windows = Windows(folders, chunk=policy.chunk, history=policy.steps_seen, stride=policy.execute)
    ours = source.windows
    require_same_contract(windows.action_contract, ours.action_contract, folder, "the training data")
    require_same_observations(windows.observation_contract, ours.observation_contract, folder, "the training data")
    return dataclasses.replace(source, windows=windows, held_out=None, repeats=None, made_of=windows.made_of)


def open_source(config: TrainConfig) -> TrainingData:
    """Opens the dataset folders of a training run; builds their decoded caches where they are missing.

    Where each dataset is normalised by its own statistics, all look like the one that the policy is to act as.

    Raises:
        ConfigError: `mirror` or a policy with `relative` is asked for together with normalisation by dataset of
            several.
        UnknownNameError: `act_as` names none of the datasets.
    """
    from toyshift.data.loading.loader import Windows  # this file is the only place of this room that touches data/

    policy = config.policy
    windows = everything = Windows(
        [Path(f) for f in config.data], chunk=policy.chunk, weights=list(config.weights) or None,
        history=policy.steps_seen, stride=policy.execute,
        normalise=None if config.normalise == "mixture" else config.normalise, act_as=config.act_as,
    )
    held_out = None
    if config.validation > 0 and windows.num_episodes >= 2 * len(config.data):
        windows, held_out = windows.split(config.validation, config.seed)
    if (count := len(windows.normalisations)) > 1 and (config.mirror or policy.relative):
        # each column gets its own centre and scale: a mirrored or relative vector of one dataset is none of another
        raise ConfigError(
            f"normalise {config.normalise} of {count} datasets excludes mirror and relative, "
            f"which need one meaning of zero; use normalise mixture"
        )
    told = instructions_of(_policy_told(config, windows))
    return TrainingData(windows, held_out, config.batch_size, config.seed, told, everything.made_of)
