"""Planted truths of repairs that show in what a network learns; see `truths.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from toyshift.core.arrays import Array
from toyshift.core.truths import Truth
from toyshift.policies.network.hints import HintReader, hint_loss
from toyshift.policies.repairs import dbat, divdis
from toyshift.policies.repairs.planted import linear_r2, two_cues

STEPS, CUE_STEPS, SEEDS = 400, 200, 5  # of hints, of two cues; and runs of either
ANSWER_STEPS = 500  # of two answers


# ------------------------------------------------------------ two answers to two cues


def divdis_truths() -> list[Truth]:
    """Two cues that agree in training, and independent ones, equal ones, or none in unlabelled data."""
    apart, equal, none = ([_best(cues, "divdis", seed) for seed in range(SEEDS)] for cues in (0.0, 1.0, None))
    return [
        Truth("other data hold both apart: the weaker cue, worst seed", 1.0, min(apart), 0.05),
        Truth("they agree there too: half right, middle seed", 0.6, float(np.median(equal)), 0.15),
        Truth("no other data: half right, middle seed", 0.6, float(np.median(none)), 0.15),
    ]


def dbat_truths() -> list[Truth]:
    """Two cues that agree in training, and always differ or agree in unlabelled data."""
    differ, equal = ([_best(cues, "dbat", seed) for seed in range(SEEDS)] for cues in (-1.0, 1.0))
    return [
        Truth("they differ in other data: the weaker cue, middle seed", 1.0, float(np.median(differ)), 0.1),
        Truth("they agree there too: half right, middle seed", 0.6, float(np.median(equal)), 0.15),
    ]


def _best(correlation: float | None, way: str, seed: int) -> float:
    """Accuracy of the better of two heads where the cues are independent; correlation: of the unlabelled data."""
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        x, y = two_cues(rng, 512, 1.0)
        test, truth = two_cues(rng, 2048, 0.0)
        heads = [nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 2)) for _ in range(2)]
        if way == "divdis":
            _fit(heads, x, y, rng, correlation, lambda p, _: 10.0 * divdis.mutual(p))
        else:
            earlier = heads[0]
            _fit(heads[:1], x, y, rng, None, None)
            _fit(heads[1:], x, y, rng, correlation, lambda p, other: dbat.disagree(_classes(earlier, other), p[:, 0]))
    return max(float((head(test).argmax(dim=1) == truth).float().mean()) for head in heads)


def _classes(head: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return head(x).softmax(dim=1)  # type: ignore[no-any-return]


def _fit(
    heads: Sequence[nn.Module], x: Tensor, y: Tensor, rng: torch.Generator, correlation: float | None,
    extra: Callable[[Tensor, Tensor], Tensor] | None,
) -> None:  # fmt: skip
    """Trains heads on points and their class, with a loss of their classes (B, heads, 2) of other points beside it."""
    optimizer = torch.optim.Adam([p for head in heads for p in head.parameters()], lr=0.02)
    for _ in range(CUE_STEPS):
        rows = torch.randint(0, len(x), (64,), generator=rng)
        loss = torch.stack([functional.cross_entropy(head(x[rows]), y[rows]) for head in heads]).sum()
        if correlation is not None and extra is not None:
            other, _ = two_cues(rng, 64, correlation)
            loss = loss + extra(torch.stack([head(other).softmax(dim=1) for head in heads], dim=1), other)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


# ------------------------------------------------------------ hints


def hint_truths() -> list[Truth]:
    """y = x1 x2 with x1, noise or nothing for a hint, told beside or fed to the head; and y = x or -x by chance."""
    none, found = _hinted("none"), []
    for way in ("", "fed "):
        true, noise = _hinted(f"{way}true") - none, _hinted(f"{way}noise") - none
        told, more = "fed to the head" if way else "told beside", float((true[:, 0] > 0).sum())
        found += [
            Truth(f"x1 {told}: seeds in which a probe reads more of it", float(SEEDS), more, 0),
            Truth(f"x1 {told}: seeds whose error outside falls", float(SEEDS), float((true[:, 1] < 0).sum()), 1),
            Truth(f"x1 {told}: error outside (of 0.21) changes by", -0.035, float(true[:, 1].mean()), 0.015),
            Truth(f"noise {told}: the probe reads more", 0.0, max(0.0, float(noise[:, 0].mean())), 0.0),
            Truth(f"noise {told}: error outside falls by", 0.0, max(0.0, -float(noise[:, 1].mean())), 0.005),
        ]
    one, two = _two_answers(0), _two_answers(2)
    return [
        *found,
        Truth("y = x or -x: off either, of two proposals", 0.0, max(two), 0.1),
        Truth("off either by more than 0.4, of one hint (1 = yes)", 1.0, float(min(one) > 0.4), 0.0),
    ]


class HintLearner(nn.Module):
    """Learns y from features of z; with `fed` its head reads the hint that it tells itself."""

    def __init__(self, fed: bool) -> None:
        super().__init__()
        self.fed = fed
        self.trunk = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU())
        self.head = nn.Sequential(nn.Linear(32 + fed, 32), nn.ReLU(), nn.Linear(32, 1))
        self.hint = HintReader(32, 1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        features = self.trunk(z)
        told = self.hint(features)
        read = [self.hint.read(told, None)] if self.fed else []
        return self.head(torch.cat([features, *read], dim=1)), told, features


def _drawn(seed: int) -> list[Tensor]:
    """Returns 400 z, y = x1 x2, x1 and noise; and 2000 z, y and x1 outside."""
    rng = np.random.default_rng(seed)
    mix = np.linalg.qr(rng.standard_normal((12, 12)))[0]

    def some(count: int, reach: float) -> list[Array]:
        x = rng.standard_normal((count, 12))
        x[:, :2] = rng.uniform(-reach, reach, (count, 2))
        return [x @ mix, x[:, :1] * x[:, 1:2], x[:, :1]]

    near, far = some(400, 1.0), some(2000, 1.5)
    return [torch.from_numpy(a.astype(np.float32)) for a in (*near, rng.standard_normal((400, 1)), *far)]


def _hinted(kind: str) -> Array:
    """Trains a learner for each seed, all at once; returns R2 of a probe of x1 and the error outside (seeds, 2)."""
    z, y, x1, noise, far, far_y, far_x1 = (torch.stack(each) for each in zip(*map(_drawn, range(SEEDS)), strict=True))
    learners = []
    with torch.random.fork_rng(devices=[]):
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            learners.append(HintLearner(kind.startswith("fed")))
    hint = {"none": None, "true": x1 / x1.std(dim=1, keepdim=True), "noise": noise}[kind.removeprefix("fed ")]
    state, _ = torch.func.stack_module_state(learners)
    run = torch.vmap(lambda parameters, x: torch.func.functional_call(learners[0], parameters, (x,)))
    optimizer = torch.optim.AdamW(state.values(), lr=3e-3)
    every = torch.ones(400)
    for _ in range(STEPS):
        answer, told, _ = run(state, z)
        loss = (answer - y).abs().mean(dim=(1, 2)).sum()
        if hint is not None:
            loss = loss + 0.3 * sum(hint_loss(told[s], hint[s], every, every) for s in range(SEEDS))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        answer, _, features = run(state, far)
    read = [linear_r2(f, x) for f, x in zip(features.double().numpy(), far_x1.double().numpy(), strict=True)]
    return np.column_stack([read, (answer - far_y).abs().mean(dim=(1, 2)).numpy()])


def _two_answers(proposals: int) -> list[float]:
    """Returns how far the nearest answer is off -x and off x, where y is either by chance; 0 proposals: one hint."""
    rng = torch.Generator().manual_seed(0)
    x = (torch.rand(200, 1, generator=rng) + 0.5).repeat(2, 1)
    side = torch.ones(400, 1)
    side[:200] = -1.0  # each x on both: where one side is commoner, L1 draws a single answer all the way there
    every = torch.ones(400)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        hint, head = HintReader(1, 1, proposals), nn.Sequential(nn.Linear(2, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.AdamW([*hint.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(ANSWER_STEPS):
        told = hint(x)
        read = hint.read(told, hint.explaining(told, side, every) if proposals else None)
        loss = (head(torch.cat([x, read], dim=1)) - side * x).abs().mean() + hint.loss(told, side, every, every)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        told = hint(x)
        chosen: list[Tensor | None] = [torch.full((400,), k) for k in range(proposals)]
        found = [head(torch.cat([x, hint.read(told, k)], dim=1)) for k in chosen or [None]]
    return [min(float((a - sign * x).abs().mean()) for a in found) for sign in (-1.0, 1.0)]
