"""Grasps of what is wider than the hand as it lies, on shapes whose chords are known; the expert takes them gently."""

import dataclasses

import numpy as np
import pytest
import trimesh

from toyshift.core.errors import GraspError
from toyshift.data.grasping.choose import make_expert
from toyshift.data.grasping.expert import GENTLE, RESTLESS, ExpertConfig
from toyshift.data.grasping.hand import hand_corners
from toyshift.data.grasping.situation import Grasp, Situation, collision_surface, outer_surface
from toyshift.data.grasping.wider_than_hand import (
    WideConfig,
    carried,
    narrowest,
    search_wide,
    squeeze_force,
    too_wide,
)
from toyshift.envs.robots import ROBOTS
from toyshift.envs.robots.inspire import INSPIRE_HAND
from toyshift.envs.robots.panda import PANDA_HAND
from toyshift.envs.rotations import yaw_to_matrix
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.toys import GraspObject, load_objects

HOME = np.diag([1.0, -1.0, -1.0])
PLACE = np.array([0.5, 0.1, 0.0])
CONFIG = WideConfig()
NOTHING = np.zeros((0, 3))
BALL = trimesh.creation.icosphere(5, 0.0475)


def on_table(mesh: trimesh.Trimesh) -> np.ndarray:
    return PLACE - [0, 0, mesh.bounds[0, 2]]


def lying(mesh: trimesh.Trimesh, mass: float = 0.1, obstacles: np.ndarray = NOTHING) -> Situation:
    position = on_table(mesh)
    obj = GraspObject("mesh", "mesh", "test", mesh, (), (), None, mass, np.zeros(3), np.eye(3), ())
    place = obj, position, np.eye(3), position
    return Situation(*place, PANDA_HAND, HOME, 0.0, np.random.default_rng(0), obstacles)


def grasps_of(mesh: trimesh.Trimesh, mass: float = 0.1, obstacles: np.ndarray = NOTHING) -> list[Grasp]:
    return search_wide(lying(mesh, mass, obstacles), CONFIG)


@pytest.mark.parametrize("turn", [0.0, 0.4, 1.3])
def test_the_narrowest_width_is_that_of_the_shorter_side_however_the_object_lies(turn: float) -> None:
    box = trimesh.creation.box((0.2, 0.06, 0.01)).vertices @ yaw_to_matrix(turn).T
    assert narrowest(box) == pytest.approx(0.06, abs=0.008)  # directions are 4 degrees apart
    assert narrowest(box) >= 0.06 - 1e-9


def test_only_what_no_turn_of_the_hand_spans_is_too_wide() -> None:
    assert too_wide(lying(BALL))
    assert too_wide(lying(trimesh.creation.box((0.09, 0.1, 0.02))))
    assert not too_wide(lying(trimesh.creation.box((0.3, 0.05, 0.3))))
    assert not too_wide(dataclasses.replace(lying(BALL), maybe_wide=False))  # as it lay at first, it was not
    assert not too_wide(dataclasses.replace(lying(BALL), gripper=INSPIRE_HAND))  # fingers wrap around it


def test_no_toy_is_too_wide_so_that_demonstrations_of_toys_stay_what_they_are() -> None:
    for spec in ("toys:train?n=60", "toys:test?n=40"):
        for toy in load_objects(spec):
            assert max(pose.width for pose in toy.rest_poses) < PANDA_HAND.opening - 0.006


@pytest.mark.parametrize("mesh", [BALL, trimesh.creation.cylinder(0.0425, 0.1)])
def test_a_ball_or_can_that_is_wider_than_the_hand_is_held_at_a_chord(mesh: trimesh.Trimesh) -> None:
    points = outer_surface(lying(mesh).object, 20000).points + on_table(mesh)
    inner, outer = PANDA_HAND.opening / 2 + 0.0005, PANDA_HAND.opening / 2 + PANDA_HAND.finger[1]
    for grasp in grasps_of(mesh):
        assert grasp.precise
        assert grasp.alignment > CONFIG.min_alignment
        assert 0.05 < grasp.width < PANDA_HAND.opening
        local = (points - grasp.position) @ grasp.rotation
        u, v = np.abs(local[:, 0]), np.abs(local[:, 1])
        finger = (u > inner) & (u < outer) & (v < PANDA_HAND.finger[0]) & (local[:, 2] < PANDA_HAND.tip_offset - 0.004)
        assert not finger.any()  # the open fingers are beside it, to half a millimetre: the search sees samples
        assert (hand_corners(PANDA_HAND) @ grasp.rotation.T + grasp.position)[:, 2].min() > 0.002


@pytest.mark.parametrize(
    "mesh",
    [
        trimesh.creation.icosphere(4, 0.0625),
        trimesh.creation.box((0.12, 0.12, 0.12)),
        trimesh.creation.box((0.1, 0.18, 0.045)),
    ],
)
def test_what_friction_does_not_hold_has_no_grasp(mesh: trimesh.Trimesh) -> None:
    """A football's chord of 8 cm is too steep, and sides of a box's corner are at 45 degrees to any closing axis."""
    with pytest.raises(GraspError, match="no feasible grasp of a wide object"):
        grasps_of(mesh)


def test_a_heavier_ball_is_taken_from_the_side_and_a_very_heavy_one_not_at_all() -> None:
    light, heavier = grasps_of(BALL, 0.02), grasps_of(BALL, 0.19)
    assert len(heavier) < len(light)
    assert np.mean([grasp.rotation[2, 2] for grasp in heavier]) > np.mean([grasp.rotation[2, 2] for grasp in light])
    with pytest.raises(GraspError):
        grasps_of(BALL, 2.0)


def test_the_hand_keeps_clear_of_others() -> None:
    grid = np.meshgrid([PLACE[0] + 0.065], np.linspace(-0.1, 0.3, 80), np.linspace(0, 0.3, 60))
    wall = np.stack(grid, axis=-1).reshape(-1, 3)
    free, clear = grasps_of(BALL), grasps_of(BALL, obstacles=wall)
    assert 0 < len(clear) < len(free)


def test_a_grasp_goes_along_with_its_object() -> None:
    before, grasp, moved = lying(BALL), grasps_of(BALL)[0], np.array([0.03, -0.02, 0.0])
    now = dataclasses.replace(before, position=before.position + moved, com=before.com + moved)
    along, too_far = (dataclasses.replace(grasp, position=grasp.position + k * moved) for k in (1, 5))
    there = carried(dataclasses.replace(now, before=along))
    assert there is not None
    np.testing.assert_allclose(there.position, grasp.position + moved, atol=0.003)
    np.testing.assert_array_equal(there.rotation, grasp.rotation)
    assert carried(dataclasses.replace(now, before=too_far)) is None
    assert carried(now) is None


def test_samples_lie_on_what_collides_and_on_no_inner_face() -> None:
    cup = load_objects("ycb-like")[load_objects("ycb-like").ids.index("065-e_cups")]
    assert len(cup.parts) > 1
    samples = collision_surface(cup, 2000)
    hulls = [trimesh.convex.convex_hull(part) for part in cup.parts]
    offsets = [(hull.face_normals * hull.triangles[:, 0]).sum(axis=1) for hull in hulls]
    over = [samples.points @ hull.face_normals.T - offset for hull, offset in zip(hulls, offsets, strict=True)]
    depth = np.stack([heights.max(axis=1) for heights in over])
    assert depth.min() > -0.0006  # in no part
    assert np.abs(depth).min(axis=0).max() < 1e-5  # and on one
    np.testing.assert_allclose(np.linalg.norm(samples.normals, axis=1), 1.0, atol=1e-6)


def test_a_toy_collides_as_its_mesh() -> None:
    toy = load_objects("toys:train?n=1")[0]
    np.testing.assert_array_equal(collision_surface(toy, 500).points, outer_surface(toy, 500).points)


def test_fingers_close_no_harder_than_it_takes() -> None:
    assert squeeze_force(0.95, 0.03) < squeeze_force(0.8, 0.03) < squeeze_force(0.8, 0.2)
    steep = squeeze_force(0.7, 10.0)  # friction leaves nothing to lift with: as hard as they can
    assert steep == squeeze_force(0.6, 10.0)


@pytest.mark.parametrize("name", ["panda", "panda-robotiq", "xarm7", "sawyer"])
def test_the_commanded_opening_presses_with_a_force(name: str) -> None:
    gripper = ROBOTS[name].gripper
    span, travel = gripper.open_ctrl[0] - gripper.shut[0], gripper.open_ctrl[0] - gripper.closed_ctrl[0]
    for force in (3.0, 8.0):
        target = gripper.closed_ctrl[0] + gripper.squeeze(0.9, force) * travel
        beyond = abs(gripper.shut[0] + 0.9 * span - target)
        # the joints' work over a small way is the force's work over what the opening loses
        assert len(gripper.joints) * gripper.kp * beyond * abs(span) == pytest.approx(force * gripper.opening)
    assert gripper.squeeze(0.5, 1e6) == 0.0


@pytest.fixture(scope="module")
def env():
    env = GraspEnv(objects="ycb-like", cameras=())
    yield env
    env.close()


def lifts(env: GraspEnv, name: str, episode: int) -> bool:
    env.reset(seed=0, options={"episode": episode, "object": name})
    expert = make_expert(env)
    expert.reset(0, episode)
    for _ in range(100):
        action = np.clip(expert.act(), env.action_contract.low, env.action_contract.high).astype(np.float32)
        _, over, info = env.advance(action)
        if over:
            return bool(info["is_success"])
    return False


@pytest.mark.parametrize("name", ["026_sponge", "007_tuna_fish_can", "065-g_cups"])
def test_the_expert_lifts_what_is_wider_than_the_hand_as_it_lies(env: GraspEnv, name: str) -> None:
    wins = episode = 0
    while wins < 3 and episode < 10:  # three of at most ten: seven in ten succeed, or more
        wins += lifts(env, name, episode)
        episode += 1
    assert wins == 3


def test_the_gripper_lifts_gently_what_it_holds_at_a_chord(env: GraspEnv) -> None:
    env.reset(seed=0, options={"episode": 0, "object": "054_softball"})
    expert = make_expert(env)
    expert.reset(0, 0)
    assert expert.grasp.precise
    expert._phase, expert._count, expert._gently = "lift", 0, True
    first = expert._action(*expert._target())
    assert np.linalg.norm(first[:3]) == pytest.approx(GENTLE, abs=1e-5)
    assert 0 < first[-1] < 1  # neither open nor shut with all force
    expert._count = 10
    assert np.linalg.norm(expert._action(*expert._target())[:3]) == pytest.approx(ExpertConfig().speed, abs=1e-5)


def test_a_grasp_of_a_rolling_object_is_no_longer_another_at_every_step(env: GraspEnv) -> None:
    env.reset(seed=0, options={"episode": 0, "object": "054_softball"})
    expert = make_expert(env)
    expert.reset(0, 0)
    expert._replans = RESTLESS
    before = expert.grasp
    env.move_object(0.02, 0.0)
    expert._replan()
    np.testing.assert_allclose(expert.grasp.position - before.position, [0.02, 0.0, 0.0], atol=1e-6)
    again = dataclasses.replace(expert.grasp, position=before.position)
    assert all(getattr(again, field.name) is getattr(before, field.name) for field in dataclasses.fields(again))
