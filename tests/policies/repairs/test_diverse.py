"""DivDis and D-BAT: of two cues that agree in training, one of two answers takes the weaker one, in the sweet spot."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from toyshift.policies.repairs.dbat import disagree
from toyshift.policies.repairs.divdis import mutual

SEEDS = 5


def two_cues(rng: torch.Generator, count: int, correlation: float) -> tuple[Tensor, Tensor]:
    """Returns points (N, 2) and their class: the right cue, and a wrong one, twice as strong, that agrees so often."""
    right = torch.randint(0, 2, (count,), generator=rng)
    agrees = torch.rand(count, generator=rng) < (1.0 + correlation) / 2.0
    wrong = torch.where(agrees, right, 1 - right)
    x = torch.stack([2.0 * right - 1.0, 2.0 * (2.0 * wrong - 1.0)], dim=1)
    return x + 0.3 * torch.randn(count, 2, generator=rng), right


def best(correlation: float | None, way: str, seed: int) -> float:
    """Accuracy of the better of two heads where the cues are independent; correlation: of the unlabelled data."""
    rng = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    x, y = two_cues(rng, 512, 1.0)
    test, truth = two_cues(rng, 2048, 0.0)
    heads = [nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2)) for _ in range(2)]
    if way == "divdis":
        steps(heads, x, y, lambda p: 10.0 * mutual(p), correlation, rng)
    else:
        steps(heads[:1], x, y, lambda p: torch.zeros(()), None, rng)
        steps(heads[1:], x, y, lambda p: p, correlation, rng, earlier=heads[0])
    return max(float((head(test).argmax(dim=1) == truth).float().mean()) for head in heads)


def steps(heads, x, y, extra, correlation, rng, earlier=None) -> None:  # type: ignore[no-untyped-def]
    optimizer = torch.optim.Adam([p for head in heads for p in head.parameters()], lr=0.02)
    for _ in range(200):
        rows = torch.randint(0, len(x), (64,), generator=rng)
        loss = sum(functional.cross_entropy(head(x[rows]), y[rows]) for head in heads)
        if correlation is not None:
            other, _ = two_cues(rng, 64, correlation)
            p = torch.stack([head(other).softmax(dim=1) for head in heads], dim=1)
            with torch.no_grad():
                before = None if earlier is None else earlier(other).softmax(dim=1)
            loss = loss + (extra(p) if before is None else disagree(before, p[:, 0]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def test_divdis_finds_the_weaker_cue_where_unlabelled_data_hold_both_apart() -> None:
    assert min(best(0.0, "divdis", seed) for seed in range(SEEDS)) >= 0.95


def test_divdis_does_not_where_they_agree_there_too() -> None:
    assert np.median([best(1.0, "divdis", seed) for seed in range(SEEDS)]) <= 0.75
    assert np.median([best(None, "divdis", seed) for seed in range(SEEDS)]) <= 0.75


def test_dbat_finds_it_where_they_always_differ() -> None:
    assert np.median([best(-1.0, "dbat", seed) for seed in range(SEEDS)]) >= 0.9
    assert np.median([best(1.0, "dbat", seed) for seed in range(SEEDS)]) <= 0.75


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
