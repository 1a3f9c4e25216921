"""Pooling: patch tokens (B, V, N, C) and the target's coverage of each patch (B, V, N) -> one vector per view (B, V, C)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from toyshift.core.contract import MASK_TARGET
from toyshift.core.errors import UnknownNameError
from toyshift.policies.encoders import PATCH

EMPTY = 1e-6  # coverage below this share of one patch counts as "nothing seen"


def target_pixels(masks: Tensor) -> Tensor:
    """Marks the target in label masks: (..., H, W) uint8 -> (..., H, W) float, 1 on pixels labelled as the target."""
    return (masks == MASK_TARGET).float()


def patch_coverage(target: Tensor) -> Tensor:
    """Returns the share of each patch that the target covers: (B, H, W) float -> (B, N) float in [0, 1], row by row."""
    batch, height, width = target.shape
    blocks = target.reshape(batch, height // PATCH, PATCH, width // PATCH, PATCH)
    return blocks.mean(dim=(2, 4)).flatten(1)


class DetPool(nn.Module):
    """Detection pooling: the coverage-weighted mean of the target's tokens.

    A patch counts by the share of it that the target covers, so that the pooled position is finer than a patch. The
    mask acts here only, not inside the encoder: on a conv encoder this is detection pooling as in appendix E of LEGO,
    and background reaches the result through the receptive fields of the tokens on the target.

    A view in which the target covers nothing gives the learned vector `nothing`, whatever the tokens are.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.nothing = nn.Parameter(0.02 * torch.randn(width))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        weight = mask.unsqueeze(-2)  # (B, V, 1, N)
        total = weight.sum(dim=-1)  # (B, V, 1)
        mean = torch.matmul(weight, tokens).squeeze(-2) / total.clamp(min=EMPTY)  # (B, V, C)
        return torch.where(total > EMPTY, mean, self.nothing.to(mean.dtype))


class MeanPool(nn.Module):
    """The mean of all tokens; ignores the mask."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return tokens.mean(dim=-2)


class AttentionPool(nn.Module):
    """Attention pooling: a learned query per head takes a softmax-weighted mean of projected tokens; ignores the mask."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.randn(heads, width // heads))
        self.norm = nn.LayerNorm(width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        batch, views, count, width = tokens.shape
        x = self.norm(tokens)
        key = self.key(x).reshape(batch, views, count, self.heads, -1)  # (B, V, N, heads, D)
        value = self.value(x).reshape(batch, views, count, self.heads, -1)
        logits = (key * self.query).sum(dim=-1) * (width // self.heads) ** -0.5  # (B, V, N, heads)
        weight = logits.softmax(dim=2)
        pooled = (weight.unsqueeze(-1) * value).sum(dim=2)  # (B, V, heads, D)
        out: Tensor = self.out(pooled.reshape(batch, views, width))
        return out


class ClsPool(nn.Module):
    """A learned class token that attends to all tokens in one pre-norm transformer block; ignores the mask.

    Only the class token's row of the block is computed: the other rows would be thrown away.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(0.02 * torch.randn(width))
        self.query = nn.Linear(width, width)
        self.attend = AttentionPool(width)
        self.norm = nn.LayerNorm(width)
        self.norm_mlp = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.final = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        batch, views, _, width = tokens.shape
        token = self.token.expand(batch, views, width)
        x = token + self.attend(torch.cat([token.unsqueeze(2), tokens], dim=2), mask)
        x = x + self.down(torch.nn.functional.gelu(self.up(self.norm_mlp(x))))
        out: Tensor = self.final(x)
        return out


POOLINGS: dict[str, Callable[[int], nn.Module]] = {
    "detpool": DetPool,
    "mean": MeanPool,
    "cls": ClsPool,
    "attention": AttentionPool,
}


def make_pooling(name: str, width: int) -> nn.Module:
    """Builds a pooling for tokens of `width` channels.

    Raises:
        UnknownNameError: no pooling has this name.
    """
    if name not in POOLINGS:
        raise UnknownNameError("pooling", name, POOLINGS)
    return POOLINGS[name](width)
