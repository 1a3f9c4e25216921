"""How far background leaks into detection pooling, per encoder: the table in docs/policies.md.

Weights are random, EfficientNet-Lite0's those of ImageNet.

.venv/bin/python benchmarks/leakage.py
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import nn

from toyshift.policies.config import PolicyConfig
from toyshift.policies.network.encoders import make_encoder
from toyshift.policies.network.pretrained import fitted, read_lite0

SIDE = 96  # pixels
CASES = (
    ("conv-small", "detpool"), ("conv-classic", "detpool"), ("resnet18", "detpool"), ("efficientnet-lite0", "detpool"),
    ("vit-tiny", "detpool-post"), ("vit-tiny", "detpool"),
)


@dataclasses.dataclass(frozen=True)
class Leakage:
    """What a token in the middle of an image sees beyond its patch.

    Attributes:
        pixels: distance from the patch to the farthest pixel that changes the token [pixels]; 0 = none leaks.
        share: share of the token's squared sensitivity (gradient to the pixels) that lies outside its patch, in [0, 1].
    """

    pixels: int
    share: float


def measure_leakage(encoder: nn.Module, images: int = 8, seed: int = 0) -> Leakage:
    """Measures on random images how a token depends on pixels outside its patch, when its patch is the whole target.

    Args:
        encoder: of `make_encoder`.
        images: number of random images.
        seed: of the images and of the direction in which the token is read.
    """
    net: Any = encoder
    generator = torch.Generator().manual_seed(seed)
    (height, width), patch, (rows, columns) = net.size, net.patch, net.grid
    row, column = rows // 2, columns // 2
    pixels = (255.0 * torch.rand(images, height, width, 3, generator=generator)).requires_grad_()
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[row * patch : (row + 1) * patch, column * patch : (column + 1) * patch] = True
    wanted = torch.zeros(images, rows * columns, dtype=torch.bool)
    wanted[:, row * columns + column] = True
    tokens = net(pixels, inside.float().expand(images, -1, -1), None, wanted)
    direction = torch.randn(tokens.shape[-1], generator=generator)
    (gradient,) = torch.autograd.grad((tokens[:, row * columns + column] @ direction).sum(), pixels)
    energy = gradient.square().sum(dim=(0, 3))  # (H, W)
    y, x = ((energy > 0) & ~inside).nonzero(as_tuple=True)
    if not len(y):
        return Leakage(0, 0.0)
    beyond = [torch.maximum(low - place, place - high) for place, low, high in (
        (y, row * patch, (row + 1) * patch - 1), (x, column * patch, (column + 1) * patch - 1),
    )]
    return Leakage(int(torch.maximum(*beyond).max()), float(energy[~inside].sum() / energy.sum()))


def main() -> None:
    print("| encoder | pooling | pixels beyond the patch | share of the sensitivity outside the patch |")
    print("|---|---|---|---|")
    for encoder, pooling in CASES:
        net: Any = make_encoder(PolicyConfig(encoder=encoder, pooling=pooling), (SIDE, SIDE)).eval()
        if encoder == "efficientnet-lite0":
            net.net.load_state_dict(fitted(read_lite0(), net, "package"))
        found = measure_leakage(net)
        print(f"| {encoder} | {pooling} | {found.pixels} | {100 * found.share:.0f} % |")


if __name__ == "__main__":
    main()
