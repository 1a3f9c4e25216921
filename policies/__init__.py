"""Policies: network, training, checkpoints and export; importing this room imports neither torch nor MuJoCo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toyshift.core.lazy import lazy_names

if TYPE_CHECKING:
    from toyshift.policies.act.acting_policy import ActingPolicy as ActingPolicy
    from toyshift.policies.act.bundle import export as export
    from toyshift.policies.act.loading import load_policy as load_policy
    from toyshift.policies.act.verification import verify as verify
    from toyshift.policies.config import PolicyConfig as PolicyConfig
    from toyshift.policies.network.policy import Policy as Policy
    from toyshift.policies.training.config import TrainConfig as TrainConfig
    from toyshift.policies.training.train import train as train

# No inner room may be called train, export or verify: importing it would put the module in the function's place.
_PLACES = {
    "ActingPolicy": "act.acting_policy",
    "Policy": "network.policy",
    "PolicyConfig": "config",
    "TrainConfig": "training.config",
    "export": "act.bundle",
    "load_policy": "act.loading",
    "train": "training.train",
    "verify": "act.verification",
}
__getattr__, __dir__ = lazy_names(__name__, _PLACES)
