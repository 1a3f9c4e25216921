"""What a trained folder or an exported bundle says it was trained on; read without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toyshift.core.files import read_json
from toyshift.policies.checkpoints import CONFIG_FILE, CONTRACT_FILE
from toyshift.policies.config import PolicyConfig

TRAINED_ON = "trained_on"
NOBODY_KNOWS: dict[str, Any] = {"object_sets": [], "object_ids": [], "starts": []}  # what a policy of before began with


def trained_on(folder: str | Path) -> list[dict[str, Any]] | None:
    """Returns what `data.store.provenance.provenance` says of each dataset that a policy was trained on.

    None where nobody knows: servers, foreign policies, and folders from before it was written down.
    """
    for name in (CONFIG_FILE, CONTRACT_FILE):
        if (path := Path(folder) / name).is_file():
            value = read_json(path, "restore it from a copy, or delete the folder and make it again")
            if isinstance(value, dict) and TRAINED_ON in value:
                return list(value[TRAINED_ON])
    return None


def policy_config(folder: str | Path) -> PolicyConfig | None:
    """Returns the configuration of a trained folder's or a bundle's policy; None where it says none."""
    for name in (CONFIG_FILE, CONTRACT_FILE):
        if (path := Path(folder) / name).is_file():
            value = read_json(path, "restore it from a copy, or delete the folder and make it again")
            if isinstance(value, dict) and "policy" in value:
                return PolicyConfig.from_json(value["policy"])
    return None
