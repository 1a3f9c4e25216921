"""One vector on a few demonstrations: it is the least-squares one, nothing else changes, and it stops in time."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from toyshift.core.contract import ACTION, STATE
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import read_json
from toyshift.policies import checkpoints, load_policy, train
from toyshift.policies.act.bundle_format import input_table
from toyshift.policies.repairs.latent import folds, other_folds
from toyshift.policies.training.training_data import TrainingData

Make = Callable[..., Any]
KNOWN = ("lab-a", "lab-b", "lab-c")
EPISODES, LENGTH = 6, 8
LINEAR = {"blind": True, "instruction": "setup", "width": 8, "hidden": 64, "layers": 1, "gripper_gain": 0.0}


@pytest.fixture
def base(save_untrained: Make, tmp_path: Path) -> Any:
    """A blind policy whose actions are W x + B z, of the state x and the vector z of one of three setups."""
    folder = save_untrained(tmp_path / "base", policy=LINEAR | {"vocabulary": KNOWN})
    file = folder / "model.safetensors"
    weights, rng = load_file(str(file)), np.random.default_rng(0)
    first, last = sorted(name for name in weights if name.startswith("head.") and name.endswith("weight"))
    size = weights[first].shape[1]
    both = torch.cat([torch.eye(size), -torch.eye(size)])  # relu(x) - relu(-x) = x
    weights[first] = torch.zeros_like(weights[first])
    weights[first][: 2 * size] = both
    mix = torch.from_numpy(rng.normal(0, 0.5, (weights[last].shape[0], size)).astype(np.float32))
    weights[last] = torch.zeros_like(weights[last])
    weights[last][:, : 2 * size] = torch.cat([mix, -mix], dim=1)
    checkpoints.save_checkpoint(folder, 0, {checkpoints.MODEL: weights}, finished=True, extra={})
    return folder, mix[:, -8:]


def demos(fake_windows: Any, base: Path, z: np.ndarray | None) -> TrainingData:
    """Demonstrations of six episodes in a fourth setup: what it would do if it were told z.

    Without a z: what it does where it starts, and in each episode something of its own, which is 0 on average.
    """

    class Demos(fake_windows):
        names = ("lab-d",)

        def dataset_of(self, indices: np.ndarray) -> np.ndarray:
            return np.zeros(len(indices), np.int64)

        def batch(self, indices: np.ndarray) -> dict[str, Any]:
            more = {"dataset_name": ["lab-d"] * len(indices), "episode_index": np.asarray(indices) // LENGTH}
            return super().batch(indices) | more

    windows, policy = Demos(EPISODES * LENGTH, 4), load_policy(base).policy
    with torch.no_grad():
        words = policy.conditioning.words.weight
        words[0] = words.mean(dim=0) if z is None else torch.from_numpy(z)
        frames = {c: torch.zeros(EPISODES * LENGTH, 32, 32, 3, dtype=torch.uint8) for c in policy.cameras}
        state = torch.from_numpy(windows.data[STATE][:, 0])
        told = torch.zeros(EPISODES * LENGTH, dtype=torch.int64)
        windows.data[ACTION] = policy.predict(frames, {}, state, instruction=told).numpy()
    if z is None:
        own = np.random.default_rng(1).normal(0, 1, (EPISODES, 1, 3))
        windows.data[ACTION] += np.repeat(own - own.mean(axis=0), LENGTH, axis=0).astype(np.float32)
    return TrainingData(windows, None, 32, 0)


def config_of(make_config: Make, out: Path, base: Path, **kwargs: Any) -> Any:
    common = {"init_from": str(base), "repair": "latent?prior=0", "steps": 100, "lr": 0.05, "batch_size": 32,
              "log_every": 50}  # fmt: skip
    return make_config(out, LINEAR, **common | kwargs)


def test_the_vector_is_the_least_squares_one_and_all_else_stays(
    base: Any, make_config: Make, fake_windows: Any, tmp_path: Path
) -> None:
    folder, onto = base  # (K*A, C)
    z = np.random.default_rng(2).normal(0, 0.7, 8).astype(np.float32)
    train(config_of(make_config, tmp_path / "new", folder, steps=120), demos(fake_windows, folder, z))
    adapted = load_policy(tmp_path / "new").policy
    found = adapted.conditioning.latent.detach().numpy()
    assert np.linalg.matrix_rank(onto) == 8  # so that there is one answer
    assert np.abs(found - z).max() < 0.05
    facts = read_json(tmp_path / "new" / "latent.json")
    assert facts["episodes"] == EPISODES
    assert facts["loss_left_out"] < 0.02
    before, after = (load_file(str(path)) for path in (folder / "model.safetensors", tmp_path / "new/ema.safetensors"))
    changed = {name for name in after if name not in before or not torch.equal(before[name], after[name])}
    assert changed == {"conditioning.latent"}
    _told_nothing(tmp_path, adapted)


def _told_nothing(tmp_path: Path, adapted: Any) -> None:
    """Whatever is said, it acts on its vector; a bundle of it would ask for no instruction."""
    asked = input_table(adapted.observation_contract, adapted.config, adapted.action_contract, 1)
    assert list(asked) == ["state"]
    assert adapted.config.told == "none"
    seen = {"pixels": {c: np.zeros((32, 32, 3), np.uint8) for c in adapted.cameras}, "masks": {},
            "agent_pos": np.ones(3, np.float32)}  # fmt: skip
    acting = load_policy(tmp_path / "new")
    assert np.array_equal(acting.act(seen | {"task": "anything"}), acting.act(seen))


def test_what_the_vector_does_not_explain_leaves_it_where_it_started(
    base: Any, make_config: Make, fake_windows: Any, tmp_path: Path
) -> None:
    folder, _ = base
    train(config_of(make_config, tmp_path / "new", folder, steps=100), demos(fake_windows, folder, None))
    start = load_file(str(folder / "model.safetensors"))["conditioning.words.weight"].mean(dim=0)
    last = load_file(str(tmp_path / "new" / "ema.safetensors"))["conditioning.latent"]
    facts = read_json(tmp_path / "new" / "latent.json")
    assert facts["steps"] == 0  # those that go on miss what they were not shown
    assert torch.equal(last, start)


def test_a_killed_run_ends_bit_equal(
    base: Any, make_config: Make, fake_windows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toyshift.policies.training.training_run import Run

    folder, _ = base
    source = demos(fake_windows, folder, np.ones(8, np.float32))
    whole = config_of(make_config, tmp_path / "whole", folder, steps=12, checkpoint_minutes=1e-9)
    train(whole, source)
    step = Run.train_step

    def killed(run: Run, *args: Any) -> float:
        if run.step == 7 and stops:
            raise KeyError(stops.pop())
        return step(run, *args)

    stops = ["kill"]
    monkeypatch.setattr(Run, "train_step", killed)
    broken = dataclasses.replace(whole, out=str(tmp_path / "broken"))
    with pytest.raises(KeyError):
        train(broken, source)
    train(broken, source)
    for name in ("model.safetensors", "repair.safetensors", "ema.safetensors"):
        ours, theirs = (load_file(str(tmp_path / run / name)) for run in ("whole", "broken"))
        assert all(torch.equal(ours[k], theirs[k]) for k in ours), name


def test_no_fold_sees_its_own_episode() -> None:
    own = folds(np.array([[0, 3], [1, 3], [0, 3], [1, 5], [0, 9]]))
    assert own.tolist() == [0, 2, 0, 3, 1]
    many = np.repeat(np.arange(4), 500)
    others = other_folds(many, 4, np.random.default_rng(0))
    assert (others != many).all()
    assert np.bincount(others, minlength=4).min() > 400


def test_what_cannot_be_adapted_is_refused_by_name(
    base: Any, make_config: Make, fake_windows: Any, tmp_path: Path
) -> None:
    folder, _ = base
    with pytest.raises(ConfigError, match=r"repair 'latent' .*give --init-from"):
        config_of(make_config, tmp_path, folder, init_from="")
    for kind in ("none", "minilm"):
        with pytest.raises(ConfigError, match=f"instruction is {kind}; start from a policy .*setup"):
            make_config(tmp_path, {"instruction": kind}, init_from=str(folder), repair="latent")
    with pytest.raises(ConfigError, match="drop --act best"):
        config_of(make_config, tmp_path, folder, act="best")
    with pytest.raises(ConfigError, match=r"latent stands in the place of a table's rows: .* not none"):
        make_config(tmp_path, {"latent": True})
    source = demos(fake_windows, folder, np.ones(8, np.float32))
    source.windows.batch = lambda indices: type(source.windows).batch(source.windows, indices) | {
        "episode_index": np.asarray(indices) // 4
    }
    with pytest.raises(ConfigError, match=r"learns from 2 to 8 demonstrations, .* hold 12 to train on"):
        train(config_of(make_config, tmp_path / "many", folder), source)
    policy = load_policy(folder)
    assert policy.instructions(["lab-b"]).tolist() == [1]
    with pytest.raises(UnknownNameError, match="unknown setup 'lab-z'"):
        policy.instructions(["lab-z"])


def test_a_policy_is_told_whose_data_it_sees(store: Make, make_config: Make, tmp_path: Path) -> None:
    data = tuple(str(store(tmp_path / name, episodes=2, length=4)) for name in ("lab-a", "lab-b"))
    policy = {"blind": True, "instruction": "setup"}
    train(make_config(tmp_path / "told", policy, data=data, steps=1, validation=0.0))
    assert load_policy(tmp_path / "told").config.vocabulary == ("lab-a", "lab-b")
    new = str(store(tmp_path / "lab-c", episodes=3, length=4))
    common = {"data": (new,), "init_from": str(tmp_path / "told"), "validation": 0.0, "steps": 2}
    train(make_config(tmp_path / "new", policy, repair="latent", **common))
    assert load_policy(tmp_path / "new").instructions is None
    with pytest.raises(UnknownNameError, match="unknown setup 'lab-c'"):  # tuned without the repair
        train(make_config(tmp_path / "not", policy, **common))
