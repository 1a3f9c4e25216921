"""Policies: encoders, pooling, heads, training, checkpoints and export; importing this room imports neither torch nor MuJoCo."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toyshift.policies.acting import ActingPolicy, load_policy
    from toyshift.policies.bundle import export
    from toyshift.policies.config import PolicyConfig, TrainConfig
    from toyshift.policies.policy import Policy
    from toyshift.policies.training import train
    from toyshift.policies.verification import verify

_EXPORTS = {
    "ActingPolicy": "toyshift.policies.acting",
    "Policy": "toyshift.policies.policy",
    "PolicyConfig": "toyshift.policies.config",
    "TrainConfig": "toyshift.policies.config",
    "export": "toyshift.policies.bundle",
    "load_policy": "toyshift.policies.acting",
    "train": "toyshift.policies.training",
    "verify": "toyshift.policies.verification",
}

__all__ = ["ActingPolicy", "Policy", "PolicyConfig", "TrainConfig", "export", "load_policy", "train", "verify"]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # no submodule may be called train, export or verify: importing it would put the module in the function's place
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
