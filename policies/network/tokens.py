"""What encoders share: standardised pixels in, and tokens that know their place out."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

PATCH = 8  # pixels along one side of the patch that a token of the conv encoders stands for


class Jitter(NamedTuple):
    """Photometric augmentation of one view, applied to standardised pixels: x * gain + bias.

    Attributes:
        gain: (B, 3) factor per colour channel.
        bias: (B,) shift, in units of the standardised pixel.
    """

    gain: Tensor
    bias: Tensor


def standardise(images: Tensor, jitter: Jitter | None = None) -> Tensor:
    """Turns sRGB images (B, H, W, 3) uint8 into channels-last floats (B, 3, H, W) of about unit scale."""
    x = images.permute(0, 3, 1, 2).float()  # (B, 3, H, W), strides stay channels-last
    if jitter is None:
        return x * (4.0 / 255.0) - 2.0
    gain = jitter.gain[:, :, None, None]
    return torch.addcmul(jitter.bias[:, None, None, None] - 2.0 * gain, x, gain * (4.0 / 255.0))


class TokenMLP(nn.Module):
    """A residual two-layer MLP applied to every token by itself; it mixes what is seen with where it is seen."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        nn.init.kaiming_normal_(self.up.weight, nonlinearity="relu")
        nn.init.zeros_(self.down.bias)

    def forward(self, tokens: Tensor) -> Tensor:  # (B, N, C) -> (B, N, C)
        out: Tensor = tokens + self.down(torch.relu_(self.up(tokens)))
        return out


def initial_position(grid: tuple[int, int], width: int) -> Tensor:
    """Returns the (N, width) start of the learned positions: smooth functions of each patch's place, then small noise.

    The first channels are x, y, their products, and waves of one, two and four periods (x and y in [-1, 1] at the image's
    borders). Pooled over a target they are its centre, its extent and finer moments: a policy need not discover them.
    """
    rows, columns = grid
    y = (torch.arange(rows) + 0.5) * (2.0 / rows) - 1.0
    x = (torch.arange(columns) + 0.5) * (2.0 / columns) - 1.0
    y, x = (t.flatten() for t in torch.meshgrid(y, x, indexing="ij"))  # (N,)
    waves = [wave(n * torch.pi * t) for n in (1, 2, 4) for t in (x, y) for wave in (torch.sin, torch.cos)]
    smooth = torch.stack([x, y, x * x, y * y, x * y, *waves], dim=1)[:, :width]
    noise = 0.02 * torch.randn(rows * columns, width - smooth.shape[1])
    return torch.cat([smooth, noise], dim=1)
