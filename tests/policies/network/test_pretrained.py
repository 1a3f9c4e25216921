"""Pretrained weights: small random networks, saved as by their authors and Hugging Face, read back exactly."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from toyshift.core.errors import ConfigError, FileError, MissingDependencyError
from toyshift.policies import PolicyConfig, TrainConfig, export, load_policy, train, verify
from toyshift.policies.network import backbones, pretrained
from toyshift.policies.network.encoders import make_encoder
from toyshift.policies.network.pretrained import fitted, lite0_names, read_lite0, read_safetensors, vit_names
from toyshift.policies.training.initial_policy import initial_policy

pytest.importorskip("timm")

Make = Callable[..., Any]
Tensors = dict[str, torch.Tensor]
FAMILIES = ("mae", "mvp", "dinov2", "dinov2-reg", "siglip")


@pytest.fixture(autouse=True)
def _shallow(shrink_vit: Callable[..., None]) -> None:
    shrink_vit(24, 2, 3)


def encoder_of(family: str, side: int, **kwargs: Any) -> Any:
    return make_encoder(
        PolicyConfig(encoder="vit-tiny", encoder_weights=f"{family}:x", width=32, **kwargs), (side, side)
    )


def random_weights(family: str) -> tuple[Any, Tensors]:
    encoder = encoder_of(family, 56 if family.startswith("dinov2") else 64)  # 4 x 4 patches
    with torch.no_grad():
        for parameter in encoder.net.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return encoder, {k: v.clone() for k, v in encoder.net.state_dict().items()}


def split_qkv(weights: Tensors, pattern: str, names: tuple[str, str, str]) -> Tensors:
    """Replaces joined queries, keys and values by three tensors."""
    out: Tensors = {}
    for name, tensor in weights.items():
        if ".attn.qkv." in name:
            block, kind = name.split(".")[1], name.rsplit(".", 1)[1]
            out |= {pattern.format(block, n, kind): part for n, part in zip(names, tensor.chunk(3), strict=True)}
        else:
            out[name] = tensor
    return out


def renamed(weights: Tensors, pairs: list[tuple[str, str]]) -> Tensors:
    out: Tensors = {}
    for name, tensor in weights.items():
        for ours, theirs in pairs:
            name = name.replace(ours, theirs)
        out[name] = tensor
    return out


def hugging_face(family: str, weights: Tensors) -> Tensors:
    """Gives timm's tensors the names that transformers writes for this family."""
    query = ("query", "key", "value")
    if family in ("mae", "mvp"):  # ViTMAEForPreTraining
        out = split_qkv(weights, "vit.encoder.layer.{}.attention.attention.{}.{}", query)
        out = renamed(
            out,
            [
                ("patch_embed.proj", "vit.embeddings.patch_embeddings.projection"),
                ("cls_token", "vit.embeddings.cls_token"), ("pos_embed", "vit.embeddings.position_embeddings"),
                ("attn.proj", "attention.output.dense"), ("mlp.fc1", "intermediate.dense"), ("mlp.fc2", "output.dense"),
                ("norm1", "layernorm_before"), ("norm2", "layernorm_after"), ("blocks.", "vit.encoder.layer."),
            ],
        )
        out = {("vit.layernorm" + k[4:] if k.startswith("norm.") else k): v for k, v in out.items()}
        return out | {"decoder.decoder_embed.weight": torch.zeros(2, 2), "decoder.mask_token": torch.zeros(1, 1, 2)}
    if family == "siglip":  # SiglipModel
        out = split_qkv(weights, "vision_model.encoder.layers.{}.self_attn.{}_proj.{}", ("q", "k", "v"))
        out = renamed(
            out,
            [
                ("patch_embed.proj", "vision_model.embeddings.patch_embedding"),
                ("pos_embed", "vision_model.embeddings.position_embedding.weight"), ("attn.proj", "self_attn.out_proj"),
                ("norm1", "layer_norm1"), ("norm2", "layer_norm2"), ("blocks.", "vision_model.encoder.layers."),
            ],
        )
        out = {("vision_model.post_layernorm" + k[4:] if k.startswith("norm.") else k): v for k, v in out.items()}
        out["vision_model.embeddings.position_embedding.weight"] = out[
            "vision_model.embeddings.position_embedding.weight"
        ][0]
        return out | {
            "vision_model.head.probe": torch.zeros(1, 1, 2), "text_model.head.weight": torch.zeros(2),
            "logit_scale": torch.zeros(1),
        }
    out = split_qkv(weights, "encoder.layer.{}.attention.attention.{}.{}", query)  # Dinov2Model
    if "reg_token" in out:  # the class token has a position there
        position = torch.randn(1, 1, 24)
        out["embeddings.register_tokens"] = out.pop("reg_token")
        out["cls_token"] = out["cls_token"] - position
        out["pos_embed"] = torch.cat([position, out["pos_embed"]], dim=1)
    out = renamed(
        out,
        [
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"), ("cls_token", "embeddings.cls_token"),
            ("pos_embed", "embeddings.position_embeddings"), ("attn.proj", "attention.output.dense"),
            ("ls1.gamma", "layer_scale1.lambda1"), ("ls2.gamma", "layer_scale2.lambda1"), ("blocks.", "encoder.layer."),
        ],
    )
    out = {("layernorm" + k[4:] if k.startswith("norm.") else k): v for k, v in out.items()}
    return out | {"embeddings.mask_token": torch.zeros(1, 24)}


@pytest.mark.parametrize("family", FAMILIES)
def test_hugging_faces_files_are_read_exactly(family: str, tmp_path: Path) -> None:
    encoder, weights = random_weights(family)
    save_file(
        {k: v.contiguous().clone() for k, v in hugging_face(family, weights).items()},
        str(tmp_path / "model.safetensors"),
    )
    read = fitted(vit_names(read_safetensors(tmp_path / "model.safetensors")), encoder, "file")
    assert read.keys() == weights.keys()
    for name, tensor in weights.items():
        torch.testing.assert_close(read[name], tensor, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_authors_names_are_read_exactly(family: str) -> None:
    encoder, weights = random_weights(family)
    theirs = dict(weights)
    if family == "mae":
        theirs |= {
            "decoder_embed.weight": torch.zeros(2), "mask_token": torch.zeros(2), "decoder_pos_embed": torch.zeros(2),
            "decoder_blocks.0.norm1.weight": torch.zeros(2),
        }
    elif family == "dinov2":
        theirs["mask_token"] = torch.zeros(1, 24)
    read = fitted(vit_names(theirs), encoder, "file")
    assert all(torch.equal(read[k], v) for k, v in weights.items())


def test_positions_are_resized_to_the_grid() -> None:
    encoder = encoder_of("mae", 96)
    _, weights = random_weights("mae")
    y, x = torch.meshgrid(torch.linspace(-0.75, 0.75, 4), torch.linspace(-0.75, 0.75, 4), indexing="ij")
    weights["pos_embed"] = torch.cat(
        [torch.full((1, 1, 24), 9.0), torch.stack([x, y] * 12, dim=-1).reshape(1, 16, 24)], dim=1
    )
    read = fitted(weights, encoder, "file")["pos_embed"]
    assert read.shape == (1, 37, 24)
    assert torch.equal(read[:, 0], torch.full((1, 24), 9.0))  # the class token has no place
    grid = read[0, 1:].reshape(6, 6, 24)
    # a ramp stays a ramp
    torch.testing.assert_close(grid[2:4, 2:4, 0], torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]) / 6, atol=0.02, rtol=0.0)
    torch.testing.assert_close(grid[..., 1], grid[..., 0].t())


def test_a_mask_channel_starts_without_effect() -> None:
    plain, weights = random_weights("mae")
    masked = encoder_of("mae", 64, pooling="mask-channel")
    masked.net.load_state_dict(fitted(weights, masked, "file"))
    x = torch.randn(2, 3, 64, 64)
    for value in (-1.0, 1.0):
        four = torch.cat([x, torch.full((2, 1, 64, 64), value)], dim=1)
        torch.testing.assert_close(
            masked.net_tokens(four, None), plain.net_tokens(x, torch.ones(2, 16, dtype=torch.bool)), rtol=1e-4,
            atol=1e-4,
        )


def test_files_that_are_refused(tmp_path: Path) -> None:
    encoder, weights = random_weights("mae")
    with pytest.raises(FileError, match="is a pickle, which can run code"):
        read_safetensors(tmp_path / "mae_pretrain.pth")
    with pytest.raises(FileError, match="never downloaded"):
        read_safetensors(tmp_path / "absent.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(FileError, match="no whole safetensors file"):
        read_safetensors(tmp_path / "torn.safetensors")
    with pytest.raises(FileError, match=r"file is of another encoder: norm.weight is \(7,\) there and \(24,\) here"):
        fitted(weights | {"norm.weight": torch.zeros(7)}, encoder, "file")
    with pytest.raises(FileError, match=r"missing or unknown, first 'blocks\.1\.attn\.proj\.bias'"):
        fitted({k: v for k, v in weights.items() if not k.startswith("blocks.1.")}, encoder, "file")


def test_training_starts_from_the_file_and_acting_does_not_need_it(
    make_config: Make, make_source: Make, tmp_path: Path
) -> None:
    _, weights = random_weights("mae")
    path = tmp_path / "mae.safetensors"
    save_file(weights, str(path))
    policy = {
        "encoder": "vit-tiny", "encoder_weights": f"mae:{path}", "freeze_encoder": True, "encoder_size": 64,
        "share_encoder": True,
    }
    config: TrainConfig = make_config(tmp_path / "run", policy, steps=2)
    train(config, make_source(config))
    trained = load_file(str(tmp_path / "run" / "ema.safetensors"))
    assert all(torch.equal(trained[f"encoders.front.net.{k}"], v) for k, v in weights.items())
    path.unlink()
    assert load_policy(tmp_path / "run").config == config.policy


def test_the_packages_imagenet_weights_fit_timms_network() -> None:
    pytest.importorskip(pretrained.LITE0_PACKAGE)
    encoder: Any = make_encoder(PolicyConfig(encoder="efficientnet-lite0", width=32), (64, 64))
    weights = fitted(read_lite0(), encoder, "package")
    encoder.net.load_state_dict(weights)
    assert weights["conv_stem.weight"].shape == (32, 3, 3, 3)
    # Statistics belong to the convolution before them: on noise, normalised activations stay of the order of one.
    with torch.no_grad():
        out = encoder.eval().net.forward_features(torch.randn(1, 3, 64, 64))
    assert 0.02 < float(out.mean()) < 2.0


def test_lite0_blocks_are_counted_through() -> None:
    names = {f"_blocks.{i}._depthwise_conv.weight": torch.tensor(i) for i in range(16)}
    assert [k.rsplit(".", 2)[0] for k in lite0_names(names)] == [
        f"blocks.{stage}.{block}" for stage, count in enumerate((1, 2, 2, 3, 3, 4, 1)) for block in range(count)
    ]


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "LITE0_PACKAGE", "no_such_package")
    with pytest.raises(MissingDependencyError, match=r"toyshift\[pretrained\]"):
        read_lite0()


def test_lora_starts_as_the_weights_and_trains_its_own_only(
    make_config: Make, make_source: Make, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    _, weights = random_weights("mae")
    path = tmp_path / "mae.safetensors"
    save_file({k: 0.1 * v for k, v in weights.items()}, str(path))
    policy = {
        "encoder": "vit-tiny", "encoder_weights": f"mae:{path}", "encoder_size": 64, "share_encoder": True,
        "lora_rank": 2,
    }
    config = make_config(tmp_path / "run", policy, steps=3, lr=1e-2, ema=0.0)
    plain = encoder_of("mae", 64)
    plain.net.load_state_dict(load_file(str(path)))
    start = initial_policy(config, make_source(config)).encoders["front"].net
    image = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(start.forward_features(image), plain.net.forward_features(image))

    train(config, make_source(config))
    path.unlink()  # acting needs the trained folder only
    net = load_policy(tmp_path / "run").policy.encoders["front"].net
    trained = net.state_dict()
    for name, full in backbones.plain_names(net).items():
        assert torch.equal(trained[full], plain.net.state_dict()[name]), name
    changes = {k: v for k, v in trained.items() if ".lora_B." in k}
    assert len(changes) == 2 * 4  # blocks, linear layers of each
    assert all(v.shape[1] == 2 and v.abs().sum() > 0 for v in changes.values())
    assert {n for n, p in net.named_parameters() if p.requires_grad} == {n for n in trained if ".lora_" in n}
    assert verify(export(tmp_path / "run", tmp_path / "bundle"))["passed"]


def test_lora_of_what_has_no_linear_layers_or_no_weights_is_refused() -> None:
    for bad, message in (
        ({"encoder": "resnet18", "encoder_weights": "timm:x"}, "positive with one of vit-mini"),
        ({}, "conv-small has no pretrained weights"),
        ({"encoder": "vit-tiny"}, "would freeze random weights"),
        ({"encoder": "vit-tiny", "encoder_weights": "mae:x", "freeze_encoder": True}, "without freeze_encoder"),
        ({"encoder": "vit-tiny", "encoder_weights": "mae:x", "pooling": "mask-channel"}, "new input channels"),
    ):
        with pytest.raises(ConfigError, match=message):
            PolicyConfig(lora_rank=4, **bad)
