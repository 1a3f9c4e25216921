"""Named: what a policy does when the other object is named is the part of the way there; and when nothing is known."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import RemoteError, UnknownNameError
from toyshift.diagnostics.actors import OracleActor, make_grasp_env
from toyshift.diagnostics.looks import BASE, Answers, looks_in_scene
from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring import planted
from toyshift.diagnostics.measuring.finding import Finding
from toyshift.diagnostics.measuring.named import (
    AWAY,
    FOLLOWS,
    IGNORES,
    IN_PART,
    UNDECIDED,
    named,
    named_of,
    other_named,
    untold,
)
from toyshift.policies.remote.options import RemoteOptions

OBJECTS = "toys:train?n=9"


def told(share: float, jolt: float = 0.0, scenes: int = 30, reached: tuple[int, int] | None = (20, 20)) -> Finding:
    looked = planted.looked_at(planted.heeding(share, jolt), other_named, scenes, looks=2, world=planted.TwoThings())
    return named(looked, reached=reached)


@pytest.mark.parametrize(
    ("share", "jolt", "word"),
    [(1.0, 0.0, FOLLOWS), (0.6, 1.0, FOLLOWS), (0.3, 0.0, IN_PART), (0.0, 0.0, IGNORES), (0.1, 0.0, IGNORES),
     (-0.5, 0.0, AWAY), (0.0, 30.0, UNDECIDED)],
)  # fmt: skip
def test_the_part_of_the_way_and_its_word(share: float, jolt: float, word: str) -> None:
    found = told(share, jolt)
    line = found.table[0]
    assert line["verdict"] == word
    assert found.value.low <= share <= found.value.high or jolt == 0
    if jolt == 0:
        assert found.value.value == pytest.approx(share)
        # to the middle of both without the instruction, so as told it goes from there
        assert (line["as told"], line["told the other"]) == pytest.approx(((1 - share) / 2, (1 + share) / 2), abs=1e-6)
        assert line["looks that change"] == float(share != 0)
    assert found.card == found.verdict


def test_where_it_goes_is_not_said_of_a_policy_that_reaches_nothing_or_was_not_tried() -> None:
    lost = told(1.0, reached=(3, 20))
    assert lost.verdict == "undefined: it does not reach either object: its hand comes near one in 3 of 20 episodes"
    assert (lost.card, math.isnan(lost.value.value)) == ("", True)
    untried = told(1.0, reached=None)
    assert untried.verdict.startswith("not labelled, whether it reaches an object is unknown")
    assert (untried.card, untried.table[0]["verdict"]) == ("", "")
    few = told(1.0, scenes=4)
    assert few.verdict == "undefined: 4 scenes; it needs 9 to tell following from chance"


def test_without_a_grasp_there_is_no_way() -> None:
    looked = planted.looked_at(planted.heeding(1.0), other_named, 20, looks=1, world=planted.TwoThings())
    nowhere = np.full((1, 4), np.nan)
    looks = [dataclasses.replace(look, chunks={**look.chunks, "expert there": nowhere}) for look in looked.looks]
    found = named(dataclasses.replace(looked, looks=tuple(looks)), reached=(20, 20))
    assert found.verdict == "undefined: the expert finds no grasp of the one or of the other object"


def test_in_the_simulator_the_named_object_is_gone_to() -> None:
    """A policy that moves the hand to what is named, in straight lines, follows; it sees the same images both times."""
    from toyshift.data.grasping.choose import make_expert

    env: Any = make_grasp_env("toys:test?n=6", image_size=16, cameras=("front",), task="pick", clutter=1)
    images: list[bool] = []

    def predict(observations: Any) -> np.ndarray:
        places = {env.instruction(obj): at for obj, at, _ in env.others()}
        as_told, other = observations
        images.append(np.array_equal(as_told["pixels"]["front"], other["pixels"]["front"]))
        chunks = []
        for obs in observations:
            way = places.get(obs.get("task", ""), env.object_position())[:2] - obs["agent_pos"][8:10]
            chunks.append([[*(0.04 * way / np.linalg.norm(way)), 0, 0, 0, 0, 1]])
        return np.array(chunks, np.float64)

    expert, ids = OracleActor(make_expert(env)), env.objects.ids
    looks = [look for scene in range(9) for look in looks_in_scene(
        predict, expert, env, ids, scene, 0, 1, other_named, free_only=True, expert=expert)]  # fmt: skip
    found = named(Answers(tuple(looks), "p", "", np.array([0.04] * 3 + [0.25] * 3 + [1.0])), reached=(20, 20))
    assert found.table[0]["verdict"] in (FOLLOWS, IN_PART), found
    assert found.value.value > 0.3
    assert images == [True] * 9
    env.close()


@pytest.mark.parametrize("objects", ["toys:test?n=6", "ycb-like"])
def test_another_target_changes_nothing_but_the_target(objects: str) -> None:
    env: Any = make_grasp_env(objects, image_size=32, cameras=("front",), task="pick", clutter=2)
    env.reset(seed=0, options={"episode": 3, "object": 0})
    for _ in range(3):
        env.advance(np.array([0.03, 0, -0.02, 0, 0, 0, 0.5], np.float32))
    own, said, others = env.object.id, env.task_description, env.other_ids
    env.load_sim_state(own, env.sim_state())  # commands are then those of the state, as in every look
    places = {obj.id: at for obj, at, _ in env.others()} | {own: env.object_pose()[0]}
    before, state = env.observe(), env.sim_state()
    env.change_target(others[1])
    assert (env.object.id, set(env.other_ids)) == (others[1], {own, others[0]})
    assert env.task_description != said
    np.testing.assert_allclose(env.object_pose()[0], places[others[1]], atol=1e-9)
    assert {obj.id for obj, at, _ in env.others() if np.allclose(at, places[obj.id], atol=1e-9)} == {own, others[0]}
    after = env.observe()
    np.testing.assert_allclose(after["agent_pos"], before["agent_pos"], atol=1e-5)
    front, now = before["masks"]["front"], after["masks"]["front"]
    np.testing.assert_array_equal(np.isin(now, (1, 2)), np.isin(front, (1, 2)))
    assert (now == 1)[front == 1].sum() == 0
    env.load_sim_state(own, state, others=others)
    np.testing.assert_array_equal(env.observe()["pixels"]["front"], before["pixels"]["front"])
    with pytest.raises(UnknownNameError, match="object on the table"):
        env.change_target("toy-that-is-not-there")
    env.close()


class Hand:
    """Goes to a side that the instruction's length decides, or refuses to be told anything."""

    def __init__(self, refuses: bool = False) -> None:
        self.refuses = refuses
        self.told: dict[bytes, set[str]] = {}

    def reset(self) -> None: ...

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        from toyshift.core.errors import ContractError

        if self.refuses:
            raise ContractError("unknown instruction")
        seen = b"".join(np.ascontiguousarray(value).tobytes() for key, value in sorted(observation.items())
                        if key != "prompt")  # fmt: skip
        self.told.setdefault(seen, set()).add(observation["prompt"])
        step = np.array([0.01, 0, -0.02, 0, 0, 0, 1], np.float32)
        return {"actions": np.tile(step, (2, 1))}


@contextlib.contextmanager
def serving(hand: Hand) -> Iterator[str]:
    from toyshift.policies.remote.server import PolicyServer

    server = PolicyServer(lambda: hand, {"model": "hand"}, port=0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()


def asked(policy: str, tmp_path: Path, **more: Any) -> Asked:
    own: dict[str, Any] = {
        "policy": policy, "objects": OBJECTS, "scenes": 9, "looks": 1, "trials": 2, "camera": "", "seed": 0,
        "out": tmp_path, "workers": 1,
    }  # fmt: skip
    return Asked(**(own | more))


@pytest.fixture
def remote(tmp_path: Path) -> RemoteOptions:
    pytest.importorskip("msgpack")
    pytest.importorskip("websockets")
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"state": {"state": ["eef.x", "eef.z"]}}))
    return RemoteOptions(str(keys), "eef_delta", timeout=20)


def test_a_policy_behind_a_server_is_told_both_names(tmp_path: Path, remote: RemoteOptions) -> None:
    hand = Hand()
    with serving(hand) as url:
        (found,) = named_of(asked(url, tmp_path, remote=remote)).found
    assert sum(len(names) > 1 for names in hand.told.values()) >= 9  # in each of 9 looks, the same but for the name
    assert found.verdict.startswith("undefined: it does not reach"), found
    assert found.subject == url
    with serving(Hand(refuses=True)) as url:
        (refused,) = named_of(asked(url, tmp_path, remote=remote)).found
    assert refused.verdict.startswith("undefined: ")
    assert "answered with an error" in refused.verdict
    with pytest.raises(RemoteError):
        named_of(asked(url, tmp_path, remote=remote))


def test_keys_without_a_prompt_send_no_instruction(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"state": {"state": ["eef.x"]}, "prompt": ""}))
    options = RemoteOptions(str(keys), "eef_delta")
    assert untold("ws://localhost:1", options) == f"no instruction is sent to it: --remote-keys {keys} has no prompt"
    (found,) = named_of(asked("ws://localhost:1", tmp_path, remote=options)).found
    assert found.verdict.startswith("undefined: no instruction is sent to it")


def test_a_set_in_which_no_two_objects_differ_by_name(tmp_path: Path, remote: RemoteOptions) -> None:
    (found,) = named_of(asked("ws://localhost:1", tmp_path, remote=remote, objects="toys:train?n=1")).found
    assert found.verdict == "undefined: toys:train?n=1 holds no two objects that can be told apart by name"


def test_base_is_what_it_was_told() -> None:
    looked = planted.looked_at(planted.heeding(1.0), other_named, 2, looks=1, world=planted.TwoThings())
    assert set(looked.looks[0].chunks) == {BASE, "told", "expert", "expert there"}
