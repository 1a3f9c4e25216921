"""Chunks that arrive late: what is skipped, how seams are closed, and what happens when nothing is left."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from toyshift.core.contract import ActionContract
from toyshift.core.errors import ContractError, UnknownNameError
from toyshift.policies.runtime.chunk_buffer import ChunkBuffer, VirtualClock, steps_late
from toyshift.policies.runtime.turns import rotvec_to_matrix

JOINTS = ActionContract(
    "joint_pos", ("a", "b", "gripper"), ("rad", "rad", "1"), (-9.0, -9.0, 0.0), (9.0, 9.0, 1.0), 10.0, ("a", "b")
)
HAND = ActionContract(
    "eef_delta", ("dx", "dy", "dz", "rx", "ry", "rz", "gripper"), ("m",) * 3 + ("rad",) * 3 + ("1",),
    (-1.0,) * 6 + (0.0,), (1.0,) * 6 + (1.0,), 10.0, ("a",),
)  # fmt: skip


def chunk(start: float, length: int = 8, size: int = 3) -> np.ndarray:
    """A chunk whose actions say which they are: start, start + 1, ..."""
    return np.repeat(np.arange(start, start + length, dtype=np.float32)[:, None], size, axis=1) / 100


def executed(buffer: ChunkBuffer, steps: int) -> list[np.ndarray]:
    """Executes what the buffer gives, as it is."""
    out = []
    for _ in range(steps):
        action = buffer.action()
        assert action is not None
        buffer.sent(action)
        out.append(action)
    return out


def deliver(buffer: ChunkBuffer, actions: np.ndarray) -> int:
    buffer.asked()
    return buffer.arrived(actions)


def test_without_latency_chunks_are_executed_as_they_are() -> None:
    for contract in (JOINTS, HAND):
        buffer, rng = ChunkBuffer(contract, 4), np.random.default_rng(0)
        for _ in range(3):
            assert buffer.wants
            actions = rng.uniform(0, 1, (8, contract.size)).astype(np.float32)
            assert deliver(buffer, actions) == 0
            np.testing.assert_array_equal(executed(buffer, 4), actions[:4])


def test_all_of_a_chunk_is_executed_where_nobody_says_how_many() -> None:
    buffer = ChunkBuffer(JOINTS, 0)
    deliver(buffer, chunk(0, 5))
    executed(buffer, 4)
    assert not buffer.wants
    executed(buffer, 1)
    assert buffer.wants
    assert buffer.action() is None


def test_as_many_actions_are_skipped_as_were_executed_and_standing_still_is_none() -> None:
    buffer = ChunkBuffer(JOINTS, 4)
    deliver(buffer, chunk(0))
    executed(buffer, 4)
    buffer.asked()
    executed(buffer, 4)  # all that is left
    assert buffer.action() is None  # two more steps pass: the robot stands still
    np.testing.assert_allclose(buffer.hold(), 0.07)
    assert buffer.action() is None
    assert not buffer.wants
    assert buffer.arrived(chunk(10)) == 4
    assert buffer.left == 4


def test_the_first_chunk_is_not_skipped_however_late_it_is() -> None:
    buffer = ChunkBuffer(JOINTS, 4)
    buffer.asked()
    for _ in range(7):
        assert buffer.action() is None
        assert buffer.hold() is None
    assert buffer.arrived(chunk(0)) == 0
    np.testing.assert_allclose(buffer.action(), 0.0)


def test_absolute_actions_go_over_evenly_and_the_gripper_does_not() -> None:
    buffer = ChunkBuffer(JOINTS, 4)
    old, new = np.zeros((8, 3), np.float32), np.ones((8, 3), np.float32)
    deliver(buffer, old)
    executed(buffer, 4)
    buffer.asked()
    executed(buffer, 3)
    assert buffer.arrived(new) == 3
    out = np.array(executed(buffer, 5))
    np.testing.assert_allclose(out[:, 0], [0.25, 0.5, 0.75, 1, 1], atol=1e-6)
    np.testing.assert_array_equal(out[:, 2], 1.0)


def test_poses_turn_along_the_shorter_arc() -> None:
    contract = dataclasses.replace(HAND, mode="eef_pose", low=(-4.0,) * 7, high=(4.0,) * 7)
    buffer = ChunkBuffer(contract, 1)
    old, new = np.zeros((4, 7), np.float32), np.zeros((4, 7), np.float32)
    old[:, 5], new[:, 5] = 3.0, -3.0  # 0.28 rad apart, across half a turn
    deliver(buffer, old)
    executed(buffer, 1)
    buffer.asked()
    executed(buffer, 1)
    assert buffer.arrived(new) == 1
    (action,) = executed(buffer, 1)
    assert abs(action[5]) == pytest.approx(np.pi, abs=1e-4)


def test_deltas_lead_where_the_new_chunk_leads_from_its_anchor() -> None:
    """However much the executed steps differ from the skipped ones: after the seam the command is on the new path."""
    rng = np.random.default_rng(1)
    for late in (1, 2, 4):
        buffer = ChunkBuffer(HAND, 4)
        old, new = (rng.uniform(-0.1, 0.1, (8, 7)).astype(np.float32) for _ in range(2))
        deliver(buffer, old)
        executed(buffer, 4)
        buffer.asked()
        meanwhile = executed(buffer, late)
        assert buffer.arrived(new) == late
        seam = executed(buffer, late)
        position, rotation = path([*meanwhile, *seam])
        wanted, turned = path(list(new[: 2 * late]))
        np.testing.assert_allclose(position, wanted, atol=1e-6)
        np.testing.assert_allclose(rotation, turned, atol=1e-6)
        if 2 * late < 8:
            np.testing.assert_array_equal(executed(buffer, 1)[0], new[2 * late])


def path(actions: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    rotation = np.eye(3)
    for action in actions:
        rotation = rotvec_to_matrix(action[3:6].astype(float)) @ rotation
    return np.sum(actions, axis=0)[:3], rotation


def test_what_was_sent_counts_and_not_what_was_asked_for() -> None:
    """A safety layer that let only half of each step through: the new chunk makes up for it."""
    buffer = ChunkBuffer(HAND, 4)
    deliver(buffer, np.full((8, 7), 0.1, np.float32))
    executed(buffer, 4)
    buffer.asked()
    for _ in range(2):
        buffer.action()
        buffer.sent(np.array([0.05] * 6 + [0.1], np.float32))
    buffer.arrived(np.full((8, 7), 0.1, np.float32))
    action = buffer.action()
    assert action is not None
    np.testing.assert_allclose(action[:3], 0.15, atol=1e-6)
    assert action[6] == np.float32(0.1)


def test_seams_stay_within_bounds() -> None:
    tight = dataclasses.replace(HAND, low=(-0.05,) * 6 + (0.0,), high=(0.05,) * 6 + (1.0,))
    buffer = ChunkBuffer(tight, 4)
    deliver(buffer, np.full((8, 7), -0.05, np.float32))
    executed(buffer, 4)
    buffer.asked()
    executed(buffer, 2)
    buffer.arrived(np.full((8, 7), 0.05, np.float32))
    assert np.abs(np.array(executed(buffer, 4))[:, :6]).max() <= np.float32(0.05)


def test_without_compensation_late_actions_are_executed_from_the_first_on() -> None:
    buffer = ChunkBuffer(JOINTS, 4, "none")
    deliver(buffer, chunk(0))
    executed(buffer, 4)
    buffer.asked()
    executed(buffer, 3)
    assert buffer.arrived(chunk(20)) == 0
    np.testing.assert_array_equal(executed(buffer, 1)[0], chunk(20)[0])


def test_waiting_stands_still_while_there_are_actions_left() -> None:
    buffer = ChunkBuffer(HAND, 4, "wait")
    deliver(buffer, chunk(0, size=7))
    executed(buffer, 4)
    buffer.asked()
    assert buffer.action() is None
    np.testing.assert_allclose(buffer.hold(), [0] * 6 + [0.03])  # deltas of zero, the gripper as it was told
    assert buffer.arrived(chunk(20, size=7)) == 0
    np.testing.assert_array_equal(executed(buffer, 1)[0], chunk(20, size=7)[0])


def test_an_episode_leaves_nothing_to_the_next() -> None:
    buffer = ChunkBuffer(JOINTS, 4)
    deliver(buffer, chunk(0))
    executed(buffer, 2)
    buffer.asked()
    buffer.reset()
    assert (buffer.left, buffer.waiting, buffer.wants, buffer.hold()) == (0, False, True, None)


def test_what_is_no_chunk_and_no_action_is_refused() -> None:
    buffer = ChunkBuffer(JOINTS, 4)
    with pytest.raises(ContractError, match="not asked for"):
        buffer.arrived(chunk(0))
    buffer.asked()
    for wrong in (np.zeros((0, 3)), np.zeros(3), np.zeros((4, 2)), np.full((4, 3), np.nan)):
        with pytest.raises(ContractError, match="a chunk of shape"):
            buffer.arrived(wrong)
    buffer.arrived(chunk(0))
    for sent in (np.zeros(2), np.full(3, np.inf)):
        with pytest.raises(ContractError, match="an action of shape"):
            buffer.sent(sent)
    with pytest.raises(UnknownNameError, match="skip"):
        ChunkBuffer(JOINTS, 4, "skp")


def test_virtual_time_is_seeded_and_within_its_jitter() -> None:
    assert [steps_late(s, 10.0) for s in (0.0, 0.05, 0.1, 0.1001, 0.4)] == [0, 1, 1, 2, 4]
    assert {VirtualClock(0.2, 0.0, 10.0, np.random.default_rng(0)).late() for _ in range(9)} == {2}
    late = [VirtualClock(0.2, 0.1, 10.0, np.random.default_rng(7)) for _ in range(2)]
    drawn = [[clock.late() for _ in range(200)] for clock in late]
    assert drawn[0] == drawn[1]
    assert set(drawn[0]) == {2, 3}  # between 0.1 and 0.3 s; exactly 0.1 s has no weight
