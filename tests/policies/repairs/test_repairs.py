"""Repairs of training: the table, what is refused by name, and runs that resume to the bit with a repair on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from toyshift.core.errors import ConfigError, ContractError, FileError, UnknownNameError
from toyshift.policies import TrainConfig, load_policy, train
from toyshift.policies.checkpoints import REPAIR, STATE_FILE
from toyshift.policies.provenance import trained_on
from toyshift.policies.repairs import (
    TRAINING_REPAIRS,
    TrainingRepair,
    keys_of,
    kind_of,
    repairs_of,
    require_whole_batch,
)
from toyshift.policies.repairs.repair import RunRepair
from toyshift.policies.training.training_run import Run
from toyshift.scripts.cli import main as run_command

Make = Callable[..., Any]


class KilledError(Exception):
    """Stands for a kill."""


@pytest.fixture
def of(demos: Path, make_config: Make, tmp_path: Path) -> Callable[..., TrainConfig]:
    """Makes the configuration of a small run with a repair on `demos`."""

    def made(repair: str, name: str = "run", **kwargs: Any) -> TrainConfig:
        policy = {"pooling": "mean"} | kwargs.pop("policy", {})
        settings = {"data": (str(demos),), "validation": 0.25, "threads": 1} | kwargs
        config: TrainConfig = make_config(tmp_path / name, policy, repair=repair, **settings)
        return config

    return made


@pytest.mark.parametrize("row", TRAINING_REPAIRS, ids=lambda row: row.name)
def test_every_row_has_its_class(row: TrainingRepair) -> None:
    kind = kind_of(row)
    assert issubclass(kind, RunRepair)
    assert [r.name for r in TRAINING_REPAIRS].count(row.name) == 1
    needed = {key: "DIR" for key, value in keys_of(row).items() if value == "..."}
    assert kind(**needed).row is row
    assert set(kind.limits) <= set(keys_of(row))


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("hintt", r"unknown repair of training 'hintt'. Did you mean 'hint'\? Available: blind, .*winsor"),
        ("hint?off=place", r"unknown key of repair 'hint' 'off'. Did you mean 'of'\? Available: feed, of, .*weight"),
        ("hint?of=plce", r"unknown value of 'of' of repair 'hint' 'plce'. Did you mean 'place'\?"),
        ("sam?rho=much", r"repair 'sam': rho is 'much'; it must be a number"),
        ("sam?rho=nan", r"repair 'sam': rho is nan"),
        ("sam?rho=-1", r"repair 'sam': rho must be from 1e-06 to 10, got -1"),
        ("winsor?c=4", r"repair 'winsor': c must be from 1 to 3, got 4"),
        ("winsor?c=1.5", r"repair 'winsor': c is '1.5'; it must be a whole number"),
        ("divdis", r"repair 'divdis': it needs a dataset of the shifted kind; write \?unlabelled=DIR"),
        ("sam+rm3", r"'sam' and 'rm3' exclude each other: both make the gradients"),
        ("useful+dbat?unlabelled=x", r"exclude each other: both train another policy first; drop one"),
        ("divdis?unlabelled=x+dbat?unlabelled=x", r"exclude each other: both choose what acts; drop one"),
        ("hint+hint", r"'hint' and 'hint' are the same"),
        ("hint?proposals=1", r"repair 'hint': proposals is 1, which is feed=1"),
        ("hint?of=pixel&proposals=4", r"repair 'hint': proposals can be made of grasp, place, turn, and of is 'pixel'"),
        ("hint?feed=maybe", r"repair 'hint': feed is 'maybe'; it must be yes or no"),
        ("hint?feed=1+hint?of=turn&feed=1", r"feeds turn, and the head reads place already; feed one of them"),
        ("hint+", r"nothing on one side of a '\+'"),
        ("hint?of=place&of=turn", r"repeated key 'of'"),
        (" ", r"the repair is empty"),
    ],
)
def test_what_is_misspelt_is_named(spec: str, told: str, make_config: Make, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, UnknownNameError), match=told):
        make_config(tmp_path, repair=spec)


@pytest.mark.parametrize(
    ("repair", "settings", "told"),
    [
        ("m3", {"accumulate": 2}, "repair 'm3' needs the whole batch at once: .*--accumulate 2"),
        ("ivl", {"accumulate": 4}, "repair 'ivl' needs the whole batch at once"),
        ("winsor", {"batch_size": 4}, "repair 'winsor' cuts a batch into 8 parts, and batch_size is 4"),
        ("ivl", {"policy": {"head": "flow"}}, "repair 'ivl' needs residuals, which head flow has none of"),
        ("ivl", {"brightness": 0.0, "contrast": 0.0, "color": 0.0}, "repair 'ivl' needs parameters that vary"),
        ("useful", {"minutes": 1.0}, "repair 'useful' .* give --steps"),
        ("erase", {}, "repair 'erase' .* give --init-from"),
        ("blind+prototype", {}, "blind sees no image, and prototype shows another one"),
        ("hint", {"mirror": True}, "repair 'hint' .*mirror turns half of them"),
        ("divdis?unlabelled=x", {"act": "best"}, "repair 'divdis' .*drop --act best"),
        ("prototype?share=2", {}, "repair 'prototype': share must be from 0 to 1, got 2"),
    ],
)
def test_what_cannot_be_repaired_is_refused_by_name(
    repair: str, settings: dict[str, Any], told: str, of: Callable[..., TrainConfig]
) -> None:
    with pytest.raises(ConfigError, match=told):
        of(repair, **settings)


@pytest.mark.parametrize("row", [row for row in TRAINING_REPAIRS if row.whole], ids=lambda row: row.name)
def test_a_cut_batch_is_refused_by_name(row: TrainingRepair) -> None:
    needed = "&".join(f"{key}=x" for key, value in keys_of(row).items() if value == "...")
    repairs = repairs_of(f"sam?rho=0.1+{row.name}?{needed}" if row.name not in ("m3", "winsor", "latent") else row.name)
    require_whole_batch(repairs, accumulate=1, processes=1)
    for cut in ({"accumulate": 2, "processes": 1}, {"accumulate": 1, "processes": 2}):
        told = f"repair '{row.name}' needs the whole batch at once: .*(2 cuts|processes cut) it"
        with pytest.raises(ConfigError, match=told):
            require_whole_batch(repairs, **cut)
    require_whole_batch(repairs_of("rm3+hint+prototype"), accumulate=2, processes=2)


def test_data_without_what_a_repair_reads_are_named(
    of: Callable[..., TrainConfig], write: Callable[..., Path], tmp_path: Path
) -> None:
    bare = write(tmp_path / "bare", without=("grasp", "factors"))
    with pytest.raises(FileError, match=r"'hint\?of=turn' needs grasp of each episode, and .*bare notes none of ep"):
        train(of("hint?of=turn", "a", data=(str(bare),)))
    train(of("hint?of=place", "b", data=(str(bare),), steps=1))  # which is noted
    start = str(tmp_path / "b")
    with pytest.raises(FileError, match=r"'erase\?factor=table' needs that factor of every episode, and .*no look"):
        train(of("erase", "c", data=(str(bare),), init_from=start))
    with pytest.raises(FileError, match=r"missing|does not exist|not a"):
        train(of(f"divdis?unlabelled={tmp_path}/nowhere", "d"))


def test_without_a_repair_nothing_is_between_the_run_and_its_policy(
    of: Callable[..., TrainConfig], make_config: Make, make_source: Make
) -> None:
    config = of("")
    run = Run(config, make_source(config))
    assert run.network is run.trained is run.policy
    assert not run.repairs
    assert run._gradients is None
    assert run.config is config
    assert REPAIR not in run._files()


REPAIRED = (
    "rm3", "hint?proposals=2+rm3+prototype?share=0.5", "hint?of=pixel+sam", "ivl", "m3", "winsor", "useful", "blind",
    "divdis?unlabelled={others}", "dbat?unlabelled={others}",
)  # fmt: skip


@pytest.mark.parametrize("repair", REPAIRED)
def test_a_killed_run_ends_bit_equal(
    repair: str, of: Callable[..., TrainConfig], others: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = repair.format(others=others)
    whole = of(spec, "whole", steps=8, checkpoint_minutes=1e-9)
    train(whole)
    broken = dataclasses.replace(whole, out=str(tmp_path / "broken"))
    step = Run.train_step

    def killed(run: Run, *args: Any) -> float:
        if stops and run.step == stops[0] and run.folder.name == "broken":
            stops.pop(0)
            raise KilledError
        return step(run, *args)

    monkeypatch.setattr(Run, "train_step", killed)
    stops = [0, 1, 4]  # before the first checkpoint, where rm3 has one gradient, and where it has two
    while stops:
        with pytest.raises(KilledError):
            train(broken)
    assert train(broken)["finished"]
    names = sorted(path.name for path in (tmp_path / "whole").glob("*.safetensors"))
    assert "model.safetensors" in names
    for name in names:
        ours, theirs = load_file(str(tmp_path / "whole" / name)), load_file(str(tmp_path / "broken" / name))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[k], theirs[k]) for k in ours), name
    assert (REPAIR in names) == any(word in repair for word in ("rm3", "hint", "divdis", "dbat"))


def test_a_repaired_policy_acts_and_what_stood_beside_it_is_not_exported(
    of: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    train(of("hint+prototype"))
    policy = load_policy(tmp_path / "run").policy
    assert policy.config.prototype
    assert not [name for name, _ in policy.named_parameters() if "beside" in name]
    assert {k for k in load_file(str(tmp_path / "run" / REPAIR)) if k.startswith("beside.0")}
    with pytest.raises(ConfigError, match="repair: '' now, 'hint\\+prototype' there"):
        train(of(""))


def test_a_hint_that_is_fed_acts_and_belongs_to_the_policy(
    of: Callable[..., TrainConfig], make_config: Make, tmp_path: Path
) -> None:
    train(of("hint?feed=1", steps=1))
    assert not (tmp_path / "run" / REPAIR).exists()
    policy = load_policy(tmp_path / "run").policy
    assert (policy.config.hint, policy.config.proposals, policy.hint.size) == ("place", 0, 3)
    assert policy.head_reads == policy.hint.told.in_features + 3
    with pytest.raises(ConfigError, match=r"hint is 'place', and nothing trains it: `--repair hint\?feed=1` does"):
        train(of("", "bare", policy={"hint": "place"}))
    train(of("", "on", policy={"hint": "place"}, init_from=str(tmp_path / "run"), steps=1))
    with pytest.raises(ConfigError, match=r"proposals is 4, hint ''; there can be none, or several of grasp"):
        of("", policy={"proposals": 4})


def test_what_a_repair_looks_at_is_remembered_beside_the_training_data(
    of: Callable[..., TrainConfig], others: Path, tmp_path: Path
) -> None:
    train(of(f"divdis?unlabelled={others}", "both", steps=1))
    train(of("", "alone", steps=1))
    both, alone = (trained_on(tmp_path / name) for name in ("both", "alone"))
    assert both is not None
    assert alone is not None
    assert (len(both), len(alone)) == (2, 1)  # so that an evaluation says what was seen


def test_a_dataset_of_other_actions_is_refused_as_unlabelled(
    of: Callable[..., TrainConfig], store: Callable[..., Path], tmp_path: Path
) -> None:
    other = store(tmp_path / "foreign", 2, 4)
    with pytest.raises(ContractError, match="foreign"):
        train(of(f"divdis?unlabelled={other}"))


def test_the_command_lists_them_with_their_keys(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_command(["train", "--list-repairs"]) == 0
    said = capsys.readouterr().out
    assert all(row.name in said and row.does in said for row in TRAINING_REPAIRS)
    assert "keys: of=auto, weight=0.3, feed=no, proposals=0" in said
    assert "needs: --init-from POLICY\n" in said
    assert "needs: the whole batch in one pass of one process (no --accumulate)\n" in said
    assert not (tmp_path / STATE_FILE).exists()
    assert run_command(["train", "--data", "x", "--repair", "samm"]) == 2
    assert "Did you mean 'sam'?" in capsys.readouterr().err
    assert run_command(["train", "--data", "x", "--repair", "viewpoint"]) == 2
    assert capsys.readouterr().err.endswith("; changes of datasets: toyshift augment --list\n")
