"""The grasp search from above on shapes whose good grasps are known."""

import numpy as np
import pytest
import trimesh

from toyshift.core.errors import GraspError
from toyshift.data.grasping.hand import nearest_turn
from toyshift.data.grasping.situation import Grasp, Situation
from toyshift.data.grasping.top_down import UNDER_TABLE, TopDownConfig, search_top_down
from toyshift.envs.robots.panda import PANDA_HAND
from toyshift.toys import GraspObject

CONFIG = TopDownConfig()
HOME = np.diag([1.0, -1.0, -1.0])


def grasps_of(mesh: trimesh.Trimesh, height: float, yaw: float = 0.0, config: TopDownConfig = CONFIG) -> list[Grasp]:
    position = np.array([0.5, 0.0, height])
    obj = GraspObject("mesh", "mesh", "test", mesh, (), (), None, 0.1, np.zeros(3), np.eye(3), ())
    place = obj, position, np.eye(3), position
    return search_top_down(Situation(*place, PANDA_HAND, HOME, yaw, np.random.default_rng(0)), config)


def test_a_beam_is_grasped_across_its_short_side_near_its_middle() -> None:
    best = grasps_of(trimesh.creation.box((0.15, 0.03, 0.04)), 0.02, yaw=1.4)[0]
    closing = best.rotation[:, 0]
    assert abs(closing[1]) > 0.97
    assert 0.029 < best.width < 0.03 / abs(closing[1]) + 0.006  # wider where the hand is not quite square to it
    assert abs(best.position[0] - 0.5) < 0.03
    assert abs(best.position[1]) < 0.004


def test_of_grasps_that_hold_the_one_with_the_least_turn_is_best() -> None:
    for yaw in (-0.9, 0.3, 1.2):
        best = grasps_of(trimesh.creation.cylinder(0.03, 0.08), 0.04, yaw)[0]
        assert abs(nearest_turn(best.rotation, yaw)[1]) < np.pi / CONFIG.yaws + 1e-9  # a can may be held from any side


def test_every_grasp_fits_the_gripper_and_clears_the_table() -> None:
    for mesh, height in ((trimesh.creation.cylinder(0.03, 0.08), 0.04), (trimesh.creation.icosphere(3, 0.03), 0.03)):
        for grasp in grasps_of(mesh, height):
            assert 0 < grasp.width < PANDA_HAND.opening
            assert grasp.position[2] >= PANDA_HAND.tip_offset
            np.testing.assert_allclose(grasp.rotation.T @ grasp.rotation, np.eye(3), atol=1e-9)
            assert np.linalg.det(grasp.rotation) == pytest.approx(1.0)
            assert grasp.rotation[2, 2] < -0.9


def test_the_palm_stays_above_a_tall_object() -> None:
    for grasp in grasps_of(trimesh.creation.box((0.04, 0.04, 0.2)), 0.1):
        assert grasp.position[2] - PANDA_HAND.palm_offset > 0.2


def test_the_fingers_of_a_hoop_grasp_do_not_pass_through_its_wall() -> None:
    hoop = trimesh.creation.annulus(0.045, 0.05, 0.03)
    for grasp in grasps_of(hoop, 0.015):
        # the hoop is wider than the hand opens: only its 5 mm wall can be held, if not quite squarely
        assert grasp.width < 0.02
        radius = np.linalg.norm(grasp.position[:2] - [0.5, 0.0])
        assert 0.04 < radius < 0.055


def test_an_object_wider_than_the_gripper_has_no_grasp() -> None:
    with pytest.raises(GraspError, match="no feasible grasp"):
        grasps_of(trimesh.creation.box((0.12, 0.12, 0.05)), 0.025)


def test_planning_repeats_with_the_same_generator() -> None:
    mesh = trimesh.creation.box((0.05, 0.04, 0.06))
    a, b = grasps_of(mesh, 0.03)[0], grasps_of(mesh, 0.03)[0]
    np.testing.assert_array_equal(a.position, b.position)
    np.testing.assert_array_equal(a.rotation, b.rotation)


@pytest.mark.parametrize("yaw", np.linspace(-3, 3, 13))
def test_a_grasp_is_never_further_than_a_quarter_turn(yaw: float) -> None:
    rotation = np.diag([1.0, -1.0, -1.0])
    chosen, turn = nearest_turn(rotation, float(yaw))
    assert abs(turn) <= np.pi / 2 + 1e-9
    np.testing.assert_allclose(chosen[:, 2], rotation[:, 2])
    np.testing.assert_allclose(abs(chosen[:, 0] @ rotation[:, 0]), 1.0)


@pytest.mark.parametrize("yaw", [0.0, 1.5])
def test_no_tilted_hand_is_planned_through_the_table(yaw: float) -> None:
    """Far from the origin: heights along a tilted approach are not heights above the table."""
    config = TopDownConfig(yaws=24, tries=60, tilts=(-0.35, 0.35), min_alignment=0.55)
    found = grasps_of(trimesh.creation.box((0.06, 0.09, 0.02)), 0.01, yaw, config)
    half_finger = PANDA_HAND.finger[0]
    for grasp in found:
        assert grasp.rotation[2, 2] > -0.95
        tips = [[0.0, side, PANDA_HAND.tip_offset] for side in (-half_finger, half_finger)]
        corners = [grasp.position + grasp.rotation @ tip for tip in tips]
        assert min(corner[2] for corner in corners) > -UNDER_TABLE
