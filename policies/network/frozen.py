"""Frozen encoders whose tokens are pooled first: what of a view never changes in training, and what is learnt from it.

LEGO's order: mean of the (frozen) tokens on the target, then a projection. All that is learnt comes behind the pooling,
so one pooled token per view and frame is all that training needs, and `token_cache.py` stores it. The learned positions
are pooled with the same weights as the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from toyshift.policies.batch_keys import coverage_key, place_key, token_key
from toyshift.policies.network.encoders import Jitter
from toyshift.policies.network.views import SeenView


@torch.no_grad()
def frozen_views(
    policy: Any, images: Mapping[str, Tensor], masks: Mapping[str, Tensor], jitter: Mapping[str, Jitter] | None = None
) -> dict[str, Tensor]:
    """Returns what the frozen encoders see: tokens, coverages and places by key; arguments as for `Policy.pool`."""
    out: dict[str, Tensor] = {}
    for camera in policy.cameras:
        out |= averaged(policy, camera, policy.see(camera, images, masks, jitter))
    return out


def averaged(policy: Any, camera: str, seen: SeenView) -> dict[str, Tensor]:
    """Returns one view's tokens pooled first, its coverage and its place by key."""
    tokens = policy.pooling.average(seen.tokens.float(), seen.coverage)  # (B, N, D) -> (B, D)
    out = {token_key(camera): tokens}
    if policy.config.pooling_part.on_target:
        out[coverage_key(camera)] = seen.coverage
    if seen.place is not None:
        out[place_key(camera)] = seen.place
    return out


def finish_views(policy: Any, views: Mapping[str, Tensor], told: Tensor | None = None) -> Tensor:
    """Returns the pooled views (B, V, C) of what `frozen_views` gives, by projection, position and MLP.

    Args:
        policy: whose encoders they are.
        views: tensors by key.
        told: as for `Policy.pool`.
    """
    pooled = []
    for camera in policy.cameras:
        encoder = policy.encoder_of(camera)
        x = encoder.project(views[token_key(camera)].float())
        coverage = views[coverage_key(camera)].float() if coverage_key(camera) in views else None
        if not encoder.class_only:  # a class token has no place
            x = x + policy.pooling.average(encoder.position, coverage)
        x = encoder.mlp(x)
        if policy.conditioning is not None and told is not None:
            x = policy.conditioning.modulate(x.unsqueeze(1), told).squeeze(1)
        if coverage is not None:
            x = policy.pooling.seen(x, coverage.sum(dim=-1, keepdim=True))
        if policy.place is not None:
            x = x + policy.place(views[place_key(camera)].float())
        pooled.append(x)
    return torch.stack(pooled, dim=1)
