"""Kinds of failure: told by events and by heights; actors that fail in a known way, in the simulator."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.failures import (
    ALWAYS,
    BY_EVENTS,
    BY_HEIGHTS,
    FAILURES,
    failure_kind,
    kind_by_events,
    kind_by_heights,
)
from toyshift.data.grasping.choose import make_expert
from toyshift.diagnostics.actors import EnvSpec
from toyshift.diagnostics.evaluation import EvaluateConfig, run_episode
from toyshift.envs import GraspEnv
from toyshift.envs.tasks import events

OBJECTS = "toys:train?n=40"
Script = Iterator[tuple[np.ndarray, float]]  # step of the commanded hand [m], commanded opening


@pytest.mark.parametrize(
    ("kind", "happened"),
    [
        ("never_reached", ""),
        ("never_reached", "shut"),  # somewhere else
        ("never_reached", "knocked"),  # not by this hand
        ("out_of_time", "reached"),
        ("closed_on_nothing", "reached shut"),
        ("closed_on_nothing", "reached shut knocked"),
        ("knocked_away", "reached knocked shut"),
        ("out_of_time", "reached gripped"),
        ("out_of_time", "reached gripped raised"),
        ("lifted_not_held", "reached gripped raised lifted"),
        ("lifted_not_held", "reached gripped raised let_go"),
        ("lifted_not_held", "reached gripped raised lifted let_go"),
        ("slipped", "reached gripped slipped"),
        ("slipped", "reached gripped raised lifted slipped shut"),
        ("out_of_time", "reached gripped slipped gripped raised"),  # it has it again
        ("slipped", "reached gripped slipped gripped let_go"),  # the second grip came to nothing
        ("knocked_away", "reached knocked gripped let_go"),
        ("lifted_not_held", "reached gripped slipped gripped raised let_go"),
    ],
)
def test_kinds_by_events(kind: str, happened: str) -> None:
    assert kind_by_events(happened.split()) == kind


def test_any_events_make_exactly_one_kind() -> None:
    """Over all sequences of up to five events; a success has none, and what is told of every episode comes first."""
    met = set()
    for length in range(6):
        for happened in itertools.product(events.EVENTS, repeat=length):
            met.add(kind_by_events(happened))
    assert met == set(BY_EVENTS)
    assert len(FAILURES) == len(ALWAYS) + len(BY_EVENTS) + len(BY_HEIGHTS)  # no name twice
    for unstable, success, wrong, sunk in itertools.product((True, False), repeat=4):
        kind = failure_kind(success, "slipped", unstable, wrong, sunk)
        first = [("unstable", unstable), ("", success), ("wrong_object", wrong), ("penetrated", sunk)]
        assert kind == next((name for name, holds in first if holds), "slipped")


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("no_contact", (0.0, 0.0, False)),
        ("not_lifted", (0.01, 0.0, True)),
        ("dropped", (0.2, 0.0, True)),
        ("not_held", (0.31, 0.3, None)),
        ("timeout", (0.2, 0.2, None)),
    ],
)
def test_kinds_by_heights(kind: str, values: tuple[float, float, bool | None]) -> None:
    assert kind_by_heights(*values, threshold=0.3) == kind
    assert kind in BY_HEIGHTS


# ---------------------------------------------------------------- planted in the simulator


class Scripted:
    """Plays a script, then holds still."""

    name, pooling = "scripted", ""

    def __init__(self, script: Callable[[GraspEnv], Script]) -> None:
        self.script, self.ious = script, []

    def reset(self, env: Any, seed: int, episode: int) -> None:
        self.moves, self.opening = self.script(env), 1.0

    def actions(self, env: Any) -> np.ndarray:
        step, self.opening = next(self.moves, (np.zeros(3), self.opening))
        return np.asarray(env.action_for(step, np.zeros(3), self.opening))[None]


def to(env: GraspEnv, place: np.ndarray, opening: float, speed: float = 0.03) -> Script:
    """Moves the commanded hand there in a straight line, and waits until it has followed."""
    while np.linalg.norm(way := place - env.commanded_pose()[0]) > 1e-3:
        yield way * min(1.0, speed / float(np.linalg.norm(way))), opening
    for _ in range(5):
        yield np.zeros(3), opening


def top(env: GraspEnv) -> float:
    return float((env.object.mesh.vertices @ env.object_pose()[1].T)[:, 2].max() + env.object_pose()[0][2])


def half_diagonal(env: GraspEnv) -> float:
    points = env.object.mesh.vertices @ env.object_pose()[1].T + env.object_pose()[0] - env.object_position()
    return float(np.linalg.norm(points[:, :2], axis=1).max())


def closes_far_away(env: GraspEnv) -> Script:
    for _ in range(20):
        yield np.zeros(3), 0.0


def above(env: GraspEnv) -> np.ndarray:
    """A place where fingers, open or closed, are clear of the target's top, and it is within reach."""
    return np.array([*env.object_position()[:2], top(env) + 0.035])


def hovers(env: GraspEnv) -> Script:
    yield from to(env, above(env), 1.0)


def closes_on_nothing(env: GraspEnv) -> Script:
    yield from hovers(env)
    for _ in range(10):
        yield np.zeros(3), 0.0


def pushes(env: GraspEnv, opening: float = 0.0) -> Script:
    """Comes down beside the target and goes on to where it lies; the Panda's fingers stand in this line."""
    target, way = env.object_position(), np.array([0.0, 1.0, 0.0])
    begin, end = (target + way * far for far in (-half_diagonal(env) - 0.08, 0.06))
    yield from to(env, begin + np.array([0.0, 0.0, 0.1]), opening)
    for place in (begin, end):
        yield from to(env, np.array([*place[:2], 0.025]), opening)


def shoves(env: GraspEnv) -> Script:
    """As `pushes`, with an open hand."""
    yield from pushes(env, 1.0)


def grips(env: GraspEnv, until: str) -> Script:
    """Plays the expert until an event."""
    expert = make_expert(env)
    expert.reset(0, 0)
    while until not in [event.name for event in env._observer.events.happened]:
        env.expert_acts = expert.act()
        yield np.full(3, np.nan), 0.0


class Gripping(Scripted):
    """Passes the expert's actions on where the script says so."""

    def actions(self, env: Any) -> np.ndarray:
        step, self.opening = next(self.moves, (np.zeros(3), self.opening))
        expert = np.isnan(step).any()
        return np.asarray(env.expert_acts if expert else env.action_for(step, np.zeros(3), self.opening))[None]


def lifts_and_opens(env: GraspEnv) -> Script:
    yield from grips(env, "raised")
    for _ in range(10):
        yield np.zeros(3), 1.0


def grips_and_opens(env: GraspEnv) -> Script:
    yield from grips(env, "gripped")
    for _ in range(10):
        yield np.zeros(3), 1.0


def grips_and_waits(env: GraspEnv) -> Script:
    yield from grips(env, "raised")
    for _ in range(10):
        yield np.zeros(3), 0.0


def has_it_slip(env: GraspEnv) -> Script:
    """The target becomes as smooth as ice in the closed gripper."""
    yield from grips(env, "raised")
    slippery = env.scene.is_object | env.scene.is_gripper
    kept = env.scene.model.geom_friction.copy()
    env.scene.model.geom_friction[slippery] = 1e-5
    for _ in range(15):
        yield np.zeros(3), 0.0
    env.scene.model.geom_friction[:] = kept


def blows_up(env: GraspEnv) -> Script:
    env.scene.data.qvel[:] = 1e6
    yield np.zeros(3), 1.0


def play(script: Callable[[GraspEnv], Script], env: GraspEnv, episode: int = 0, steps: int = 60) -> dict[str, Any]:
    config = EvaluateConfig("scripted", OBJECTS, max_steps=steps, env=EnvSpec({"cameras": ()}))
    return run_episode(Gripping(script), env, config, env.objects.ids[3], episode)


@pytest.fixture(scope="module")
def env() -> Iterator[GraspEnv]:
    env = GraspEnv(objects=OBJECTS, cameras=())
    yield env
    env.close()


@pytest.mark.parametrize(
    ("kind", "script"),
    [
        ("never_reached", lambda env: iter(())),
        ("never_reached", closes_far_away),
        ("out_of_time", hovers),
        ("closed_on_nothing", closes_on_nothing),
        ("knocked_away", shoves),
        ("closed_on_nothing", pushes),  # its gripper was closed before it pushed
        ("lifted_not_held", lifts_and_opens),
        ("out_of_time", grips_and_waits),
        ("out_of_time", grips_and_opens),
        ("slipped", has_it_slip),
        ("unstable", blows_up),
    ],
)
def test_who_fails_so_is_told_so(kind: str, script: Callable[[GraspEnv], Script], env: GraspEnv) -> None:
    outcome = play(script, env)
    assert (outcome["failure"], outcome["success"]) == (kind, False), outcome["events"]


class AimsAtAnother:
    """The environment as it would be if the first of the other objects were the target."""

    def __init__(self, env: GraspEnv) -> None:
        self._env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    @property
    def object(self) -> Any:
        return self._env.others()[0][0]

    def object_pose(self) -> tuple[np.ndarray, np.ndarray]:
        return self._env.others()[0][1:]

    def object_position(self) -> np.ndarray:
        obj, position, rotation = self._env.others()[0]
        return position + rotation @ obj.com

    def others(self) -> list[Any]:
        return [(self._env.object, *self._env.object_pose()), *self._env.others()[1:]]


def test_who_lifts_another_object_is_told_so() -> None:
    env = GraspEnv(objects=OBJECTS, cameras=(), task="pick", clutter=1)

    def takes_another(env: GraspEnv) -> Script:
        expert = make_expert(AimsAtAnother(env))
        expert.reset(0, 0)
        while True:
            env.expert_acts = expert.act()
            yield np.full(3, np.nan), 0.0

    found = [play(takes_another, env, episode) for episode in range(2)]
    assert [outcome["failure"] for outcome in found] == ["wrong_object"] * 2
    env.close()


# ---------------------------------------------------------------- what pages say of them


def test_the_pages_name_every_kind_event_and_threshold() -> None:
    root = Path(__file__).parents[2]
    if not (root / "docs").is_dir():
        pytest.skip("the tests run against an installed wheel")
    page = (root / "docs" / "failures.md").read_text()
    for name in (*FAILURES, *events.EVENTS):
        assert f"| `{name}` |" in page
    said = dict(re.findall(r"^\| `([A-Z_]+)` \| ([\d.]+) ", page, re.MULTILINE))
    names = ("REACHED", "KNOCKED", "SHUT", "SHUT_FOR", "PRESSED", "LOST_FOR", "RAISED")
    assert {name: float(value) for name, value in said.items()} == {name: getattr(events, name) for name in names}
