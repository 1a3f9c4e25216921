"""Recorded actions, executed again, do what they did."""

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, ContractError
from toyshift.data.collecting.collection import collect
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.replay import EXECUTED, replay
from toyshift.data.store.dataset import open_dataset


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    out = tmp_path_factory.mktemp("replay") / "d"
    collect(CollectConfig("toys:train?n=2", 2, out, workers=0, cameras=("front",), image_size=16), progress=False)
    return open_dataset(out)


def test_all_succeed_again_and_every_position_is_the_same(demos):
    result = replay(demos)
    assert (result["recorded"], result["again"], result["share"]) == (2, 2, 1.0)
    assert result["actions"] == EXECUTED
    assert result["max_drift"] < 1e-9


def test_what_was_executed_is_the_recorded_action_with_its_disturbance(demos):
    frames = demos.episode(0).frames
    difference = frames[EXECUTED] - frames["action"]
    assert np.abs(difference).max() > 1e-3  # disturbed
    assert (frames[EXECUTED] <= np.asarray(demos.action_contract.high, np.float32)).all()


def test_another_action_leads_elsewhere(demos, monkeypatch):
    """The drift is measured, not assumed: a pushed start does not end as recorded."""
    from toyshift.envs.tasks.grasp import GraspEnv

    advance = GraspEnv.advance
    monkeypatch.setattr(
        GraspEnv, "advance", lambda env, action: advance(env, action + np.array([0.01, 0, 0, 0, 0, 0, 0], np.float32))
    )
    assert replay(demos, [0])["max_drift"] > 0.01


def test_data_from_elsewhere_cannot_be_replayed(maker, tmp_path):
    with pytest.raises((ConfigError, ContractError), match="object set"):
        replay(open_dataset(maker.dataset(tmp_path / "d", range(2))))
