"""Executing chunks: the first n actions, or the average of overlapping chunks, against what can be computed by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ContractError
from toyshift.diagnostics.actors import FolderActor
from toyshift.policies import ActingPolicy, PolicyConfig, load_policy

Make = Callable[..., Any]
CHUNK = 6


class Scripted(ActingPolicy):
    """Chunk n, counted from 0, is `values[n]` where it is given, else the control steps it is for, in thousandths."""

    def __init__(self, contracts: Any, execute: int, ensemble: float = 0.0, values: tuple[float, ...] = ()) -> None:
        config = PolicyConfig(pooling="mean", chunk=CHUNK, execute=execute, ensemble=ensemble)
        super().__init__("scripted", config, *contracts)
        self.values, self.calls = values, 0

    def reset(self) -> None:
        super().reset()
        self.calls = 0

    def predict(self, images: Mapping[str, Any], masks: Mapping[str, Any], state: Any, instruction: Any = None) -> Any:
        steps = self.calls * self.execute + np.arange(CHUNK)
        column = np.full(CHUNK, self.values[self.calls]) if self.values else steps / 1000.0
        self.calls += 1
        return np.repeat(column[None, :, None], 3, axis=2).astype(np.float32)


class Scene:
    """An environment that shows grey images."""

    task_description = ""

    def observe(self) -> dict[str, Any]:
        return {
            "pixels": {c: np.zeros((32, 32, 3), np.uint8) for c in ("front", "wrist")}, "masks": {},
            "agent_pos": np.zeros(3, np.float32),
        }

    def true_masks(self) -> dict[str, Any]:
        return {}


def executed(policy: Scripted, steps: int) -> list[float]:
    """Returns the first entry of the actions that an evaluation would execute."""
    actor, out = FolderActor(policy), []
    actor.reset(Scene(), 0, 0)
    while len(out) < steps:
        out += [float(action[0]) for action in actor.actions(Scene())]
    return out[:steps]


@pytest.mark.parametrize("execute", [1, 2, 4, CHUNK])
def test_the_first_n_actions_are_executed_and_then_it_looks_again(fake_contracts: Make, execute: int) -> None:
    policy = Scripted(fake_contracts(), execute)
    # each step gets the action that was meant for it
    np.testing.assert_allclose(executed(policy, 12), np.arange(12) / 1000.0, atol=1e-7)
    assert policy.calls == -(-12 // execute)


@pytest.mark.parametrize("execute", [1, 2, 4])
def test_chunks_that_agree_are_not_changed_by_ensembling(fake_contracts: Make, execute: int) -> None:
    np.testing.assert_allclose(
        executed(Scripted(fake_contracts(), execute, ensemble=0.3), 12), np.arange(12) / 1000.0, atol=1e-7
    )


def test_ensembling_is_the_weighted_mean_of_all_chunks_that_reach_a_step(fake_contracts: Make) -> None:
    values, decay, execute = (0.1, 0.5, -0.3, 0.9, 0.2, 0.7), 0.25, 2
    out = executed(Scripted(fake_contracts(), execute, decay, values), 12)
    for step in range(12):
        # chunks known by then that cover the step
        made = [n for n in range(6) if n * execute <= step - step % execute and step < n * execute + CHUNK]
        now = step - step % execute
        weights = np.array([np.exp(-decay * (now - n * execute)) for n in made])
        assert out[step] == pytest.approx(
            float(weights @ np.array([values[n] for n in made]) / weights.sum()), abs=1e-6
        ), step
    assert out[4] == pytest.approx(
        (0.1 * np.exp(-1.0) + 0.5 * np.exp(-0.5) - 0.3) / (np.exp(-1.0) + np.exp(-0.5) + 1.0), abs=1e-6
    )


def test_a_large_decay_is_the_newest_chunk_and_a_small_one_the_plain_mean(fake_contracts: Make) -> None:
    values = (0.0, 0.6, 0.3)
    newest = executed(Scripted(fake_contracts(), 1, 50.0, values), 3)
    np.testing.assert_allclose(newest, values, atol=1e-6)
    plain = executed(Scripted(fake_contracts(), 1, 1e-9, values), 3)
    np.testing.assert_allclose(plain, [0.0, 0.3, 0.3], atol=1e-6)


def test_a_new_episode_forgets_the_chunks_of_the_last(fake_contracts: Make) -> None:
    policy = Scripted(fake_contracts(), 2, 0.1, (0.4, 0.8))
    assert executed(policy, 4) == executed(policy, 4)


def test_actions_stay_inside_the_contract(fake_contracts: Make) -> None:
    assert executed(Scripted(fake_contracts(), 1, 0.0, (7.0, -7.0)), 2) == [1.0, -1.0]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_actions_that_are_not_finite_are_never_returned(fake_contracts: Make, value: float) -> None:
    policy = Scripted(fake_contracts(), 1, 0.1, (0.5, value, 0.5))
    observed = {**Scene().observe(), "task": ""}
    assert np.isfinite(policy.act(observed)).all()
    with pytest.raises(ContractError, match=rf"policy scripted gives {value} for dx in action 0"):
        policy.act(observed)
    assert np.isfinite(policy.act(observed)).all()  # the average of chunks does not remember it
    apart = Scripted(fake_contracts(), 1, 0.0, (value,))
    with pytest.raises(ContractError, match=r"gives -?(nan|inf) for dx"):
        apart.act_apart([observed])


@pytest.mark.parametrize("head", ["mlp", "flow"])
def test_observations_apart_are_answered_as_the_first_of_an_episode_each(trained: Any, head: str) -> None:
    policy = load_policy(trained)
    if head == "flow":  # as a policy whose predictions start from noise: one at a time, each with the same
        policy.config = dataclasses.replace(policy.config, head="flow")
        policy.predict = lambda images, masks, state, told=None: policy.noise(len(state)) + state.sum()  # type: ignore[method-assign]
    rng = np.random.default_rng(0)
    seen = policy.observation_contract
    many = [
        {
            "pixels": {c: rng.integers(0, 256, (*size, 3), np.uint8) for c, size in seen.cameras},
            "masks": {c: rng.integers(0, 4, size, np.uint8) for c, size in seen.cameras},
            "agent_pos": rng.normal(size=len(seen.state_names)).astype(np.float32),
        }
        for _ in range(5)
    ]

    def first(obs: dict[str, Any]) -> Any:
        policy.reset()
        return policy.act(obs)

    alone = np.stack([first(obs) for obs in many])
    policy.act(many[3])  # an episode is under way: it is forgotten
    np.testing.assert_allclose(policy.act_apart(many), alone, atol=1e-5)
    assert np.ptp(alone, axis=0).max() > 0
