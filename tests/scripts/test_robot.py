"""The robot commands: an episode through server, runtime, safety layer and a robot with a time of its own."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ACTION, STATE
from toyshift.core.errors import ConfigError, ContractError, FileError, RobotError, UnknownNameError
from toyshift.data.store.dataset import open_dataset
from toyshift.diagnostics.alarm_fit import play
from toyshift.diagnostics.robot_record import Recorder
from toyshift.diagnostics.robot_sim import RobotSim, SimOptions
from toyshift.policies import load_policy
from toyshift.policies.act.onnx_policy import OnnxPolicy
from toyshift.policies.checkpoints import file_hash
from toyshift.policies.remote.server import PolicyServer, PolicySession, policy_metadata
from toyshift.policies.robots import open_robot
from toyshift.policies.safety import Alarm
from toyshift.policies.safety.safety_layer import SafeCommand
from toyshift.scripts.robot import alarm, run
from toyshift.scripts.robot.lens_file import read_lenses

pytest.importorskip("msgpack")
pytest.importorskip("websockets")


@pytest.fixture(scope="module")
def robot() -> Iterator[str]:
    """A simulated robot that hears and is heard 30 +- 10 ms late."""
    sim = RobotSim(SimOptions("toys:test?n=4", size=32, publish_hz=25.0, latency=0.03, jitter=0.01))
    thread = threading.Thread(target=sim.run)
    thread.start()
    yield f"socket:127.0.0.1:{sim.port}"
    sim.end()
    thread.join(20)
    assert not thread.is_alive()
    assert sim.refused == 0


@pytest.fixture
def config(robot_bundle: Path, robot: str, tmp_path: Path) -> Callable[..., run.Config]:
    def make(**changed: Any) -> run.Config:
        fields = {"bundle": str(robot_bundle), "robot": robot, "masks": "robot", "log": tmp_path / "log.jsonl"}
        return run.Config(**fields | {"seconds": 2.0} | changed)

    return make


def test_an_episode_in_real_time_through_a_server_is_recorded_and_read_again(
    config: Callable[..., run.Config], robot_bundle: Path, tmp_path: Path
) -> None:
    policy = load_policy(robot_bundle)
    server = PolicyServer(lambda: PolicySession(policy), policy_metadata(policy, "x"), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        cfg = config(bundle=f"ws://127.0.0.1:{server.port}", execute=True, record=tmp_path / "episodes", seconds=3.0)
        result = run.main(cfg)
    finally:
        server.shutdown()
        thread.join()
    tally = result["tally"]
    assert result["ok"]
    assert tally["steps"] == pytest.approx(30, abs=6)  # 10 Hz, on a machine that does other things as well
    assert tally["acted"] > 15
    dataset = open_dataset(tmp_path / "episodes")
    assert dataset.num_episodes == 1
    assert json.loads((dataset.folder / "meta" / "info.json").read_text())["fps"] == 10
    episode = dataset.episode(0)
    frames = episode.frames
    assert len(episode) >= tally["acted"]
    assert frames["observation.images.front"].shape[1:] == (32, 32, 3)
    assert set(np.unique(frames["masks.front"])) <= {0, 1, 2, 3}
    assert frames[ACTION].shape[1] == 7
    names = list(dataset.observation_contract.state_names)
    measured, commanded = frames[STATE][:, :7], frames["command.joints"]
    assert np.ptp(measured, axis=0).max() > 0.02  # it moved
    assert np.median(np.abs(measured[3:] - commanded[2:-1]), axis=0).max() < 0.1  # where it was sent, a step later
    assert np.abs(frames[STATE][:, names.index("lag.x")]).max() > 1e-4
    assert episode.meta["executed"] is True
    assert episode.meta["success"] is False


def test_a_dry_run_moves_nothing_and_says_what_it_would_send(config: Callable[..., run.Config], robot: str) -> None:
    cfg = config(seconds=1.0)
    result = run.main(cfg)
    assert result["tally"]["sent"] == 0
    assert result["journal"]["dry"] > 0
    lines = [json.loads(line) for line in cfg.log.read_text().splitlines()]
    asked = np.array([line["sent"] for line in lines if line["kind"] == "dry"])
    assert np.abs(asked[:, :6]).max() > 0.001


def test_what_was_recorded_until_ctrl_c_is_kept(
    config: Callable[..., run.Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = Recorder.add

    def pressed(self: Recorder, *told: Any) -> None:
        add(self, *told)
        if len(self) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "add", pressed)
    cfg = config(execute=True, record=tmp_path / "episodes", seconds=5.0)
    with pytest.raises(KeyboardInterrupt):
        run.main(cfg)
    dataset = open_dataset(tmp_path / "episodes")
    assert dataset.num_episodes == 1
    episode = dataset.episode(0)
    assert len(episode) == 5
    assert episode.meta["stopped"] == "Ctrl-C"
    assert "success" not in episode.meta
    assert cfg.log.with_name("log.jsonl.stopped").exists()


def test_masks_by_a_provider_that_is_told_where_the_target_is(
    config: Callable[..., run.Config], robot_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every episode has a provider of its own, which is told anew; a camera without a prompt has empty masks."""
    made: list[run._Finder] = []
    seen: list[dict[str, Any]] = []
    detector, find = run._detector, run._Finder.__call__
    monkeypatch.setattr(run, "_detector", lambda *told: made.append(detector(*told)) or made[-1])
    monkeypatch.setattr(run._Finder, "__call__", lambda self, pixels: seen.append(find(self, pixels)) or seen[-1])
    result = run.main(config(masks="box", box_in=("front=10,12,20,24",), seconds=0.6, episodes=2))
    assert result["ok"]
    assert result["tally"]["acted"] > 0
    filled = np.zeros((32, 32), bool)
    filled[10:20, 12:24] = True
    first = [masks for masks in seen if (masks["front"] == filled).all()]
    assert len(first) >= 2
    assert not any(masks["wrist"].any() for masks in seen)


def test_a_simulated_robot_stops_and_begins_again(robot: str) -> None:
    def until(true: Callable[[], bool]) -> bool:
        end = time.monotonic() + 5.0
        while not true() and time.monotonic() < end:
            time.sleep(0.02)
        return true()

    with open_robot(robot) as driver:
        driver.begin(2)
        start = driver.read().joints
        goal = start + 0.2 * np.eye(7)[0]
        shut = SafeCommand(goal, 0.0, 0.0, 10.0, np.zeros(7, np.float32))
        driver.send(shut)
        assert until(lambda: np.abs(driver.read().joints - goal).max() < 0.05 and driver.read().gripper_width < 0.03)
        driver.stop()
        assert until(lambda: bool(driver._newest and driver._newest["stopped"]))
        with pytest.raises(RobotError, match="is stopped"):
            driver.send(shut)
        driver.begin(3)
        np.testing.assert_allclose(driver.read().joints, start, atol=0.3)  # noise of the start
        assert driver.succeeded is False


def test_no_start_where_bundle_and_robot_disagree(config: Callable[..., run.Config], tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"masks of camera front: nobody.*masks of camera wrist"):
        run.main(config(masks=""))
    with pytest.raises(ConfigError, match="needs the simulator"):
        run.main(config(masks="truth"))
    with pytest.raises(ConfigError, match=r"masks colour must be told where the target is.*--box-in CAMERA="):
        run.main(config(masks="colour"))
    for told, words in (({"box_in": ("front=1,2,3",)}, "write CAMERA=N,N,N,N"),
                        ({"click_in": ("front=1,2", "front=1,2")}, "told twice"),
                        ({"click_in": ("front=32,2",)}, "lies outside the image of camera front, 32 x 32"),
                        ({"click_in": ("frnt=1,2",)}, "Did you mean 'front'")):  # fmt: skip
        with pytest.raises((ConfigError, UnknownNameError), match=words):
            run.main(config(masks="colour", **told))
    with pytest.raises(ConfigError, match="masks detector is not told where the target is"):
        run.main(config(masks="detector", click_in=("front=1,2",)))
    with pytest.raises(UnknownNameError, match="Did you mean 'socket'"):
        run.main(config(robot="sockt:127.0.0.1:1"))
    with pytest.raises(ConfigError, match="HOST:PORT"):
        run.main(config(robot="socket:nowhere"))
    with pytest.raises(RobotError, match=r"no robot answers at 127\.0\.0\.1:1 "):
        run.main(config(robot="socket:127.0.0.1:1"))
    lenses = tmp_path / "lenses.json"
    lenses.write_text('{"front": {"size": [480, 640], "matrix": [[1, 0, 1], [0, 1, 1], [0, 0, 1]]}}')
    with pytest.raises(FileError, match=r"--lenses .*lenses.json holds no lenses \(KeyError\('intrinsics'\)\); write"):
        run.main(config(lenses=lenses))
    lenses.write_text(lenses.read_text().replace("matrix", "intrinsics"))  # as `toyshift robot check --lens` reads it
    assert read_lenses(lenses, "--lens")["front"].size == (480, 640)
    cfg = config(execute=True)
    cfg.log.with_name("log.jsonl.stopped").write_text('{"why": "pressed"}')
    with pytest.raises(ConfigError, match="was stopped: pressed"):
        run.main(cfg)
    assert run.main(dataclasses.replace(cfg, release=True, seconds=0.2))["ok"]
    assert not cfg.log.with_name("log.jsonl.stopped").exists()


def test_an_alarm_is_fitted_to_datasets_and_played_episodes(robot_bundle: Path, tmp_path: Path) -> None:
    policy = OnnxPolicy(robot_bundle, "bundle")
    contracts = policy.action_contract, policy.observation_contract
    recorder, rng = Recorder(tmp_path / "data", *contracts, policy.cameras, "panda", {}), np.random.default_rng(0)
    for number in range(2):
        for _ in range(9):
            images, masks = ({c: rng.integers(0, most, (32, 32, *more), dtype=np.uint8) for c in policy.cameras}
                             for most, more in ((256, (3,)), (4, ())))  # fmt: skip
            shown = {"pixels": images, "masks": masks, "agent_pos": rng.normal(size=21).astype(np.float32)}
            action = np.zeros(7, np.float32)
            recorder.add(shown, SafeCommand(np.zeros(7), 1.0, 1.0, 10.0, action))
        assert recorder.finish("grasp", success=True) == number
    found = alarm.main(alarm.Config(
        bundle=robot_bundle, data=(tmp_path / "data",), held_out=(tmp_path / "data",), share=0.5,
        out=tmp_path / "alarm.npz",
    ))  # fmt: skip
    assert (found["training"], found["held_out"]) == (2, 2)
    fitted = Alarm.load(tmp_path / "alarm.npz", file_hash(robot_bundle / "policy.onnx"))
    assert fitted.threshold < 1e-3  # its own data
    (played,) = play(policy, "toys:test?n=2", [0], purpose="test", most_steps=10)
    assert played.features.shape == (3, policy._features)  # an observation every fourth step
    assert fitted.sounds(max(map(fitted.score, played.features)))  # the simulator shows no noise
    with pytest.raises(ConfigError, match="--data is missing"):
        alarm.main(alarm.Config(bundle=robot_bundle, out=tmp_path / "other.npz"))
