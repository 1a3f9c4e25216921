"""Whether one unit of a sparse code of a network's features stands for a factor: a sparse autoencoder, without labels.

After "How GPT learns layer by layer" (its autoencoder recalled, not read): |x - D relu(E x + b)|^2 + w |relu(.)|_1,
columns of D of length 1, eight times as wide as the features. w is 0.3 where entries of x have a mean square of 1: with
0.001, the weight as recalled, planted dictionaries are not found. The unit that tells a factor best in some objects is
tried on the others: the area under its curve (AUROC). Beside it stands the same of the features' own entries.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from toyshift.core.arrays import Array, Indices
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.measuring.finding import Finding, Findings, too_few, undefined
from toyshift.diagnostics.measuring.inside import Inside, encoded, inside_of, layers_of
from toyshift.diagnostics.statistics import Estimate
from toyshift.diagnostics.tables import interval

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME = "sparse"
UNIT = "area under the curve of the best unit, on other objects (0.5 chance, 1 always right)"
WIDER, PENALTY, STEPS, RATE, BATCH = 8, 0.3, 3000, 1e-2, 64
INPUTS = 64  # principal components of the features
LAYER = "pooled"
DEALS, RESAMPLES = 20, 400
CLEAR = 0.9  # AUROC from which one unit stands for a factor
LEAST = 4  # objects


@dataclasses.dataclass(frozen=True)
class SparseCode:
    """A sparse code: x (n, F) -> relu((x - mean) / scale @ encoder + bias) (n, H).

    Attributes:
        mean: (F,).
        scale: one number.
        encoder: (F, H).
        bias: (H,).
        dictionary: (H, F), rows of length 1.
    """

    mean: Array
    scale: float
    encoder: Array
    bias: Array
    dictionary: Array

    def __call__(self, x: Array) -> Array:
        return np.asarray(np.maximum((x - self.mean) / self.scale @ self.encoder + self.bias, 0.0))


def sparse_code(x: Array, *, wider: int = WIDER, steps: int = STEPS, seed: int = 0) -> SparseCode:
    """Fits a code to vectors (n, F), by Adam on batches of 64."""
    mean = x.mean(axis=0)
    scale = float(np.sqrt(((x - mean) ** 2).mean())) or 1.0
    data = torch.from_numpy(((x - mean) / scale).astype(np.float32))
    rng = episode_rng(seed, 0, NAME)
    start = rng.normal(size=(wider * x.shape[1], x.shape[1])).astype(np.float32)
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    dictionary = torch.from_numpy(start.copy()).requires_grad_()
    encoder = torch.from_numpy(start.T.copy()).requires_grad_()
    bias = torch.zeros(len(start), requires_grad=True)
    adam = torch.optim.Adam([dictionary, encoder, bias], lr=RATE)
    batches = rng.integers(len(x), size=(steps, min(BATCH, len(x))))
    for rows in batches:
        given = data[torch.from_numpy(rows)]
        code = (given @ encoder + bias).relu()
        loss = ((given - code @ dictionary) ** 2).sum(dim=1).mean() + PENALTY * code.sum(dim=1).mean()
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        with torch.no_grad():
            dictionary /= dictionary.norm(dim=1, keepdim=True)
    kept = [np.asarray(one.detach().numpy(), dtype=np.float64) for one in (encoder, bias, dictionary)]
    return SparseCode(mean, scale, *kept)


def auroc(values: Array, positive: Array) -> Array:
    """Returns the area under the curve (H,) of each column of values (n, H), for a bool (n,); ties count half."""
    from scipy.stats import rankdata

    size = int(positive.sum())
    rank = rankdata(values, axis=0)
    return np.asarray((rank[positive].sum(axis=0) - size * (size + 1) / 2) / max(1, size * (len(positive) - size)))


def best_unit(base: Array, changed: Array, level: Indices, fit: Array) -> tuple[float, Array]:
    """Returns how well, on other looks, units tell a factor's levels that told them best on those to fit on.

    Args:
        base: (N, H) units in looks unchanged.
        changed: (N, H) with the factor changed.
        level: (N,) to which level; each has a unit of its own.
        fit: (N,) bool, the looks to choose by.

    Returns:
        the mean over levels, and (N,) of each look to try how often its own pairs are right, nan for the others.
    """
    right = np.full(len(level), np.nan)
    for k in np.unique(level):
        own, other = fit & (level == k), ~fit & (level == k)
        if not own.any() or not other.any():
            continue
        values = np.concatenate([base[own], changed[own]])
        area = auroc(values, np.repeat([False, True], own.sum()))
        unit = int(np.argmax(np.abs(area - 0.5)))
        sign = 1.0 if area[unit] >= 0.5 else -1.0
        plain, moved = sign * base[other][:, unit], sign * changed[other][:, unit]
        wins = (moved[:, None] > plain[None]).mean(axis=1) + 0.5 * (moved[:, None] == plain[None]).mean(axis=1)
        right[other] = wins
    told = right[~np.isnan(right)]
    return (float(told.mean()) if len(told) else float("nan")), right


def sparse_finding(
    code: SparseCode, base: Array, changed: Array, level: Indices, objects: Indices, fit: Array, *, factor: str,
    seed: int = 0, subject: str = "",
) -> Finding:
    """Returns whether one unit of a code stands for a factor.

    Args:
        code: fitted to looks of `fit`.
        base: (N, F) features of looks unchanged.
        changed: (N, F) with the factor changed.
        level: (N,) to which level.
        objects: (N,) number of the target.
        fit: (N,) bool, the looks at the objects that code and unit are chosen by.
        factor: what it is called.
        seed: of deals and resampling.
        subject: whose features they are.
    """
    units = len(np.unique(objects[~fit]))
    if units < LEAST or len(np.unique(objects[fit])) < LEAST:
        why = f"a unit is chosen by half of the objects and tried on the others; it takes {LEAST} of each"
        return undefined(NAME, UNIT, why, n=units, subject=subject)
    plain, moved = code(base), code(changed)
    area, right = best_unit(plain, moved, level, fit)
    if np.isnan(area):
        why = f"a level of {factor} is met with half of the objects only; more scenes are needed"
        return undefined(NAME, UNIT, why, n=units, subject=subject)
    raw, _ = best_unit(base, changed, level, fit)
    rng = episode_rng(seed, 0, f"sparse {factor}")
    dealt = []
    for _ in range(DEALS):  # which of the two looks is the changed one, dealt out
        swap = (rng.random(len(level)) < 0.5)[:, None]
        dealt.append(best_unit(np.where(swap, moved, plain), np.where(swap, plain, moved), level, fit)[0])
    kept = np.flatnonzero(~np.isnan(right))
    number = np.unique(objects[kept], return_inverse=True)[1]
    means = np.bincount(number, weights=right[kept]) / np.bincount(number)
    draws = rng.multinomial(len(means), np.full(len(means), 1 / len(means)), RESAMPLES) @ means / len(means)
    low, high = np.quantile(draws, (0.025, 0.975))
    null, most = float(np.nanmean(dealt)), float(np.nanmax(dealt))
    few = too_few(units, "objects to try on")
    span = f"AUROC {area:.2f} {interval(float(low), float(high))}, dealt out {null:.2f}"
    card = ""
    if few:
        verdict = f"too few objects to tell whether a unit stands for {factor} ({span})"
    elif low >= CLEAR:
        verdict = card = f"one unit of a sparse code stands for {factor} ({span})"
    elif low > most:
        verdict = f"units of a sparse code tell {factor} in part ({span})"
    else:
        verdict = f"no unit of a sparse code is shown to tell {factor} ({span})"
    lines: list[dict[str, Any]] = [
        {"units": "sparse code", "AUROC": area, "low": float(low), "high": float(high), "count": plain.shape[1],
         "active": float((plain > 0).mean())},
        {"units": "features' own", "AUROC": raw, "low": float("nan"), "high": float("nan"), "count": base.shape[1],
         "active": float("nan")},
    ]  # fmt: skip
    caveats = (*few, "what a unit tells need not be used: patching and steer ask that")
    return Finding(name=NAME, subject=subject, value=Estimate(area, float(low), float(high), units), unit=UNIT,
                   null=null, verdict=verdict, card=card, table=tuple(lines), caveats=caveats)  # fmt: skip


def sparse_findings(inside: Inside, seed: int = 0) -> tuple[Finding, ...]:
    """Returns a finding for each factor, of the pooled views of a network."""
    if not inside.policy.cameras:
        why = "the network looks through no camera"
        return tuple(undefined(NAME, UNIT, why, subject=f"{inside.name}, {name}") for name in inside.factors)
    objects = np.unique(np.array(inside.objects), return_inverse=True)[1]
    half = episode_rng(seed, 0, "halves").permutation(int(objects.max()) + 1) % 2
    fit = half[objects] == 0
    net = inside.policy
    layers = {name: layers_of(net, encoded(net, looks))[LAYER] for name, looks in inside.shown.items()}
    known = np.concatenate([x[fit] for x in layers.values()])
    mean = known.mean(axis=0)
    turned = np.linalg.svd(known - mean, full_matrices=False)[2][:INPUTS].T
    inputs = {name: (x - mean) @ turned for name, x in layers.items()}
    code = sparse_code(np.concatenate([x[fit] for x in inputs.values()]), seed=seed)
    return tuple(
        sparse_finding(code, inputs[""], inputs[factor], inside.levels[factor], objects, fit, seed=seed,
                       factor=f"the {factor.replace('_', ' ')}", subject=f"{inside.name}, {factor}")
        for factor in inside.factors
    )  # fmt: skip


def sparse_of(asked: Asked) -> Findings:
    """Answers for the network of a policy's folder."""
    inside = inside_of(asked)
    if isinstance(inside, str):
        return Findings((undefined(NAME, UNIT, inside, subject=asked.policy),))
    return Findings(sparse_findings(inside, asked.seed))
