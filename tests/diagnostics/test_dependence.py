"""Mutual information of factors: against what was planted, against chance, and what counts as relevant."""

from __future__ import annotations

import json

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.core.information import estimated_mutual_information, normalised_mutual_information
from toyshift.data.collecting.dials import fragment
from toyshift.diagnostics import contingency
from toyshift.diagnostics.dependence import dependence_table, encode, factors_of, measure_dependence


def meta(object_id="a", x=0.5, y=0.0, task="pick up the toy", factors=None, **look):
    pose = [[1, 0, 0, x], [0, 1, 0, y], [0, 0, 1, 0.0], [0, 0, 0, 1]]
    factors = {"look": {"azimuth": 0.0, "table": 0} | look} | (factors or {})
    return {"object_id": object_id, "object_pose": pose, "task": task, "factors": factors}


def test_what_was_planted_is_measured():
    design = fragment(2, diversity=0.5, disparity=0.8, correlation=1.0)
    rng = np.random.default_rng(0)
    datasets = {}
    for part in design.parts:
        drawn = [part.draw(rng) for _ in range(400)]
        metas = [meta(azimuth=d["azimuth"], factors={"sub_dataset": {"position": d["position"]}}) for d in drawn]
        datasets[part.name] = factors_of(metas, "panda")
    result = measure_dependence(datasets, resamples=50)
    pairs = {(p.relevant, p.irrelevant): p for p in result.pairs}
    assert pairs.keys() == {("position", "azimuth"), ("position", "dataset")}
    pair = pairs["position", "azimuth"]
    assert pair.nmi == pytest.approx(design.planted(), abs=0.02)
    assert pair.low < design.planted() < pair.high
    assert pair.p_value == pytest.approx(1 / 51)
    assert set(result.constant) == {"object", "instruction", "position.x", "table", "robot"}
    json.dumps(result.to_json(), allow_nan=False)
    assert "position - azimuth" in dependence_table(result)


def test_independent_factors_measure_nothing_beyond_chance_and_equal_ones_everything():
    rng = np.random.default_rng(1)
    metas = [
        meta(
            object_id=f"o{rng.integers(100)}", task=str(k := int(rng.integers(3))), table=k,
            azimuth=float(rng.uniform(-60, 60)),
        )
        for _ in range(200)
    ]
    result = measure_dependence({"d": factors_of(metas)}, resamples=100)
    pairs = {(p.relevant, p.irrelevant): p for p in result.pairs}
    assert (result.pairs[0].relevant, result.pairs[0].irrelevant) == ("instruction", "table")
    assert result.pairs[0].nmi == pytest.approx(1.0)
    crowded = pairs["object", "azimuth"]  # 100 x 9 cells for 200 episodes: the estimate says a lot, chance the same
    assert crowded.nmi > 0.2
    assert crowded.nmi == pytest.approx(crowded.chance, abs=0.05)
    assert crowded.p_value > 0.01
    assert abs(pairs["instruction", "azimuth"].nmi) < 0.06


def test_three_by_two_by_hand():
    rows = [("a", 0)] * 30 + [("b", 1)] * 30 + [("c", 0)] * 20 + [("c", 1)] * 20
    result = measure_dependence({"d": factors_of([meta(object_id=o, table=t) for o, t in rows])}, resamples=5)
    exact = float(normalised_mutual_information(np.array([[30, 0], [0, 30], [20, 20]]) / 100))
    assert [(p.relevant, p.irrelevant) for p in result.pairs] == [("object", "table")]
    assert result.pairs[0].nmi == pytest.approx(exact, abs=0.01)  # but for the correction
    assert result.pairs[0].values == (3, 2)


def test_shifts_of_the_object_are_relevant_and_others_are_not():
    shifted = {"object-size": 1.2, "light-intensity": 0.8, "shift": "object-size=2,light-intensity=1"}
    metas = [meta(factors=shifted), meta()]
    relevant, irrelevant = factors_of(metas, "ur5e")
    assert relevant["object-size"] == [1.2, 1.0]  # the training value where nothing was shifted
    assert irrelevant["light-intensity"] == [0.8, 1.0]
    assert irrelevant["robot"] == ["ur5e", "ur5e"]


def test_data_that_tell_little():
    foreign = {name: factors_of([{"task": "open the drawer"}] * 3) for name in ("a", "b")}
    result = measure_dependence(foreign)
    assert not result.pairs
    assert "instruction" in dependence_table(result)
    other = measure_dependence({"a": foreign["a"], "b": factors_of([{"task": "close it"}] * 3)}, resamples=5)
    assert [(p.relevant, p.irrelevant, round(p.nmi, 6)) for p in other.pairs] == [("instruction", "dataset", 1.0)]
    with pytest.raises(ConfigError, match="no dataset"):
        measure_dependence({})


def interval_of(u, v, seed=0):
    rng = np.random.default_rng(seed)
    return contingency.nmi_interval(u, v, contingency.shuffled(u, v, rng, 100)[0], rng)


def test_a_rule_that_no_episode_breaks_is_not_certain():
    """A rule that 7.2 % of the episodes break is unbroken in 40 once in 20: (1 - 0.072)^40 = 0.05."""
    u = np.tile([0, 1], 20)
    low, high = interval_of(u, u)
    off = 0.072 / 2
    assert low == pytest.approx(float(normalised_mutual_information([[0.5 - off, off], [off, 0.5 - off]])), abs=0.08)
    assert high == 1.0


@pytest.mark.parametrize(
    "table",
    [[[1, 0], [0, 1]], [[5, 5], [5, 5]], [[3, 0], [1, 1]], [[2, 2, 0], [0, 0, 9]], [[1, 1, 1, 1], [1, 1, 1, 1]]],
)
def test_the_value_lies_in_an_interval_that_has_a_width(table):
    u, v = (np.repeat(of, np.ravel(table)) for of in np.divmod(np.arange(np.size(table)), len(table[0])))
    low, high = interval_of(u, v)
    assert low < high
    assert low <= contingency.told(u, v)[0] <= high


@pytest.mark.parametrize(("n", "rho"), [(40, 0.0), (40, 0.5), (40, 0.98), (100, 0.95)])
def test_the_interval_covers_where_cues_are_weak_and_strong(n, rho):
    """Of 1.96 bootstrap errors 32 % did at n 40, rho 0.98; a tenth of 80 below 95 % is beyond 4 standard errors."""
    rng = np.random.default_rng(3)
    joint = rho * np.eye(2) / 2 + (1 - rho) / 4
    truth = float(normalised_mutual_information(joint))
    found = []
    while len(found) < 80:
        u, v = np.divmod(rng.choice(4, size=n, p=joint.ravel()), 2)
        if len(set(u)) == len(set(v)) == 2:
            found.append(interval_of(u, v, len(found)))
    low, high = np.array(found).T
    assert np.mean((low <= truth + 1e-9) & (truth <= high + 1e-9)) >= 0.85
    assert (high - low).min() > 0.01


def test_large_tables_measure_the_same_without_their_empty_cells(monkeypatch):
    rng = np.random.default_rng(4)
    u = rng.integers(40, size=300)
    v = np.where(rng.random(300) < 0.5, u, rng.integers(50, size=300))
    u, v = (np.unique(codes, return_inverse=True)[1] for codes in (u, v))
    counts = contingency.counted(u, v)
    nmi, guess = contingency.told(u, v)
    assert contingency._is_sparse(u, v)
    assert nmi == pytest.approx(float(estimated_mutual_information(counts)), abs=1e-12)
    assert guess == counts.max(axis=0).sum() / 300
    many = contingency.shuffled(u, v, np.random.default_rng(0), 300)
    large = contingency._large_way(u, v, np.random.default_rng(0))
    monkeypatch.setattr(contingency, "LARGE", 10**9)
    few = contingency.shuffled(u, v, np.random.default_rng(0), 300)
    for sparse, dense in zip(many, few, strict=True):
        assert sparse.mean() == pytest.approx(dense.mean(), abs=4 * dense.std() / np.sqrt(150))
        assert sparse.std() == pytest.approx(dense.std(), rel=0.25)
    small = contingency._small_way(counts, np.random.default_rng(0))
    for at in (0.0, 0.5, 1.0, 1.5, 2.0):
        assert large[1](at) == pytest.approx(small[1](at), abs=1e-9)
        drawn = small[0](at, 100)
        assert large[0](at, 100).mean() == pytest.approx(drawn.mean(), abs=5 * drawn.std() / np.sqrt(50))


def test_the_interval_of_a_large_table_tells_a_cue_from_none():
    rng = np.random.default_rng(5)
    u = np.tile(np.arange(100), 40)
    tied, none = np.where(rng.random(4000) < 0.6, u % 15, rng.integers(15, size=4000)), rng.integers(15, size=4000)
    joint = np.array([[0.6 * (i % 15 == j) + 0.4 / 15 for j in range(15)] for i in range(100)]) / 100
    low, high = interval_of(u, tied)
    assert low < float(normalised_mutual_information(joint)) < high
    assert high - low < 0.1
    assert interval_of(u, none)[0] <= 0


def test_bins():
    assert len(np.unique(encode("camera-fov", list(np.linspace(3.0, 4.0, 1000))))) == 9
    assert np.bincount(encode("azimuth", list(np.linspace(-60, 60, 901)))).tolist() == [100] * 8 + [101]
    assert np.unique(encode("position.y", [0.1 + 1e-9 * i for i in range(20)])).tolist() == [0]
    assert encode("table", [2, 0, 2]).tolist() == [1, 0, 1]
