"""Snapshots of a grasp environment in an episode: restored, it goes on as if nothing had happened in between."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from typing import Any

import mujoco

from toyshift.core.arrays import Array
from toyshift.core.errors import ContractError
from toyshift.envs.tasks.grasp import STATE_SPEC, GraspEnv

# what an episode has changed in the environment besides the simulator's state
PROGRESS = ("_judge", "_observer", "_steps", "_ready")


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Everything that the rest of an episode depends on.

    Attributes:
        seed, episode: which episode.
        options: reset options "object", "look" and "shift".
        model_hash: of the scene; another one is refused.
        state: MuJoCo's integration state (N,): positions, velocities, activations, controls, warm start, time.
        joints: commanded joint angles (n,) [rad].
        opening: commanded gripper opening, 0..1.
        waiting: actions under way, oldest first, where a shift delays them.
        progress: the environment's own counters.
    """

    seed: int
    episode: int
    options: dict[str, Any]
    model_hash: str
    state: Array
    joints: Array
    opening: float
    waiting: tuple[Array, ...]
    progress: dict[str, Any]


def save(env: GraspEnv) -> Snapshot:
    """Returns a snapshot of the present episode; the environment goes on unchanged."""
    return Snapshot(
        seed=env._seed,
        episode=env._episode,
        options={"object": env.object.id, "look": env.look, "shift": env.shifts, "purpose": env._purpose},
        model_hash=env.model_hash(),
        state=env.sim_state(),
        joints=env.commanded_joints(),
        opening=env._gripper.opening,
        waiting=tuple(env._channel.waiting),
        progress={name: copy.deepcopy(getattr(env, name)) for name in PROGRESS},
    )


def restore(env: GraspEnv, snapshot: Snapshot) -> None:
    """Puts an environment of the same configuration into a snapshot, also another one than was saved.

    Raises:
        ContractError: the environment builds another scene than the one that was saved.
    """
    env.reset(seed=snapshot.seed, options={"episode": snapshot.episode, **snapshot.options})
    if env.model_hash() != snapshot.model_hash:
        hashes = f"{snapshot.model_hash}, now {env.model_hash()}"
        raise ContractError(f"the snapshot of {snapshot.options['object']} was made with another model ({hashes})")
    model, data = env.scene.model, env.scene.data
    state = snapshot.state[: mujoco.mj_stateSize(model, STATE_SPEC)]
    mujoco.mj_setState(model, data, state, STATE_SPEC)
    mujoco.mj_forward(model, data)
    mujoco.mj_setState(model, data, state, STATE_SPEC)  # forward dynamics may have moved the warm start
    env._arm.set_joints(snapshot.joints)
    env._gripper.opening = snapshot.opening
    env._channel.waiting = deque(snapshot.waiting)
    for name, value in snapshot.progress.items():
        setattr(env, name, copy.deepcopy(value))
