"""A policy folder is bound by hashes: configuration, contract and weights that were changed are refused by name."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toyshift.core.errors import FileError
from toyshift.core.files import content_hash, read_json, write_json
from toyshift.diagnostics.actors import policy_fingerprint
from toyshift.policies import checkpoints, export, load_policy, train
from toyshift.policies.act.loading import check_policy
from toyshift.scripts import cli

Make = Callable[..., Any]
BOUND = ("config.json", "contract.json", "ema.safetensors")  # the averaged weights act
REMEDY = "restore it from a copy, or delete the folder and train again"


def flip(path: Path, part: float) -> None:
    """Flips the lowest bit of the byte that lies so far into a file."""
    data = bytearray(path.read_bytes())
    data[min(len(data) - 1, round(part * len(data)))] ^= 1
    path.write_bytes(data)


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "policy"))


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("name", BOUND)
def test_a_flipped_byte_is_refused_by_all_that_open_a_policy(
    folder: Path, name: str, part: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip(folder / name, part)
    words = re.escape(f"{folder / name} is not the file that state.json describes")
    for opens in (load_policy, lambda path: export(path, tmp_path / "bundle"), check_policy):
        with pytest.raises(FileError, match=words) as error:
            opens(folder)
        assert str(error.value).endswith(REMEDY)
    assert not (tmp_path / "bundle").exists()
    capsys.readouterr()
    for command in (["evaluate", "--policy"], ["export"], ["serve", "--policy"]):
        out = [] if command[0] == "serve" else ["--out", str(tmp_path / "out")]
        assert cli.main([*command, str(folder), *out]) == 2
        told = capsys.readouterr().err
        assert str(folder / name) in told
        assert len(told.splitlines()) == 1


def test_a_flipped_byte_of_the_state_itself_is_refused_wherever_it_lies(folder: Path) -> None:
    whole = (folder / "state.json").read_bytes()
    for place in range(0, len(whole), 7):
        flip(folder / "state.json", place / len(whole))
        with contextlib.suppress(ValueError):
            if json.loads((folder / "state.json").read_bytes()) == json.loads(whole):
                continue  # the last digit of a fraction may tell nothing
        with pytest.raises(FileError, match=r"state\.json.*restore it"):
            checkpoints.read_state(folder)
        (folder / "state.json").write_bytes(whole)
    checkpoints.read_state(folder)


@pytest.mark.parametrize("name", BOUND)
def test_a_missing_file_is_named_with_what_helps(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(FileError, match=re.escape(f"{folder / name} is missing; {REMEDY}")):
        load_policy(folder)


def test_the_configuration_of_another_run_is_refused(folder: Path, save_untrained: Make, tmp_path: Path) -> None:
    shutil.copy(save_untrained(tmp_path / "other") / "config.json", folder / "config.json")
    with pytest.raises(FileError, match=r"config\.json is not the file"):
        load_policy(folder)


@pytest.mark.parametrize("name", ["config.json", "contract.json"])
def test_training_neither_goes_on_in_nor_begins_from_a_changed_folder(
    folder: Path, name: str, make_config: Make, make_source: Make, tmp_path: Path
) -> None:
    config = make_config(folder)
    assert train(config, make_source(config))["cached"]
    flip(folder / name, 0.5)
    with pytest.raises(FileError, match=rf"{name} is not the file"):
        train(config, make_source(config))
    tuned = make_config(tmp_path / "tuned", init_from=str(folder))
    with pytest.raises(FileError, match=rf"{name} is not the file"):
        train(tuned, make_source(tuned))
    assert not (tmp_path / "tuned" / "config.json").exists()


def test_a_description_changed_while_training_is_not_taken_for_the_run_s(
    make_config: Make, make_source: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = checkpoints.save_checkpoint

    def spoil(folder: Path, *arguments: Any) -> None:
        save(folder, *arguments)
        if arguments[0] == 2:
            flip(folder / "config.json", 0.5)

    monkeypatch.setattr(checkpoints, "save_checkpoint", spoil)
    config = make_config(tmp_path / "run", steps=4, checkpoint_minutes=1e-9, keep_steps=(3,))
    with pytest.raises(FileError, match=r"config\.json is not the file"):
        train(config, make_source(config))
    assert not checkpoints.kept_folder(tmp_path / "run", 3).exists()
    with pytest.raises(FileError, match=r"config\.json is not the file"):
        load_policy(tmp_path / "run")


def test_a_kept_step_is_bound_as_well(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path / "run", keep_steps=(2, 4), checkpoint_minutes=1e-9)
    train(config, make_source(config))
    for step in (2, 4):
        kept = checkpoints.kept_folder(tmp_path / "run", step)
        load_policy(kept)
        flip(kept / "contract.json", 0.5)
        with pytest.raises(FileError, match=r"contract\.json is not the file"):
            load_policy(kept)


def test_a_folder_of_before_opens_and_is_bound_when_its_state_is_written_again(
    folder: Path, of_before: Make, make_config: Make, make_source: Make
) -> None:
    of_before(folder)
    fingerprint = policy_fingerprint(str(folder))
    load_policy(folder)
    config = dataclasses.replace(make_config(folder), act="best")
    flip(folder / "ema.safetensors", 0.5)
    with pytest.raises(FileError, match=r"ema\.safetensors is not the file"):  # weights had hashes from the start
        load_policy(folder)
    flip(folder / "ema.safetensors", 0.5)
    train(config, make_source(config))  # chooses other weights
    assert "hash" in read_json(folder / "state.json")
    assert policy_fingerprint(str(folder)) != fingerprint
    flip(folder / "config.json", 0.5)
    with pytest.raises(FileError, match=r"config\.json is not the file"):
        load_policy(folder)


def test_a_fingerprint_depends_on_the_weights_that_act(
    folder: Path, make_config: Make, make_source: Make, tmp_path: Path
) -> None:
    def choose(folder: Path, act: str) -> str:
        config = dataclasses.replace(make_config(folder), act=act)
        train(config, make_source(config))
        return policy_fingerprint(str(folder))

    parts = [folder / name for name in ("config.json", "contract.json", "model.safetensors")]
    of_old = content_hash(*(part for path in parts for part in (path.name, path.read_bytes())))  # rows go by it
    assert policy_fingerprint(str(folder)) == of_old
    best = choose(folder, "best")
    assert best != of_old
    assert choose(folder, "last") == of_old
    assert choose(folder, "best") == best
    told = tmp_path / "told"  # trained to act by the best: its configuration says so
    assert choose(told, "best") != choose(told, "last")
    parts = [told / path.name for path in parts]
    of_old = content_hash(*(part for path in parts for part in (path.name, path.read_bytes())))
    assert choose(told, "best") == of_old


def test_files_that_stay_are_hashed_once_and_a_change_is_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed, real = [], checkpoints.file_hash
    monkeypatch.setattr(checkpoints, "file_hash", lambda path: (hashed.append(path.name), real(path))[1])
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))
    fingerprint = policy_fingerprint(str(folder))
    assert sorted(hashed) == sorted(BOUND)
    assert policy_fingerprint(str(folder)) == fingerprint
    assert len(hashed) == len(BOUND)
    flip(folder / "ema.safetensors", 0.5)
    with pytest.raises(FileError, match=r"ema\.safetensors is not the file"):
        policy_fingerprint(str(folder))
    flip(folder / "ema.safetensors", 0.5)
    count = len(hashed)
    assert policy_fingerprint(str(folder)) == policy_fingerprint(str(folder)) == fingerprint
    assert len(hashed) == count + 2 * len(BOUND)  # changed this very moment: not relied on


@pytest.mark.parametrize("lost", ["hash", "config.json"])
def test_half_of_what_binds_is_not_taken_for_a_folder_of_before(folder: Path, lost: str) -> None:
    state = read_json(folder / "state.json")
    del (state if lost == "hash" else state["files"])[lost]
    write_json(folder / "state.json", state)
    with pytest.raises(FileError, match=r"state\.json was changed"):
        load_policy(folder)
