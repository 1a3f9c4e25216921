"""Data whose answers are known: what measures are tried on, in tests and by `toyshift diagnose --self-test`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Float32
from toyshift.core.contract import ActionContract
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.rows import Row

if TYPE_CHECKING:
    from toyshift.core.world import World
    from toyshift.diagnostics.looks import Answers
    from toyshift.diagnostics.measuring.finding import Findings
    from toyshift.diagnostics.measuring.rule import Departure, Step


def coins(rate: float, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.bool_]:
    """Returns independent tosses: every object, start and variant succeeds at one rate."""
    return episode_rng(seed, 0, "coins").random(shape) < rate


def by_object(good: int, bad: int, variants: int) -> NDArray[np.bool_]:
    """Returns (good + bad, variants) outcomes that are the object's alone: some always succeed, the others never."""
    return np.repeat(np.arange(good + bad)[:, None] < good, variants, axis=1)


def helpful(rates: Sequence[float], objects: int, starts: int, seed: int = 0) -> Array:
    """Returns (objects, policies) success rates of policies with these true rates over so many starts an object."""
    rng = episode_rng(seed, 0, "helpful")
    return rng.binomial(starts, rates, (objects, len(rates))) / starts


def misses(errors: int, ignorant: int, well: int, starts: int = 6) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns (N, starts) outcomes without a shift and (N,) with one: known and missed, never known, known and met."""
    known = np.r_[np.ones(errors, bool), np.zeros(ignorant, bool), np.ones(well, bool)]
    return np.repeat(known[:, None], starts, axis=1), np.r_[np.zeros(errors + ignorant, bool), np.ones(well, bool)]


def case_or_law(scenes: int = 60, seed: int = 0) -> dict[str, Array]:
    """Returns chunks (N, 4, 3) outside a trained region: the rule's, the nearest example's, and three policies'.

    The rule is linear in two factors. 40 training states lie in the unit square, the test's beside it. "copies" acts as
    the nearest training state, "obeys" by least squares on the training states, "half" by the mean of both.
    """
    rng = episode_rng(seed, 0, "case or law")
    rule = rng.normal(size=(3, 12))

    def inputs(states: Array) -> Array:
        return np.concatenate([states, np.ones((len(states), 1))], axis=1)

    train, test = rng.random((40, 2)), rng.random((scenes, 2)) + np.asarray((1.5, 0.0))
    acted, right = inputs(train) @ rule, inputs(test) @ rule
    nearest = acted[np.argmin(((test[:, None] - train) ** 2).sum(axis=-1), axis=1)]
    learnt = inputs(test) @ np.linalg.lstsq(inputs(train), acted, rcond=None)[0]
    chunks = {"law": right, "nearest": nearest, "copies": nearest, "obeys": learnt, "half": (nearest + learnt) / 2}
    return {name: chunk.reshape(scenes, 4, 3) for name, chunk in chunks.items()}


class Tabletop:
    """A world without pictures: the target's place, the look, and how many steps the expert has gone towards it.

    Its observation tells all of it exactly, in centimetres. Places are drawn within 10 cm of the middle.
    """

    task_description = "pick up the toy"
    action_contract = ActionContract(
        "eef_delta", ("dx", "dy", "dz", "gripper"), ("m", "m", "m", "1"), (-1.0,) * 4, (1.0,) * 4, 10.0, ()
    )
    steps, touched = 12, 8  # of an episode, and after which the target is touched

    def __init__(self) -> None:
        self.look: Any = None
        self._state, self._shifts, self._scene = np.zeros(3), {"distractors": 0, "robot-colour": 0}, 0

    def reset(self, *, seed: int, options: Mapping[str, Any]) -> None:
        self._scene = int(options["episode"])
        place = episode_rng(seed, self._scene, "tabletop").uniform(-0.1, 0.1, 2)
        factor, _, level = options.get("shift", "").partition("=")
        self._state = np.append(place, 0.0)
        self._shifts = dict.fromkeys(self._shifts, 0) | ({factor: int(level)} if level else {})

    def advance(self, action: object) -> tuple[float, bool, dict[str, Any]]:
        self._state = self._state + np.array([0.0, 0.0, 1.0])
        return 0.0, False, {"is_success": self._state[2] >= self.steps, "touched": self._state[2] >= self.touched}

    def sim_state(self) -> Array:
        return self._state

    def load_sim_state(self, object_id: str, state: Array) -> None:
        self._state = state.copy()

    def move_object(self, dx: float, dy: float) -> None:
        self._state = self._state + np.array([dx, dy, 0.0])

    def object_position(self) -> Array:
        return np.append(self._state[:2], 0.0)

    def set_look(self, look: Any) -> None:
        self.look = look

    def observe(self) -> dict[str, Any]:
        own = {"place": 100 * self._state[:2], "look": self.look, "scene": self._scene, "step": self._state[2]}
        return own | {"others": self._shifts["distractors"], "robot_colour": self._shifts["robot-colour"]}


class TwoThings(Tabletop):
    """`Tabletop` with another object beside the target, of which each is called by its place in the list."""

    def __init__(self) -> None:
        super().__init__()
        self._places, self._target = np.zeros((2, 2)), 0

    @property
    def task_description(self) -> str:  # type: ignore[override]
        return self.instruction(self._thing(self._target))

    def _thing(self, number: int) -> Any:
        return SimpleNamespace(id=f"object-{number}", number=number)

    def instruction(self, thing: Any) -> str:
        return f"pick up object {thing.number}"

    @property
    def other_ids(self) -> tuple[str, ...]:
        return (f"object-{1 - self._target}",)

    def others(self) -> list[tuple[Any, Array, Array]]:
        other = 1 - self._target
        return [(self._thing(other), np.append(self._places[other], 0.0), np.eye(3))]

    def change_target(self, object_id: str) -> None:
        self._target = int(object_id.removeprefix("object-"))

    def reset(self, *, seed: int, options: Mapping[str, Any]) -> None:
        super().reset(seed=seed, options=options)
        self._places = episode_rng(seed, self._scene, "two things").uniform(-0.1, 0.1, (2, 2))
        self._target = self._scene % 2

    def load_sim_state(self, object_id: str, state: Array, others: Sequence[str] | None = None) -> None:
        super().load_sim_state(object_id, state)
        self._target = self._scene % 2

    def object_position(self) -> Array:
        return np.append(self._places[self._target], 0.0)

    def observe(self) -> dict[str, Any]:
        return super().observe() | {"task": self.task_description, "places": 100 * self._places}


def heeding(
    share: float, jolt: float = 0.0, favourite: bool = False, seed: int = 0
) -> Callable[[Sequence[Any]], Array]:
    """Returns a policy for `TwoThings` that goes by `share` to what is named, for the rest to the middle of both.

    `jolt` adds a displacement that every scene, step and instruction draws anew [cm]; a `favourite` is the first
    object, in the middle's place.
    """
    way = _way()

    def act(observations: Sequence[Any]) -> Array:
        chunks = []
        for obs in observations:
            places = obs["places"]
            rest = places[0] if favourite else places.mean(axis=0)
            drawn = episode_rng(seed, obs["scene"], f"{obs['task']} {obs['step']}").normal(size=2) * jolt
            chunks.append((share * places[int(obs["task"][-1])] + (1 - share) * rest + drawn) @ way)
        return np.asarray(np.stack(chunks).reshape(-1, 5, 4))

    return act


def _way() -> Array:
    """Returns what a centimetre along x and y is in 20 entries of action: the first four are the next action."""
    return episode_rng(0, 0, "scripted").normal(size=(2, 20))


class Walker:
    """Stands in for an expert: what it does is nothing to `Tabletop`, and it goes where the target is."""

    name, pooling = "walker", ""

    def __init__(self) -> None:
        self.ious: list[float] = []

    def reset(self, env: object, seed: int, episode: int) -> None: ...

    def actions(self, env: Any) -> Float32:
        return np.asarray(100 * env.object_position()[:2] @ _way()[:, :4], np.float32)[None]


def scripted(
    rho: float = 0.0, jolt: float = 0.0, factor: str = "table", slope: float = 2.0, follows: float = 1.0, seed: int = 0
) -> Callable[[Sequence[Any]], Array]:
    """Returns a policy whose actions (5, 4) are linear in follows * place + rho * (0, slope * factor's value) [cm].

    `jolt` adds a displacement in a direction that every scene and look draw anew [cm]: sensitive, but to no side.
    """
    way = _way()

    def act(observations: Sequence[Any]) -> Array:
        chunks = []
        for obs in observations:
            value = obs[factor] if factor in obs else getattr(obs["look"], factor)
            drawn = episode_rng(seed, obs["scene"], f"{obs['look']} {obs['others']}").normal(size=2) * jolt
            chunks.append((follows * obs["place"] + rho * np.array([0.0, slope * value]) + drawn) @ way)
        return np.asarray(np.stack(chunks).reshape(-1, 5, 4))

    return act


def looked_at(
    policy: Callable[[Sequence[Any]], Array], changes: Any, scenes: int = 40, looks: int = 3, objects: int = 40,
    seed: int = 0, world: Any = None,
) -> Answers:
    """Returns what a policy answers in looks along episodes of `Tabletop`, or of a world like it."""
    from toyshift.diagnostics.looks import Answers, looks_in_scene

    world = world or Tabletop()
    ids = [f"object-{i}" for i in range(objects)]
    found = [
        seen
        for scene in range(scenes)
        for seen in looks_in_scene(
            policy, Walker(), world, ids, scene, seed, looks, changes, free_only=True, expert=Walker()
        )
    ]
    return Answers(tuple(found), "scripted", "", np.ones(4))


def straight(world: World, start: Departure) -> list[Step]:
    """Returns the way to a place of `Tabletop`: what is right there is linear in the place."""
    from toyshift.diagnostics.measuring.rule import Step

    right, carried = _linear(np.stack([start.place, start.example]))
    return [Step(np.append(start.place, float(k)), start.place, right, carried) for k in range(start.states)]


def _linear(places: Array) -> Array:
    """Returns what is right (N, 8, 4) at places (N, 2)."""
    way = episode_rng(0, 0, "straight").normal(size=(2, 32))
    return np.asarray((places @ way).reshape(-1, 8, 4))


def told_apart(copies: float, tied: bool = False, scenes: int = 24) -> Findings:
    """Returns what `rule` says of a policy that copies the nearest example by so much, and for the rest is right.

    40 examples lie in a square of 12 cm. With `tied` the table was 1 in those to the left, and 0 in those to the right,
    and a copy is of the nearest example with the table that is shown.
    """
    from toyshift.diagnostics.measuring.examples import Examples
    from toyshift.diagnostics.measuring.implied import implied_of
    from toyshift.diagnostics.measuring.rule import asked_outside, rule

    places = episode_rng(0, 0, "examples").uniform(-0.06, 0.06, (40, 2))
    values = {"table": [int(y > 0) for y in places[:, 1]]} if tied else {}
    done, contract = _linear(places), Tabletop.action_contract
    scale = done.reshape(-1, contract.size).std(axis=0)
    examples = Examples(places, done, np.arange(40), places, values, scale, contract)

    def nearest(place: Array, look: Any) -> int:
        apart = ((places - place) ** 2).sum(axis=1)
        return int(np.argmin(np.where(examples.showing("table", look.table), apart, np.inf) if tied else apart))

    def policy(observations: Sequence[Any]) -> Array:
        at = np.stack([obs["place"] / 100 for obs in observations])
        copied = np.stack([done[nearest(obs["place"] / 100, obs["look"])] for obs in observations])
        return np.asarray(copies * copied + (1 - copies) * _linear(at))

    questions = asked_outside(examples, implied_of(values, places)[0], states=2, seed=0, way=straight)
    return rule(looked_at(policy, questions, scenes, looks=1, objects=scenes), examples)


def rows_of(policy: str, outcomes: NDArray[np.bool_], shift: str = "", look: str = "", seed: int = 0) -> list[Row]:
    """Returns rows of an evaluation with these outcomes (objects, starts): in rounds that meet every object once."""
    objects, starts = outcomes.shape
    return [
        Row(
            policy=policy, pooling="", object_set="planted", object_id=f"object-{i}", seed=seed,
            episode=j * objects + i, success=bool(outcomes[i, j]), max_height=0.0, steps=0,
            failure="" if outcomes[i, j] else "not_lifted", look=look, wall_s=0.0, object_trial=j,
            trials=objects * starts, shift=shift, purpose="test",
        )
        for j in range(starts) for i in range(objects)
    ]  # fmt: skip
