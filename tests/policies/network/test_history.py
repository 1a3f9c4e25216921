"""The transformer over the history: causality, the start of an episode, targets of every step, acting step by step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.core.contract import ACTION, ACTION_HISTORY, ACTION_IS_PAD, HISTORY_IS_PAD, STATE, image_key, mask_key
from toyshift.core.errors import ConfigError, ContractError
from toyshift.policies import Policy, PolicyConfig, export, load_policy, verify
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.network.history import HistoryTransformer
from toyshift.policies.network.policy import action_windows
from toyshift.policies.parts import TRANSFORMERS

Make = Callable[..., Any]
STEPS, FEATURES = 4, 10
NET: dict[str, Any] = {"policy_net": "transformer-tiny", "history": STEPS}
SMALL: dict[str, Any] = NET | {"width": 32, "stem": 16, "hidden": 32, "chunk": 4, "execute": 2}


@pytest.fixture(autouse=True)
def _shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSFORMERS, "transformer-tiny", (24, 2, 3))


@pytest.fixture
def net() -> HistoryTransformer:
    out = HistoryTransformer(FEATURES, PolicyConfig(**NET))
    with torch.no_grad():
        for parameter in out.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return out


def test_a_step_does_not_see_the_future(net: HistoryTransformer) -> None:
    x = torch.randn(2, STEPS, FEATURES)
    changed = x.clone()
    changed[:, 2:] += 1.0
    torch.testing.assert_close(net(changed)[:, :2], net(x)[:, :2])
    assert not torch.allclose(net(changed)[:, 2:], net(x)[:, 2:])
    early = x.clone()
    early[:, 0] += 1.0
    assert (net(early)[:, -1] - net(x)[:, -1]).abs().max() > 1e-4


def test_padding_in_training_is_a_short_history_in_acting(net: HistoryTransformer) -> None:
    x = torch.randn(2, STEPS, FEATURES)
    is_pad = torch.tensor([[True, True, False, False]]).repeat(2, 1)
    out = net(x, is_pad)
    assert torch.isfinite(out).all()
    torch.testing.assert_close(out[:, 2:], net(x[:, 2:]))
    torch.testing.assert_close(net(x, torch.zeros_like(is_pad)), net(x))


@pytest.mark.parametrize(("name", "millions"), [("tiny", 5.7), ("small", 22), ("base", 86), ("large", 307)])
def test_the_papers_sizes(name: str, millions: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with torch.device("meta"):
        out = HistoryTransformer(2 * 128 + 14, PolicyConfig(policy_net=f"transformer-{name}"))
    assert sum(p.numel() for p in out.parameters()) / 1e6 == pytest.approx(millions, rel=0.06)
    assert out.steps == 16


def window(frame: int, length: int, config: PolicyConfig) -> dict[str, torch.Tensor]:
    """The window of a frame of an episode whose action at step t is t, as the loader makes it."""
    stride, steps, chunk = config.execute, config.steps_seen, config.chunk
    before = np.arange(frame - (steps - 1) * stride, frame)
    after = np.arange(frame, frame + chunk)
    seen = frame + stride * np.arange(1 - steps, 1)
    arrays = {
        ACTION_HISTORY: np.maximum(before, 0)[:, None].astype(np.float32),
        ACTION: np.minimum(after, length - 1)[:, None].astype(np.float32), ACTION_IS_PAD: after > length - 1,
        HISTORY_IS_PAD: seen < 0,
    }
    return {k: torch.from_numpy(v)[None] for k, v in arrays.items()}


def test_every_step_answers_with_its_own_chunk() -> None:
    config = PolicyConfig(**SMALL)
    actions, is_pad = action_windows(window(9, 12, config), config)
    assert actions[..., 0].tolist() == [[3, 4, 5, 6], [5, 6, 7, 8], [7, 8, 9, 10], [9, 10, 11, 11]]
    assert is_pad.tolist() == [[False] * 4] * 3 + [[False, False, False, True]]
    actions, is_pad = action_windows(window(3, 12, config), config)
    assert actions[2:, :, 0].tolist() == [[1, 2, 3, 4], [3, 4, 5, 6]]
    assert is_pad.all(dim=1).tolist() == [True, True, False, False]


def history_batch(fake_windows: Make, size: int = 3) -> tuple[Any, dict[str, torch.Tensor]]:
    """Windows of four observations two steps apart, out of the fake windows' single ones."""
    windows = fake_windows(STEPS * size)
    one = windows.batch(np.arange(STEPS * size))
    keys = [STATE, *(key(c) for c in ("front", "wrist") for key in (image_key, mask_key))]
    batch = {k: torch.from_numpy(one[k]).reshape(size, STEPS, *one[k].shape[2:]) for k in keys}
    batch |= {ACTION: torch.randn(size, 4, 3), ACTION_IS_PAD: torch.zeros(size, 4, dtype=torch.bool)}
    batch |= {ACTION_HISTORY: torch.randn(size, 6, 3), HISTORY_IS_PAD: torch.zeros(size, STEPS, dtype=torch.bool)}
    return windows, batch


def seen_at(policy: Policy, batch: dict[str, torch.Tensor], step: int) -> tuple[Any, Any, np.ndarray]:
    """The first sample's observation of a step, as `predict` takes it."""
    images, masks = ({c: batch[key(c)][:1, step].numpy() for c in policy.cameras} for key in (image_key, mask_key))
    return images, masks, batch[STATE][:1, step].numpy()


def acting_alone(policy: Policy, batch: dict[str, torch.Tensor]) -> np.ndarray:
    return TorchPolicy("it", policy).predict(*seen_at(policy, batch, STEPS - 1))[0]


def test_acting_step_by_step_is_what_training_sees(fake_windows: Make) -> None:
    windows, batch = history_batch(fake_windows)
    policy = Policy(
        PolicyConfig(**SMALL, gripper_gain=0.0), windows.action_contract, windows.observation_contract, windows.stats
    ).eval()
    acting = TorchPolicy("it", policy)
    chunks = [acting.predict(*seen_at(policy, batch, step))[0] for step in range(STEPS)]
    errors = policy.judge({k: v[:1] for k, v in batch.items()}).errors
    target = policy.normalise_action(batch[ACTION][0])  # of the newest step, which saw all four
    torch.testing.assert_close(
        errors[-1], (policy.normalise_action(torch.from_numpy(chunks[-1])) - target).abs(), rtol=1e-4, atol=1e-4
    )
    assert not np.allclose(chunks[-1], acting_alone(policy, batch), atol=1e-4)  # what came before matters
    acting.reset()
    again = acting.predict(*seen_at(policy, batch, 0))
    np.testing.assert_allclose(again[0], chunks[0], rtol=1e-5, atol=1e-6)


def test_steps_before_the_episode_do_not_matter(fake_windows: Make) -> None:
    windows, batch = history_batch(fake_windows)
    policy = Policy(PolicyConfig(**SMALL), windows.action_contract, windows.observation_contract, windows.stats)
    batch[HISTORY_IS_PAD][:, :2] = True
    changed = dict(batch)
    changed[image_key("front")] = batch[image_key("front")].clone()
    changed[image_key("front")][:, :2] ^= 255
    changed[ACTION_HISTORY] = batch[ACTION_HISTORY].clone()
    changed[ACTION_HISTORY][:, :4] += 5.0
    torch.testing.assert_close(policy(changed)["loss"], policy(batch)["loss"])
    policy(batch)["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in policy.parameters() if p.grad is not None)


def test_bad_input(fake_windows: Make) -> None:
    with pytest.raises(ConfigError, match="policy_net mlp sees one observation"):
        PolicyConfig(history=4)
    windows = fake_windows(4)
    policy = Policy(PolicyConfig(**SMALL), windows.action_contract, windows.observation_contract, windows.stats)
    with pytest.raises(ContractError, match="holds 1 observations a window, the policy sees 4"):
        policy({k: torch.from_numpy(v) for k, v in windows.batch(np.arange(4)).items() if isinstance(v, np.ndarray)})


@pytest.mark.parametrize(
    "kind",
    [
        {"history": 1}, {"pooling": "mean", "head": "flow", "denoise": 2},
        {"instruction": "table", "vocabulary": ("drop", "lift")},
    ],
)
@pytest.mark.usefixtures("one_table_of_operators")
def test_a_bundle_remembers_as_the_folder_does(kind: dict[str, Any], save_untrained: Make, tmp_path: Path) -> None:
    folder = save_untrained(tmp_path / "run", policy=SMALL | {"cameras": ("front",)} | kind)
    bundle = export(folder, tmp_path / "bundle")
    assert verify(bundle)["passed"]
    ours, theirs = load_policy(folder), load_policy(bundle)
    rng = np.random.default_rng(0)
    for _ in range(2):
        for policy in (ours, theirs):
            policy.reset()
        chunks = []
        for _ in range(STEPS + 2):  # the history fills up, and then forgets
            obs = {
                "pixels": {c: rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for c in ("front", "wrist")},
                "agent_pos": rng.normal(size=3).astype(np.float32),
            }
            obs |= {
                "masks": {c: rng.integers(0, 2, (32, 32), dtype=np.uint8) for c in ("front", "wrist")}, "task": "lift"
            }
            chunks.append(ours.act(obs))
            np.testing.assert_allclose(theirs.act(obs), chunks[-1], atol=1e-5)
        theirs.reset()
        assert ("history" in kind) == np.allclose(theirs.act(obs), chunks[-1], atol=1e-5)  # what came before counts
