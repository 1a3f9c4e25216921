"""Steering: a linear head follows a factor's direction exactly, on objects that the direction was not made of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toyshift.core.arrays import Array
from toyshift.diagnostics.measuring.finding import Finding
from toyshift.diagnostics.measuring.planted_networks import network, scenes
from toyshift.diagnostics.measuring.steer import directions_of, pairs_of, steered, steering

OBJECTS = [str(i // 3) for i in range(60)]
LEVEL = np.arange(60) // 3 % 2 + 1


def measure(change: Array, weight: Array, **given: object) -> Finding:
    base = np.random.default_rng(0).normal(size=(60, 8))
    return steering(base, base + change, LEVEL, OBJECTS, lambda h, _: h @ weight, **given)  # type: ignore[arg-type]


def test_a_linear_head_is_steered_exactly() -> None:
    rng = np.random.default_rng(1)
    head = torch.nn.Linear(8, 6).double()
    base, change = rng.normal(size=(60, 8)), np.ones((60, 1)) * rng.normal(size=8)

    def act(h: Array, _: Array) -> Array:
        with torch.inference_mode():
            return np.asarray(head(torch.from_numpy(h)).numpy())

    found = steering(base, base + change, LEVEL, OBJECTS, act, factor="the table")
    assert (found.value.value, found.value.low, found.value.high) == pytest.approx((1.0, 1.0, 1.0))
    assert "1.00 [1.00, 1.00] times as far" in found.caveats[0]
    assert found.verdict.startswith("one direction carries the table: adding it moves actions as changing the table")
    assert abs(found.null) < 0.2


def test_levels_that_pull_apart_have_directions_of_their_own() -> None:
    weight = np.random.default_rng(2).normal(size=(8, 6))
    apart = np.ones((60, 8)) * np.where(LEVEL == 1, 1.0, -1.0)[:, None]
    found = measure(apart, weight)
    one, two, random = found.table
    assert two["cosine"] == pytest.approx(1.0)
    assert abs(one["cosine"]) < 0.5  # their mean is nobody's
    assert random["directions"] == "random"
    assert "2 directions carry the factor" in found.verdict
    by_level = directions_of(apart, LEVEL, 2)
    assert np.allclose(by_level[1], 1.0)
    assert np.allclose(by_level[2], -1.0)


def test_what_has_no_system_is_not_steered() -> None:
    rng = np.random.default_rng(3)
    found = measure(rng.normal(size=(60, 8)), rng.normal(size=(8, 6)))
    assert found.verdict.startswith("no direction is shown to carry the factor")
    assert found.card == ""


def test_directions_are_not_tried_on_their_own_objects() -> None:
    """Each object has a change of its own: within an object it is the same, so that only a leak would find it."""
    rng = np.random.default_rng(4)
    own = np.repeat(rng.normal(size=(20, 8)), 3, axis=0)
    assert abs(measure(own, rng.normal(size=(8, 6))).value.value) < 0.3


def test_each_half_of_the_objects_meets_every_level() -> None:
    weight = np.random.default_rng(5).normal(size=(8, 6))
    for seed in range(20):  # dealt out regardless of levels, two in three fail
        rare = np.array([1, 2, 3, 1, 2, 3])
        found = steering(np.zeros((6, 8)), np.ones((6, 8)), rare, list("abcdef"), lambda h, _: h @ weight, seed=seed)
        assert found.value.value == pytest.approx(1.0)
        assert found.verdict == "too few objects to tell whether a direction carries the factor"


def test_what_is_undefined_says_why() -> None:
    weight = np.ones((8, 6))
    assert "in 0 of 60 looks the factor moves the action" in measure(np.zeros((60, 8)), weight).verdict
    base = np.zeros((6, 8))
    one = steering(base, base + 1, np.ones(6, dtype=np.int64), ["a"] * 6, lambda h, _: h @ weight)
    assert one.verdict == "undefined: a direction is tried on other objects than it is made of; there is one"
    rare = np.array([1, 1, 2, 2])
    half = steering(base[:4], base[:4] + 1, rare, ["a", "a", "b", "b"], lambda h, _: h @ weight)
    assert "is met with half of the objects only" in half.verdict


def test_a_network_is_steered_by_what_it_reads() -> None:
    looked = scenes(network("mean", "images"))
    table, colour = steered(looked)
    pairs = pairs_of(looked, "of these")
    assert pairs.base.shape == pairs.of("table")[1].shape == (48, 32)  # two views, and not the state
    assert not np.allclose(pairs.base, pairs.changed["table"])
    assert np.array_equal(pairs.levels["table"], looked.levels["table"])
    assert (table.subject, colour.subject) == ("planted, table", "planted, object_colour")
    assert table.value.low > 0.9
    still, _ = steered(scenes(network("detpool", "images")))
    assert still.verdict.startswith("undefined: in 0 of 48 looks the table moves")
