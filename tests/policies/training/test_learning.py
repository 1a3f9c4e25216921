"""Every pooling learns, end to end, and keeps its promises about masks and views through the whole policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.core.contract import STATE, image_key, mask_key
from toyshift.policies import Policy, PolicyConfig
from toyshift.policies.config import POOLING_NAMES

Make = Callable[..., Any]
Case = tuple[Policy, dict[str, torch.Tensor]]
SMALL: dict[str, Any] = {"width": 32, "stem": 16, "hidden": 64, "chunk": 2, "execute": 1, "gripper_gain": 0.0}
SAMPLES, STEPS = 8, 80


@pytest.fixture
def build(fake_windows: Make, shrink_vit: Callable[..., None]) -> Make:
    def make(**kwargs: Any) -> Case:
        if kwargs.get("encoder") == "vit-tiny":
            pytest.importorskip("timm")
            shrink_vit(48, 2, 3)
        windows = fake_windows(SAMPLES, 2)
        policy = Policy(
            PolicyConfig(**SMALL | kwargs), windows.action_contract, windows.observation_contract, windows.stats
        )
        batch = {
            k: torch.from_numpy(v) for k, v in windows.batch(np.arange(SAMPLES)).items() if isinstance(v, np.ndarray)
        }
        return policy, batch

    return make


def views(
    policy: Policy, batch: dict[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]:
    images, masks = ({c: batch[key(c)][:, -1] for c in policy.cameras} for key in (image_key, mask_key))
    return images, masks, batch[STATE][:, -1]


@pytest.mark.parametrize("encoder", ["conv-small", "vit-tiny"])
@pytest.mark.parametrize("pooling", POOLING_NAMES)
def test_one_batch_is_learnt_by_heart(build: Make, pooling: str, encoder: str) -> None:
    policy, batch = build(pooling=pooling, encoder=encoder)
    batch[STATE][:] = 2.0  # only the images tell the samples apart
    optimizer = torch.optim.Adam(policy.parameters(), lr=2e-3)
    losses = []
    for _ in range(STEPS):
        loss = policy(batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
        if max(losses[-10:]) < 0.5 * losses[0]:  # ten in a row
            break
    assert min(losses[-10:]) < 0.5 * losses[0], losses[::20]


@pytest.mark.parametrize("pooling", ["detpool", "detpool-post", "box"])
def test_a_mask_of_everything_is_mean_pooling(build: Make, pooling: str) -> None:
    policy, batch = build(pooling=pooling)
    mean, _ = build(pooling="mean")
    mean.load_state_dict({k: v for k, v in policy.state_dict().items() if k != "pooling.nothing"})
    images, masks, state = views(policy, batch)
    everything = {c: torch.ones_like(m) for c, m in masks.items()}
    torch.testing.assert_close(
        policy.predict(images, everything, state), mean.predict(images, {}, state), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("pooling", ["detpool", "detpool-post", "box"])
def test_without_a_target_no_pixel_matters(build: Make, pooling: str) -> None:
    policy, batch = build(pooling=pooling)
    images, masks, state = views(policy, batch)
    nothing = {c: torch.zeros_like(m) for c, m in masks.items()}
    out = policy.predict(images, nothing, state)
    assert torch.isfinite(out).all()
    assert torch.equal(policy.predict({c: 255 - i for c, i in images.items()}, nothing, state), out)
    # one view that sees it is enough
    assert not torch.allclose(policy.predict(images, nothing | {"front": masks["front"]}, state), out)


def test_without_a_target_crop_is_the_mean_of_the_whole_image(build: Make) -> None:
    policy, batch = build(pooling="crop")
    mean, _ = build(pooling="mean")
    assert policy.place is not None
    torch.nn.init.zeros_(policy.place.weight)
    torch.nn.init.zeros_(policy.place.bias)
    mean.load_state_dict({k: v for k, v in policy.state_dict().items() if not k.startswith("place.")})
    images, masks, state = views(policy, batch)
    nothing = {c: torch.zeros_like(m) for c, m in masks.items()}
    torch.testing.assert_close(
        policy.predict(images, nothing, state), mean.predict(images, {}, state), rtol=1e-4, atol=1e-5
    )


def test_without_a_target_the_mask_channel_says_no(build: Make) -> None:
    policy, batch = build(pooling="mask-channel")
    images, masks, state = views(policy, batch)
    nothing = {c: torch.zeros_like(m) for c, m in masks.items()}
    others = {c: torch.full_like(m, 3) for c, m in masks.items()}  # the robot is no target either
    out = policy.predict(images, nothing, state)
    assert torch.isfinite(out).all()
    assert torch.equal(policy.predict(images, others, state), out)
    assert not torch.allclose(policy.predict(images, masks, state), out)
    # but the image is still looked at
    assert not torch.allclose(policy.predict({c: 255 - i for c, i in images.items()}, nothing, state), out)


@pytest.mark.parametrize("pooling", POOLING_NAMES)
def test_the_order_of_the_views_is_a_matter_of_weights(build: Make, pooling: str) -> None:
    policy, batch = build(pooling=pooling)
    other, _ = build(pooling=pooling, cameras=("wrist", "front"))
    weights = policy.state_dict()
    width = policy.config.width
    first = weights["head.mlp.0.weight"]  # reads [front, wrist, state]
    weights["head.mlp.0.weight"] = torch.cat(
        [first[:, width : 2 * width], first[:, :width], first[:, 2 * width :]], dim=1
    )
    weights["hidden_view"] = weights["hidden_view"].flip(0)
    other.load_state_dict(weights)
    images, masks, state = views(policy, batch)
    torch.testing.assert_close(
        other.predict(images, masks, state), policy.predict(images, masks, state), rtol=1e-4, atol=1e-5
    )
