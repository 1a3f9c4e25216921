"""Hints: what they say of an episode, which frames they are of, and that a true one helps where noise does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.core.arrays import Array
from toyshift.core.errors import FileError
from toyshift.policies.batch_keys import HINT_VALID as VALID
from toyshift.policies.batch_keys import HINT_VALUE as VALUE
from toyshift.policies.network.hints import hint_loss
from toyshift.policies.repairs.hint import Hint, before_closing, centroid, hints, standardised

NAMES = ("eef.x", "eef.y", "eef.z", *(f"eef.r{row}{column}" for column in (1, 2) for row in (1, 2, 3)))
ACTIONS = ("dx", "gripper")


def turned(yaw: float) -> Array:
    """A hand that points down, its closing axis at a yaw."""
    x = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    z = np.array([0.0, 0.0, -1.0])
    return np.stack([x, np.cross(z, x), z], axis=1)


def state_of(place: tuple[float, float, float], yaw: float) -> Array:
    rotation = turned(yaw)
    return np.concatenate([place, rotation[:, 0], rotation[:, 1]]).astype(np.float32)


def meta_of(place: tuple[float, float, float], yaw: float, attempts: int = 1, azimuth: float = 0.0) -> dict[str, Any]:
    pose = np.eye(4)
    pose[:3, 3] = place
    return {
        "attempts": attempts, "object_pose": pose.tolist(), "grasp": {"rotation": turned(yaw).tolist()},
        "factors": {"look": {"azimuth": azimuth}},
    }  # fmt: skip


STARTS = np.array([0, 2, 3])


def test_the_place_is_seen_from_the_hand() -> None:
    state = np.stack([state_of((0.4, 0.0, 0.3), 0.0), state_of((0.4, 0.0, 0.3), np.pi / 2), state_of((0, 0, 0), 0.0)])
    metas = [meta_of((0.5, 0.1, 0.05), 0.0), meta_of((0.1, 0.2, 0.3), 0.0)]
    found = hints("place", state, NAMES, STARTS, metas)
    assert np.allclose(found[0], [0.1, -0.1, 0.25], atol=1e-6)  # x ahead, y against the base's, z down
    assert np.allclose(found[1], [0.1, 0.1, 0.25], atol=1e-6)  # after a quarter turn
    assert np.allclose(found[2], [0.1, -0.2, -0.3], atol=1e-6)


def test_the_turn_is_that_to_the_grasp_and_half_a_turn_is_none() -> None:
    state = np.stack([state_of((0, 0, 0), 0.2)] * 3)
    for yaw in (0.5, 0.5 + np.pi):
        found = hints("turn", state, NAMES, STARTS, [meta_of((0, 0, 0), yaw)] * 2)
        assert np.allclose(found, [[np.sin(0.6), np.cos(0.6)]] * 3, atol=1e-6)


def test_the_azimuth_is_the_cameras() -> None:
    found = hints("azimuth", np.zeros((3, 9)), NAMES, STARTS, [meta_of((0, 0, 0), 0, azimuth=a) for a in (5.0, -3.0)])
    assert found.tolist() == [[5.0], [5.0], [-3.0]]


def test_frames_after_the_first_closing_and_of_several_attempts_do_not_count() -> None:
    action = np.float32([[0, 1], [0, 0], [0, 1], [0, 1], [0, 1]])
    metas = [meta_of((0, 0, 0), 0), meta_of((0, 0, 0), 0, attempts=2)]
    assert before_closing(action, ACTIONS, np.array([0, 3, 5]), metas).tolist() == [1, 0, 0, 0, 0]
    with pytest.raises(FileError, match="no gripper"):
        before_closing(action, ("dx", "dy"), np.array([0, 3, 5]), metas)
    with pytest.raises(FileError, match=r"state entries eef.r11, .*there are opening"):
        hints("place", np.zeros((3, 1)), ("opening",), STARTS, metas)


def test_hints_are_standardised_over_the_frames_that_count() -> None:
    columns = [{VALUE: np.float32([[1], [3], [99]]), VALID: np.float32([1, 1, 0])},
               {VALUE: np.float32([[5]]), VALID: np.float32([1])}]  # fmt: skip
    found = standardised(columns)
    values = np.concatenate([c[VALUE][c[VALID] > 0] for c in found])
    assert values.mean() == pytest.approx(0.0, abs=1e-6)
    assert values.std() == pytest.approx(1.0, abs=1e-6)
    with pytest.raises(FileError, match="no frame before"):
        standardised([{VALUE: np.zeros((2, 1)), VALID: np.zeros(2)}])


def test_the_centroid_of_a_mask() -> None:
    target = torch.zeros(2, 5, 9)
    target[0, 4, 8] = 1.0
    place, seen = centroid(target)
    assert place[0].tolist() == [1.0, 1.0]
    assert seen.tolist() == [1.0, 0.0]


def test_what_does_not_count_gives_no_gradient() -> None:
    told = torch.zeros(2, 1, requires_grad=True)
    hint_loss(told, torch.tensor([[0.5], [9.0]]), torch.tensor([1.0, 0.0]), torch.ones(2)).backward()
    assert told.grad is not None
    assert told.grad[1].item() == 0.0
    assert told.grad[0].item() == pytest.approx(-0.25)  # Huber's, over both samples


def test_parts_of_a_batch_add_up() -> None:
    rng = torch.Generator().manual_seed(0)
    told, hint = torch.randn(2, 9, 3, generator=rng)
    valid, weight = torch.rand(9, generator=rng).round(), torch.randint(1, 5, (9,), generator=rng).float()
    parts = (slice(0, 4), slice(4, 9))
    each = [hint_loss(told[p], hint[p], valid[p], weight[p]) * weight[p].sum() / weight.sum() for p in parts]
    assert sum(each) == pytest.approx(float(hint_loss(told, hint, valid, weight)), rel=1e-6)


def test_a_grasp_is_its_place_and_its_turn() -> None:
    state = np.stack([state_of((0.4, 0.0, 0.3), np.pi / 2), state_of((0, 0, 0), 0.0), state_of((0, 0, 0), 0.0)])
    metas = [meta_of((9, 9, 9), 0.5), meta_of((0, 0, 0), 0.0)]
    for meta, place in zip(metas, ([0.5, 0.1, 0.05], [0.0, 0.0, 0.0]), strict=True):
        meta["grasp"]["position"] = place
    found = hints("grasp", state, NAMES, STARTS, metas)
    turn = 2 * (0.5 - np.pi / 2)
    assert np.allclose(found[0], [0.1, 0.1, np.sin(turn), np.cos(turn)], atol=1e-6)
    assert np.allclose(found[2], [0, 0, 0, 1], atol=1e-6)


def test_a_miss_must_be_told_by_the_state() -> None:
    contracts = {"observation_contract": SimpleNamespace(state_names=NAMES),
                 "action_contract": SimpleNamespace(names=ACTIONS)}  # fmt: skip
    run: Any = SimpleNamespace(source=SimpleNamespace(windows=SimpleNamespace(**contracts)))
    with pytest.raises(FileError, match=r"'hint\?proposals=4' tells a miss by the state entry gripper\.opening"):
        Hint(proposals=4).begin(run)
