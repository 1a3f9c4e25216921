"""Asks a policy folder, a bundle or a server in states of the expert's episodes, for the gate."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np

from toyshift.core.arrays import Array, Float32
from toyshift.core.errors import ConfigError, GraspError
from toyshift.core.progress import Progress
from toyshift.core.seeds import object_of_episode
from toyshift.core.world import World
from toyshift.diagnostics.actors import BUILTIN, FolderActor, OracleActor, RemoteActor, with_instruction
from toyshift.diagnostics.evaluation import EvaluateConfig, act_out, begin_episode, opened_session, served
from toyshift.diagnostics.interface.gate import ExpertFrames, GateReport, check_interface, interface_of, readings
from toyshift.diagnostics.interface.miswirings import Observation, Predict

STEPS = 8  # actions of the expert that are compared, of each chunk
TRIES = 3  # episodes that are begun for each that is asked for: the expert does not always succeed


def expert_frames(world: World, ids: Sequence[str], episodes: int, looks: int, seed: int) -> ExpertFrames:
    """Plays the expert's episodes, and returns states along them with what it did from there on.

    Args:
        world: ToyShift's own environment, with the cameras of the policy.
        ids: object ids; episodes take turns through them as an evaluation's do.
        episodes: in which the expert succeeds.
        looks: at most, evenly along each.
        seed: root seed.

    Raises:
        ConfigError: the expert does not succeed often enough.
    """
    from toyshift.data.grasping.choose import make_expert

    expert = OracleActor(make_expert(cast("Any", world)))
    config = EvaluateConfig("oracle", "", seed=seed, purpose="validation")
    observations: list[Observation] = []
    actions: list[Array] = []
    numbers: list[int] = []
    begun, done = 0, 0
    with Progress("episodes of the expert", total=episodes, unit="ep") as bar:
        while done < episodes:
            if begun == TRIES * episodes:
                raise ConfigError(f"the expert succeeded in {done} of {begun} episodes; the gate asks for {episodes}")
            seen, acted = _episode(expert, world, config, ids, begun)
            begun += 1
            if not seen:
                continue
            done += 1
            bar.update(1)
            for i in np.unique(np.linspace(0, len(acted) - 1, looks).round().astype(int)):
                ahead = np.full((STEPS, acted.shape[1]), np.nan)
                ahead[: len(acted) - i] = acted[i : i + STEPS]
                observations.append(seen[i])
                actions.append(ahead)
                numbers.append(begun)
    return ExpertFrames(observations, np.stack(actions), np.array(numbers))


class _Noted:
    """The expert, with what it saw before each action and what it did; see `Actor`."""

    def __init__(self, expert: OracleActor) -> None:
        self._expert, self.name, self.pooling, self.ious = expert, expert.name, expert.pooling, expert.ious
        self.seen: list[Observation] = []
        self.done: list[Array] = []

    def reset(self, env: World, seed: int, episode: int) -> None:
        self._expert.reset(env, seed, episode)

    def actions(self, env: World) -> Float32:
        self.seen.append(with_instruction(env.observe(), env))
        chosen = np.clip(self._expert.actions(env), env.action_contract.low, env.action_contract.high)
        self.done.append(chosen[0].astype(np.float64))
        return chosen.astype(np.float32)


def _episode(
    expert: OracleActor, world: World, config: EvaluateConfig, ids: Sequence[str], number: int
) -> tuple[list[Observation], Array]:
    """Returns what was seen before each action and the actions (T, A) of one episode; nothing where it failed."""
    begin_episode(world, config, object_of_episode(ids, config.seed, number)[0], number)
    noted = _Noted(expert)
    with contextlib.suppress(GraspError):
        if [info["is_success"] for info in act_out(noted, world, config, number)][-1]:
            return noted.seen, np.array(noted.done)
    return [], np.empty((0, 0))


def counted(actor: FolderActor, bar: Progress) -> Predict:
    """Returns what an actor's policy answers, one chunk a state; the bar counts the states as they are answered."""

    def one_by_one(seen: Sequence[Observation]) -> Iterator[Observation]:
        for observation in seen:
            yield observation
            bar.update()

    def answer(seen: Sequence[Observation]) -> Array:
        if isinstance(actor, RemoteActor):  # which takes them one at a time: a slow server is seen to answer
            return np.asarray(actor.policy.act_apart(one_by_one(seen)))
        chunks = np.asarray(actor.policy.act_apart(seen))
        bar.update(len(seen))
        return chunks

    return answer


def check_policy_interface(config: EvaluateConfig, episodes: int = 24, looks: int = 6) -> GateReport:
    """Says whether a policy looks wired as it was trained.

    Args:
        config: policy, object set, seed, environment, and how a remote policy is asked; shift and look are not used.
        episodes: of the expert.
        looks: along each.

    Raises:
        ConfigError: the oracle or the random policy; an environment that is not ToyShift's own.
        RemoteError: a server does not answer, or too late.
    """
    from toyshift.toys import load_objects

    if config.policy in BUILTIN:
        raise ConfigError(f"{config.policy} has no interface to check; name a trained policy")
    if not config.env.simulated:
        raise ConfigError("the interface gate compares with the expert, who acts in ToyShift's own environment only")
    ids = tuple(load_objects(config.objects).ids)
    with served(config) as playing, opened_session(playing) as (actor, world):
        acting = cast("FolderActor", actor)
        frames = expert_frames(world, ids, episodes, looks, config.seed)
        interface = interface_of(frames, world.action_contract, world.observation_contract)
        name = config.name or acting.name
        total = len(frames.observations) * readings(interface)
        with Progress("answers of the policy", total=total, unit="state") as bar:
            return check_interface(counted(acting, bar), frames, interface, name)
