"""Pooling: tokens (B, V, N, C) and the target's share of each patch (B, V, N) -> one vector per view (B, V, C)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from toyshift.policies.parts import POOLINGS, part_of

EMPTY = 1e-6  # coverage below this share of one patch counts as "nothing seen"


def make_pooling(name: str, width: int, grid: tuple[int, int]) -> nn.Module:
    """Builds a pooling for tokens of `width` channels on a grid of (rows, columns) patches.

    Raises:
        UnknownNameError: no pooling has this name.
    """
    make = part_of("pooling", name, POOLINGS)
    pooling: nn.Module = make(width, grid) if POOLINGS[name].grid else make(width)
    return pooling


class DetPool(nn.Module):
    """Detection pooling: the coverage-weighted mean of the target's tokens.

    A patch counts by the share of it that the target covers, so that the pooled position is finer than a patch. What
    the mask does inside the encoder is the encoder's business: a ViT keeps the target's tokens from attending to the
    others with `detpool` and `box` (the text of LEGO) and not with `detpool-post` (its appendix E). A conv encoder
    cannot: there the three names mean this pooling alone, and background reaches the result through receptive fields
    (`benchmarks/leakage.py`).

    A view in which the target covers nothing gives the learned vector `nothing`, whatever the tokens are.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.nothing = nn.Parameter(0.02 * torch.randn(width))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        weight = mask.unsqueeze(-2)  # (B, V, 1, N)
        total = weight.sum(dim=-1)  # (B, V, 1)
        return self.seen(torch.matmul(weight, tokens).squeeze(-2) / total.clamp(min=EMPTY), total)

    def average(self, x: Tensor, coverage: Tensor) -> Tensor:
        """Returns the mean (B, D) of frozen tokens (B, N, D) or of positions (N, D) by coverage (B, N); 0 of nothing.

        Divides first and `forward` last: the last bits of cached tokens, and of what was trained, depend on it.
        """
        share = coverage / coverage.sum(dim=-1, keepdim=True).clamp(min=EMPTY)
        return torch.matmul(share.unsqueeze(-2), x).squeeze(-2)

    def seen(self, mean: Tensor, total: Tensor) -> Tensor:
        """Returns the mean (..., C) where the target covers anything, in total (..., 1), and `nothing` elsewhere."""
        return torch.where(total > EMPTY, mean, self.nothing.to(mean.dtype))


class MeanPool(nn.Module):
    """The mean of all tokens; ignores the mask."""

    def __init__(self, width: int) -> None:
        super().__init__()

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        return tokens.mean(dim=-2)

    average = forward  # of tokens (B, N, D) or positions (N, D)


class SpatialSoftmax(nn.Module):
    """Spatial softmax: each of C/2 learned maps is softmax-normalised over the patches, the result is its mean x and y.

    Places are in [-1, 1] between the image's borders; ignores the mask. What is seen at a place is not passed on, as in
    Levine et al. 2016.
    """

    places: Tensor

    def __init__(self, width: int, grid: tuple[int, int]) -> None:
        super().__init__()
        rows, columns = ((torch.arange(n) + 0.5) * (2.0 / n) - 1.0 for n in grid)
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        self.register_buffer("places", torch.stack([x.flatten(), y.flatten()], dim=1), persistent=False)  # (N, 2)
        self.maps = nn.Linear(width, width // 2)
        self.sharpness = nn.Parameter(torch.ones(()))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        weight = (self.sharpness * self.maps(tokens)).softmax(dim=-2)  # (B, V, N, C/2)
        return torch.matmul(weight.transpose(-2, -1), self.places.to(weight.dtype)).flatten(-2)  # (B, V, C)


class EfficientProbing(nn.Module):
    """Efficient probing: M learned queries meet the tokens themselves (no query or key projection); ignores the mask.

    Each query's weights average its own block of C/M channels of the values, as in Psomas et al. 2025: M C + C^2
    parameters.
    """

    QUERIES = 32

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = math.gcd(self.QUERIES, width)
        self.query = nn.Parameter(torch.randn(self.heads, width))
        self.value = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        batch, views, count, width = tokens.shape
        weight = (torch.matmul(tokens, self.query.t()) * width**-0.5).softmax(dim=2)  # (B, V, N, M)
        value = self.value(tokens).reshape(batch, views, count, self.heads, -1)  # (B, V, N, M, C/M)
        out: Tensor = (weight.unsqueeze(-1) * value).sum(dim=2).flatten(-2)
        return out


class AttentionPool(nn.Module):
    """Attention pooling: a learned query per head takes a softmax-weighted mean of projected tokens; ignores the mask.

    The projections are linear, so that the queries go through the key projection, and the heads' means through the
    value projection, in place of every token: the same function for a fraction of the arithmetic. A key bias would add
    the same to all logits of a head.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.randn(heads, width // heads))
        self.norm = nn.LayerNorm(width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        width, depth = tokens.shape[-1], tokens.shape[-1] // self.heads
        x = self.norm(tokens)
        key, value = (weight.reshape(self.heads, depth, width) for weight in (self.key.weight, self.value.weight))
        query = torch.matmul(self.query.unsqueeze(1), key).squeeze(1) * depth**-0.5  # (heads, C)
        weight = torch.matmul(x, query.t()).softmax(dim=-2)  # (B, V, N, heads)
        mean = torch.matmul(weight.transpose(-2, -1), x)  # (B, V, heads, C)
        pooled = torch.matmul(value, mean.unsqueeze(-1)).flatten(-3) + self.value.bias  # (B, V, C)
        out: Tensor = self.out(pooled)
        return out


class ClsPool(nn.Module):
    """A learned class token that attends to all tokens in one pre-norm transformer block; ignores the mask.

    Only the class token's row of the block is computed: the other rows would be thrown away. `query` and `norm` are
    read by nothing. They stay because trained folders and checkpoints hold them, and reinforcement learning's its
    moments by the number of a parameter; what is drawn after them would differ as well.
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
