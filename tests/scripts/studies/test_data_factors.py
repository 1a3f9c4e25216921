"""Factors of the data: halves by planted scores, as many episodes for each, the plan and the page."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics import Row
from toyshift.scripts.studies.data_factors import (
    TITLES,
    Config,
    DataFactors,
    grasp_scores,
    halves,
    levels,
    markdown,
    mean_scores,
    tabulated,
    takes_of,
)
from toyshift.scripts.studies.learners import Lesson, Taught, is_shown


def test_a_start_without_a_grasp_is_as_bad_as_the_worst() -> None:
    found = mean_scores({"good": [3.0, 5.0], "half": [3.0, None], "bad": [1.0, 1.0], "none": [None, None]})
    assert found == {"good": 4.0, "half": 2.0, "bad": 1.0, "none": -math.inf}


def test_halves_are_by_score_and_balanced_has_some_of_each() -> None:
    scores = {f"t{i}": float(-i) for i in range(8)} | {"t7": -math.inf}
    found = halves(scores)
    assert found["easy"] == {"t0", "t1", "t2", "t3"}
    assert found["hard"] == {"t4", "t5", "t6", "t7"}
    assert found["balanced"] == {"t1", "t3", "t5", "t7"}
    assert {len(toys) for toys in halves({f"t{i}": 0.0 for i in range(7)}).values()} == {3}
    with pytest.raises(ConfigError, match="2 at least"):
        halves({"t": 1.0})


def test_each_half_gets_as_many_episodes() -> None:
    played = ["a", "a", "b", "a", "c", "d", "b"]  # the hard toys d and c were seldom lifted
    sets = {"easy": {"a", "b"}, "hard": {"c", "d"}, "balanced": {"b", "d"}}
    assert takes_of(played, sets, 10) == {"easy": [0, 1], "hard": [4, 5], "balanced": [2, 5]}
    assert takes_of(played, sets, 1) == {"easy": [0], "hard": [4], "balanced": [2]}
    with pytest.raises(ConfigError, match="the hard half"):
        takes_of(played[:4], sets, 10)


def test_scores_are_of_the_toys_and_their_seed() -> None:
    found = grasp_scores("toys:train?n=2", 0)
    assert len(found) == 2
    assert all(math.isfinite(score) for score in found.values())
    assert found == grasp_scores("toys:train?n=2", 0)


def test_the_plan_holds_demonstrations_and_samples_fixed(tmp_path: Path) -> None:
    study = DataFactors(Config(out=tmp_path, workers=2))
    assert len(study.cells()) == 8
    assert 2 * sum(cell.estimate for cell in study.cells()) < 1.15 * 3600  # core-seconds of two cores
    recipes = [study.recipe(lesson, "d", "o") for lesson in study.lessons.values()]
    assert {recipe.steps * recipe.batch_size for recipe in recipes} == {76_800}
    asked = {name: study.collected(lesson) for name, lesson in study.lessons.items()}
    assert [name for name in asked if name.startswith("toys")] == ["toys-8-s0", "toys-240-s0"]  # 60 are balanced
    assert {x.episodes for name, x in asked.items() if not name.startswith("difficulty")} == {240}
    halved = {name: x for name, x in asked.items() if name.startswith("difficulty")}
    assert len({x.out for x in halved.values()}) == 1  # one collection for all three
    assert {x.episodes for x in halved.values()} == {552}
    assert asked["parts-3-s0"].objects == "toys:train?of=only-3&n=60&seed=0"
    assert asked["toys-240-s0"].objects == "toys:train?n=240&seed=0"  # one for each demonstration
    assert levels(480)["toys"] == ("8", "60", "480")


def learnt(factor: str, level: str, wins: int, episodes: int = 240) -> Taught:
    """A policy that lifts so many of 40 objects of each set."""
    rows = [
        Row(policy="p", pooling="", object_set=test, object_id=f"toy-{i}", seed=1000, episode=i, success=i < wins,
            max_height=0.1, steps=9, failure="" if i < wins else "timeout", look="", wall_s=0.1)
        for test in TITLES for i in range(40)
    ]  # fmt: skip
    facts = {"episodes": episodes, "toys": 60, "frames": 9}
    return Taught(Lesson({"factor": factor, "level": level}, 0), rows, facts)


def test_the_page_says_what_rows_hold() -> None:
    taught = [learnt("toys", "240", 35), learnt("difficulty", "balanced", 20), learnt("toys", "8", 5)]
    table = tabulated(taught)
    assert [(x["factor"], x["level"]) for x in table["data"]] == [
        ("toys", "8"), ("toys", "60"), ("toys", "240"), ("difficulty", "balanced"),
    ]  # fmt: skip
    assert [is_shown(x) for x in table["comparisons"]] == [1] * 6
    assert {(x["first"], x["second"]) for x in table["comparisons"]} == {("8", "60"), ("8", "240"), ("60", "240")}
    made = table | {"missing": ["parts-1-s0"], "settings": {"steps": 600, "batch": 128, "demos": 240}}
    text = markdown(made)
    assert "Differences that are shown, by factor: toys 6, parts 0, difficulty 0 (of 6 in all)." in text
    assert "| toys | 240 | new toys | 1 | 40 | 87.5 |" in text
    assert "| toys | 60 | new toys | 1 | 40 | 50.0 |" in text
    assert "Level 60 of toys is balanced of difficulty: one policy" in text
    assert "Not of the same number" not in text
    assert "**Not complete:** 1 cells" in text
    fewer = tabulated([*taught, learnt("difficulty", "hard", 10, episodes=200)])
    assert [x["level"] for x in fewer["data"]][-2:] == ["balanced", "hard"]
    assert "**Not of the same number of demonstrations:** 200 to 240." in markdown(made | fewer)
