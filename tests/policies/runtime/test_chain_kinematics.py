"""A chain's frames are those of homogeneous transforms, its slopes those of small motions, for joints of any axes."""

from __future__ import annotations

import numpy as np
import pytest

from toyshift.policies.runtime.arm_chain import ChainJoint
from toyshift.policies.runtime.chain_kinematics import DAMPING, ChainKinematics, _weights
from toyshift.policies.runtime.turns import matrix_to_rotvec, product, rotvec_to_matrix, transposed

PLAIN = [(0, 0, 1), (0, 1, 0), (0, 0, 1), (0, -1, 0), (1, 0, 0), (0, 0, -1), (0, 0, -1), (-1, 0, 0)]


def chain_of(seed: int) -> tuple[ChainKinematics, list[ChainJoint], np.ndarray]:
    """Returns a chain of eight joints, of which some slide; odd seeds give axes that are not those of the base."""
    rng = np.random.default_rng(seed)
    axes = rng.normal(size=(8, 3)) if seed % 2 else rng.permutation(np.array(PLAIN, float))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    kinds = rng.permutation(["hinge"] * 6 + ["slide"] * 2)
    joints = [
        ChainJoint(f"joint{i}", str(kind), tuple(axis.tolist()), tuple(rng.uniform(-0.4, 0.4, 3).tolist()), -3.0, 3.0)
        for i, (axis, kind) in enumerate(zip(axes, kinds, strict=True))
    ]
    hand = np.eye(4)
    hand[:3, :3], hand[:3, 3] = rotvec_to_matrix(rng.normal(size=3)), rng.uniform(-0.2, 0.2, 3)
    return ChainKinematics(joints, hand[:3, 3], hand[:3, :3], np.zeros(8)), joints, hand


def multiplied(joints: list[ChainJoint], hand: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns the hand's pose (4, 4) as a product of transforms."""
    pose = np.eye(4)
    for joint, value in zip(joints, values, strict=True):
        local = np.eye(4)
        axis = np.array(joint.axis)
        local[:3, 3] = joint.offset
        if joint.kind == "hinge":
            local[:3, :3] = rotvec_to_matrix(axis * value)
        else:
            local[:3, 3] += axis * value
        pose = pose @ local
    return pose @ hand


@pytest.mark.parametrize("seed", range(4))
def test_hand_and_slopes_are_those_of_products_of_transforms(seed: int) -> None:
    chain, joints, hand = chain_of(seed)
    rng = np.random.default_rng(seed)
    for values in (np.zeros(8), *rng.uniform(-2.5, 2.5, (3, 8))):
        pose = multiplied(joints, hand, values)
        position, rotation = chain.forward(values)
        np.testing.assert_allclose(position, pose[:3, 3], atol=1e-12)
        np.testing.assert_allclose(rotation, pose[:3, :3], atol=1e-12)
        for i, slope in enumerate(chain._slopes(chain.frames(values))):
            ends = [multiplied(joints, hand, values + sign * 1e-6 * np.eye(8)[i]) for sign in (-1, 1)]
            turn = matrix_to_rotvec(ends[1][:3, :3] @ ends[0][:3, :3].T)
            measured = np.concatenate([ends[1][:3, 3] - ends[0][:3, 3], turn]) / 2e-6
            np.testing.assert_allclose(slope, measured, atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_the_hand_comes_to_where_it_was_told_to_go(seed: int) -> None:
    chain, _, _ = chain_of(seed)
    start = np.random.default_rng(seed).uniform(-0.4, 0.4, 8)
    position, rotation = chain.forward(start)
    wanted = position + np.array([0.01, -0.02, 0.01])
    turned = rotvec_to_matrix(np.array([0.02, -0.03, 0.01])) @ rotation
    joints = start
    for _ in range(30):
        joints = chain.solve(joints, wanted, turned)
    position, rotation = chain.forward(joints)
    np.testing.assert_allclose(position, wanted, atol=2e-4)
    np.testing.assert_allclose(rotation, turned, atol=2e-3)


def test_weights_are_those_of_lapack() -> None:
    rng = np.random.default_rng(0)
    for scale in (1.0, 1e-3):  # far from and near to where damping decides
        slopes, posture, error = scale * rng.normal(size=(5, 6)), rng.normal(size=5), rng.normal(size=6)
        slopes = slopes.round(3)  # fewer than six joints: without damping there is no answer
        wanted = np.linalg.solve(slopes.T @ slopes + DAMPING * np.eye(6), error - slopes.T @ posture)
        found = _weights(slopes.tolist(), posture.tolist(), error.tolist(), DAMPING)
        np.testing.assert_allclose(found, wanted, rtol=1e-7)


def test_products_and_half_turns_in_plain_numbers() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.normal(size=(2, 3, 3))
    np.testing.assert_allclose(product(left.tolist(), transposed(right.tolist())), left @ right, atol=1e-12)
    for axis in np.array([(1.0, 0, 0), (0, 1, 0), (0, 0, 1), (0.6, 0.8, 0), (0.48, 0.6, -0.64)]):
        turn = matrix_to_rotvec(2 * np.outer(axis, axis) - np.eye(3))
        np.testing.assert_allclose(np.abs(turn @ axis), np.pi, atol=1e-6)  # either way round
        np.testing.assert_allclose(rotvec_to_matrix(turn), 2 * np.outer(axis, axis) - np.eye(3), atol=1e-6)
