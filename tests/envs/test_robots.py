"""Every robot of the registry: home, control, gripper, limits, images, and a scripted policy that lifts where a random
one fails.
"""

import warnings
from collections.abc import Iterator

import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from toyshift.core.errors import MissingDependencyError, UnknownNameError
from toyshift.data.grasping.choose import CHOOSERS, make_expert
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.envs.control.gripper import write_robot
from toyshift.envs.robots import ROBOTS
from toyshift.envs.rotations import matrix_to_rotvec, rotvec_to_matrix
from toyshift.policies.act.proposals import EMPTY

TOYS = "toys:train?n=6"
STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)


def require(name: str) -> None:
    """Skips where the package with a robot's files, an extra, is not installed."""
    try:
        ROBOTS[name].require_files()
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=list(ROBOTS))
def env(request: pytest.FixtureRequest) -> Iterator[GraspEnv]:
    require(request.param)
    made = GraspEnv(EnvConfig(objects=TOYS, robot=request.param, image_size=48))
    yield made
    made.close()


def settle(env: GraspEnv, action: np.ndarray, steps: int) -> None:
    for _ in range(steps):
        env.advance(action)


def test_the_home_hand_points_down_above_the_middle_of_the_table(env: GraspEnv) -> None:
    if env.robot.bends:
        pytest.skip("an arm of five joints leans its hand at home: tests/envs/test_so101.py")
    position, rotation = env.inverse_kinematics().forward(np.asarray(env.robot.home))
    assert rotation[2, 2] < -0.999
    assert abs(rotation[2, 0]) < 0.02  # the closing direction lies level
    assert np.linalg.norm(position[:2] - (0.5, 0.0)) < 0.04
    assert 0.25 < position[2] < 0.4


def test_gymnasium_checker_has_nothing_to_say(env: GraspEnv) -> None:
    blind = GraspEnv(EnvConfig(objects=TOYS, robot=env.robot.name, cameras=()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(blind, skip_render_check=True)
    assert len(blind.action_contract.joint_names) == len(env.robot.joints)


def test_eef_delta_moves_the_hand_by_what_it_says(env: GraspEnv) -> None:
    env.reset(seed=1)
    if env.robot.bends:  # where it can keep its rotation: hand down, low, beside the object
        env.move_object(0.0, 0.3)
        env.advance(env.action_for(np.array([0.0, 0.0, -0.05]), np.array([0.0, 0.29, 0.0]), 1.0))
        env.advance(env.action_for(np.array([0.0, 0.0, -0.05]), np.array([0.0, 0.29, 0.0]), 1.0))
        settle(env, STILL, 10)
    settle(env, STILL, 5)
    start, turned = env.hand_pose()
    for axis, sign in ((0, 1), (1, -1), (2, 1)):
        action = STILL.copy()
        action[axis] = sign * 0.02
        env.advance(action)
        settle(env, STILL, 15)
        position, rotation = env.hand_pose()
        expected = np.zeros(3)
        expected[axis] = sign * 0.02
        assert np.abs(position - start - expected).max() < 0.003
        assert np.linalg.norm(matrix_to_rotvec(rotation @ turned.T)) < 0.02
        start = position
    lag = env.commanded_pose()[0] - env.hand_pose()[0]
    assert np.linalg.norm(lag) < 0.005


def test_inverse_kinematics_reaches_the_working_area(env: GraspEnv) -> None:
    if env.robot.bends:
        pytest.skip("its working area is smaller: tests/envs/test_so101.py")
    solver = env.inverse_kinematics()
    home = np.asarray(env.robot.home)
    down = solver.forward(home)[1]
    for x, y, yaw in ((0.36, -0.14, 1.4), (0.64, 0.14, -1.4), (0.5, 0.0, 0.0), (0.64, -0.14, 0.7)):
        rotation = rotvec_to_matrix(np.array([0.0, 0.0, yaw])) @ down
        joints = home
        for z in (0.2, 0.03, 0.2, 0.4):
            target = np.array([x, y, z])
            joints = solver.solve(joints, target, rotation, iterations=40)
            position, reached = solver.forward(joints)
            assert np.linalg.norm(position - target) < 0.003
            assert np.linalg.norm(matrix_to_rotvec(rotation @ reached.T)) < 0.03


def test_gripper_opens_and_closes_and_its_linkage_holds(env: GraspEnv) -> None:
    env.reset(seed=1)
    grip, scene = env.robot.gripper, env.scene
    closing = STILL.copy()
    closing[-1] = 0.0
    seen = []
    for action in (STILL, closing, STILL):
        settle(env, action, 15)
        seen.append(env.opening())
        joints = scene.data.qpos[scene.arm.finger_qpos]
        for address, (_, driver, ratio) in zip(scene.arm.follower_qpos, grip.follow, strict=True):
            assert scene.data.qpos[address] == pytest.approx(ratio * joints[grip.joints.index(driver)], abs=0.02)
    assert min(seen[0], seen[2]) > 0.95
    assert -0.05 < seen[1] < 0.5 * EMPTY  # a hand that holds nothing is known by it


def test_the_gripper_that_grasps_are_searched_for_is_the_compiled_one(env: GraspEnv) -> None:
    """Collision geoms in the grasp frame: the opening is what lies between them, no finger reaches beyond the tip."""
    env.reset(seed=1)
    grip, scene = env.robot.gripper, env.scene
    model, data = scene.model, scene.data
    geoms = np.flatnonzero(scene.is_gripper & (model.geom_contype + model.geom_conaffinity > 0))
    lowest, gap = -1.0, 0.0
    for opening in np.linspace(0.0, 1.0, 6):
        write_robot(scene, np.asarray(env.robot.home), float(opening))
        mujoco.mj_kinematics(model, data)
        position, rotation = env.hand_pose()
        right, left = 1.0, 1.0
        for geom in geoms:
            points = (
                _vertices(model, geom) @ data.geom_xmat[geom].reshape(3, 3).T + data.geom_xpos[geom] - position
            ) @ rotation
            lowest = max(lowest, float(points[:, 2].max()))
            near = points[np.abs(points[:, 2] - grip.pad_offset) < grip.pad[1]]
            if len(near):
                right, left = min(
                    right, near[:, 0].min() if near[:, 0].mean() > 0 else 1.0,
                ), min(left, -near[:, 0].max() if near[:, 0].mean() < 0 else 1.0)
        gap = right + left if opening == 1.0 else gap
    assert lowest < grip.tip_offset + 0.003
    if grip.kind == "parallel":
        assert gap == pytest.approx(grip.opening, abs=0.003)


def _vertices(model: mujoco.MjModel, geom: int) -> np.ndarray:
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_MESH:
        mesh = model.geom_dataid[geom]
        return np.asarray(
            model.mesh_vert[model.mesh_vertadr[mesh] : model.mesh_vertadr[mesh] + model.mesh_vertnum[mesh]], np.float64,
        )
    size = model.geom_size[geom] if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_BOX else model.geom_size[geom][
        [0, 0, 1]
    ]
    corners = np.stack(np.meshgrid((-1, 1), (-1, 1), np.linspace(-1, 1, 9)), axis=-1).reshape(-1, 3)
    return np.asarray(corners * size)


def test_an_episode_is_the_same_whatever_was_played_before(env: GraspEnv) -> None:
    runs = []
    for warm_up in (0, 7):
        env.reset(seed=8)
        settle(env, np.array([0.02, 0.01, -0.03, 0.0, 0.0, 0.1, 0.0], np.float32), warm_up)
        env.reset(seed=8, options={"episode": 4})
        settle(env, np.array([0.0, 0.01, -0.02, 0.0, 0.05, 0.1, 0.3], np.float32), 6)
        runs.append(env.sim_state())
    assert np.array_equal(*runs)


def test_masks_show_the_robot_and_images_the_fingers(env: GraspEnv) -> None:
    observation, _ = env.reset(seed=2)
    for camera in ("front", "wrist"):
        assert (observation["masks"][camera] == 1).any()
        assert observation["pixels"][camera].std() > 5
    wrist = observation["masks"]["wrist"] == 3
    assert 0.005 < wrist.mean() < 0.5  # fingers are seen, and do not hide the table
    closed = STILL.copy()
    closed[-1] = 0.0
    settle(env, closed, 10)
    assert (env.observe()["masks"]["wrist"] == 3).sum() != wrist.sum()


def test_random_actions_respect_limits_and_never_succeed(env: GraspEnv) -> None:
    rng = np.random.default_rng(0)
    model = env.scene.model
    dofs = [model.joint(name).id for name in env.robot.joints]
    limits = model.jnt_range[dofs]
    assert model.jnt_limited[dofs].all()
    assert model.actuator_forcelimited.all()
    for episode in range(2):
        env.reset(seed=3, options={"episode": episode})
        for _ in range(60):
            action = rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
            _, over, info = env.advance(action)
            assert not over, info
            joints = env.scene.data.qpos[env.scene.arm.qpos]
            commanded = env.commanded_joints()
            assert np.array_equal(np.clip(commanded, limits[:, 0], limits[:, 1]), commanded)
            assert np.abs(np.clip(joints, limits[:, 0], limits[:, 1]) - joints).max() < 0.06  # MuJoCo's limits are soft
            assert (np.abs(env.scene.data.actuator_force) <= model.actuator_forcerange[:, 1] + 1e-9).all()
            assert env.observation_space["agent_pos"].contains(env._proprioception())


@pytest.mark.parametrize("robot", [name for name, robot in ROBOTS.items() if robot.gripper.kind == "parallel"])
def test_the_scripted_expert_lifts_a_toy(robot: str) -> None:
    require(robot)
    env = GraspEnv(EnvConfig(objects=TOYS, robot=robot, cameras=()))
    expert = make_expert(env)
    wins = episode = 0
    while wins < 2 and episode < 5:  # two of at most five
        env.reset(seed=0, options={"episode": episode})
        expert.reset(0, episode)
        for _ in range(100):
            _, over, info = env.advance(expert.act())
            if over:
                break
        wins += info["is_success"]
        episode += 1
    assert wins == 2


def test_every_kind_of_gripper_has_an_expert() -> None:
    assert {robot.gripper.kind for robot in ROBOTS.values()} <= set(CHOOSERS)


def test_robots_are_named_and_their_files_are_installed() -> None:
    for name, robot in ROBOTS.items():
        assert robot.name == name
        if robot.package == "robosuite":  # whose models are no extra
            robot.require_files()
        else:
            assert robot.package == "so101"
        assert len(robot.joints) == len(robot.home) == len(robot.kp) == len(robot.force) == len(robot.joint_units)
        grip = robot.gripper
        assert len(grip.joints) == len(grip.open_ctrl) == len(grip.closed_ctrl) == len(grip.shut)
    with pytest.raises(UnknownNameError, match="ur5e"):
        EnvConfig(robot="ur5")
