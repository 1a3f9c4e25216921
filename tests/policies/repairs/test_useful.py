"""USEFUL: what a short training has not found the simple way for is found, and shown twice."""

from __future__ import annotations

import numpy as np

from toyshift.policies.repairs.useful import phases, repeats


def test_a_class_that_cannot_be_cut_in_two_is_left_alone() -> None:
    assert repeats(np.zeros((6, 2)), np.arange(6.0), np.zeros(6, int)).tolist() == [1] * 6
    assert repeats(np.eye(3), np.arange(3.0), np.zeros(3, int)).tolist() == [1] * 3


def test_phases_follow_the_gripper_and_the_height() -> None:
    gripper = np.float32([1, 1, 0, 0, 0, 1, 0, 0])  # opens again: another attempt
    height = np.float32([0.3, 0.1, 0.05, 0.05, 0.2, 0.3, 0.1, 0.2])
    assert phases(gripper, height).tolist() == [0, 0, 1, 1, 2, 0, 1, 2]
