"""Outside its data, does a policy take the rule's action or that of the nearest example? `case`, of a policy of ours.

States: the target at a place of the table where no example's was, and at an example's place under the look of others.
What is right there is what the expert does; the example is the training frame whose factors are nearest.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Float32
from toyshift.core.contract import ActionContract, require_same_contract
from toyshift.core.errors import ConfigError, ContractError, GraspError
from toyshift.core.seeds import episode_rng
from toyshift.core.world import World
from toyshift.diagnostics.evaluation import EvaluateConfig
from toyshift.diagnostics.looks import Answers, Change, look_along
from toyshift.diagnostics.measuring.case import PART, case_index
from toyshift.diagnostics.measuring.counterfactual import units_of
from toyshift.diagnostics.measuring.examples import (
    FACTORS,
    STEPS,
    Examples,
    before_closing,
    factors_of,
    read_examples,
)
from toyshift.diagnostics.measuring.finding import Finding, Findings, undefined
from toyshift.diagnostics.measuring.implied import Implied, implied_of

if TYPE_CHECKING:
    from toyshift.data.grasping.expert import GraspExpert
    from toyshift.diagnostics.measures import Asked
    from toyshift.envs.tasks.grasp import GraspEnv

NAME = "rule"
PLACES = "places"  # the kind of states in which the target lies where no example's did
WITHIN = "within"  # in which it lies where an example's did, and the example is another one: how right it is there
APART = 0.03  # from the places of all examples, from which a place is outside them [m]
BEYOND = 0.08  # most that a place lies outside the box of the examples' places [m]
GRID = 0.01  # of the places that are drawn from [m]
TRIES = 4  # places that are drawn until the expert succeeds at one
LONGEST = 100  # actions of the expert


@dataclasses.dataclass(frozen=True)
class Step:
    """A state on the expert's way to the grasp.

    Attributes:
        state: of the simulator.
        factors: (F,) see `examples.FACTORS`.
        law: (STEPS, A) what the expert does from there on.
        carried: (STEPS, A) what it would do if the target lay where the nearest example's did, and it took it there by
            the same grasp.
    """

    state: Array
    factors: Array
    law: Array
    carried: Array


@dataclasses.dataclass(frozen=True)
class Departure:
    """Where a way is to begin.

    Attributes:
        place: (2,) for the target [m].
        example: (2,) where it lay in the nearest example [m].
        states: along the way, at most.
        seed: root seed.
        scene: number of the episode.
    """

    place: Array
    example: Array
    states: int
    seed: int
    scene: int


# the world at the start of a scene -> states on the way to the target at another place, the world as it was before;
# none where the expert does not succeed
Way = Callable[[World, Departure], list[Step]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Elsewhere(Change):
    """One state outside the trained region.

    Attributes:
        kind: PLACES, WITHIN, or the factor whose value is another example's.
        place: (2,) of the target [m].
        step: what is known of it.
    """

    kind: str
    place: Array
    step: Step


def expert_way(world: World, start: Departure) -> list[Step]:
    """Returns the expert's way, see `Way`."""
    env = cast("GraspEnv", world)
    before, target = np.array(env.sim_state()), env.object.id
    env.move_object(*(start.place - env.object_pose()[0][:2]))
    found = _played(env, start)
    env.load_sim_state(target, before)
    return found


def _played(env: GraspEnv, start: Departure) -> list[Step]:
    from toyshift.data.grasping import expert as grasping
    from toyshift.data.grasping.choose import make_expert
    from toyshift.data.grasping.hand import yaw_of

    expert, target = make_expert(env), env.object.id
    try:
        expert.reset(start.seed, start.scene)
    except GraspError:
        return []
    states, hands, yaws = [], [], []
    actions: list[Float32] = []
    over, info = False, {"is_success": False}
    while not over and len(actions) < LONGEST:
        position, rotation = env.hand_pose()
        states.append(np.array(env.sim_state()))
        hands.append(position)
        yaws.append(yaw_of(rotation))
        action, over, info = _step(env, expert)
        actions.append(action)
    if expert.attempts > 1 or not info["is_success"]:
        return []
    done, grasp = np.asarray(actions, np.float64), expert.grasp
    factors = factors_of(start.place, np.array(hands), np.array(yaws), yaw_of(grasp.rotation), grasp.width)
    there = dataclasses.replace(grasp, position=grasp.position + np.append(start.example - start.place, 0.0))
    steps = []
    count = before_closing(done, env.action_contract)
    for t in np.unique(np.linspace(0, count - 1, start.states).round().astype(int)) if count else ():
        # only the grasp is elsewhere: a target that was moved as well might lie in the fingers
        env.load_sim_state(target, states[t])
        other = grasping.GraspExpert(env, lambda situation, config: there)
        other.reset(start.seed, start.scene)
        carried = np.asarray([_step(env, other)[0] for _ in range(STEPS)], np.float64)
        steps.append(Step(states[t], factors[t], done[t : t + STEPS], carried))
    return steps


def _step(env: GraspEnv, expert: GraspExpert) -> tuple[Float32, bool, dict[str, Any]]:
    """Acts once; returns the action, whether the episode is over, and what the environment says of it."""
    contract = env.action_contract
    action = np.clip(expert.act(), contract.low, contract.high).astype(np.float32)
    _, over, info = env.advance(action)
    return action, over, info


@dataclasses.dataclass(frozen=True)
class Outside:
    """What is asked at the start of each scene: states on the expert's way to a place outside, and under other looks.

    Attributes:
        contract: what the examples' actions mean; the world's must mean the same.
        outside: (P, 2) places without an example [m].
        places: (E, 2) those of the examples [m].
        looks: of each example, what differs from the training look.
        swaps: factor -> for both of its values, the value, and the numbers of the examples that showed it.
        states: along each way, at most.
        seed: root seed.
        way: see `Way`, a function of a module.
    """

    contract: ActionContract
    outside: Array
    places: Array
    looks: tuple[Mapping[str, Any], ...]
    swaps: Mapping[str, tuple[tuple[Any, tuple[int, ...]], ...]]
    states: int
    seed: int
    way: Way = expert_way

    def __call__(self, scene: int, at: int, free: bool, world: World) -> dict[str, Change]:
        require_same_contract(self.contract, world.action_contract, "the training data", "the environment")
        kinds = [*([PLACES] if len(self.outside) else []), WITHIN, *self.swaps]
        return {f"{kind} {i}": one for kind in kinds for i, one in enumerate(self._of_kind(kind, scene, world))}

    def _of_kind(self, kind: str, scene: int, world: World) -> list[Elsewhere]:
        rng = episode_rng(self.seed, scene, f"{NAME} {kind}")
        for _ in range(TRIES):
            if (drawn := self._drawn(kind, rng)) is None:
                continue
            place, look, example = drawn
            if steps := self.way(world, Departure(place, example, self.states, self.seed, scene)):
                return [Elsewhere(look, state=step.state, kind=kind, place=place, step=step) for step in steps]
        return []

    def _drawn(self, kind: str, rng: np.random.Generator) -> tuple[Array, Mapping[str, Any], Array] | None:
        """Returns a place, a look, and the place of the nearest example of those that count; None where none does."""
        if kind == PLACES:
            place = self.outside[int(rng.integers(len(self.outside)))]
            number = _nearest(self.places, place)
            return place, self.looks[number], self.places[number]
        if kind == WITHIN:
            number = int(rng.integers(len(self.places)))
            apart = np.linalg.norm(self.places - self.places[number], axis=1) >= APART
            look, others = self.looks[number], self.places[apart]
        else:
            here, there = rng.permutation(2)
            number = int(rng.choice(self.swaps[kind][here][1]))
            value, showed = self.swaps[kind][there]
            look, others = {**self.looks[number], kind: value}, self.places[list(showed)]
        place = self.places[number]
        return (place, look, others[_nearest(others, place)]) if len(others) else None


def _nearest(places: Array, place: Array) -> int:
    return int(np.argmin(((places - place) ** 2).sum(axis=1)))


def outside_places(places: Array) -> Array:
    """Returns places (P, 2) of a grid, between and beyond those of examples (E, 2), that lie apart from all of them."""
    from scipy.spatial import cKDTree

    axes = [np.arange(low - BEYOND, high + BEYOND + GRID / 2, GRID) for low, high in zip(
        places.min(axis=0), places.max(axis=0), strict=True
    )]  # fmt: skip
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)
    near, _ = cKDTree(places).query(grid)
    return np.asarray(grid[(near >= APART) & (near <= BEYOND)])


def is_between(places: Array, some: Array) -> NDArray[np.bool_]:
    """Returns which places (N, 2) lie in the convex hull of others; none where those have no area."""
    from scipy.spatial import Delaunay, QhullError

    try:
        return np.asarray(Delaunay(places).find_simplex(some) >= 0)
    except (QhullError, ValueError):
        return np.zeros(len(some), bool)


def asked_outside(
    examples: Examples, implied: Mapping[str, Implied], states: int, seed: int, way: Way = expert_way
) -> Outside:
    """Returns what is asked of a policy that was shown these examples."""
    from toyshift.envs.shifts import Look

    plain = Look()
    looks = tuple(
        {name: values[i] for name, values in examples.values.items() if values[i] != getattr(plain, name)}
        for i in range(len(examples.places))
    )
    swaps = {
        name: tuple((v, tuple(np.flatnonzero(examples.showing(name, v)).tolist())) for v in told.values)
        for name, told in implied.items()
    }
    outside = outside_places(examples.places)
    return Outside(examples.contract, outside, examples.places, looks, swaps, states, seed, way)


@dataclasses.dataclass(frozen=True)
class _Answered:
    unit: int
    asked: Elsewhere
    chunk: Array


def rule(answers: Answers, examples: Examples, seed: int = 0) -> Findings:
    """Turns what a policy answered to `Outside` into a finding for the places, and one for each factor that was tied.

    Args:
        answers: of `looks.look_along`.
        examples: what it was trained on.
        seed: of resampling.
    """
    scene, unit, few = units_of(answers)
    by_kind: dict[str, list[_Answered]] = {PLACES: []}
    for look, number in zip(answers.looks, scene, strict=True):
        for name, change in look.changes.items():
            if isinstance(change, Elsewhere):
                by_kind.setdefault(change.kind, []).append(_Answered(int(unit[number]), change, look.chunks[name]))
    within = by_kind.pop(WITHIN, [])
    findings = []
    for kind, mine in by_kind.items():
        subject = f"{answers.policy}, {'other places' if kind == PLACES else f'the other {kind}'}"
        if not mine:
            why = f"the expert finds no way to a place {100 * APART:.0f} cm or more from all examples"
            findings.append(undefined(NAME, PART, why, subject=subject))
            continue
        where = "outside the trained region" if kind == PLACES else f"at an example's place, with the {kind} of others,"
        index = functools.partial(
            case_index, scale=examples.scale, seed=seed, subject=subject, called="scenes" if few else "objects",
            where=where,
        )  # fmt: skip
        take = functools.partial(_taken, index)
        whole = take(mine, [one.asked.step.carried for one in mine])
        lines = {"outside": whole}
        if kind == PLACES:
            between = is_between(examples.places, np.array([one.asked.place for one in mine]))
            parts = {"beyond": ~between, "between": between}
            for part, some in ((part, [*itertools.compress(mine, there)]) for part, there in parts.items()):
                lines[part] = take(some, [one.asked.step.carried for one in some])
        shown = [None if kind == PLACES else (kind, one.asked.look[kind]) for one in mine]
        stored = [examples.nearest(one.asked.step.factors, value) for one, value in zip(mine, shown, strict=True)]
        lines["outside, as stored"] = take(mine, stored)
        lines["within"] = take(within, [one.asked.step.carried for one in within])
        caveats = (
            *whole.caveats, *((few,) if few else ()),
            f"the first {min(STEPS, len(mine[0].chunk))} actions are compared, in standard deviations of the data's",
            "within: at examples' places under their looks, the example being another one; how right it is there",
            f"as stored: the frame nearest in {', '.join([*FACTORS][: examples.factors.shape[1]])}, its own action",
        )  # fmt: skip
        table = tuple({"states": part} | line for part, one in lines.items() for line in one.table)
        findings.append(dataclasses.replace(whole, name=NAME, table=table, caveats=caveats))
    return Findings(tuple(findings))


def _taken(index: Callable[..., Finding], some: Sequence[_Answered], nearest: Sequence[Array]) -> Finding:
    """Returns the index of some answers, beside what was done in the nearest example of each."""
    if not some:
        return undefined(NAME, PART, "there is no state")
    steps = min(STEPS, len(some[0].chunk))
    pred, law = [one.chunk[:steps] for one in some], [one.asked.step.law[:steps] for one in some]
    units = [one.unit for one in some]
    return index(pred, law, [one[:steps] for one in nearest], episodes=units)


def rule_of(asked: Asked) -> Findings:
    """Answers for one policy."""
    if not asked.trained_on:
        return _undefined(asked, "what it was trained on is not told: give --trained-on")
    config = EvaluateConfig(asked.policy, asked.objects, trials=asked.scenes, seed=asked.seed, remote=asked.remote)
    try:
        examples = read_examples(asked.trained_on)
        if (count := len(np.unique(examples.episode))) < 2:
            needs = "it needs two episodes of one attempt that begin with an open hand"
            return _undefined(asked, f"{needs}, the data have {count}")
        implied, _ = implied_of(examples.values, examples.places, asked.seed)
        with asked.playing() as pool:
            answers = look_along(config, 1, asked_outside(examples, implied, asked.looks, asked.seed), pool=pool)
    except (ConfigError, ContractError) as error:  # other measures may still be defined
        return _undefined(asked, str(error))
    return rule(answers, examples, asked.seed)


def _undefined(asked: Asked, why: str) -> Findings:
    return Findings((undefined(NAME, PART, why, subject=asked.policy),))
