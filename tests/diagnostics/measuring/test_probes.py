"""Probes: a linear code is read, labels dealt out are not; the three rules of admission; objects are kept apart."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from toyshift.core.arrays import Array
from toyshift.diagnostics.measuring.finding import Finding
from toyshift.diagnostics.measuring.inside import encoded, layers_of
from toyshift.diagnostics.measuring.planted_networks import code, network, scenes
from toyshift.diagnostics.measuring.probes import (
    RIDGES,
    Task,
    agreement,
    concept,
    folds_of,
    predictions,
    probed,
    probes,
    ridge_paths,
)

MADE = code()
PLACE = Task(MADE["place"], False, MADE["objects"].astype(np.int64))


def ask(task: Task = PLACE, x: Array = MADE["features"], pixels: Array = MADE["features"], **given: float) -> Finding:
    return concept("it", {"pooled": x}, task, pixels, given.get("behaviour", 0.5), read="pooled")


def test_ridge_is_least_squares_with_a_penalty() -> None:
    rng = np.random.default_rng(0)
    x, y, weights = rng.normal(size=(30, 4)) * [1, 2, 3, 4], rng.normal(size=(30, 2)), rng.random(30)
    for ridge, (coefficients, intercept) in zip(RIDGES, ridge_paths(x, y, weights), strict=True):
        share = weights / weights.sum()
        z = x - share @ x
        scale = np.sqrt((share @ z**2).mean())
        normal = (z / scale).T @ (share[:, None] * z / scale) + ridge * np.eye(4)
        right = np.linalg.solve(normal, (z / scale).T @ (share[:, None] * (y - share @ y))) / scale
        assert np.allclose(coefficients, right)
        assert np.allclose(share @ (x @ coefficients + intercept), share @ y)


def test_a_linear_code_is_read_and_its_control_is_not() -> None:
    found = ask()
    assert found.value.value > 0.99
    assert found.null == pytest.approx(0.0, abs=0.1)
    assert found.table[0]["selectivity"] > 0.9
    assert found.table[0]["halves agree"] > 0.95
    assert found.verdict.endswith("; admitted")
    assert found.card == found.verdict
    dealt = ask(PLACE.dealt(np.random.default_rng(0)))
    assert "cannot be shown to be read from the pooled layer" in dealt.verdict
    assert max(0.0, dealt.value.value) - dealt.null < 0.1
    assert dealt.card == ""


def test_levels_are_read_and_those_dealt_out_stay_at_chance() -> None:
    level = np.arange(180) % 4
    task = Task(np.eye(4)[level], True, PLACE.objects)
    x = np.eye(4)[level] + 0.1 * np.random.default_rng(0).normal(size=(180, 4))
    score, controls = probed(x, task)
    assert score.value == 1.0
    assert controls.mean() == pytest.approx(0.25, abs=0.06)
    assert controls.min() >= 0.25  # no probe is worse than none
    rare = Task(np.eye(2)[(np.arange(180) % 10 == 0).astype(int)], True, PLACE.objects)
    always = np.tile([1.0, 0.0], (180, 1))
    assert rare.score(always).value == pytest.approx(0.5)  # balanced: not 90 %
    assert task.normal(0.25) == 0.0
    assert task.normal(1.0) == 1.0


def test_probes_never_see_the_objects_that_they_are_tried_on() -> None:
    """Features that name the object, and an answer for each object: only a leak could read it."""
    objects = np.repeat(np.arange(20), 6)
    task = Task(np.repeat(np.random.default_rng(0).normal(size=(20, 1)), 6, axis=0), False, objects)
    assert probed(np.eye(20)[objects], task)[0].value < 0.1
    for fit, test in folds_of(objects, 5, np.random.default_rng(0)):
        assert not set(objects[fit]) & set(objects[test])
        assert (fit ^ test).all()
    assert len(predictions(np.eye(20)[objects], [task], 0)[0]) == 120


def test_the_rules_of_admission_refuse() -> None:
    harder = ask(pixels=np.random.default_rng(0).normal(size=(180, 3)))
    assert "not admitted: pixels tell it less well" in harder.verdict
    noise = np.random.default_rng(1).normal(size=(180, 2))
    task = dataclasses.replace(PLACE, answers=PLACE.answers[:, :1])
    assert agreement(np.c_[task.answers, noise], task, 0) > 0.95
    assert agreement(noise, task, 0) < 0.7
    assert "probes of two halves of the objects differ" in ask(task, noise).verdict


def test_what_never_varies_and_few_objects_are_undefined() -> None:
    still = dataclasses.replace(PLACE, answers=np.ones((180, 2)))
    assert ask(still).verdict == "undefined: it never varies"
    few = dataclasses.replace(PLACE, objects=PLACE.objects % 3)
    assert ask(few).verdict == "undefined: it takes 5 objects, there are 3"
    six = ask(dataclasses.replace(PLACE, objects=PLACE.objects % 6))
    assert six.verdict.startswith("too few objects to tell whether it is read from the pooled layer")
    assert six.card == ""
    assert ask(x=np.ones((180, 4))).value.value <= 0.0


def test_layers_of_a_network_are_read() -> None:
    inside = scenes(network("mean", layers=2))
    layers = layers_of(inside.policy, encoded(inside.policy, inside.shown[""]))
    assert {name: x.shape for name, x in layers.items()} == {
        "tokens": (48, 32), "pooled": (48, 32), "features": (48, 35), "head 1": (48, 32), "head 2": (48, 32),
    }  # fmt: skip
    assert np.allclose(layers["tokens"], layers["pooled"], atol=1e-6)  # mean pooling
    assert np.allclose(layers["features"][:, :32], layers["pooled"])
    assert (layers["head 2"] >= 0).all()
    assert not inside.policy.head.mlp[1]._forward_hooks
    place, table, colour, both = probes(inside)
    assert table.value.value == 1.0
    assert place.value.low > 0.8
    assert colour.subject == "planted, object_colour"
    assert "3 of 3 concepts are shown" in table.caveats[-1]
    assert both.value.value == pytest.approx(1.0 - place.value.value)
    assert both.value.low <= both.value.value <= both.value.high
