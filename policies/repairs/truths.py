"""Planted truths of repairs of training: what each is to do with data whose answer is known, and what it does.

Those that learn for seconds stand in `learnt_truths.py`. Their data are in `planted.py`.
"""

from __future__ import annotations

import numpy as np
import torch

from toyshift.core.arrays import Array, Float32, Indices
from toyshift.core.truths import Truth
from toyshift.policies import unknown_names
from toyshift.policies.network import erasing
from toyshift.policies.repairs import ivl, planted, repairs_of, useful

FAST, STEPS, SEEDS = 0.85, 100, 5  # of USEFUL's points; long after, a linear model is where it would be without
POOLINGS = ("mean", "detpool", "attention")


def blind_truths() -> list[Truth]:
    """Images and their negatives, masks and moved ones: none of them acts."""
    return [*_unmoved("blind"), _told_by_masks("blind", 0.0)]


def prototype_truths() -> list[Truth]:
    """Images and their negatives do not act, masks do."""
    return [*_unmoved("prototype"), _told_by_masks("prototype", 1.0)]


def _unmoved(repair: str) -> list[Truth]:
    found = []
    for pooling in POOLINGS:
        policy = planted.seeing(repair, pooling)
        moved = float((planted.answers(policy) - planted.answers(policy, negative=True)).abs().max())
        found.append(Truth(f"{pooling}: the images' negative moves actions by", 0.0, moved, 0.0))
    bare = planted.seeing("", "mean")
    moves = not torch.equal(planted.answers(bare), planted.answers(bare, negative=True))
    return [*found, Truth("without the repair it moves them (1 = yes)", 1.0, float(moves), 0.0)]


def _told_by_masks(repair: str, truth: float) -> Truth:
    acts = 0
    for pooling in POOLINGS:
        policy = planted.seeing(repair, pooling)
        acts += not torch.equal(planted.answers(policy), planted.answers(policy, moved=5))
    return Truth("share of poolings in which moved masks move actions", truth, acts / len(POOLINGS), 0.0)


def sam_truths() -> list[Truth]:
    """A valley with a sharp minimum at -1 and a flat one at 2, and the gradient where there is the flat one alone."""
    valley = planted.Valley(10.0)
    (sam,) = repairs_of("sam?rho=0.5")
    sam.gradients(valley, {})  # type: ignore[arg-type]  # as much of a run as it asks for
    assert valley.w.grad is not None
    return [
        Truth("next to none for rho: the sharp minimum holds it", -1.0, planted.descended("sam?rho=1e-6", -1.05), 0.05),
        Truth("rho 0.5: it leaves the sharp one (1 = yes)", 1.0,
              float(abs(planted.descended("sam?rho=0.5", -1.05) + 1.0) > 0.4), 0.0),
        Truth("rho 0.5: the flat minimum holds it", 2.0, planted.descended("sam?rho=0.5", 1.0), 0.6),
        Truth("the gradient is that 0.5 up the slope", 0.1 * (10.5 - 2.0), float(valley.w.grad), 1e-9),
    ]  # fmt: skip


def m3_truths() -> list[Truth]:
    """A common part, and one of each third of a batch."""
    common, parts = planted.common_and_own(3)
    return [*_common("m3", common, parts), _plain(common, parts)]


def rm3_truths() -> list[Truth]:
    """A common part, and one of each of three steps."""
    common, parts = planted.common_and_own(3)
    steps = [part[None] for part in parts]
    early = sum(planted.repaired_gradient("rm3", *steps[:count]) is not None for count in (1, 2))
    return [
        *_common("rm3", common, *steps),
        _plain(common, parts),
        Truth("gradients before the third step", 0.0, float(early), 0.0),
    ]


def winsor_truths() -> list[Truth]:
    """Parts 0 to 6 and one that is far off, and a common part beside one of each of eight parts."""
    far = [torch.tensor([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [off]]) for off in (1e6, 1e9)]
    common, parts = planted.common_and_own(8)
    return [
        *(Truth(f"0 to 6 and {float(part[-1]):.0e}: as 1, 1, 2, 3, 4, 5, 6, 6", 28 / 8, _entry("winsor", part), 1e-6)
          for part in far),
        *_common("winsor", common, parts, within=1e-5),
    ]  # fmt: skip


def _entry(repair: str, batch: torch.Tensor) -> float:
    found = planted.repaired_gradient(repair, batch)
    assert found is not None
    return float(found)


def _common(repair: str, common: torch.Tensor, *batches: torch.Tensor, within: float = 0.0) -> list[Truth]:
    found = planted.repaired_gradient(repair, *batches)
    off = float("nan") if found is None else float((found - common).abs().max())
    return [Truth("the gradient is off the common part by", 0.0, off, within)]


def _plain(common: torch.Tensor, parts: torch.Tensor) -> Truth:
    off = float((parts.mean(dim=0) - common).abs().mean())
    return Truth("the mean is off by more than 1 (1 = yes)", 1.0, float(off > 1.0), 0.0)


def useful_truths() -> list[Truth]:
    """A fast feature in 85 % of the points, and a slow one in all: who lacks the fast one is found, and learnt."""
    lacking, others = [], []
    scores: dict[str, list[float]] = {"plain": [], "random": [], "useful": []}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        x, sign, has = planted.fast_slow(rng, 600, FAST)
        other, truth, _ = planted.fast_slow(rng, 20_000, 0.0)
        shown = _shown(x, sign)
        lacking.append(float((shown == 2)[~has].mean()))
        others.append(float(has[shown == 2].mean()) if (shown == 2).any() else 1.0)
        ways = {"plain": np.ones(len(x)), "random": rng.permutation(shown), "useful": shown}
        for name, weights in ways.items():
            w = planted.fitted(x, sign, np.asarray(weights, np.float64), STEPS)
            scores[name].append(float((np.sign(other @ w) == truth).mean()))
    gain, chance = (np.subtract(scores[name], scores["plain"]) for name in ("useful", "random"))
    return [
        Truth("shown twice, of those without the fast feature", 1.0, min(lacking), 0.03),
        Truth("others among those shown twice", 0.0, max(others), 0.15),
        Truth("accuracy without the fast feature rises by", 0.0075, float(gain.mean()), 0.0025),
        Truth("seeds in which it rises by more than 0.002", float(SEEDS), float((gain > 0.002).sum()), 0.0),
        Truth("by as many at random it does not", 0.0, float(chance.mean()), 0.0021),
    ]


def _shown(x: Array, sign: Array) -> Indices:
    """Returns how often each point is shown after a first training of 8 % of the steps."""
    logits = x @ planted.fitted(x, sign, np.ones(len(x)), round(0.08 * STEPS))
    return useful.repeats(logits[:, None], np.logaddexp(0.0, -sign * logits), (sign > 0).astype(int))


def ivl_truths() -> list[Truth]:
    """A cue with drawn noise g, whose coefficient the closed form says; of a large alpha that of plain augmentation."""
    found = []
    for g, alpha in ((0.5, 0.1), (0.5, 1.0), (1.0, 0.1), (1.0, 1.0), (0.5, 1e5)):
        x, y, noise = planted.noisy_cue(g)
        low, middle, high = (float(ivl.ivl(y - h * x, noise, alpha)) for h in (-1.0, 0.0, 1.0))
        coefficient = (low - high) / (2.0 * (low - 2.0 * middle + high))  # the loss is a parabola in it
        words = f"noise {g:g}, alpha {alpha:g}: coefficient of the cue"
        found.append(Truth(words, 0.3 / (1.0 + g**2 + g**2 / alpha), coefficient, 0.012))
    return found


def erase_truths() -> list[Truth]:
    """A place and a factor in mixed features, that go together or not; fitted on the data, and on pairs."""
    x, place, z = planted.place_and_factor(rho=0.0)
    tied, here, values = planted.place_and_factor(rho=1.0)
    left, rest = _erased(x, z), _erased(tied, values)
    covariance = (left - left.mean(axis=0)).T @ (z - z.mean(axis=0)) / len(x)
    rng = np.random.default_rng(3)
    levels = np.arange(300) % 2 + 1  # few, and each level at places of its own
    places = rng.uniform(-1, 1, 300) + 0.5 * levels
    base, changed = planted.mixed(places, np.zeros(300, np.int64), 4), planted.mixed(places, levels, 4)
    projection, mean = erasing.paired_leace(base, changed, levels)
    paired = [one - (one - mean) @ projection.T for one in (x, tied)]
    r2 = planted.linear_r2
    return [
        Truth("covariance of features and factor", 0.0, float(np.abs(covariance).max()), 1e-12),
        Truth("R2 of the factor", 0.0, r2(left, z), 1e-9),
        Truth("before: R2 of the factor", 1.0, r2(x, z), 0.1),
        Truth("R2 of the place", 1.0, r2(left, place[:, None]), 0.05),
        Truth("share of the features' variance that goes", 0.25, float(((left - x) ** 2).mean() / x.var(axis=0).mean()),
              0.25),
        Truth("they go together: R2 of the place (within a value)", 0.12, r2(rest, here[:, None]), 0.13),
        Truth("on pairs: R2 of the factor", 0.0, r2(paired[0], z), 0.01),
        Truth("on pairs: R2 of the place", 1.0, r2(paired[0], place[:, None]), 0.05),
        Truth("on pairs, they go together: R2 of the place", 1.0, r2(paired[1], here[:, None]), 0.05),
    ]  # fmt: skip


def _erased(x: Array, z: Array) -> Array:
    projection, mean = erasing.leace(x, z)
    return np.asarray(x - (x - mean) @ projection.T)


def fallback_truths() -> list[Truth]:
    """Sentences around one direction, fresh ones of their kind, and those around another."""
    kind, other = np.eye(16)[:2]
    known = planted.around(kind, 0.1, 400, 0)
    least = unknown_names.threshold(known, 0.05)

    def unknown(vectors: Float32) -> float:
        return float(np.mean([unknown_names.is_unknown(one, known, least) for one in vectors]))

    return [
        Truth("fresh ones of their kind count as unknown", 0.05, unknown(planted.around(kind, 0.1, 1000, 1)), 0.035),
        Truth("those of another kind do", 1.0, unknown(planted.around(other, 0.1, 50, 2)), 0.0),
        Truth("the known ones do not", 0.0, unknown(known), 0.0),
    ]
