"""Looks along episodes: a state is seen as it is and with something changed, and a policy answers to each.

Whatever asks "what would it do if only this were otherwise?" is measured here, of any policy that takes observations
and gives actions, behind a server too. The states are those of an episode of the expert, unless said otherwise: the
same for every policy, from the first look to the lifted object also where a policy never gets there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.core.contract import TASK
from toyshift.core.errors import ConfigError, GraspError
from toyshift.core.files import json_hash
from toyshift.core.progress import track
from toyshift.core.seeds import object_of_episode
from toyshift.core.workers import Job, Pool, core_count, play
from toyshift.core.world import World
from toyshift.diagnostics.actors import (
    BUILTIN,
    Actor,
    FolderActor,
    OracleActor,
    action_std,
    make_look,
    with_instruction,
)
from toyshift.diagnostics.evaluation import (
    EvaluateConfig,
    act_out,
    begin_episode,
    opened_session,
    served,
)

if TYPE_CHECKING:
    from toyshift.envs.tasks.grasp import GraspEnv

Along = Literal["expert", "policy"]  # whose episodes are looked at
Predict = Callable[[Sequence[Any]], NDArray[np.floating[Any]]]  # observations -> chunks (B, K, A), each a first one
BASE = "base"  # name of the state as it is


@dataclasses.dataclass(frozen=True)
class Change:
    """What is otherwise than in the state as it is.

    Attributes:
        look: changed fields of the appearance.
        move: of the target on the table [m].
        shift: of the episode, see `envs.shifts`, as its start draws it.
        again: loads the state anew, though nothing is moved.
        state: of the simulator, in place of the one that is looked at; None keeps it.
        expert: asks the expert for its next action there, in place of the policy; nan where it finds no grasp.
        told: an instruction in place of the world's own; "" keeps that.
        target: another object on the table to which the expert goes, where nothing else is changed; "" is the
            episode's own.
    """

    look: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    move: tuple[float, float] = (0.0, 0.0)
    shift: str = ""
    again: bool = False
    state: Array | None = dataclasses.field(default=None, compare=False)
    expert: bool = False
    told: str = ""
    target: str = ""


# (scene, look, whether nothing has touched the target yet, the world in that state) -> name -> change
Changes = Callable[[int, int, bool, World], Mapping[str, Change]]


@dataclasses.dataclass(frozen=True)
class Glance:
    """One look.

    Attributes:
        scene: number of the episode.
        object_id: the target.
        free: whether nothing has touched the target yet.
        changes: name -> what was changed.
        chunks: name -> (K, A) what the policy answered, or (1, A) the expert.
    """

    scene: int
    object_id: str
    free: bool
    changes: Mapping[str, Change]
    chunks: Mapping[str, Array]


@dataclasses.dataclass(frozen=True)
class Answers:
    """What one policy answered.

    Attributes:
        looks: in order of scenes, each scene's first to last.
        policy: its name.
        pooling: its pooling, "" where it has none or does not say.
        action_std: (A,) standard deviation of its training actions, None where it does not tell it.
    """

    looks: tuple[Glance, ...]
    policy: str
    pooling: str
    action_std: Array | None

    def chunks(self, name: str) -> Array:
        """Returns the answers (M, K, A) under a change, of the looks at which it was asked."""
        return np.stack([look.chunks[name] for look in self.looks if name in look.chunks])

    def scale(self) -> tuple[Array, str]:
        """Returns the unit of each action entry (A,), and what it is in words."""
        return action_scale(self.action_std, self.chunks(BASE))


def action_scale(std: NDArray[np.floating[Any]] | None, base: Array) -> tuple[Array, str]:
    """Returns the unit of each action entry (A,); entries that never vary get 1, in their own physical unit."""
    if std is not None:
        found, unit = np.asarray(std, dtype=np.float64), "standard deviations of the training actions"
    else:
        found = base.reshape(-1, base.shape[-1]).std(axis=0)
        unit = "standard deviations of the actions predicted for unchanged scenes"
    return np.where(found > 1e-6, found, 1.0), unit


def states_along(
    actor: Actor, world: World, object_id: str, scene: int, seed: int, looks: int, free_only: bool = False
) -> list[tuple[Array, bool]]:
    """Returns states of an episode, and whether nothing had touched the target yet, evenly from first to last.

    They are states in which an action is chosen. Where the expert finds no grasp, or gives up, those until then count.

    Args:
        actor: plays it, the expert or the policy itself.
        world: where it is played.
        object_id: the target.
        scene: number of the episode.
        seed: root seed.
        looks: how many at most.
        free_only: leave out those in which the target has been touched.
    """
    episode = EvaluateConfig("oracle", "", seed=seed, purpose="test")
    begin_episode(world, episode, object_id, scene)
    states = [(np.array(world.sim_state()), True)]
    with contextlib.suppress(GraspError):
        for info in act_out(actor, world, episode, scene):
            if free_only and info["touched"]:
                break
            states.append((np.array(world.sim_state()), not info["touched"]))
    chosen = states[:-1] or states  # no action is chosen in the last, unless it is the only one
    return [chosen[i] for i in evenly(len(chosen), looks)]


def evenly(count: int, most: int) -> Indices:
    """Returns numbers of `count` things, evenly from the first to the last, `most` of them or all."""
    return np.asarray(np.unique(np.linspace(0, count - 1, most).round().astype(np.int64)))


def looks_in_scene(
    predict: Predict, actor: Actor, world: World, ids: Sequence[str], scene: int, seed: int, looks: int,
    changes: Changes, look: Callable[[Mapping[str, Any]], Any] = make_look, free_only: bool = False,
    expert: Actor | None = None,
) -> list[Glance]:
    """Looks along one episode; all observations of it go to `predict` together.

    Args:
        predict: answers.
        actor: plays the episode.
        world: where scenes are made.
        ids: object ids; scenes take turns through them as an evaluation does.
        scene: number of the episode.
        seed: root seed.
        looks: at most.
        changes: what is changed.
        look: makes an appearance from changed fields; {} is the training look.
        free_only: look only where the target has not been touched.
        expert: needed where a change asks it.
    """
    object_id, _ = object_of_episode(ids, seed, scene)
    states = states_along(actor, world, object_id, scene, seed, looks, free_only)
    asked: list[dict[str, Change]] = []
    for at, (state, free) in enumerate(states):
        world.load_sim_state(object_id, state)
        asked.append({BASE: Change(), **changes(scene, at, free, world)})
    views: list[dict[str, Any]] = [{} for _ in states]
    by_expert: list[dict[str, Array]] = [{} for _ in states]
    for shift in dict.fromkeys(change.shift for some in asked for change in some.values()):
        if shift:  # other things on the table, or other cameras, as in the episode that is played under it
            config = EvaluateConfig("oracle", "", seed=seed, purpose="test", shift=shift)
            begin_episode(world, config, object_id, scene)
        for (state, _), some, view, acted in zip(states, asked, views, by_expert, strict=True):
            moved: tuple[float, float] | None = None
            for name, change in some.items():
                if change.shift != shift:
                    continue
                if change.move != moved or change.again or change.state is not None:
                    world.load_sim_state(object_id, state if change.state is None else change.state)
                    moved = change.move if change.state is None else None  # the next one needs its own state
                    if any(change.move):
                        world.move_object(*change.move)
                if change.expert:
                    with _aimed(world, change.target, object_id, state):
                        acted[name] = _next_action(cast("Actor", expert), world, seed, scene)
                    continue
                world.set_look(look(change.look))
                view[name] = world.observe() | ({TASK: change.told} if change.told else {})
    chunks = iter(np.asarray(predict([obs for view in views for obs in view.values()]), dtype=np.float64))
    return [
        Glance(scene, object_id, free, some, {name: next(chunks) for name in view} | acted)
        for (_, free), some, view, acted in zip(states, asked, views, by_expert, strict=True)
    ]


@contextlib.contextmanager
def _aimed(world: World, target: str, object_id: str, state: Array) -> Iterator[None]:
    """Makes another object the target, if one is named, and puts the state and its own target back."""
    if not target:
        yield
        return
    env = cast("GraspEnv", world)
    others = env.other_ids
    env.change_target(target)
    yield
    env.load_sim_state(object_id, state, others=others)


def _next_action(expert: Actor, world: World, seed: int, scene: int) -> Array:
    """Returns what the expert does next (1, A), who plans anew from the present state, the same way each time."""
    try:
        expert.reset(world, seed, scene)
        return np.asarray(expert.actions(world)[:1], np.float64)
    except GraspError:
        return np.full((1, len(world.action_contract.names)), np.nan)


@contextlib.contextmanager
def _opened(config: EvaluateConfig, along: Along) -> Iterator[tuple[FolderActor, Actor, World, Actor | None]]:
    from toyshift.data.grasping.choose import make_expert

    with opened_session(config) as (actor, world):
        known = along == "expert" or config.env.simulated
        expert = OracleActor(make_expert(cast("Any", world))) if known else None
        yield cast("FolderActor", actor), expert if expert and along == "expert" else actor, world, expert


def _look(
    ids: tuple[str, ...], seed: int, looks: int, changes: Changes, free_only: bool,
    opened: tuple[FolderActor, Actor, World, Actor | None], scene: int,
) -> Answers:  # fmt: skip
    actor, player, world, expert = opened

    def predict(observations: Sequence[Any]) -> NDArray[np.floating[Any]]:
        # a scene has one, where a change gives no other
        told = [obs if TASK in obs else with_instruction(obs, world) for obs in observations]
        return np.asarray(actor.policy.act_apart(told))

    found = looks_in_scene(predict, player, world, ids, scene, seed, looks, changes, free_only=free_only, expert=expert)
    return Answers(tuple(found), actor.name, actor.pooling, action_std(actor.policy))


def look_along(
    config: EvaluateConfig, looks: int, changes: Changes, *, along: Along = "expert", free_only: bool = False,
    workers: int | None = None, progress: bool = True, pool: Pool | None = None,
) -> Answers:  # fmt: skip
    """Looks along `config.trials` episodes of a policy folder, a bundle, or a policy behind a server.

    Args:
        config: policy, object set, seed, environment, and how a remote policy is asked.
        looks: at most, along each episode.
        changes: what is changed; a function or value of a module, which workers import.
        along: whose episodes.
        free_only: look only where the target has not been touched.
        workers: processes; None takes one per core, 0 looks in this one. Not used with `pool`.
        progress: show a bar.
        pool: processes of `worker_pool`, shared by several calls.

    Raises:
        ConfigError: the oracle or the random policy, which look at no images.
        RemoteError: a server does not answer, or too late.
    """
    from toyshift.toys import load_objects

    if config.policy in BUILTIN:
        told = f"{config.policy} looks at no images and is sensitive to none of their factors"
        raise ConfigError(f"{told}; name a trained policy")
    ids = tuple(load_objects(config.objects).ids)
    with served(config) as playing:
        asked = {"policy": playing.policy, "objects": config.objects, "env": config.env.to_json(), "along": along}
        work = functools.partial(_look, ids, config.seed, looks, changes, free_only)
        key = json_hash(asked | {"remote": dataclasses.asdict(config.remote)})
        job = Job(key, functools.partial(_opened, playing, along), work, f"looking with {config.policy}")
        count = min(core_count() if workers is None else workers, config.trials)
        every = play(range(config.trials), job, count, pool)
        found = list(track(every, f"looks of {config.name or config.policy}", config.trials, "scene", shown=progress))
    looks_ = sorted((look for part in found for look in part.looks), key=lambda look: look.scene)
    return dataclasses.replace(found[0], looks=tuple(looks_))
