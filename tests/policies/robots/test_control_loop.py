"""Faults of robots, servers, clocks and policies: each ends in hold or stop with its line, and what is over goes on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ContractError, RemoteError, RobotError
from toyshift.policies.act.onnx_policy import OnnxPolicy
from toyshift.policies.robots.control_loop import ControlLoop
from toyshift.policies.robots.robot_driver import RobotDriver
from toyshift.policies.runtime import Readings, Runtime
from toyshift.policies.safety import Alarm, Journal, RobotLimits, SafetyLayer
from toyshift.policies.safety.feature_alarm import WatchedPolicy
from toyshift.policies.safety.safety_layer import SafeCommand

DT = 0.1


class Now:
    """Time as the test wants it."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def wait(self, seconds: float) -> None:
        self.seconds += seconds


class AtOnce(Executor):
    """Takes no time."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except (ContractError, RemoteError) as error:
            future.set_exception(error)
        return future


class FakeRobot(RobotDriver):
    """An arm that is at once where it is sent, and whose faults the test makes."""

    def __init__(self, home: np.ndarray, limits: RobotLimits, now: Now) -> None:
        self.joints, self.limits, self.now = home.copy(), limits, now
        self.told: list[SafeCommand] = []
        self.stops = 0
        self.spoil: Callable[[Readings], Readings] = lambda readings: readings
        self.refuses: Exception | None = None
        self.deaf: Exception | None = None
        self._noise = np.random.default_rng(0)

    def read(self) -> Readings:
        images = {camera: np.zeros((*size, 3), np.uint8) for camera, size in self.limits.cameras.items()}
        masks = {camera: np.zeros(size, np.uint8) for camera, size in self.limits.cameras.items()}
        stamps = dict.fromkeys(images, self.now())
        joints = self.joints + 1e-6 * self._noise.standard_normal(7)
        return self.spoil(Readings(joints, 0.08, images, self.now(), stamps, masks))

    def send(self, command: SafeCommand) -> SafeCommand:
        if self.refuses is not None:
            raise self.refuses
        self.joints = command.joints
        self.told.append(command)
        return command

    def stop(self) -> None:
        self.stops += 1
        if self.deaf is not None:
            raise self.deaf


@dataclasses.dataclass
class Rig:
    """A loop, and all that it is made of."""

    loop: ControlLoop
    robot: FakeRobot
    now: Now
    safety: SafetyLayer
    policy: Any

    def steps(self, count: int) -> list[SafeCommand | None]:
        done = []
        for _ in range(count):
            done.append(self.loop.step())
            self.now.seconds += DT
        return done

    def holds(self, count: int, words: str) -> None:
        """The next steps are holds at the very same place, and the journal says why."""
        before = self.safety.joints
        assert before is not None
        for command in self.steps(count):
            assert command is not None
            assert command.held
            np.testing.assert_array_equal(command.joints, before)
        assert words in self.safety.journal.lines[-1]["why"]
        assert self.safety.journal.lines[-1]["kind"] == "hold"

    def goes_on(self) -> None:
        commands = self.steps(4)
        assert commands[-1] is not None
        assert not commands[-1].held

    def is_stopped(self, words: str) -> None:
        assert words in self.safety.stopped
        assert any(line["kind"] == "stop" and words in line["why"] for line in self.safety.journal.lines)
        sent = len(self.robot.told)
        self.steps(3)
        assert not [command for command in self.robot.told[sent:] if not command.held]


class Switchable(OnnxPolicy):
    """A bundle that fails when it is told to, as one behind a server does."""

    error: Exception | None = None

    def reset(self) -> None:
        if self.error is not None:
            raise self.error
        super().reset()

    def act(self, obs: Any) -> Any:
        if self.error is not None:
            raise self.error
        return super().act(obs)


@pytest.fixture(scope="module")
def opened(robot_bundle: Path) -> Switchable:
    return Switchable(robot_bundle, "bundle")


@pytest.fixture
def rig(opened: Switchable) -> Callable[..., Rig]:
    def make(alarm: Alarm | None = None, **options: Any) -> Rig:
        now, opened.error = Now(), None
        policy = WatchedPolicy(opened, alarm)
        runtime = Runtime(policy, colours="rgb", clock=now, executor=AtOnce())
        arm = runtime.arm
        low, high = (tuple(getattr(joint, side) for joint in arm.joints) for side in ("low", "high"))
        names = tuple(joint.name for joint in arm.joints)
        sizes = {"front": (32, 32), "wrist": (32, 32)}
        limits = RobotLimits(names, low, high, (), (), 0.08, 70.0, (1.0, 50.0), sizes, tuple(sizes))
        robot = FakeRobot(np.asarray(arm.home), limits, now)
        safety = SafetyLayer(arm, policy.action_contract, None, limits, Journal())
        submit = AtOnce().submit
        loop = ControlLoop(
            runtime, safety, robot, policy, clock=now, sleep=now.wait, background=submit, **{"execute": True} | options,
        )
        loop.begin()
        made = Rig(loop, robot, now, safety, opened)
        made.steps(3)
        assert len(robot.told) == (3 if loop._execute else 0)
        return made

    return make


def change(**fields: Any) -> Callable[[Readings], Readings]:
    return lambda given: dataclasses.replace(given, **{k: v(given) if callable(v) else v for k, v in fields.items()})


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (change(joints=lambda r: r.joints * np.nan), "not finite"),
        (change(joints=lambda r: r.joints[:6]), "joints of shape (6,)"),
        (change(joints=lambda r: r.joints + 1.5 * np.eye(7)[3]), "joint4 jumped by 1."),
        (change(gripper_width=math.nan), "the gripper's width is nan"),
        (change(time=lambda r: r.time - 1.0), "the joints are 1.000 s old"),
        (change(time=lambda r: r.time + 1.0), "from the future"),
        (change(image_times=lambda r: dict.fromkeys(r.images, 100.0)), "images of camera front are"),
        (change(images={}), "no images of camera front"),
        (change(masks={}), "needs masks of camera front"),
    ],
)
def test_bad_readings_are_held_and_good_ones_go_on(
    rig: Callable[..., Rig], spoil: Callable[[Readings], Readings], words: str
) -> None:
    made = rig()
    made.robot.spoil = spoil
    if "images of camera front are" in words:
        made.now.seconds += 0.2
        made.steps(1)  # images of 100 s were good until now
    if "masks" in words:
        made.steps(1)  # a chunk is asked for with the fifth step
    made.holds(3, words)
    made.robot.spoil = lambda readings: readings
    made.goes_on()
    assert not made.safety.stopped


def test_a_robot_that_is_killed_and_restarted_is_taken_as_it_stands(rig: Callable[..., Rig]) -> None:
    made = rig()

    def dead(readings: Readings) -> Readings:
        raise RobotError("the connection is lost")

    made.robot.spoil = dead
    made.holds(8, "the robot cannot be read: the connection is lost")
    made.robot.refuses = RobotError("gone")
    made.holds(2, "the robot did not take the command: gone")
    made.robot.spoil, made.robot.refuses = (lambda readings: readings), None
    made.robot.joints = made.robot.joints + np.array([0.3, 0, 0, 0, 0, 0, 0])  # it stands elsewhere now
    made.goes_on()
    assert made.safety.journal.counts["begin"] == 2
    assert made.safety.joints is not None
    assert abs(made.safety.joints[0] - made.robot.joints[0]) < 0.1  # not back to where it was sent before


def test_the_next_episode_begins_where_the_arm_then_stands(rig: Callable[..., Rig]) -> None:
    made = rig()
    made.robot.joints = made.robot.joints + np.array([0.5, 0, 0, 0, 0, 0, 0])
    made.loop.begin()
    made.goes_on()
    assert made.safety.journal.counts["begin"] == 2
    assert not made.safety.stopped


def test_a_driver_that_raises_anything_is_held(rig: Callable[..., Rig]) -> None:
    made = rig()
    made.robot.refuses = KeyError("motor 3")
    made.holds(2, "did not take the command: KeyError")
    made.robot.refuses = None
    made.goes_on()


def test_a_server_that_is_gone_is_held_and_connected_to_again(rig: Callable[..., Rig]) -> None:
    made = rig()
    made.policy.error = RemoteError("the server closed the connection")
    made.steps(2)
    made.holds(6, "the policy cannot begin: RemoteError")
    made.policy.error = None
    made.goes_on()
    assert made.loop.tally.held >= 8


def test_frozen_joints_and_an_arm_that_is_held_are_noticed(rig: Callable[..., Rig]) -> None:
    made = rig()
    stuck = made.robot.joints.copy()
    made.robot.spoil = change(joints=stuck)
    commands = made.steps(12)
    first = next(i for i, command in enumerate(commands) if command is not None and command.held)
    made.holds(8, "frozen")
    assert all(command is not None and command.held for command in commands[first:])  # not every other one
    made = rig()
    stuck = made.robot.joints.copy() + np.array([0, 0, 0, 0, 0, 0, 0.05])
    for share in (1, 2, 3, 4, 5, 6, 7, 8):  # somebody turns it away slowly
        made.robot.spoil = change(joints=stuck + share * np.array([0, 0, 0, 0, 0, 0, 0.05]))
        made.steps(1)
    made.is_stopped("something holds or moves the arm")
    assert made.robot.stops == 1


def test_joints_that_jump_and_stay_there_never_move_the_arm_after_them(rig: Callable[..., Rig]) -> None:
    made = rig()
    before = made.safety.joints
    assert before is not None
    made.robot.spoil = change(joints=lambda r: r.joints - 2.9 * np.eye(7)[6])  # joint7 would still be within its limits
    made.steps(12)
    made.is_stopped("joint joint7 is 2.9")
    assert max(np.abs(command.joints - before).max() for command in made.robot.told[3:]) == 0.0


def test_a_chunk_that_fails_is_asked_for_again(rig: Callable[..., Rig]) -> None:
    made = rig()
    made.policy.error = ContractError("gives nan for dx")
    made.steps(2)
    made.holds(2, "gives nan for dx")
    made.policy.error = None
    made.goes_on()
    assert not any(command is None or command.held for command in made.steps(20))


def test_steps_that_were_late_for_a_while_are_over_when_they_are(rig: Callable[..., Rig]) -> None:
    made = rig()
    for _ in range(12):
        made.steps(1)
        made.now.seconds += 0.05
    assert "a step comes every 0.150 s" in made.safety.journal.lines[-1]["why"]
    made.steps(6)
    made.goes_on()


def test_clocks(rig: Callable[..., Rig]) -> None:
    made = rig()
    made.now.seconds += 30.0
    made.holds(1, "the clock jumped by 30.1")
    made.goes_on()
    made.now.seconds -= 5.0
    made.steps(1)
    made.is_stopped("the clock went back")
    assert made.robot.stops == 1


def test_an_emergency_stop_reaches_the_robot_and_stays(rig: Callable[..., Rig]) -> None:
    made = rig()
    made.loop.stop("pressed")
    assert made.robot.stops == 1
    made.is_stopped("pressed")
    made = rig()
    made.robot.deaf = OSError("unplugged")
    with pytest.raises(RobotError, match=r"OSError: unplugged.*its own button"):
        made.loop.stop("pressed")
    made.is_stopped("pressed")

    def pressed(readings: Readings) -> Readings:
        raise KeyboardInterrupt

    made = rig()
    made.robot.spoil = pressed
    with pytest.raises(KeyboardInterrupt):
        made.loop.run(1.0)
    assert made.robot.stops == 1
    made.robot.spoil = lambda readings: readings
    made.is_stopped("Ctrl-C")


@pytest.mark.parametrize("answer", ["log", "hold", "stop"])
def test_an_alarm(rig: Callable[..., Rig], opened: Switchable, answer: str) -> None:
    features = np.random.default_rng(0).normal(size=(50, opened._features)).astype(np.float32) + 100.0
    alarm = Alarm.fit(features, [features[i : i + 2] for i in range(0, 50, 2)])
    made = rig(alarm=None)
    made.loop._policy.alarm = alarm
    made.steps(6)
    counts = made.safety.journal.counts
    assert counts["alarm"] > 0
    made = rig(on_alarm=answer)
    made.loop._policy.alarm = alarm
    commands = made.steps(6)
    if answer == "stop":
        made.is_stopped("unlike the training: score")
    else:
        assert commands[-1] is not None
        assert commands[-1].held == (answer == "hold")


def test_a_dry_run_sends_nothing_and_sees_the_arm_where_it_is(rig: Callable[..., Rig], tmp_path: Path) -> None:
    made = rig(execute=False)
    made.robot.joints = made.robot.joints + 0.2  # somebody moves it meanwhile
    made.steps(9)
    assert not made.robot.told
    np.testing.assert_allclose(made.safety.joints, made.robot.joints, atol=1e-4)
    assert made.safety.journal.counts["dry"] >= 9
    made.safety.journal.path = tmp_path / "log.jsonl"
    made.loop.stop("pressed")
    assert made.robot.stops == 0
    assert not list(tmp_path.glob("*.stopped"))  # nothing moved that anybody must look at


def test_steps_come_at_the_contracts_rate(rig: Callable[..., Rig]) -> None:
    made = rig()
    begun = made.now.seconds
    tally = made.loop.run(2.0)
    assert tally.steps == 3 + 20
    assert made.now.seconds == pytest.approx(begun + 1.9, abs=0.11)
    assert tally.late == 0
