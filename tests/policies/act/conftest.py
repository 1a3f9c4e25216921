"""Observations for policies of the room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from toyshift.policies import ActingPolicy


@pytest.fixture(scope="session")
def observation() -> Callable[..., dict[str, Any]]:
    """Returns what makes an observation that a policy takes, another one for every seed."""

    def make(policy: ActingPolicy, seed: int = 0) -> dict[str, Any]:
        rng = np.random.default_rng(seed)
        sizes = dict(policy.observation_contract.cameras)
        masks = {c: np.zeros(s, np.uint8) for c, s in sizes.items()}
        for mask in masks.values():
            mask[5:14, 3:17] = 1
        return {
            "pixels": {c: rng.integers(0, 256, (*s, 3), dtype=np.uint8) for c, s in sizes.items()}, "masks": masks,
            "agent_pos": rng.normal(size=len(policy.observation_contract.state_names)).astype(np.float32),
        }

    return make
