"""SAC's quick updates are Stable-Baselines3's, the expert's share of a batch is the expert's, and training may end early."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.policies.rl_config import RlConfig
from toyshift.scripts.train_rl import Config, Planners, env_maker, main

pytest.importorskip("stable_baselines3")
torch = pytest.importorskip("torch")

from stable_baselines3 import SAC  # noqa: E402  these need Stable-Baselines3
from stable_baselines3.common.logger import configure  # noqa: E402

from toyshift.policies import rl, rl_learner  # noqa: E402
from toyshift.policies.rl_sac import VectorSac  # noqa: E402

SMALL: dict[str, Any] = {"envs": 2, "hidden": 16, "round_steps": 48, "steps": 96, "evaluation_episodes": 2, "batch_size": 16, "random_steps": 16, "device": "cpu", "threads": 1}


def learner(config: RlConfig, steps: int = 40) -> Any:
    """Returns the learner of a run whose buffer holds random steps."""
    run = rl.RlRun(config, env_maker(config), None, Planners)
    try:
        run.env.seed(1)
        run.env.action_space.seed(1)
        seen = run.env.reset()
        for _ in range(steps):
            actions = np.stack([run.env.action_space.sample() for _ in range(config.envs)])
            then, rewards, dones, infos = run.env.step(actions)
            run.learner.replay_buffer.add(seen, then, actions, rewards, dones, infos)
            seen = then
    finally:
        run.close()
    run.learner.set_logger(configure(None, []))
    return run.learner


def test_quick_updates_are_those_of_stable_baselines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = RlConfig(**SMALL, out=str(tmp_path))
    ours = learner(config)
    monkeypatch.setattr(rl_learner, "VectorSac", SAC)
    theirs = learner(config)
    assert isinstance(ours, VectorSac)
    assert type(theirs) is SAC
    theirs.policy.load_state_dict(ours.policy.state_dict())
    for one in (ours, theirs):
        one.set_random_seed(7)
        for _ in range(12):
            one.train(1, 64)
    start = learner(config).policy.state_dict()
    for name, value in theirs.policy.state_dict().items():
        moved = float((value - start[name]).abs().max()) if value.numel() else 0.0
        assert torch.allclose(ours.policy.state_dict()[name], value, atol=1e-5 + 1e-2 * moved), name
    assert float((theirs.actor.mu.weight.detach() - start["actor.mu.weight"]).abs().max()) > 1e-3
    assert torch.allclose(ours.log_ent_coef, theirs.log_ent_coef, atol=1e-6)


def test_half_of_every_batch_is_the_experts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = learner(RlConfig(**SMALL, out=str(tmp_path), expert_steps=20, buffer=200))
    assert ours.expert_rows == 10
    drawn: list[Any] = []
    sample = ours.replay_buffer._get_samples
    monkeypatch.setattr(ours.replay_buffer, "_get_samples", lambda rows: drawn.append(rows) or sample(rows))
    ours.train(3, 64)
    rows = drawn[0].reshape(3, 64)
    assert (rows[:, :32] < 10).all()
    assert (rows[:, 32:] >= 10).any(axis=1).all()
    assert rows.max() < 50
    with pytest.raises(ConfigError, match="overwritten"):
        RlConfig(expert_steps=10, buffer=1000)
    with pytest.raises(ConfigError, match="expert_share"):
        RlConfig(expert_share=1.5)


def test_training_ends_after_two_good_evaluations_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    success = iter([0.5, 0.0, 0.5, 1.0, 0.0])
    monkeypatch.setattr(rl, "evaluate_learner", lambda *_: {"success": next(success), "return": 0.0, "length": 1.0})
    config = RlConfig(**{**SMALL, "round_steps": 16, "steps": 160}, out=str(tmp_path), stop_at=0.5, checkpoint_minutes=1e-9)
    save = rl.RlRun.save

    def dies(run: Any, finished: bool) -> None:
        save(run, finished)
        if run.round == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(rl.RlRun, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        main(Config(train=config))
    monkeypatch.setattr(rl.RlRun, "save", save)
    result = main(Config(train=config))  # which knows that the third was good
    assert (result["finished"], result["step"], result["success"]) == (True, 64, 1.0)
    assert [json.loads(line)["success"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [0.5, 0.0, 0.5, 1.0]
