"""The alarm: false alarms as often as it was told, where episodes are like those it was fitted to; damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, ContractError, FileError
from toyshift.policies.safety import Alarm


def episodes(rng: np.random.Generator, count: int, shift: float = 0.0) -> list[np.ndarray]:
    """Features of episodes that have something of their own: not independent within one."""
    own = rng.normal(size=(count, 1, 6)) + 0.3 * rng.normal(size=(count, 5, 6))
    return list((own + shift).astype(np.float32))


def test_false_alarms_are_as_rare_as_was_asked_for() -> None:
    """Split conformal: over draws of held-out episodes, the rate of false alarms is at most the share, and near it."""
    rates = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        training = np.concatenate(episodes(rng, 40))
        alarm = Alarm.fit(training, episodes(rng, 39), share=0.1)
        rates.append(np.mean([max(map(alarm.score, one)) > alarm.threshold for one in episodes(rng, 40)]))
    assert np.mean(rates) == pytest.approx(0.1, abs=3 * 0.06 / np.sqrt(60) + 0.01)  # exact: 1 - 36/40


def test_what_is_elsewhere_sounds_and_the_training_does_not() -> None:
    rng = np.random.default_rng(0)
    training = np.concatenate(episodes(rng, 60))
    alarm = Alarm.fit(training, episodes(rng, 60))
    assert all(alarm.score(one) < 1e-3 for one in training[:50])
    assert all(alarm.sounds(alarm.score(one)) for one in np.concatenate(episodes(rng, 5, shift=6.0)))
    assert alarm.sounds(alarm.score(np.full(6, np.nan, np.float32)))
    moved = alarm.mean + alarm.std * 100.0
    assert alarm.score(moved) == pytest.approx(100.0, rel=0.05)  # standard deviations, root mean square


def test_a_feature_that_never_changed_takes_no_part() -> None:
    rng = np.random.default_rng(1)
    training = np.concatenate(episodes(rng, 30))
    training[:, 2] = 5.0
    held = [np.where(np.arange(6) == 2, 5.0, one).astype(np.float32) for one in episodes(rng, 30)]
    alarm = Alarm.fit(training, held)
    point = training[0].copy()
    point[2] = 1e6
    assert alarm.score(point) < 1e-3


def test_it_is_kept_in_a_file_of_its_own_bundle(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    alarm = Alarm.fit(np.concatenate(episodes(rng, 30)), episodes(rng, 30), bundle="abc")
    path = tmp_path / "alarm.npz"
    alarm.save(path)
    again, point = Alarm.load(path, "abc"), rng.normal(size=6)
    assert (again.threshold, again.share, again.episodes) == (alarm.threshold, 0.05, 30)
    assert again.score(point) == alarm.score(point)
    with pytest.raises(ConfigError, match="fitted to another network"):
        Alarm.load(path, "abd")
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileError, match=r"cannot read the alarm .* fit it again"):
        Alarm.load(path)


def test_what_it_cannot_be_fitted_to() -> None:
    rng = np.random.default_rng(3)
    training = np.concatenate(episodes(rng, 30))
    with pytest.raises(ConfigError, match=r"18 held-out episodes say nothing about 0\.05 of them; at least 19"):
        Alarm.fit(training, episodes(rng, 18))
    with pytest.raises(ConfigError, match="share is 0"):
        Alarm.fit(training, episodes(rng, 30), share=0.0)
    with pytest.raises(ConfigError, match="finite"):
        Alarm.fit(training * np.nan, episodes(rng, 30))
    with pytest.raises(ContractError, match="features of shape"):
        Alarm.fit(training, episodes(rng, 30)).score(np.zeros(5))
