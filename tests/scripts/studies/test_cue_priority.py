"""Which cue wins: planted pickers of known rank, toys that differ in their cues alone, what a hand went to first."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics import Row, write_rows
from toyshift.diagnostics.dsl import CUE, INSTRUCTED, NEITHER, UNDEFINED
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.envs.tasks.pick import phrase
from toyshift.scripts.studies import cue_priority
from toyshift.scripts.studies.cue_priority import (
    AGREE,
    APPROACHED,
    BOTH,
    CONFLICT,
    CUES,
    LIFTED,
    NOBODY,
    PAIRS,
    PILOT,
    Config,
    CuePriority,
    are_linked,
    bradley_terry,
    followed,
    is_learnt,
    levels_of,
    markdown,
    object_set,
    pair_of,
    side_of,
    strengths,
    tabulated,
    toys_of,
    write_toys,
)
from toyshift.scripts.studies.learners import Lesson, Taught
from toyshift.scripts.studies.schedule import Cell
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


def row(
    called: str, test: str, episode: int, target: str, first: str, success: bool = False, other: bool = False
) -> Row:
    return Row(
        policy=called, pooling="", object_set=test, object_id=target, seed=3, episode=episode, success=success,
        max_height=0.1, steps=9, failure="" if success else "wrong_object" if other else "timeout", look="", wall_s=0.1,
        purpose="test", approached=first,
    )  # fmt: skip


def test_what_was_taken_is_told_by_where_the_hand_went_and_by_what_was_lifted(tmp_path: Path) -> None:
    study = CuePriority(Config(out=tmp_path, workers=1))
    study.check()
    lesson = study.lessons["colour-size-wants0-s0"]
    small_red, large_blue = load_objects(study.objects(lesson, disagree=True)).ids  # (0, 1) and (1, 0): of edges
    rows = [
        row("p", CONFLICT, 0, small_red, INSTRUCTED, success=True), row("p", CONFLICT, 1, small_red, CUE),
        row("p", CONFLICT, 2, large_blue, INSTRUCTED, other=True), row("p", CONFLICT, 3, large_blue, NEITHER),
        row("p", CONFLICT, 4, large_blue, UNDEFINED, success=True),
        row("p", AGREE, 0, load_objects(study.objects(lesson, disagree=False)).ids[1], INSTRUCTED),
    ]  # fmt: skip
    assert study.taken(lesson, rows) == {
        APPROACHED: ["colour", "size", "size", "", "", NOBODY], LIFTED: ["colour", "", "colour", "", "size", ""],
    }  # fmt: skip

    lesson = study.lessons["colour-side-wants1-s0"]
    spec = study.objects(lesson, disagree=True)
    red, _ = load_objects(spec).ids
    env = GraspEnv(EnvConfig(objects=spec, task="pick", clutter=1, cameras=()))
    sides = []
    for episode in range(3):
        env.reset(seed=3, options={"episode": episode, "object": red, "purpose": "test"})
        (thing, beside, turn), *_ = env.others()
        sides.append(0 if env.object_pose()[0][1] > beside[1] else 1)
        assert side_of(env) == sides[-1]
        cell = study.tests(lesson, "p", "c")[CONFLICT].cell
        assert cell is not None
        np.testing.assert_allclose(cell.implied_boxes(env), [[beside + turn @ np.asarray(thing.com)] * 2])
        before = env.sim_state()
        cell.begin(env, 3, episode, "test")
        np.testing.assert_array_equal(env.sim_state(), before)  # the episode stays what it is
    env.close()
    found = study.taken(lesson, [row("p", CONFLICT, i, red, INSTRUCTED) for i in range(3)])[APPROACHED]
    assert found == [{0: NOBODY, 1: "side"}[side] for side in sides]  # red is not wanted; its side may be
    found = study.taken(lesson, [row("p", CONFLICT, i, red, CUE) for i in range(3)])[APPROACHED]
    assert found == [{0: BOTH, 1: "colour"}[side] for side in sides]


def scripted(
    order: tuple[str, ...], sure: float, seed: int = 0, blind: Collection[tuple[str, str]] = ()
) -> list[Taught]:
    """Rows of pickers that follow the cue which stands earlier in an order, in a share of the scenes, and lift little;
    those of `blind` pairs go to any toy where the cues agree.
    """
    rng, taught = np.random.default_rng(seed), []
    for pair, wanted in itertools.product(PAIRS, (0, 1)):
        better, worse = sorted(pair, key=order.index)
        picks = [better if rng.random() < sure else worse for _ in range(38)] + ["", ""]
        rows = [row("p", CONFLICT, i, "toy", INSTRUCTED if pick else NEITHER) for i, pick in enumerate(picks)]
        lifts = [pick if i < 4 else "" for i, pick in enumerate(picks)] + [""] * 20
        rows += [row("p", AGREE, i, "toy", INSTRUCTED) for i in range(20)]
        picks += [NOBODY if pair in blind and i % 2 else BOTH for i in range(20)]
        lesson = Lesson({"first": pair[0], "second": pair[1], "wanted": wanted}, 0)
        taught.append(Taught(lesson, rows, {APPROACHED: picks, LIFTED: lifts}))
    return taught


def test_a_scripted_picker_s_ranks_are_found() -> None:
    order = ("side", "colour", "kind", "size")
    table = tabulated(scripted(order, 0.9))
    assert tuple(x["cue"] for x in table["strengths"]) == order
    assert all(x["low"] <= x["strength"] <= x["high"] for x in table["strengths"])
    line = next(x for x in table["pairs"] if (x["first"], x["second"]) == ("colour", "side"))
    assert line["n"] == 76
    assert line["undecided"] == 4
    assert line["first_lifts"] + line["second_lifts"] == 8  # are told, and decide nothing
    assert line["rate"] < 0.3
    settings: dict[str, Any] = {"steps": 1, "batch": 1, "demos": 1}
    text = markdown(table | {"missing": [], "settings": settings, "pilot": None})
    assert "From the strongest: side, colour, kind, size. The paper's order: colour, size" in text
    even = tabulated(scripted(CUES, 0.5))["strengths"]
    assert max(abs(x["strength"]) for x in even) < 0.5
    assert strengths([(("colour", "size"), {"colour": 1, "size": 1})]) == []  # until all pairs are there


def test_of_pairs_whose_policies_do_not_choose_nothing_is_said() -> None:
    order, settings = ("side", "colour", "kind", "size"), {"steps": 1, "batch": 1, "demos": 1}
    blind = ("size", "kind")
    table = tabulated(scripted(order, 0.9, blind=[blind]))
    assert [(x["first"], x["second"]) for x in table["pairs"] if not x["learnt"]] == [blind]
    assert tuple(x["cue"] for x in table["strengths"])[:2] == order[:2]
    text = markdown(table | {"missing": [], "settings": settings, "pilot": None})
    assert "**Not learnt to choose:** size against kind. " in text
    alone = [pair for pair in PAIRS if "side" in pair]
    assert tabulated(scripted(order, 0.9, blind=alone))["strengths"] == []  # nothing ranks the side
    assert not are_linked([("colour", "size"), ("kind", "side")])
    assert are_linked([("colour", "size"), ("size", "kind"), ("colour", "side")])
    assert [is_learnt(*each) for each in ((20, 40), (26, 40), (27, 40), (0, 0))] == [False, False, True, False]


@pytest.mark.parametrize(("decided", "wrong", "stopped"), [(4, 0, True), (5, 0, False), (5, 2, True)])
def test_a_pilot_that_decides_little_or_does_not_choose_stops_the_study(
    decided: int, wrong: int, stopped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(self: CuePriority, cell: Cell) -> None:
        lesson, own = self.lessons[cell.name], decided - 3 if cell.name == self.pilot_cells[0] else 3
        lost = 0 if cell.name == self.pilot_cells[0] else wrong
        firsts = [NOBODY] * lost + [BOTH] * (own - lost) + [""] * (5 - own) if pair_of(lesson) == PILOT else []
        facts = {APPROACHED: firsts, LIFTED: [""] * len(firsts), "tests": [AGREE] * len(firsts)}
        rows = [row("p", AGREE, i, "toy", INSTRUCTED if first else NEITHER) for i, first in enumerate(firsts)]
        write_rows(self.path(cell.name), rows, {"lesson": dataclasses.asdict(lesson), **facts})

    monkeypatch.setattr(CuePriority, "check", CuePriority.claim)
    monkeypatch.setattr(CuePriority, "run", run)
    only = ("kind-side-wants0-s0",)
    cfg = Config(out=tmp_path / "run", docs=tmp_path / "docs", workers=1, allow_dirty=True, only=only)
    made = cue_priority.main(cfg)
    pilot = ["colour-size-wants0-s0", "colour-size-wants1-s0"]
    assert made["ran"] == [*pilot, *cfg.only] if not stopped else pilot
    assert made["table"]["pilot"] == {
        "decided": decided, "right": decided - wrong, "scenes": 10, "stopped": stopped,
    }  # fmt: skip
    text = (tmp_path / "docs" / "cue_priority.md").read_text()
    assert ("**Stopped after the pilot.**" in text) == stopped
    if stopped:
        assert "All cells have been run" not in text
        assert cue_priority.main(cfg)["ran"] == []


def test_the_plan_fits_its_budget_and_pairs_share_demonstrations(tmp_path: Path) -> None:
    study = CuePriority(Config(out=tmp_path, workers=2))
    assert len(study.cells()) == 6 * 2
    assert not any(tmp_path.iterdir())  # a plan writes nothing
    assert 2 * sum(cell.estimate for cell in study.cells()) < 1.2 * 3600  # core-seconds of two cores
    assert [cell.name for cell in study.cells()][:2] == list(study.pilot_cells)
    assert {cell.needs for cell in study.cells()[2:]} == {study.pilot_cells}
    one, other = (study.collected(study.lessons[f"kind-side-wants{i}-s0"]) for i in range(2))
    assert one == other
    assert (one.task, one.clutter, one.episodes) == ("pick", 1, 4 * 60)
    tests = study.tests(study.lessons["colour-size-wants1-s0"], "p", "c")
    assert set(tests) == {CONFLICT, AGREE}
    assert tests[CONFLICT].objects != tests[AGREE].objects
