"""The training loop: AdamW with warm-up and cosine, averaged weights, exact resume from checkpoints, metrics and TensorBoard."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toyshift.core.contract import ACTION, STATE, require_same_contract, require_same_observations
from toyshift.core.errors import ConfigError, FileError, ToyShiftError
from toyshift.core.files import atomic_path, json_hash, locked, read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.core.progress import Progress
from toyshift.policies import checkpoints
from toyshift.policies.augmentation import MIRRORED_ACTION, MIRRORED_STATE, augment, mirror_signs
from toyshift.policies.checkpoints import EMA, MODEL, OPTIMIZER
from toyshift.policies.config import BACKBONE_NAMES, TrainConfig
from toyshift.policies.devices import choose_bf16, choose_device, memory_advice, torch_threads
from toyshift.policies.policy import Policy, state_to_action
from toyshift.policies.prefetch import Prefetch
from toyshift.policies.source import Indices, Source, open_source
from toyshift.policies.weights import load_weights

VALIDATION_BATCHES = 8
TRIAL_STEPS = 12
# Where a run is computed or written does not change what is learnt, so a resume may change these.
NOT_IDENTITY = ("out", "threads", "device", "checkpoint_minutes", "log_every")


class DivergedError(ToyShiftError, RuntimeError):
    """The loss is no longer a number."""


def learning_rate(config: TrainConfig, step: int) -> float:
    """Returns the learning rate of a step (from 0): linear warm-up, then a cosine to lr_end * lr at the last step."""
    warmup = min(config.warmup, config.steps // 5)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, config.steps - 1 - warmup)
    return config.lr * (config.lr_end + (1.0 - config.lr_end) * 0.5 * (1.0 + math.cos(math.pi * progress)))


def _run_identity(config: TrainConfig) -> str:
    return json_hash({k: v for k, v in config.to_json().items() if k not in NOT_IDENTITY})


def _to_device(batch: dict[str, Any], device: torch.device) -> dict[str, Tensor]:
    return {k: torch.from_numpy(np.ascontiguousarray(v)).to(device, non_blocking=True) for k, v in batch.items()}


def _build(config: TrainConfig, source: Source) -> Policy:
    """Makes the policy at its start: random weights from the seed, or those of `init_from`."""
    windows = source.windows
    stats = source.stats()
    if config.policy.relative:
        stats[ACTION] = source.relative_stats(state_to_action(windows.action_contract, windows.observation_contract))
    with torch.random.fork_rng(devices=[]):  # the caller's random state is not ours to change
        torch.manual_seed(config.seed)
        policy = Policy(config.policy, windows.action_contract, windows.observation_contract, stats)
    if config.init_from:  # its encoder's weights are in it
        folder = Path(config.init_from)
        state = checkpoints.read_state(folder)
        if not state["finished"]:
            raise FileError(f"cannot fine-tune from {folder}: its training is not finished; run it to the end first")
        action, observation = checkpoints.read_contracts(folder)
        require_same_contract(action, windows.action_contract, str(folder), "the dataset")
        require_same_observations(observation, windows.observation_contract, str(folder), "the dataset")
        tensors = checkpoints.load_tensors(folder, state, checkpoints.weights_to_act(state))
        load_weights(policy, tensors, folder)  # with its normaliser: the weights mean nothing under another one
    elif config.policy.encoder in BACKBONE_NAMES:
        from toyshift.policies.pretrained import load_pretrained

        policy.origin = load_pretrained(policy)
    return policy


def _mirror_signs(policy: Policy) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the signs of state and action entries in a mirrored scene.

    Raises:
        ConfigError: the actions are not hand motions, or the policy sees joint angles, whose mirror image nobody knows.
    """
    contract, names = policy.action_contract, policy.observation_contract.state_names
    seen = policy.config.state_keep or names
    joints = [name for name in seen if name in contract.joint_names]
    if contract.mode != "eef_delta" or joints:
        raise ConfigError(f"mirror needs eef_delta actions and a state_keep without joint angles; actions are {contract.mode}, the policy sees {', '.join(joints) or 'none'}")
    return mirror_signs(names, MIRRORED_STATE), mirror_signs(contract.names, MIRRORED_ACTION)


def _groups(policy: Policy, decay: float) -> list[dict[str, Any]]:
    """Decays kernels and matrices, not biases, norms and learned vectors."""
    parameters = [p for p in policy.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


class Run:
    """One training run in its folder: the state that a checkpoint saves, and how to save and restore it."""

    def __init__(self, config: TrainConfig, source: Source) -> None:
        self.config, self.source = config, source
        self.folder = Path(config.out)
        self.device = choose_device(config.device)
        self.bf16 = choose_bf16(config.precision, self.device)
        self.policy = _build(config, source).to(self.device)
        if config.policy.needs_masks:
            source.require_masks(self.policy.cameras, "mask_input" if config.policy.mask_input else f"pooling {config.policy.pooling!r}")
        self.optimizer = torch.optim.AdamW(_groups(self.policy, config.weight_decay), lr=config.lr, betas=(0.9, 0.99))
        self.ema = {k: p.detach().clone() for k, p in self.policy.named_parameters() if p.requires_grad} if config.ema else {}
        self.signs = _mirror_signs(self.policy) if config.mirror else None
        self.step = 0
        self.seconds = 0.0
        self.validation: list[float] = []

    def _files(self) -> dict[str, checkpoints.Tensors]:
        weights = self.policy.state_dict()
        moments = {}
        for name, parameter in self.policy.named_parameters():
            for key, value in self.optimizer.state.get(parameter, {}).items():
                moments[f"{name}/{key}"] = value
        files = {MODEL: weights, OPTIMIZER: moments}
        if self.ema:
            files[EMA] = {**weights, **self.ema}
        return files

    def save(self, finished: bool) -> None:
        """Writes a checkpoint of this moment. Random state needs none: every draw is a function of (seed, step)."""
        facts = {"seconds": self.seconds, "validation_loss": self.validation[-1] if self.validation else None}
        checkpoints.save_checkpoint(self.folder, self.step, self._files(), finished, facts)

    def restore(self, state: dict[str, Any]) -> None:
        """Puts the run where a checkpoint left it."""
        load_weights(self.policy, checkpoints.load_tensors(self.folder, state, MODEL), self.folder)
        if self.ema:
            stored = checkpoints.load_tensors(self.folder, state, EMA)
            self.ema = {k: stored[k].to(self.device) for k in self.ema}
        moments = checkpoints.load_tensors(self.folder, state, OPTIMIZER)
        for name, parameter in self.policy.named_parameters():
            entries = {k.rsplit("/", 1)[1]: v for k, v in moments.items() if k.rsplit("/", 1)[0] == name}
            if entries:
                # AdamW keeps its step counter on the CPU
                self.optimizer.state[parameter] = {k: v if k == "step" else v.to(self.device) for k, v in entries.items()}
        self.step, self.seconds = int(state["step"]), float(state["seconds"])

    def loss(self, arrays: dict[str, Any]) -> Tensor:
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
            out: Tensor = self.policy(_to_device(arrays, self.device))["loss"]
        return out

    def train_step(self, indices: Indices, arrays: dict[str, Any]) -> float:
        """Takes one optimiser step and returns its loss."""
        config = self.config
        rate = learning_rate(config, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(arrays)
        loss.backward()  # type: ignore[no-untyped-call]
        value = float(loss.detach())
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), config.grad_clip or math.inf)
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            shown = ", ".join(map(str, indices[:16])) + (", ..." if len(indices) > 16 else "")
            raise DivergedError(
                f"the loss is {value} and the gradient norm {float(norm)} at step {self.step} (dataset frames {shown}). The last checkpoint in "
                f"{self.folder} is untouched; look at these frames for broken values, or lower lr ({config.lr}) or use precision f32"
            )
        self.optimizer.step()
        if self.ema:
            decay = min(config.ema, (1 + self.step) / (10 + self.step))  # short runs must forget their start
            with torch.no_grad():
                parameters = [p.detach() for p in self.policy.parameters() if p.requires_grad]
                torch._foreach_lerp_(list(self.ema.values()), parameters, 1.0 - decay)
        self.step += 1
        return value

    def validate(self) -> float | None:
        """Returns the mean loss on held-out episodes of the weights that will act; None without held-out episodes."""
        batches = self.source.validation_batches(VALIDATION_BATCHES)
        if not batches:
            return None
        own = {k: p.detach().clone() for k, p in self.policy.named_parameters()}
        with torch.no_grad():
            try:
                for key, parameter in self.policy.named_parameters():
                    parameter.copy_(self.ema.get(key, parameter))
                losses = [float(self.loss(b)) * len(b[STATE]) for b in batches]
            finally:
                for key, parameter in self.policy.named_parameters():
                    parameter.copy_(own[key])
        return sum(losses) / sum(len(b[STATE]) for b in batches)


def _trim_metrics(path: Path, step: int) -> None:
    """Drops rows after a step, which a killed run wrote behind its last checkpoint; a torn last line goes as well."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row["step"] <= step:
            rows.append(line)
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")


def _loop(run: Run) -> None:
    from torch.utils.tensorboard import SummaryWriter

    config, source, folder = run.config, run.source, run.folder
    cameras = run.policy.cameras
    metrics = folder / "metrics.jsonl"
    _trim_metrics(metrics, run.step)
    every = config.validate_every or max(1, config.steps // 10)

    def make(step: int) -> tuple[Indices, dict[str, Any]]:
        indices = source.indices(step)
        return indices, augment(source.batch(indices), cameras, config, step, run.signs)

    writer: Any = SummaryWriter(str(folder / "tensorboard"), purge_step=run.step + 1)
    start, saved, before = time.monotonic(), time.monotonic(), run.seconds
    losses: list[float] = []
    mark = (start, run.step)
    with (
        memory_advice(config),
        open(metrics, "a", encoding="utf-8", buffering=1) as log,
        Progress(f"train {folder.name}", config.steps, "step", run.step) as bar,
        Prefetch(make, run.step, config.steps) as batches,
    ):
        try:
            for indices, arrays in batches:
                losses.append(run.train_step(indices, arrays))
                run.seconds = before + time.monotonic() - start
                last = run.step == config.steps
                row: dict[str, Any] = {}
                if last or run.step % config.log_every == 0:
                    speed = (run.step - mark[1]) * config.batch_size / max(1e-9, time.monotonic() - mark[0])
                    row = {"loss": float(np.mean(losses)), "lr": learning_rate(config, run.step - 1), "samples_per_second": round(speed, 1)}
                    losses, mark = [], (time.monotonic(), run.step)
                if (last or run.step % every == 0) and (value := run.validate()) is not None:
                    run.validation.append(value)
                    row["validation_loss"] = value
                if row:
                    log.write(json.dumps({"step": run.step, "seconds": round(run.seconds, 2), **row}) + "\n")
                    for key, figure in row.items():
                        writer.add_scalar(f"train/{key}", figure, run.step)
                    bar.update(0, **{k: v for k, v in row.items() if k in ("loss", "validation_loss", "samples_per_second")})
                bar.update(1)
                if not last and time.monotonic() - saved > 60.0 * config.checkpoint_minutes:
                    run.save(finished=False)
                    saved = time.monotonic()
        finally:
            writer.close()
    run.save(finished=True)


def _summary(config: TrainConfig, state: dict[str, Any], did_nothing: bool) -> dict[str, Any]:
    rows = [json.loads(line) for line in (Path(config.out) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    return {
        "out": str(config.out), "step": state["step"], "finished": state["finished"], "cached": did_nothing, "loss": losses[-1] if losses else None,
        "validation_loss": state.get("validation_loss"), "seconds": state["seconds"], "samples": state["step"] * config.batch_size,
        "samples_per_second": round(state["step"] * config.batch_size / max(state["seconds"], 1e-9), 1),
    }


def train(config: TrainConfig, source: Source | None = None) -> dict[str, Any]:
    """Trains a policy into `config.out`, going on where an earlier run of the same configuration was stopped.

    Args:
        config: what to train, on what, and how.
        source: batches to train on instead of `config.data` (tests).

    Returns:
        out, step, finished, cached (True when the run was complete already), loss, validation_loss, seconds,
        samples and samples_per_second.

    Raises:
        ConfigError: the folder holds a run of another configuration, or CUDA was asked for and is absent.
        MemoryShortError: the memory does not hold a batch; names the settings to lower.
        DivergedError: the loss stopped being a number; names the step and the dataset frames.
        FileError: a checkpoint is damaged.
    """
    folder = Path(config.out)
    choose_device(config.device)  # fails before anything is written
    with locked(folder / "train"), torch_threads(config.threads):
        state = checkpoints.read_state(folder) if (folder / checkpoints.STATE_FILE).exists() else None
        stored = folder / checkpoints.CONFIG_FILE
        if stored.exists():
            _require_same_run(config, TrainConfig.from_json(read_json(stored)["train"]), folder)
        if state is not None and state["finished"]:
            return _summary(config, state, did_nothing=True)
        source = source or open_source(config)
        run = Run(_planned(config, source, folder), source)
        if state is None:
            checkpoints.write_contracts(folder, run.policy.action_contract, run.policy.observation_contract)
            write_json(stored, {"train": config.to_json(), "policy": config.policy.to_json(), "mask_use": config.policy.mask_use, "encoder_weights": run.policy.origin, "manifest": manifest(config.to_json(), config.seed)})
        else:
            run.restore(state)
        _loop(run)
        return _summary(config, checkpoints.read_state(folder), did_nothing=False)


def _planned(config: TrainConfig, source: Source, folder: Path) -> TrainConfig:
    """Turns `minutes` into a number of steps, measured on a throw-away run and kept in plan.json for every resume."""
    if not config.minutes:
        return config
    plan = folder / "plan.json"
    if not plan.exists():
        trial = Run(config, source)
        times = []
        with memory_advice(config):
            for step in range(TRIAL_STEPS):
                start = time.monotonic()
                indices = source.indices(step)
                trial.train_step(indices, augment(source.batch(indices), trial.policy.cameras, config, step, trial.signs))
                times.append(time.monotonic() - start)
        seconds = float(np.median(times))
        write_json(plan, {"minutes": config.minutes, "seconds_per_step": seconds, "steps": max(1, round(60.0 * config.minutes / seconds))})
    return dataclasses.replace(config, steps=int(read_json(plan)["steps"]), minutes=0.0)


def _require_same_run(config: TrainConfig, stored: TrainConfig, folder: Path) -> None:
    if _run_identity(config) == _run_identity(stored):
        return
    ours, theirs = config.to_json(), stored.to_json()
    different = [f"{k}: {ours[k]!r} now, {theirs[k]!r} there" for k in ours if k not in NOT_IDENTITY and ours[k] != theirs[k]]
    raise ConfigError(f"{folder} holds a run of another configuration ({'; '.join(different)}); choose another out folder, or delete this one")
