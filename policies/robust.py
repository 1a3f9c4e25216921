"""The robust policy of Re-Mix: learns from several datasets by weights that change at every step; see `toyshift.data.remix`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toyshift.policies.acting import load_network
from toyshift.policies.augmentation import augment
from toyshift.policies.config import TrainConfig
from toyshift.policies.source import Indices, Source, open_source
from toyshift.policies.training import Run, _to_device, train

Floats = NDArray[np.float64]


class RobustRun(Run):
    """A training run whose loss is the sum over datasets of weight times mean loss of their samples.

    Args:
        config: of the run; every dataset is drawn equally often.
        source: its batches.
        reference: folder of the trained reference policy.
    """

    def __init__(self, config: TrainConfig, source: Source, reference: Path) -> None:
        super().__init__(config, source)
        self.reference = load_network(reference).to(self.device)
        self._indices: Indices = np.empty(0, np.int64)
        self._dataset = self._indices
        self._arrays: dict[str, Any] = {}
        self._losses, self._shares = torch.empty(0), torch.empty(0)

    def losses(self, step: int) -> tuple[Floats, Floats, Indices]:
        """Returns losses of the robust and of the reference policy, and the datasets, of the samples of a step's batch: (B,) each."""
        self._indices = self.source.indices(step)
        self._dataset = self.source.windows.dataset_of(self._indices)
        self._arrays = augment(self.source.batch(self._indices), self.policy.cameras, self.config, step, self.signs)
        batch = _to_device(self._arrays, self.device)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            self._losses = self.policy.losses(batch)
            with torch.no_grad():
                reference = self.reference.losses(batch)
        return _numbers(self._losses), _numbers(reference), self._dataset

    def learn(self, weights: Floats) -> None:
        """Takes one optimiser step on the batch of `losses`."""
        counts = np.bincount(self._dataset, minlength=len(weights))
        self._shares = torch.from_numpy((weights / np.maximum(counts, 1))[self._dataset]).to(self._losses)
        self.train_step(self._indices, self._arrays)

    def loss(self, arrays: dict[str, Any]) -> Tensor:
        """Returns the weighted loss of the batch that `losses` has just evaluated."""
        return (self._shares * self._losses).sum()


def _numbers(losses: Tensor) -> Floats:
    return losses.detach().double().cpu().numpy()


def robust_run(config: TrainConfig) -> RobustRun:
    """Trains the reference policy into `config.out`/reference, unless it is there, and returns the robust policy at its start.

    Args:
        config: of both policies; its weights are set to be equal.
    """
    config = dataclasses.replace(config, weights=(1.0,) * len(config.data))
    reference = Path(config.out) / "reference"
    train(dataclasses.replace(config, out=str(reference)))
    return RobustRun(config, open_source(config), reference)
