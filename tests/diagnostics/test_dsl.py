"""First approach and degree of shortcut learning: the vectors that ship, and what analysis says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.diagnostics.dsl import OUTCOMES, VECTORS, degree_of, first_approach
from toyshift.diagnostics.statistics import wilson

SHIPPED: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
START = [0.0, 0.0, 1.0]


@pytest.mark.parametrize("vector", SHIPPED["trajectories"], ids=lambda v: v["name"])
def test_trajectories_of_the_vectors(vector: dict[str, Any]) -> None:
    found = first_approach(*(vector[name] for name in ("hand", "cue", "instructed", "reach")))
    assert found == vector["expected"]


@pytest.mark.parametrize("vector", SHIPPED["degrees"], ids=lambda v: v["name"])
def test_degrees_of_the_vectors(vector: dict[str, Any]) -> None:
    found = degree_of(vector["approached"], vector["clusters"]).to_json()
    assert found.pop("counts") == vector["expected"]["counts"]
    for name, share in found.items():
        assert share == pytest.approx(vector["expected"][name], abs=1e-6), name


def test_the_vectors_have_every_outcome() -> None:
    assert {vector["expected"] for vector in SHIPPED["trajectories"]} == set(OUTCOMES) == set(SHIPPED["outcomes"])


def test_intervals_are_wilsons_where_every_episode_has_an_object_of_its_own() -> None:
    found = degree_of(["cue"] * 6 + ["instructed"] * 2 + ["neither"] * 2, range(10))
    shares = [(share.low, share.high) for share in (found.dsl, found.conditional, found.neither)]
    assert np.allclose(shares, [wilson(6, 10), wilson(6, 8), wilson(2, 10)])
    twice = degree_of(["cue"] * 6 + ["instructed"] * 4, [i // 2 for i in range(10)])  # equal within an object
    assert np.allclose((twice.dsl.low, twice.dsl.high), wilson(3, 5))


def test_what_is_approached_does_not_depend_on_where_the_world_begins_or_is_turned() -> None:
    rng = np.random.default_rng(0)
    hands = np.concatenate([np.tile([0.0, 0.0, 1.0], (300, 1, 1)), rng.uniform(-0.4, 0.4, (300, 8, 3))], axis=1)
    cue, instructed = np.array([[0.2, 0.1, 0.0], [0.3, 0.0, 0.1]]), np.array([[-0.2, 0.1, 0.0]])
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    moved = [first_approach(h @ turn + 5, cue @ turn + 5, instructed @ turn + 5, 0.15) for h in hands]
    found = [first_approach(h, cue, instructed, 0.15) for h in hands]
    assert moved == found
    other = {"cue": "instructed", "instructed": "cue"}
    assert [first_approach(h, instructed, cue, 0.15) for h in hands] == [other.get(name, name) for name in found]
    assert set(found) == {"cue", "instructed", "neither"}


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"hand": [0.0, 0.0, 1.0]}, r"hand has shape \(3,\)"),
        ({"hand": np.zeros((0, 3))}, "at least one position"),
        ({"hand": [[np.nan, 0.0, 1.0]]}, "not finite"),
        ({"hand": [["a", 0.0, 1.0]]}, "hand is no array of numbers"),
        ({"cue": np.zeros((0, 3))}, "at least one place"),
        ({"cue": [[0.0, 0.0]]}, r"cue has shape \(1, 2\)"),
        ({"instructed": [[[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]]}, "instructed has a box whose lowest"),
        ({"reach": 0.0}, "reach is 0.0"),
        ({"reach": float("nan")}, "reach is nan"),
    ],
)
def test_bad_trajectories_are_refused(changed: dict[str, Any], match: str) -> None:
    given = {"hand": [START], "cue": [[0.5, 0.0, 0.0]], "instructed": [[-0.5, 0.0, 0.0]], "reach": 0.04}
    with pytest.raises(ConfigError, match=match):
        first_approach(**(given | changed))


def test_bad_outcomes_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="instructed"):
        degree_of(["instruct"], ["a"])
    with pytest.raises(ConfigError, match="2 episodes but 1 cluster"):
        degree_of(["cue", "cue"], ["a"])
