"""Factors of the data: halves by planted scores, as many episodes for each, the plan and the page."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics import Row
from toyshift.scripts.studies.data_factors import (
    LEVELS,
    TITLES,
    Config,
    DataFactors,
    grasp_scores,
    halves,
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
    assert len(study.cells()) == 9
    assert sum(cell.estimate for cell in study.cells()) < 60 * 60
    recipes = [study.recipe(lesson, "d", "o") for lesson in study.lessons.values()]
    assert {recipe.steps * recipe.batch_size for recipe in recipes} == {76_800}
    asked = {name: study.collected(lesson) for name, lesson in study.lessons.items()}
    assert {x.episodes for name, x in asked.items() if not name.startswith("difficulty")} == {480}
    halved = {name: x for name, x in asked.items() if name.startswith("difficulty")}
    assert len({x.out for x in halved.values()}) == 1  # one collection for all three
    assert {x.episodes for x in halved.values()} == {960}
    assert asked["parts-3-s0"].objects == "toys:train?of=only-3&n=60&seed=0"


def test_the_page_says_what_rows_hold() -> None:
    taught = []
    for wins, level in zip((5, 20, 35), LEVELS["toys"], strict=True):
        rows = [
            Row(policy="p", pooling="", object_set=test, object_id=f"toy-{i}", seed=1000, episode=i, success=i < wins,
                max_height=0.1, steps=9, failure="" if i < wins else "timeout", look="", wall_s=0.1)
            for test in TITLES for i in range(40)
        ]  # fmt: skip
        facts = {"episodes": 480, "toys": int(level), "frames": 9}
        taught.append(Taught(Lesson({"factor": "toys", "level": level}, 0), rows, facts))
    table = tabulated(taught[::-1])
    assert [x["level"] for x in table["data"]] == ["8", "60", "480"]
    assert [is_shown(x) for x in table["comparisons"]] == [1] * 6
    made = table | {"missing": ["parts-1-s0"], "settings": {"steps": 600, "batch": 128, "demos": 480}}
    text = markdown(made)
    assert "Differences that are shown, by factor: toys 6, parts 0, difficulty 0 (of 6 in all)." in text
    assert "| toys | 480 | new toys | 1 | 40 | 87.5 |" in text
    assert "**Not complete:** 1 cells" in text
