"""One training run: the state that a checkpoint saves, how it is saved and restored, and one optimiser step."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toyshift.core.arrays import Indices
from toyshift.core.contract import STATE
from toyshift.core.errors import ConfigError, ToyShiftError
from toyshift.policies import checkpoints
from toyshift.policies.batch_keys import HINT
from toyshift.policies.checkpoints import BEST, EMA, MODEL, OPTIMIZER, REPAIR
from toyshift.policies.devices import choose_bf16, require_compiler
from toyshift.policies.network.policy import action_windows
from toyshift.policies.network.weights import load_weights
from toyshift.policies.repairs import repairs_of, require_whole_batch
from toyshift.policies.repairs.repaired import RepairedNetwork
from toyshift.policies.training.augmentation import Batch, augment
from toyshift.policies.training.config import TrainConfig
from toyshift.policies.training.initial_policy import initial_policy, signs_of_mirrored
from toyshift.policies.training.monitor import Monitor
from toyshift.policies.training.optimisation import averaged, learning_rate, parameter_groups
from toyshift.policies.training.processes import Processes, require_even
from toyshift.policies.training.token_cache import source_of_tokens
from toyshift.policies.training.training_data import TrainingData, open_other

VALIDATION_BATCHES = 8
BESIDE = "beside."  # start of the names of what repairs train beside the policy


class DivergedError(ToyShiftError, RuntimeError):
    """The loss is no longer a number."""


def _mask_user(config: TrainConfig) -> str:
    """Returns what needs masks, for the error that there are none."""
    if config.policy.prototype:
        return "prototype"
    return "mask_input" if config.policy.mask_input else f"pooling {config.policy.pooling!r}"


def to_tensors(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """Makes tensors of arrays; for a CUDA device in pinned memory, which is copied while the GPU computes."""
    tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in batch.items()}
    return {k: v.pin_memory() for k, v in tensors.items()} if device.type == "cuda" else tensors


class Run:
    """One training run in its folder.

    Args:
        config: what to train, and how.
        source: its batches.
        processes: those that train together; this one alone by default.
    """

    def __init__(self, config: TrainConfig, source: TrainingData, processes: Processes | None = None) -> None:
        self.repairs = repairs_of(config.repair)
        if config.policy.hint and not (config.init_from or any(r.row.name == "hint" for r in self.repairs)):
            raise ConfigError(f"hint is {config.policy.hint!r}, and nothing trains it: `--repair hint?feed=1` does")
        self.config = config = config.repaired()
        self.source = source
        self.folder = Path(config.out)
        self.processes = processes or Processes(config.device)
        self.device = self.processes.device
        require_even(config.batch_size, config.accumulate, self.processes.count)
        require_whole_batch(self.repairs, config.accumulate, self.processes.count)
        self.bf16 = choose_bf16(config.precision, self.device)
        self.policy = initial_policy(config, source).to(self.device)
        if config.policy.needs_masks:
            source.require_masks(self.policy.cameras, _mask_user(config))
        for repair in self.repairs:
            repair.begin(self)
        if config.caches_tokens:
            with self.processes.in_turn():
                self.source = source_of_tokens(self.source, self.policy, config, self.bf16)
        self.trained: nn.Module = self.policy
        self.monitor = Monitor(self.policy, self.source, config.seed) if config.monitor else None
        self.beside = nn.ModuleDict()  # what repairs train beside the policy
        if self.repairs:
            self.trained = RepairedNetwork(self.policy, self.repairs, config.seed).to(self.device)
            self.beside = self.trained.beside
        self._gradients = next((r.gradients for r in self.repairs if r.takes("gradients")), None)
        groups = parameter_groups(self.named_parameters(), config)
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr, betas=(0.9, 0.99))
        self.ema = {k: v.clone() for k, v in self._trained().items()} if config.ema else {}
        self.best: dict[str, Tensor] = {}
        self.best_loss = math.inf
        self.signs = signs_of_mirrored(self.policy) if config.mirror else None
        self.step = 0
        self.seconds = 0.0
        self.validation: list[float] = []
        self.network = self.processes.wrap(self.trained)  # what the gradients come from
        if config.compile:
            require_compiler(self.device)
            self.network = torch.compile(self.network)  # type: ignore[assignment]

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Returns all parameters by name: the policy's, and those that repairs train beside it."""
        beside = {f"{BESIDE}{name}": parameter for name, parameter in self.beside.named_parameters()}
        return dict(self.policy.named_parameters()) | beside

    def other_data(self, folder: str) -> TrainingData:
        """Opens a dataset that is not trained on, in the units of those that are."""
        return open_other(folder, self.config, self.source)

    def _trained(self) -> dict[str, Tensor]:
        return {k: p.detach() for k, p in self.policy.named_parameters() if p.requires_grad}

    def _files(self) -> dict[str, checkpoints.Tensors]:
        weights = self.policy.state_dict()
        moments = {
            f"{name}/{key}": value
            for name, parameter in self.named_parameters().items()
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }
        files = {MODEL: weights, OPTIMIZER: moments}
        if self.ema:
            files[EMA] = {**weights, **self.ema}
        if self.best:
            files[BEST] = {**weights, **self.best}
        kept = {f"{BESIDE}{name}": value for name, value in self.beside.state_dict().items()}
        for i, repair in enumerate(self.repairs):
            kept |= {f"{i}/{name}": value for name, value in repair.state().items()}
        if kept:
            files[REPAIR] = kept
        return files

    def save(self, finished: bool) -> None:
        """Writes a checkpoint of this moment. Random state needs none: every draw is a function of (seed, step)."""
        if self.processes.first:
            last = self.validation[-1] if self.validation else None
            facts: dict[str, Any] = {"seconds": self.seconds, "validation_loss": last}
            if self.best:
                facts["best_loss"] = self.best_loss
            checkpoints.save_checkpoint(self.folder, self.step, self._files(), finished, facts)

    def keep(self) -> None:
        """Keeps the weights of this moment as a policy folder of their own."""
        if self.processes.first:
            files = {name: tensors for name, tensors in self._files().items() if name in (MODEL, EMA)}
            checkpoints.keep_weights(self.folder, self.step, files)

    def restore(self, state: dict[str, Any]) -> None:
        """Puts the run where a checkpoint left it."""
        load_weights(self.policy, checkpoints.load_tensors(self.folder, state, MODEL), self.folder)
        if self.ema:
            stored = checkpoints.load_tensors(self.folder, state, EMA)
            self.ema = {k: stored[k].to(self.device) for k in self.ema}
        if BEST in state["files"]:
            stored = checkpoints.load_tensors(self.folder, state, BEST)
            self.best, self.best_loss = {k: stored[k] for k in self._trained()}, float(state["best_loss"])
        moments = checkpoints.load_tensors(self.folder, state, OPTIMIZER)
        for name, parameter in self.named_parameters().items():
            entries = {k.rsplit("/", 1)[1]: v for k, v in moments.items() if k.rsplit("/", 1)[0] == name}
            if entries:
                # AdamW keeps its step counter on the CPU
                self.optimizer.state[parameter] = {
                    k: v if k == "step" else v.to(self.device) for k, v in entries.items()
                }
        if REPAIR in state["files"]:
            kept = {k: v.to(self.device) for k, v in checkpoints.load_tensors(self.folder, state, REPAIR).items()}
            self.beside.load_state_dict({k.removeprefix(BESIDE): v for k, v in kept.items() if k.startswith(BESIDE)})
            for i, repair in enumerate(self.repairs):
                place = f"{i}/"
                repair.restore({k.removeprefix(place): v for k, v in kept.items() if k.startswith(place)})
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def batch(self, step: int) -> tuple[Indices, dict[str, Tensor]]:
        """Returns the frames (B,) that all processes train on at a step, and this one's share of them, augmented."""
        indices = self.source.indices(step)
        here = self.processes.share(len(indices))
        arrays, part = self.source.batch(indices[here]), (len(indices), here)
        for repair in self.repairs:
            arrays = repair.samples(self, step, (indices, here), arrays)
        augmented = augment(arrays, self.policy.cameras, self.config, step, self.signs, part)
        return indices, to_tensors(augmented, self.device)

    def loss(self, batch: dict[str, Tensor]) -> Tensor:
        """Returns the loss that is trained."""
        return self._loss_of(self.network, batch)

    def _loss_of(self, network: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            out: Tensor = network({k: v.to(self.device, non_blocking=True) for k, v in batch.items()})["loss"]
        return out

    def backward(self, batch: dict[str, Tensor]) -> float:
        """Adds the gradients of a batch's loss, and returns it; several passes and processes are as one."""
        passes, count = self.config.accumulate, self.processes.count
        if passes == count == 1:
            loss = self.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())
        size = len(batch[STATE]) // passes
        parts = [{k: v[i * size : (i + 1) * size] for k, v in batch.items()} for i in range(passes)]
        # the loss is the mean over the supervised actions
        supervised = [float((~action_windows(part, self.config.policy)[1]).sum()) for part in parts]
        (everywhere,) = self.processes.total(sum(supervised))
        value = 0.0
        for i, (part, weight) in enumerate(zip(parts, supervised, strict=True)):
            last = i == passes - 1
            with contextlib.nullcontext() if last else self.processes.unsynchronised(self.network):
                # gradients are averaged over the processes
                loss = self.loss(part) * (weight * count / max(1.0, everywhere))
                loss.backward()  # type: ignore[no-untyped-call]
            value += float(loss.detach())
        return self.processes.total(value)[0] / count

    def train_step(self, indices: Indices, batch: dict[str, Tensor]) -> float:
        """Takes one optimiser step and returns its loss."""
        config = self.config
        rate = learning_rate(config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self.optimizer.zero_grad(set_to_none=True)
        value = self.backward(batch) if self._gradients is None else self._gradients(self, batch)
        norm = torch.nn.utils.clip_grad_norm_(self.trained.parameters(), config.grad_clip or math.inf)
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            shown = ", ".join(map(str, indices[:16])) + (", ..." if len(indices) > 16 else "")
            raise DivergedError(
                f"the loss is {value} and the gradient norm {float(norm)} at step {self.step} "
                f"(dataset frames {shown}). The last checkpoint in {self.folder} is untouched; look at these frames "
                f"for broken values, or lower lr ({config.lr}) or use precision f32"
            )
        self.optimizer.step()
        if self.ema:
            averaged(self.policy, self.ema, config.ema, self.step)
        self.step += 1
        return value

    @contextlib.contextmanager
    def acting_weights(self) -> Iterator[None]:
        """The policy has the weights that will act while this lasts: the averaged ones, where there are any."""
        own = {k: p.detach().clone() for k, p in self.policy.named_parameters()}
        try:
            with torch.no_grad():
                for key, parameter in self.policy.named_parameters():
                    parameter.copy_(self.ema.get(key, parameter))
            yield
        finally:
            with torch.no_grad():
                for key, parameter in self.policy.named_parameters():
                    parameter.copy_(own[key])

    def validate(self) -> float | None:
        """Returns the mean loss on held-out episodes of the weights that will act, and keeps the best ones.

        None without such episodes.
        """
        batches = self.source.validation_batches(VALIDATION_BATCHES)
        if not batches:
            return None
        mine = batches[self.processes.rank :: self.processes.count]
        losses: list[float] = []
        with self.acting_weights(), torch.no_grad():
            for batch in mine:  # who acts is told no hint
                told = to_tensors({k: v for k, v in batch.items() if not k.startswith(HINT)}, self.device)
                losses.append(float(self._loss_of(self.policy, told)) * len(batch[STATE]))
        value = self.processes.total(sum(losses))[0] / sum(len(b[STATE]) for b in batches)
        self.validation.append(value)
        if value < self.best_loss:
            self.best_loss = value
            self.best = {k: v.to("cpu", copy=True) for k, v in (self.ema or self._trained()).items()}
        return value
