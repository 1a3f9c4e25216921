"""Features of paired looks, in which one factor changed and nothing else: what a diagnosis saves, and `erase` reads."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Float32, Indices
from toyshift.core.errors import FileError, UnknownNameError
from toyshift.core.files import atomic_path
from toyshift.policies import checkpoints

AGAIN = "`toyshift diagnose --policy DIR --measure steer` writes it"
POLICY, BASE, CHANGED, LEVELS = "policy", "base", "changed.", "levels."  # members, and starts of their names


@dataclasses.dataclass(frozen=True, eq=False)
class FeaturePairs:
    """What a policy makes of the same looks, unchanged and with a factor changed.

    Attributes:
        policy: SHA-256 of the weights that made them.
        base: (N, F) pooled views of the looks unchanged.
        changed: factor -> (N, F), with it changed.
        levels: factor -> (N,) the level that it was changed to, from 1 on.
    """

    policy: str
    base: Float32
    changed: Mapping[str, Float32]
    levels: Mapping[str, Indices]

    def of(self, factor: str) -> tuple[Float32, Float32, Indices]:
        """Returns the features unchanged and changed (N, F), and the levels (N,), of one factor.

        Raises:
            UnknownNameError: it was not changed.
        """
        if factor not in self.changed:
            raise UnknownNameError("factor of pairs", factor, self.changed)
        return self.base, self.changed[factor], self.levels[factor]


def weights_of(folder: Path) -> str:
    """Returns the SHA-256 of the weights that act in a trained folder."""
    state = checkpoints.read_state(folder)
    return str(state["files"][checkpoints.weights_to_act(state)]["sha256"])


def write_pairs(path: Path, pairs: FeaturePairs) -> None:
    """Writes pairs as an NPZ file."""
    members: dict[str, Any] = {POLICY: np.array(pairs.policy), BASE: pairs.base}
    members |= {f"{CHANGED}{name}": changed for name, changed in pairs.changed.items()}
    members |= {f"{LEVELS}{name}": levels for name, levels in pairs.levels.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **members)


def read_pairs(path: Path) -> FeaturePairs:
    """Reads what `write_pairs` wrote.

    Raises:
        FileError: the file is missing or damaged, or holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            members = {name: archive[name] for name in archive.files}
        names = [name.removeprefix(CHANGED) for name in members if name.startswith(CHANGED)]
        changed = {name: members[CHANGED + name] for name in names}
        pairs = FeaturePairs(
            str(members[POLICY]), members[BASE], changed, {name: members[LEVELS + name] for name in names}
        )
        shape = pairs.base.shape
        views = (pairs.base, *changed.values())
        whole = len(shape) == 2 and all(x.shape == shape and np.isfinite(x).all() for x in views)
        if not (whole and all(x.shape == shape[:1] and x.dtype.kind == "i" for x in pairs.levels.values())):
            raise ValueError("its arrays are not pairs of features")
    except (OSError, ValueError, KeyError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise FileError(f"cannot read pairs from {path} ({error}); {AGAIN}") from error
    return pairs
