"""The parts a policy can be made of, one line each: read by its configuration and by its network, without torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from toyshift.core.errors import UnknownNameError
from toyshift.core.lazy import imported


@dataclasses.dataclass(frozen=True)
class PoolingPart:
    """A way from the patch tokens of a view to one vector.

    Attributes:
        place: module of `policies/network` and class in it, made with the width of the tokens.
        on_target: pools the tokens on the target only.
        attention: keeps those tokens from attending to the others, where an encoder has attention.
        picture: what becomes of the mask before the encoder: "box" (it is filled to the target's box), "crop" (the
            image is cut around the target) or "channel" (it is one more input channel).
        first: learns nothing from single tokens, and so may come before what is learnt; has `average` and `seen`.
        class_token: a ViT's own class token stands for it, where there is one.
        grid: is made with the rows and columns of patches as well, and so for one grid only.
    """

    place: str
    on_target: bool = False
    attention: bool = False
    picture: str = ""
    first: bool = False
    class_token: bool = False
    grid: bool = False


POOLINGS = {
    "detpool": PoolingPart("pooling:DetPool", on_target=True, attention=True, first=True),
    "detpool-post": PoolingPart("pooling:DetPool", on_target=True, first=True),
    "box": PoolingPart("pooling:DetPool", on_target=True, attention=True, picture="box", first=True),
    "mean": PoolingPart("pooling:MeanPool", first=True),
    "cls": PoolingPart("pooling:ClsPool", first=True, class_token=True),
    "attention": PoolingPart("pooling:AttentionPool"),
    "spatial-softmax": PoolingPart("pooling:SpatialSoftmax", grid=True),
    "efficient-probing": PoolingPart("pooling:EfficientProbing"),
    "crop": PoolingPart("pooling:MeanPool", picture="crop", first=True),
    "mask-channel": PoolingPart("pooling:MeanPool", picture="channel"),
}

# behind the name of a pooling whose encoder is shown the mask as well, or a picture of all masks and no image
MASK_TOO, PROTOTYPE = " + mask", " + prototype"


def sees_mask(label: str) -> bool:
    """Says whether a policy is given masks, by its pooling's label (`PolicyConfig.pooling_label`)."""
    part = POOLINGS.get(label)
    return label.endswith((MASK_TOO, PROTOTYPE)) or (part is not None and (part.on_target or bool(part.picture)))


# Sizes of transformers: width, blocks, attention heads
SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12), "large": (1024, 24, 16)}
TRANSFORMERS = {f"transformer-{name}": size for name, size in SIZES.items()}
VITS = {"mini": (128, 4, 4), **SIZES}  # mini: for training from scratch without a GPU


@dataclasses.dataclass(frozen=True)
class EncoderPart:
    """A way from the image of a view to patch tokens.

    Attributes:
        place: module of `policies/network` and what it has there, called with the configuration and the image's size.
        weights: weights from elsewhere can be loaded, frozen, and trained at a rate of their own.
        vit: size of a vision transformer, see `VITS`; () for other networks.
    """

    place: str
    weights: bool = False
    vit: tuple[int, ...] = ()


ENCODERS = {
    "conv-small": EncoderPart("encoders:conv_small"),
    "conv-classic": EncoderPart("encoders:conv_classic"),
    **{f"vit-{name}": EncoderPart("backbones:ViT", weights=True, vit=size) for name, size in VITS.items()},
    "resnet18": EncoderPart("backbones:resnet18", weights=True),
    "efficientnet-lite0": EncoderPart("backbones:efficientnet_lite0", weights=True),
}


@dataclasses.dataclass(frozen=True)
class HeadPart:
    """A way from features to a chunk of actions.

    Attributes:
        place: module of `policies/network` and class in it, made with the features' and the action's size and the
            configuration.
        noise: its predictions start from noise.
    """

    place: str
    noise: bool = False


HEADS = {
    "l1": HeadPart("heads:L1Head"),
    "diffusion": HeadPart("heads:DiffusionHead", noise=True),
    "flow": HeadPart("heads:FlowHead", noise=True),
    "squashed": HeadPart("heads:SquashedHead"),
}


# What a policy can be told to tell beside its actions (`--repair hint`), and how many numbers that is; of pixel two for
# each view, 0 here
HINTS = {"turn": 2, "place": 3, "grasp": 4, "pixel": 0, "azimuth": 1, "noise": 3}
PROPOSED = ("grasp", "place", "turn")  # of which a policy may propose several

POLICY_NETS = ("mlp", *TRANSFORMERS)
NORMS = ("none", "group")
INSTRUCTIONS = ("none", "table", "setup", "minilm")
TABLES = ("table", "setup")  # kinds of instruction that have a row for each that is known

if TYPE_CHECKING:  # for a type checker the choices are texts
    Pooling = str
    Encoder = str
    Head = str
    PolicyNet = str
    Norm = str
    Instruction = str
else:
    Pooling = Literal[tuple(POOLINGS)]
    Encoder = Literal[tuple(ENCODERS)]
    Head = Literal[tuple(HEADS)]
    PolicyNet = Literal[POLICY_NETS]
    Norm = Literal[NORMS]
    Instruction = Literal[INSTRUCTIONS]


def part_of(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    """Returns what the place of a part holds.

    Args:
        kind: of the table, for the error.
        name: of the part.
        table: POOLINGS, ENCODERS or HEADS.

    Raises:
        UnknownNameError: no part has this name.
    """
    if name not in table:
        raise UnknownNameError(kind, name, table)
    return imported("toyshift.policies.network", table[name].place)
