"""What a bundle tells: arms that reach where MuJoCo's do, cameras as they stood, success of this policy only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from toyshift.core.choices import ROBOT_NAMES
from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError, FileError, MissingDependencyError
from toyshift.core.files import write_json
from toyshift.core.proprioception import names_of, proprioception
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.diagnostics.actors import policy_fingerprint
from toyshift.diagnostics.bundle_facts import arm_of, bundle_facts, camera_facts, measured_success
from toyshift.envs.config import EnvConfig
from toyshift.envs.robots import get_robot
from toyshift.envs.rotations import rotvec_to_matrix
from toyshift.envs.scene.build import build_scene
from toyshift.policies import checkpoints
from toyshift.policies.runtime import ArmChain

JOINTS = tuple(f"joint{i}" for i in range(1, 8))
ACTION = ActionContract("joint_pos", (*JOINTS, "gripper"), ("1",) * 8, (-1.0,) * 8, (1.0,) * 8, 10.0, JOINTS)
OBSERVATION = ObservationContract((("front", (16, 16)), ("wrist", (16, 16))), names_of(proprioception(JOINTS)))


@pytest.mark.parametrize("robot", ROBOT_NAMES)
def test_the_chain_reaches_where_mujocos_arm_reaches(robot: str) -> None:
    try:
        get_robot(robot).require_files()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    arm = ArmChain.from_json(json.loads(json.dumps(arm_of(robot).to_json())))
    scene = build_scene(EnvConfig(robot=robot, cameras=()))
    data, rng = mujoco.MjData(scene.model), np.random.default_rng(0)
    low, high = np.array([(joint.low, joint.high) for joint in arm.joints]).T
    for joints in (np.array(arm.home), *rng.uniform(low, high, (40, len(low)))):
        data.qpos[scene.arm.qpos] = joints
        mujoco.mj_kinematics(scene.model, data)
        position, rotation = arm.forward(joints)
        np.testing.assert_allclose(position, data.site_xpos[scene.arm.site], atol=1e-6)
        np.testing.assert_allclose(rotation, data.site_xmat[scene.arm.site].reshape(3, 3), atol=1e-6)
    assert arm.home == get_robot(robot).home
    assert arm.gripper_width == get_robot(robot).gripper.opening
    assert arm.outside(np.array(arm.home)) == ""
    assert arm.joints[0].name in arm.outside(np.array(arm.home) + 9.0)


def test_limits_say_where_they_are_from() -> None:
    panda, ur5e = arm_of("panda"), arm_of("ur5e")
    assert panda.joints[0].velocity == 2.175
    assert panda.joints[1].acceleration == 7.5
    assert panda.joints[3].high == pytest.approx(-0.0698)
    assert "Franka" in panda.sources["velocity"]
    assert "panda/robot.xml" in panda.sources["position"]
    assert ur5e.joints[0].velocity is None
    assert "not looked up" in ur5e.sources["velocity"]


def test_what_is_no_arm_is_refused() -> None:
    whole = json.loads(json.dumps(arm_of("panda").to_json()))
    for change, words in (
        ({"home": [0.0]}, "home has 1"), ({"gripper_width": 0.0}, "both must be above 0"), ({"more": 1}, "not an arm"),
        ({"hand_rotation": [[1, 0, 0], [0, 1, 0], [0, 0, 2]]}, "rotation"), ({"joints": []}, "home has 7"),
        ({"joints": [whole["joints"][0] | {"axis": [0, 0, 2]}, *whole["joints"][1:]]}, "joint1 is no hinge"),
        ({"joints": [*whole["joints"][:6], whole["joints"][6] | {"axis": [0, 0, 1]}]}, "chain leads .* m away"),
        ({"hand_offset": [0, 0, 0]}, "chain leads"), ({"probe": [0.0]}, "home has"),
        ({"joints": [whole["joints"][0] | {"low": 9.0}, *whole["joints"][1:]]}, "joint1 moves from"),
    ):
        with pytest.raises(ContractError, match=words):
            ArmChain.from_json(whole | change)


def recorded(
    folder: Path, spread: float = 0.02, name: str = "toy", turn: float = 0.0, robot: str = "panda"
) -> Path:
    """A dataset in which one camera stands somewhere else in every episode, and one is mounted on a moving hand."""
    rng = np.random.default_rng(0)
    names = OBSERVATION.state_names
    for i in range(12):
        hands = [(rng.uniform(0.2, 0.6, 3), rotvec_to_matrix(rng.normal(0, 1, 3))) for _ in range(3)]
        state = np.zeros((3, len(names)), np.float32)
        for row, (position, rotation) in zip(state, hands, strict=True):
            row[names.index("eef.x") : names.index("eef.x") + 9] = [*position, *rotation[:, 0], *rotation[:, 1]]
        side = (-1) ** i
        place, around = np.array([1.0 + spread * side, 0.1, 0.6]), np.array([0, 0, 1.0 + np.radians(turn) * side])
        fixed = extrinsics(place, rotvec_to_matrix(around))
        mount = rotvec_to_matrix(np.array([0.3, 0.0, 0.0]))
        frames: dict[str, Any] = {
            "observation.state": state, "action": np.zeros((3, 8), np.float32),
            "camera.front.extrinsics": np.stack([fixed] * 3),
            "camera.wrist.extrinsics": np.stack([extrinsics(p + r @ [0.0, 0.07, -0.09], r @ mount) for p, r in hands]),
        }
        for camera in ("front", "wrist"):
            frames[f"observation.images.{camera}"] = np.full((3, 16, 16, 3), 10 * i, np.uint8)
            frames[f"camera.{camera}.intrinsics"] = np.stack([np.array([[20, 0, 8], [0, 20, 8], [0, 0, 1.0]])] * 3)
        frames |= {key: value.astype(np.float32) for key, value in frames.items() if key.startswith("camera")}
        write_episode(folder, Episode(i, frames, {"task": name, "object_id": name}))
    finalize(folder, ACTION, OBSERVATION, {}, robot_type=robot)
    return folder


def extrinsics(position: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation.T, -rotation.T @ position
    return matrix


def test_cameras_are_told_where_they_stood_and_how_far_that_spread(tmp_path: Path) -> None:
    facts, pictures = camera_facts([open_dataset(recorded(tmp_path / "data"))], OBSERVATION)
    front, wrist = facts["front"], facts["wrist"]
    assert (front["frame"], wrist["frame"]) == ("robot_base", "hand")
    np.testing.assert_allclose(front["position"], [1.0, 0.1, 0.6], atol=1e-6)
    np.testing.assert_allclose(front["position_std"], [0.02, 0, 0], atol=1e-6)
    np.testing.assert_allclose(front["position_range"], [[0.98, 0.1, 0.6], [1.02, 0.1, 0.6]], atol=1e-6)
    np.testing.assert_allclose(wrist["position"], [0.0, 0.07, -0.09], atol=1e-6)
    np.testing.assert_allclose(wrist["position_std"], 0.0, atol=1e-6)
    mount = rotvec_to_matrix(np.array([0.3, 0, 0]))
    np.testing.assert_allclose(np.array(wrist["extrinsics"])[:3, :3].T, mount, atol=1e-5)
    assert wrist["turn_max_deg"] < 0.05
    assert front["intrinsics"] == [[20, 0, 8], [0, 20, 8], [0, 0, 1]]
    assert front["images_seen"] == 36
    assert front["looks"]["red"][0] == 0
    assert front["looks"]["red"][-1] == 110
    assert front["looks"]["red"][4] == 55
    assert pictures["front"].shape == (16, 16, 3)


def test_how_far_a_camera_turned_is_told(tmp_path: Path) -> None:
    facts, _ = camera_facts([open_dataset(recorded(tmp_path / "data", spread=0.0, turn=5.0))], OBSERVATION)
    assert facts["front"]["turn_std_deg"] == pytest.approx(5.0, abs=1e-3)
    assert facts["front"]["turn_max_deg"] == pytest.approx(5.0, abs=1e-3)
    np.testing.assert_allclose(
        np.array(facts["front"]["extrinsics"])[:3, :3].T, rotvec_to_matrix(np.array([0, 0, 1.0])), atol=1e-6
    )


@pytest.fixture
def folder(policy_folder: Callable[..., Path], tmp_path: Path) -> Path:
    data = open_dataset(recorded(tmp_path / "data"))
    known = [{"folder": "data", "content_hash": data.content_hash(), "object_sets": [], "object_ids": [], "starts": []}]
    said: dict[str, Any] = {"policy": {}, "train": {"data": [str(tmp_path / "data")]}, "trained_on": known}
    made = policy_folder(tmp_path / "policy", **said)
    checkpoints.write_contracts(made, ACTION, OBSERVATION)
    return made


def test_data_is_found_where_the_training_found_it_and_other_data_are_refused(folder: Path, tmp_path: Path) -> None:
    facts = bundle_facts(folder)
    assert set(facts.cameras) == {"front", "wrist"}
    assert facts.arm is not None
    assert facts.arm["robot"] == "panda"
    other = recorded(tmp_path / "other", name="another")
    with pytest.raises(ConfigError, match=r"--data .*other .* is not what .*policy was trained on: data \("):
        bundle_facts(folder, [other])
    (tmp_path / "data").rename(tmp_path / "moved")
    assert bundle_facts(folder).cameras == {}
    assert bundle_facts(folder, [tmp_path / "moved"]).cameras.keys() == {"front", "wrist"}
    with pytest.raises(ConfigError, match="robot ur5e has the joints shoulder_pan_joint"):
        bundle_facts(folder, robot="ur5e")


@pytest.mark.parametrize("robot", ["so101_follower", "ur5e"])
def test_a_robot_that_is_not_ours_or_has_other_joints_is_not_told(
    policy_folder: Callable[..., Path], tmp_path: Path, robot: str
) -> None:
    data = recorded(tmp_path / "data", robot=robot)
    known = [{"folder": "data", "content_hash": open_dataset(data).content_hash()}]
    made = policy_folder(tmp_path / "policy", train={"data": [str(data)]}, trained_on=known)
    checkpoints.write_contracts(made, ACTION, OBSERVATION)
    facts = bundle_facts(made)
    assert facts.arm is None
    assert facts.cameras.keys() == {"front", "wrist"}


def test_a_policy_that_no_dataset_made_has_none(policy_folder: Callable[..., Path], tmp_path: Path) -> None:
    """As `train-rl` says what it played with."""
    said = {"rl": {}, "trained_on": [{"object_sets": ["toys:train"], "object_ids": ["toy"]}]}
    made = policy_folder(tmp_path / "rl", **said)
    checkpoints.write_contracts(made, ACTION, OBSERVATION)
    assert bundle_facts(made).cameras == {}
    assert bundle_facts(made, robot="panda").arm is not None
    with pytest.raises(ConfigError, match="it names no dataset"):
        bundle_facts(made, [recorded(tmp_path / "data")])


def test_success_is_told_of_this_policy_only(folder: Path, tmp_path: Path) -> None:
    mine = {"policy": "mine", "object_set": "toys:test", "k": 3, "n": 4}
    other = mine | {"policy": "other"}
    results = tmp_path / "results.json"
    hashes = {"mine": policy_fingerprint(str(folder)), "other": "0" * 16}
    write_json(results, {"summaries": [mine, other], "manifest": {"policy_hash": hashes, "seed": 5}})
    assert measured_success(folder, results) == [mine | {"seed": 5}]
    write_json(results, {"summaries": [other], "manifest": {"policy_hash": {"other": "0" * 16}}})
    with pytest.raises(ConfigError, match="is of other, none of which is the policy in"):
        bundle_facts(folder, results=results)
    write_json(results, {"summaries": [mine], "manifest": {}})
    with pytest.raises(ConfigError, match="does not say by hash"):
        bundle_facts(folder, results=results)
    write_json(results, [])
    with pytest.raises(FileError, match="holds no summaries"):
        bundle_facts(folder, results=results)
