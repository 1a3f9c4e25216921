"""Reinforcement learning in rounds: learn, evaluate, keep the best, write a checkpoint; a killed run goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from toyshift.core.contract import ACTION, STATE
from toyshift.core.errors import ConfigError
from toyshift.core.files import locked
from toyshift.core.progress import Progress
from toyshift.core.seeds import episode_rng
from toyshift.policies import checkpoints
from toyshift.policies.checkpoints import MODEL
from toyshift.policies.devices import check_threads, choose_device, torch_threads
from toyshift.policies.provenance import TRAINED_ON
from toyshift.policies.rl.config import RlConfig
from toyshift.policies.rl.curriculum import replay_shares
from toyshift.policies.rl.learner import (
    Experts,
    buffer_state,
    end_episodes,
    learner_state,
    make_learner,
    play_experts,
    restore_buffer,
    restore_learner,
)
from toyshift.policies.rl.network import LearningEnv, acting_network, action_statistics, state_statistics
from toyshift.policies.training.loop import METRICS, trim_metrics
from toyshift.policies.training.trackers import curves
from toyshift.policies.training.training_run import DivergedError

LEARNER, REPLAY = "learner.safetensors", "replay.safetensors"
EVALUATION_SEED = 2_000_000_011  # root seed of the evaluation's episodes; rounds draw theirs below 2^30
STATISTICS_STEPS = 256
COUNTERS = ("train/n_updates", "train/learning_rate")  # Stable-Baselines3's, of this process; the rate is constant
NOT_IDENTITY = ("out", "threads", "device", "checkpoint_minutes")

MakeEnv = Callable[[int, str], VecEnv]
MakeExperts = Callable[[VecEnv], Experts]


class _Watch(BaseCallback):  # type: ignore[misc]  # Stable-Baselines3 is optional, mypy does not follow it
    """Moves the progress bar and counts how the round's episodes end."""

    def __init__(self, bar: Progress) -> None:
        super().__init__()
        self.bar, self.ends = bar, list[bool]()

    def _on_step(self) -> bool:
        ended = zip(self.locals["infos"], self.locals["dones"], strict=True)
        self.ends += [bool(info["is_success"]) for info, done in ended if done]
        self.bar.update(self.training_env.num_envs)
        return True


def evaluate_learner(
    learner: BaseAlgorithm, env: VecEnv, episodes: int, success: dict[str, float] | None = None
) -> dict[str, float]:
    """Plays episodes without exploring, always the same ones.

    Args:
        learner: what acts.
        env: where; each environment plays its share of the episodes.
        episodes: how many.
        success: gets the rate of each object that was played.

    Returns:
        success (share), return (undiscounted) and length (control steps), each a mean.
    """
    count = env.num_envs
    left = np.array([(episodes - i + count - 1) // count for i in range(count)])
    returns, lengths = np.zeros(count), np.zeros(count)
    ended: list[tuple[bool, float, float]] = []
    by_object: dict[str, list[bool]] = {}
    env.seed(EVALUATION_SEED)
    observations = env.reset()
    while (left > 0).any():
        actions, _ = learner.predict(observations, deterministic=True)
        observations, rewards, dones, infos = env.step(actions)
        returns += rewards
        lengths += 1
        for i in np.flatnonzero(dones):
            if left[i] > 0:
                ended.append((bool(infos[i]["is_success"]), float(returns[i]), float(lengths[i])))
                by_object.setdefault(str(infos[i]["object_id"]), []).append(ended[-1][0])
                left[i] -= 1
            returns[i] = lengths[i] = 0.0
    if success is not None:
        success |= {name: float(np.mean(ends)) for name, ends in by_object.items()}
    share, total, length = (float(np.mean(column)) for column in zip(*ended, strict=True))
    return {"success": share, "return": total, "length": length}


class RlRun:
    """One run in its folder: the learner, its environments, the best policy so far, and how to save and restore them.

    Args:
        config: of the run.
        make_env: makes a VecEnv of so many environments, whose episodes have a purpose (of `core.choices.PURPOSES`).
        state: of a checkpoint to go on from, None for a new run.
        make_experts: makes the experts of a VecEnv's environments; needed for `expert_steps`.
    """

    def __init__(
        self, config: RlConfig, make_env: MakeEnv, state: dict[str, Any] | None, make_experts: MakeExperts | None = None
    ) -> None:
        self.config, self.folder = config, Path(config.out)
        self.env = LearningEnv(make_env(config.envs, "collection"), config.controls)
        judged_in = make_env(min(config.envs, config.evaluation_episodes), "validation")
        self.evaluation_env = LearningEnv(judged_in, config.controls)
        self.action_contract = self.env.contract
        self.observation_contract = self.env.get_attr("observation_contract")[0]
        privileged = bool(self.observation_contract.environment_state_names)
        self.policy_config = config.policy_config(privileged)
        stats = None  # those of the checkpoint are with its weights
        if state is None:
            of_states = state_statistics(self.env, STATISTICS_STEPS, self._seed(0))
            stats = {STATE: of_states, ACTION: action_statistics(self.action_contract)}
        contracts = {"action": self.action_contract, "observation": self.observation_contract}
        features = {"config": self.policy_config, **contracts, "stats": stats}
        self.learner = make_learner(config, self.env, features, choose_device(config.device))
        self.round, self.seconds, self.good, self.best = 0, 0.0, 0, -1.0
        self.ids: tuple[str, ...] = tuple(self.env.get_attr("objects")[0].ids)
        self.success = dict[str, float]()  # of each object, in the latest evaluation that played it
        if config.curriculum == "plr" and len(self.ids) < 2:
            raise ConfigError(f"curriculum plr chooses among objects, and {config.objects} has one; give several")
        self.best_tensors = dict[str, torch.Tensor]()
        if state is None and config.expert_steps:
            if make_experts is None:
                raise ConfigError("expert_steps needs experts, and none were given")
            play_experts(self.learner, self.env, make_experts(self.env.venv), config.expert_steps, self._seed(0))
        if state is not None:
            restore_learner(self.learner, checkpoints.load_tensors(self.folder, state, LEARNER))
            if config.algo == "sac":
                restore_buffer(self.learner, checkpoints.load_tensors(self.folder, state, REPLAY))
            self.best_tensors = checkpoints.load_tensors(self.folder, state, MODEL)
            self.round, self.good = int(state["round"]), int(state["good"])
            self.seconds, self.best = float(state["seconds"]), float(state["success"])
            self.success = dict(state.get("success_by_object", {}))
            self.learner.num_timesteps = int(state["step"])

    def made_of(self) -> dict[str, Any]:
        """What is learnt from, as `data.store.provenance` says it; starts are drawn from far too many to tell."""
        objects = self.env.get_attr("objects")[0]
        return {"object_sets": [objects.spec], "object_ids": sorted(objects.ids), "starts": []}

    def _seed(self, round_: int) -> int:
        return int(episode_rng(self.config.seed, round_, "reinforcement").integers(2**30))

    @property
    def over(self) -> bool:
        """Whether all rounds are played, or the last two evaluations were as good as `stop_at`."""
        return self.round >= self.config.rounds or (self.config.stop_at > 0.0 and self.good >= 2)

    def network(self) -> Any:
        """Returns the policy network as it acts now."""
        contracts = self.action_contract, self.observation_contract
        return acting_network(self.learner, self.policy_config, *contracts, self.env.places)

    def choose_objects(self) -> None:
        """Says how often each object is drawn in the next round's episodes."""
        if self.config.curriculum == "plr":
            self.env.set_attr("object_shares", replay_shares(self.ids, self.success))

    def play_round(self, bar: Progress) -> dict[str, Any]:
        """Learns for a round, evaluates, and returns the row of metrics.jsonl.

        All random draws of a round follow from the seed and the round's number, and all environments begin new
        episodes: a round does not depend on whether the process is the one that played those before it.

        Raises:
            DivergedError: a weight is no longer a number.
        """
        start, watch = time.monotonic(), _Watch(bar)
        self.choose_objects()
        self.learner.set_random_seed(self._seed(1 + self.round))
        self.learner.set_env(self.learner.get_env(), force_reset=True)
        end_episodes(self.learner)
        self.learner.learn(self.config.round_length, callback=watch, log_interval=None, reset_num_timesteps=False)
        tensors = {k: v.clone() for k, v in self.network().state_dict().items()}
        bad = [name for name, value in tensors.items() if not bool(torch.isfinite(value).all())]
        if bad:
            raise DivergedError(
                f"weights of {bad[0]} are not finite after {self.learner.num_timesteps} steps; "
                f"the last checkpoint in {self.folder} is untouched: lower lr ({self.config.lr})"
            )
        figures = evaluate_learner(self.learner, self.evaluation_env, self.config.evaluation_episodes, self.success)
        if figures["success"] >= self.best:
            self.best, self.best_tensors = figures["success"], tensors
        self.good = self.good + 1 if figures["success"] >= self.config.stop_at else 0
        self.round += 1
        self.seconds += time.monotonic() - start
        row = {"step": self.learner.num_timesteps, "seconds": round(self.seconds, 2), **figures}
        if watch.ends:
            row |= {"training_success": float(np.mean(watch.ends)), "training_episodes": len(watch.ends)}
        logged = self.learner.logger.name_to_value.items()
        losses = {name: value for name, value in logged if name.startswith("train/") and name not in COUNTERS}
        return row | {name.removeprefix("train/"): float(value) for name, value in losses.items()}

    def save(self, finished: bool) -> None:
        """Writes a checkpoint; a finished run keeps the best policy alone."""
        files = {MODEL: self.best_tensors}
        if not finished:
            files[LEARNER] = learner_state(self.learner)
            if self.config.algo == "sac":
                files[REPLAY] = buffer_state(self.learner)
        facts: dict[str, Any] = {"seconds": self.seconds, "round": self.round, "good": self.good, "success": self.best}
        if self.config.curriculum == "plr":
            facts["success_by_object"] = self.success
        checkpoints.save_checkpoint(self.folder, self.learner.num_timesteps, files, finished, facts)

    def close(self) -> None:
        """Closes the environments."""
        self.env.close()
        self.evaluation_env.close()


def _loop(run: RlRun) -> None:
    config, folder = run.config, run.folder
    metrics = folder / METRICS
    trim_metrics(metrics, run.learner.num_timesteps)
    writer = curves(folder, run.learner.num_timesteps)
    saved = time.monotonic()
    bar = Progress(f"train {folder.name}", config.rounds * config.round_length, "step", run.learner.num_timesteps)
    with open(metrics, "a", encoding="utf-8", buffering=1) as log, bar:
        try:
            while not run.over:
                row = run.play_round(bar)
                log.write(json.dumps(row) + "\n")
                for key, figure in row.items():
                    writer.add_scalar(f"rl/{key}", figure, row["step"])
                writer.flush()
                bar.update(0, success=row["success"], best=run.best)
                if not run.over and time.monotonic() - saved >= 60.0 * config.checkpoint_minutes:
                    run.save(finished=False)
                    saved = time.monotonic()
        finally:
            writer.close()
    run.save(finished=True)


def train_rl(config: RlConfig, make_env: MakeEnv, make_experts: MakeExperts | None = None) -> dict[str, Any]:
    """Trains a policy by reinforcement into `config.out`, going on where an earlier run with the same settings stopped.

    Args:
        config: what to learn, where, and how.
        make_env: makes a Stable-Baselines3 VecEnv of so many of the configuration's environments, with flat observation
            keys, actions in [-1, 1], and attributes `action_contract` and `observation_contract`.
        make_experts: see `RlRun`.

    Returns:
        out, step, finished, cached (True when the run was complete already), success (of the best evaluation) and
        seconds.

    Raises:
        ConfigError: the folder holds a run of another configuration, or CUDA was asked for and is absent.
        UnknownNameError: the environment has no action of a name in `config.controls`.
        DivergedError: a weight is no longer a number.
        FileError: a checkpoint is damaged.
    """
    folder = Path(config.out)
    choose_device(config.device)  # fails before anything is written
    check_threads(config.threads)
    with locked(folder / "train"), torch_threads(config.threads):
        state = checkpoints.read_state(folder) if (folder / checkpoints.STATE_FILE).exists() else None
        checkpoints.require_same_run(folder, "rl", config, "toyshift train-rl", NOT_IDENTITY)
        cached = state is not None and bool(state["finished"])
        if not cached:
            run = RlRun(config, make_env, state, make_experts)
            try:
                if state is None:
                    checkpoints.write_contracts(folder, run.action_contract, run.observation_contract)
                    checkpoints.write_config(folder, "rl", config, run.policy_config, **{TRAINED_ON: [run.made_of()]})
                _loop(run)
            finally:
                run.close()
        state = checkpoints.read_state(folder)
        figures = {name: state[name] for name in ("step", "finished", "success", "seconds")}
        return {"out": str(folder), "cached": cached, **figures}
