"""Prioritised replay of objects: what goes worst comes most often, and a resumed run draws as the whole one does."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.policies.rl.config import RlConfig
from toyshift.policies.rl.curriculum import replay_shares
from toyshift.scripts.train_rl import env_maker

THREE = "toys:train?n=3&seed=2"


@given(st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1), max_size=6))
def test_chances_add_up_and_leave_nothing_out(success: dict[str, float]) -> None:
    found = replay_shares("abcdef", success)
    assert found.sum() == pytest.approx(1.0)
    assert found.min() >= 1 / 12 - 1e-12
    known = sorted(success, key=lambda name: success[name])
    assert all(found["abcdef".index(a)] >= found["abcdef".index(b)] for a, b in itertools.pairwise(known))


def test_rounds_draw_what_the_evaluation_found_and_a_resumed_run_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("stable_baselines3")
    from toyshift.policies import checkpoints
    from toyshift.policies.rl import rounds

    monkeypatch.setattr(rounds, "STATISTICS_STEPS", 8)
    config = RlConfig(
        objects=THREE, curriculum="plr", out=str(tmp_path), envs=2, hidden=16, round_steps=48, steps=96, batch_size=16,
        evaluation_episodes=2, random_steps=16, device="cpu",
    )  # fmt: skip
    run = rounds.RlRun(config, env_maker(config), None)
    try:
        run.choose_objects()
        assert run.env.get_attr("object_shares")[0].tolist() == [1 / 3] * 3
        figures = rounds.evaluate_learner(run.learner, run.evaluation_env, 2, run.success)
        assert set(run.success) <= set(run.ids)
        assert figures["success"] == pytest.approx(np.mean([*run.success.values()]))  # two objects, or one twice
        run.success = dict(zip(run.ids, (1.0, 0.0, 1.0), strict=True))
        run.choose_objects()
        shares = run.env.get_attr("object_shares")
        assert all(np.array_equal(share, replay_shares(run.ids, run.success)) for share in shares)
        env: Any = run.env.venv.envs.envs[0]
        env.object_shares = np.array([0.0, 1.0, 0.0])
        told = [{"episode": e, "observe": False} for e in range(4)]
        assert {env.reset(seed=3, options=one)[1]["object_id"] for one in told} == {run.ids[1]}
        assert env.reset(seed=3, options={"object": run.ids[0]})[1]["object_id"] == run.ids[0]
        run.best_tensors = {k: v.clone() for k, v in run.network().state_dict().items()}
        checkpoints.write_contracts(tmp_path, run.action_contract, run.observation_contract)
        checkpoints.write_config(tmp_path, "rl", config, run.policy_config)
        run.save(finished=False)
    finally:
        run.close()
    again = rounds.RlRun(config, env_maker(config), checkpoints.read_state(tmp_path))
    try:
        again.choose_objects()
        assert again.success == run.success
        assert np.array_equal(again.env.get_attr("object_shares")[1], shares[1])
    finally:
        again.close()


def test_one_object_leaves_nothing_to_choose(tmp_path: Path) -> None:
    pytest.importorskip("stable_baselines3")
    from toyshift.policies.rl import rounds

    config = RlConfig(curriculum="plr", out=str(tmp_path), envs=1, evaluation_episodes=1)
    with pytest.raises(ConfigError, match=r"curriculum plr chooses among objects, and toys:train.* has one"):
        rounds.RlRun(config, env_maker(config), None)
    with pytest.raises(UnknownNameError, match=r"'pler'.*Did you mean 'plr'"):
        RlConfig(curriculum="pler")
