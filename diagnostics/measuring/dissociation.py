"""Whether parts of a network serve the objects it was trained on, and others new ones: ablation, both ways.

After "Recall vs Reasoning". A part (a view, the state, a third of a hidden layer's units, a transformer block) gives
its mean over all looks instead of what it is shown; index = (rise of the loss on seen objects - rise on new ones) /
their sum. Where one part's index lies above 0 and another's below, there is a *double dissociation*. Losses are those
of the expert's actions, in standard deviations.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from toyshift.core.arrays import Array, Indices
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.changes import training_objects
from toyshift.diagnostics.measuring.finding import Finding, Findings, listed, too_few, undefined
from toyshift.diagnostics.measuring.inside import Inner, Inside, encoded, inside_of, inside_with, joined, layers_of
from toyshift.diagnostics.statistics import CONFIDENCE, Estimate, bootstrap_tail, holm
from toyshift.diagnostics.tables import interval
from toyshift.policies.network.policy import Policy

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME = "dissociation"
GAP = "between the largest and the smallest index of parts (1: seen objects only, -1: new ones only)"
PARTS = 3  # groups of units of a hidden layer
DEALS, RESAMPLES = 2000, 2000
LEAST = 4  # objects of each kind that are dealt out

# what a part gives instead of its own output, (n, ...) for the looks of these numbers
Instead = Callable[[Tensor], Tensor]


def dissociation(
    seen: Array, new: Array, parts: Sequence[str], objects: tuple[Sequence[str], Sequence[str]], *, seed: int = 0,
    subject: str = "", again: tuple[Array, Array] | None = None,
) -> Finding:
    """Returns whether parts serve seen and new objects apart.

    Args:
        seen: (G, n) rises of the loss when a part is ablated, in looks at seen objects.
        new: (G, m) the same in looks at new ones.
        parts: names of G parts.
        objects: the target of each look, of both.
        seed: of deals and resampling.
        subject: whose parts they are.
        again: both anew, with the part's output of another look for its mean; for the table.
    """
    means = [_by_object(rise, of) for rise, of in zip((seen, new), objects, strict=True)]  # (G, O) each
    counts = [mean.shape[1] for mean in means]
    if min(counts) < LEAST:
        why = f"labels are dealt out to {counts[0]} seen and {counts[1]} new objects; it takes {LEAST} of each"
        return undefined(NAME, GAP, why, n=sum(counts), subject=subject)
    rng = episode_rng(seed, 0, NAME)
    drawn = [rng.multinomial(k, np.full(k, 1 / k), RESAMPLES) @ m.T / k for k, m in zip(counts, means, strict=True)]
    rises = [mean.mean(axis=1) for mean in means]
    low = np.quantile(drawn[0] + drawn[1], 0.025, axis=0)  # (G,) of both rises together
    defined = low > 0
    every, k = np.concatenate(means, axis=1), counts[0]
    order = rng.permuted(np.tile(np.arange(every.shape[1]), (DEALS, 1)), axis=1)
    dealt_seen, dealt_new = every[:, order[:, :k]].mean(axis=2), every[:, order[:, k:]].mean(axis=2)  # (G, DEALS)
    gap = rises[0] - rises[1]
    p = (1 + (np.abs(dealt_seen - dealt_new) >= np.abs(gap)[:, None] - 1e-12).sum(axis=1)) / (1 + DEALS)
    index = _index(*rises)
    kept = np.flatnonzero(defined)
    corrected = np.ones(len(parts))
    corrected[kept] = holm(p[kept].tolist())
    second = [float("nan")] * len(parts) if again is None else _index(
        *(_by_object(rise, of).mean(axis=1) for rise, of in zip(again, objects, strict=True))
    ).tolist()
    lines: list[dict[str, Any]] = [
        {"part": name, "seen": float(rises[0][g]), "new": float(rises[1][g]),
         "index": float(index[g]) if defined[g] else float("nan"), "p (Holm)": float(corrected[g]),
         "of another look": second[g] if defined[g] else float("nan")}
        for g, name in enumerate(parts)
    ]  # fmt: skip
    told = [parts[g] for g in range(len(parts)) if not defined[g]]
    caveats = [*too_few(min(counts), "objects of a kind"), "a mean is off-distribution: compare 'of another look'"]
    if told:
        caveats.append(f"undefined, since the loss is not shown to rise without them: {listed(told)}")
    if len(kept) < 2:
        why = f"{len(kept)} parts are shown to matter at all; it takes two"
        return dataclasses.replace(undefined(NAME, GAP, why, n=sum(counts), subject=subject), table=tuple(lines))
    high_part, low_part = kept[np.argmax(index[kept])], kept[np.argmin(index[kept])]
    # These two were chosen because they lie far apart. So the reach is that of any two parts at once (as Tukey's).
    away = _index(drawn[0][:, kept], drawn[1][:, kept]) - index[kept]
    reach = float(np.quantile(np.ptp(away, axis=1), 1 - 2 * bootstrap_tail(min(counts), CONFIDENCE)))
    gap_of_two = float(index[high_part] - index[low_part])
    value = Estimate(gap_of_two, max(0.0, gap_of_two - reach), gap_of_two + reach, sum(counts))
    chance = _index(dealt_seen[kept], dealt_new[kept])
    null = float(np.median(np.ptp(chance, axis=0)))
    own = [[parts[g] for g in kept if corrected[g] <= 0.05 and sign * index[g] > 0] for sign in (1, -1)]
    span = f"{value.value:.2f} {interval(value.low, value.high)}, {null:.2f} where labels are dealt out"
    card = ""
    if too_few(min(counts), ""):
        verdict = f"too few objects to tell whether parts serve seen and new ones apart ({span})"
    elif all(own):
        verdict = card = f"{listed(own[0])} serves seen objects, {listed(own[1])} new ones ({span})"
    elif any(own):
        kind = "seen" if own[0] else "new"
        verdict = f"{listed(own[0] or own[1])} serves {kind} objects more, and none the others: no double dissociation"
    else:
        verdict = f"no part is shown to serve one kind of objects alone ({span})"
    return Finding(name=NAME, subject=subject, value=value, unit=GAP, null=null, verdict=verdict, card=card,
                   table=tuple(lines), caveats=tuple(caveats))  # fmt: skip


def _index(seen: Array, new: Array) -> Array:
    """Returns (seen - new) / (seen + new); 0 where the loss does not change."""
    both = seen + new
    return np.asarray((seen - new) / np.where(np.abs(both) > 1e-12, both, np.inf))


def _by_object(rise: Array, objects: Sequence[str]) -> Array:
    """Returns the mean rise (G, O) of each object."""
    number = np.unique(np.asarray(objects), return_inverse=True)[1]
    member = np.eye(int(number.max()) + 1)[number]
    return np.asarray(rise @ member / member.sum(axis=0))


# ---------------------------------------------------------------- parts of a network


def units_of(layer: Array, seed: int = 0) -> list[Indices]:
    """Returns up to PARTS groups of a layer's units (H,), by k-means of what they do in looks (N, H); none where no
    unit varies.
    """
    from scipy.cluster.vq import kmeans2

    spread = layer.std(axis=0)
    alive = np.flatnonzero(spread > 0)
    if len(alive) < PARTS:
        return [alive] if len(alive) else []
    shapes = ((layer - layer.mean(axis=0)) / np.where(spread > 0, spread, 1.0)).T[alive]
    number = kmeans2(shapes, PARTS, minit="++", rng=episode_rng(seed, 0, "units"))[1]
    return [alive[number == k] for k in range(PARTS) if (number == k).any()]


@torch.inference_mode()
def _acted(policy: Policy, inner: Inner, part: tuple[str, Any], instead: Instead) -> Array:
    """Returns actions (N, K * A) in standard deviations, while one part gives something else."""
    kind, what = part
    told, state = policy.tell(inner.instruction), policy.normalise_state(inner.state)
    pooled = policy.pool_seen(inner.seen, told)
    if kind == "view":
        pooled = pooled.clone()
        pooled[:, what] = instead(pooled[:, what])
    if kind == "state":
        state = instead(state)
    handles = []
    if kind == "units":
        module, units = what

        def changed(_: nn.Module, given: Any, out: Tensor) -> Tensor:
            new = out.clone()
            new[:, units] = instead(out)[:, units]
            return new

        handles.append(module.register_forward_hook(changed))
    if kind == "block":  # what it adds to the stream

        def added(_: nn.Module, given: Any, out: Tensor) -> Tensor:
            return cast("Tensor", given[0] + instead(out - given[0]))

        handles.append(what.register_forward_hook(added))
    try:
        chunk = policy.decide(policy.features(pooled, state, told).unsqueeze(1), inner.state)
    finally:
        for handle in handles:
            handle.remove()
    return np.asarray((chunk / policy.normalise_action.std).flatten(1).numpy(), dtype=np.float64)


def parts_of_network(policy: Policy, inner: Inner, seed: int = 0) -> Mapping[str, tuple[str, Any]]:
    """Returns the parts that can be ablated, by name."""
    parts: dict[str, tuple[str, Any]] = {f"view {c}": ("view", i) for i, c in enumerate(policy.cameras)}
    if len(policy.indices):
        parts["state"] = ("state", None)
    head: Any = policy.head
    between = [m for m in head.mlp if not isinstance(m, nn.Linear)]
    layers = layers_of(policy, inner)
    for i, module in enumerate(between, 1):
        for k, units in enumerate(units_of(layers[f"head {i}"], seed), 1):
            parts[f"head {i}, third {k} ({len(units)} units)"] = ("units", (module, torch.from_numpy(units)))
    blocks: list[nn.Module] = [] if policy.history is None else [*cast("Any", policy.history).blocks]
    return parts | {f"block {i}": ("block", block) for i, block in enumerate(blocks, 1)}


def dissociated(seen: Inside, new: Inside, seed: int = 0) -> Finding:
    """Returns the finding for a network, from looks at objects it was trained on and at new ones."""
    policy = seen.policy
    told = [one.right for one in (seen, new)]
    if any(right is None for right in told):
        return undefined(NAME, GAP, "nobody noted what the expert does in these looks", subject=seen.name)
    whole = [np.flatnonzero(~np.isnan(cast("Array", right)).any(axis=1)) for right in told]
    if not all(len(kept) for kept in whole):
        why = f"no look is {policy.config.chunk} actions before the end of the expert's episode"
        return undefined(NAME, GAP, why, subject=seen.name)
    right = np.concatenate([cast("Array", r)[kept] for r, kept in zip(told, whole, strict=True)])
    inner = [encoded(policy, one.shown[""]).take(kept) for one, kept in zip((seen, new), whole, strict=True)]
    both = joined(inner)
    objects = [[one.objects[i] for i in kept] for one, kept in zip((seen, new), whole, strict=True)]
    n = len(whole[0])
    mixed = torch.from_numpy(episode_rng(seed, 0, "another look").permutation(len(both)))

    def loss(part: tuple[str, Any], instead: Instead) -> Array:
        return np.asarray(np.abs(_acted(policy, both, part, instead) - right).mean(axis=1))

    parts = parts_of_network(policy, both, seed)
    base = loss(("none", None), lambda x: x)
    by_mean = np.stack([loss(part, lambda x: x.mean(dim=0, keepdim=True).expand_as(x)) for part in parts.values()])
    by_other = np.stack([loss(part, lambda x: x[mixed]) for part in parts.values()])
    return dissociation(
        (by_mean - base)[:, :n], (by_mean - base)[:, n:], list(parts), (objects[0], objects[1]), seed=seed,
        subject=seen.name, again=((by_other - base)[:, :n], (by_other - base)[:, n:]),
    )  # fmt: skip


def dissociation_of(asked: Asked) -> Findings:
    """Answers for the network of a policy's folder: objects that it was trained on against those that are asked about.
    """
    new = inside_of(asked)
    if isinstance(new, str):
        return Findings((undefined(NAME, GAP, new, subject=asked.policy),))
    objects = asked.training_set or training_objects(asked.policy)
    if not objects or objects == asked.objects:
        why = "nobody says which objects it was trained on: give --training-set" if not objects else (
            f"it was trained on {objects}, which it is asked about as well: give other --objects"
        )
        return Findings((undefined(NAME, GAP, why, subject=asked.policy),))
    seen = inside_with(asked, objects, changed=False)
    assert not isinstance(seen, str), "the same policy was looked into just now"
    return Findings((dissociated(seen, new, asked.seed),))
