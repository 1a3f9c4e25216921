"""Every kind of policy exported: its bundle's actions are the folder's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.policies import export, load_policy, verify
from toyshift.policies.act.bundle_format import read_golden
from toyshift.policies.config import POOLING_NAMES

Make = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("one_table_of_operators")

# an export takes seconds: each case combines what has nothing to do with each other, and most see one camera; `detpool`
# with conv-small and the instruction `minilm` are exported in `test_bundle.py`
EXPORTED: list[dict[str, Any]] = [
    {"pooling": "mean", "share_encoder": True, "cameras": ("front", "wrist")},
    {"pooling": "cls", "coordinates": True},
    {"pooling": "attention", "norm": "group", "mask_input": True},
    {"pooling": "spatial-softmax", "encoder": "conv-classic", "cameras": ("wrist",), "state_keep": ("y",)},
    {"pooling": "efficient-probing", "hint": "pixel"},
    {"pooling": "mask-channel", "state_keep": ("none",)},
    {"pooling": "detpool", "encoder": "resnet18"},
    {"pooling": "detpool-post", "mask_input": True},
    {"pooling": "box", "encoder_size": 48},
    {"pooling": "crop", "encoder": "efficientnet-lite0"},  # of 50 layers: a small difference of a crop becomes large
    {"pooling": "detpool-post", "encoder": "vit-tiny"},
]


def test_every_pooling_is_among_the_exported() -> None:
    assert {case["pooling"] for case in EXPORTED} == set(POOLING_NAMES)


@pytest.mark.parametrize(
    "policy", EXPORTED, ids=[f"{case['pooling']}-{case.get('encoder', 'conv-small')}" for case in EXPORTED]
)
def test_every_kind_of_policy_exports(
    policy: dict[str, Any], save_untrained: Make, observation: Make, tmp_path: Path, shrink_vit: Make
) -> None:
    if policy.get("encoder") in ("resnet18", "efficientnet-lite0", "vit-tiny"):
        pytest.importorskip("timm")
        shrink_vit(48, 2, 3)
    folder = save_untrained(tmp_path / "run", policy={"cameras": ("front",)} | policy)
    assert difference(folder, export(folder, tmp_path / "bundle"), observation) <= 1e-5


def difference(folder: Path, bundle: Path, observation: Make) -> float:
    """Returns how far a bundle's actions are from its folder's, on golden vectors and on another observation."""
    verified = float(verify(bundle)["largest_difference"])
    _, golden = read_golden(bundle)
    assert np.ptp(golden["actions"], axis=0).max() > 1e-3
    ours, theirs = load_policy(folder), load_policy(bundle)
    obs = observation(ours)
    if not ours.needs_masks:
        del obs["masks"]
    return max(verified, float(np.abs(ours.act(obs) - theirs.act(obs)).max()))
