"""How much must be known beforehand to act right under a shift: the bits that it demands beyond those of training.

After "Towards Exact Computation of Inductive Bias": I(eps) = -log2 P(error <= eps) of hypotheses that fit the training
data. Hypotheses here are functions of a Gaussian process on the network's own frozen features, given demonstrations;
errors are those of the expert's actions. The authors draw functions and fit a scaled noncentral chi squared to their
errors; so does `chance_within`, by three moments, and it stands in the table as far as draws reach. The squared error
of a Gaussian process is a known sum of such chi squareds, though, and its tail can be had without drawing
(`chance_of_sum`), which is better: planted, of sums with uneven weights, one in 10,000 of which is small enough, the
fit says one in 740, the saddle point one in 10,500.

Beside it stand how many demonstrations would be worth those bits (after "The Universality Lens": a mixture's regret is
at most min eps + ln(1/W(eps)) / n; recalled, not read), and the dimension of the features, which the "Model-agnostic
Measure of Generalization Difficulty" is exponential in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.contract import STATE, image_key, mask_key
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.looks import evenly
from toyshift.diagnostics.measuring.demonstrations import Demonstrations, demonstrations_of
from toyshift.diagnostics.measuring.finding import Finding, Findings, too_few, undefined
from toyshift.diagnostics.measuring.hypotheses import (
    Components,
    Hypotheses,
    chance_of_sum,
    chance_within,
    dimension,
)
from toyshift.diagnostics.measuring.inside import Shown, acted, encoded, features_at, inside_of, network_of
from toyshift.diagnostics.statistics import jackknife
from toyshift.diagnostics.tables import interval
from toyshift.policies.batch_keys import INSTRUCTION
from toyshift.policies.network.policy import Policy, action_windows

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

NAME = "bits"
UNIT = "bits more than without the shift"
INPUTS, OUTPUTS = 32, 8  # principal components of features, and of actions
EXAMPLES, SAMPLES = 400, 2000  # frames, one an episode; functions that are drawn
ALLOWED = 1.5  # times the policy's own squared error without a shift: what counts as right
LEAST = 20  # examples


def bits(
    features: Array, actions: Array, tests: Mapping[str, tuple[Array, Array]], own: Array, objects: Sequence[str], *,
    samples: int = SAMPLES, seed: int = 0, subject: str = "",
) -> Findings:
    """Returns a finding for each shift.

    Args:
        features: (N, F) of examples.
        actions: (N, D) of examples, in standard deviations.
        tests: "" -> features (M, F) and right actions (M, D) of other states; shift -> those of the same states under
            it.
        own: (M, D) what the policy does in those states without a shift.
        objects: (M,) the target of each state.
        samples: functions that are drawn.
        seed: of the draws.
        subject: whose features they are.
    """
    names = [name for name in tests if name]
    outer, inner = Components.of(actions, OUTPUTS), Components.of(features, INPUTS)
    units = len(set(objects))
    why = ""
    if len(features) < LEAST:
        why = f"hypotheses are fitted to {LEAST} examples or more, there are {len(features)}"
    elif not len(outer.spread) or not len(inner.spread):
        why = "the examples' actions or features never vary"
    elif units < 2:
        why = "intervals leave objects out one by one; there is one"
    elif not (eps := ALLOWED * float(((outer(own) - outer(tests[""][1])) ** 2).sum(axis=1).mean())) > 0:
        why = "the policy makes no error without a shift, so nothing else is as right"
    if why:
        return Findings(tuple(undefined(NAME, UNIT, why, n=units, subject=f"{subject}, {name}") for name in names))

    def inputs(x: Array) -> Array:
        return np.asarray(inner(x) / np.sqrt(inner.spread))

    process = Hypotheses.of(inputs(features), outer(actions) / np.sqrt(outer.spread))
    number = np.unique(np.asarray(objects), return_inverse=True)[1]
    weights = np.concatenate([np.ones((1, units)), 1 - np.eye(units)])[:, number]  # all, and without each object
    weights /= weights.sum(axis=1, keepdims=True)
    found, drawn, dims = {}, {}, {}
    for name, (x, y) in tests.items():
        mean, covariance = process.at(inputs(x))
        off = mean - outer(y) / np.sqrt(outer.spread)
        found[name] = np.array([_bits(off, covariance, outer.spread, weight, eps) for weight in weights])
        drawn[name] = _drawn(off, covariance, outer.spread, eps, samples, episode_rng(seed, 0, f"{NAME} draws"))
        dims[name] = dimension(inner(x))
    worth = math.log(2) * 2 * process.noise * float(outer.spread.sum()) / eps  # demonstrations that are worth a bit
    told = f"right is a squared error up to {eps / actions.shape[1]:.3g} ({ALLOWED} times the policy's own)"
    notes = (*too_few(units, "objects"), told, "of a head on these features, not of the network",
             f"bits grow with the number of states, here {len(own)}: compare those of one call")  # fmt: skip
    return Findings(tuple(
        _finding(name, [found[k] for k in ("", name)], [drawn[k] for k in ("", name)], [dims[k] for k in ("", name)],
                 worth, units, f"{subject}, {name}" if subject else name, notes)
        for name in names
    ))  # fmt: skip


def _bits(off: Array, covariance: Array, spread: Array, weight: Array, eps: float) -> float:
    """Returns -log2 of the chance that functions' squared error, weighted over places (M,), is at most eps.

    Args:
        off: (M, Q) mean of the functions minus what is right, in standard deviations of Q outputs.
        covariance: (M, M) of the functions.
        spread: (Q,) variance of the outputs.
        weight: (M,) of the places, adding up to 1.
        eps: squared error, summed over outputs.
    """
    kept = weight > 0
    root = np.sqrt(weight[kept])
    values, vectors = np.linalg.eigh(covariance[np.ix_(kept, kept)] * np.outer(root, root))
    size = values.clip(min=1e-9 * max(float(values.max()), 1e-12))  # where nothing varies, a hair: no chance is 0
    shift = (vectors.T @ (off[kept] * root[:, None])) / np.sqrt(size)[:, None]  # (m, Q)
    chance = chance_of_sum((size[:, None] * spread).ravel(), shift.ravel(), eps)
    return max(0.0, -chance / math.log(2))


def _drawn(off: Array, covariance: Array, spread: Array, eps: float, samples: int, rng: np.random.Generator) -> float:
    """Returns the same from draws and a fitted distribution, all places alike; nan where draws do not reach."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(values.clip(min=0.0))
    errors = np.zeros(samples)
    for output, variance in enumerate(spread):
        functions = rng.standard_normal((samples, len(root))) @ root.T + off[:, output]
        errors += variance * (functions**2).mean(axis=1)
    bits_ = max(0.0, -chance_within(errors, eps) / math.log(2))
    return bits_ if bits_ <= math.log2(10 * samples) else math.nan


def _finding(
    name: str, found: Sequence[Array], drawn: Sequence[float], dims: Sequence[float], worth: float, units: int,
    subject: str, notes: tuple[str, ...],
) -> Finding:
    """Returns the finding of one shift; pairs are without it and under it, the first of `found` is of all objects."""
    table = tuple(
        {"states": told, "bits": float(bits_[0]), "by draws": by_draws, "demonstrations": worth * float(bits_[0]),
         "dimension": dim}
        for told, bits_, by_draws, dim in zip(("without", f"under {name}"), found, drawn, dims, strict=True)
    )  # fmt: skip
    more = found[1] - found[0]
    value = jackknife(float(more[0]), more[1:])
    word = name.replace("_", " ")
    span = f"{value.value:+.1f} bits {interval(value.low, value.high, 1)}"
    if too_few(units, ""):
        verdict, card = f"too few objects to tell what the {word} demands ({span})", ""
    elif value.low > 0:
        verdict = card = f"{span} to survive another {word}, worth {worth * value.value:.0f} demonstrations"
    else:
        verdict, card = f"another {word} is not shown to demand more ({span})", ""
    most = math.log2(10 * SAMPLES)
    beyond = f"by draws: undefined beyond {most:.0f} bits, where a fit to {SAMPLES} draws extrapolates"
    return Finding(name=NAME, subject=subject, value=value, unit=UNIT, null=0.0, verdict=verdict, card=card,
                   table=table, caveats=(*notes, beyond))  # fmt: skip


# ---------------------------------------------------------------- of a policy


def examples_of(policy: Policy, shown: Demonstrations, seed: int = 0) -> tuple[Array, Array]:
    """Returns features (N, F) and actions (N, K * A) of one frame of each of up to EXAMPLES episodes, those without a
    whole chunk left out.
    """
    rng = episode_rng(seed, 0, "examples")
    episodes = evenly(len(shown.length), EXAMPLES)
    frames = np.array([shown.first[e] + rng.integers(shown.length[e]) for e in episodes])
    features, actions = [], []
    for start in range(0, len(frames), 64):
        batch = shown.batch(frames[start : start + 64])
        told = batch[INSTRUCTION].numpy() if INSTRUCTION in batch else None
        masks = policy.cameras if mask_key(policy.cameras[0]) in batch else ()
        view = Shown(
            {c: batch[image_key(c)][:, -1].numpy() for c in policy.cameras},
            {c: batch[mask_key(c)][:, -1].numpy() for c in masks}
            or {c: np.zeros(batch[image_key(c)].shape[:1] + batch[image_key(c)].shape[2:4], np.uint8)
                for c in policy.cameras},
            batch[STATE][:, -1].numpy(), told,
        )  # fmt: skip
        chunk, is_pad = action_windows(batch, policy.config)
        newest = slice(policy.config.steps_seen - 1, None, policy.config.steps_seen)
        whole = ~is_pad[newest].any(dim=1).numpy()
        scaled = (chunk[newest] / policy.normalise_action.std).flatten(1).numpy()
        features.append(np.asarray(features_at(policy, encoded(policy, view)).numpy(), np.float64)[whole])
        actions.append(np.asarray(scaled, np.float64)[whole])
    return np.concatenate(features), np.concatenate(actions)


def bits_of(asked: Asked) -> Findings:
    """Answers for the network of a policy's folder, from demonstrations and from looks along the expert's episodes."""
    policy = network_of(asked.policy)
    shown: Any = policy if isinstance(policy, str) else demonstrations_of(asked, policy)
    if isinstance(policy, str) or isinstance(shown, str):
        why = f"no features: {policy}" if isinstance(policy, str) else shown
        return Findings((undefined(NAME, UNIT, why, subject=asked.policy),))
    inside = inside_of(asked)
    assert not isinstance(inside, str), "its network was loaded just now"
    assert inside.right is not None, "looks along episodes note what the expert does"
    if not policy.cameras:
        why = "the network looks through no camera"
        return Findings((undefined(NAME, UNIT, why, subject=inside.name),))
    whole = np.flatnonzero(~np.isnan(inside.right).any(axis=1))
    if not len(whole):
        why = f"no look is {policy.config.chunk} actions before the end of the expert's episode"
        return Findings((undefined(NAME, UNIT, why, subject=inside.name),))
    right = inside.right[whole]
    plain = encoded(policy, inside.shown[""])
    tests = {
        name: (np.asarray(features_at(policy, encoded(policy, looks)).numpy(), np.float64)[whole], right)
        for name, looks in inside.shown.items()
    }
    own, objects = acted(policy, plain)[whole], [inside.objects[i] for i in whole]
    features, actions = examples_of(policy, shown, asked.seed)
    return bits(features, actions, tests, own, objects, seed=asked.seed, subject=inside.name)
