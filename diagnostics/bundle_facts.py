"""What an exported bundle tells beside its network: the arm, the cameras, the data, and measured success.

The room of policies knows no simulator; what is read of robots, datasets and result files is put together here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.contract import STATE, ObservationContract, image_key
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import read_json
from toyshift.data.store.dataset import Dataset, open_dataset
from toyshift.diagnostics.actors import policy_fingerprint
from toyshift.diagnostics.evaluation import POLICY_HASH
from toyshift.envs.config import EnvConfig
from toyshift.envs.robots import ROBOTS, Robot, get_robot
from toyshift.envs.scene.build import build_scene
from toyshift.policies import checkpoints
from toyshift.policies.act.bundle_facts import BundleFacts
from toyshift.policies.provenance import trained_on
from toyshift.policies.runtime.arm_chain import PROBED, ArmChain, ChainJoint
from toyshift.policies.runtime.framing import QUANTILES, looks_table
from toyshift.policies.runtime.turns import matrix_to_rotvec

EPISODES = 64  # of each dataset that are looked at, evenly
PROBE_STEP = 0.1  # from home, of every joint [rad or m]: no joint stands where a wrong axis would not show
MODEL_LIMITS = "the simulation's model"
HAND_ENTRIES = tuple(f"eef.{name}" for name in ("x", "y", "z", "r11", "r21", "r31", "r12", "r22", "r32"))


def arm_of(robot: str) -> ArmChain:
    """Returns the serial chain of one of the robots, read from its compiled model."""
    known = get_robot(robot)
    scene = build_scene(EnvConfig(robot=known.name, cameras=()))
    model, data = scene.model, mujoco.MjData(scene.model)
    data.qpos[scene.arm.qpos] = 0.0
    mujoco.mj_kinematics(model, data)
    joints, before = [], np.zeros(3)
    for i, name in enumerate(known.joints):
        index = model.joint(name).id
        hinge = model.jnt_type[index] == mujoco.mjtJoint.mjJNT_HINGE
        anchor, axis = data.xanchor[index].copy(), data.xaxis[index].copy()
        low, high = map(float, model.jnt_range[index])
        velocity, acceleration = (side[i] if side else None for side in (known.velocity, known.acceleration))
        kind, offset = "hinge" if hinge else "slide", anchor - before
        joints.append(ChainJoint(name, kind, _triple(axis), _triple(offset), low, high, velocity, acceleration))
        before = anchor
    x, y, z = map(_triple, data.site_xmat[scene.arm.site].reshape(3, 3))
    hand = _triple(data.site_xpos[scene.arm.site] - before)
    data.qpos[scene.arm.qpos] = probe = np.asarray(known.home) + PROBE_STEP
    mujoco.mj_kinematics(model, data)
    point = data.site_xpos[scene.arm.site] + data.site_xmat[scene.arm.site].reshape(3, 3) @ PROBED
    return ArmChain(
        known.name, tuple(joints), tuple(known.home), known.gripper.site, hand, (x, y, z), known.gripper.opening,
        known.gripper.speed, _sources(known), tuple(probe.tolist()), _triple(point),
        known.gripper.tip_offset,
    )  # fmt: skip


def _triple(values: Array) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def _sources(robot: Robot) -> dict[str, str]:
    file = robot.file if "<" not in robot.file else "made here"
    told = {"velocity": robot.velocity, "acceleration": robot.acceleration}
    nobody = "not looked up; ask the manufacturer"
    position = f"{MODEL_LIMITS} ({file})"
    return {"position": position} | {name: robot.limits_source if known else nobody for name, known in told.items()}


def bundle_facts(
    folder: Path, data: Sequence[Path] = (), robot: str = "", results: Path | None = None,
    sentences: Sequence[str] = (),
) -> BundleFacts:
    """Gathers what the bundle of a trained folder can tell.

    Args:
        folder: written by `train`.
        data: the datasets that it was trained on; none takes those that lie where the training found them.
        robot: name of the robot; "" takes that of the datasets.
        results: `results.json` of an evaluation of this policy.
        sentences: instructions whose embeddings the bundle shall hold.

    Raises:
        ConfigError: datasets or results of another policy, or a robot with other joints.
    """
    action, observation = checkpoints.read_contracts(folder)
    datasets = training_data(folder, data)
    # a dataset's word for its robot may be anybody's: it counts where it is one of ours with the policy's joints
    ours = [dataset.robot_type for dataset in datasets if dataset.robot_type in ROBOTS]
    arm = arm_of(name) if (name := robot or next(iter(ours), "")) else None
    if arm is not None and (names := tuple(joint.name for joint in arm.joints)) != action.joint_names:
        if robot:
            told = f"--robot {robot} has the joints {', '.join(names)}"
            raise ConfigError(f"{told}; the policy's are {', '.join(action.joint_names)}")
        arm = None
    cameras, pictures = camera_facts(datasets, observation) if datasets else ({}, {})
    success = measured_success(folder, results) if results is not None else []
    chain = None if arm is None else arm.to_json()
    return BundleFacts(chain, cameras, pictures, success, tuple(dict.fromkeys(sentences)))


def training_data(folder: Path, given: Sequence[Path] = ()) -> list[Dataset]:
    """Opens the datasets that a policy was trained on: those that are given, or what lies where the training found it.

    Raises:
        ConfigError: one was not trained on, or nobody knows.
    """
    known = [entry for entry in trained_on(folder) or () if "content_hash" in entry]
    hashes = {entry["content_hash"]: entry["folder"] for entry in known}
    if given:
        opened = [open_dataset(path) for path in given]
        for dataset in opened:
            if dataset.content_hash() not in hashes:
                those = ", ".join(f"{name} ({key})" for key, name in hashes.items()) or "it names no dataset"
                told = f"--data {dataset.folder} ({dataset.content_hash()}) is not what {folder} was trained on"
                raise ConfigError(f"{told}: {those}")
        return opened
    settings = read_json(folder / checkpoints.CONFIG_FILE).get("train", {})
    there = [Path(path) for path in settings.get("data", ()) if (Path(path) / "meta" / "info.json").is_file()]
    return [dataset for dataset in map(open_dataset, there) if dataset.content_hash() in hashes]


def camera_facts(
    datasets: Sequence[Dataset], observation: ObservationContract
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what is known of every camera, and an image of each: where it stood, how it images, what images are like.

    The pose is told in the frame in which it moves less, the base's or the hand's: a wrist camera's is the hand's.
    """
    facts: dict[str, Any] = {}
    pictures: dict[str, Any] = {}
    for camera, size in observation.cameras:
        key, columns = image_key(camera), [f"camera.{camera}.{kind}" for kind in ("extrinsics", "intrinsics")]
        images, poses, lenses, hands = [], [], [], []
        for dataset in datasets:
            there = [column for column in columns if column in dataset.columns]
            for i in np.unique(np.linspace(0, dataset.num_episodes - 1, EPISODES).astype(int)):
                frames = dataset.episode(int(i), [key, STATE, *there]).frames
                chosen = sorted({0, len(frames[key]) // 2, len(frames[key]) - 1})
                images += [frames[key][t] for t in chosen]
                if len(there) == len(columns):
                    poses += [frames[columns[0]][t].astype(np.float64) for t in chosen]
                    lenses += [frames[columns[1]][t].astype(np.float64) for t in chosen]
                    hands += [frames[STATE][t].astype(np.float64) for t in chosen]
        pictures[camera] = images[0]
        facts[camera] = {"size": list(size), "images_seen": len(images), "quantiles": list(QUANTILES)}
        facts[camera]["looks"] = looks_table(images)
        if poses:
            facts[camera] |= _lens(np.array(lenses)) | _pose(np.array(poses), np.array(hands), observation.state_names)
    return facts, pictures


def _lens(matrices: Array) -> dict[str, Any]:
    return {"intrinsics": matrices.mean(0).tolist(), "intrinsics_std": matrices.std(0).tolist()}


def _pose(extrinsics: Array, states: Array, names: Sequence[str]) -> dict[str, Any]:
    """Returns the mean pose of a camera and its spread; extrinsics (n, 4, 4) lead from the base frame to the camera's.
    """
    rotations = extrinsics[:, :3, :3].transpose(0, 2, 1)  # camera to base
    positions = -np.einsum("nij,nj->ni", rotations, extrinsics[:, :3, 3])
    found = [("robot_base", positions, rotations)]
    if set(HAND_ENTRIES) <= set(names):
        hand = states[:, [names.index(entry) for entry in HAND_ENTRIES]]
        first, second = hand[:, 3:6], hand[:, 6:9]
        to_base = np.stack([first, second, np.cross(first, second)], axis=2)
        there = np.einsum("nji,nj->ni", to_base, positions - hand[:, :3])
        found.append(("hand", there, np.einsum("nji,njk->nik", to_base, rotations)))
    frame, positions, rotations = min(found, key=lambda one: float(one[1].std(0).sum()))
    u, _, v = np.linalg.svd(rotations.mean(0))
    mean = u @ np.diag([1.0, 1.0, np.linalg.det(u @ v)]) @ v
    middle = positions.mean(0)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = mean.T, -mean.T @ middle
    turns = np.degrees([matrix_to_rotvec(mean.T @ rotation) for rotation in rotations])
    return {
        "frame": frame, "extrinsics": matrix.tolist(), "position": middle.tolist(),
        "position_std": positions.std(0).tolist(),
        "position_range": [positions.min(0).tolist(), positions.max(0).tolist()],
        "turn_std_deg": float(np.sqrt((turns**2).sum(1).mean())),
        "turn_max_deg": float(np.sqrt((turns**2).sum(1).max())),
    }  # fmt: skip


def measured_success(folder: Path, results: Path) -> list[dict[str, Any]]:
    """Returns the summaries of a policy in an evaluation's results.json.

    Raises:
        FileError: no such file.
        ConfigError: it is of other policies, or does not say of which.
    """
    value = read_json(results)
    whole = isinstance(value, dict) and isinstance(value.get("summaries"), list)
    if not whole:
        raise FileError(f"{results} holds no summaries; give results.json of `toyshift evaluate`")
    hashes: Mapping[str, str] = value.get("manifest", {}).get(POLICY_HASH, {})
    if not hashes:
        raise ConfigError(f"--results {results} does not say by hash of which policies it is; evaluate again")
    mine = policy_fingerprint(str(folder))
    names = [name for name, found in hashes.items() if found == mine]
    if not names:
        raise ConfigError(f"--results {results} is of {', '.join(hashes)}, none of which is the policy in {folder}")
    seed = value["manifest"].get("seed")
    return [{**one, "seed": seed} for one in value["summaries"] if one["policy"] in names]
