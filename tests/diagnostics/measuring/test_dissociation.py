"""Dissociation: parts that serve one kind of objects, and ablations of a network whose wiring is known."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from toyshift.diagnostics.measuring.dissociation import dissociated, dissociation, parts_of_network, units_of
from toyshift.diagnostics.measuring.finding import Finding
from toyshift.diagnostics.measuring.inside import Inside, acted, encoded
from toyshift.diagnostics.measuring.planted_networks import network, scenes

OBJECTS = [str(i // 3) for i in range(60)]


def rises(*serves: tuple[float, float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    drawn = np.abs(np.random.default_rng(seed).normal(size=(2, len(serves), 60)))
    seen, new = drawn * np.array(serves).T[:, :, None]
    return seen, new


def test_a_double_dissociation_takes_both_sides() -> None:
    both = dissociation(*rises((1, 0), (0, 1)), ["a", "b"], (OBJECTS, OBJECTS))
    assert [line["index"] for line in both.table] == [1.0, -1.0]
    assert both.value.value == 2.0
    assert both.card.startswith("a serves seen objects, b new ones (2.00 [2.00, 2.00]")
    one = dissociation(*rises((1, 0), (1, 1)), ["a", "b"], (OBJECTS, OBJECTS))
    assert one.verdict == "a serves seen objects more, and none the others: no double dissociation"
    assert one.card == ""
    none = dissociation(*rises((1, 1), (1, 1)), ["a", "b"], (OBJECTS, OBJECTS))
    assert none.verdict.startswith("no part is shown to serve one kind of objects alone")


def test_labels_are_dealt_out_to_objects() -> None:
    """Nothing differs between the kinds, objects do: alarms stay at 5 % though looks of an object are alike."""
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        seen, new = (np.repeat(rng.exponential(size=(2, 12)), 5, axis=1) for _ in range(2))
        objects = [str(i // 5) for i in range(60)]
        found = dissociation(seen, new, ["a", "b"], (objects, objects), seed=seed)
        alarms += any(line["p (Holm)"] <= 0.05 for line in found.table)
    assert alarms <= 6


def test_what_is_undefined_says_why() -> None:
    seen, new = rises((1, 1), (0, 0))
    found = dissociation(seen, new, ["a", "idle"], (OBJECTS, OBJECTS))
    assert found.verdict == "undefined: 1 parts are shown to matter at all; it takes two"
    assert math.isnan(found.table[1]["index"])
    few = dissociation(seen[:, :6], new, ["a", "idle"], (OBJECTS[:6], OBJECTS))
    assert few.verdict.startswith("undefined: labels are dealt out to 2 seen and 20 new objects")


@pytest.fixture(scope="module")
def looks() -> tuple[Inside, Inside]:
    net = network("mean", "state")
    made = (scenes(net, 8, 3), scenes(net, 8, 3, seed=1))
    first, second = (
        dataclasses.replace(one, right=acted(net, encoded(net, one.shown[""]))) for one in made
    )
    return first, second


def test_a_network_that_is_cut_off_from_images_loses_nothing_with_them(looks: tuple[Inside, Inside]) -> None:
    lines = {line["part"]: line for line in dissociated(*looks).table}
    assert {"view front", "view wrist", "state"} < set(lines)
    assert lines["view front"]["seen"] == lines["view wrist"]["new"] == 0.0
    assert lines["state"]["seen"] > 0.01
    assert any("third" in part for part in lines)


def test_every_unit_that_varies_is_in_one_part(looks: tuple[Inside, Inside]) -> None:
    net = looks[0].policy
    inner = encoded(net, looks[0].shown[""])
    parts = [what[1] for kind, what in parts_of_network(net, inner).values() if kind == "units"]
    units = np.concatenate([p.numpy() for p in parts])
    assert len(set(units.tolist())) == len(units)
    assert units_of(np.zeros((5, 4))) == []
    assert [one.tolist() for one in units_of(np.eye(5)[:, :2])] == [[0, 1]]


def test_blocks_of_a_transformer_are_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    from toyshift.policies.parts import TRANSFORMERS

    monkeypatch.setitem(TRANSFORMERS, "transformer-tiny", (16, 2, 2))
    net = network("mean", policy_net="transformer-tiny", history=2)

    def told(seed: int) -> Inside:
        one = scenes(net, 5, 2, seed=seed)
        return dataclasses.replace(one, right=acted(net, encoded(net, one.shown[""])))

    found: Finding = dissociated(told(0), told(1))
    lines = {line["part"]: line for line in found.table}
    assert lines["block 1"]["seen"] > 0
    assert lines["block 2"]["new"] > 0


def test_looks_whose_right_actions_nobody_knows(looks: tuple[Inside, Inside]) -> None:
    blank = dataclasses.replace(looks[0], right=None)
    assert dissociated(blank, looks[1]).verdict.startswith("undefined: nobody noted what the expert does")
    ended = dataclasses.replace(looks[0], right=np.full((24, 6), np.nan))
    assert "before the end of the expert's episode" in dissociated(ended, looks[1]).verdict
