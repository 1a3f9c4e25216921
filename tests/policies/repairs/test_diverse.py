"""DivDis and D-BAT: of two cues that agree in training, one of two answers takes the weaker one, in the sweet spot."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from toyshift.policies.repairs.dbat import disagree
from toyshift.policies.repairs.divdis import mutual


def test_mutual_information_is_that_of_the_table() -> None:
    same = torch.eye(4).repeat(8, 1).unsqueeze(1).repeat(1, 2, 1)  # (32, 2, 4), both heads the same class
    assert mutual(same).item() == pytest.approx(np.log(4), abs=1e-4)
    first, second = torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")
    apart = torch.stack([functional.one_hot(i.flatten(), 4).float() for i in (first, second)], dim=1)
    assert mutual(apart).item() == pytest.approx(0.0, abs=1e-4)
    third = torch.cat([same, same[:, :1]], dim=1)  # mean over pairs
    assert mutual(third).item() == pytest.approx(np.log(4), abs=1e-4)


def test_disagreement_is_about_the_earlier_ones_top_class() -> None:
    earlier = torch.tensor([[1.0, 0.0, 0.0]])
    assert disagree(earlier, torch.tensor([[0.0, 1.0, 0.0]])).item() == pytest.approx(0.0, abs=1e-5)
    assert disagree(earlier, torch.tensor([[0.5, 0.5, 0.0]])).item() == pytest.approx(np.log(2), abs=1e-5)
    assert disagree(earlier, torch.tensor([[1.0, 0.0, 0.0]])).item() > 15.0
