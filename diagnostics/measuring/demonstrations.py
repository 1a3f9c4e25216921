"""Demonstrations as a network is shown them in training: frames by episode, of the data that it was trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from toyshift.core.arrays import Indices
from toyshift.core.contract import require_same_contract, require_same_observations
from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.files import read_json
from toyshift.diagnostics.looks import evenly
from toyshift.diagnostics.measuring.implied import folders_of
from toyshift.policies.checkpoints import CONFIG_FILE
from toyshift.policies.instructions import instructions_of
from toyshift.policies.network.policy import Policy
from toyshift.policies.training.training_data import TrainingData

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

UNTOLD = "what it was trained on is not told: give --trained-on"


@dataclasses.dataclass(frozen=True)
class Demonstrations:
    """Episodes that a network can be shown.

    Attributes:
        source: their frames.
        names: of the datasets.
        dataset: (E,) number of the dataset of each episode.
        first: (E,) number of its first frame.
        length: (E,) number of its frames.
        metas: of each episode, what it notes of itself.
    """

    source: TrainingData
    names: tuple[str, ...]
    dataset: Indices
    first: Indices
    length: Indices
    metas: tuple[dict[str, Any], ...]

    def frames(self, episode: int, most: int) -> Indices:
        """Returns numbers of frames of an episode, evenly from its first to its last."""
        return np.asarray(self.first[episode] + evenly(int(self.length[episode]), most))

    def some(self, most: int) -> Indices:
        """Returns numbers of episodes, of each dataset evenly, `most` of each or all."""
        own = [np.flatnonzero(self.dataset == d) for d in range(len(self.names))]
        return np.concatenate([episodes[evenly(len(episodes), most)] for episodes in own])

    def batch(self, frames: Indices) -> dict[str, Tensor]:
        """Returns what the network is trained with at these frames, without augmentation."""
        return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in self.source.batch(frames).items()}


def demonstrations_of(asked: Asked, policy: Policy) -> Demonstrations | str:
    """Opens the datasets of `asked.trained_on` for a network, or says why it cannot be shown them."""
    if not asked.trained_on:
        return UNTOLD
    told = read_json(Path(asked.policy) / CONFIG_FILE).get("train") or {}
    if (normalise := told.get("normalise", "mixture")) != "mixture":
        return f"it was trained with normalise {normalise}, in the units of single datasets; only mixture is understood"
    try:
        return opened(folders_of(asked.trained_on), policy)
    except (ConfigError, ContractError) as error:  # other measures may still be defined
        return str(error)


def opened(folders: Sequence[Path], policy: Policy) -> Demonstrations:
    """Opens datasets for a network.

    Raises:
        ContractError: they show or mean others than it was trained with.
    """
    from toyshift.data.loading.loader import Windows

    config = policy.config
    windows = Windows(folders, chunk=config.chunk, history=config.steps_seen, stride=config.execute)
    require_same_contract(windows.action_contract, policy.action_contract, str(folders[0]), "the policy")
    require_same_observations(windows.observation_contract, policy.observation_contract, str(folders[0]), "the policy")
    source = TrainingData(windows, None, 1, 0, instructions_of(config))
    if config.needs_masks:
        source.require_masks(policy.cameras, "the policy")
    dataset, lengths, kept, names = [], [], [], []
    for d, (folder, _, starts, metas) in enumerate(windows.described()):
        names.append(folder.name)
        for meta, length in zip(metas, np.diff(starts).tolist(), strict=True):
            if meta.get("success") is not False:  # the others are no windows
                dataset.append(d)
                lengths.append(length)
                kept.append(meta)
    length = np.asarray(lengths, np.int64)
    first = np.cumsum(length) - length
    return Demonstrations(source, tuple(names), np.asarray(dataset, np.int64), first, length, tuple(kept))
