"""The four action modes: each reaches what it is asked for, rests, keeps to limits, and lets the expert grasp."""

from typing import Any

import numpy as np
import pytest

from toyshift.core.choices import ACTION_MODES
from toyshift.data.grasping.choose import make_expert
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.envs.control.controllers import MODES
from toyshift.envs.rotations import matrix_to_rotvec, rotvec_to_matrix
from toyshift.envs.spaces import MAX_DELTA, MAX_JOINT_DELTA, MAX_TURN, WORKSPACE


@pytest.fixture(scope="module", params=ACTION_MODES)
def env(request: pytest.FixtureRequest) -> Any:
    made = GraspEnv(EnvConfig(objects="toys:train?n=4", cameras=(), action_mode=request.param))
    made.reset(seed=0)
    return made


def rest(env: GraspEnv) -> np.ndarray:
    return env.action_for(np.zeros(3), np.zeros(3), 1.0)


def test_every_mode_of_the_contract_has_a_controller() -> None:
    assert set(MODES) == set(ACTION_MODES)


def test_resting_keeps_the_hand_where_it_is(env: GraspEnv) -> None:
    env.reset(seed=0)
    (position, rotation), joints = env.commanded_pose(), env.commanded_joints()
    for _ in range(10):
        env.advance(rest(env))
    np.testing.assert_allclose(env.commanded_pose()[0], position, atol=1e-3)
    np.testing.assert_allclose(matrix_to_rotvec(env.commanded_pose()[1] @ rotation.T), 0, atol=2e-3)
    np.testing.assert_allclose(env.commanded_joints(), joints, atol=0.02)  # the posture is drawn home in the null space
    np.testing.assert_allclose(env.hand_pose()[0], position, atol=3e-3)


def test_all_modes_bring_the_hand_to_the_same_place(env: GraspEnv) -> None:
    env.reset(seed=0)
    position, rotation = env.hand_pose()
    step, turn = np.array([0.01, -0.02, 0.015]), np.array([0.0, 0.0, 0.05])
    for _ in range(4):
        env.advance(env.action_for(step, turn, 1.0))
    for _ in range(8):
        env.advance(rest(env))
    moved, turned = env.hand_pose()
    np.testing.assert_allclose(moved - position, 4 * step, atol=0.004)
    np.testing.assert_allclose(matrix_to_rotvec(turned @ rotation.T), 4 * turn, atol=0.015)


def test_a_far_action_moves_no_further_than_one_step_may(env: GraspEnv) -> None:
    env.reset(seed=0)
    (position, rotation), joints = env.commanded_pose(), env.commanded_joints()
    env.advance(np.asarray(env.action_space.high))
    if env.config.action_mode in ("eef_delta", "eef_pose"):
        assert np.abs(env.commanded_pose()[0] - position).max() < MAX_DELTA + 0.01
        assert np.linalg.norm(matrix_to_rotvec(env.commanded_pose()[1] @ rotation.T)) < np.sqrt(3) * MAX_TURN + 0.05
    elif env.config.action_mode == "joint_delta":
        np.testing.assert_allclose(env.commanded_joints() - joints, MAX_JOINT_DELTA, atol=1e-6)
    else:  # absolute joint angles are what they are
        np.testing.assert_allclose(env.commanded_joints(), env.action_space.high[:-1], atol=1e-6)


def test_joint_limits_and_workspace_hold_under_random_actions(env: GraspEnv) -> None:
    env.reset(seed=0)
    limits = np.array([env.scene.model.joint(name).range for name in env.robot.joints])
    rng = np.random.default_rng(0)
    for _ in range(60):
        _, ended, info = env.advance(rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32))
        assert (env.commanded_joints() >= limits[:, 0] - 1e-4).all()
        assert (env.commanded_joints() <= limits[:, 1] + 1e-4).all()
        if env.config.action_mode.startswith("eef"):
            assert (env.commanded_pose()[0] >= np.array(WORKSPACE[0]) - 0.02).all()
            assert (env.commanded_pose()[0] <= np.array(WORKSPACE[1]) + 0.02).all()
        assert not info["unstable"]
        assert not ended


def test_forces_stay_within_the_actuators_limits(env: GraspEnv) -> None:
    env.reset(seed=0)
    rng = np.random.default_rng(1)
    for _ in range(20):
        env.advance(rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32))
        assert (np.abs(env.scene.data.actuator_force[env.scene.arm.ctrl]) <= np.asarray(env.robot.force) + 1e-9).all()


def test_the_expert_grasps_in_every_mode(env: GraspEnv) -> None:
    expert, wins, episode = make_expert(env), 0, 0
    while wins < 2 and episode < 5:  # two of at most five
        _, info = env.reset(seed=0, options={"episode": episode})
        expert.reset(0, episode)
        for _ in range(100):
            _, ended, info = env.advance(expert.act())
            if ended:
                break
        wins += info["is_success"]
        episode += 1
    assert wins == 2


def test_an_absolute_pose_far_away_is_reached_over_several_steps() -> None:
    env = GraspEnv(EnvConfig(objects="toys:train?n=4", cameras=(), action_mode="eef_pose"))
    env.reset(seed=0)
    position, rotation = env.commanded_pose()
    target, facing = position + np.array([0.12, 0.15, 0.1]), rotvec_to_matrix(np.array([0.0, 0.0, 0.6])) @ rotation
    action = np.concatenate([target, matrix_to_rotvec(facing), [1.0]]).astype(np.float32)
    for _ in range(15):
        env.advance(action)
    np.testing.assert_allclose(env.hand_pose()[0], target, atol=0.01)
    np.testing.assert_allclose(matrix_to_rotvec(env.hand_pose()[1] @ facing.T), 0, atol=0.03)
