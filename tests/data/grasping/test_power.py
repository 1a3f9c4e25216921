"""The power grasp of a hand: where it takes hold, what it refuses, and that it lifts a can and a ball."""

import numpy as np
import pytest
import trimesh

from toyshift.core.errors import GraspError
from toyshift.data.grasping.choose import make_expert
from toyshift.data.grasping.power import search_power
from toyshift.data.grasping.situation import Situation
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.envs.robots.inspire import INSPIRE_HAND
from toyshift.toys import GraspObject

HOME = np.diag([1.0, -1.0, -1.0])
NOTHING = np.zeros((0, 3))


def block(x: float, y: float, z: float, yaw: float, obstacles: np.ndarray = NOTHING) -> Situation:
    """A box that stands on the table at (0.5, 0.1) [m], and a hand with its closing axis at `yaw` [rad]."""
    mesh, position = trimesh.creation.box((x, y, z)), np.array([0.5, 0.1, z / 2])
    obj = GraspObject("mesh", "mesh", "test", mesh, (), (), None, 0.1, np.zeros(3), np.eye(3), ())
    place = obj, position, np.eye(3), position
    return Situation(*place, INSPIRE_HAND, HOME, yaw, np.random.default_rng(0), obstacles)


def test_it_closes_across_the_narrow_side() -> None:
    best = search_power(block(0.2, 0.06, 0.08, yaw=0.3))[0]
    assert abs(best.rotation[1, 0]) == pytest.approx(1.0)
    assert best.width == pytest.approx(0.06)
    assert best.position[:2] == pytest.approx((0.5, 0.1))
    assert np.linalg.det(best.rotation) == pytest.approx(1.0)


def test_neither_palm_nor_tips_touch_at_the_grasp() -> None:
    for height in (0.03, 0.08, 0.2):
        best = search_power(block(0.07, 0.07, height, yaw=np.pi / 2))[0]
        assert best.position[2] - INSPIRE_HAND.tip_offset > 0
        assert best.position[2] - INSPIRE_HAND.palm_offset > height


def test_what_is_wider_than_the_mouth_is_refused() -> None:
    with pytest.raises(GraspError, match="wider"):
        search_power(block(0.15, 0.15, 0.05, yaw=0.0))


def test_a_neighbour_turns_the_hand() -> None:
    free = search_power(block(0.07, 0.07, 0.1, yaw=np.pi / 2))[0]
    neighbour = np.array([[0.5, 0.1 + 0.06, 0.08]])  # where the fingers of the free grasp would be
    turned = search_power(block(0.07, 0.07, 0.1, np.pi / 2, neighbour))[0]
    assert abs(free.rotation[1, 0]) == pytest.approx(1.0)
    assert abs(turned.rotation[1, 0]) < 0.9


@pytest.mark.parametrize("thing", ["005_tomato_soup_can", "055_baseball", "054_softball"])
def test_it_lifts_a_can_and_balls(thing: str) -> None:
    env = GraspEnv(EnvConfig(objects="ycb-like", robot="inspire", cameras=()))
    expert = make_expert(env)
    wins = 0
    for episode in range(6):
        env.reset(seed=0, options={"object": thing, "episode": episode})
        expert.reset(0, episode)
        for _ in range(100):
            _, over, info = env.advance(expert.act())
            if over:
                break
        wins += info["is_success"]
        if info["is_success"]:
            assert info["predicates"]["held"]
            assert info["lift_height"] > 0.3
        if wins == 2:  # two of at most six
            return
    pytest.fail(f"lifted {wins} of 6 times")
