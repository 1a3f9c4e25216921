"""One attempt at a demonstration: played by the expert, recorded frame by frame, kept or not."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from toyshift.core.arrays import Float32
from toyshift.core.contract import ACTION, SIM_STATE, STATE, image_key, mask_key
from toyshift.core.errors import GraspError
from toyshift.core.seeds import episode_rng
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.dials import begin
from toyshift.data.collecting.disturbance import Disturbance, Disturber
from toyshift.data.collecting.ledger import Attempt
from toyshift.data.collecting.takeover import Starter
from toyshift.data.collecting.variety import Variety
from toyshift.data.episode import EXECUTED, Episode
from toyshift.data.grasping.choose import make_expert
from toyshift.data.grasping.expert import GraspExpert
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.envs.tasks.success import MAX_PENETRATION

MAX_STEPS = 100
DROPPED_FROM = 0.05  # height above which a missed object was held for a while [m]


class Players(NamedTuple):
    """What a process keeps between attempts."""

    env: GraspEnv
    expert: GraspExpert
    starter: Starter | None


@contextlib.contextmanager
def opened(config: CollectConfig) -> Iterator[Players]:
    """Yields the environment and who plays in it."""
    env = GraspEnv(config.env_config())
    try:
        yield Players(env, make_expert(env), config.take_over.beginner.load() if config.take_over else None)
    finally:
        env.close()


def attempt(config: CollectConfig, players: Players, index: int) -> tuple[Attempt, Episode | None]:
    """Plays attempt `index`; returns its episode as well, if it is to be kept."""
    begun = time.perf_counter()
    episode, cause = _record(players, config, index)
    return Attempt(index, not cause, cause, time.perf_counter() - begun, episode is not None), episode


def begin_attempt(
    config: CollectConfig, players: Players, index: int
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Puts the environment into an attempt's first state; returns observation, info, and factors of a sub-dataset."""
    env = players.env
    if config.sub_dataset is not None:
        observation, info, drawn = begin(env, config.sub_dataset, config.seed, index)
        return observation, info, {"sub_dataset": drawn}
    options = {"episode": index, "object": object_of_attempt(config, len(env.objects), index)}
    return *env.reset(seed=config.seed, options=options), {}


def object_of_attempt(config: CollectConfig, count: int, index: int) -> str | int:
    """Returns the object of an attempt: they take turns, or are drawn by their shares."""
    if not config.shares:
        return index % count
    parts = np.array([share for _, share in config.shares])
    drawn = episode_rng(config.seed, index, "object-share").choice(len(parts), p=parts / parts.sum())
    return config.shares[int(drawn)][0]


def _record(players: Players, config: CollectConfig, index: int) -> tuple[Episode | None, str]:
    """Plays one attempt.

    Returns:
        its episode, or None where it is not to be kept, and the cause of the failure ("" for a success).
    """
    env, expert, starter = players
    observation, info, factors = begin_attempt(config, players, index)
    start_position, start_rotation = env.object_pose()
    style = episode_rng(config.seed, index, "variety")
    expert.config = Variety(config.variety).expert(config.expert_config(), style)
    try:
        expert.reset(config.seed, index)
        if config.take_over and starter:
            rng = episode_rng(config.seed, index, "take-over")
            begun = config.take_over.play(env, starter, config.seed, index, rng)
            if begun is None:
                return None, "not taken over"
            factors["begun"] = begun
            expert.take_over()
            observation = env.observe()
    except GraspError:
        return None, "no grasp found"
    # where a beginner has played, the hand does not stand at its start any more: no turn to begin with
    disturbance = dataclasses.replace(Disturbance(), start_steps=0) if config.take_over else Disturbance()
    disturber = Disturber(disturbance, env.action_contract, episode_rng(config.seed, index, "disturbance"))
    frames: dict[str, list[Any]] = collections.defaultdict(list)
    for _ in range(MAX_STEPS):
        action = np.clip(expert.act(), env.action_contract.low, env.action_contract.high).astype(np.float32)
        _append(frames, env, observation, action)
        executed = disturber(action, expert.approaching) if config.disturb else action
        frames[EXECUTED].append(executed)
        observation, _, terminated, _, info = env.step(executed)
        if terminated:
            break
    cause = ""
    if not info["is_success"]:
        penetrated, dropped = info["penetration"] > MAX_PENETRATION, info["max_height"] > DROPPED_FROM
        cause = "penetrated" if penetrated else "dropped" if dropped else "missed"
        cause = "unstable" if info["unstable"] else cause
        if config.keep != "failed":
            return None, cause
    for name, value in env.variation.values.items():
        frames[f"factor.{name}"] = [np.array([value], np.float32)] * len(frames[ACTION])
    position, rotation = expert.grasp.position, expert.grasp.rotation
    start = np.block([[start_rotation, start_position[:, None]], [np.zeros((1, 3)), np.ones((1, 1))]])
    meta = {
        "task": env.task_description, "success": not cause, "seed": config.seed, "attempt": index,
        "object_id": env.object.id, "object_set": config.objects, "object_pose": start.round(6).tolist(),
        "grasp": {
            "position": position.round(6).tolist(), "rotation": rotation.round(6).tolist(),
            "width": round(expert.grasp.width, 6),
        },
        "attempts": expert.attempts, "model_hash": env.model_hash(),
        "factors": {"look": dataclasses.asdict(env.look), "disturbed": config.disturb} | factors,
    }  # fmt: skip
    if env.other_ids:  # the meaning of the simulator's state depends on them
        meta["others"] = list(env.other_ids)
        meta["environment"] = {"task": config.task, "clutter": config.clutter}
    if env.shifts.items:
        meta["factors"] |= {"shift": str(env.shifts), **env.variation.values}
    if config.variety:
        style_names = ("speed", "hover", "funnel")
        drawn = {name: getattr(expert.config, name) for name in style_names}
        meta["factors"]["style"] = drawn | {"tilt": expert.config.planner.tilts[0]}
    if cause:
        meta["cause"] = cause
    return Episode(index, {k: np.stack(v) for k, v in frames.items()}, meta), cause


def _append(frames: dict[str, list[Any]], env: GraspEnv, observation: dict[str, Any], action: Float32) -> None:
    for camera in env.config.camera_names:
        frames[image_key(camera)].append(observation["pixels"][camera])
        frames[mask_key(camera)].append(observation["masks"][camera])
        extrinsics, intrinsics = env.camera_pose(camera)
        frames[f"camera.{camera}.extrinsics"].append(extrinsics.astype(np.float32))
        frames[f"camera.{camera}.intrinsics"].append(intrinsics.astype(np.float32))
    frames[STATE].append(observation["agent_pos"])
    frames[ACTION].append(action)
    frames[SIM_STATE].append(env.sim_state())
