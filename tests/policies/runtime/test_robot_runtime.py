"""A bundle on a robot that is simulated: its readings give the simulator's observation, and bad ones are refused."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.files import read_json, write_json
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.policies import load_policy
from toyshift.policies.act.bundle_format import BUNDLE_FILE
from toyshift.policies.checkpoints import file_hash
from toyshift.policies.runtime import Readings, Runtime

SIZE = 32
LENS = [[SIZE, 0.0, SIZE / 2], [0.0, SIZE, SIZE / 2], [0.0, 0.0, 1.0]]


@pytest.fixture(scope="module")
def env() -> Iterator[GraspEnv]:
    made = GraspEnv(EnvConfig(objects="toys:test", image_size=SIZE))
    yield made
    made.close()


@pytest.fixture(scope="module")
def bundle(robot_bundle: Path) -> Path:
    return robot_bundle


class Clock:
    """Time as the test wants it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Later(Executor):
    """Computes when it is told to."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except ContractError as error:
                future.set_exception(error)

        self.waiting.append(work)
        return future

    def finish(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


class AtOnce(Later):
    """Takes no time."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future = super().submit(fn, *args, **kwargs)
        self.finish()
        return future


def readings(env: GraspEnv, now: float, obs: dict[str, Any] | None = None) -> Readings:
    """What a robot in the simulator's state would say."""
    obs = obs or env.observe()
    joints = env.scene.data.qpos[env.scene.arm.qpos]
    stamps = dict.fromkeys(obs["pixels"], now)
    return Readings(joints, env.opening() * 0.08, obs["pixels"], now, stamps, obs["masks"])


def opened(bundle: Path, clock: Clock, executor: Executor, **options: Any) -> Runtime:
    return Runtime(bundle, clock=clock, executor=executor, **{"colours": "rgb", **options})


def test_an_episode_from_readings_is_the_simulators_episode(env: GraspEnv, bundle: Path) -> None:
    policy, clock = load_policy(bundle), Clock()
    with opened(bundle, clock, AtOnce()) as runtime:
        env.reset(seed=5, options={"episode": 1})
        states, theirs, largest = [], np.zeros((0, 7), np.float32), 0.0
        for step in range(14):
            obs = env.observe()
            if step % policy.execute == 0:
                theirs = policy.act(obs)
            command = runtime.step(readings(env, clock.now, obs))
            assert command is not None
            assert not command.held
            joints = env.scene.data.qpos[env.scene.arm.qpos]
            seen = runtime._state(np.array(joints), env.opening())
            largest = max(largest, float(np.abs(seen - obs["agent_pos"]).max()))
            np.testing.assert_allclose(command.action, theirs[step % policy.execute], atol=2e-5)
            env.advance(command.action)
            runtime.sent(joints=env.commanded_joints())
            states.append(obs["agent_pos"])
            clock.now += 0.1
        assert largest < 1e-6
        moved = np.ptp(states, axis=0)
        names = env.observation_contract.state_names
        assert moved[names.index("lag.x")] > 1e-3  # it has been somewhere, and so have the commands
        assert moved[names.index("command.gripper")] > 0.1


def test_lag_follows_what_was_sent_and_not_what_was_asked_for(env: GraspEnv, bundle: Path) -> None:
    clock = Clock()
    runtime = opened(bundle, clock, AtOnce())
    env.reset(seed=5, options={"episode": 1})
    joints = np.array(env.scene.data.qpos[env.scene.arm.qpos])
    assert runtime.step(readings(env, clock.now)) is not None
    sent = np.array([0.01, 0.0, -0.02, 0.0, 0.0, 0.0, 0.0], np.float32)
    runtime.sent(sent)
    names = env.observation_contract.state_names
    state = dict(zip(names, runtime._state(joints, 1.0), strict=True))
    np.testing.assert_allclose([state[f"lag.{axis}"] for axis in "xyz"], sent[:3], atol=1e-6)
    # told to shut, but no faster than 2.5 of its opening per second
    assert state["command.gripper"] == pytest.approx(env.opening() - 0.25, abs=1e-6)


def test_the_next_chunk_is_computed_while_the_last_is_executed(env: GraspEnv, bundle: Path) -> None:
    clock, later = Clock(), Later()
    runtime = opened(bundle, clock, later)
    env.reset(seed=5, options={"episode": 1})

    def step(finish: bool = False) -> Any:
        if finish:
            later.finish()
        command = runtime.step(readings(env, clock.now))
        if command is not None:
            runtime.sent()
        clock.now += 0.1
        return command

    assert step() is None  # the first is waited for
    assert step() is None
    first = load_policy(bundle).act(env.observe())
    got = [step(finish=True), *(step() for _ in range(3))]
    np.testing.assert_allclose([one.action for one in got], first[:4], atol=2e-5)
    assert np.isnan(runtime.latency)  # the first is not counted
    assert [step().held for _ in range(4)] == [False] * 4  # asked for the next in the first of these
    held = step()
    assert held.held
    np.testing.assert_array_equal(held.action[:6], 0.0)
    assert step(finish=True).held is False
    assert runtime.latency == pytest.approx(0.5)


def test_bgr_images_are_turned_round(env: GraspEnv, bundle: Path) -> None:
    env.reset(seed=5, options={"episode": 1})
    clock, obs = Clock(), env.observe()
    turned = obs | {"pixels": {c: np.ascontiguousarray(a[..., ::-1]) for c, a in obs["pixels"].items()}}
    commands = [
        opened(bundle, clock, AtOnce(), colours=colours).step(readings(env, clock.now, seen))
        for colours, seen in (("rgb", obs), ("bgr", turned), ("bgr", obs))
    ]
    actions = [command.action for command in commands if command is not None]
    np.testing.assert_array_equal(actions[0], actions[1])
    assert not np.array_equal(actions[0], actions[2])
    with pytest.raises(ConfigError, match="rgb or bgr"):
        opened(bundle, clock, AtOnce(), colours="gbr")


def test_masks_are_looked_for_once_in_what_is_shown_and_recorded(env: GraspEnv, bundle: Path) -> None:
    """A tracker goes from image to image: asked twice about one, it would see the scene stand still."""
    asked: list[bytes] = []

    def detector(pixels: Any) -> dict[str, Any]:
        asked.append(pixels["front"].tobytes())
        return {camera: np.full(image.shape[:2], len(asked) % 2, np.uint8) for camera, image in pixels.items()}

    clock = Clock()
    runtime = opened(bundle, clock, AtOnce(), detector=detector)
    env.reset(seed=5, options={"episode": 1})
    for step in range(3):
        given = readings(env, clock.now)
        runtime.step(given)
        shown = runtime.shown(given)
        assert len(asked) == step + 1
        assert (shown["masks"]["front"] == (step + 1) % 2).all()
        runtime.sent()
        clock.now += 0.1
    runtime.reset()
    runtime.step(readings(env, clock.now - 0.1))  # another episode's image, though of the same time
    assert len(asked) == 4


def change(**fields: Any) -> Callable[[Readings], Readings]:
    return lambda given: dataclasses.replace(given, **{k: v(given) if callable(v) else v for k, v in fields.items()})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (change(joints=lambda r: r.joints[:6]), "joints have shape"),
        (change(joints=lambda r: r.joints * np.nan), "joints have shape"),
        (change(joints=lambda r: np.degrees(r.joints)), "joint4 is at .* are these radians"),
        (change(joints=lambda r: r.joints[::-1]), "is at .* in the contract.s order"),
        (change(gripper_width=1.0), "width is 1 m.* is it in metres"),
        (change(gripper_width=80.0), "width is 80 m"),
        (change(gripper_width=float("nan")), "width is nan"),
        (change(images=lambda r: {"front": r.images["front"]}), "needs images of camera wrist"),
        (change(images=lambda r: r.images | {"front": r.images["front"][0]}), r"camera front are \(32, 3\)"),
        (change(images=lambda r: r.images | {"front": r.images["front"] / 255}), "float64"),
        (change(images=lambda r: r.images | {"front": np.zeros((48, 64, 3), np.uint8)}), "give its intrinsics"),
        (change(masks={}), "needs masks of camera front"),
        (change(time=99.0), "the joints are 1.000 s old"),
        (change(time=101.0), "from the future"),
        (change(time=float("nan")), "the joints are"),
        (change(image_times=lambda r: r.image_times | {"wrist": 99.5}), "images of camera wrist are 0.500 s old"),
        (change(image_times={}), "with their time"),
    ],
)
def test_bad_readings_are_refused_by_name(
    env: GraspEnv, bundle: Path, spoil: Callable[[Readings], Readings], words: str
) -> None:
    clock = Clock()
    runtime = opened(bundle, clock, AtOnce())
    env.reset(seed=5, options={"episode": 1})
    good = readings(env, clock.now)
    with pytest.raises(ContractError, match=words):
        runtime.step(spoil(good))
    assert runtime.step(good) is not None  # and the next good one is taken


def test_clocks_that_go_back_and_images_that_stand_still_are_refused(env: GraspEnv, bundle: Path) -> None:
    clock = Clock()
    runtime = opened(bundle, clock, AtOnce(), most_age=10.0)
    env.reset(seed=5, options={"episode": 1})
    for _ in range(4):
        runtime.step(readings(env, clock.now))
        runtime.sent()
        clock.now += 0.1
    with pytest.raises(ContractError, match="camera front stand still"):
        runtime.step(dataclasses.replace(readings(env, clock.now), image_times={"front": 100.0, "wrist": clock.now}))
    with pytest.raises(ContractError, match="stamp of images of camera wrist went back"):
        runtime.step(dataclasses.replace(readings(env, clock.now), image_times={"front": clock.now, "wrist": 99.0}))
    with pytest.raises(ContractError, match="stamp of the joints went back"):
        runtime.step(dataclasses.replace(readings(env, clock.now), time=99.5))
    clock.now -= 5.0
    with pytest.raises(ContractError, match="the clock went back"):
        runtime.step(readings(env, clock.now))
    runtime.reset()
    assert runtime.step(readings(env, clock.now)) is not None


def test_what_was_sent_must_be_said_once(env: GraspEnv, bundle: Path) -> None:
    clock = Clock()
    runtime = opened(bundle, clock, AtOnce())
    env.reset(seed=5, options={"episode": 1})
    with pytest.raises(ContractError, match="nothing was commanded"):
        runtime.sent()
    runtime.step(readings(env, clock.now))
    with pytest.raises(ContractError, match=r"call sent\(\)"):
        runtime.step(readings(env, clock.now))
    for action, joints in ((np.zeros(3), None), (np.full(7, np.nan), None), (None, np.zeros(6))):
        with pytest.raises(ContractError, match="must be finite"):
            runtime.sent(action, joints)
    runtime.sent()


def test_mistakes_that_a_contract_can_see_are_refused_and_nothing_sound_is(
    bundle: Path, benchmark_file: Callable[[str], Any]
) -> None:
    """Two of each kind; `python benchmarks/contract_mutations.py BUNDLE` plays 1,000."""
    found = benchmark_file("contract_mutations").measure(bundle, 74)
    taken = [kind for kind, tally in found["seen"].items() if tally.refused < tally.cases]
    assert not taken, f"taken although wrong: {taken}"
    refused = {kind: tally.words for kind, tally in found["sound"].items() if tally.refused}
    assert not refused, f"refused although sound: {refused}"
    assert sum(tally.cases for tally in found["sound"].values()) == 74
    assert found["unseen"].keys() >= {"cameras_exchanged", "width_inverted"}  # what no contract can see


def _with(bundle: Path, copy: Path, **parts: Any) -> Path:
    """A copy of a bundle whose contract tells other parts."""
    shutil.copytree(bundle, copy)
    write_json(copy / "contract.json", read_json(copy / "contract.json") | parts)
    recorded = read_json(copy / BUNDLE_FILE)
    recorded["sha256"]["contract.json"] = file_hash(copy / "contract.json")
    write_json(copy / BUNDLE_FILE, recorded)
    return copy


def test_bundles_that_a_robot_cannot_use_are_refused(bundle: Path, tmp_path: Path) -> None:
    bare = _with(bundle, tmp_path / "bare", arm=None)  # as exported without facts
    with pytest.raises(ConfigError, match="tells no arm; export it again with --robot"):
        Runtime(bare, colours="rgb")


@pytest.mark.parametrize("name", ["runtime", "contract_mutations"])
def test_benchmarks_name_what_a_bundle_does_not_tell(
    name: str, bundle: Path, tmp_path: Path, benchmark_file: Callable[[str], Any]
) -> None:
    measure, cameras = benchmark_file(name).measure, read_json(bundle / "contract.json")["cameras"]
    bare = _with(bundle, tmp_path / "bare", arm=None, cameras={})  # as exported without --data
    lacks = "arm, intrinsics of camera front, intrinsics of camera wrist"
    with pytest.raises(ConfigError, match=rf"bare does not tell: {lacks}; .*`toyshift export .*--out .*bare --data"):
        measure(bare, 1)
    del cameras["wrist"]["intrinsics"]
    with pytest.raises(ConfigError, match="half does not tell: intrinsics of camera wrist;"):
        measure(_with(bundle, tmp_path / "half", cameras=cameras), 1)


def test_a_thread_computes_and_an_error_in_it_comes_out(
    env: GraspEnv, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    env.reset(seed=5, options={"episode": 1})
    with Runtime(bundle, colours="rgb", clock=clock) as runtime:

        def ask() -> Any:
            """Steps until the thread is done, however long that takes."""
            while (command := runtime.step(readings(env, clock.now))) is None:
                if runtime._coming is not None:
                    runtime._coming.exception()
            return command

        np.testing.assert_allclose(ask().action, load_policy(bundle).act(env.observe())[0], atol=2e-5)

        def broken(obs: Any) -> Any:
            raise ContractError("broken")

        runtime.reset()
        monkeypatch.setattr(runtime.policy, "act", broken)
        with pytest.raises(ContractError, match="broken"):
            ask()
