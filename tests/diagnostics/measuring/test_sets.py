"""Sets of objects: the algebra of codes, and what is said of scenes that hold one object."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from toyshift.diagnostics.measuring.planted_learning import several_objects
from toyshift.diagnostics.measuring.sets import SIZE, Language, codes_of, sets, thing_of


def test_codes_are_almost_orthogonal_and_their_own_inverse() -> None:
    codes = codes_of(["red", "blue", "ball"])
    assert set(codes["red"]) == {-1.0, 1.0}
    assert np.array_equal(codes["red"] * codes["red"], np.ones(SIZE))
    assert abs(codes["red"] @ codes["blue"]) / SIZE < 0.08
    assert np.array_equal(codes["ball"], codes_of(["ball"])["ball"])  # wherever it stands


def test_the_order_of_a_set_is_nothing_and_one_object_is_unbound_exactly() -> None:
    scenes, _ = several_objects(10, (3,))
    language = Language.of(scenes)
    assert np.array_equal(language.scene(scenes[0]), language.scene(scenes[0][::-1]))
    colour, kind, place = scenes[0][0]
    alone = language.cosines(language.scene(scenes[0][:1])[None], place)[0]
    assert alone[language.pairs.index((colour, kind))] == pytest.approx(1.0)
    assert np.sort(alone)[-2] < 0.1
    assert language.cosines(np.zeros((1, SIZE)), place).tolist() == [[0.0] * len(language.pairs)]


def test_what_is_undefined_says_why() -> None:
    scenes, features = several_objects(30, (2,))
    assert "one object is what probes ask about" in sets(features, [scene[:1] for scene in scenes]).verdict
    same = [[("red", "ball", place) for _, _, place in scene] for scene in scenes]
    assert sets(features, same).verdict == "undefined: all objects are red ball"
    heap = [[(colour, kind, "here") for colour, kind, _ in scene] for scene in scenes]
    assert sets(features, heap).verdict == "undefined: every object shares its place with another"


def test_an_object_is_colour_kind_and_cell() -> None:
    toy = SimpleNamespace(name="red toy", info={"toy": {"primitives": [{"kind": "ring"}, {"kind": "cuboid"}]}})
    assert thing_of(toy, np.array([0.5, -0.01, 0.0])) == ("red", "ring", "6, -1")
    assert thing_of(SimpleNamespace(name="mustard bottle", info={}), np.zeros(3))[:2] == ("mustard", "mustard bottle")
