"""Recorded commands through the safety layer and franky on franky-sim, which speaks libfranka's protocol."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.contract import ActionContract
from toyshift.core.errors import RobotError
from toyshift.policies.runtime.arm_chain import ArmChain
from toyshift.policies.safety import Journal, SafetyLayer

franky = pytest.importorskip("franky", reason="franky-control is in .venv-robot: make test-robot")
pytest.importorskip("franky_sim")
RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())


@pytest.fixture(scope="module")
def host():
    """A simulated robot's address. Its process is killed: its server sometimes never ends by itself."""
    command = [sys.executable, str(Path(__file__).with_name("franky_simulation.py"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()
            assert address, "the simulation ended before it had an address"
            yield address
        finally:
            process.kill()


@pytest.fixture
def robot(host):
    from toyshift.policies.robots.franky_robot import FrankyRobot

    with FrankyRobot(f"{host}?realtime=ignore") as made:
        yield made


def begun(robot, journal=None):
    arm, contract = ArmChain.from_json(RECORDED["arm"]), ActionContract.from_json(RECORDED["action"])
    safety = SafetyLayer(arm, contract, None, robot.limits, journal)
    readings = robot.read()
    safety.begin(readings.joints, readings.gripper_width / arm.gripper_width, time.monotonic())
    return arm, safety


def test_nobody_there():
    """Before a simulated robot is: that one would answer at every address of the loopback."""
    from toyshift.policies.robots.franky_robot import FrankyRobot

    with pytest.raises(RobotError, match=r"no Franka answers at 127\.0\.0\.1 "):
        FrankyRobot("127.0.0.1?realtime=ignore")


def test_reads_return_at_once(robot):
    taken = []
    for _ in range(20):
        before = time.monotonic()
        readings = robot.read()
        taken.append(time.monotonic() - before)
        assert before <= readings.time <= time.monotonic()
    assert np.median(taken) < 0.1  # a gripper's reading alone takes that long on a robot
    assert readings.joints.shape == (7,)
    assert 0.0 <= readings.gripper_width <= 0.08


def test_recorded_commands_move_the_arm_a_stop_holds_it_and_is_latched(robot, tmp_path):
    journal = Journal(tmp_path / "safety.jsonl")
    arm, safety = begun(robot, journal)
    start = robot.read().joints
    off = []
    due = time.monotonic()
    for action in RECORDED["actions"]:
        command = safety.command(np.array(action, np.float32), time.monotonic())
        sent = robot.send(command)
        safety.sent(sent, time.monotonic())
        due += 0.1
        time.sleep(max(0.0, due - time.monotonic()))
        off.append(np.abs(robot.read().joints - sent.joints).max())
    assert np.abs(safety.joints - start).max() > 0.1  # there was something to do
    assert np.median(off) < 0.35  # what the watchdog allows; the simulation is late where the machine is busy
    goal = arm.forward(safety.joints)[0]

    def away():
        return np.linalg.norm(arm.forward(robot.read().joints)[0] - goal)

    end = time.monotonic() + 10.0
    while (robot.read().gripper_width > 0.01 or away() > 0.02) and time.monotonic() < end:
        time.sleep(0.05)
    assert away() < 0.02  # the hand comes to where it was sent
    assert robot.read().gripper_width < 0.01  # and the fingers have closed, from 0.08
    time.sleep(0.5)
    # an emergency stop: nothing is taken any more, and the next run is refused
    robot.stop()
    safety.stop("pressed", time.monotonic())
    with pytest.raises(RobotError, match="is stopped"):
        robot.send(safety.command(np.array(RECORDED["actions"][0], np.float32), time.monotonic()))
    before = robot.read().joints
    time.sleep(0.3)
    assert np.abs(robot.read().joints - before).max() < 0.02
    with pytest.raises(ValueError, match="was stopped: pressed"):
        Journal(tmp_path / "safety.jsonl").require_released()
    # released, it goes on from where it stands
    robot.begin(1)
    readings = robot.read()
    safety.release(readings.joints, readings.gripper_width / arm.gripper_width, time.monotonic())
    robot.send(safety.hold("once more", time.monotonic()))
