"""toyshift/Grasp-v0: Gymnasium's contract, determinism, physics of slots, success, looks, states and bad input."""

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from toyshift.core.errors import ConfigError, ContractError, UnknownNameError
from toyshift.data.grasping.choose import make_expert
from toyshift.envs import EnvConfig, GraspEnv, Look
from toyshift.envs.rotations import matrix_to_rotvec, rotvec_to_matrix
from toyshift.envs.shifts import FACTORS
from toyshift.envs.tasks.success import HOVER, REWARD_SCALES, REWARDS, detour

OBJECTS = "toys:train?n=6"


@pytest.fixture(scope="module")
def env() -> Any:
    made = GraspEnv(EnvConfig(objects=OBJECTS, image_size=64))
    yield made
    made.close()


@pytest.fixture(scope="module")
def blind() -> Any:
    return GraspEnv(EnvConfig(objects=OBJECTS, cameras=()))


@pytest.mark.parametrize("mode", ["eef_delta", "joint_pos"])
def test_gymnasium_checker_has_nothing_to_say(mode: str) -> None:
    made = gym.make("toyshift/Grasp-v0", objects=OBJECTS, action_mode=mode, image_size=64, render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if mode == "joint_pos":  # physical joint angles cannot lie in [-1, 1], which Gymnasium recommends
            warnings.filterwarnings("ignore", message=".*symmetric and normalized space")
        check_env(made.unwrapped)
    made.close()


def test_time_limit_is_100_steps_and_truncates() -> None:
    made = gym.make("toyshift/Grasp-v0", objects=OBJECTS, cameras=())
    made.reset(seed=0)
    still = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    outcomes = [made.step(still)[2:4] for _ in range(100)]
    assert outcomes[-1] == (False, True)
    assert not any(truncated for _, truncated in outcomes[:-1])


def test_an_episode_does_not_depend_on_what_was_played_before(env: GraspEnv) -> None:
    first, info = env.reset(seed=7, options={"episode": 3})
    env.reset(seed=1)
    for _ in range(5):
        env.step(env.action_space.sample())
    again, _ = env.reset(seed=7, options={"episode": 3})
    other, _ = env.reset(seed=7, options={"episode": 4})
    assert info["episode"] == 3
    for camera in ("front", "wrist"):
        np.testing.assert_array_equal(first["pixels"][camera], again["pixels"][camera])
        np.testing.assert_array_equal(first["masks"][camera], again["masks"][camera])
    np.testing.assert_array_equal(first["agent_pos"], again["agent_pos"])
    assert not np.array_equal(first["pixels"]["front"], other["pixels"]["front"])


def test_observations_do_not_share_memory(env: GraspEnv) -> None:
    first, _ = env.reset(seed=0)
    copy = first["pixels"]["front"].copy()
    env.step(np.array([0.05, 0, -0.05, 0, 0, 0, 0], np.float32))
    np.testing.assert_array_equal(first["pixels"]["front"], copy)


def test_mask_shows_the_target_where_its_colour_is(env: GraspEnv) -> None:
    observation, _ = env.reset(seed=2)
    mask, image = observation["masks"]["front"], observation["pixels"]["front"]
    assert set(np.unique(mask)) <= {0, 1, 3}
    assert (mask == 1).sum() > 5
    inside = image[mask == 1].mean(axis=0)
    colour = np.asarray(env.object.geoms[0].rgba[:3])
    assert np.argmax(inside) == np.argmax(colour)


def test_expert_succeeds_and_random_actions_fail(blind: GraspEnv) -> None:
    expert = make_expert(blind)
    wins = 0
    for episode in range(6):
        blind.reset(seed=0, options={"episode": episode, "object": episode})
        expert.reset(0, episode)
        for _ in range(100):
            _, terminated, info = blind.advance(expert.act())
            if terminated:
                break
        wins += info["is_success"]
        if info["is_success"]:
            assert info["max_height"] >= blind.lift_height
    assert wins >= 3
    blind.action_space.seed(0)
    blind.reset(seed=0)
    for _ in range(100):
        _, terminated, info = blind.advance(blind.action_space.sample())
        assert not info["is_success"]


def test_reward_terms_sum_to_the_reward_and_stay_in_range(blind: GraspEnv) -> None:
    blind.reset(seed=0)
    reward, _, info = blind.advance(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    assert 0 <= reward <= 3
    assert set(info["predicates"]) == {"lifted", "held", "right_object", "not_penetrated", "stable"}
    assert reward == sum(REWARD_SCALES[name] * value for name, value in info["reward_terms"].items())


def test_eef_delta_moves_the_hand_by_what_it_says(blind: GraspEnv) -> None:
    blind.reset(seed=0)
    before, rotation = blind.hand_pose()
    for _ in range(4):
        blind.advance(np.array([0.01, -0.02, 0.015, 0, 0, 0.05, 1], np.float32))
    for _ in range(8):
        blind.advance(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    after, turned = blind.hand_pose()
    np.testing.assert_allclose(after - before, [0.04, -0.08, 0.06], atol=0.003)
    np.testing.assert_allclose(matrix_to_rotvec(turned @ rotation.T), [0, 0, 0.2], atol=0.01)


def test_inverse_kinematics_inverts_forward(blind: GraspEnv) -> None:
    solver = blind.inverse_kinematics()
    home = np.asarray(blind.robot.home)
    rng = np.random.default_rng(0)
    for _ in range(10):
        joints = home + 0.2 * rng.standard_normal(7)
        position, rotation = solver.forward(joints)
        found = solver.forward(solver.solve(home, position, rotation, iterations=30))
        np.testing.assert_allclose(found[0], position, atol=1e-3)
        np.testing.assert_allclose(matrix_to_rotvec(found[1] @ rotation.T), 0, atol=5e-3)


def test_rotation_vectors_round_trip() -> None:
    rng = np.random.default_rng(1)
    for rotvec in rng.uniform(-1.5, 1.5, (20, 3)):
        np.testing.assert_allclose(matrix_to_rotvec(rotvec_to_matrix(rotvec)), rotvec, atol=1e-9)


def test_state_can_be_saved_and_restored_mid_episode(env: GraspEnv) -> None:
    env.reset(seed=4)
    down = np.array([0.01, 0, -0.02, 0, 0, 0, 1], np.float32)
    for _ in range(3):
        env.step(down)
    state, name = env.sim_state(), env.object.id
    expected = env.observe()
    env.reset(seed=5)
    env.load_sim_state(name, state, env.model_hash() if env.object.id == name else None)
    restored = env.observe()
    np.testing.assert_array_equal(expected["pixels"]["front"], restored["pixels"]["front"])
    with pytest.raises(ContractError, match="another model"):
        env.load_sim_state(name, state, "0" * 16)


def test_the_state_tells_how_far_the_command_is_ahead_of_the_hand(env: GraspEnv) -> None:
    names = env.observation_contract.state_names
    lag, opening = [names.index(f"lag.{axis}") for axis in "xyz"], names.index("command.gripper")
    state = env.reset(seed=0)[0]["agent_pos"]
    assert np.abs(state[lag]).max() < 2e-3
    assert state[opening] == 1.0
    action = np.array([0.03, 0.0, 0.04, 0.0, 0.0, 0.0, 0.0], np.float32)
    for _ in range(3):
        state = env.step(action)[0]["agent_pos"]
    np.testing.assert_allclose(state[lag], env.commanded_pose()[0] - env.hand_pose()[0], atol=1e-6)
    assert 0.004 < np.linalg.norm(state[lag]) < 0.06  # the arm follows, millimetres to centimetres behind
    assert state[opening] < 0.5
    stored = env.sim_state()
    env.reset(seed=1)
    env.load_sim_state(env.object.id, stored)
    np.testing.assert_allclose(env.observe()["agent_pos"][[*lag, opening]], state[[*lag, opening]], atol=1e-6)


@pytest.mark.parametrize(
    ("factor", "value"), [("table", 2), ("background", 2), ("azimuth", 20.0), ("light", 0.5), ("object_colour", 1)],
)
def test_each_look_changes_the_picture_and_nothing_of_the_state(env: GraspEnv, factor: str, value: Any) -> None:
    plain, _ = env.reset(seed=6)
    state = env.sim_state()
    env.set_look(Look().changed(factor, value))
    changed = env.observe()
    np.testing.assert_array_equal(state, env.sim_state())
    np.testing.assert_array_equal(plain["agent_pos"], changed["agent_pos"])
    assert np.abs(plain["pixels"]["front"].astype(int) - changed["pixels"]["front"]).mean() > 0.05
    if factor != "azimuth":
        np.testing.assert_array_equal(plain["masks"]["front"], changed["masks"]["front"])
    env.set_look(Look())
    np.testing.assert_array_equal(plain["pixels"]["front"], env.observe()["pixels"]["front"])
    assert factor in FACTORS


def test_camera_pose_projects_the_object_into_its_mask(env: GraspEnv) -> None:
    observation, _ = env.reset(seed=8)
    extrinsics, intrinsics = env.camera_pose("front")
    point = extrinsics @ np.append(env.object_position(), 1.0)
    assert point[2] > 0
    u, v = (intrinsics @ point[:3])[:2] / point[2]
    rows, columns = np.nonzero(observation["masks"]["front"] == 1)
    assert abs(u - columns.mean()) < 3
    assert abs(v - rows.mean()) < 3


def test_bad_actions_are_refused_with_their_index(blind: GraspEnv) -> None:
    blind.reset(seed=0)
    bad = np.zeros(7, np.float32)
    bad[2] = np.nan
    with pytest.raises(ConfigError, match=r"entry 2 \(dz\)"):
        blind.advance(bad)
    with pytest.raises(ConfigError, match="shape"):
        blind.advance(np.zeros(8, np.float32))


def test_step_before_reset_is_refused() -> None:
    made = GraspEnv(EnvConfig(objects=OBJECTS, cameras=()))
    with pytest.raises(ConfigError, match="reset"):
        made.advance(np.zeros(7, np.float32))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"robot": "pandaa"}, "Did you mean 'panda'"),
        ({"action_mode": "joint"}, "joint_pos"),
        ({"cameras": ("side",)}, "front"),
        ({"control_hz": 30.0}, "whole number"),
        ({"image_size": 4}, "16"),
        ({"objcts": "toys:train"}, "objects"),
    ],
)
def test_wrong_options_name_the_choices(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GraspEnv(**({"objects": OBJECTS} | options))


def test_unknown_object_and_reset_option_name_the_choices(blind: GraspEnv) -> None:
    with pytest.raises(UnknownNameError, match=r"0\.\.5"):
        blind.reset(options={"object": 99})
    with pytest.raises(UnknownNameError, match="episode"):
        blind.reset(options={"epsiode": 1})


@pytest.mark.parametrize("wrong", [{"azimuth": float("nan")}, {"azimuth": 1e6}, {"light": 0.0}, {"table": 99}])
def test_looks_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Look(**wrong)


def test_no_step_of_the_cost_reward_pays_and_success_ends_the_costs(blind: GraspEnv) -> None:
    env = GraspEnv(EnvConfig(objects=blind.config.objects, cameras=(), reward="cost"))
    expert = make_expert(env)
    for episode in range(1, 7):  # as far as the first that succeeds
        env.reset(seed=0, options={"episode": episode})
        expert.reset(0, episode)
        rewards, grasps = [], []
        for _ in range(100):
            reward, done, info = env.advance(expert.act())
            assert reward == sum(REWARDS["cost"][name] * value for name, value in info["reward_terms"].items())
            rewards.append(reward)
            grasps.append(info["reward_terms"]["grasp"])
            if done:
                break
        assert -1.0 < rewards[0] < -0.7
        assert max(rewards) <= 0.0
        assert grasps[0] == 0.0
        if info["is_success"]:
            break
    assert info["is_success"]
    assert grasps[-1] == 1.0
    assert rewards[-1] > -0.2  # what is left to reach for: the hand is never quite at the centre of mass
    env.close()


def test_the_way_to_the_target_leads_from_above() -> None:
    def error(aside: float, above: float) -> float:
        return detour(np.array([aside, 0.0, -above]))

    assert error(0.0, 0.0) == 0.0
    assert error(0.01, 0.0) == pytest.approx(0.01)
    assert error(0.05, HOVER) < error(0.05, 0.0)  # beside the target, up is better than down
    assert error(0.01, 0.0) < error(0.01, HOVER)  # above it, down is
    assert error(0.0, 0.1) == pytest.approx(0.1)
    way = [
        error(aside, above)
        for aside, above in ((0.2, 0.1), (0.1, 0.1), (0.05, 0.08), (0.03, 0.045), (0.015, 0.0), (0.0, 0.0))
    ]
    assert way == sorted(way, reverse=True)


def test_closed_fingers_on_top_of_the_target_are_no_grasp() -> None:
    env = GraspEnv(EnvConfig(objects="toys:train?n=1&seed=2", cameras=(), reward="cost"))
    env.reset(seed=0)
    parts, grasps = [], []
    for _ in range(40):
        step = env.object_position() - env.commanded_pose()[0]
        step[2] = -0.02 if np.abs(step[:2]).max() < 0.002 else 0.0
        _, _, info = env.advance(env.action_for(step.clip(-0.04, 0.04), np.zeros(3), 0.0))
        scene = env.scene
        pairs = scene.data.contact.geom[scene.is_object[scene.data.contact.geom].any(axis=1)]
        parts.append(len(np.unique(scene.model.geom_bodyid[pairs[scene.is_gripper[pairs]]])))
        grasps.append(info["reward_terms"]["grasp"])
    assert max(parts) >= 2
    assert max(grasps) == 0.0
    env.close()
