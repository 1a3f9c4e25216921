"""Planted truths of every measure, and what it measures of them: a table that says whether measures can be believed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.truths import Truth
from toyshift.diagnostics.measuring import planted
from toyshift.diagnostics.measuring.case import case_index
from toyshift.diagnostics.measuring.consistency import consistency, progression
from toyshift.diagnostics.measuring.ignorance import STARTS, ignorance
from toyshift.diagnostics.tables import render_table


def truths_table(found: Iterable[tuple[str, Truth]]) -> str:
    """Returns a line per planted truth as text for terminals."""
    lines = [
        [name, t.planted, f"{t.truth:.3f}", f"{t.measured:.3f}", f"{t.within:.3g}", "ok" if t.ok else "WRONG"]
        for name, t in found
    ]
    return render_table(["name", "planted", "truth", "measured", "may differ by", ""], lines)


def success_truths() -> list[Truth]:
    """Twenty objects that always succeed, and three in ten of whose episodes fail under the change."""
    from toyshift.diagnostics.changes import ChangedSuccess

    before, after = planted.by_object(20, 0, 10), np.arange(10)[None, :] >= np.full((20, 1), 3)
    rows = {"": planted.rows_of("p", before), "table": planted.rows_of("p", after, look="table=1")}
    change = ChangedSuccess.of_rows(rows).change["table"].difference
    return [Truth("3 of 10 episodes lost", -0.3, change.value, 1e-9)]


def sensitivity_truths() -> list[Truth]:
    """Actions that move three times as much by the table as by a centimetre of the target's way, and not by light."""
    from toyshift.diagnostics.sensitivity import SensitivityConfig, analyse

    config = SensitivityConfig()
    base = planted.coins(0.5, (20, 4, 3)).astype(np.float64)
    step, scene = 100 * config.target_move, np.arange(20)  # [cm], (N,)
    found = analyse(
        base, {"table": base + 0.6, "light": base}, base + 0.2 * step, base, np.full(3, 2.0), scene,
        np.ones(20, bool), config,
    )  # fmt: skip
    by_factor = {factor.factor: factor for factor in found.factors}
    return [
        Truth("0.6 of a unit of 2 by the table", 0.3, by_factor["table"].shift.value, 1e-9),
        Truth("as 3 cm of the target", 3.0, by_factor["table"].ratio.value, 1e-9),
        Truth("nothing by light", 0.0, by_factor["light"].shift.value, 1e-9),
    ]


def counterfactual_truths() -> list[Truth]:
    """A policy that takes the table for part of the place, its direction known or not, one that takes it for all of it,
    and one that is only jolted.
    """
    from toyshift.diagnostics.measuring.counterfactual import Places, Swaps, counterfactual, flipped
    from toyshift.diagnostics.measuring.implied import Implied

    told = Implied("table", (0, 3), ((0.0, -0.05), (0.0, 0.05)), 100, 1.0, 0.01)
    swaps = Swaps({"table": (3,), "light": (0.5,)}), Swaps({}, {"table": told})
    policy = planted.scripted(rho=0.5, slope=10 / 3, jolt=1.0)
    unknown, known = (
        counterfactual(planted.looked_at(policy, swap), swap, training=(20, 20)).found[0] for swap in swaps
    )
    blind = planted.scripted(rho=1.0, follows=0.0, slope=10 / 3)
    alone = counterfactual(planted.looked_at(blind, swaps[1]), swaps[1], training=(20, 20)).found[0]
    alarms, m = [], 40
    for seed in range(200):
        rng = np.random.default_rng(seed)
        places = Places(np.repeat(np.eye(2)[None], m, axis=0), np.arange(m), np.arange(m))
        sums = [places.pair((0, 1), change)[1] for change in rng.standard_t(4, size=(3, m, 2))]
        alarms.append(flipped(sums, seed, "coins") <= 0.05)
    return [
        Truth("0 -> 3 is worth 5 cm, direction unknown", 5.0, unknown.value.value, 0.6),
        Truth("0 -> 3 is worth half of the way it implies", 0.5, known.table[0]["beta"], 0.06),
        Truth("follows the cue alone: all of the expert's way", 1.0, alone.table[0]["beta"], 1e-4),
        Truth("both are named", 2.0, float(sum(one.table[0]["named"] for one in (unknown, known))), 0.0),
        Truth("jolts to no side: 5 % alarms", 0.05, float(np.mean(alarms)), 0.035),
    ]


def named_truths() -> list[Truth]:
    """Policies that follow what is named, half of it, or not at all, and ones that are jolted to no side."""
    from toyshift.diagnostics.measuring.named import FOLLOWS, IGNORES, named, other_named

    def measured(share: float, jolt: float = 0.0, seed: int = 0, scenes: int = 40, **script: bool) -> dict[str, Any]:
        policy = planted.heeding(share, jolt, seed=seed, **script)
        looked = planted.looked_at(policy, other_named, scenes, looks=1, seed=seed, world=planted.TwoThings())
        return named(looked, seed=seed, reached=(20, 20)).table[0]

    whole, half, none = measured(1.0, jolt=0.5), measured(0.5), measured(0.0, favourite=True)
    alarms = [measured(0.0, jolt=6.0, seed=seed, scenes=12)["p"] <= 0.05 for seed in range(100)]
    return [
        Truth("goes to what is named: all of the way", 1.0, whole["part of the way"], 0.05),
        Truth("and follows", 1.0, float(whole["verdict"] == FOLLOWS), 0.0),
        Truth("half to it, half to the middle", 0.5, half["part of the way"], 1e-9),
        Truth("goes to one object whatever is said: ignores", 1.0, float(none["verdict"] == IGNORES), 0.0),
        Truth("none of the way", 0.0, none["part of the way"], 1e-9),
        Truth("jolted to no side: at most 5 % alarms", 0.0, max(0.0, float(np.mean(alarms)) - 0.05), 0.045),
    ]


def predicted_truths() -> list[Truth]:
    """Normal errors of 1 cm that are held within 2 cm, displaced by 2 cm; and ranks that agree."""
    from toyshift.diagnostics.measuring.predicted import chance_to_hold, rank_correlation, spread_of

    room = np.full(10, 2.0)
    return [
        Truth("95 % within 2 cm: a spread of 1.02 cm", 2 / 1.959964, float(spread_of(0.95, room)), 1e-4),
        Truth("displaced as far as there is room: half", 0.5, float(chance_to_hold(2.0, 2.0, 0.5)), 1e-6),
        Truth("order kept: 1", 1.0, rank_correlation([-0.1, -0.2, -0.5, -0.9], [0, -3, -4, -9]).value, 1e-9),
    ]


def rule_truths() -> list[Truth]:
    """Policies that copy the nearest example, are right, or half of each; one that copies an example by its table."""
    told = {"copies an example": 1.0, "half of each": 0.5, "obeys the rule": 0.0}
    found = [Truth(words, 1 - copies, planted.told_apart(copies).found[0].value.value, 1e-9)
             for words, copies in told.items()]  # fmt: skip
    places, table = planted.told_apart(1.0, tied=True).found
    return [
        *found,
        Truth("copies an example of the table that is shown", 0.0, table.value.value, 1e-9),
        Truth("and of any where no example was", 0.0, places.value.value, 1e-9),
    ]


def diversity_truths() -> list[Truth]:
    """Two sub-datasets of one distribution, and two that lie apart."""
    from toyshift.diagnostics.diversity import measure_vectors

    rng = np.random.default_rng(0)
    alike = {name: rng.normal(size=(100, 4)) for name in "ab"}
    apart = {"a": alike["a"] + 20 * np.eye(4)[0], "b": alike["b"] + 20 * np.eye(4)[1]}
    mixed, split = measure_vectors(alike), measure_vectors(apart)
    assert mixed.fragmentation is not None, "of two sub-datasets there is one"
    assert mixed.probe is not None
    assert split.probe is not None
    assert split.purity is not None
    return [
        Truth("alike: fragmentation 1", 1.0, mixed.fragmentation.value, 0.05),
        Truth("alike: the probe guesses", 0.5, mixed.probe.value, 0.12),
        Truth("apart: the probe is right", 1.0, split.probe.value, 1e-9),
        Truth("apart: neighbours are their own", 1.0, split.purity.value, 1e-9),
    ]


def dependence_truths() -> list[Truth]:
    """A cue that tells everything, and one that tells nothing."""
    from toyshift.diagnostics.dependence import measure_dependence

    u = list(range(3)) * 40
    told = {"u": u}, {"cue": u, "independent": [value for value in range(4) for _ in range(30)]}
    pairs = {pair.irrelevant: pair.nmi for pair in measure_dependence({"d": told}, resamples=50).pairs}
    return [
        Truth("the cue is the target", 1.0, pairs["cue"], 1e-9),
        Truth("dealt out evenly", 0.0, pairs["independent"], 0.06),
    ]


def consistency_truths() -> list[Truth]:
    """Objects that always or never succeed, and coins, of which p of twenty draws is counted."""
    owned = consistency(planted.by_object(12, 16, 4)).table[0]
    tosses = [consistency(planted.coins(0.8, (28, 6), seed)) for seed in range(100)]
    alarms = float(np.mean([one.table[0]["p"] <= 0.05 for one in tosses]))
    ratio = np.mean([one.value.value for one in tosses]) / np.mean([one.null for one in tosses])
    return [
        Truth("12 of 28 objects always succeed", (28 / 12) ** 3, owned["ratio"], 1e-9),
        Truth("coins: ratio 1", 1.0, float(ratio), 0.06),
        Truth("coins: alarms beyond 5 %", 0.0, max(0.0, alarms - 0.05), 0.04),
    ]


def progression_truths() -> list[Truth]:
    """Policies that are each 10 points better, and coins."""
    names = [str(i) for i in range(4)]
    rising = progression({"": planted.helpful((0.5, 0.6, 0.7, 0.8), 200, 10)}, names)
    flat = [progression({"": planted.helpful((0.7,) * 4, 20, 5, seed)}, names).table[0] for seed in range(100)]
    alarms = float(np.mean([line["p (Holm)"] <= 0.05 for line in flat]))
    return [
        Truth("each 10 points better", 0.1, rising.value.value, 0.012),
        Truth("coins: 5 % alarms", 0.05, alarms, 0.04),
    ]


def ignorance_truths() -> list[Truth]:
    """22 of 40 misses in spite of knowing, and coins."""
    found = ignorance(*planted.misses(22, 18, 10))
    tosses = planted.coins(0.8, (20_000, STARTS + 1))
    chance = ignorance(tosses[:, :STARTS], tosses[:, STARTS], [i % 200 for i in range(len(tosses))])
    return [
        Truth("22 of 50 episodes", 0.44, found.value.value, 1e-9),
        Truth("coins of .8: p^6 (1 - p)", 0.8**6 * 0.2, chance.value.value, 0.005),
        Truth("coins: no excess", 0.0, chance.table[0]["excess share"], 0.005),
    ]


def case_truths() -> list[Truth]:
    """A policy that copies the nearest example, one that obeys the rule, and their mean."""
    made = planted.case_or_law()
    told = {"copies": ("copies an example", 0.0), "half": ("half of each", 0.5), "obeys": ("obeys the rule", 1.0)}
    beta = {name: case_index(made[name], made["law"], made["nearest"]).value.value for name in told}
    return [Truth(words, truth, beta[name], 1e-9) for name, (words, truth) in told.items()]


def patching_truths() -> list[Truth]:
    """Networks that read the target's tokens alone, the context's alone, or the state alone."""
    from toyshift.diagnostics.measuring import planted_networks as networks
    from toyshift.diagnostics.measuring.patching import patching

    def shares(reads: str, pooling: str, **given: bool) -> dict[str, float]:
        inside = networks.scenes(networks.network(pooling, reads, linear=True), **given)
        return {line["path"]: line["share"] for line in patching(inside)[0].table}

    target, context = shares("images", "detpool"), shares("images", "mean", target=False)
    state, both = shares("state", "mean"), shares("", "mean")
    return [
        Truth("detection pooling without a state: the target's tokens", 1.0, target["target's tokens"], 1e-5),
        Truth("not the context's", 0.0, target["context's tokens"], 1e-5),
        Truth("only the context differs: its tokens", 1.0, context["context's tokens"], 1e-4),
        Truth("cut off from images: the state", 1.0, state["state"], 1e-5),
        Truth("a linear head: no interaction", 0.0, both["interaction"], 1e-6),
    ]


def probes_truths() -> list[Truth]:
    """A place in a linear code, the same places dealt out anew, and features that never vary."""
    from toyshift.diagnostics.measuring.planted_networks import code
    from toyshift.diagnostics.measuring.probes import Task, agreement, probed

    made = code()
    task = Task(made["place"], False, made["objects"].astype(np.int64))
    rng = np.random.default_rng(0)
    score, controls = probed(made["features"], task)
    dealt, chance = probed(made["features"], task.dealt(rng))
    return [
        Truth("a linear code: R2", 1.0, score.value, 0.01),
        Truth("probes of two halves agree", 1.0, agreement(made["features"], task, 0), 0.05),
        Truth("its control: nothing", 0.0, float(controls.mean()), 0.1),
        Truth("places dealt out anew: selectivity", 0.0, max(0.0, dealt.value) - float(chance.mean()), 0.1),
        Truth("features that never vary", 0.0, max(0.0, probed(np.ones((180, 3)), task)[0].value), 1e-9),
    ]


def steer_truths() -> list[Truth]:
    """A factor that adds one vector before a linear head, two levels that pull apart, and a factor without a system."""
    from toyshift.diagnostics.measuring.steer import steering

    rng = np.random.default_rng(0)
    base, weight = rng.normal(size=(60, 8)), rng.normal(size=(8, 6))
    objects, level = [str(i // 3) for i in range(60)], np.arange(60) // 3 % 2 + 1
    added = np.ones((60, 1)) * rng.normal(size=8)
    apart = added * np.where(level == 1, 1.0, -1.0)[:, None]

    def measured(change: Array) -> tuple[float, float, float]:
        found = steering(base, base + change, level, objects, lambda h, _: h @ weight)
        return found.value.value, found.null, found.table[0]["times as far"]

    (one, random, far), (two, *_), (none, *_) = measured(added), measured(apart), measured(rng.normal(size=(60, 8)))
    return [
        Truth("one vector, linear head: cosine", 1.0, one, 1e-9),
        Truth("and as far as the factor moves it", 1.0, far, 1e-9),
        Truth("a random direction", 0.0, random, 0.15),
        Truth("two levels that pull apart: two directions", 1.0, two, 1e-9),
        Truth("a factor without a system", 0.0, none, 0.25),
    ]
