"""IVL: a cue with drawn noise keeps the coefficient that the closed form says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toyshift.policies.batch_keys import SETUP, bias_key, gain_key
from toyshift.policies.repairs.ivl import instruments, ivl


def test_it_is_anchor_regression() -> None:
    """gamma |P r|^2 + |(1 - P) r|^2 with gamma = (1 + alpha) / alpha, but for a factor."""
    rng = np.random.default_rng(1)
    r, g = rng.standard_normal((200, 5)), rng.standard_normal((200, 3))
    centred = g - g.mean(axis=0)
    inside = centred @ np.linalg.lstsq(centred, r, rcond=None)[0]
    alpha = 0.2
    anchor = (1 + alpha) / alpha * (inside**2).sum() + ((r - inside) ** 2).sum()
    found = float(ivl(torch.from_numpy(r), torch.from_numpy(g), alpha))
    assert found * r.size * (1 + alpha) / alpha == pytest.approx(anchor, rel=1e-4)


def test_instruments_are_gains_shifts_and_the_dataset() -> None:
    rng = np.random.default_rng(0)
    batch = {
        SETUP: torch.tensor([0, 1, 0, 1, 1]), gain_key("front"): torch.from_numpy(rng.random((5, 3), np.float32)),
        bias_key("front"): torch.from_numpy(rng.random(5, np.float32)),
    }  # fmt: skip
    table = instruments(("front", "wrist"), batch)
    assert table.shape == (5, 2 + 3 + 1)
    assert torch.allclose(table.std(dim=0), torch.ones(6), atol=1e-5)
