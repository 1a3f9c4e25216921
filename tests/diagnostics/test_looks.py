"""Looks: what is seen is the state with one change; policies of folders and behind servers are asked alike."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, GraspError, RemoteError
from toyshift.diagnostics.actors import OracleActor, make_grasp_env
from toyshift.diagnostics.evaluation import EvaluateConfig
from toyshift.diagnostics.looks import BASE, Change, look_along, looks_in_scene
from toyshift.diagnostics.measures import MEASURES, POLICY
from toyshift.diagnostics.measuring.counterfactual import Swaps, counterfactual
from toyshift.diagnostics.measuring.examples import read_examples
from toyshift.diagnostics.measuring.predicted import UnderShifts, predicted_drops
from toyshift.diagnostics.measuring.rule import asked_outside, rule
from toyshift.diagnostics.sensitivity import SensitivityConfig, diagnose
from toyshift.policies.remote.options import RemoteOptions
from toyshift.policies.remote.server import PolicyServer
from toyshift.scripts import diagnose as command

OBJECTS = "toys:train?n=9"


def test_a_look_is_the_same_state_with_one_change() -> None:
    from toyshift.data.grasping.choose import make_expert

    env: Any = make_grasp_env("toys:train?n=2", image_size=32, cameras=("front",))
    seen: list[Any] = []

    def predict(observations: Any) -> np.ndarray:
        seen.extend(observations)
        return np.stack([np.full((1, 1), i) for i in range(len(observations))])

    def changes(scene: int, at: int, free: bool, world: Any) -> dict[str, Change]:
        return {
            "light": Change({"light": 0.5}), "moved": Change(move=(0.0, 0.03)), "again": Change(again=True),
            "others": Change(shift="distractors=3"), "blue": Change(shift="object-colour=5"),
        }  # fmt: skip

    expert = OracleActor(make_expert(env))
    first, last = looks_in_scene(predict, expert, env, env.objects.ids, 3, 0, 2, changes, free_only=True)
    assert first.free
    assert last.free
    for look in (first, last):
        view = {name: seen[int(chunk[0, 0])] for name, chunk in look.chunks.items()}
        base, mask = view[BASE]["pixels"]["front"], view[BASE]["masks"]["front"]
        np.testing.assert_array_equal(view["again"]["pixels"]["front"], base)
        assert view["light"]["pixels"]["front"].mean() < 0.9 * base.mean()
        for name in ("light", "blue"):
            np.testing.assert_array_equal(view[name]["masks"]["front"], mask)
        assert (view["blue"]["pixels"]["front"][mask == 1] != base[mask == 1]).any()
        assert (view["moved"]["masks"]["front"] != mask).any()
        assert 2 in view["others"]["masks"]["front"]
        assert 2 not in mask
        for one in view.values():
            np.testing.assert_allclose(one["agent_pos"], view[BASE]["agent_pos"], atol=1e-6)
        beside = view["others"]["masks"]["front"] == 2
        calm = ~beside & (mask == 1)
        np.testing.assert_array_equal(view["others"]["masks"]["front"][calm], mask[calm])
    assert (first.object_id, first.scene) == (last.object_id, 3)
    env.close()


def test_the_expert_is_asked_where_the_target_is_put_and_heads_for_it() -> None:
    from toyshift.data.grasping.choose import make_expert

    env: Any = make_grasp_env("toys:train?n=2", image_size=32, cameras=())

    def changes(scene: int, at: int, free: bool, world: Any) -> dict[str, Change]:
        moves = {"left": (0.0, 0.08), "again": (0.0, 0.08), "right": (0.0, -0.08)}
        return {name: Change(move=move, expert=True) for name, move in moves.items()} | {"after": Change()}

    def predict(observations: Any) -> np.ndarray:
        return np.zeros((len(observations), 3, 7))

    expert = OracleActor(make_expert(env))
    found = looks_in_scene(predict, expert, env, env.objects.ids, 3, 0, 3, changes, free_only=True, expert=expert)
    assert len(found) == 3
    for look in found:
        left, right = look.chunks["left"], look.chunks["right"]
        assert left.shape == (1, 7)
        assert left[0, 1] > 0 > right[0, 1]  # across the table
        np.testing.assert_array_equal(look.chunks["again"], left)
        assert look.chunks["after"].shape == (3, 7)

    class Helpless(OracleActor):
        def actions(self, env: Any) -> np.ndarray:
            raise GraspError("no grasp")

    helpless = Helpless(make_expert(env))
    (look,) = looks_in_scene(predict, expert, env, env.objects.ids, 3, 0, 1, changes, expert=helpless)
    assert np.isnan(look.chunks["left"]).all()
    assert look.chunks["left"].shape == (1, 7)


class Eye:
    """Moves towards the target's mask, and sideways with the picture's brightness: light is its cue."""

    cue = 40.0

    def reset(self) -> None: ...

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        rows, columns = np.nonzero(observation["mask"] == 1)
        size = len(observation["mask"])
        middle = (rows.mean() / size, columns.mean() / size) if len(rows) else (0.5, 0.5)
        bright = self.cue * (observation["image"].mean() / 255 - 0.5)
        action = [0.04 * (middle[0] - 0.5), 0.04 * (middle[1] - 0.5 + 0.02 * bright), 0, 0, 0, 0, 1]
        return {"actions": np.tile(np.asarray(action, np.float32), (4, 1))}


class Late(Eye):
    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        time.sleep(1.0)
        return super().infer(observation)


class Blind(Eye):
    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        return {"actions": np.zeros((4, 7), np.float32)}


@contextlib.contextmanager
def serving(session: Any) -> Iterator[str]:
    pytest.importorskip("msgpack")
    pytest.importorskip("websockets")
    server = PolicyServer(lambda: session, {"model": "eye"}, port=0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture
def remote(tmp_path: Path) -> RemoteOptions:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"images": {"image": "front"}, "masks": {"mask": "front"}, "state": {}, "resize": 48}))
    return RemoteOptions(str(keys), "eef_delta", timeout=20)


def config(url: str, remote: RemoteOptions, scenes: int = 9) -> EvaluateConfig:
    return EvaluateConfig(url, OBJECTS, trials=scenes, remote=remote)


def test_a_policy_behind_a_server_is_looked_through(remote: RemoteOptions) -> None:
    swaps = Swaps({"light": (1.6,), "azimuth": (15.0,)})
    with serving(Eye()) as url:
        answers = look_along(config(url, remote), 2, swaps, free_only=True, workers=0, progress=False)
        shifts = ("light-intensity=5", "object-colour=1")
        shown = look_along(config(url, remote), 1, UnderShifts(shifts), free_only=True, workers=0, progress=False)
        sensitive = diagnose(
            url, OBJECTS, SensitivityConfig(scenes=3, looks=1, factors={"light": (1.6,), "table": (1,)}), remote=remote,
            workers=0, progress=False,
        )  # fmt: skip
    light, *_ = counterfactual(answers, swaps, training=(20, 20)).found
    assert light.table[0]["named"]
    assert light.table[0]["response_cm"] > 0.5
    assert light.table[0]["consistent share"] > 0.9
    assert light.value.n == 9
    drops = predicted_drops(shown, shifts, dict.fromkeys({look.object_id for look in shown.looks}, 2.0), 9, 10)
    assert not isinstance(drops, str)
    assert drops[0]["displacement_cm"] > 3 * drops[1]["displacement_cm"]
    assert sensitive.factors[0].shift.value > 0
    assert sensitive.target.value > 0
    assert sensitive.unit.startswith("standard deviations of the actions predicted")


def test_a_policy_behind_a_server_is_asked_outside_its_data(remote: RemoteOptions, tmp_path: Path) -> None:
    from toyshift.data import CollectConfig, collect

    demos = tmp_path / "demos"
    collect(CollectConfig(objects=OBJECTS, out=str(demos), episodes=3, workers=0, cameras=()), progress=False)
    examples = read_examples((demos,))
    with serving(Eye()) as url:
        questions = asked_outside(examples, {}, states=1, seed=0)
        answers = look_along(config(url, remote), 1, questions, workers=0, progress=False)
    (found,) = rule(answers, examples).found
    assert found.value.n == 9
    assert "the first 4 actions are compared, in standard deviations of the data's" in found.caveats
    by = {line["states"]: line["beta"] for line in found.table}
    assert by["outside"] != pytest.approx(1, abs=0.1)  # it closes nothing, and hardly goes anywhere


def test_a_server_that_always_says_the_same_is_undefined(remote: RemoteOptions) -> None:
    with serving(Blind()) as url:
        swaps = Swaps({"light": (1.6,)})
        answers = look_along(config(url, remote), 1, swaps, free_only=True, workers=0, progress=False)
    assert "do not follow the target" in counterfactual(answers, swaps).found[0].verdict


def test_a_late_server_and_none_are_evaluate_s_errors(remote: RemoteOptions) -> None:
    import dataclasses

    hasty = dataclasses.replace(remote, timeout=0.2)
    with serving(Late()) as url, pytest.raises(RemoteError, match=r"has not answered within 0.2 s"):
        look_along(config(url, hasty), 1, Swaps({"light": (1.6,)}), workers=0, progress=False)
    with pytest.raises(RemoteError, match="no policy server answers at"):
        look_along(config(url, remote), 1, Swaps({"light": (1.6,)}), workers=0, progress=False)


def test_the_command_asks_servers_and_says_what_it_cannot(
    remote: RemoteOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import dataclasses

    from toyshift.diagnostics import looks

    monkeypatch.setattr(looks, "core_count", lambda: 0)
    inside = dataclasses.replace(MEASURES[0], name="patching", inside="its network is not seen")
    swapped = next(m for m in MEASURES if m.name == "counterfactual")
    monkeypatch.setattr(command, "MEASURES", (inside, swapped))
    given: dict[str, Any] = {
        "objects": OBJECTS, "remote_keys": remote.keys, "remote_actions": "eef_delta", "scenes": 9, "looks": 1,
        "trials": 0, "out": tmp_path / "out",
    }  # fmt: skip
    with serving(Eye()) as url:
        result = command.main(command.Config(policy=(url,), **given))
    said = capsys.readouterr().out
    why = "undefined: its network is not seen, and this policy is behind a server"
    assert f"patching of {url}: {why}" in said
    (left,) = result["patching"][url]
    assert (left["verdict"], left["value"]["value"], left["null"]) == (why, None, None)
    by_factor = {one["table"][0]["factor"]: one for one in result["counterfactual"][url] if one["table"]}
    assert by_factor["light"]["value"]["value"] > 0.5
    assert "not labelled" in by_factor["light"]["verdict"]
    assert {m.needs for m in (inside, swapped)} == {POLICY}
    with pytest.raises(ConfigError, match=f"--measure patching cannot be taken of {url}: its network is not seen"):
        command.Config(policy=(url,), measure=("patching",))
    with pytest.raises(ConfigError, match="--trained-on says what a policy was trained on"):
        command.Config(data=(tmp_path,), trained_on=(tmp_path,))
    with pytest.raises(ConfigError, match="--remote-timeout must be"):
        command.Config(policy=("ws://a:1",), remote_timeout=0)
