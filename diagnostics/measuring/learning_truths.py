"""Planted truths of measures of how a network learnt, and of what it holds; see `self_test.py`."""

from __future__ import annotations

import math

import numpy as np

from toyshift.core.truths import Truth
from toyshift.diagnostics.measuring import planted_learning as planted
from toyshift.diagnostics.measuring.bits import bits
from toyshift.diagnostics.measuring.coherence import coherence
from toyshift.diagnostics.measuring.dissociation import dissociation
from toyshift.diagnostics.measuring.hypotheses import chance_of_sum, chance_within, dimension
from toyshift.diagnostics.measuring.monitored import monitored
from toyshift.diagnostics.measuring.sets import Language, sets
from toyshift.diagnostics.measuring.sparse import auroc, sparse_code

SPARSE_STEPS = 700
FACTS = ("train", "test", "within")  # of a planted training


def coherence_truths() -> list[Truth]:
    """Gradients that are equal, orthogonal, or a quarter one signal, and those of linear regressions."""
    told = {"equal: m-coherence n": (1.0, 50.0), "orthogonal: 1": (0.0, 1.0), "a quarter is common": (0.25, 13.25)}
    found = [
        Truth(words, truth, coherence(planted.aligned_gradients(50, share), np.zeros(50, np.int64)).found[0]
              .table[0]["m-coherence"], 1e-9)
        for words, (share, truth) in told.items()
    ]  # fmt: skip
    rng = np.random.default_rng(0)
    first, other = rng.normal(size=(2, 20))
    second = other - 0.6 * first
    sides = [planted.regression_gradients(400, w, seed) for seed, w in enumerate((first, second))]
    cosine = float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))
    alone = coherence(sides[0], np.zeros(400, np.int64)).found[0]
    both = coherence(np.concatenate(sides), np.repeat([0, 1], 400)).found[1]
    return [
        *found,
        Truth("linear regression: alpha 1 / (d + 2)", 1 / 22, alone.value.value, 0.01),
        Truth("two of them: A is the cosine", cosine, 1 - both.value.value, 0.15),
    ]


def bits_truths() -> list[Truth]:
    """Hypotheses of which known shares are right, planes of known dimensions, and features that a shift turns."""
    found = []
    for nats, within in ((3.0, 0.15), (4.61, 0.3), (9.21, 1.3)):  # of five draws
        measured = [-chance_within(*planted.gaussian_hypotheses(nats, seed=seed)) for seed in range(5)]
        words = f"one in {np.exp(nats):.0f} hypotheses is right [nats]"
        found.append(Truth(words, nats, float(np.mean(measured)), within))
    rng = np.random.default_rng(0)
    weight, shift = np.exp(1.5 * rng.normal(size=40)), 0.5 * rng.normal(size=40)
    sums = (weight * (rng.normal(size=(100_000, 40)) + shift) ** 2).sum(axis=1)
    counted = -chance_of_sum(weight, shift, float(np.quantile(sums, 1e-3)))
    found.append(Truth("a thousandth of 100,000 uneven sums [nats]", math.log(1000), counted, 0.3))
    for d, truth in ((1, 1.0), (2, 1.92), (4, 3.8)):
        plane = rng.random((2000, d)) @ rng.normal(size=(d, 10))
        found.append(Truth(f"points on a {d}-plane: dimension", truth, dimension(plane), 0.15))
    rule, noise = rng.normal(size=(4, 6)), 0.05 * rng.normal(size=(240, 6))
    x = rng.normal(size=(240, 4))
    y = x @ rule + noise
    own = y[160:] + 0.3 * rng.normal(size=(80, 6))
    moved_by = {"": 0.0, "nothing": 0.0, "table": 0.4}
    tests = {name: (x[160:] + np.array([far, 0, 0, 0]), y[160:]) for name, far in moved_by.items()}
    same, moved = bits(x[:160], y[:160], tests, own, [str(i // 4) for i in range(80)]).found
    return [
        *found,
        Truth("a shift that changes nothing", 0.0, same.value.value, 1e-9),
        Truth("a shift that moves the features demands more", 1.0, float(moved.value.low > 0.1), 0.0),
    ]


def novelty_truths() -> list[Truth]:
    """A tuning that added one colour, and one that added noise."""
    one = planted.tuned(0.3, 0.05)
    chance = [planted.tuned(0.0, 0.05, seed, deals=59) for seed in range(30)]
    alarms = float(np.mean([min(line["p (Holm)"] for line in found.table) <= 0.05 for found in chance]))
    return [
        Truth("one colour: AUC", 1.0, one.value.value, 1e-9),
        Truth("and it is named", 1.0, float(one.card.startswith("tuning added: colour 2 (")), 0.0),
        Truth("noise: alarms beyond 5 %", 0.0, max(0.0, alarms - 0.05), 0.05),
    ]


def dissociation_truths() -> list[Truth]:
    """Two parts, each of which serves one kind of objects alone, and one that serves both."""
    rng = np.random.default_rng(0)
    objects = [str(i // 3) for i in range(60)]
    seen, new = (np.abs(rng.normal(size=(3, 60))) * np.array(served)[:, None] for served in ((1, 0, 1), (0, 1, 1)))
    apart = dissociation(seen, new, ["recall", "rule", "both"], (objects, objects))
    index = {line["part"]: line["index"] for line in apart.table}
    shared = dissociation(seen[[2, 2]], new[[2, 2]], ["both", "both again"], (objects, objects))
    return [
        Truth("serves seen objects alone: index", 1.0, index["recall"], 1e-9),
        Truth("serves new ones alone", -1.0, index["rule"], 1e-9),
        Truth("a double dissociation is said of these", 1.0, float(apart.card.startswith("recall serves seen")), 0.0),
        Truth("and of shared parts none", 0.0, float(bool(shared.card)), 0.0),
    ]


def monitor_truths() -> list[Truth]:
    """A network that has learnt its labels by heart in one step, and the clusters behind them in thirty."""
    grown = [planted.xor_clusters(seed) for seed in range(4)]
    first, last = ({name: float(np.mean([getattr(one[step], name) for one in grown])) for name in FACTS}
                   for step in (1, 30))  # fmt: skip
    rows = [{"step": s, "pathway_distance": d} for s, d in zip(range(10, 101, 10), [0.5] * 3 + [0.25] * 7, strict=True)]
    return [
        Truth("step 1: all labels fitted, wrong ones too", 1.0, first["train"], 0.02),
        Truth("step 1: new points by chance (0.7 at most)", 0.0, max(0.0, first["test"] - 0.7), 0.0),
        Truth("step 30: labels are still fitted (0.95 at least)", 0.0, max(0.0, 0.95 - last["train"]), 0.0),
        Truth("step 30: new points are right (0.85 at least)", 0.0, max(0.0, 0.85 - last["test"]), 0.0),
        Truth("pathways of a cluster come together by 40 % or more", 0.0,
              max(0.0, 0.4 - (1 - last["within"] / first["within"])), 0.0),
        Truth("a course that halves, early", 0.5, monitored(rows).value.value, 1e-9),
    ]  # fmt: skip


def sparse_truths() -> list[Truth]:
    """A dictionary of more directions than entries; and an area under a curve that can be counted."""
    made = planted.dictionary()
    code = sparse_code(made["vectors"], wider=4, steps=SPARSE_STEPS)
    found = (code.dictionary @ made["directions"].T).max(axis=0)  # (atoms,)
    area = auroc(np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([False, True, False, True]))
    return [
        Truth("planted directions are found: cosine", 1.0, float(found.mean()), 0.1),
        Truth("3 of 4 pairs are right", 0.75, float(area[0]), 1e-9),
    ]


def sets_truths() -> list[Truth]:
    """Exact vectors of 2, 4 and 6 objects, and features that hold sets as a linear code, or nothing."""
    found = []
    for count in (2, 4, 6):
        scenes, _ = planted.several_objects(20, (count,))
        language = Language.of(scenes)
        cosine = [
            language.cosines(language.scene(scene)[None], place)[0, language.pairs.index((colour, kind))]
            for scene in scenes for colour, kind, place in scene
        ]  # fmt: skip
        found.append(Truth(f"{count} objects: cosine 1 / sqrt({count})", count**-0.5, float(np.mean(cosine)), 0.015))
    scenes, features = planted.several_objects()
    held = sets(features, scenes)
    rng = np.random.default_rng(0)
    noise = sets(rng.normal(size=features.shape), scenes)
    return [
        *found,
        Truth("a linear code: right", 1.0, held.value.value, 0.15),
        Truth("noise: better than dealt out by", 0.0, max(0.0, noise.value.value - noise.null), 0.1),
    ]
