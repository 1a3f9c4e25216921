"""Planted differences are found where they were planted."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from toyshift.diagnostics.comparing import SPLITS
from toyshift.diagnostics.comparing.splits import factors, split, thirds
from toyshift.diagnostics.comparing.text import split_text
from toyshift.diagnostics.comparing.trials import Side, Trial


def planted(name: str, worse: set[str], shifted: float = 0.8) -> Side:
    """Succeeds in 4 of 5 episodes, on some objects in 1 of 5, where it drops them."""
    episodes = []
    for item in "abcdef":
        for i in range(15):
            good = i % 5 > 0 if item not in worse else i % 5 == 0
            failure = "" if good else "dropped" if item in worse else "no_contact"
            episodes.append(Trial("toys:test", item, (item, i), good, failure))
            success = i < 15 * shifted
            episodes.append(Trial("toys:test", item, (item, i, 1), success, "" if success else "timeout", "light=2"))
    return Side(name, "test", tuple(episodes), "numbers")


FIRST, SECOND = planted("first", set()), planted("second", {"c", "e"}, shifted=0.2)


def test_by_object():
    found = split((FIRST, SECOND), "object")
    assert [level.name for level in found.levels[:2]] == ["c", "e"]
    assert [level.difference for level in found.levels] == pytest.approx([0.6, 0.6, 0, 0, 0, 0])
    assert found.levels[0].episodes == (15, 15)
    assert found.levels[0].p_holm == pytest.approx(6 * found.levels[0].p_value)
    assert found.levels[2].p_holm == 1.0
    json.dumps(found.to_json(), allow_nan=False)


def test_by_failure():
    found = split((FIRST, SECOND), "failure")
    dropped, untouched = found.levels  # of the unshifted episodes
    assert (dropped.name, untouched.name) == ("dropped", "no_contact")
    assert dropped.rates == pytest.approx((0, 2 * 12 / 90))
    assert untouched.rates == pytest.approx((18 / 90, 12 / 90))
    assert dropped.high < 0


def test_by_shift():
    found = split((FIRST, SECOND), "shift")
    assert [level.name for level in found.levels] == ["none", "light=2"]
    assert [level.difference for level in found.levels] == pytest.approx([0.2, 0.6])


def levels_of(name: str, wins: float, levels: int, copies: bool) -> Side:
    """Meets 40 starts under every level of two factors; with `copies`, an outcome is the start's."""
    rng, episodes = np.random.default_rng([*name.encode(), copies]), []
    for i in range(40):
        own = bool(rng.random() < wins)
        for shift in [f"{factor}={k}" for factor in ("light", "mass") for k in range(1, levels + 1)]:
            good = own if copies else bool(rng.random() < wins)
            item = str(i % 8)
            episodes.append(Trial("toys:test", item, (i, shift), good, "" if good else "slipped", shift, (item, i)))
    return Side(name, "test", tuple(episodes), "numbers")


def test_by_factor_takes_levels_together():
    found = split((FIRST, SECOND), "factor")
    assert [level.name for level in found.levels] == ["none", "light"]
    by_level = split((FIRST, SECOND), "shift")  # one level: nothing is taken together
    assert [dataclasses.replace(x, name="") for x in found.levels] == [
        dataclasses.replace(x, name="") for x in by_level.levels
    ]
    assert factors("table-texture=3,light=2|3,table-texture=1") == "light,table-texture"
    assert factors("") == ""
    pair = levels_of("a", 0.8, 4, copies=False), levels_of("b", 0.5, 4, copies=False)
    found = split(pair, "factor")
    assert [(level.name, level.episodes) for level in found.levels] == [("light", (160, 160)), ("mass", (160, 160))]
    every = split(pair, "shift").levels
    light = [level.difference for level in every if level.name.startswith("light")]
    assert found.levels[0].difference == pytest.approx(np.mean(light))
    assert all(level.low > 0 and level.p_holm < 0.01 for level in found.levels)


def test_levels_of_a_start_are_no_independent_episodes():
    """Where the level changes nothing, eight levels tell as much as one."""
    one, eight = (
        split((levels_of("a", 0.8, n, copies=True), levels_of("b", 0.5, n, copies=True)), "factor").levels[0]
        for n in (1, 8)
    )
    assert eight.difference == one.difference
    assert eight.high - eight.low > 0.85 * (one.high - one.low)
    assert eight.p_value > 0.3 * one.p_value


def test_kinds_told_by_different_rules_are_not_compared():
    old = planted("old", {"c"})
    new = dataclasses.replace(
        old, name="new",
        episodes=tuple(dataclasses.replace(e, failure=e.failure and "never_reached") for e in old.episodes),
    )
    assert "events (never_reached), others by heights (dropped)" in split((old, new), "failure").why
    assert not split((new, new), "failure").why


def test_training_toys_are_what_the_files_say(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "toyshift.diagnostics.comparing.splits.thirds",
        lambda objects, training_set, workers: asked.append(training_set) or dict.fromkeys(objects, "near"),
    )
    a, b = (dataclasses.replace(side, trained_on=("toys:train", "ycb-like")) for side in (FIRST, SECOND))
    assert split((a, b), "distance").training_set == "toys:train+ycb-like"
    assert "by distance to toys:train+ycb-like: " in split_text(split((a, b), "distance"), 0.95)
    assert split((a, SECOND), "distance", training_set="toys:train?n=3").training_set == "toys:train?n=3"
    assert asked == ["toys:train+ycb-like"] * 2 + ["toys:train?n=3"]
    why = split((a, SECOND), "distance").why
    assert why.startswith("no distances: second (test) does not say what it was trained on")
    other = dataclasses.replace(b, trained_on=("ycb-like",))
    assert "first was trained on toys:train+ycb-like, second on ycb-like" in split((a, other), "distance").why


def test_by_distance_to_training_toys(monkeypatch):
    from toyshift import toys

    asked = []

    def set_distance(a, b, workers):
        asked.append((a, b))
        return {"objects": [{"id": o, "chamfer": {"distance": 0.001 * i}} for i, o in enumerate("fabced")]}

    monkeypatch.setattr(toys, "load_objects", lambda spec: spec)
    monkeypatch.setattr(toys, "set_distance", set_distance)
    found = split((FIRST, SECOND), "distance", training_set="toys:train")
    assert asked == [("toys:train", "toys:test")]
    assert {level.name.split(":")[0]: round(level.difference, 2) for level in found.levels} == {
        "near": 0.0, "middle": 0.3, "far": 0.3,
    }  # fmt: skip


def test_distances_of_real_sets():
    from toyshift.toys import load_objects

    ids = load_objects("toys:test?n=3").ids
    found = thirds({("toys:test?n=3", name) for name in ids}, "toys:train?n=3", workers=1)
    assert sorted(word.split(":")[0] for word in found.values()) == ["far", "middle", "near"]


def test_what_cannot_be_taken_apart_says_why():
    plain = [
        Side(name, "test", tuple(Trial("", "", i, bool(i % n)) for i in range(12)), "numbers")
        for name, n in (("a", 2), ("b", 3))
    ]
    why = {by: split((plain[0], plain[1]), by, training_set="toys:train?n=3").why for by in SPLITS}
    assert why["object"] == "the files name no objects"
    assert why["factor"] == why["shift"] == "the files share no shifted episodes"
    assert why["failure"] == "the files name no kinds of failure"
    assert why["distance"] == "no distances: the files name no object sets"
    tasks = [
        Side(name, "test", tuple(Trial("libero_goal", "0", i, bool(i % n)) for i in range(12)), "numbers")
        for name, n in (("a", 2), ("b", 3))
    ]
    assert "libero_goal" in split((tasks[0], tasks[1]), "distance", training_set="toys:train?n=3").why
    assert "the files name no objects" in split_text(split((plain[0], plain[1]), "object"), 0.95)


def test_many_levels_are_cut_and_lines_stay_short():
    rng = np.random.default_rng(0)
    names = [f"a very long name of an object, number {o}" for o in range(30)]
    sides = [
        Side(name, "test", tuple(Trial("s", o, (o, i), rng.random() < 0.5) for o in names for i in range(4)), "numbers")
        for name in "ab"
    ]
    text = split_text(split((sides[0], sides[1]), "object"), 0.95)
    assert text.endswith("10 more in --json")
    assert max(map(len, text.splitlines())) <= 100
