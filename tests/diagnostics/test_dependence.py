"""Mutual information of factors: against what was planted, against chance, and what counts as relevant."""

from __future__ import annotations

import json

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.core.information import normalised_mutual_information
from toyshift.data.collecting.dials import fragment
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


def test_bins():
    assert len(np.unique(encode("camera-fov", list(np.linspace(3.0, 4.0, 1000))))) == 9
    assert np.bincount(encode("azimuth", list(np.linspace(-60, 60, 901)))).tolist() == [100] * 8 + [101]
    assert np.unique(encode("position.y", [0.1 + 1e-9 * i for i in range(20)])).tolist() == [0]
    assert encode("table", [2, 0, 2]).tolist() == [1, 0, 1]
