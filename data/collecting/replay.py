"""Replays a dataset: executes its recorded actions again from the recorded start, and counts what succeeds again."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toyshift.core.contract import ACTION, SIM_STATE
from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.progress import track
from toyshift.data.episode import EXECUTED
from toyshift.data.store.dataset import Dataset
from toyshift.envs.cameras import CAMERAS, Camera
from toyshift.envs.config import EnvConfig
from toyshift.envs.shifts import Look
from toyshift.envs.tasks.grasp import GraspEnv


def environment_of(dataset: Dataset, **overrides: Any) -> GraspEnv:
    """Returns the environment in which a dataset was recorded, of its cameras only the built-in ones.

    Others have a pose of their own.

    Raises:
        ConfigError: the dataset mixes object sets, or was not recorded in a simulation of ours.
        FileError: it holds no episode.
    """
    dataset.require_episodes()
    sets = {dataset.meta(i).get("object_set") for i in range(dataset.num_episodes)}
    if None in sets:
        why = "it was not recorded in this simulation"
        raise ConfigError(f"{dataset.folder} does not say from which object set its objects are: {why}")
    if len(sets) != 1:
        raise ConfigError(f"{dataset.folder} mixes the object sets {sorted(map(str, sets))}; take its parts one by one")
    observation, action = dataset.observation_contract, dataset.action_contract
    cameras = tuple(Camera(name, size=size) for name, size in observation.cameras if name in CAMERAS)
    config: dict[str, Any] = {
        "objects": sets.pop(), "robot": dataset.robot_type, "action_mode": action.mode, "cameras": cameras,
        "control_hz": action.control_hz,
    }  # fmt: skip
    config |= dataset.meta(0).get("environment", {})  # the task, where several objects lie on the table
    env = GraspEnv(EnvConfig(**(config | overrides)))
    if env.action_contract.joint_names != action.joint_names:
        env.close()
        there, here = (", ".join(contract.joint_names) for contract in (action, env.action_contract))
        raise ContractError(f"{dataset.folder} was recorded with another robot: joints {there}, here {here}")
    return env


@dataclasses.dataclass(frozen=True)
class Replayed:
    """What became of one episode.

    Attributes:
        episode: its number.
        object_id: its object.
        recorded: whether it was recorded as a success.
        success: whether it succeeded again.
        drift: largest difference between recorded and repeated positions (m, rad, parts of a quaternion, as they come).
    """

    episode: int
    object_id: str
    recorded: bool
    success: bool
    drift: float


def begin_again(env: GraspEnv, meta: Mapping[str, Any], index: int) -> None:
    """Resets the environment to a recorded episode, under the training look.

    What is not in the simulator's state (its shift, distractors, what the object is made of) comes from there.
    """
    options = {
        "episode": int(meta.get("attempt", index)), "object": meta["object_id"], "look": Look(),
        "shift": meta.get("factors", {}).get("shift", ""),
    }
    env.reset(seed=int(meta.get("seed", 0)), options=options)


def replay_episode(dataset: Dataset, env: GraspEnv, index: int) -> Replayed:
    """Executes one episode's actions again from the simulator state of its first frame.

    Raises:
        ContractError: the dataset keeps no simulator state, or was recorded with another model.
    """
    key = EXECUTED if EXECUTED in dataset.columns else ACTION
    if SIM_STATE not in dataset.columns:
        why = f"it does not keep the simulator's state ({SIM_STATE})"
        raise ContractError(f"{dataset.folder}: where its episodes began is unknown, {why}")
    episode = dataset.episode(index, [key, SIM_STATE])
    meta, states, actions = episode.meta, episode.frames[SIM_STATE], episode.frames[key]
    begin_again(env, meta, index)
    env.load_sim_state(meta["object_id"], states[0], meta.get("model_hash"), meta.get("others"))
    positions = slice(1, 1 + env.scene.model.nq)  # the state begins with the time and the positions
    drift, success = 0.0, False
    for t, action in enumerate(actions):
        drift = max(drift, float(np.abs(env.sim_state() - states[t])[positions].max()))
        _, terminated, info = env.advance(action)
        success = bool(info["is_success"])
        if terminated:
            break
    return Replayed(index, str(meta["object_id"]), bool(meta.get("success", True)), success, drift)


def replay(dataset: Dataset, episodes: Sequence[int] | None = None) -> dict[str, Any]:
    """Replays episodes of a dataset, all by default, without rendering.

    Returns:
        episodes, recorded (successes among them), again (of those, how many succeeded again), share = again / recorded,
        actions ("executed_action", or "action" where the dataset does not keep what disturbances made of it),
        max_drift, failed (episodes that did not succeed again, with their object).
    """
    numbers = list(range(dataset.num_episodes)) if episodes is None else [int(i) for i in episodes]
    env = environment_of(dataset, cameras=())
    try:
        results = [replay_episode(dataset, env, i) for i in track(numbers, "replay", unit="episode")]
    finally:
        env.close()
    recorded = [r for r in results if r.recorded]
    failed = [r for r in recorded if not r.success]
    return {
        "episodes": len(results), "recorded": len(recorded), "again": len(recorded) - len(failed),
        "share": (len(recorded) - len(failed)) / len(recorded) if recorded else None,
        "actions": EXECUTED if EXECUTED in dataset.columns else ACTION,
        "max_drift": max((r.drift for r in results), default=0.0),
        "failed": [{"episode": r.episode, "object_id": r.object_id, "drift": r.drift} for r in failed],
        "failed_by_object": dict(collections.Counter(r.object_id for r in failed)),
    }
