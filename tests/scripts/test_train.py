"""`toyshift train` from a file of settings: values, overrides, and what is wrong named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.policies.config import PolicyConfig
from toyshift.policies.training.config import TrainConfig
from toyshift.scripts.cli import main as cli
from toyshift.scripts.options import parse
from toyshift.scripts.train import Config, main


def parsed(*words: str) -> Config:
    config: Config = parse(main, words, "train")
    return config


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(
        "data: [a, b]\nlr: 1e-4\nmirror: true\nminutes: 5\nsteps: 7\npooling: mean\npolicy:\n  chunk: 16\n  cameras: "
        "[front]\n"
    )
    return path


def test_a_file_gives_values_and_the_command_line_goes_before_it(settings: Path) -> None:
    config = parsed("--config-file", str(settings), "--lr", "0.5", "--pooling", "cls", "--no-mirror").train
    expected = TrainConfig(
        data=("a", "b"), lr=0.5, minutes=5.0, steps=7, policy=PolicyConfig(pooling="cls", chunk=16, cameras=("front",))
    )
    assert config == expected
    assert isinstance(config.minutes, float)
    assert parsed(f"--config-file={settings}").train.lr == 1e-4
    assert parsed(f"--config-file={settings}").train.mirror


def test_the_configuration_of_a_trained_folder_is_accepted(tmp_path: Path) -> None:
    config = TrainConfig(
        data=("a",), weights=(2.0,), policy=PolicyConfig(encoder="vit-tiny", history=4, policy_net="transformer-tiny")
    )
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"train": config.to_json(), "policy": config.policy.to_json(), "manifest": {}}))
    assert parsed("--config-file", str(path)).train == config
    assert parsed("--config-file", str(path), "--data", "c").train.data == ("c",)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("data: [a]\nlearning_rate: 1", UnknownNameError, r"unknown setting in .*run.yaml 'learning_rate'"),
        ("data: [a]\npolicy: {poling: mean}", UnknownNameError, r"'poling'. Did you mean 'pooling'"),
        ("data: [a]\nsteps: many", ConfigError, r"steps is 'many'; it must be a whole number"),
        ("data: [a]\nsteps: true", ConfigError, r"steps is True; it must be a whole number"),
        ("data: [a]\nmirror: 1", ConfigError, r"mirror is 1; it must be true or false"),
        ("data: [a]\nlr: fast", ConfigError, r"lr is 'fast'; it must be a finite number"),
        ("data: [a]\nlr: -1", ConfigError, r"lr must be from 1e-12 to 1000, got -1"),
        ("data: [a]\npolicy: mean", ConfigError, r"policy is 'mean'"),
        ("data: [a", FileError, r"neither YAML nor JSON"),
        ("just words", FileError, r"holds no settings"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(text: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(error, match=message):
        parsed("--config-file", str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere\.json"):
        parsed("--config-file", str(tmp_path / "nowhere.json"))


def test_a_file_without_datasets_needs_them_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("steps: 3\n")
    assert parsed("--config-file", str(path), "--data", "here").train.data == ("here",)
    assert cli(["train", "--config-file", str(path)]) == 2
    assert "names none under data" in capsys.readouterr().err


def test_resume_wants_a_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["train", "--data", "here", "--out", str(tmp_path / "run"), "--resume"]) == 2
    assert "there is no checkpoint in" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
