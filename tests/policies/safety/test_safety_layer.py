"""Whatever is asked, only commands within all limits are sent; what is within them is sent as it is."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toyshift.core.choices import ACTION_MODES
from toyshift.core.contract import ActionContract
from toyshift.core.errors import ConfigError, ContractError
from toyshift.envs.config import EnvConfig
from toyshift.envs.control.kinematics import InverseKinematics
from toyshift.envs.scene.build import build_scene
from toyshift.envs.spaces import WORKSPACE
from toyshift.policies.runtime.arm_chain import ArmChain
from toyshift.policies.runtime.turns import rotvec_to_matrix
from toyshift.policies.safety import Journal, RobotLimits, SafetyLayer, SafetyLimits
from toyshift.policies.safety.arm_command import ArmCommand
from toyshift.policies.safety.limits import Allowed, require_agreement

DT = 0.1
Contracts = Callable[[str], ActionContract]


def begun(arm: ArmChain, contract: ActionContract, **options: Any) -> SafetyLayer:
    safety = SafetyLayer(arm, contract, **options)
    safety.begin(np.asarray(arm.home), 1.0, 0.0)
    return safety


def words(journal: Journal) -> str:
    return " | ".join(line["why"] for line in journal.lines)


def test_the_chain_solves_as_the_simulator_does(panda: ArmChain) -> None:
    ik = InverseKinematics(build_scene(EnvConfig(cameras=())))
    rng, joints = np.random.default_rng(0), np.asarray(panda.home)
    for _ in range(40):
        position, rotation = panda.forward(joints)
        position = position + rng.uniform(-0.05, 0.05, 3)
        rotation = rotvec_to_matrix(rng.uniform(-0.3, 0.3, 3)) @ rotation
        ours, theirs = (solver.solve(joints, position, rotation) for solver in (panda.kinematics, ik))
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
        joints = theirs


@pytest.mark.parametrize("mode", ACTION_MODES)
def test_what_is_within_the_limits_is_sent_as_it_is(panda: ArmChain, contract_of: Contracts, mode: str) -> None:
    """Slow motions of every mode pass untouched, and lead where the simulator's controllers lead."""
    contract, rng = contract_of(mode), np.random.default_rng(1)
    safety = begun(panda, contract)
    for step in range(1, 12):
        assert safety.joints is not None
        position, rotation = panda.forward(safety.joints)
        shift = 0.004 * rng.uniform(-1, 1, 3)
        after = panda.kinematics.solve(safety.joints, position + shift, rotation)
        asked = safety._command.action(safety.joints, after, 0.0)
        if mode == "eef_delta":
            asked = np.array([*shift, 0, 0, 0, 0.0], np.float32)
        command = safety.command(asked, step * DT)
        assert command.why == ()
        np.testing.assert_array_equal(command.action, asked)
        assert np.abs(command.joints - after).max() < 2e-3 if mode == "eef_pose" else 1e-5
        safety.sent(command, step * DT)
    assert not safety.journal.lines
    assert safety.command(asked, 13 * DT).opening == 0.0  # shut by 2.5 of its way per second


def eight(entries: st.SearchStrategy[float]) -> st.SearchStrategy[list[float]]:
    return st.lists(entries, min_size=8, max_size=8)


small, large = st.floats(-0.0625, 0.0625, width=32), st.floats(-4, 4, width=32)
wild = st.one_of(small, small, large, st.sampled_from([np.nan, np.inf, -np.inf, 1e9]))
push = st.sampled_from([-4.0, -0.25, -0.0625, 0.0625, 0.25, 4.0]).map(lambda value: [value] * 8)
actions = st.one_of(push, push, eight(small), eight(st.one_of(small, large)), eight(wild))
waits = st.one_of(
    st.just(DT), st.just(DT), st.floats(0.0, 0.3), st.sampled_from([0.0, 1e-7, 60.0, -0.05, np.nan])
)
faults = st.sampled_from(["", "", "", "", "hold", "lost", "cut", "begin", "stop"])


@settings(max_examples=60, deadline=None)
@given(
    mode=st.sampled_from(ACTION_MODES), low=st.booleans(), last_joint=st.sampled_from([0.785, 2.8, -2.8]),
    steps=st.lists(st.tuples(actions, waits, faults, st.sampled_from([0, 0, 1, 5])), min_size=1, max_size=14),
)
def test_only_commands_within_all_limits_are_sent(
    panda: ArmChain, contract_of: Contracts, mode: str, low: bool, last_joint: float,
    steps: list[tuple[list[float], float, str, int]],
) -> None:
    """Any actions, stamps and faults: positions, speed, acceleration, box, bounds, gripper and force hold."""
    contract = contract_of(mode)
    safety = SafetyLayer(panda, contract, SafetyLimits(box_low=(0.3, -0.2, 0.15 if low else 0.0)))
    before, moved = np.array([*panda.home[:-1], last_joint]), np.zeros(7)
    safety.begin(before, 1.0, 0.0)
    allowed, now, last = safety.allowed, 0.0, -DT
    opening, stopped = 1.0, False
    for values, wait, fault, repeats in steps:
        for _ in range(1 + repeats):
            now = now + wait
            asked = np.array(values[: contract.size], np.float32)
            if mode == "joint_pos" and np.isfinite(asked[:-1]).all() and fault != "lost":
                asked[:-1] = before + 0.1 * asked[:-1]  # near enough not to count as a jump
            if fault == "stop":
                command = safety.stop("pressed", now)
            else:
                command = safety.hold("told to", now) if fault == "hold" else safety.command(asked, now)
            stopped = stopped or fault == "stop" or (fault != "hold" and not now >= last)
            if stopped or fault == "hold":
                assert command.held
            elapsed = min(max(now - last, 0.0), DT) if now == now else 0.0
            rest = not now - last <= 1.5 * DT  # it has come to where it was sent
            step = command.joints - before
            assert np.isfinite(command.joints).all()
            assert (command.joints >= allowed.low - 1e-9).all()
            assert (command.joints <= allowed.high + 1e-9).all()
            assert (np.abs(step) <= allowed.speed * elapsed + 1e-9).all()
            assert (np.abs(step - (0 if rest else moved)) <= allowed.change + 1e-9).all()
            position, rotation = panda.forward(command.joints)
            tips = allowed.points @ rotation.T + position
            assert (tips >= allowed.box_low - 1e-9).all()
            assert (tips <= allowed.box_high + 1e-9).all()
            assert 0.0 <= command.opening <= 1.0
            assert 0.0 <= command.gripper <= 1.0
            assert abs(command.opening - opening) <= panda.gripper_speed * elapsed + 1e-9
            assert command.force <= 30.0
            assert np.isfinite(command.action).all()
            assert not stopped or safety.stopped
            if command.why:
                assert safety.journal.counts.total() > 0
            if fault == "lost":  # the robot did not take it
                continue
            if fault == "begin":
                safety.begin(before, opening, now if now == now else last)
                moved, last = np.zeros(7), (now if now == now else last) - DT
                continue
            if fault == "cut":  # the driver went half the way only
                command = type(command)(before + step / 2, opening, command.gripper, command.force, command.action)
            safety.sent(command, now)
            moved, before, opening = command.joints - before, command.joints, command.opening
            last = max(now, last) if now == now else last


def test_every_limit_has_its_word_in_the_journal(panda: ArmChain, contract_of: Contracts, tmp_path: Path) -> None:
    joint, hand = contract_of("joint_pos"), contract_of("eef_delta")
    home = np.asarray(panda.home)
    journal = Journal(tmp_path / "log" / "safety.jsonl")

    def ask(contract: ActionContract, change: Any, steps: int = 1, **limits: Any) -> SafetyLayer:
        safety = begun(panda, contract, limits=SafetyLimits(**limits), journal=journal)
        for step in range(1, steps + 1):
            assert safety.joints is not None
            start = safety.joints if contract is joint else np.zeros(6)
            asked = np.append(start + change, 1.0).astype(np.float32)
            safety.sent(safety.command(asked, step * DT), step * DT)
        return safety

    ask(joint, 0.3)
    assert words(journal) == "speed"
    ask(joint, [0, 0, 0, 0, 0, 0, 0.6])
    assert words(journal).endswith("joint joint7 is asked to jump by 0.6")
    after = ask(joint, [0, 0, 0, 0, 0, 0.2, 0], steps=30).joints
    assert after is not None
    assert after[5] == pytest.approx(panda.joints[5].high - 0.05)
    assert words(journal).endswith("limit of joint6")
    ask(joint, [0.1, 0, 0, 0, 0, 0, 0])
    journal.lines.clear()
    safety = ask(joint, [0.1, 0, 0, 0, 0, 0, 0], acceleration=0.6)
    back = np.append(home - 0.1, 1.0).astype(np.float32)
    safety.command(back, 2 * DT)
    assert "acceleration" in words(journal)
    safety = ask(hand, [0, 0, -0.05, 0, 0, 0], steps=30)
    assert safety.joints is not None
    lowest = panda.forward(safety.joints)[0][2]
    assert lowest == pytest.approx(panda.tip, abs=2e-3)  # the tips are at the table
    assert "box" in words(journal)
    ask(hand, [0.2, 0, 0, 0, 0, 0])
    assert "bounds of dx" in words(journal)
    told = [json.loads(line) for line in (tmp_path / "log" / "safety.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in told} == {"limit", "hold"}
    assert all({"time", "why", "asked", "sent", "joints"} <= line.keys() for line in told)


def test_a_stop_stays_until_it_is_released_also_for_the_next_run(
    panda: ArmChain, contract_of: Contracts, tmp_path: Path
) -> None:
    journal = Journal(tmp_path / "safety.jsonl")
    safety = begun(panda, contract_of("joint_delta"), journal=journal)
    go = np.full(8, 0.02, np.float32)
    assert not safety.command(go, DT).held
    assert safety.stop("pressed", DT).held
    for step in (2, 3, 50):
        held = safety.command(go, step * DT)
        assert held.held
        np.testing.assert_array_equal(held.joints, panda.home)
    with pytest.raises(ConfigError, match=r"was stopped: pressed.*--release"):
        Journal(tmp_path / "safety.jsonl").require_released()
    safety.release(np.asarray(panda.home), 1.0, 5.0)
    assert not safety.command(go, 5.2).held
    Journal(tmp_path / "safety.jsonl").require_released()


def test_where_it_cannot_begin(panda: ArmChain, contract_of: Contracts) -> None:
    safety, home = SafetyLayer(panda, contract_of("joint_pos")), np.asarray(panda.home)
    with pytest.raises(ContractError, match="has not begun"):
        safety.command(np.zeros(8, np.float32), 0.0)
    with pytest.raises(ContractError, match="finite"):
        safety.begin(home * np.nan, 1.0, 0.0)
    with pytest.raises(ContractError, match=r"joint joint6 stands at 3\.74, allowed are"):
        safety.begin(np.append(home[:5], [3.74, 0.8]), 1.0, 0.0)
    with pytest.raises(ContractError, match="outside the box"):
        safety.begin(np.array([1.5, *home[1:]]), 1.0, 0.0)
    with pytest.raises(ConfigError, match="leaves joint joint"):
        SafetyLayer(panda, contract_of("joint_pos"), SafetyLimits(margin=1.0), robot_of(panda, low=(-1.0,) * 7))
    with pytest.raises(ConfigError, match="first corner"):
        SafetyLimits(box_low=(0.9, 0.0, 0.0))
    with pytest.raises(ConfigError, match="speed must be from"):
        SafetyLimits(speed=1.5)


def robot_of(arm: ArmChain, **changed: Any) -> RobotLimits:
    low, high = (tuple(getattr(joint, side) for joint in arm.joints) for side in ("low", "high"))
    fields: dict[str, Any] = {
        "joint_names": tuple(joint.name for joint in arm.joints), "low": low, "high": high, "velocity": (1.0,) * 7,
        "acceleration": (), "gripper_width": 0.08, "gripper_force": 20.0, "control_hz": (1.0, 100.0),
        "cameras": {"front": (96, 96)},
    }  # fmt: skip
    return RobotLimits(**fields | changed)


def test_the_narrower_limit_counts(panda: ArmChain, contract_of: Contracts) -> None:
    contract = contract_of("joint_pos")
    robot = robot_of(panda, low=(-0.5,) * 7, acceleration=(100.0,) * 7)
    allowed = Allowed.of(panda, contract, SafetyLimits(speed=0.5, margin=0.1), robot)
    assert allowed.low[0] == -0.4
    np.testing.assert_allclose(allowed.speed, 0.5)
    np.testing.assert_allclose(allowed.change, 0.8 * 0.01 * np.array([15, 7.5, 10, 12.5, 15, 20, 20]))
    np.testing.assert_allclose(allowed.step, np.minimum(0.05, allowed.change))
    assert allowed.force == 20.0
    assert RobotLimits.from_json(json.loads(json.dumps(robot.to_json()))) == robot


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"low": (-1.0,) * 6}, "each needs its own"),
        ({"low": (np.nan,) * 7}, "each needs its own"),
        ({"high": (-9.0,) * 7}, "the lower first"),
        ({"velocity": (np.nan,) * 7}, "largest velocity of 7 joints"),  # no speed would be above it
        ({"velocity": (-1.0,) * 7}, "largest velocity of 7 joints"),
        ({"acceleration": (1.0,) * 3}, "largest acceleration of 7 joints"),
        ({"gripper_width": 0.0}, "a gripper of 0"),
        ({"gripper_force": np.nan}, "nan N"),
        ({"control_hz": (10.0,)}, "the least rate the first"),
        ({"control_hz": (50.0, 10.0)}, "the least rate the first"),
    ],
)
def test_limits_that_no_robot_has_are_refused(panda: ArmChain, changed: dict[str, Any], words: str) -> None:
    """A driver reads them from a file or a socket."""
    with pytest.raises(ContractError, match=words):
        robot_of(panda, **changed)
    told = robot_of(panda).to_json() | {key: np.array(value).tolist() for key, value in changed.items()}
    with pytest.raises(ContractError, match=words):
        RobotLimits.from_json(told)


def test_the_default_box_is_the_simulators_but_for_its_floor() -> None:
    limits = SafetyLimits()
    assert limits.box_low[:2] == WORKSPACE[0][:2]
    assert limits.box_low[2] == 0.0
    assert limits.box_high == WORKSPACE[1]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"joint_names": tuple(f"joint{i}" for i in (2, 1, 3, 4, 5, 6, 7))}, "joints, in another order: joint1"),
        ({"joint_names": tuple(f"j{i}" for i in range(7))}, "joints, others: joint1"),
        ({"low": (3.0,) * 7, "high": (4.0,) * 7}, "joint joint1 goes from -2.8973 to 2.8973, the robot's 3 to 4"),
        ({"control_hz": (20.0, 100.0)}, "rate: the policy acts at 10 Hz, the robot takes 20 to 100 Hz"),
        ({"gripper_width": 0.085}, "gripper: 0.08 m wide in the bundle, 0.085 m on the robot"),
        ({"cameras": {"wrist": (96, 96)}}, "camera front: the robot has wrist"),
        ({"cameras": {"front": (480, 640)}}, "camera front: 480 x 640 pixels, the policy's 96 x 96; give"),
        ({"masks": ()}, "masks of camera front: nobody gives them; say who finds them: --masks"),
    ],
)
def test_no_start_where_bundle_and_robot_disagree(
    panda: ArmChain, contract_of: Contracts, changed: dict[str, Any], words: str
) -> None:
    contract, seen = contract_of("eef_delta"), {"front": (96, 96)}
    good = robot_of(panda, masks=("front",))
    require_agreement("b", contract, panda, seen, True, good)
    with pytest.raises(ContractError, match=re.escape(words)):
        require_agreement("b", contract, panda, seen, True, dataclasses.replace(good, **changed))
    require_agreement("b", contract, panda, seen, True, dataclasses.replace(good, masks=()), detector=True)
    lens = {"front": object()}
    require_agreement("b", contract, panda, seen, False, robot_of(panda, cameras={"front": (480, 640)}), lenses=lens)


@pytest.mark.parametrize("mode", ["eef_delta", "eef_pose"])
def test_hand_motions_are_refused_for_an_arm_of_too_few_joints(mode: str) -> None:
    allowed: Any = None
    arm: Any = SimpleNamespace(robot="so101", joints=(None,) * 5, kinematics=None)
    contract: Any = SimpleNamespace(mode=mode)
    with pytest.raises(ContractError, match=r"so101 has 5 joints.*--action-mode joint_pos"):
        ArmCommand(arm, contract, allowed)
    contract.mode = "joint_pos"
    assert ArmCommand(arm, contract, allowed).mode == "joint_pos"
