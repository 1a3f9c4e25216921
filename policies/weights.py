"""Loading weights into a policy of the same make, and nothing else."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from toyshift.core.errors import FileError
from toyshift.policies.policy import Policy


def load_weights(policy: Policy, tensors: dict[str, Tensor], folder: Path) -> None:
    """Loads weights into a policy of the same make.

    Raises:
        FileError: names or shapes differ.
    """
    own = policy.state_dict()
    wrong = sorted(set(own) ^ set(tensors)) + [k for k in own if k in tensors and own[k].shape != tensors[k].shape]
    if wrong:
        raise FileError(f"the weights in {folder} are of another policy: {len(wrong)} tensors are missing, extra or of another shape, first {wrong[0]!r}")
    policy.load_state_dict(tensors)
