"""The 6-DoF grasp search on shapes whose good grasps are known, and the expert's motion along a slanted approach."""

import dataclasses

import numpy as np
import pytest
import trimesh

from toyshift.core.errors import GraspError
from toyshift.data.grasping.choose import GRASP_SEARCHES, make_expert
from toyshift.data.grasping.expert import BLOCKED, ExpertConfig, reachable
from toyshift.data.grasping.hand import hand_corners
from toyshift.data.grasping.situation import ALIKE, Situation
from toyshift.data.grasping.six_dof import SixDofConfig, search_six_dof
from toyshift.envs.robots.panda import PANDA_HAND
from toyshift.envs.rotations import yaw_to_matrix
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.toys import GraspObject

HOME = np.diag([1.0, -1.0, -1.0])
PLACE = np.array([0.5, 0.0, 0.0])
CONFIG = SixDofConfig(points=2000)
NOTHING = np.zeros((0, 3))


def vessel(radius: float, wall: float, height: float) -> trimesh.Trimesh:
    """A cup that stands on its bottom at z = 0, open above."""
    inner = radius - wall
    profile = [[0, 0], [radius, 0], [radius, height], [inner, height], [inner, wall], [0, wall]]
    return trimesh.creation.revolve(np.array(profile), sections=48)


def bowl(radius: float, wall: float) -> trimesh.Trimesh:
    """The lower half of a hollow sphere, open above, touching z = 0."""
    angle = np.linspace(-np.pi / 2, 0, 20)
    outer, inner = (r * np.column_stack([np.cos(angle), np.sin(angle)]) for r in (radius, radius - wall))
    profile = np.concatenate([outer, inner[::-1]]) + np.array([0, radius])
    profile[[0, -1], 0] = 0.0
    return trimesh.creation.revolve(profile, sections=48)


def grasps_of(mesh, height=0.0, turn=0.0, seed=0, obstacles=NOTHING, config=CONFIG):
    position = PLACE + np.array([0, 0, height])
    com = position + np.array([0, 0, 0 if height else mesh.bounds[1, 2] / 2])
    obj = GraspObject("mesh", "mesh", "test", mesh, (), (), None, 0.1, np.zeros(3), np.eye(3), ())
    place = obj, position, yaw_to_matrix(turn), com
    return search_six_dof(Situation(*place, PANDA_HAND, HOME, 0.0, np.random.default_rng(seed), obstacles), config)


def radius_of(grasp) -> float:
    return float(np.hypot(*(grasp.position - PLACE)[:2]))


def test_a_sphere_is_held_through_its_centre_whatever_the_closing_axis() -> None:
    grasps = grasps_of(trimesh.creation.icosphere(4, 0.03), 0.03)
    for grasp in grasps:
        offset = PLACE + np.array([0, 0, 0.03]) - grasp.position
        assert abs(offset @ grasp.rotation[:, 0]) < 0.002  # between the fingers
        assert abs(offset @ grasp.rotation[:, 1]) < 0.02
        assert 0.045 < grasp.width < 0.061
    assert max(grasp.rotation[2, 2] for grasp in grasps) > -0.9  # not only from above


def test_a_box_is_closed_on_across_opposite_faces_that_the_opening_spans() -> None:
    for grasp in grasps_of(trimesh.creation.box((0.04, 0.12, 0.2)), 0.1):
        closing = np.abs(grasp.rotation[:, 0])
        assert closing[0] > 0.9  # never across the side of 12 cm
        assert 0.039 < grasp.width < PANDA_HAND.opening


@pytest.mark.parametrize(
    ("mesh", "low", "high"),
    [
        (vessel(0.06, 0.004, 0.1), 0.045, 0.065),
        (trimesh.creation.annulus(0.05, 0.056, 0.03), 0.04, 0.065),
        (bowl(0.08, 0.003), 0.06, 0.09),
    ],
)
def test_what_is_wider_than_the_hand_is_held_at_its_rim(mesh: trimesh.Trimesh, low: float, high: float) -> None:
    height = -float(mesh.bounds[0, 2])
    for grasp in grasps_of(mesh, height):
        assert grasp.width < 0.03
        assert low < radius_of(grasp) < high


def test_a_lid_is_held_at_its_knob() -> None:
    lid = trimesh.util.concatenate([
        trimesh.creation.cylinder(0.12, 0.01, transform=trimesh.transformations.translation_matrix([0, 0, 0.005])),
        trimesh.creation.cylinder(0.015, 0.04, transform=trimesh.transformations.translation_matrix([0, 0, 0.03])),
    ])  # fmt: skip
    for grasp in grasps_of(lid, 1e-6):
        assert radius_of(grasp) < 0.02
        assert 0.025 < grasp.width < 0.04


@pytest.mark.parametrize(
    "mesh",
    [
        trimesh.creation.icosphere(3, 0.06),
        trimesh.creation.box((0.12, 0.12, 0.12)),
        trimesh.creation.box((0.1, 0.17, 0.04)),
    ],
)
def test_nothing_to_grasp_is_an_error(mesh: trimesh.Trimesh) -> None:
    with pytest.raises(GraspError, match="no feasible 6-DoF grasp"):
        grasps_of(mesh, -float(mesh.bounds[0, 2]))


def test_no_corner_of_the_hand_meets_the_table() -> None:
    lying = trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0])
    for mesh in (trimesh.creation.icosphere(3, 0.02), trimesh.creation.cylinder(0.01, 0.15, transform=lying)):
        for grasp in grasps_of(mesh, -float(mesh.bounds[0, 2])):
            assert (hand_corners(PANDA_HAND) @ grasp.rotation.T + grasp.position)[:, 2].min() > 0.0019


def test_grasps_are_proper_rotations_near_home() -> None:
    for grasp in grasps_of(trimesh.creation.cylinder(0.03, 0.08), 0.04):
        np.testing.assert_allclose(grasp.rotation.T @ grasp.rotation, np.eye(3), atol=1e-9)
        assert np.linalg.det(grasp.rotation) == pytest.approx(1.0)
        half_turn = grasp.rotation * [-1, -1, 1]
        assert np.trace(grasp.rotation @ HOME.T) >= np.trace(half_turn @ HOME.T) - 1e-9


def test_planning_repeats() -> None:
    first, second = (grasps_of(trimesh.creation.box((0.05, 0.04, 0.06)), 0.03) for _ in range(2))
    assert len(first) == len(second)
    np.testing.assert_array_equal([g.position for g in first], [g.position for g in second])
    np.testing.assert_array_equal([g.rotation for g in first], [g.rotation for g in second])


@pytest.mark.parametrize("turn", [0.7, 2.0, -2.9])
def test_grasps_turn_with_the_object_about_the_vertical(turn: float) -> None:
    """With no preference for the hand's rotation at home, a turned object has the turned grasps."""
    config = dataclasses.replace(CONFIG, turn=0.0, cone=0.0)
    mesh = trimesh.creation.box((0.05, 0.09, 0.15))
    before, after = grasps_of(mesh, 0.075, 0.0, config=config), grasps_of(mesh, 0.075, turn, config=config)
    assert len(before) == len(after)
    spin = yaw_to_matrix(turn)
    for a, b in zip(before[:10], after[:10], strict=True):
        assert a.score == pytest.approx(b.score, abs=1e-6)
    turned = np.array([spin @ (grasp.position - PLACE) for grasp in before])
    for grasp in after:
        assert np.abs(turned - (grasp.position - PLACE)).max(axis=1).min() < 1e-6


def test_grasps_keep_clear_of_clutter() -> None:
    mesh = trimesh.creation.cylinder(0.02, 0.12)
    wall = np.stack(np.meshgrid([0.54], np.linspace(-0.1, 0.1, 40), np.linspace(0, 0.3, 60)), axis=-1).reshape(-1, 3)
    free, clear = grasps_of(mesh, 0.06), grasps_of(mesh, 0.06, obstacles=wall)
    assert 0 < len(clear) < len(free)
    corners = hand_corners(PANDA_HAND)
    for grasp in clear:
        assert (corners @ grasp.rotation.T + grasp.position)[:16, 0].max() < 0.54  # the fingers


@pytest.fixture(scope="module")
def env():
    env = GraspEnv(objects="toys:train?n=4", cameras=())
    yield env
    env.close()


def test_the_arm_reaches_what_is_before_it_but_not_what_is_far(env: GraspEnv) -> None:
    env.reset(seed=0)
    near = grasps_of(trimesh.creation.icosphere(3, 0.03), 0.03)[0]
    ik, joints = env.inverse_kinematics(), env.commanded_joints()
    assert reachable(near, ik, joints, 0.08, 0.3)
    far = dataclasses.replace(near, position=near.position + np.array([0.8, 0, 0]))
    assert not reachable(far, ik, joints, 0.08, 0.3)


def test_the_expert_comes_along_a_slanted_approach_and_lifts(env: GraspEnv) -> None:
    slanted = dataclasses.replace(SixDofConfig(), tilt=-2.0, largest_tilt=0.9)  # prefers what others avoid
    expert = make_expert(env, ExpertConfig(six_dof=slanted, six_dof_from=1))
    seen = lifted = 0
    for episode in range(8):
        env.reset(seed=0, options={"episode": episode})
        expert.reset(0, episode)
        if expert.grasp.rotation[2, 2] < -0.88:
            continue
        seen += 1
        grasp = expert.grasp
        for _ in range(100):
            action = np.clip(expert.act(), env.action_contract.low, env.action_contract.high).astype(np.float32)
            _, over, info = env.advance(action)
            if over:
                break
            if expert.attempts == 1 and expert._phase == "close":
                hand, rotation = env.hand_pose()
                assert np.linalg.norm(hand - grasp.position) < 0.03
                assert rotation[:, 2] @ grasp.rotation[:, 2] > 0.97
        lifted += info["is_success"]
    assert seen >= 2
    assert lifted >= seen / 2


def test_a_hand_that_is_blocked_takes_another_grasp(env: GraspEnv) -> None:
    expert = make_expert(env)
    env.reset(seed=0)
    expert.reset(0, 0)
    first = expert.grasp
    for _ in range(BLOCKED):
        expert.act()  # nothing is executed: the hand stands still
        assert expert.attempts == 1
        assert expert.grasp is first
    expert.act()
    assert expert.attempts == 2
    distance = np.linalg.norm(expert.grasp.position - first.position)
    assert distance > ALIKE[0] or abs(expert.grasp.rotation[:, 0] @ first.rotation[:, 0]) < np.cos(ALIKE[1])


def test_what_was_blocked_is_recognised_however_the_object_has_turned(env: GraspEnv) -> None:
    expert = make_expert(env)
    env.reset(seed=0)
    expert.reset(0, 0)
    (position, rotation), grasp = env.object_pose(), expert.grasp
    expert._blocked.append(((grasp.position - position) @ rotation, grasp.rotation[:, 0] @ rotation))
    env.reset(seed=0, options={"episode": 4, "object": env.object.id})
    position_now, rotation_now = env.object_pose()
    turn = rotation_now @ rotation.T
    place = position_now + turn @ (grasp.position - position)
    carried = dataclasses.replace(grasp, position=place, rotation=turn @ grasp.rotation)
    elsewhere = dataclasses.replace(carried, position=carried.position + 2 * ALIKE[0] * rotation_now[:, 0])
    across = dataclasses.replace(carried, rotation=carried.rotation[:, [1, 0, 2]])
    assert expert.situation().unblocked([carried, elsewhere, across]) == [elsewhere, across]


def test_which_search_is_asked_is_a_choice(env: GraspEnv) -> None:
    env.reset(seed=0)
    nothing = dataclasses.replace(ExpertConfig().planner, min_alignment=1.1)  # from above, nothing is good enough
    rotations = {}
    for name, six_dof_from in GRASP_SEARCHES.items():
        expert = make_expert(env, ExpertConfig(planner=nothing, second_try=nothing, six_dof_from=six_dof_from))
        if name == "top-down":
            with pytest.raises(GraspError, match="from above"):
                expert.reset(0, 0)
        else:
            expert.reset(0, 0)
            rotations[name] = expert.grasp.rotation
    np.testing.assert_array_equal(rotations["auto"], rotations["6dof"])
    for name, six_dof_from in GRASP_SEARCHES.items():  # with grasps from above, only "6dof" does not take them
        expert = make_expert(env, ExpertConfig(six_dof_from=six_dof_from))
        expert.reset(0, 0)
        rotations[name] = expert.grasp.rotation
    np.testing.assert_array_equal(rotations["auto"], rotations["top-down"])
    assert not np.array_equal(rotations["auto"], rotations["6dof"])
