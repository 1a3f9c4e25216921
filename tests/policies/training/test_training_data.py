"""Training on a stored dataset: the loader of data/ fits what training asks of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ACTION, STATE, image_key
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import read_json
from toyshift.policies import load_policy, train
from toyshift.policies.network.weights import load_network
from toyshift.policies.training.training_data import TrainingData, open_source

Make = Callable[..., Any]
EPISODES, LENGTH = 6, 7


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, store: Make) -> Path:
    folder: Path = store(tmp_path_factory.mktemp("data") / "demos", EPISODES, LENGTH)
    return folder


@pytest.fixture(scope="module")
def slower(tmp_path_factory: pytest.TempPathFactory, store: Make) -> Path:
    """The same demonstrations with half the motion, from another place."""
    folder: Path = store(tmp_path_factory.mktemp("data") / "slower", EPISODES, LENGTH, scale=0.5, offset=0.25)
    return folder


def test_batches_are_what_was_stored(dataset: Path, make_config: Make, tmp_path: Path) -> None:
    source = open_source(make_config(tmp_path, data=(str(dataset),), validation=0.34))
    assert len(source.windows) == (EPISODES - 2) * LENGTH
    batch = source.batch(source.indices(0))
    assert batch[image_key("front")].shape == (8, 1, 32, 32, 3)
    assert batch[ACTION].shape == (8, 4, 3)
    assert "task" not in batch
    assert np.array_equal(
        source.indices(5), open_source(make_config(tmp_path, data=(str(dataset),), validation=0.34)).indices(5)
    )
    held_out = source.validation_batches(2)
    assert sum(len(b[STATE]) for b in held_out) == 2 * LENGTH
    trained_on = {tuple(s) for s in source.batch(np.arange(len(source.windows)))[STATE][:, 0].tolist()}
    assert not trained_on & {tuple(s) for b in held_out for s in b[STATE][:, 0].tolist()}


def test_a_stored_dataset_trains_and_acts(dataset: Path, make_config: Make, tmp_path: Path) -> None:
    other = shutil.copytree(dataset, tmp_path / "other")
    summary = train(make_config(tmp_path / "run", data=(str(dataset), str(other)), weights=(1.0, 2.0), steps=3))
    assert summary["step"] == 3
    assert np.isfinite(summary["validation_loss"])
    assert load_policy(tmp_path / "run").action_contract.control_hz == 10.0


def test_minutes_become_steps_once(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path / "run", minutes=0.01)
    summary = train(config, make_source(config))
    assert summary["step"] == read_json(tmp_path / "run" / "plan.json")["steps"] >= 1
    assert train(config)["cached"]


def test_no_frames(make_config: Make, fake_windows: Make) -> None:
    windows = fake_windows(8)
    windows.data = {k: v[:0] for k, v in windows.data.items()}
    with pytest.raises(ConfigError, match="no frames"):
        TrainingData(windows, None, 4, 0)


@pytest.mark.parametrize("kind", ["normal", "bounds_q99"])
@pytest.mark.parametrize("act_as", ["demos", "slower"])
def test_datasets_look_like_the_one_that_the_policy_acts_as(
    dataset: Path, slower: Path, make_config: Make, tmp_path: Path, kind: str, act_as: str
) -> None:
    config = make_config(
        tmp_path, data=(str(dataset), str(slower)), validation=0.0, normalise=kind,
        act_as="" if act_as == "demos" else act_as,
    )
    source = open_source(config)
    half = len(source.windows) // 2
    first, second = source.batch(np.arange(half)), source.batch(np.arange(half, 2 * half))
    mine = (first, second)[act_as == "slower"]
    alone = open_source(
        make_config(tmp_path, data=(str(slower if act_as == "slower" else dataset),), validation=0.0)
    ).batch(np.arange(half))
    # an affine change of units disappears, and what is left are the chosen dataset's physical values
    for key in (STATE, ACTION):
        np.testing.assert_allclose(first[key], second[key], atol=2e-6)
        inside = np.isclose(mine[key], alone[key], atol=2e-6)
        assert inside.all() if kind == "normal" else inside.mean() > 0.9  # beyond the quantiles it is clipped
    assert np.array_equal(first[ACTION][..., 2], alone[ACTION][..., 2])
    stats = source.stats()
    if kind == "normal":
        np.testing.assert_allclose(stats[STATE]["mean"], alone[STATE][:, 0].mean(0), atol=1e-5)
        np.testing.assert_allclose(stats[STATE]["std"], alone[STATE][:, 0].std(0), rtol=1e-5)
    assert (stats[ACTION]["mean"][2], stats[ACTION]["std"][2]) == (0, 1)  # the gripper's command is not normalised


def test_the_normaliser_of_the_checkpoint_is_that_of_one_dataset(
    dataset: Path, slower: Path, make_config: Make, tmp_path: Path
) -> None:
    config = make_config(
        tmp_path / "run", data=(str(dataset), str(slower)), steps=3, normalise="normal", act_as="slower"
    )
    assert np.isfinite(train(config)["validation_loss"])
    network = load_network(tmp_path / "run")
    for key, normaliser in ((STATE, network.normalise_state), (ACTION, network.normalise_action)):
        np.testing.assert_array_equal(normaliser.mean.numpy(), open_source(config).stats()[key]["mean"])
    with pytest.raises(ConfigError, match="normalise"):
        train(make_config(tmp_path / "run", data=(str(dataset), str(slower)), steps=3))


def test_what_normalisation_by_dataset_excludes(dataset: Path, slower: Path, make_config: Make, tmp_path: Path) -> None:
    data = (str(dataset), str(slower))
    with pytest.raises(UnknownNameError, match=r"slow.*demos, slower"):
        open_source(make_config(tmp_path, data=data, normalise="normal", act_as="slow"))
    with pytest.raises(ConfigError, match="mirror"):
        open_source(make_config(tmp_path, data=data, normalise="normal", mirror=True))
    open_source(make_config(tmp_path, data=data[:1], normalise="normal", mirror=True))
    with pytest.raises(ConfigError, match="act_as"):
        make_config(tmp_path, data=data, act_as="demos")
    with pytest.raises(UnknownNameError, match="bounds_q99"):
        make_config(tmp_path, data=data, normalise="minmax")
