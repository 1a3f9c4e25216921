"""LEGO's policy network: a causal transformer over one token per observation of the history."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from toyshift.policies.config import PolicyConfig
from toyshift.policies.parts import TRANSFORMERS


class Block(nn.Module):
    """A pre-norm transformer block whose attention is given which pairs it may use."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, allowed: Tensor) -> Tensor:  # (B, T, D), (B or 1, 1, T, T) bool -> (B, T, D)
        batch, steps, width = x.shape
        # each (B, heads, T, D/heads)
        q, k, v = self.qkv(self.norm(x)).reshape(batch, steps, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        # written out: on CPUs the backward pass of scaled_dot_product_attention takes five times as long for such short
        # histories
        scores = (q @ k.transpose(-2, -1)) * q.shape[-1] ** -0.5
        mixed = scores.masked_fill(~allowed, float("-inf")).softmax(dim=-1).to(v.dtype) @ v
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, steps, width))
        out: Tensor = x + self.down(functional.gelu(self.up(self.norm_mlp(x))))
        return out


class HistoryTransformer(nn.Module):
    """Features of T steps -> an MLP makes one token of each -> causal transformer -> features of T steps.

    The newest step always has the last position, so that a short history (the start of an episode) needs no padding.

    Args:
        features: size of a step's features (state and one pooled vector per view).
        config: policy_net and history are used.
    """

    def __init__(self, features: int, config: PolicyConfig) -> None:
        super().__init__()
        self.width, depth, heads = TRANSFORMERS[config.policy_net]
        self.steps = config.steps_seen
        self.enter = nn.Sequential(nn.Linear(features, self.width), nn.GELU(), nn.Linear(self.width, self.width))
        self.position = nn.Parameter(0.02 * torch.randn(self.steps, self.width))
        self.blocks = nn.ModuleList([Block(self.width, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(self.width)

    def forward(self, features: Tensor, is_pad: Tensor | None = None) -> Tensor:
        """Returns (B, T, D) from features (B, T, F), T <= history; step t depends on the steps up to t alone.

        Args:
            features: the oldest step first.
            is_pad: (B, T) bool, steps before the episode's start, which the others ignore; their own results mean
                nothing.
        """
        steps = features.shape[1]
        x = self.enter(features) + self.position[self.steps - steps :]
        index = torch.arange(steps, device=x.device)
        allowed = (index[:, None] >= index)[None, None]
        if is_pad is not None:  # a padded step may look at itself: a softmax over nothing is not a number
            allowed = (allowed & ~is_pad[:, None, None, :]) | (index[:, None] == index)
        for block in self.blocks:
            x = block(x, allowed)
        out: Tensor = self.norm(x)
        return out
