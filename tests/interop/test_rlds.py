"""tensorflow_datasets reads what we write; we read what it writes in the encodings of Open X-Embodiment."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import ContractError, FileError
from toyshift.data.formats.convert import convert
from toyshift.data.formats.exchange import ReadOptions
from toyshift.data.formats.outline import outline_of
from toyshift.data.formats.rlds import oxe_mixture_stream
from toyshift.data.formats.rlds_write import oxe_action
from toyshift.data.store.dataset import open_dataset

tfds = pytest.importorskip("tensorflow_datasets")

F = tfds.features
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "oxe_stream.py"


def write_tfds(folder, name, steps, episodes):
    """Writes a TFDS folder as a builder would: features of a step, and lists of steps."""
    folder = folder / name / "1.0.0"
    folder.mkdir(parents=True)
    features = F.FeaturesDict({"steps": F.Dataset(steps), "episode_metadata": {"file_path": F.Text()}})
    identity = tfds.core.DatasetIdentity(
        name=name, version=tfds.core.Version("1.0.0"), data_dir=str(folder), module_name=""
    )
    writer = tfds.core.SequentialWriter(
        tfds.core.DatasetInfo(builder=identity, features=features), max_examples_per_shard=2, overwrite=False
    )
    writer.initialize_splits(["train"])
    writer.add_examples({"train": [{"steps": e, "episode_metadata": {"file_path": "x"}} for e in episodes]})
    writer.close_all()
    return folder.parent


def tensor(*shape):
    return F.Tensor(shape=shape, dtype=np.float32)


def picture():
    return F.Image(shape=(16, 24, 3), encoding_format="png")


def random_pictures(rng, length):
    return rng.integers(0, 256, (length, 16, 24, 3), dtype=np.uint8)


@pytest.fixture
def rt1(tmp_path):
    """RT-1: actions a dictionary, gripper relative and closing positive, instruction in the observation."""
    rng = np.random.default_rng(0)
    raw, episodes = [], []
    for length in (6, 9, 7):
        columns = {
            "image": random_pictures(rng, length), "pose": rng.normal(size=(length, 7)).astype(np.float32),
            "closed": rng.random((length, 1), np.float32)
        }
        columns |= {
            "move": rng.normal(size=(length, 3)).astype(np.float32),
            "turn": rng.normal(size=(length, 3)).astype(np.float32)
        }
        columns["close"] = np.zeros((length, 1), np.float32)
        columns["close"][2], columns["close"][4] = 1.0, -1.0
        raw.append(columns)
        episodes.append([
            {
                "observation": {
                    "image": columns["image"][t], "base_pose_tool_reached": columns["pose"][t],
                    "gripper_closed": columns["closed"][t], "natural_language_instruction": "pick coke can"
                },
                "action": {
                    "world_vector": columns["move"][t], "rotation_delta": columns["turn"][t],
                    "gripper_closedness_action": columns["close"][t]
                },
                "reward": float(t == length - 1),
            } for t in range(length)
        ])  # fmt: skip
    steps = {
        "observation": {
            "image": picture(), "base_pose_tool_reached": tensor(7), "gripper_closed": tensor(1),
            "natural_language_instruction": F.Text()
        },
        "action": {"world_vector": tensor(3), "rotation_delta": tensor(3), "gripper_closedness_action": tensor(1)},
        "reward": F.Scalar(dtype=np.float32),
    }  # fmt: skip
    return write_tfds(tmp_path, "fractal20220817_data", steps, episodes), raw


@pytest.fixture
def bridge(tmp_path):
    """Bridge: flat actions, continuous gripper, a first action of zeros, movement relabelled from the reached state."""
    rng = np.random.default_rng(1)
    raw, episodes = [], []
    for length in (8, 6):
        columns = {
            "image": random_pictures(rng, length), "state": rng.normal(size=(length, 7)).astype(np.float32),
            "action": rng.normal(size=(length, 7)).astype(np.float32)
        }
        columns["action"][0] = 0.0
        columns["action"][:, 6] = np.linspace(1.0, 0.0, length)
        raw.append(columns)
        episodes.append([
            {
                "observation": {
                    "image_0": columns["image"][t], "image_1": columns["image"][t], "state": columns["state"][t]
                },
                "action": columns["action"][t], "language_instruction": "put carrot on plate"
            }
            for t in range(length)
        ])  # fmt: skip
    steps = {
        "observation": {"image_0": picture(), "image_1": picture(), "state": tensor(7)}, "action": tensor(7),
        "language_instruction": F.Text()
    }
    return write_tfds(tmp_path, "bridge_orig", steps, episodes), raw


@pytest.fixture
def franka(tmp_path):
    """A Franka in joint space: changes of seven joints and a gripper."""
    rng = np.random.default_rng(2)
    raw = [
        {
            "image": random_pictures(rng, 5), "joint": rng.normal(size=(5, 7)).astype(np.float32),
            "grip": rng.random((5, 1), np.float32), "action": rng.normal(size=(5, 8)).astype(np.float32),
        } for _ in range(3)
    ]  # fmt: skip

    def step(c, t):
        observation = {"hand_image": c["image"][t], "joint_pos": c["joint"][t], "gripper": c["grip"][t]}
        return {"observation": observation, "action": c["action"][t], "language_instruction": "stack"}

    episodes = [[step(c, t) for t in range(5)] for c in raw]
    steps = {
        "observation": {"hand_image": picture(), "joint_pos": tensor(7), "gripper": tensor(1)}, "action": tensor(8),
        "language_instruction": F.Text()
    }
    return write_tfds(tmp_path, "berkeley_rpt_converted_externally_to_rlds", steps, episodes), raw


def test_tfds_returns_our_frames(demos, tmp_path):
    convert(demos, tmp_path / "ours", "rlds")
    builder = tfds.builder_from_directory(str(tmp_path / "ours" / "1.0.0"))
    episodes = list(builder.as_dataset(split="train"))
    ours = open_dataset(demos)
    assert len(episodes) == ours.num_episodes
    for theirs, episode in zip(episodes, ours, strict=True):
        steps = list(theirs["steps"].as_numpy_iterator())
        assert [bool(s["is_first"]) for s in steps] == [t == 0 for t in range(len(episode))]
        assert [bool(s["is_last"]) for s in steps] == [t == len(episode) - 1 for t in range(len(episode))]
        assert sum(s["reward"] for s in steps) == float(episode.meta["success"])
        action = oxe_action("eef_delta", episode.frames["action"])
        for t, step in enumerate(steps):
            np.testing.assert_array_equal(step["observation"]["image"], episode.frames["observation.images.front"][t])
            np.testing.assert_array_equal(
                step["observation"]["wrist_image"], episode.frames["observation.images.wrist"][t]
            )
            np.testing.assert_array_equal(step["observation"]["front_mask"][..., 0], episode.frames["masks.front"][t])
            np.testing.assert_array_equal(step["action"], action[t])
            assert step["language_instruction"].decode() == episode.meta["task"]


def test_it_is_found_by_name(demos, tmp_path):
    convert(demos, tmp_path / "toy_grasps", "rlds")
    assert tfds.builder("toy_grasps", data_dir=tmp_path).info.splits["train"].num_examples == 5


def test_nothing_is_lost_there_and_back(demos, tmp_path):
    convert(demos, tmp_path / "ours", "rlds")
    back = convert(tmp_path / "ours", tmp_path / "back", "lerobot")
    assert back["content_hash"] == open_dataset(demos).content_hash()
    # and through robomimic's file
    convert(tmp_path / "ours", tmp_path / "x.hdf5", "robomimic")
    again = convert(tmp_path / "x.hdf5", tmp_path / "again", "lerobot")
    assert again["content_hash"] == back["content_hash"]


def test_rt1(rt1, tmp_path):
    folder, raw = rt1
    convert(folder, tmp_path / "rt1", "lerobot")
    dataset = open_dataset(tmp_path / "rt1")
    assert dataset.action_contract.control_hz == 3.0
    assert dataset.action_contract.frame == "as recorded in fractal20220817_data"
    for episode, columns in zip(dataset, raw, strict=True):
        np.testing.assert_array_equal(episode.frames["observation.images.primary"], columns["image"])
        np.testing.assert_array_equal(episode.frames["action"][:, :6], np.hstack([columns["move"], columns["turn"]]))
        # open until told to close at 2, open again from 4 on
        np.testing.assert_array_equal(episode.frames["action"][:, 6], [1, 1, 0, 0] + [1] * (len(episode) - 4))
        np.testing.assert_array_equal(
            episode.frames["observation.state"], np.hstack([columns["pose"], columns["closed"]])
        )
        assert episode.meta["task"] == "pick coke can"
        assert episode.meta["success"] is True


def test_bridge(bridge, tmp_path):
    folder, raw = bridge
    convert(folder, tmp_path / "bridge", "lerobot")
    for episode, columns in zip(open_dataset(tmp_path / "bridge"), raw, strict=True):
        assert len(episode) == len(columns["action"]) - 2  # the first action is empty, the last leads nowhere
        np.testing.assert_array_equal(episode.frames["observation.images.secondary"], columns["image"][1:-1])
        np.testing.assert_array_equal(episode.frames["action"][:, :6], np.diff(columns["state"][1:, :6], axis=0))
        assert set(np.unique(episode.frames["action"][:, 6])) <= {0.0, 1.0}
        np.testing.assert_array_equal(episode.frames["observation.state"][:, :6], columns["state"][1:-1, :6])
        np.testing.assert_array_equal(episode.frames["observation.state"][:, 6], 0.0)


def test_franka_joints(franka, tmp_path):
    folder, raw = franka
    convert(folder, tmp_path / "franka", "lerobot")
    dataset = open_dataset(tmp_path / "franka")
    assert dataset.action_contract.mode == "joint_delta"
    for episode, columns in zip(dataset, raw, strict=True):
        np.testing.assert_array_equal(episode.frames["action"], columns["action"])
        np.testing.assert_array_equal(
            episode.frames["observation.state"], np.hstack([columns["joint"], columns["grip"]])
        )
        np.testing.assert_array_equal(episode.frames["observation.images.wrist"], columns["image"])


def test_a_mixture_draws_each_dataset_in_its_share(rt1, bridge):
    folder = rt1[0].parent
    stream = oxe_mixture_stream(folder, {"fractal20220817_data": 3.0, "bridge_orig": 1.0}, seed=5)
    drawn = [name for name, _ in itertools.islice(stream, 200)]
    assert drawn.count("bridge_orig") == pytest.approx(50, abs=20)  # 3 standard deviations
    with pytest.raises(FileError, match="kuka"):
        next(oxe_mixture_stream(folder, {"kuka": 1.0}))


def test_another_dataset_under_that_name_is_refused(bridge):
    with pytest.raises(ContractError, match=r"base_pose_tool_reached|world_vector"):
        convert(bridge[0], bridge[0].parent / "x", "lerobot", ReadOptions(oxe="fractal20220817_data"))


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_record_is_named(rt1, tmp_path, damage):
    folder, _ = rt1
    file = sorted(folder.rglob("*.tfrecord*"))[-1]  # of two: the third episode is in it
    data = bytearray(file.read_bytes())
    if damage == "truncated":
        data = data[: len(data) // 2]
    else:
        data[len(data) // 2] ^= 8
    file.write_bytes(bytes(data))
    with pytest.raises(FileError, match=file.name):
        convert(folder, tmp_path / "out", "lerobot")
    result = convert(folder, tmp_path / "rest", "lerobot", skip_damaged=True)
    assert result["episodes"] == 2  # the other file's
    assert list(result["dropped"]) == ["2"]


def test_memory_of_the_stream_does_not_grow_with_the_dataset():
    command = [sys.executable, str(BENCHMARK), "--episodes", "10", "--times", "20", "--way", "mixture", "--json"]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    assert found["mixture"]["more_mb"] < 0.4 * found["decoded_mb"], found


def test_a_folder_that_nobody_knows_is_outlined(tmp_path):
    rng = np.random.default_rng(3)
    raw, still = [random_pictures(rng, 4 + i) for i in range(5)], np.zeros(7, np.float32)
    steps = {"observation": {"image": picture()}, "action": tensor(7), "language_instruction": F.Text()}
    folder = write_tfds(tmp_path, "nobody_knows", steps, [
        [
            {"observation": {"image": frame}, "action": still, "language_instruction": f"task {i % 2}"}
            for frame in frames
        ]
        for i, frames in enumerate(raw)
    ])
    outline = outline_of(folder)
    assert (outline.kind, outline.robot, outline.cameras, outline.ours) == ("RLDS", "", ("image",), False)
    assert [meta["task"] for meta in outline.metas] == [f"task {i % 2}" for i in range(5)]
    for found, i in zip(outline.first_images("image", [0, 2, 4]), (0, 2, 4), strict=True):
        np.testing.assert_array_equal(found, raw[i][0])


def test_what_we_wrote_is_outlined_as_it_was(demos, tmp_path):
    convert(demos, tmp_path / "rlds", "rlds")
    ours, same = outline_of(demos), outline_of(tmp_path / "rlds")
    assert same.metas == ours.metas
    assert (same.robot, same.cameras) == (ours.robot, ours.cameras)
    for camera in ours.cameras:
        for a, b in zip(same.first_images(camera, [1, 4]), ours.first_images(camera, [1, 4]), strict=True):
            np.testing.assert_array_equal(a, b)
