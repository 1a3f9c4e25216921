"""Which cue wins: planted pickers of known rank, toys that differ in their cues alone, picks by what was lifted."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics import Row
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.envs.tasks.pick import phrase
from toyshift.scripts.studies.cue_priority import (
    AGREE,
    BOTH,
    CONFLICT,
    CUES,
    NOBODY,
    PAIRS,
    Config,
    CuePriority,
    bradley_terry,
    followed,
    levels_of,
    markdown,
    object_set,
    side_of,
    strengths,
    tabulated,
    toys_of,
    write_toys,
)
from toyshift.scripts.studies.learners import Lesson, Taught
from toyshift.toys import load_objects


def test_strengths_are_those_that_games_were_planted_with() -> None:
    truth = np.array([1.2, 0.3, -0.4, -1.1])
    games = 50 / (1 + np.exp(truth[None] - truth[:, None]))  # expected wins of 50 games each
    np.fill_diagonal(games, 0)
    np.testing.assert_allclose(bradley_terry(games), truth - truth.mean(), atol=1e-6)
    np.testing.assert_allclose(bradley_terry(games.T), truth.mean() - truth, atol=1e-6)
    np.testing.assert_allclose(bradley_terry(np.ones((4, 4)) - np.eye(4)), 0, atol=1e-9)
    with pytest.raises(ConfigError, match="never won, or never lost"):
        bradley_terry(np.triu(np.ones((3, 3)), 1))


def test_the_picked_toy_s_levels_say_which_cue_was_followed() -> None:
    pair = ("colour", "size")
    for wanted in (0, 1):
        assert followed(pair, (wanted, 1 - wanted), wanted) == "colour"
        assert followed(pair, (1 - wanted, wanted), wanted) == "size"
        assert followed(pair, (wanted, wanted), wanted) == BOTH
        assert followed(pair, (1 - wanted, 1 - wanted), wanted) == NOBODY


@pytest.mark.parametrize("pair", PAIRS)
def test_toys_differ_in_their_cues_alone_and_can_be_told_apart(pair: tuple[str, str], tmp_path: Path) -> None:
    write_toys(tmp_path / "a+b")
    for disagree in (False, True):
        objects = load_objects(object_set(tmp_path / "a+b", toys_of(pair, disagree and "side" not in pair)))
        one, other = (objects[i].info["toy"] for i in range(2))
        assert len(objects) == 2
        assert phrase(objects[0]) != phrase(objects[1])
        differ = {
            "colour": np.abs(np.subtract(objects[0].geoms[0].rgba, objects[1].geoms[0].rgba)).max() > 1 / 255,
            "size": max(one["primitives"][0]["size"]) != max(other["primitives"][0]["size"]),
            "kind": one["primitives"][0]["kind"] != other["primitives"][0]["kind"],
        }  # fmt: skip
        assert {cue for cue, value in differ.items() if value} == set(pair) - {"side"}
        levels = [levels_of(pair, i, i, disagree and "side" not in pair) for i in range(2)]
        assert levels == ([(0, 1), (1, 0)] if disagree and "side" not in pair else [(0, 0), (1, 1)])


def row(called: str, test: str, episode: int, target: str, success: bool, other: bool = False) -> Row:
    return Row(
        policy=called, pooling="", object_set=test, object_id=target, seed=3, episode=episode, success=success,
        max_height=0.1, steps=9, failure="" if success else "wrong_object" if other else "timeout", look="", wall_s=0.1,
        purpose="test",
    )  # fmt: skip


def test_picks_are_told_by_what_was_lifted_and_where_it_lay(tmp_path: Path) -> None:
    study = CuePriority(Config(out=tmp_path, workers=1))
    study.check()
    lesson = study.lessons["colour-size-wants0-s0"]
    small_red, large_blue = load_objects(study.objects(lesson, disagree=True)).ids  # (0, 1) and (1, 0): of edges
    rows = [
        row("p", CONFLICT, 0, small_red, success=True), row("p", CONFLICT, 1, small_red, success=False, other=True),
        row("p", CONFLICT, 2, large_blue, success=True), row("p", CONFLICT, 3, large_blue, success=False),
        row("p", AGREE, 0, load_objects(study.objects(lesson, disagree=False)).ids[1], success=True),
    ]  # fmt: skip
    assert study.picks(lesson, rows) == ["colour", "size", "size", "", NOBODY]

    lesson = study.lessons["colour-side-wants1-s0"]
    spec = study.objects(lesson, disagree=True)
    red, _ = load_objects(spec).ids
    env = GraspEnv(EnvConfig(objects=spec, task="pick", clutter=1, cameras=()))
    sides = []
    for episode in range(3):
        env.reset(seed=3, options={"episode": episode, "object": red, "purpose": "test"})
        (_, beside, _), *_ = env.others()
        sides.append(0 if env.object_pose()[0][1] > beside[1] else 1)
        assert side_of(env) == sides[-1]
    env.close()
    found = study.picks(lesson, [row("p", CONFLICT, i, red, success=True) for i in range(3)])
    assert found == [{0: NOBODY, 1: "side"}[side] for side in sides]  # red is not wanted; its side may be
    found = study.picks(lesson, [row("p", CONFLICT, i, red, success=False, other=True) for i in range(3)])
    assert found == [{0: BOTH, 1: "colour"}[side] for side in sides]


def scripted(order: tuple[str, ...], sure: float, seed: int = 0) -> list[Taught]:
    """Rows of pickers that follow the cue which stands earlier in an order, in a share of the picks."""
    rng, taught = np.random.default_rng(seed), []
    for pair, wanted in itertools.product(PAIRS, (0, 1)):
        better, worse = sorted(pair, key=order.index)
        picks = [better if rng.random() < sure else worse for _ in range(38)] + ["", ""]
        rows = [row("p", CONFLICT, i, "toy", success=bool(pick)) for i, pick in enumerate(picks)]
        lesson = Lesson({"first": pair[0], "second": pair[1], "wanted": wanted}, 0)
        taught.append(Taught(lesson, rows, {"picks": picks}))
    return taught


def test_a_scripted_picker_s_ranks_are_found() -> None:
    order = ("side", "colour", "kind", "size")
    table = tabulated(scripted(order, 0.9))
    assert tuple(x["cue"] for x in table["strengths"]) == order
    assert all(x["low"] <= x["strength"] <= x["high"] for x in table["strengths"])
    line = next(x for x in table["pairs"] if (x["first"], x["second"]) == ("colour", "side"))
    assert line["n"] == 76
    assert line["no_pick"] == 4
    assert line["rate"] < 0.3
    settings: dict[str, Any] = {"steps": 1, "batch": 1, "demos": 1}
    text = markdown(table | {"missing": [], "settings": settings})
    assert "From the strongest: side, colour, kind, size. The paper's order: colour, size" in text
    even = tabulated(scripted(CUES, 0.5))["strengths"]
    assert max(abs(x["strength"]) for x in even) < 0.5
    assert strengths([(("colour", "size"), {"colour": 1, "size": 1})]) == []  # until all pairs are there


def test_the_plan_fits_its_budget_and_pairs_share_demonstrations(tmp_path: Path) -> None:
    study = CuePriority(Config(out=tmp_path, workers=2))
    assert len(study.cells()) == 6 * 2 * 2
    assert not any(tmp_path.iterdir())  # a plan writes nothing
    assert sum(cell.estimate for cell in study.cells()) < 90 * 60
    one, other = (study.collected(study.lessons[f"kind-side-wants{i}-s1"]) for i in range(2))
    assert one == other
    assert (one.task, one.clutter, one.episodes) == ("pick", 1, 4 * 60)
    tests = study.tests(study.lessons["colour-size-wants1-s0"], "p", "c")
    assert set(tests) == {CONFLICT, AGREE}
    assert tests[CONFLICT].objects != tests[AGREE].objects
