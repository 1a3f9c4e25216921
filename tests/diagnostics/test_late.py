"""Late chunks in virtual time: nothing changes without latency, what happens with it, and that it is seeded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.actors import FolderActor
from toyshift.diagnostics.evaluation import EvaluateConfig, begin_episode, play_row, run_key, session_key
from toyshift.diagnostics.late import LateActor, Latency
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv

OBJECTS = "toys:test?n=2"


class Chooser:
    """A policy whose chunks depend on all that is seen, and which counts how often it is asked."""

    name, pooling, execute = "chooser", "", 4

    def __init__(self, size: int) -> None:
        rng = np.random.default_rng(4)
        self.weights = rng.normal(0, 1, (8 * size, 23))
        self.asked = 0

    def reset(self) -> None:
        self.asked = 0

    def act(self, obs: dict[str, Any]) -> np.ndarray:
        self.asked += 1
        seen = np.append(obs["agent_pos"], [image.mean() / 255 for image in obs["pixels"].values()])
        chunk = np.tanh(self.weights @ seen).reshape(8, -1)
        chunk *= [0.02] * 6 + [0.5]
        chunk[:, 6] += 0.5
        return chunk.astype(np.float32)


@pytest.fixture(scope="module")
def world() -> Iterator[GraspEnv]:
    env = GraspEnv(EnvConfig(objects=OBJECTS, image_size=16))
    yield env
    env.close()


def config(**changes: Any) -> EvaluateConfig:
    return EvaluateConfig("random", OBJECTS, trials=2, seed=3, max_steps=25, **changes)


def actor(world: GraspEnv) -> FolderActor:
    return FolderActor(Chooser(world.action_contract.size))


def actions_of(one: FolderActor, world: GraspEnv, steps: int) -> np.ndarray:
    """The first actions of an episode, one by one."""
    begin_episode(world, config(), world.objects.ids[0], 0)
    one.reset(world, 3, 0)
    out: list[np.ndarray] = []
    while len(out) < steps:
        for action in one.actions(world):
            out.append(action)
            world.advance(action)
    return np.array(out[:steps])


def test_without_latency_rows_and_actions_are_bit_for_bit_todays(world: GraspEnv) -> None:
    plain = actor(world)
    late = LateActor(actor(world), Latency())
    np.testing.assert_array_equal(actions_of(plain, world, 24), actions_of(late, world, 24))
    for episode in (0, 1):
        rows = [play_row(config(), world.objects.ids, (one, world), episode) for one in (plain, late)]
        assert dataclasses.replace(rows[0], wall_s=0.0) == dataclasses.replace(rows[1], wall_s=0.0)


def test_chunks_arrive_late_and_the_executed_are_skipped(world: GraspEnv) -> None:
    plain = actions_of(actor(world), world, 8)
    late = LateActor(actor(world), Latency(0.2))
    got = actions_of(late, world, 8)
    np.testing.assert_array_equal(got[:4], plain[:4])  # the first is waited for
    begin_episode(world, config(), world.objects.ids[0], 0)
    chunk = Chooser(7).act(world.observe())
    np.testing.assert_array_equal(got[4:6], chunk[4:6])  # two steps of 0.1 s pass before the next is there
    assert not np.array_equal(got[6:8], chunk[6:8])
    assert late.policy.asked == 2


def test_the_robot_stands_still_where_actions_run_out(world: GraspEnv) -> None:
    late = LateActor(actor(world), Latency(0.6))
    got = actions_of(late, world, 10)
    assert np.abs(got[:8, :6]).min(axis=1).max() > 0
    np.testing.assert_array_equal(got[8:10, :6], 0.0)  # 8 actions are all that a chunk holds
    np.testing.assert_array_equal(got[8:10, 6], got[7, 6])


def test_each_way_of_compensating_is_another(world: GraspEnv) -> None:
    got = {
        how: actions_of(LateActor(actor(world), Latency(0.3, 0.0, how)), world, 12) for how in ("skip", "none", "wait")
    }
    np.testing.assert_array_equal(got["wait"][4:7, :6], 0.0)
    np.testing.assert_array_equal(got["skip"][4:7], got["none"][4:7])
    assert not np.array_equal(got["skip"][7:], got["none"][7:])
    begin_episode(world, config(), world.objects.ids[0], 0)
    for action in got["none"][:4]:
        world.advance(action)
    np.testing.assert_array_equal(got["none"][7], Chooser(7).act(world.observe())[0])  # as if it were not late


def test_jitter_is_the_episodes_own(world: GraspEnv) -> None:
    jittery = Latency(0.3, 0.3)
    first, again = (actions_of(LateActor(actor(world), jittery), world, 24) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, actions_of(LateActor(actor(world), Latency(0.3)), world, 24))


def test_latency_is_part_of_what_is_evaluated_and_zero_is_not() -> None:
    plain, late = config(), config(latency=Latency(0.2))
    assert run_key(plain, "0") == run_key(config(latency=Latency()), "0") != run_key(late, "0")
    assert session_key(plain) != session_key(late)
    assert Latency().label == ""
    assert Latency(0.2, 0.05, "none").label == "latency 0.2 +- 0.05 s, none"
    for wrong in ({"seconds": -0.1}, {"seconds": float("nan")}, {"seconds": 11.0}, {"seconds": 0.1, "jitter": 0.2}):
        with pytest.raises(ConfigError, match=r"seconds|jitter"):
            Latency(**wrong)


def test_the_key_of_rows_from_before_there_was_latency_is_unchanged() -> None:
    assert run_key(EvaluateConfig("random", "toys:test"), "0") == KEY


KEY = "e53b3193f6e37a09"  # as before there was latency
