"""Adapting one vector to a new setup, after Latent Program Spaces: what was told of the known setups is searched anew.

A policy that was trained with `--instruction setup` (or `table`) reads a learned vector for each robot, camera and lab
that it knows. Here all its weights are frozen, and the vector of a new setup is found on a few demonstrations. It
starts at the mean of the known ones, is held back by the prior that they were drawn from N(0, I), and stops where
vectors that were found without an episode did best on that episode. Only what training varied can be reached.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from toyshift.core.arrays import Indices
from toyshift.core.fields import Limit
from toyshift.core.files import write_json
from toyshift.core.seeds import episode_rng
from toyshift.policies.batch_keys import INSTRUCTION
from toyshift.policies.network.conditioning import LATENT
from toyshift.policies.parts import TABLES
from toyshift.policies.repairs.diverse import act_with
from toyshift.policies.repairs.repair import Batch, RunRepair

if TYPE_CHECKING:
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.network.policy import Policy
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_run import Run

MOST, FRAMES, AT_ONCE = 8, 256, 128  # episodes; frames that are looked at between steps, and of them together
EVERY = 5  # steps between two looks at what was left out
FOLD = "latent.fold"  # (B,) int64, which of the vectors that were found without an episode sees a sample


def folds(episodes: Indices) -> Indices:
    """Returns the number from 0 of each frame's episode (N,), of rows (N, d) that name it."""
    return np.asarray(np.unique(episodes, axis=0, return_inverse=True)[1], np.int64).reshape(-1)


def other_folds(own: Indices, count: int, rng: np.random.Generator) -> Indices:
    """Returns for each sample (B,) one of the other folds, all alike likely."""
    return np.asarray((own + rng.integers(1, count, size=len(own))) % count, np.int64)


@dataclasses.dataclass
class Latent(RunRepair):
    """Finds one vector that a trained policy is told, on at most eight demonstrations; nothing else is trained."""

    prior: float = 1e-3

    limits: ClassVar[dict[str, Limit]] = {"prior": (0.0, 1e3)}

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if not config.init_from:
            raise self.refuse("adapts the vector that a trained policy is told; give --init-from")
        if not config.policy.tabled:
            raise self.refuse(f"adapts a row of a table, and instruction is {config.policy.instruction}; start from a "
                              f"policy that was trained with --instruction {' or '.join(TABLES)}, and give it here too")
        if config.act == "best":
            raise self.refuse("stops by episodes that it leaves out itself; drop --act best")
        return dataclasses.replace(config.policy, latent=True, vocabulary=())

    def begin(self, run: Run) -> None:
        source = run.source
        raw = source.windows.batch(np.arange(len(source.windows)))
        self._fold = folds(np.stack([source.windows.dataset_of(np.arange(len(source.windows))),
                                     raw["episode_index"]], axis=1))
        self._count = int(self._fold.max()) + 1
        if not 2 <= self._count <= MOST:
            raise self.refuse(
                f"learns from 2 to {MOST} demonstrations, and stops by those that it leaves out; "
                f"the data hold {self._count} to train on (--validation 0 holds none of them back)"
            )
        frames = np.sort(episode_rng(run.config.seed, 0, "latent").permutation(len(self._fold))[:FRAMES])
        told = {k: v[frames] for k, v in source.told(raw).items()}
        self._seen = {k: torch.from_numpy(np.ascontiguousarray(v)).to(run.device) for k, v in told.items()}
        self._seen[FOLD] = torch.from_numpy(self._fold[frames]).to(run.device)
        for name, parameter in run.policy.named_parameters():
            parameter.requires_grad_(name == LATENT)
        self._best, self._lowest, self._step = vector_of(run.policy).detach().clone(), float("inf"), 0

    def modules(self, policy: Policy) -> nn.Module:
        return nn.ParameterList(vector_of(policy).detach().clone() for _ in range(self._count))

    def samples(self, run: Run, step: int, frames: tuple[Indices, slice], batch: Batch) -> Batch:
        rng = episode_rng(run.config.seed, step, "latent")
        return batch | {FOLD: other_folds(self._fold[frames[0]], self._count, rng)[frames[1]]}

    def gradients(self, run: Run, batch: dict[str, Tensor]) -> float:
        without = left_out(run)
        if run.step % EVERY == 0:
            self._look(run, without)
        told = {k: v.to(run.device) for k, v in batch.items() if k != FOLD}
        loss = run.loss(told) + self.prior * vector_of(run.policy).square().sum()
        apart = run.loss(told | {INSTRUCTION: without[batch[FOLD].to(run.device)]})
        apart = apart + self.prior * without.square().sum() / len(without)
        (loss + apart).backward()  # type: ignore[no-untyped-call]  # no weight is in both
        return float(loss.detach())

    def _look(self, run: Run, without: Tensor) -> None:
        """Keeps the vector if those found without an episode are the best so far on that episode."""
        losses = []
        with torch.no_grad():
            for start in range(0, len(self._seen[FOLD]), AT_ONCE):
                part = {k: v[start : start + AT_ONCE] for k, v in self._seen.items()}
                losses.append(run.policy.losses(part | {INSTRUCTION: without[part.pop(FOLD)]}))
            if (loss := float(torch.cat(losses).mean())) < self._lowest:
                self._best, self._lowest, self._step = vector_of(run.policy).detach().clone(), loss, run.step

    def state(self) -> dict[str, Tensor]:
        return {"best": self._best, "lowest": torch.tensor(self._lowest, dtype=torch.float64),
                "step": torch.tensor(self._step)}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self._best, self._lowest, self._step = state["best"], float(state["lowest"]), int(state["step"])

    def finish(self, run: Run) -> None:
        self._look(run, left_out(run))
        act_with(run, {"": self._best}, LATENT)
        if run.processes.first:
            facts = {"episodes": self._count, "steps": self._step, "loss_left_out": self._lowest}
            write_json(run.folder / f"{self.row.name}.json", facts)


def vector_of(policy: Policy) -> nn.Parameter:
    """Returns the vector that a policy is told whatever is said."""
    assert policy.conditioning is not None
    assert policy.conditioning.latent is not None
    return policy.conditioning.latent


def left_out(run: Run) -> Tensor:
    """Returns the vectors (E, C) that were found without an episode each."""
    vectors = next(module for module in run.beside.values() if isinstance(module, nn.ParameterList))
    return torch.stack(list(vectors))
