"""Datasets of any format, of ours and of others, seen from outside: tasks, cameras, robot, first images."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ObservationContract
from toyshift.core.errors import FileError, ToyShiftError, UndefinedError, UnknownNameError
from toyshift.core.files import read_json, write_json
from toyshift.data.episode import Episode, write_episode
from toyshift.data.formats.convert import convert
from toyshift.data.formats.lerobot_folder import OURS
from toyshift.data.formats.outline import Outline, outline_of
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize


def of_others(folder: Path) -> Path:
    """Takes from a folder what tells that ToyShift made it; what is left is as LeRobot writes it."""
    for name in (*OURS, "meta/toyshift_footers"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    info = read_json(folder / "meta" / "info.json")
    write_json(folder / "meta" / "info.json", info | {"robot_type": "so100"})
    return folder


def firsts(outline: Outline, camera: str, numbers: list[int]) -> list[Any]:
    return [image.tolist() for image in outline.first_images(camera, numbers)]


def test_ours_tells_all_and_how_episodes_begin(maker: Any, tmp_path: Path) -> None:
    dataset = open_dataset(maker.dataset(tmp_path / "d"))
    outline = outline_of(tmp_path / "d")
    assert (outline.kind, outline.robot, outline.cameras) == ("ToyShift", "panda", ("front", "wrist"))
    assert outline.ours
    assert outline.states
    assert outline.metas == tuple(dataset.meta(i) for i in range(5))
    assert outline.identity == dataset.content_hash()
    begins = [dataset.episode(i).frames["observation.images.wrist"][0].tolist() for i in (0, 3, 4)]
    assert firsts(outline, "wrist", [0, 3, 4]) == begins


def test_lerobots_own_folders_are_read_without_their_actions(maker: Any, tmp_path: Path) -> None:
    maker.dataset(tmp_path / "d", range(7))
    begins = firsts(outline_of(tmp_path / "d"), "front", [1, 2, 6])
    outline = outline_of(of_others(tmp_path / "d"))
    assert (outline.kind, outline.robot, outline.cameras) == ("LeRobot v3", "so100", ("front", "wrist"))
    assert not outline.ours
    assert not outline.states
    assert [meta["task"] for meta in outline.metas] == [f"lift {i % 2}" for i in range(7)]
    assert firsts(outline, "front", [1, 2, 6]) == begins


def test_lerobots_videos_are_cut_at_the_right_frame(maker: Any, tmp_path: Path) -> None:
    shades = (30, 120, 220)
    for i, shade in enumerate(shades):
        frames = dict(maker.episode(i).frames)
        grown = np.full((len(frames["action"]), 24, 176, 3), shade, np.uint8)
        grown[1:] = 255 - shade  # only the first frame has it
        write_episode(tmp_path / "d", Episode(i, frames | {"observation.images.front": grown}, {"task": "lift"}))
    cameras = (("front", (24, 176)), ("wrist", (8, 12)))
    finalize(tmp_path / "d", maker.actions, ObservationContract(cameras, maker.observations.state_names), {})
    assert list((tmp_path / "d" / "videos").rglob("*.mp4"))
    for outline in (outline_of(tmp_path / "d"), outline_of(of_others(tmp_path / "d"))):
        means = [image.mean() for image in outline.first_images("front", [0, 1, 2])]
        assert means == pytest.approx(shades, abs=3)


def test_what_is_damaged_is_named(maker: Any, tmp_path: Path) -> None:
    folder = of_others(maker.dataset(tmp_path / "d"))
    data = next((folder / "data").rglob("*.parquet"))
    data.write_bytes(data.read_bytes()[:-200])
    with pytest.raises(FileError, match=r"file-000\.parquet, episode 0: unreadable"):
        firsts(outline_of(folder), "front", [0])
    episodes = next((folder / "meta" / "episodes").rglob("*.parquet"))
    episodes.write_bytes(b"PAR1")
    with pytest.raises(FileError, match="is unreadable"):
        outline_of(folder)
    episodes.unlink()
    with pytest.raises(FileError, match="no file of episodes"):
        outline_of(folder)
    info = read_json(folder / "meta" / "info.json")
    write_json(folder / "meta" / "info.json", info | {"codebase_version": "v2.1"})
    with pytest.raises(FileError, match=r"'v2\.1' of the LeRobot layout; only v3\.0 is read"):
        outline_of(folder)
    with pytest.raises(FileError, match="does not exist"):
        outline_of(tmp_path / "nowhere")


def test_a_damaged_dataset_of_ours_does_not_pass_for_one_of_others(maker: Any, tmp_path: Path) -> None:
    maker.dataset(tmp_path / "d")
    (tmp_path / "d" / "meta" / "toyshift.json").unlink()
    with pytest.raises(ToyShiftError, match=r"no toyshift\.json"):
        outline_of(tmp_path / "d")


def test_robomimic_files_of_ours_and_of_others(maker: Any, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    file = tmp_path / "d.hdf5"
    rng = np.random.default_rng(0)
    for i in range(5):  # actions within the contract's bounds, which robomimic needs
        frames = dict(maker.episode(i).frames)
        frames["action"] = rng.uniform((-1, 0), (1, 1), (len(frames["action"]), 2)).astype(np.float32)
        write_episode(tmp_path / "e", Episode(i, frames, maker.episode(i).meta))
    finalize(tmp_path / "e", maker.actions, maker.observations, {})
    convert(tmp_path / "e", file, "robomimic")
    ours, same = outline_of(tmp_path / "e"), outline_of(file)
    assert same.metas == ours.metas
    assert (same.robot, same.cameras, same.ours) == ("panda", ours.cameras, False)
    assert firsts(same, "wrist", [0, 4]) == firsts(ours, "wrist", [0, 4])
    with h5py.File(file, "r+") as opened:
        del opened["data"].attrs["toyshift_contracts"]
        opened["data"].attrs["env_args"] = json.dumps({"env_name": "Lift"})
    others = outline_of(file)
    assert (others.kind, others.robot) == ("robomimic", "")
    assert others.metas == ({"task": "Lift"},) * 5
    assert others.identity != same.identity
    assert firsts(others, "front", [2]) == firsts(ours, "front", [2])
    with h5py.File(file, "r+") as opened:
        opened["data"].attrs["problem_info"] = json.dumps({"language_instruction": "pick up the bowl"})
    assert outline_of(file).metas[0] == {"task": "pick up the bowl"}
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(FileError, match="truncated or damaged"):
        outline_of(file)


def test_a_camera_is_found_or_refused_by_name(maker: Any, tmp_path: Path) -> None:
    outline = outline_of(maker.dataset(tmp_path / "d"))
    assert outline.camera() == "front"
    assert outline.camera("wrist") == "wrist"
    with pytest.raises(UnknownNameError, match="Did you mean 'front'"):
        outline.camera("fornt")
    blind = Outline(outline.path, "", (), "", (), "", outline.first_images)
    with pytest.raises(UndefinedError, match="no camera"):
        blind.camera("front")
    assert Outline(outline.path, "", (), "", ("top", "side"), "", outline.first_images).camera() == "top"
