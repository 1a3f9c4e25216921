"""Does a policy go to what is named? On Pick the instruction is swapped for the other object's, in the same state.

Two objects lie on the table. Along the expert's episodes the policy is asked twice what it does next, all that it sees
being the same: as it was told, and told the other object's name. d is what the expert would do otherwise if the other
one were its target, from the same state: beta = <da, d> / |d|^2 is the part of the way between the objects that its
action goes. 1 follows what is named, 0 does not heed it. The expert's d serves every policy, so one that hardly moves
at all has a small beta too: what it moves to is told by episodes that are played.

The null: signs of whole objects are dealt out at random.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import RefusalError, UnknownNameError
from toyshift.core.seeds import object_of_episode
from toyshift.core.workers import Job, Pool, play
from toyshift.core.world import World
from toyshift.diagnostics.actors import Actor, EnvSpec
from toyshift.diagnostics.evaluation import EvaluateConfig, act_out, begin_episode, opened_session, served, session_key
from toyshift.diagnostics.looks import BASE, Answers, Change, look_along
from toyshift.diagnostics.measuring.counterfactual import ALPHA, FEW, WHOLLY, flipped, scene_means, unit_sums, units_of
from toyshift.diagnostics.measuring.finding import Finding, Findings, percent, undefined
from toyshift.diagnostics.measuring.own_success import CAPABLE_FROM, STARTS
from toyshift.diagnostics.named import PICK, WORDS, told_of
from toyshift.diagnostics.statistics import bootstrap_ratio
from toyshift.diagnostics.tables import interval
from toyshift.policies.provenance import policy_config
from toyshift.policies.remote.options import RemoteOptions, is_remote

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked
    from toyshift.envs.tasks.grasp import GraspEnv

NAME, UNIT = "named", "of the way from one object to the other"
# chosen before any policy was looked at; from `WHOLLY` on it "follows", below "in part"
LITTLE = 0.2  # part of the way within which the whole interval lies where it "ignores" what is named
NEAR = 0.05  # of the hand to an object's bounding box, from which on it counts as reached [m]
MARKED = "its masks go on marking the object that was named first"
SCENE = EnvSpec({"task": PICK, "clutter": 1})
TOLD, EXPERT, EXPERT_THERE = "told", "expert", "expert there"
FOLLOWS, IN_PART, IGNORES, AWAY, UNDECIDED = (
    "follows", "follows in part", "ignores", "goes away", "undecided",
)  # fmt: skip


def other_named(scene: int, at: int, free: bool, world: World) -> dict[str, Change]:
    """Returns what is asked at a look: the other object's name, and the expert's way to either."""
    env = cast("GraspEnv", world)
    other = env.others()[0][0]
    return {
        TOLD: Change(told=env.instruction(other)), EXPERT: Change(expert=True),
        EXPERT_THERE: Change(expert=True, target=other.id),
    }  # fmt: skip


def named(answers: Answers, *, seed: int = 0, reached: tuple[int, int] | None = None, subject: str = "") -> Finding:
    """Returns whether a policy goes to what is named.

    Args:
        answers: to `other_named`, in scenes with two objects.
        seed: of the bootstrap and signs.
        reached: episodes in which it came near an object, and all that were played; None where none were.
        subject: whose answers they are.
    """
    subject = subject or answers.policy
    scale, unit_name = answers.scale()
    scene, unit, few = units_of(answers)
    units = int(unit.max()) + 1
    if reached is not None and reached[0] < CAPABLE_FROM * reached[1]:
        k, n = reached
        why = f"it does not reach either object: its hand comes near one in {k} of {n} episodes"
        return undefined(NAME, UNIT, why, n=units, subject=subject)
    if units < FEW:
        why = f"{units} scenes; it needs {FEW} to tell following from chance"
        return undefined(NAME, UNIT, why, n=units, subject=subject)
    base, told, here, there = (
        answers.chunks(name)[:, 0] / scale for name in (BASE, TOLD, EXPERT, EXPERT_THERE)
    )  # (N, A) each, in units of an action's spread
    way = np.nan_to_num(there - here)  # looks without a grasp have no weight
    square = (way**2).sum(axis=1)
    if not square.any():
        why = "the expert finds no grasp of the one or of the other object"
        return undefined(NAME, UNIT, why, n=units, subject=subject)

    def part(change: Array) -> Array:  # (N, A) -> (S,)
        return scene_means((np.nan_to_num(change) * way).sum(axis=1), scene)

    bottom, top = scene_means(square, scene), part(told - base)
    value = bootstrap_ratio(top, bottom, unit.tolist(), seed=seed)
    p = flipped([unit_sums(top[:, None], unit)], seed, NAME)
    goes = [float(part(action - here).sum() / bottom.sum()) for action in (base, told)]
    changed = float((told != base).any(axis=1).mean())
    word = _word(value.value, value.low, value.high, p, reached)
    figures = f"{percent(value.value)} {interval(100 * value.low, 100 * value.high, 0)} of the way, p {p:.2g}"
    verdict = f"not labelled, whether it reaches an object is unknown (no episodes were played): {figures}"
    if word:
        verdict = f"{SAID[word]}: told the other object's name in the same state, it goes {figures}"
    lines: dict[str, Any] = {
        "verdict": word, "part of the way": value.value, "low": value.low, "high": value.high, "p": p,
        "as told": goes[0], "told the other": goes[1], "looks that change": changed,
        "reached": None if reached is None else reached[0], "played": None if reached is None else reached[1],
    }  # fmt: skip
    caveats = (
        few, "as told, told the other: where it goes, 0 to the object that was named first, 1 to the other one",
        "ways are the expert's, before the target is touched", f"a change of 1 is {unit_name}",
    )  # fmt: skip
    return Finding(
        name=NAME, subject=subject, value=value, unit=UNIT, null=0.0, verdict=verdict, table=(lines,),
        card="" if reached is None else verdict, caveats=tuple(filter(None, caveats)),
    )  # fmt: skip


SAID = {
    FOLLOWS: "follows what is named", IN_PART: "follows what is named in part",
    IGNORES: "ignores what is named", AWAY: "goes away from what is named",
    UNDECIDED: "undecided whether it heeds what is named",
}  # fmt: skip


def _word(value: float, low: float, high: float, p: float, reached: tuple[int, int] | None) -> str:
    if reached is None:
        return ""
    if low > -LITTLE and high < LITTLE:
        return IGNORES
    if p > ALPHA or low <= 0 <= high:
        return UNDECIDED
    return AWAY if value < 0 else FOLLOWS if value >= WHOLLY else IN_PART


def untold(policy: str, remote: RemoteOptions) -> str:
    """Returns why an instruction cannot reach a policy; "" where it can, or nobody knows."""
    from toyshift.policies.remote.keys import Keys

    if is_remote(policy):
        silent = bool(remote.keys) and not Keys.read(remote.keys).prompt
        return f"no instruction is sent to it: --remote-keys {remote.keys} has no prompt" if silent else ""
    config = policy_config(policy)
    if config is None or config.told in WORDS:
        return ""
    told = told_of(policy)
    return f"its observation has no instruction (what is meant it is told by: {told})"


def _approach(ids: tuple[str, ...], config: EvaluateConfig, opened: tuple[Actor, World], episode: int) -> bool:
    """Plays an episode; returns whether the hand came near any object."""
    actor, world = opened
    object_id, _ = object_of_episode(ids, config.seed, episode)
    env = cast("GraspEnv", world)
    begin_episode(world, config, object_id, episode)
    return any(_nearest(env) < NEAR for _ in act_out(actor, world, config, episode))


def _nearest(env: GraspEnv) -> float:
    """Returns how far the hand is from the nearest object's bounding box [m]."""
    hand = env.hand_pose()[0]
    every = [(env.object, *env.object_pose()), *env.others()]
    apart = []
    for obj, position, rotation in every:
        low, high = obj.mesh.bounds
        at = (hand - position) @ rotation  # object frame
        apart.append(float(np.linalg.norm(at - np.clip(at, low, high))))
    return min(apart)


def reaches(asked: Asked, pool: Pool) -> tuple[int, int]:
    """Returns in how many episodes of two objects a policy's hand comes near one, and how many were played."""
    from toyshift.toys import load_objects

    config = EvaluateConfig(
        asked.policy, asked.objects, asked.trials, asked.seed + STARTS, env=SCENE, remote=asked.remote
    )
    ids = tuple(load_objects(config.objects).ids)
    with served(config) as playing:
        work = functools.partial(_approach, ids, playing)
        opening = functools.partial(opened_session, playing)
        job = Job(session_key(playing), opening, work, f"playing {asked.policy} among two objects")
        near = list(play(range(config.trials), job, pool=pool))
    return sum(near), len(near)


def named_of(asked: Asked) -> Findings:
    """Answers for one policy, in scenes of Pick with two objects."""
    from toyshift.envs.tasks.pick import phrase
    from toyshift.toys import load_objects

    subject = Path(asked.policy).name if not is_remote(asked.policy) else asked.policy

    def nothing(why: str) -> Findings:
        return Findings((undefined(NAME, UNIT, why, subject=subject),))

    if why := untold(asked.policy, asked.remote):
        return nothing(why)
    objects = load_objects(asked.objects)
    if all(phrase(obj) == phrase(objects[0]) for obj in objects):
        return nothing(f"{asked.objects} holds no two objects that can be told apart by name")
    config = EvaluateConfig(
        asked.policy, asked.objects, trials=asked.scenes, seed=asked.seed, env=SCENE, remote=asked.remote
    )
    try:
        with asked.playing() as pool:
            answers = look_along(config, asked.looks, other_named, free_only=True, pool=pool)
            reached = reaches(asked, pool) if asked.trials else None
    except UnknownNameError as error:  # a table of instructions knows those of its training alone
        return nothing(f"the objects of {asked.objects} cannot be named to it: {error}; --objects takes others")
    except RefusalError as error:
        return nothing(str(error))
    found = named(answers, seed=asked.seed, reached=reached, subject=subject)
    if not is_remote(asked.policy) and "masks" in told_of(asked.policy):
        found = dataclasses.replace(found, caveats=(*found.caveats, MARKED))
    return Findings((found,))
