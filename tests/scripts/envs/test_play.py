"""toyshift envs play: the key mapping, playing by hand with a window that is none, the video, and wrong options."""

from __future__ import annotations

import json
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import av
import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.envs.config import EnvConfig
from toyshift.envs.scene.scene import Scene
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.envs.tasks.success import Judge
from toyshift.scripts.cli import run
from toyshift.scripts.envs.play import AGAIN, GRIPPER, HELP, MOVES, NUMPAD, STEP, TURN, action_of, play_by_hand

OBJECTS = "toys:train?n=3"
UP, DOWN, LEFT, RIGHT, PAGE_UP, HOME = 265, 264, 263, 262, 266, 268


@pytest.fixture
def env() -> Any:
    made = GraspEnv(EnvConfig(objects=OBJECTS, cameras=()))
    yield made
    made.close()


class Window:
    """Stands for the viewer: is open for a number of pictures, and then closed by the person."""

    def __init__(self, pictures: int) -> None:
        self.left, self.closed = pictures, False

    def show(self, scene: Any) -> None:
        self.left -= 1

    @property
    def open(self) -> bool:
        return self.left > 0

    def close(self) -> None:
        self.closed = True


def test_keys_become_actions(env: GraspEnv) -> None:
    contract = env.action_contract
    still = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    np.testing.assert_array_equal(action_of((), 1.0, contract), still)
    np.testing.assert_array_equal(action_of((65, 999), 1.0, contract), still)  # keys without a meaning
    np.testing.assert_allclose(action_of((UP,), 1.0, contract), [-STEP, 0, 0, 0, 0, 0, 1], atol=1e-7)
    np.testing.assert_allclose(
        action_of((RIGHT, PAGE_UP, HOME), 0.0, contract), [0, STEP, STEP, 0, 0, TURN, 0], atol=1e-7
    )
    np.testing.assert_allclose(action_of((LEFT, RIGHT), 1.0, contract), still, atol=1e-7)  # they cancel
    np.testing.assert_array_equal(action_of((UP, UP), 1.0, contract), action_of((UP,), 1.0, contract))
    assert action_of((GRIPPER,), 1.0, contract)[-1] == 0.0
    assert action_of((GRIPPER,), 0.0, contract)[-1] == 1.0
    for pad, key in NUMPAD.items():
        np.testing.assert_array_equal(action_of((pad,), 1.0, contract), action_of((key,), 1.0, contract))
    for key in MOVES:
        action = action_of((key,), 1.0, contract)
        assert np.abs(action[:-1]).max() > 0
        assert (action >= contract.low).all()
        assert (action <= contract.high).all()


def test_by_hand_the_hand_goes_where_the_keys_say(env: GraspEnv, capsys: pytest.CaptureFixture[str]) -> None:
    keys: SimpleQueue[int] = SimpleQueue()
    for key in (RIGHT, GRIPPER):
        keys.put(key)
    env.reset(seed=4)
    start = env.commanded_pose()[0]
    window = Window(4)
    outcomes = play_by_hand(env, window, keys, seed=4, sleep=lambda seconds: None)
    np.testing.assert_allclose(env.commanded_pose()[0] - start, [0, STEP, 0], atol=1e-3)
    assert env.opening() < 0.5  # the gripper stays told to close
    assert window.closed
    assert [(o["episode"], o["steps"], o["success"]) for o in outcomes] == [(0, 3, False)]
    assert "pick up" in capsys.readouterr().out


def test_enter_begins_another_episode(env: GraspEnv) -> None:
    keys: SimpleQueue[int] = SimpleQueue()
    keys.put(AGAIN)
    outcomes = play_by_hand(env, Window(4), keys, seed=4, sleep=lambda seconds: None)
    assert [o["episode"] for o in outcomes] == [0, 1]
    assert "enter" in HELP


@pytest.mark.parametrize(("actor", "success"), [("oracle", True), ("random", False)])
def test_the_video_shows_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], actor: str, success: bool
) -> None:
    judge = Judge.judge

    def judged(verdict: Judge, scene: Scene, *args: Any) -> None:
        judge(verdict, scene, *args)
        verdict.success = success and scene.data.time > 1.95

    monkeypatch.setattr(Judge, "judge", judged)  # the outcome is given
    path = tmp_path / "play.mp4"
    assert run([
        "envs", "play", "--out", str(path), "--objects", OBJECTS, "--episodes", "1", "--size", "64", "--quality",
        "fast", "--actor", actor, "--json"
    ]) == 0
    (episode,) = json.loads(capsys.readouterr().out.splitlines()[-1])["episodes"]
    assert (episode["success"], episode["steps"]) == (success, 20 if success else 100)
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 1 + episode["steps"] + 10
    assert frames[0].shape == (64, 64, 3)
    assert np.abs(frames[0].astype(float) - frames[-1]).mean() > 2


def test_without_a_display_the_video_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toyshift.envs.render.window.has_display", lambda: False)
    monkeypatch.chdir(tmp_path)
    assert run(["envs", "play", "--objects", OBJECTS, "--episodes", "1", "--size", "64", "--quality", "fast"]) == 0
    assert (tmp_path / "play.mp4").stat().st_size > 1000


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--env", "toyshift/Graps-v0"], "Grasp"),
        (["--robot", "pandaa"], "Did you mean 'panda'"),
        (["--shift", "camera-azimut=3"], "camera-azimuth"),
        (["--actor", "me"], "oracle"),
        (["--size", "63"], "from 64 to 512"),
        (["--episodes", "0"], "at least 1"),
    ],
)
def test_wrong_options_name_the_choices(tmp_path: Path, option: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(["envs", "play", "--out", str(tmp_path / "play.mp4"), *option])
    with pytest.raises(ConfigError, match=r"\.mp4"):
        run(["envs", "play", "--out", str(tmp_path / "play.gif")])
    assert not list(tmp_path.iterdir())
