"""Frozen encoders whose tokens are pooled first: what of a view never changes in training, and what is learnt behind it.

LEGO's order: mean of the (frozen) tokens on the target, then a projection. All that is learnt comes behind the pooling, so one pooled token per
view and frame is all that training needs, and `token_cache.py` stores it. The learned positions are pooled with the same weights as the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from toyshift.policies.config import MASKED_POOLINGS
from toyshift.policies.network.pooling import EMPTY
from toyshift.policies.network.tokens import Jitter
from toyshift.policies.token_keys import coverage_key, place_key, token_key


def _weights(coverage: Tensor) -> Tensor:
    """Turns shares of patches (B, N) into weights that add up to 1, or to 0 where the target is not seen."""
    return coverage / coverage.sum(dim=-1, keepdim=True).clamp(min=EMPTY)


@torch.no_grad()
def frozen_views(policy: Any, images: Mapping[str, Tensor], masks: Mapping[str, Tensor], jitter: Mapping[str, Jitter] | None = None) -> dict[str, Tensor]:
    """Returns what the frozen encoders see, arguments as those of `Policy.pool`: pooled tokens, coverages and places of all views by key."""
    out = {}
    masked = policy.config.pooling in MASKED_POOLINGS
    for camera in policy.cameras:
        encoder = policy.encoder_of(camera)
        image, target, coverage, place = policy.view(camera, images, masks)
        wanted = coverage > 0 if policy.config.masks_attention else None
        tokens = encoder.raw_tokens(image, target if policy.config.mask_channel else None, jitter[camera] if jitter else None, wanted).float()  # (B, N, D)
        if masked:
            out[token_key(camera)] = torch.matmul(_weights(coverage).unsqueeze(1), tokens).squeeze(1)
            out[coverage_key(camera)] = coverage
        else:
            out[token_key(camera)] = tokens.mean(dim=1)
        if place is not None:
            out[place_key(camera)] = place
    return out


def finish_views(policy: Any, views: Mapping[str, Tensor], told: Tensor | None = None) -> Tensor:
    """Returns the pooled views (B, V, C) of what `frozen_views` gives, by projection, position and MLP; `told` as for `Policy.pool`."""
    pooled = []
    for camera in policy.cameras:
        encoder = policy.encoder_of(camera)
        x = encoder.project(views[token_key(camera)].float())
        coverage = views.get(coverage_key(camera))
        if coverage is not None:
            coverage = coverage.float()
            x = x + _weights(coverage) @ encoder.position
        elif not getattr(encoder, "class_only", False):  # a class token has no place
            x = x + encoder.position.mean(dim=0)
        x = encoder.mlp(x)
        if policy.conditioning is not None and told is not None:
            x = policy.conditioning.modulate(x.unsqueeze(1), told).squeeze(1)
        if coverage is not None:
            x = torch.where(coverage.sum(dim=-1, keepdim=True) > EMPTY, x, policy.pooling.nothing.to(x.dtype))
        if policy.place is not None:
            x = x + policy.place(views[place_key(camera)].float())
        pooled.append(x)
    return torch.stack(pooled, dim=1)
