"""Training on a stored dataset: the loader of data/ fits what training asks of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ACTION, STATE, image_key, mask_key
from toyshift.core.errors import ConfigError
from toyshift.data.episode import Episode, write_episode
from toyshift.data.lerobot import finalize
from toyshift.policies import load_policy, train
from toyshift.policies.source import Source, open_source

Make = Callable[..., Any]
EPISODES, LENGTH = 6, 7


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, fake_windows: Make) -> Path:
    folder = tmp_path_factory.mktemp("data") / "demos"
    windows = fake_windows(EPISODES * LENGTH)
    for i in range(EPISODES):
        rows = slice(i * LENGTH, (i + 1) * LENGTH)
        frames = {k: windows.data[k][rows, 0] for c in ("front", "wrist") for k in (image_key(c), mask_key(c))}
        frames |= {STATE: windows.data[STATE][rows, 0], ACTION: windows.data[ACTION][rows, 0]}
        write_episode(folder, Episode(i, frames, {"task": "grasp the toy", "success": True, "seed": 0, "object_id": "toy", "object_set": "toys:train"}))
    finalize(folder, windows.action_contract, windows.observation_contract, {})
    return folder


def test_batches_are_what_was_stored(dataset: Path, make_config: Make, tmp_path: Path) -> None:
    source = open_source(make_config(tmp_path, data=(str(dataset),), validation=0.34))
    assert len(source.windows) == (EPISODES - 2) * LENGTH
    batch = source.batch(source.indices(0))
    assert batch[image_key("front")].shape == (8, 1, 32, 32, 3)
    assert batch[ACTION].shape == (8, 4, 3)
    assert "task" not in batch
    assert np.array_equal(source.indices(5), open_source(make_config(tmp_path, data=(str(dataset),), validation=0.34)).indices(5))
    held_out = source.validation_batches(2)
    assert sum(len(b[STATE]) for b in held_out) == 2 * LENGTH
    trained_on = {tuple(s) for s in source.batch(np.arange(len(source.windows)))[STATE][:, 0].tolist()}
    assert not trained_on & {tuple(s) for b in held_out for s in b[STATE][:, 0].tolist()}


def test_a_stored_dataset_trains_and_acts(dataset: Path, make_config: Make, tmp_path: Path) -> None:
    summary = train(make_config(tmp_path / "run", data=(str(dataset), str(dataset)), weights=(1.0, 2.0), steps=3))
    assert summary["step"] == 3
    assert np.isfinite(summary["validation_loss"])
    assert load_policy(tmp_path / "run").action_contract.control_hz == 10.0


def test_minutes_become_steps_once(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    config = make_config(tmp_path / "run", minutes=0.01)
    summary = train(config, make_source(config))
    assert 1 <= summary["step"] < 600
    assert summary["step"] != config.steps
    assert train(config)["cached"]


def test_no_frames(make_config: Make, fake_windows: Make) -> None:
    windows = fake_windows(8)
    windows.data = {k: v[:0] for k, v in windows.data.items()}
    with pytest.raises(ConfigError, match="no frames"):
        Source(windows, None, 4, 0)
