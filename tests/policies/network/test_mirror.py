"""Mirror augmentation: an involution, and true to the simulator: what it makes is seen in the mirrored scene."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ACTION, STATE, image_key, mask_key
from toyshift.core.errors import ConfigError
from toyshift.core.proprioception import ONE_SIDED
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.envs.rotations import yaw_to_matrix
from toyshift.policies.config import PolicyConfig
from toyshift.policies.network.policy import Policy
from toyshift.policies.training.augmentation import MIRRORED_ACTION, MIRRORED_STATE, mirror_signs, mirrored
from toyshift.policies.training.initial_policy import signs_of_mirrored

CAMERAS = ("front", "wrist")


@pytest.fixture(scope="module")
def env() -> Any:
    made = GraspEnv(EnvConfig(objects="toys:train?n=40", image_size=64))
    yield made
    made.close()


def observe(env: GraspEnv, ball: int, x: float, y: float, hand_y: float, yaw: float) -> dict[str, Any]:
    """The hand above the table, turned by `yaw`, and a ball at (x, y)."""
    env.reset(seed=0, options={"episode": 0, "object": ball})
    joints = np.asarray(env.robot.home)
    solver = env.inverse_kinematics()
    _, rotation = solver.forward(joints)
    joints = solver.solve(joints, np.array([0.5, hand_y, 0.2]), yaw_to_matrix(yaw) @ rotation, iterations=60)
    state = env.sim_state()
    env.scene.data.qpos[env.scene.arm.qpos] = joints
    env.move_object(x - env.object_position()[0], y - env.object_position()[1])
    observation = env.observe()
    env.load_sim_state(env.object.id, state)
    return observation


def test_the_mirror_image_is_what_the_mirrored_scene_looks_like(env: GraspEnv) -> None:
    ball = next(i for i, o in enumerate(env.objects) if len(o.geoms) == 1 and o.geoms[0].kind == "sphere")
    seen = observe(env, ball, 0.53, 0.03, 0.06, 0.5)
    other = observe(env, ball, 0.53, -0.03, -0.06, -0.5)
    batch = {STATE: seen["agent_pos"][None, None], ACTION: np.zeros((1, 1, 7), np.float32)}
    for camera in CAMERAS:
        batch[image_key(camera)], batch[mask_key(camera)] = (
            seen["pixels"][camera][None, None], seen["masks"][camera][None, None]
        )
    signs = (
        mirror_signs(env.observation_contract.state_names, MIRRORED_STATE),
        mirror_signs(env.action_contract.names, MIRRORED_ACTION),
    )
    flipped = mirrored(batch, CAMERAS, np.array([True]), *signs)
    measured = slice(7, 17)  # the joints have no mirror image, and `observe` moves the hand without a command
    np.testing.assert_allclose(flipped[STATE][0, 0, measured], other["agent_pos"][measured], atol=0.01)
    for camera in CAMERAS:
        wrong = (flipped[mask_key(camera)][0, 0] != other["masks"][camera]).mean()
        assert wrong < 0.02
        assert wrong < 0.5 * (seen["masks"][camera] != other["masks"][camera]).mean()


def test_the_command_is_mirrored_with_the_hand(env: GraspEnv) -> None:
    action = np.array([0.02, 0.03, -0.01, 0.0, 0.0, 0.1, 1.0], np.float32)
    states = []
    for sign in (1.0, -1.0):
        env.reset(seed=0, options={"episode": 0})
        env.scene.data.qvel[:] = 0.0
        before = env.observe()["agent_pos"]
        env.advance(action * np.array([1, sign, 1, 1, 1, sign, 1], np.float32))
        states.append(env.observe()["agent_pos"] - before)
    names = list(env.observation_contract.state_names)
    signs = mirror_signs(env.observation_contract.state_names, MIRRORED_STATE)
    for axis in "xyz":
        place = names.index(f"lag.{axis}")
        assert abs(states[0][place] * signs[place] - states[1][place]) < 0.004
    assert abs(states[0][names.index("lag.y")]) > 0.005


def test_mirroring_twice_changes_nothing_and_unchosen_samples_stay() -> None:
    rng = np.random.default_rng(0)
    names = ("eef.y", "eef.z")
    batch = {
        STATE: rng.standard_normal((3, 1, 2)).astype(np.float32),
        ACTION: rng.standard_normal((3, 4, 7)).astype(np.float32),
        image_key("front"): rng.integers(0, 255, (3, 1, 8, 8, 3), np.uint8),
        mask_key("front"): rng.integers(0, 3, (3, 1, 8, 8), np.uint8),
    }
    which = np.array([True, False, True])
    signs = (
        mirror_signs(names, MIRRORED_STATE),
        mirror_signs(("dx", "dy", "dz", "rx", "ry", "rz", "gripper"), MIRRORED_ACTION),
    )
    once = mirrored(batch, ("front",), which, *signs)
    twice = mirrored(once, ("front",), which, *signs)
    for key, value in batch.items():
        np.testing.assert_array_equal(twice[key], value)
        np.testing.assert_array_equal(once[key][1], value[1])
        assert not np.array_equal(once[key][0], value[0])
    np.testing.assert_array_equal(once[ACTION][0] / batch[ACTION][0], np.tile([1, -1, 1, -1, 1, -1, 1], (4, 1)))


def test_a_policy_that_sees_joint_angles_cannot_be_mirrored(env: GraspEnv) -> None:
    with pytest.raises(ConfigError, match="joint1"):
        signs_of_mirrored(Policy(PolicyConfig(), env.action_contract, env.observation_contract))


def test_a_hand_that_is_not_symmetric_cannot_be_mirrored(env: GraspEnv) -> None:
    config = PolicyConfig(state_keep=("eef.y",))
    contract = dataclasses.replace(env.action_contract, joint_names=ONE_SIDED[0])
    names = dataclasses.replace(env.observation_contract, state_names=("eef.y",))
    with pytest.raises(ConfigError, match="symmetric"):
        signs_of_mirrored(Policy(config, contract, names))
