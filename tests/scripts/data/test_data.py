"""toyshift data: the words print and return what the functions behind them find, and wrong options say so."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize
from toyshift.scripts.cli import main

ACTIONS = ActionContract("joint_pos", ("j0", "gripper"), ("rad", "1"), (-1.0, 0.0), (1.0, 1.0), 10.0, ("j0",))


def make(folder: Path, count: int = 3, *, hz: float = 10.0, spoil: int = -1, width: int = 12) -> Path:
    for i in range(count):
        rng = np.random.default_rng(i)
        masks = np.ones((10, 8, width), np.uint8) * (i != spoil)
        frames = {
            "observation.images.front": rng.integers(0, 256, (10, 8, width, 3), dtype=np.uint8),
            "masks.front": masks.astype(np.uint8),
            "observation.state": rng.normal(size=(10, 1)).astype(np.float32),
            "action": np.full((10, 2), 0.5, np.float32),
        }  # fmt: skip
        write_episode(folder, Episode(i, frames, {"task": "lift", "success": True, "object_id": f"toy-{i}"}))
    finalize(
        folder, ActionContract.from_json(ACTIONS.to_json() | {"control_hz": hz}),
        ObservationContract((("front", (8, width)),), ("q0",)), {}
    )
    return folder


def call(capsys: Any, *words: object) -> tuple[int, dict[str, Any]]:
    code = main([str(w) for w in words] + ["--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_info(tmp_path: Path, capsys: Any) -> None:
    code, facts = call(capsys, "data", "info", make(tmp_path / "d"))
    assert (code, facts["episodes"], facts["frames"], facts["cameras"]) == (0, 3, 30, {"front": [8, 12]})
    assert facts["content_hash"] == open_dataset(tmp_path / "d").content_hash()
    assert main(["data", "info", str(tmp_path / "d")]) == 0
    text = capsys.readouterr().out
    assert "3 episodes, 30 frames at 10 Hz" in text
    assert "joint_pos in robot_base" in text


def test_check_fails_and_repairs(tmp_path: Path, capsys: Any) -> None:
    make(tmp_path / "d", spoil=1)
    code, result = call(capsys, "data", "check", tmp_path / "d", "--repair", tmp_path / "clean")
    assert (code, result["ok"], result["bad"], result["kinds"]) == (1, False, [1], {"empty masks": 1})
    code, result = call(capsys, "data", "check", tmp_path / "clean")
    assert (code, result["ok"], result["episodes"]) == (0, True, 2)


def test_convert_there_and_back(tmp_path: Path, capsys: Any) -> None:
    make(tmp_path / "d")
    assert call(capsys, "data", "convert", tmp_path / "d", tmp_path / "d.hdf5", "--to", "robomimic")[1]["frames"] == 30
    code, result = call(capsys, "data", "convert", tmp_path / "d.hdf5", tmp_path / "back", "--to", "lerobot")
    assert code == 0
    assert result["content_hash"] == open_dataset(tmp_path / "d").content_hash()
    code, result = call(capsys, "data", "convert", tmp_path / "d", tmp_path / "x", "--to", "rosbag")
    assert code == 2
    assert "--to is 'rosbag'; it must be one of lerobot, rlds, robomimic" in result["error"]["message"]


def test_mix(tmp_path: Path, capsys: Any) -> None:
    a, b = make(tmp_path / "a"), make(tmp_path / "b", 1)
    code, result = call(capsys, "data", "mix", a, b, "--weights", "3", "1", "--out", tmp_path / "mix.json")
    assert code == 0
    assert [row["weight"] for row in result["datasets"]] == [0.75, 0.25]
    assert call(capsys, "data", "mix", a, b, "--merge", "--out", tmp_path / "both")[1]["episodes"] == 4
    slow = make(tmp_path / "slow", hz=5.0)
    for words, culprit in (
        ((a, slow, "--out", tmp_path / "m.json"), "control_hz: 10.0"),
        ((a, b, "--weights", "much", "little", "--out", tmp_path / "m.json"), "much little"),
        ((a, b, "--out", tmp_path / "folder"), "ends in .json"),
        ((a, b, "--merge", "--weights", "uniform", "--out", tmp_path / "m"), "leave --weights out"),
    ):
        code, result = call(capsys, "data", "mix", *words)
        assert code == 2
        assert culprit in result["error"]["message"]


def test_remix_trains_beside_the_mixture_file_and_comes_to_the_same_again(tmp_path: Path, capsys: Any) -> None:
    a, b = make(tmp_path / "a", width=16), make(tmp_path / "b", 2, width=16)
    words = ("data", "mix", a, b, "--weights", "remix", "--steps", 3, "--batch-size", 4, "--out", tmp_path / "mix.json")
    code, result = call(capsys, *words)
    weights = [row["weight"] for row in result["datasets"]]
    assert (code, result["kind"], sum(weights)) == (0, "remix", pytest.approx(1.0))
    assert (tmp_path / "mix.remix" / "reference" / "model.safetensors").exists()
    again = call(capsys, *words)[1]["datasets"]
    assert [row["weight"] for row in again] == pytest.approx(weights, rel=1e-3)
    code, result = call(capsys, "data", "mix", a, "--weights", "remix", "--out", tmp_path / "one.json")
    assert code == 2
    assert "at least two datasets" in result["error"]["message"]


def test_view_says_what_is_wrong_with_an_episode(tmp_path: Path, capsys: Any) -> None:
    make(tmp_path / "d", spoil=2)
    code, result = call(capsys, "data", "view", tmp_path / "d", "--out", tmp_path / "v.html", "--episodes", "2")
    assert (code, result["episodes"]) == (0, [0, 2])
    assert "ever shows the target" in (tmp_path / "v.html").read_text()


@pytest.mark.parametrize("word", ["info", "check", "replay"])
def test_an_empty_folder_is_no_dataset(word: str, tmp_path: Path, capsys: Any) -> None:
    code, result = call(capsys, "data", word, tmp_path)
    assert code == 2
    assert "is no dataset" in result["error"]["message"]
