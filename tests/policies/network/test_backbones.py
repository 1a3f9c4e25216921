"""ViT, ResNet-18 and EfficientNet: what detection pooling may depend on, norms, freezing, sizes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import max_pool2d

from toyshift.core.contract import STATE, image_key, mask_key
from toyshift.core.errors import ConfigError, MissingDependencyError, UnknownNameError
from toyshift.policies import Policy, PolicyConfig
from toyshift.policies.network import backbones
from toyshift.policies.network.encoders import make_encoder

pytest.importorskip("timm")

Make = Callable[..., Any]
SIDE = 64  # 4 x 4 patches of a ViT
SMALL: dict[str, Any] = {"width": 32, "stem": 16, "hidden": 32, "chunk": 2, "execute": 1}


@pytest.fixture(autouse=True)
def _shallow(shrink_vit: Callable[..., None]) -> None:
    shrink_vit(48, 3, 3)  # three blocks: leaks would need two


@pytest.fixture
def build(fake_windows: Make) -> Make:
    def make(**kwargs: Any) -> tuple[Policy, tuple[Any, Any, Any]]:
        windows = fake_windows(3, 2, size=SIDE)
        policy = Policy(
            PolicyConfig(**SMALL | {"encoder": "vit-tiny"} | kwargs), windows.action_contract,
            windows.observation_contract, windows.stats,
        )
        with torch.no_grad():
            for parameter in policy.encoders.parameters():  # make every layer count
                parameter.add_(0.1 * torch.randn_like(parameter))
        batch = windows.batch(np.arange(3))
        images, masks = (
            {c: torch.from_numpy(batch[key(c)][:, 0]) for c in policy.cameras} for key in (image_key, mask_key)
        )
        return policy.eval(), (images, masks, torch.from_numpy(batch[STATE][:, 0]))

    return make


def outside_patches(
    images: dict[str, torch.Tensor], masks: dict[str, torch.Tensor], patch: int
) -> dict[str, torch.Tensor]:
    """Replaces every pixel of the patches without a pixel of the target by noise."""
    out = {}
    for camera, image in images.items():
        touched = torch.nn.functional.max_pool2d((masks[camera] == 1).float()[:, None], patch)
        keep = torch.nn.functional.interpolate(touched, scale_factor=patch)[:, 0] > 0
        out[camera] = torch.where(keep.unsqueeze(-1), image, torch.randint_like(image, 256))
    return out


@pytest.mark.parametrize("family", ["none", "siglip:x", "dinov2:x", "dinov2-reg:x"])
def test_no_pixel_off_the_target_changes_an_action_with_a_vit_and_detpool(build: Make, family: str) -> None:
    patch = 14 if family.startswith("dinov2") else 16
    policy, (images, masks, state) = build(encoder_weights=family, encoder_size=0 if patch == 16 else 56)
    # resized images: a patch is 16 pixels of the camera as well, and a resized pixel mixes its neighbours
    if patch == 14:
        noisy = {}
        for c, image in images.items():
            whole = max_pool2d((masks[c] == 1).float()[:, None], 16).eq(1)
            masks[c] = whole.repeat_interleave(16, 2).repeat_interleave(16, 3)[:, 0].to(torch.uint8)
            near = max_pool2d(masks[c].float()[:, None], 21, 1, 10)[:, 0].unsqueeze(-1) > 0
            noisy[c] = torch.where(near, image, torch.randint_like(image, 256))
    else:
        noisy = outside_patches(images, masks, patch)
    assert not torch.equal(noisy["front"], images["front"])
    before = policy.predict(images, masks, state)
    torch.testing.assert_close(policy.predict(noisy, masks, state), before, rtol=0.0, atol=1e-6)
    post, _ = build(encoder_weights=family, encoder_size=0 if patch == 16 else 56, pooling="detpool-post")
    post.load_state_dict(policy.state_dict())
    assert (post.predict(noisy, masks, state) - post.predict(images, masks, state)).abs().max() > 1e-4


@pytest.mark.parametrize("pooling", ["detpool", "detpool-post", "box"])
def test_a_mask_of_everything_is_mean_pooling(build: Make, pooling: str) -> None:
    policy, (images, masks, state) = build(pooling=pooling)
    mean, _ = build(pooling="mean")
    mean.load_state_dict({k: v for k, v in policy.state_dict().items() if k != "pooling.nothing"})
    everything = {c: torch.ones_like(m) for c, m in masks.items()}
    torch.testing.assert_close(
        policy.predict(images, everything, state), mean.predict(images, {}, state), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("pooling", ["detpool", "detpool-post", "box"])
def test_an_empty_mask_is_a_finite_answer_that_no_pixel_changes(build: Make, pooling: str) -> None:
    policy, (images, masks, state) = build(pooling=pooling)
    nothing = {c: torch.zeros_like(m) for c, m in masks.items()}
    out = policy.predict(images, nothing, state)
    assert torch.isfinite(out).all()
    assert torch.equal(out, policy.predict({c: 255 - i for c, i in images.items()}, nothing, state))


def test_order_of_the_batch_and_company_do_not_matter(build: Make) -> None:
    policy, (images, masks, state) = build()
    out = policy.predict(images, masks, state)
    flipped = policy.predict(
        {c: i.flip(0) for c, i in images.items()}, {c: m.flip(0) for c, m in masks.items()}, state.flip(0)
    )
    torch.testing.assert_close(flipped.flip(0), out, rtol=1e-4, atol=1e-6)
    alone = policy.predict({c: i[1:2] for c, i in images.items()}, {c: m[1:2] for c, m in masks.items()}, state[1:2])
    torch.testing.assert_close(alone, out[1:2], rtol=1e-4, atol=1e-6)


def test_views_are_pooled_by_themselves(build: Make) -> None:
    policy, (images, masks, _) = build(share_encoder=True)
    pooled = policy.pool(images, masks)
    swapped = policy.pool(
        {"front": images["wrist"], "wrist": images["front"]}, {"front": masks["wrist"], "wrist": masks["front"]}
    )
    torch.testing.assert_close(swapped.flip(1), pooled, rtol=1e-4, atol=1e-5)


def test_moving_the_target_changes_the_answer(build: Make) -> None:
    policy, (images, masks, _) = build()
    flat = {c: torch.full_like(i, 90) for c, i in images.items()}
    a, b = (
        policy.pool(flat, {c: torch.zeros_like(m).index_fill(2, torch.tensor([column]), 1) for c, m in masks.items()})
        for column in (5, 50)
    )
    assert (a - b).abs().max() > 1e-3


def test_cls_is_the_class_token_of_a_vit_that_has_one(build: Make) -> None:
    policy, (images, _, state) = build(pooling="cls")
    assert not list(policy.pooling.parameters())
    encoder: Any = policy.encoders["front"]
    assert encoder(images["front"]).shape == (3, 1, 32)
    assert torch.isfinite(policy.predict(images, {}, state)).all()
    siglip, _ = build(pooling="cls", encoder_weights="siglip:x")
    assert list(siglip.pooling.parameters())  # SigLIP has none: a learned one reads its tokens


@pytest.mark.parametrize(
    ("name", "millions"),
    [("vit-mini", 0.92), ("vit-tiny", 5.7), ("vit-small", 22), ("vit-base", 86), ("vit-large", 303)],
)
def test_vit_sizes(name: str, millions: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with torch.device("meta"):
        encoder: Any = make_encoder(PolicyConfig(encoder=name), (224, 224))
    assert sum(p.numel() for p in encoder.net.parameters()) / 1e6 == pytest.approx(millions, rel=0.05)


@pytest.mark.parametrize("pooling", ["detpool", "detpool-post"])
def test_attention_that_is_written_out_is_the_fused_one(
    build: Make, monkeypatch: pytest.MonkeyPatch, pooling: str
) -> None:
    policy, (images, masks, state) = build(pooling=pooling)

    def gradients() -> tuple[bool, torch.Tensor, list[torch.Tensor]]:
        policy.zero_grad()
        actions = policy.predict(images, masks, state)
        actions.square().sum().backward()
        encoder: Any = policy.encoders["front"]
        fused = encoder.net.blocks[0].attn.fused_attn
        return fused, actions.detach(), [p.grad.clone() for p in encoder.net.parameters() if p.grad is not None]

    fused, ours, by_ours = gradients()
    assert not fused
    monkeypatch.setattr(backbones, "FEW_TOKENS", 0)
    fused, timms, by_timms = gradients()
    assert fused
    torch.testing.assert_close(ours, timms)
    assert len(by_ours) == len(by_timms) > 20
    for a, b in zip(by_ours, by_timms, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_a_frozen_encoder_gets_no_gradient_and_keeps_its_statistics(build: Make) -> None:
    policy, (images, masks, state) = build(encoder="efficientnet-lite0", freeze_encoder=True)
    policy.train()
    encoder: Any = policy.encoders["front"]
    before = {k: v.clone() for k, v in encoder.net.state_dict().items()}
    policy.predict(images, masks, state).sum().backward()
    assert all(p.grad is None for p in encoder.net.parameters())
    assert encoder.project.weight.grad.abs().sum() > 0
    assert all(torch.equal(v, before[k]) for k, v in encoder.net.state_dict().items())


def test_resnet_has_group_norms_from_scratch_and_fixed_batch_norms_with_weights() -> None:
    def norms(weights: str) -> list[torch.nn.Module]:
        encoder = make_encoder(PolicyConfig(encoder="resnet18", encoder_weights=weights), (64, 64)).train()
        return [m for m in encoder.modules() if isinstance(m, torch.nn.GroupNorm | torch.nn.BatchNorm2d)]

    assert all(isinstance(m, torch.nn.GroupNorm) for m in norms("none"))
    fixed = norms("timm:x")
    assert all(isinstance(m, torch.nn.BatchNorm2d) and not m.training for m in fixed)
    assert len(fixed) == 20


def test_leakage_is_what_the_layers_say(benchmark_file: Callable[[str], ModuleType]) -> None:
    leakage = benchmark_file("leakage")

    def of(name: str, **kwargs: Any) -> Any:
        return leakage.measure_leakage(make_encoder(PolicyConfig(encoder=name, width=32, stem=16, **kwargs), (64, 64)))

    assert of("conv-small").pixels == 5  # 6x6 stride 4 pad 1, then 3x3 stride 2 pad 1
    assert 0.0 < of("conv-small").share < 0.9
    assert of("vit-tiny", pooling="detpool") == leakage.Leakage(0, 0.0)
    assert of("vit-tiny", pooling="detpool-post").pixels == 32  # to the border


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no multiple of the patch.*14 pixels.*--encoder-size.*98"):
        make_encoder(PolicyConfig(encoder="vit-tiny", encoder_weights="dinov2:x"), (96, 96))
    with pytest.raises(UnknownNameError, match=r"'vit-tny'.*Did you mean 'vit-tiny'"):
        PolicyConfig(encoder="vit-tny")
    with pytest.raises(UnknownNameError, match=r"'dino'.*Did you mean 'dinov2'"):
        PolicyConfig(encoder="vit-base", encoder_weights="dino:x")
    with pytest.raises(ConfigError, match="would freeze random weights"):
        PolicyConfig(encoder="vit-base", freeze_encoder=True)
    with pytest.raises(ConfigError, match="no pretrained weights"):
        PolicyConfig(encoder_weights="mae:x")
    with pytest.raises(ConfigError, match="new input channels"):
        PolicyConfig(encoder="vit-base", encoder_weights="mae:x", freeze_encoder=True, pooling="mask-channel")

    monkeypatch.setitem(sys.modules, "timm.models.vision_transformer", None)  # as if it were not installed
    with pytest.raises(MissingDependencyError, match=r"toyshift\[vit\]"):
        make_encoder(PolicyConfig(encoder="vit-tiny"), (96, 96))


def test_an_instruction_opens_no_way_for_the_background(build: Make) -> None:
    policy, (images, masks, state) = build(instruction="table", vocabulary=("lift", "push"))
    lift, push = (torch.full((3,), i) for i in range(2))
    before = policy.predict(images, masks, state, instruction=lift)
    torch.testing.assert_close(
        policy.predict(outside_patches(images, masks, 16), masks, state, instruction=lift), before, rtol=0.0, atol=1e-6
    )
    assert (policy.predict(images, masks, state, instruction=push) - before).abs().max() > 1e-4
