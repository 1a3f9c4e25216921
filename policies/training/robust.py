"""The robust policy of Re-Mix: it learns by weights of datasets that change at every step (`data/loading/remix.py`)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import ConfigError
from toyshift.policies.network.weights import load_network
from toyshift.policies.training.config import TrainConfig
from toyshift.policies.training.processes import open_processes
from toyshift.policies.training.train import train
from toyshift.policies.training.training_data import TrainingData, open_source
from toyshift.policies.training.training_run import Run


class RobustRun(Run):
    """A training run whose loss is the sum over datasets of weight times mean loss of their samples.

    Args:
        config: of the run; every dataset is drawn equally often.
        source: its batches.
        reference: folder of the trained reference policy.
    """

    def __init__(self, config: TrainConfig, source: TrainingData, reference: Path) -> None:
        super().__init__(config, source)
        self.reference = load_network(reference).to(self.device)
        self._indices: Indices = np.empty(0, np.int64)
        self._dataset = self._indices
        self._batch: dict[str, Tensor] = {}
        self._losses, self._shares = torch.empty(0), torch.empty(0)

    def losses(self, step: int) -> tuple[Array, Array, Indices]:
        """Returns the losses of both policies, the robust first, and the datasets of a step's samples: (B,) each."""
        self._indices, self._batch = self.batch(step)
        self._dataset = self.source.windows.dataset_of(self._indices)
        batch = {k: v.to(self.device, non_blocking=True) for k, v in self._batch.items()}
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            self._losses = self.policy.losses(batch)
            with torch.no_grad():
                reference = self.reference.losses(batch)
        return _numbers(self._losses), _numbers(reference), self._dataset

    def learn(self, weights: Array) -> None:
        """Takes one optimiser step on the batch of `losses`."""
        counts = np.bincount(self._dataset, minlength=len(weights))
        self._shares = torch.from_numpy((weights / np.maximum(counts, 1))[self._dataset]).to(self._losses)
        self.train_step(self._indices, self._batch)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns the weighted loss of the batch that `losses` has just evaluated."""
        return (self._shares * self._losses).sum()


def _numbers(losses: Tensor) -> Array:
    return losses.detach().double().cpu().numpy()


def robust_run(config: TrainConfig) -> RobustRun:
    """Trains the reference policy into `config.out`/reference, unless it is there; returns the robust one at its start.

    Args:
        config: of both policies; its weights are set to be equal.

    Raises:
        ConfigError: several processes or passes: the weights of a step need the whole batch's losses at once.
    """
    if config.accumulate > 1 or open_processes(config.device).count > 1:
        raise ConfigError("robust training weighs the losses of a whole batch: run it in one process with accumulate 1")
    config = dataclasses.replace(config, weights=(1.0,) * len(config.data))
    reference = Path(config.out) / "reference"
    train(dataclasses.replace(config, out=str(reference)))
    return RobustRun(config, open_source(config), reference)
