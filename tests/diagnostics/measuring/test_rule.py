"""Rule or nearest example of a policy: planted policies; the expert's way and a dataset's frames in the simulator."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError
from toyshift.data import CollectConfig, collect, open_dataset
from toyshift.data.episode import Episode, write_episode
from toyshift.data.grasping.choose import make_expert
from toyshift.data.grasping.hand import yaw_of
from toyshift.data.store.lerobot import finalize
from toyshift.diagnostics.actors import OracleActor, make_grasp_env
from toyshift.diagnostics.looks import BASE, Answers, looks_in_scene
from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring import planted
from toyshift.diagnostics.measuring.examples import STEPS, Examples, before_closing, factors_of, read_examples
from toyshift.diagnostics.measuring.rule import (
    APART,
    BEYOND,
    Departure,
    asked_outside,
    expert_way,
    is_between,
    outside_places,
    rule,
    rule_of,
)

OBJECTS = "toys:train?n=3"


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rule") / "demos"
    collect(CollectConfig(objects=OBJECTS, out=str(out), episodes=4, workers=0, cameras=()), progress=False)
    return out


def asked(data: Path) -> Asked:
    return Asked(
        policy="p", objects=OBJECTS, scenes=2, looks=1, trials=0, camera="front", seed=0, out=data, trained_on=(data,)
    )


@pytest.mark.parametrize(("copies", "said"), [(1.0, "the nearest example"), (0.5, "not told"), (0.0, "the rule")])
def test_planted_policies_measure_what_they_are(copies: float, said: str) -> None:
    (found,) = planted.told_apart(copies).found
    assert found.name == "rule"
    assert found.value.value == pytest.approx(1 - copies)
    assert found.value.n == 24
    assert said in found.verdict
    assert found.table[0]["aside"] == pytest.approx(0)
    by = {line["states"]: line["beta"] for line in found.table}
    assert by["beyond"] == by["outside"] == by["outside, as stored"] == pytest.approx(1 - copies)
    assert by["within"] == pytest.approx(1)  # where it is its own nearest example, a copy is right


def test_a_copy_of_the_example_with_the_table_that_is_shown() -> None:
    places, table = planted.told_apart(1.0, tied=True).found
    assert places.value.value == pytest.approx(0, abs=0.05)
    assert table.value.value == pytest.approx(0)
    assert table.verdict.startswith("at an example's place, with the table of others, it follows the nearest example")
    assert table.subject == "scripted, the other table"
    assert planted.told_apart(0.0, tied=True).found[1].value.value == pytest.approx(1)


def test_few_objects_have_no_verdict() -> None:
    (found,) = planted.told_apart(1.0, scenes=6).found
    assert found.verdict.startswith("too few to tell")
    assert "6 scenes: no verdict below 8, where intervals are too narrow" in found.caveats


def test_outside_is_apart_from_all_examples_and_near_some() -> None:
    places = np.array([(0.0, 0.0), (0.0, 0.2), (0.2, 0.0), (0.2, 0.2)])
    outside = outside_places(places)
    near = np.linalg.norm(outside[:, None] - places, axis=-1).min(axis=1)
    assert near.min() >= APART - 1e-9
    assert near.max() <= BEYOND + 1e-9
    between = is_between(places, outside)
    inside = ((outside > -1e-9) & (outside < 0.2 + 1e-9)).all(axis=1)
    np.testing.assert_array_equal(between, inside)
    assert 0 < between.sum() < len(between)
    assert not is_between(places[:2], outside).any()


def test_frames_before_the_first_closing_command_with_enough_actions_after_them() -> None:
    actions = np.ones((20, 4))
    contract = planted.Tabletop.action_contract
    assert before_closing(actions, contract) == 20 - STEPS + 1
    actions[7:, 3] = 0
    assert before_closing(actions, contract) == 7
    assert before_closing(actions[: STEPS - 1], contract) == 0


def test_half_a_turn_is_none_and_the_shorter_way_counts() -> None:
    made = factors_of(np.zeros(2), np.zeros((4, 3)), np.array([0.0, 3.0, -1.0, 1.0]), 0.5, 0.04)
    np.testing.assert_allclose(made[:, 5], [0.5, 0.5 - 3.0 + np.pi, 1.5, -0.5])
    np.testing.assert_allclose(made[:, 6], 0.04)
    assert factors_of(np.zeros(2), np.zeros((4, 3)), np.zeros(4)).shape == (4, 5)


def test_factors_of_a_dataset_are_those_of_its_states(demos: Path) -> None:
    examples, dataset = read_examples((demos,)), open_dataset(demos)
    env: Any = make_grasp_env(OBJECTS, cameras=())
    row = 0
    for i in range(dataset.num_episodes):
        meta = dataset.meta(i)
        if meta["attempts"] > 1:
            continue
        frames = dataset.episode(i, ["sim.state", "action"]).frames
        for t in range(before_closing(frames["action"], examples.contract)):
            env.load_sim_state(meta["object_id"], frames["sim.state"][t])
            hand, rotation = env.hand_pose()
            grasp = np.asarray(meta["grasp"]["rotation"])
            place = np.asarray(meta["object_pose"])[:2, 3]
            told = factors_of(place, hand[None], np.array([yaw_of(rotation)]), yaw_of(grasp), meta["grasp"]["width"])
            np.testing.assert_allclose(examples.factors[row], told[0], atol=2e-3)
            np.testing.assert_array_equal(examples.chunks[row], frames["action"][t : t + STEPS])
            np.testing.assert_array_equal(examples.nearest(examples.factors[row]), examples.chunks[row])
            row += 1
    assert row == len(examples.factors) > 10
    env.close()


def test_the_expert_s_way_leads_to_the_place_and_leaves_the_world_as_it_was() -> None:
    env: Any = make_grasp_env(OBJECTS, cameras=())
    env.reset(seed=0, options={"episode": 0, "object": env.objects.ids[0]})
    before = np.array(env.sim_state())
    place, aside = env.object_pose()[0][:2] + np.array([-0.03, 0.05]), np.array([0.0, -0.06])
    steps = expert_way(env, Departure(place, place + aside, 100, 0, 0))
    np.testing.assert_array_equal(env.sim_state(), before)
    assert len(steps) > 3
    for one, after in itertools.pairwise(steps):
        env.load_sim_state(env.object.id, one.state)
        np.testing.assert_allclose(env.object_pose()[0][:2], place, atol=5e-3)
        np.testing.assert_allclose(env.hand_pose()[0], one.factors[2:5])
        env.advance(one.law[0].astype(np.float32))
        np.testing.assert_allclose(env.sim_state(), after.state, atol=1e-6)
    assert np.linalg.norm(steps[-1].factors[2:4] - place) < 0.05 < np.linalg.norm(steps[0].factors[2:4] - place)
    # what is carried over goes as far further as the example's target lay, and turns as much
    further = (steps[0].carried - steps[0].law).sum(axis=0)
    np.testing.assert_allclose(further[:2], aside, atol=0.01)
    np.testing.assert_allclose(further[3:6], 0, atol=0.05)
    (one,) = expert_way(env, Departure(place, place, 1, 0, 0))
    np.testing.assert_allclose(one.carried, one.law, atol=1e-6)
    assert expert_way(env, Departure(place + np.array([0.6, 0.0]), place, 1, 0, 0)) == []
    env.close()


def test_copies_and_the_expert_in_the_simulator(demos: Path) -> None:
    """The carried example gets 0, the expert 1; and by the stored actions 0, what acts by the nearest frame it sees."""
    read = read_examples((demos,))
    examples = dataclasses.replace(read, factors=read.factors[:, :5], values={})
    env: Any = make_grasp_env(OBJECTS, image_size=16, cameras=("front",), environment_state=True)
    questions = asked_outside(examples, {}, states=2, seed=0)
    seen: list[Any] = []
    looks: list[Any] = []

    def look_on(observations: Any) -> Any:
        seen.append(observations[1:])  # without the state that is looked at, which is not asked about
        return np.zeros((len(observations), STEPS, 7))

    expert = OracleActor(make_expert(env))
    for scene in range(8):
        looks += looks_in_scene(look_on, expert, env, env.objects.ids, scene, 0, 1, questions)
    hand = [env.observation_contract.state_names.index(f"eef.{axis}") for axis in "xyz"]

    centre = {}  # of mass, in the object's frame
    for one in env.objects.ids:
        env.reset(seed=0, options={"episode": 0, "object": one})
        position, rotation = env.object_pose()
        centre[one] = (env.object_position() - position) @ rotation

    def stored(obs: Any, object_id: str, step: Any) -> Any:
        offset, (first, second) = obs["environment_state"][:3], obs["environment_state"][3:9].reshape(2, 3)
        rotation = np.stack([first, second, np.cross(first, second)], axis=1)
        place = obs["agent_pos"][hand] + offset - rotation @ centre[object_id]
        return examples.nearest(np.append(place[:2], obs["agent_pos"][hand]))

    for policy, part, beta in (
        (lambda _, __, step: step.carried, "outside", 0.0), (lambda _, __, step: step.law, "outside", 1.0),
        (stored, "outside, as stored", 0.0),
    ):  # fmt: skip
        answered = tuple(
            dataclasses.replace(look, chunks={
                name: policy(obs, look.object_id, look.changes[name].step)
                for name, obs in zip([name for name in look.chunks if name != BASE], shown, strict=True)
            })
            for look, shown in zip(looks, seen, strict=True)
        )  # fmt: skip
        found = rule(Answers(answered, "p", "", None), examples).found[0]
        line = next(line for line in found.table if line["states"] == part)
        assert (part, line["beta"]) == (part, pytest.approx(beta, abs=2e-3))
        assert line["aside"] == pytest.approx(0, abs=1e-3)
        assert line["scenes"] > 9
        assert any("3 objects: scenes are the units" in caveat for caveat in found.caveats)
    env.close()


STATE = ("eef.x", "eef.y", "eef.z", "eef.r11", "eef.r21")


def written(
    out: Path, episodes: int = 2, names: tuple[str, ...] = STATE,
    contract: ActionContract = planted.Tabletop.action_contract, **meta: Any,
) -> Path:  # fmt: skip
    """Writes a dataset of frames without images."""
    for i in range(episodes):
        frames = {
            "observation.state": np.full((12, len(names)), 0.1 * i, np.float32),
            "action": np.ones((12, contract.size), np.float32), "next.done": np.arange(12) == 11,
        }  # fmt: skip
        pose = np.eye(4)
        pose[:2, 3] = 0.1 * i
        told = {"task": "lift", "success": True, "seed": 0, "object_id": "a", "object_pose": pose.tolist()} | meta
        write_episode(out, Episode(i, frames, told))
    finalize(out, contract, ObservationContract((), names), {"seed": 0})
    return out


def test_data_that_note_no_grasp_have_places_and_hands(tmp_path: Path) -> None:
    examples = read_examples((written(tmp_path / "a"),))
    np.testing.assert_allclose(examples.factors, np.repeat([0.0, 0.1], 12 - STEPS + 1)[:, None] * np.ones(5))
    assert examples.episode.tolist() == [0] * 5 + [1] * 5
    assert examples.nearest(np.full(7, 0.1)).shape == (STEPS, 4)  # the expert's states tell the grasp as well

def test_data_that_cannot_tell_are_refused_or_say_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="episode 0 does not tell where its target lay"):
        read_examples((written(tmp_path / "a", object_pose=None),))
    with pytest.raises(ConfigError, match=r"b does not tell eef\.r11, eef\.r21, so no nearest example"):
        read_examples((written(tmp_path / "b", names=STATE[:3]),))
    (blind,) = rule_of(asked(tmp_path / "b")).found
    assert blind.verdict.startswith("undefined: ")
    assert blind.verdict.endswith("does not tell eef.r11, eef.r21, so no nearest example can be found in it")
    other = dataclasses.replace(planted.Tabletop.action_contract, control_hz=20.0)
    both = written(tmp_path / "c"), written(tmp_path / "d", contract=other)
    with pytest.raises(ContractError, match="control_hz"):
        read_examples(both)
    needs = "undefined: it needs two episodes of one attempt that begin with an open hand, the data have"
    (one,) = rule_of(asked(written(tmp_path / "e", 1))).found
    assert one.verdict == f"{needs} 1"
    assert math.isnan(one.value.value)
    (none,) = rule_of(asked(written(tmp_path / "f", attempts=2))).found
    assert none.verdict == f"{needs} 0"
    (bare,) = rule_of(dataclasses.replace(asked(tmp_path), trained_on=())).found
    assert bare.verdict.endswith("give --trained-on")


def test_an_environment_that_acts_otherwise_is_refused(demos: Path) -> None:
    examples = read_examples((demos,))
    questions = asked_outside(examples, {}, 1, 0)
    with pytest.raises(ContractError, match="the training data and the environment differ"):
        questions(0, 0, True, planted.Tabletop())  # type: ignore[arg-type]


def test_the_nearest_counts_in_standard_deviations() -> None:
    factors = np.array([(0.0, 0.0), (0.1, 1.0)])
    chunks = np.arange(2.0)[:, None, None] * np.ones((2, STEPS, 4))
    examples = Examples(
        factors, chunks, np.arange(2), factors, {"table": [0, 1]}, np.ones(4), planted.Tabletop.action_contract
    )
    assert examples.nearest(np.array([0.09, 0.2]))[0, 0] == 1  # nearer to the first by the metre
    assert examples.nearest(np.array([0.09, 0.2]), ("table", 0))[0, 0] == 0
