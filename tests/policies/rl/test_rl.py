"""Reinforcement learning: what acts is what was learnt, a resumed run is the whole one, the folder like any other."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from toyshift.core.contract import MASK_SCALE
from toyshift.core.errors import ConfigError, ContractError, FileError, MissingDependencyError, UnknownNameError
from toyshift.diagnostics.actors import EnvSpec, open_actor
from toyshift.diagnostics.evaluation import EvaluateConfig, evaluate
from toyshift.policies import TrainConfig, export, load_policy, train, verify
from toyshift.policies.rl.config import RlConfig
from toyshift.scripts.train_rl import Config, ScriptedExperts, env_maker, main

pytest.importorskip("stable_baselines3")
torch = pytest.importorskip("torch")
safetensors = pytest.importorskip("safetensors.torch")

from toyshift.policies.rl import rounds as rl  # noqa: E402  these need Stable-Baselines3
from toyshift.policies.rl.learner import require_memory  # noqa: E402
from toyshift.policies.training.memory import MemoryShortError  # noqa: E402

SMALL: dict[str, Any] = {
    "envs": 2, "hidden": 16, "round_steps": 48, "steps": 96, "evaluation_episodes": 2, "batch_size": 16,
    "random_steps": 16, "device": "cpu", "threads": 1, "checkpoint_minutes": 1e-9,
}
PIXELS: dict[str, Any] = {
    "env": "toyshift/Grasp-v0", "cameras": ("front",), "image_size": 32, "width": 16, "hidden": 16
}


def small(out: Path, **changes: Any) -> RlConfig:
    return RlConfig(
        **{**SMALL, "out": str(out), **({"horizon": 24} if changes.get("algo") == "ppo" else {}), **changes}
    )


def watch(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Returns a list that gets the learner's state at the end of every round from now on."""
    play, ends = rl.RlRun.play_round, []

    def watched(run: Any, bar: Any) -> dict[str, Any]:
        row = play(run, bar)
        ends.append(rl.learner_state(run.learner))
        return row

    monkeypatch.setattr(rl.RlRun, "play_round", watched)
    return ends


@pytest.fixture(scope="module", params=["sac", "ppo"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run of two rounds, and its learner's state at the end."""
    folder = tmp_path_factory.mktemp("rl") / request.param
    with pytest.MonkeyPatch.context() as patch:
        ends = watch(patch)
        result = main(Config(train=small(folder, algo=request.param)))
    assert (result["step"], result["finished"], result["cached"]) == (96, True, False)
    assert len(ends) == 2
    return folder, ends[-1]


@pytest.fixture
def trained(whole: tuple[Path, dict[str, Any]]) -> Path:
    return whole[0]


def test_a_killed_run_goes_on_to_the_same_bits(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained, end = whole
    config = small(tmp_path / "run", algo=trained.name)
    play = rl.RlRun.play_round

    def dies(run: Any, bar: Any) -> dict[str, Any]:
        if run.round == 1:
            raise KeyboardInterrupt
        return play(run, bar)

    monkeypatch.setattr(rl.RlRun, "play_round", dies)
    with pytest.raises(KeyboardInterrupt):
        main(Config(train=config))
    with pytest.raises(FileError, match="half-trained"):
        load_policy(config.out)
    assert load_policy(config.out, unfinished=True).config.head == ("squashed" if trained.name == "sac" else "l1")
    monkeypatch.setattr(rl.RlRun, "play_round", play)
    ends = watch(monkeypatch)
    assert main(Config(train=config))["cached"] is False
    assert len(ends) == 1
    assert ends[0].keys() == end.keys()
    assert all(torch.equal(value, end[name]) for name, value in ends[0].items())
    assert (Path(config.out) / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    rows = [
        [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (Path(config.out), trained)
    ]
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in rows[0]] == [
        {k: v for k, v in row.items() if k != "seconds"} for row in rows[1]
    ]
    assert main(Config(train=config))["cached"] is True


@pytest.mark.parametrize("pixels", [False, True])
@pytest.mark.parametrize("algo", ["sac", "ppo"])
def test_the_acting_network_is_the_learners_mean(algo: str, pixels: bool, tmp_path: Path) -> None:
    config = small(tmp_path, algo=algo, **(PIXELS if pixels else {}))
    run = rl.RlRun(config, env_maker(config), None)
    try:
        run.env.seed(3)
        observations = run.env.reset()
        for _ in range(5):
            observations, *_ = run.env.step(np.stack([run.env.action_space.sample() for _ in range(2)]))
        unit, _ = run.learner.predict(observations, deterministic=True)
        network, contract = run.network(), run.action_contract
        from toyshift.policies.act.torch_policy import TorchPolicy

        policy = TorchPolicy("rl", network)
        for i in range(2):
            seen = (
                {"agent_pos": observations["agent_pos"][i]}
                if pixels
                else {"agent_pos": observations[i, :-12], "environment_state": observations[i, -12:]}
            )
            seen["pixels"] = {"front": observations["pixels_front"][i]} if pixels else {}
            seen["masks"] = {"front": observations["masks_front"][i, ..., 0] // MASK_SCALE} if pixels else {}
            action = policy.act(seen)
            assert action.shape == (1, contract.size)
            whole = contract.to_unit(action[0])
            np.testing.assert_allclose(whole[run.env.places], unit[i], atol=2e-5)
            others = [k for k in range(contract.size) if k not in run.env.places]
            np.testing.assert_allclose(action[0, others], 0.0, atol=1e-7)
    finally:
        run.close()


def test_the_buffer_holds_the_experts_episodes_and_no_return_runs_into_another(tmp_path: Path) -> None:
    run = rl.RlRun(small(tmp_path, expert_steps=120, buffer=400), env_maker(RlConfig()), None, ScriptedExperts)
    try:
        buffer = run.learner.replay_buffer
        assert buffer.pos == 60
        assert buffer.dones[:60].sum() >= 1  # lifted well before 100 steps
        assert not (buffer.dones * buffer.timeouts)[:60].any()
        assert buffer.rewards[:60].max() > -0.05
        rl.end_episodes(run.learner)
        samples = buffer._get_samples(np.full(32, 58), None)
        assert samples.discounts.numpy() == pytest.approx(run.config.gamma**2)  # of three steps only two are there
        with pytest.raises(ConfigError, match="expert_steps"):
            RlConfig(algo="ppo", expert_steps=10)
        with pytest.raises(ConfigError, match="overwritten"):
            RlConfig(expert_steps=10, buffer=1000)
    finally:
        run.close()


@pytest.mark.usefixtures("one_table_of_operators")
def test_bundle_and_evaluation_of_a_state_policy(trained: Path, tmp_path: Path) -> None:
    bundle = export(trained, tmp_path / "bundle")
    assert verify(bundle)["passed"]
    spec = EnvSpec()
    actor, env = open_actor(str(bundle), "toys:train?n=1", spec)
    env.reset(seed=0)
    ours = load_policy(trained).act(env.observe())
    np.testing.assert_allclose(actor.actions(env), ours, atol=1e-5)
    env.close()
    rows = evaluate(
        EvaluateConfig(str(trained), "toys:train?n=1", trials=2, max_steps=8), tmp_path / "rows.parquet", workers=0,
        progress=False,
    )
    assert [row.steps for row in rows] == [8, 8]
    with pytest.raises(ContractError, match=r"object\.dx"):
        open_actor(str(trained), "toys:train?n=1", EnvSpec({"environment_state": False}))
    with pytest.raises(ContractError, match="needs environment_state"):
        load_policy(trained).act({"agent_pos": np.zeros(21, np.float32)})


@pytest.mark.usefixtures("one_table_of_operators")
def test_a_policy_of_pixels_trains_and_exports(tmp_path: Path) -> None:
    main(Config(train=small(tmp_path / "run", algo="ppo", steps=48, **PIXELS)))
    policy = load_policy(tmp_path / "run")
    assert policy.needs_masks
    assert policy.observation_contract.environment_state_names == ()
    assert verify(export(tmp_path / "run", tmp_path / "bundle"))["passed"]


def test_bad_input(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="ppo, sac"):
        RlConfig(algo="sacc")
    with pytest.raises(UnknownNameError, match="toyshift/GraspState-v0"):
        env_maker(RlConfig(env="toyshift/GraspStat-v0"))
    with pytest.raises(UnknownNameError, match="action 'dw'"):
        main(Config(train=small(tmp_path / "a", controls=("dw",))))
    with pytest.raises(UnknownNameError, match="cost, dense, sparse"):
        main(Config(train=small(tmp_path / "a", reward="costs")))
    with pytest.raises(ConfigError, match="gamma"):
        RlConfig(gamma=1.5)
    with pytest.raises(ConfigError, match="lower batch_size"):
        RlConfig(algo="ppo", envs=2, horizon=8)
    with pytest.raises(ConfigError, match=r"hidden: 32 now, 16 there"):
        main(Config(train=small(trained, algo=trained.name, hidden=32)))
    with pytest.raises(ConfigError, match="not trained by `toyshift train`"):
        train(TrainConfig(data=("runs/demos",), out=str(trained)))
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="CUDA"):
            main(Config(train=small(tmp_path / "b", device="cuda")))
        assert not (tmp_path / "b").exists()
    with pytest.raises(MemoryShortError, match="lower --buffer to"):
        require_memory(10**9, spaces.Dict({"pixels_front": spaces.Box(0, 255, (3, 64, 64), np.uint8)}))
    require_memory(1000, spaces.Box(-1, 1, (33,), np.float32))
    torch.save({}, tmp_path / "policy.pt")
    with pytest.raises(FileError, match="pickled"):
        load_policy(tmp_path / "policy.pt")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="train-rl"):
        main(Config(train=small(tmp_path / "c")))
    monkeypatch.delitem(sys.modules, "toyshift.policies.rl.rounds")
    monkeypatch.setitem(sys.modules, "stable_baselines3.common.base_class", None)
    with pytest.raises(MissingDependencyError, match=r"toyshift\[rl\]"):
        main(Config(train=small(tmp_path / "d")))


def test_training_ends_after_two_good_evaluations_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    success = iter([0.5, 0.0, 0.5, 1.0, 0.0])
    monkeypatch.setattr(rl, "evaluate_learner", lambda *_: {"success": next(success), "return": 0.0, "length": 1.0})
    config = small(tmp_path, round_steps=16, steps=160, stop_at=0.5)
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
    assert [json.loads(line)["success"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [
        0.5, 0.0, 0.5, 1.0
    ]
