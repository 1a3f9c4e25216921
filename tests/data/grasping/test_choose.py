"""Choosers: the expert goes to the grasp that it is told, and which chooser goes with which gripper."""

import numpy as np
import pytest

from toyshift.core.errors import GraspError
from toyshift.data.grasping.choose import any_feasible, given, make_expert
from toyshift.data.grasping.expert import ExpertConfig, GraspExpert, lifts_at_once
from toyshift.data.grasping.power import search_power
from toyshift.data.grasping.situation import Grasp, Situation
from toyshift.data.grasping.top_down import search_top_down
from toyshift.envs.tasks.grasp import GraspEnv


@pytest.fixture(scope="module")
def env():
    env = GraspEnv(objects="toys:train?n=4", cameras=())
    yield env
    env.close()


def pose_of(grasp: Grasp, env: GraspEnv) -> np.ndarray:
    """Pose (4, 4) of a grasp in the object's frame."""
    position, rotation = env.object_pose()
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation.T @ grasp.rotation, rotation.T @ (grasp.position - position)
    return pose


def test_a_given_grasp_goes_along_with_the_object_and_lifts_it(env: GraspEnv) -> None:
    env.reset(seed=0)
    expert = make_expert(env)
    expert.reset(0, 0)
    grasp = expert.grasp
    told = GraspExpert(env, given(pose_of(grasp, env)))
    told.reset(0, 0)
    np.testing.assert_allclose(told.grasp.position, grasp.position, atol=1e-9)
    np.testing.assert_allclose(told.grasp.rotation, grasp.rotation, atol=1e-9)
    env.move_object(0.02, 0.01)
    told.act()
    np.testing.assert_allclose(told.grasp.position, grasp.position + np.array([0.02, 0.01, 0.0]), atol=1e-6)
    assert told.attempts == 1
    assert lifts_at_once(told)


def test_any_feasible_grasp_is_one_of_those_from_above_and_not_always_the_same(env: GraspEnv) -> None:
    env.reset(seed=0)
    taken = []
    for draw in range(4):
        expert = GraspExpert(env, any_feasible(env, np.random.default_rng(draw)))
        expert.reset(0, 0)
        taken.append(expert.grasp.score)
    assert set(taken) <= {grasp.score for grasp in search_top_down(make_situation(env))}
    assert len(set(taken)) > 1


def make_situation(env: GraspEnv) -> Situation:
    expert = GraspExpert(env, lambda situation, config: Grasp(np.zeros(3), np.eye(3), 0.0, 0.0))
    expert.reset(0, 0)
    return expert.situation()


def test_where_nothing_is_chosen_there_is_no_grasp(env: GraspEnv) -> None:
    def nothing(situation: Situation, config: ExpertConfig) -> Grasp:
        raise GraspError("nothing at all")

    env.reset(seed=0)
    with pytest.raises(GraspError, match="nothing at all"):
        GraspExpert(env, nothing).reset(0, 0)


def test_a_hand_with_fingers_wraps_around_the_object() -> None:
    env = GraspEnv(objects="toys:train?n=4", robot="inspire", cameras=())
    env.reset(seed=0)
    expert = make_expert(env)
    expert.reset(0, 0)
    best = search_power(expert.situation())[0]
    np.testing.assert_array_equal(expert.grasp.position, best.position)
    env.close()
