"""The search of training settings: what it proposes, how it goes on, and that it finds a planted best point."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import toyshift.diagnostics
import toyshift.policies
from toyshift.core.errors import ConfigError, MissingDependencyError
from toyshift.core.files import read_json
from toyshift.diagnostics import EvaluateConfig, Row
from toyshift.policies import TrainConfig
from toyshift.scripts.studies import tune
from toyshift.scripts.studies.tune import REPORTED, TUNED_ON, Config, TuneStudy
from toyshift.scripts.studies.tune_search import (
    DATASETS,
    DIMENSIONS,
    START,
    USUAL,
    Point,
    TriedPoint,
    at_random,
    best,
    by_process,
    optuna_package,
    settings_of,
    weights,
)

TRIALS, TRIES = 40, 30


def truth(point: Point) -> float:
    """The rate at a point of a quadratic surface, whose best is 0.9; three of the settings matter."""
    place = np.array([(point[d.name] - d.low) / (d.high - d.low) for d in DIMENSIONS])[[0, 4, 6]]
    return float(max(0.02, 0.9 - 1.5 * np.square(place - (0.2, 0.5, 0.8)).sum()))


def regret(searches: bool, seed: int) -> float:
    """How far below the best the point lies that a search ends with: the best of its best third, judged again."""
    rng = np.random.default_rng(seed)

    def judged(point: Point) -> TriedPoint:
        return TriedPoint(point, int(rng.binomial(TRIALS, truth(point))), TRIALS)

    tried: list[TriedPoint] = []
    for k in range(TRIES):
        tried.append(judged(by_process(tried, seed) if searches and k >= START else at_random(k, seed)))
    again = [judged(tried[i].point) for i in best(tried, TRIES // 3)]
    return 0.9 - truth(again[best(again, 1)[0]].point)


def test_the_search_comes_closer_to_a_planted_best_than_chance() -> None:
    pytest.importorskip("optuna")
    ours, chance = ([regret(searches, seed) for seed in range(3)] for searches in (True, False))
    assert np.mean(ours) < np.mean(chance)


def test_what_it_proposes_depends_on_what_was_tried_alone() -> None:
    pytest.importorskip("optuna")
    tried = [TriedPoint(at_random(k, 0), k, TRIALS) for k in range(START)]
    first = by_process(tried, 0)
    assert by_process(tried, 0) == first
    assert all(d.low <= first[d.name] <= d.high for d in DIMENSIONS)
    assert by_process([*tried[:-1], TriedPoint(tried[-1].point, 0, TRIALS)], 0) != first


def test_without_optuna_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'toyshift\[tune\]'"):
        optuna_package()


@given(st.integers(0, 10**6), st.integers(0, 99))
def test_points_lie_within_and_shares_add_up(seed: int, number: int) -> None:
    point = at_random(number, seed)
    assert all(d.low <= point[d.name] <= d.high for d in DIMENSIONS)
    shares = dict(zip(DATASETS, weights(point), strict=True))
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["views"] == pytest.approx(point["views"], abs=1e-5)
    assert shares["household"] == pytest.approx(point["household"] * (1 - point["views"] - point["textures"]), abs=1e-5)
    TrainConfig(data=DATASETS, **settings_of(point))


def test_the_usual_point_is_the_recipe_that_nobody_searched() -> None:
    from toyshift.scripts.recipe import best_recipe

    usual = best_recipe(DATASETS[:2], "x", 1, 1, 0)
    for name, value in settings_of(USUAL).items():
        if name == "weights":
            assert value[:2] == pytest.approx((0.5, 0.5), abs=1e-5)
        else:
            assert getattr(usual, name) == value


def test_both_searches_cost_the_same_and_what_is_reported_is_not_tuned_on() -> None:
    study = TuneStudy(Config())
    tries = {arm: study.tries(arm) for arm in ("random", "gp")}
    assert len(tries["random"]) == len(tries["gp"]) == 30
    assert tries["random"][:START] == tries["gp"][:START]
    cells = {cell.name: cell for cell in study.cells()}
    assert len(cells) == 30 + 20 + 2 * 10 + 3 * 2
    assert cells["gp-t15"].needs == tuple(tries["gp"][:15])
    assert sum(cell.estimate for cell in cells.values()) < 90 * 60
    assert not set(TUNED_ON) & set(REPORTED)
    names = list(cells)
    assert all(names.index(need) < names.index(cell.name) for cell in cells.values() for need in cell.needs)
    for tries in (5, 10**5):
        with pytest.raises(ConfigError, match="tries"):
            Config(tries=tries)


def test_a_study_plays_its_winners_anew_and_makes_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[TrainConfig] = []
    rates = itertools.cycle((0.2, 0.5, 0.8, 0.4))

    def played(config: EvaluateConfig, path: Path, *_: Any, **__: Any) -> list[Row]:
        rate = rate_of[config.policy] if config.policy in rate_of else rate_of.setdefault(config.policy, next(rates))
        return [
            Row(config.name, "", config.objects, f"toy{i}", config.seed, i, i < rate * config.trials, 0.0, 10, "", "",
                0.0, shift=config.shift, purpose=config.purpose)
            for i in range(config.trials)
        ]  # fmt: skip

    rate_of: dict[str, float] = {}
    monkeypatch.setattr(toyshift.policies, "train", trained.append)
    monkeypatch.setattr(toyshift.diagnostics, "evaluate", played)
    monkeypatch.setattr(tune, "by_process", lambda tried, seed: at_random(100 + len(tried), seed))
    monkeypatch.setattr(tune, "manifest", lambda settings, seed, **facts: facts)  # who asks git 37 times is slow
    monkeypatch.setattr(TuneStudy, "data", lambda self: DATASETS)
    cfg = Config(tries=12, seeds=1, steps=8, episodes=8, trials=5, out=tmp_path)
    study = TuneStudy(cfg)
    for cell in study.cells():
        study.run(cell)
        assert study.is_done(cell)
    by_out = {Path(config.out).parent.name: config for config in trained}
    assert {config.steps for name, config in by_out.items() if "-t" in name} == {2}
    wholes = study.tried(study.wholes("gp"))
    assert study.winner("gp") == wholes[best(wholes, 1)[0]].point
    assert by_out["gp-final-s0"].brightness == study.winner("gp")["brightness"]
    assert by_out["gp-final-s0"].seed == 1
    assert by_out["recipe-final-s0"].contrast == 0.3
    table = study.tabulate()
    assert read_json(tmp_path / "results" / "table.json") == table
    assert {x["who"] for x in table["success"]} == {"recipe", "random", "gp"}
    assert all((x["set"], x["shift"]) in REPORTED for x in table["differences"])
    assert table["searches"]["gp"]["whole"] == max(one.rate for one in wholes)
    assert "on the same starts, where nobody tuned" in (tmp_path / "tune.md").read_text(encoding="utf-8")
