"""How weights are moved: the learning rate of each step, what decays, and the average of the weights over time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from toyshift.policies.network.policy import Policy
from toyshift.policies.training.config import TrainConfig


def learning_rate(config: TrainConfig, step: int) -> float:
    """Returns the learning rate of a step (from 0): linear warm-up, then a cosine to lr_end * lr at the last step."""
    warmup = min(config.warmup, config.steps // 5)
    if step < warmup:
        return config.lr * (step + 1) / warmup
    progress = (step - warmup) / max(1, config.steps - 1 - warmup)
    return config.lr * (config.lr_end + (1.0 - config.lr_end) * 0.5 * (1.0 + math.cos(math.pi * progress)))


def parameter_groups(named: Mapping[str, nn.Parameter], config: TrainConfig) -> list[dict[str, Any]]:
    """Decays kernels and matrices, not biases, norms and learned vectors; `scale` is the share of the learning rate."""
    groups = []
    for scale in sorted({1.0, config.encoder_lr_scale}, reverse=True):
        own = [
            p for name, p in named.items()
            if p.requires_grad and (config.encoder_lr_scale if name.startswith("encoders.") else 1.0) == scale
        ]
        groups += [
            {"params": [p for p in own if p.ndim > 1], "weight_decay": config.weight_decay, "scale": scale},
            {"params": [p for p in own if p.ndim <= 1], "weight_decay": 0.0, "scale": scale},
        ]
    return [group for group in groups if group["params"]]


def averaged(policy: Policy, average: dict[str, Tensor], decay: float, step: int) -> None:
    """Moves the averaged weights (by name) towards the policy's, after `step` optimiser steps (from 0)."""
    decay = min(decay, (1 + step) / (10 + step))  # short runs must forget their start
    with torch.no_grad():
        parameters = [p.detach() for p in policy.parameters() if p.requires_grad]
        torch._foreach_lerp_(list(average.values()), parameters, 1.0 - decay)
