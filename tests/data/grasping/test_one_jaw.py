"""Grasps of a jaw that closes against a finger that does not move; no model files are needed for their search."""

import dataclasses

import numpy as np
import pytest

from toyshift.core.errors import GraspError
from toyshift.core.proprioception import ONE_SIDED
from toyshift.data.grasping.choose import CHOOSERS
from toyshift.data.grasping.expert import ExpertConfig
from toyshift.data.grasping.hand import OPEN_MARGIN, nearest_turn, yaw_of
from toyshift.data.grasping.situation import Situation
from toyshift.data.grasping.top_down import search_top_down
from toyshift.envs.robots import ROBOTS, get_robot
from toyshift.envs.rotations import rotvec_to_matrix
from toyshift.toys.random_toys.primitives import Primitive
from toyshift.toys.random_toys.toy import Toy, toy_object

JAW = get_robot("so101").gripper
WIDTH, LENGTH, HEIGHT = 0.024, 0.09, 0.03
BAR = toy_object(Toy((Primitive("cuboid", (WIDTH, LENGTH, HEIGHT)),), "red"), "test")


def lying(reach: bool = True) -> Situation:
    """A bar that lies along y in the middle of the table."""
    place = np.array([0.5, 0.0, HEIGHT / 2])
    return Situation(
        BAR, place, np.eye(3), place, JAW, home=np.diag([1.0, -1.0, -1.0]), yaw=0.0, rng=np.random.default_rng(0),
        reach=lambda grasp: reach,
    )  # fmt: skip


def test_the_finger_that_does_not_move_stands_beside_the_object_and_the_other_one_clears_it() -> None:
    square = [grasp for grasp in search_top_down(lying()) if abs(grasp.rotation[0, 0]) > 0.996]
    assert {np.sign(grasp.rotation[0, 0]) for grasp in square} == {-1.0, 1.0}  # from either side: two grasps
    corners = np.array([[x, y] for x in (-WIDTH / 2, WIDTH / 2) for y in (-0.01, 0.01)]) + np.array([0.5, 0.0])
    for grasp in square:
        axis = grasp.rotation[:2, 0]
        # the part of the bar beside the fingers, as the hand sees it
        across = (corners + np.array([0.0, grasp.position[1]]) - grasp.position[:2]) @ axis
        beside = across.min() + JAW.opening / 2
        assert beside == pytest.approx(JAW.room_beside(grasp.width), abs=0.002)
        assert JAW.opening / 2 - across.max() > OPEN_MARGIN


def test_no_grasp_is_taken_for_its_half_turn() -> None:
    rotation = rotvec_to_matrix(np.array([0.0, 0.0, 2.5])) @ np.diag([1.0, -1.0, -1.0])
    kept, turn = nearest_turn(rotation, 0.0, symmetric=False)
    assert kept is rotation
    assert turn == pytest.approx(2.5)
    other, less = nearest_turn(rotation, 0.0)
    assert yaw_of(other) == pytest.approx(2.5 - np.pi)
    assert less == pytest.approx(2.5 - np.pi)
    assert [robot.joints for robot in ROBOTS.values() if not robot.gripper.symmetric] == list(ONE_SIDED)


def test_room_is_for_narrow_objects_and_for_a_jaw_alone() -> None:
    widths = np.array([0.01, JAW.opening - 0.01, JAW.opening, 1.0])
    assert JAW.room_beside(widths) == pytest.approx([JAW.room, 0.005, 0.0, 0.0])
    for name in ("panda", "inspire"):
        assert not get_robot(name).gripper.room_beside(widths).any()


def test_the_chooser_of_a_jaw_takes_what_the_arm_reaches_and_says_when_there_is_nothing() -> None:
    config = ExpertConfig()
    grasp = CHOOSERS[JAW.kind](lying(), config)
    assert grasp.width == pytest.approx(WIDTH, abs=0.004)
    with pytest.raises(GraspError, match="reaches"):
        CHOOSERS[JAW.kind](lying(reach=False), config)
    wide = dataclasses.replace(lying(), object=BAR.scaled(3.0), position=np.array([0.5, 0.0, 0.045]))
    with pytest.raises(GraspError):
        search_top_down(wide)
