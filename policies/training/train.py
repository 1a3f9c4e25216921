"""Training a policy into a folder: one command starts it, resumes it exactly, or finds it finished."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import read_json, write_json
from toyshift.policies import checkpoints
from toyshift.policies.devices import check_threads, choose_device, torch_threads
from toyshift.policies.provenance import NOBODY_KNOWS, TRAINED_ON, trained_on
from toyshift.policies.repairs import repairs_of
from toyshift.policies.training.config import TrainConfig
from toyshift.policies.training.loop import METRICS, VALIDATIONS, run_loop
from toyshift.policies.training.memory import memory_advice
from toyshift.policies.training.processes import Processes, open_processes
from toyshift.policies.training.training_data import TrainingData, open_source
from toyshift.policies.training.training_run import Run

TRIAL_STEPS = 12
# Where a run is computed or written does not change what is learnt, so a resume may change these.
NOT_IDENTITY = ("out", "threads", "device", "checkpoint_minutes", "log_every", "act", "wandb", "keep_steps", "monitor")


def train(config: TrainConfig, source: TrainingData | None = None) -> dict[str, Any]:
    """Trains a policy into `config.out`, going on where an earlier run of the same configuration was stopped.

    Under torchrun or `accelerate launch` all processes train together, see `processes.py`; their folder must be the
    same one.

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
    check_threads(config.threads)
    processes = open_processes(config.device)
    with processes.locked(folder / "train"), torch_threads(config.threads), memory_advice(config):
        state = checkpoints.read_state(folder) if (folder / checkpoints.STATE_FILE).exists() else None
        checkpoints.require_same_run(folder, "train", config, "toyshift train", NOT_IDENTITY)
        did_nothing = state is not None and bool(state["finished"])
        if not did_nothing:
            if source is None:
                with processes.in_turn():
                    source = open_source(config)
            if config.act == "best" and not source.validates:
                raise ConfigError(
                    "act best needs held-out episodes to know the best weights by; "
                    "raise --validation, or collect more than one episode per dataset"
                )
            for repair in repairs_of(config.repair):
                if (first := repair.first(config)) is not None:
                    train(first, source)
            run = Run(_planned(config, source, folder, processes), source, processes)
            if state is not None:
                run.restore(state)
            elif processes.first:
                policy = run.policy
                checkpoints.write_contracts(folder, policy.action_contract, policy.observation_contract)
                before = (trained_on(config.init_from) or [NOBODY_KNOWS]) if config.init_from else []
                looked_at = [entry for repair in run.repairs for entry in repair.looked_at()]
                facts = {"encoder_weights": policy.origin, TRAINED_ON: [*before, *source.made_of, *looked_at]}
                checkpoints.write_config(folder, "train", config, policy.config, **facts)
            if processes.total(run.step)[0] != run.step * processes.count:
                raise FileError(
                    f"the processes do not see the same checkpoint in {folder}; "
                    "it must be a folder that all machines share"
                )
            run_loop(run)
        if absent := [step for step in config.keep_steps if not checkpoints.kept_folder(folder, step).exists()]:
            raise ConfigError(f"{folder} went past step {absent[0]} without keeping it; choose another out folder")
        if processes.first:
            checkpoints.choose_weights(folder, config.act)
        processes.wait()
        return _summary(config, checkpoints.read_state(folder), did_nothing)


def _planned(config: TrainConfig, source: TrainingData, folder: Path, processes: Processes) -> TrainConfig:
    """Turns `minutes` into a number of steps, measured on a throw-away run and kept in plan.json for every resume."""
    if not config.minutes:
        return config
    plan = folder / "plan.json"
    processes.wait()  # nobody looks for the file after the first process may have written it
    if not plan.exists():
        trial = Run(config, source, processes)
        times = []
        for step in range(TRIAL_STEPS):
            start = time.monotonic()
            trial.train_step(*trial.batch(step))
            times.append(time.monotonic() - start)
        start = time.monotonic()
        trial.validate()
        validation, seconds = time.monotonic() - start, float(np.median(times))
        if config.validate_every:
            steps = 60.0 * config.minutes / (seconds + validation / config.validate_every)
        else:
            steps = (60.0 * config.minutes - VALIDATIONS * validation) / seconds
        if processes.first:
            times_measured = {"seconds_per_step": seconds, "seconds_per_validation": validation}
            write_json(plan, {"minutes": config.minutes, **times_measured, "steps": max(1, round(steps))})
        processes.wait()
    return dataclasses.replace(config, steps=int(read_json(plan)["steps"]), minutes=0.0)


def _summary(config: TrainConfig, state: dict[str, Any], did_nothing: bool) -> dict[str, Any]:
    rows = [json.loads(line) for line in (Path(config.out) / METRICS).read_text(encoding="utf-8").splitlines()]
    losses = [row["loss"] for row in rows if "loss" in row]
    samples = state["step"] * config.batch_size
    return {
        "out": str(config.out), "step": state["step"], "finished": state["finished"], "cached": did_nothing,
        "loss": losses[-1] if losses else None, "validation_loss": state.get("validation_loss"),
        "seconds": state["seconds"], "samples": samples,
        "samples_per_second": round(samples / max(state["seconds"], 1e-9), 1),
    }
