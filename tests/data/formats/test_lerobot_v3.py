"""Any LeRobot v3 dataset is read without lerobot: one that LeRobot wrote, others by pyarrow, and damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from toyshift.core.contract import ActionContract
from toyshift.core.errors import ConfigError, ContractError, FileError, UnknownNameError
from toyshift.core.files import read_json, write_json
from toyshift.data import open_lerobot
from toyshift.data.formats.convert import convert
from toyshift.data.formats.exchange import ReadOptions
from toyshift.data.loading.loader import Windows
from toyshift.data.store.dataset import open_dataset
from toyshift.scripts.data.info import main
from toyshift.scripts.data.options import DatasetConfig

HIGH, IMAGE = "observation.images.cam_high", "observation.image"


def test_what_lerobot_wrote_is_read_as_it_was_given(v3: Any, tmp_path: Path) -> None:
    """The values are those that tests/interop/lerobot_writes.py gave LeRobot."""
    folder = open_lerobot(v3.pick(tmp_path / "d"))
    assert folder.lengths == (8, 9, 10, 11)
    assert (folder.fps, folder.robot) == (15.0, "so101_follower")
    assert folder.cameras == {"cam_high": HIGH, "image": IMAGE}
    assert folder.tasks == {0: "put the cube in the bin", 1: "stack the cups"}
    assert folder.features["action"].names == ("joint_0.pos", "joint_1.pos", "joint_2.pos", "gripper.pos")
    for i, episode in enumerate(folder):  # two data files, three video files, chunks of two
        rng = np.random.default_rng(i)
        state = (rng.normal(size=4) + np.cumsum(rng.normal(size=(8 + i, 4)) * 0.05, axis=0)).astype(np.float32)
        np.testing.assert_array_equal(episode.frames["observation.state"], state)
        np.testing.assert_array_equal(episode.frames["action"], np.concatenate([state[1:], state[-1:]]))
        assert (episode.frames["operator"] == i % 2).all()
        assert episode.meta == {"task": folder.tasks[i % 2]}
        for t in range(8 + i):
            assert (episode.frames[IMAGE][t] == 10 * t + i).all()  # PNG
            top = episode.frames[HIGH][t].astype(int)  # AV1: a bar that grows and darkens over the episode's grey
            assert abs(top[:, : 6 * t].mean() - (200 - 8 * t)) < 25 if t else True
            assert abs(top[:, 6 * t + 16 :].mean() - 40 * i) < 6
        np.testing.assert_array_equal(folder.first_image(i, HIGH), episode.frames[HIGH][0])
        np.testing.assert_array_equal(folder.first_image(i, IMAGE), episode.frames[IMAGE][0])


def test_files_of_one_row_group_and_noted_columns(v3: Any, tmp_path: Path) -> None:
    states = [v3.walk(i, 5 + i) for i in range(4)]
    folder = open_lerobot(v3.write(tmp_path / "d", states, noted={"light": ["dim", "bright", "dim", "bright"]}))
    for i in (2, 0, 3, 1):
        np.testing.assert_array_equal(folder.episode(i).frames["observation.state"], states[i])
        assert folder.meta(i) == {"task": "pick", "light": ("dim", "bright")[i % 2]}
    times = folder.columns(1, ["timestamp"])["timestamp"]
    np.testing.assert_allclose(times[:, 0], np.arange(6) / 15.0, rtol=1e-6)


def test_ours_are_read_as_well(maker: Any, tmp_path: Path) -> None:
    ours = open_dataset(maker.dataset(tmp_path / "d"))
    folder = open_lerobot(tmp_path / "d")
    assert tuple(folder.cameras) == ("front", "wrist")
    for i, episode in enumerate(ours):
        same = folder.episode(i, ["action", "observation.images.wrist", "sim.state", "next.done"])
        for key, values in same.frames.items():
            np.testing.assert_array_equal(values.reshape(episode.frames[key].shape), episode.frames[key])


def test_what_is_not_there_is_named_with_the_choices(v3: Any, tmp_path: Path) -> None:
    folder = open_lerobot(v3.pick(tmp_path / "d"))
    with pytest.raises(UnknownNameError, match="Did you mean 'action'"):
        folder.episode(0, ["actoin"])
    with pytest.raises(ConfigError, match=r"no episode 4; available: 0\.\.3"):
        folder.episode(4)


def test_version_2_is_named_with_how_to_convert_it(v3: Any, tmp_path: Path) -> None:
    info = v3.pick(tmp_path / "d") / "meta" / "info.json"
    write_json(info, read_json(info) | {"codebase_version": "v2.1"})
    with pytest.raises(FileError, match=r"'v2\.1'.*only v3\.0 is read.*convert_dataset_v21_to_v30"):
        open_lerobot(tmp_path / "d")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("meta/info.json", r"info\.json is not valid JSON"), ("meta/tasks.parquet", r"tasks\.parquet is unreadable"),
        ("meta/episodes/chunk-000/file-000.parquet", r"file-000\.parquet is unreadable"),
        ("data/chunk-000/file-000.parquet", r"chunk-000/file-000\.parquet, episode 0: unreadable"),
        (f"videos/{HIGH}/chunk-000/file-000.mp4", r"chunk-000/file-000\.mp4, episode 0: .*(unreadable|no frame)"),
    ],
)
def test_damage_names_the_file(v3: Any, tmp_path: Path, name: str, match: str) -> None:
    path = v3.pick(tmp_path / "d") / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(FileError, match=match):
        open_lerobot(tmp_path / "d").episode(0)


def test_a_video_whose_last_frame_is_cut_off(v3: Any, tmp_path: Path) -> None:
    path = v3.pick(tmp_path / "d") / f"videos/{HIGH}/chunk-000/file-000.mp4"  # its frames lie at its end
    path.write_bytes(path.read_bytes()[:-9])
    folder = open_lerobot(tmp_path / "d")
    with pytest.raises(FileError, match=r"chunk-000/file-000\.mp4, episode 1: unreadable .*cut off"):
        list(folder.images(1, HIGH))
    assert len(list(folder.images(0, HIGH))) == 8


def test_missing_files_and_other_rows_are_named(v3: Any, tmp_path: Path) -> None:
    folder = v3.pick(tmp_path / "d")
    (folder / f"videos/{HIGH}/chunk-001/file-000.mp4").unlink()
    (folder / "data/chunk-000/file-001.parquet").unlink()
    opened = open_lerobot(folder)
    with pytest.raises(FileError, match=r"chunk-001/file-000\.mp4, episode 3: the file is missing"):
        list(opened.images(3, HIGH))
    with pytest.raises(FileError, match=r"file-001\.parquet, episode 3: the file is missing"):
        opened.columns(3, ["action"])
    episodes = pq.read_table(folder / "data/chunk-000/file-000.parquet")["episode_index"].to_pylist()
    v3.rewrite(folder, "data/chunk-000/file-000.parquet", episode_index=[e if e != 1 else 7 for e in episodes])
    with pytest.raises(FileError, match="promises 9 frames there, and it holds 9 frames of episodes 7"):
        open_lerobot(folder).columns(1, ["action"])


def test_data_info_tells_what_it_holds(v3: Any, tmp_path: Path, capsys: Any) -> None:
    facts = main(DatasetConfig(data=v3.pick(tmp_path / "d")))
    assert facts["tasks"] == {"put the cube in the bin": 2, "stack the cups": 2}
    assert facts["cameras"] == {"cam_high": [64, 96], "image": [16, 20]}
    told = capsys.readouterr().out
    assert "4 episodes, 38 frames at 15 Hz" in told
    assert "feature   action: float32 (4,) joint_0.pos, joint_1.pos, joint_2.pos, gripper.pos" in told


@pytest.mark.parametrize("fps", [0, -1, "15", True, None])
def test_a_rate_that_cannot_be_is_refused(v3: Any, tmp_path: Path, fps: Any) -> None:
    with pytest.raises(FileError, match="fps is"):
        open_lerobot(v3.write(tmp_path / "d", [v3.walk(0)], info={"fps": fps}))


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        ("features", [1], "features is no object"), ("features", {"action": {}}, "'action' is damaged"),
        ("splits", "all", "splits is no object"), ("data_path", "data/{chunk}/file", "into which chunk_index"),
    ],
)
def test_an_entry_of_info_that_cannot_be_is_named(v3: Any, tmp_path: Path, key: str, value: Any, match: str) -> None:
    with pytest.raises(FileError, match=rf"info\.json.*{match}"):
        open_lerobot(v3.write(tmp_path / "d", [v3.walk(0)], info={key: value}))


def test_under_a_contract_it_becomes_one_of_ours(v3: Any, tmp_path: Path) -> None:
    folder = v3.pick(tmp_path / "d")
    with pytest.raises(ContractError, match=r"LeRobot's own.*guessing is refused.*--contract"):
        convert(folder, tmp_path / "ours", "lerobot")
    names = open_lerobot(folder).features["action"].names
    contract = ActionContract("joint_pos", names, ("rad",) * 3 + ("1",), (-9.0,) * 4, (9.0,) * 4, 15.0, names[:3])
    (tmp_path / "contract.json").write_text(json.dumps(contract.to_json()))
    options = ReadOptions(tmp_path / "contract.json")
    assert convert(folder, tmp_path / "ours", "lerobot", options)["episodes"] == 4
    ours, theirs = open_dataset(tmp_path / "ours"), open_lerobot(folder)
    assert ours.robot_type == "so101_follower"
    assert ours.observation_contract.cameras == (("cam_high", (64, 96)), ("image", (16, 20)))
    for i, episode in enumerate(ours):
        same = theirs.episode(i)
        np.testing.assert_array_equal(episode.frames["action"], same.frames["action"])
        np.testing.assert_array_equal(episode.frames[HIGH], same.frames[HIGH])
        np.testing.assert_array_equal(episode.frames["observation.images.image"], same.frames[IMAGE])
        assert episode.meta["task"] == same.meta["task"]
    assert Windows([tmp_path / "ours"], chunk=2).batch([0])["action"].shape == (1, 2, 4)
    write_json(tmp_path / "slow.json", contract.to_json() | {"control_hz": 30.0})
    with pytest.raises(ContractError, match="15 frames a second, the contract says 30 Hz"):
        convert(folder, tmp_path / "other", "lerobot", ReadOptions(tmp_path / "slow.json"))
