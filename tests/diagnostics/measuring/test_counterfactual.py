"""Counterfactual: policies whose cue is known by construction get the centimetres, side and verdict that are true."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.core.workers import Pool, core_count
from toyshift.diagnostics import measures
from toyshift.diagnostics.looks import Answers
from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring import counterfactual as room
from toyshift.diagnostics.measuring import planted
from toyshift.diagnostics.measuring.counterfactual import (
    BY_EXPERT,
    EXPERT,
    OTHERS,
    OWN,
    ROBOT_COLOUR,
    VALUES,
    Places,
    Swaps,
    counterfactual,
    flipped,
    known_pair,
    length_by_chance,
    mean_length,
    score,
)
from toyshift.diagnostics.measuring.finding import findings_table
from toyshift.diagnostics.measuring.implied import Implied, implied_of, usual_look

ABLE = (20, 20)
SWAPS = Swaps({"table": (1, 3), "light": (0.5,), OTHERS: (3,)})
TOLD = Implied("table", (0, 3), ((0.0, -0.05), (0.0, 0.05)), 100, 1.0, 0.01)


def ask(policy, swaps=SWAPS, training=ABLE, **looked):
    found = counterfactual(planted.looked_at(policy, swaps, **looked), swaps, training=training).found
    return {one.table[0]["factor"] if one.table else one.subject.split(", ")[1]: one for one in found}


def test_centimetres_and_side_of_a_cue_are_recovered() -> None:
    found = ask(planted.scripted(rho=0.5, slope=2.0))
    line = found["table"].table[0]
    assert (line["from"], line["to"], line["response_cm"]) == (0, 3, pytest.approx(3.0))  # all pairs are as clear
    assert {(row["from"], row["to"]): round(row["response_cm"], 6) for row in found["table"].table} == {
        (0, 1): 1.0, (0, 3): 3.0, (1, 3): 2.0
    }  # fmt: skip
    assert (line["x"], line["y"]) == (pytest.approx(0.0, abs=1e-9), pytest.approx(1.0))
    assert [line["consistent share"], line["along place"]] == pytest.approx([1.0, 1.0])
    assert line["direction"] == "unknown"
    assert (line["named"], found["light"].table[0]["named"]) == (True, False)
    assert found["table"].card.startswith("goes to one side with table: table 0 -> 3 is worth +3.0 cm")
    assert "hardly moves with light" in found["light"].verdict
    assert found["robot"].verdict.startswith("undefined: an action contract is of one robot")


@pytest.mark.parametrize("factor", ["background", "azimuth", "light", "object_colour", OTHERS, ROBOT_COLOUR])
def test_every_factor_can_be_the_cue(factor: str) -> None:
    found = ask(planted.scripted(rho=1.0, factor=factor), Swaps(VALUES), scenes=12, looks=1)
    assert [name for name, one in found.items() if one.table and one.table[0]["named"]] == [factor]


@pytest.mark.parametrize("rho", [0.0, 0.3, 1.0])
def test_beta_is_the_part_of_the_way_that_the_data_implied(rho: float) -> None:
    line = ask(planted.scripted(rho=rho, slope=10 / 3), Swaps({}, {"table": TOLD}))["table"].table[0]
    assert line["beta"] == pytest.approx(rho, abs=1e-9)
    assert line["response_cm"] == pytest.approx(10 * rho, abs=1e-8)
    assert line["named"] == (rho > 0)
    assert line["direction"] == "known"


@pytest.mark.parametrize(("follows", "by"), [(0.0, EXPERT), (0.01, EXPERT), (0.19, EXPERT), (0.21, OWN), (1.0, OWN)])
def test_a_policy_that_follows_the_cue_alone_is_told_by_the_expert_s_way(follows: float, by: str) -> None:
    policy = planted.scripted(rho=1.0, follows=follows, slope=10 / 3)
    one = ask(policy, Swaps({}, {"table": TOLD}))["table"]
    line = one.table[0]
    assert line["along"] == by
    assert (BY_EXPERT in one.caveats) == (by == EXPERT)
    assert line["beta"] == pytest.approx(1 / follows if by == OWN else 1.0, rel=1e-4)
    assert line["named"]
    assert one.verdict.startswith("takes table for the target's place")


def test_the_expert_s_way_gives_what_is_only_jolted_no_side() -> None:
    lines = [
        ask(planted.scripted(jolt=3.0, follows=0.0, seed=seed), Swaps({}, {"table": TOLD}), looks=1, seed=seed)["table"]
        for seed in range(40)
    ]
    assert {one.table[0]["along"] for one in lines} == {EXPERT}
    assert sum(one.table[0]["named"] for one in lines) <= 5  # of 40 at 5 %


def test_looks_without_a_grasp_have_no_weight() -> None:
    rng = np.random.default_rng(0)
    d = rng.normal(size=(12, 4))
    cells = {name: np.zeros((12, 4)) for name in ("own", "own there", "expert")}
    cells |= {"other": d.copy(), "other there": d.copy(), "expert there": d.copy()}
    cells["other"][3], cells["expert there"][3] = 100.0, np.nan
    found = known_pair(TOLD, cells, np.arange(12), np.arange(12))
    assert found is not None
    assert found[0].beta.value == pytest.approx(1.0)
    blind = cells | {"other": d, "expert there": np.full((12, 4), np.nan)}
    assert known_pair(TOLD, blind, np.arange(12), np.arange(12)) is None


def test_a_known_direction_is_asked_where_targets_lay_in_training() -> None:
    place = np.array([0.03, -0.09, 0.02])
    world = SimpleNamespace(object_position=lambda: place)
    told = Implied("table", (0, 3), ((0.0, -0.05), (0.0, 0.05)), 100, 1.0, 0.01)
    changes = Swaps({}, {"table": told})(0, 0, True, world)  # type: ignore[arg-type]
    assert changes["table own"].move == changes["table other"].move == pytest.approx((0.0, 0.04))
    assert changes["table own there"].move == changes["table other there"].move == pytest.approx((0.0, 0.14))
    assert [changes[f"table {side}"].look["table"] for side in ("own", "other")] == [0, 3]
    assert changes["table expert there"].move == pytest.approx((0.0, 0.14))
    assert changes["table expert"].expert


def test_what_goes_away_from_the_implied_place_is_said_so() -> None:
    away = ask(planted.scripted(rho=-0.5, slope=10 / 3), Swaps({}, {"table": TOLD}))["table"]
    assert away.verdict.startswith("goes away from what table implies: table 0 -> 3, -5.0 cm")


@pytest.mark.parametrize("swaps", [Swaps({"table": (1, 2, 3)}), Swaps({}, {"table": TOLD})], ids=["unknown", "known"])
def test_sensitive_to_no_side_is_named_in_at_most_five_percent(swaps: Swaps) -> None:
    lines = [
        ask(planted.scripted(jolt=3.0, seed=seed), swaps, looks=1, scenes=20, seed=seed)["table"].table[0]
        for seed in range(40)
    ]
    assert sum(line["named"] for line in lines) <= 5  # of 40 at 5 %: more in 1 of 70 such tests
    assert np.median([line["rest_cm"] for line in lines]) > 2.0
    assert np.mean([line["consistent share"] for line in lines]) < 0.15


def test_the_products_of_a_known_direction_have_no_part_of_their_own_noise() -> None:
    def beta_of(seed: int) -> float:
        found = ask(planted.scripted(jolt=3.0, seed=seed), Swaps({}, {"table": TOLD}), looks=1, seed=seed)
        return float(found["table"].table[0]["beta"])

    beta = [beta_of(seed) for seed in range(30)]
    assert np.mean(beta) == pytest.approx(0.0, abs=4 * np.std(beta) / np.sqrt(30))


def test_a_cue_among_jolts_is_named_with_its_interval() -> None:
    line = ask(planted.scripted(rho=0.5, slope=2.0, jolt=2.0))["table"].table[0]
    assert line["named"]
    assert line["low"] < 0.5 * 2.0 * (line["to"] - line["from"]) < line["high"]
    assert 0 < line["consistent share"] < 1


def test_signs_of_coins_are_uniform_and_the_same_in_all_pairs() -> None:
    p = []
    for seed in range(200):
        drawn = np.random.default_rng(seed).normal(size=(12, 2))
        p.append(flipped([drawn, 2 * drawn], seed, "x"))
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.04)
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)
    assert flipped([np.ones((6, 1))], 0, "x") == pytest.approx(2 / 64, abs=0.01)  # all signs equal: 2 of 64 deals
    assert flipped([np.zeros((6, 2))], 0, "x") == 1.0
    assert score(np.ones((6, 1))) == 6


@pytest.mark.parametrize(
    ("units", "shape", "length"), [(8, (1, 1), 0.0), (8, (1, 0.2), 1.0), (40, (1, 1), 0.3), (40, (1, 0.2), 0.6)]
)
def test_the_interval_of_a_length_covers(units: int, shape: tuple[float, float], length: float) -> None:
    rng = np.random.default_rng(0)
    found = [
        mean_length(rng.normal(size=(units, 2)) * shape + [length, 0], np.ones(units, np.int64)) for _ in range(200)
    ]
    assert np.mean([one.low <= length <= one.high for one in found]) >= 0.92
    assert all(one.low <= one.value <= one.high for one in found)


def test_the_null_of_a_length_is_that_of_dealt_out_signs() -> None:
    rng, size = np.random.default_rng(0), np.ones(12, np.int64)
    one, other = rng.normal(size=(2, 12, 2))
    signs = rng.choice([-1.0, 1.0], (300, 12, 1))
    single = np.mean([mean_length(one * sign, size).value for sign in signs])
    assert length_by_chance([one], size, 0, "x") == pytest.approx(single, abs=0.03)
    assert length_by_chance([one, other], size, 0, "x") > length_by_chance([one], size, 0, "x")
    assert length_by_chance([0 * one], size, 0, "x") == 0.0


def test_the_interval_of_a_chosen_pair_counts_the_choice_and_its_null_is_no_zero() -> None:
    policy = planted.scripted(rho=0.5, jolt=2.0)
    (few, many) = (ask(policy, Swaps({"table": values}))["table"] for values in ((3,), (1, 2, 3)))
    wide = next(line for line in many.table if (line["from"], line["to"]) == (0, 3))
    assert wide["response_cm"] == pytest.approx(few.table[0]["response_cm"])
    assert wide["high"] - wide["low"] > 1.2 * (few.table[0]["high"] - few.table[0]["low"])
    assert 0 < few.null < many.null < many.value.value


def test_least_squares_of_many_looks_and_a_direction_that_is_not_followed() -> None:
    rng = np.random.default_rng(0)
    toward, scene = rng.normal(size=(30, 2, 8)), np.arange(30) // 3
    places = Places(toward, scene, np.arange(10))
    found, along = places.responses(np.einsum("naf,a->nf", toward, np.array([0.5, -1.5])))
    np.testing.assert_allclose(found.mean(axis=0), [0.5, -1.5])
    assert along == pytest.approx(1.0)
    lame = Places(toward * np.array([1.0, 0.0])[:, None], scene, np.arange(10))
    found, _ = lame.responses(2 * toward[:, 0])
    np.testing.assert_allclose(found.mean(axis=0), [2.0, 0.0])


def test_a_constant_policy_has_no_centimetres_and_nothing_warns() -> None:
    swaps = Swaps({"light": (0.5,)}, {"table": TOLD})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = ask(planted.scripted(follows=0.0), swaps)
    assert "do not follow the target" in found["light"].verdict
    assert found["table"].verdict.startswith("hardly moves with table")  # by the expert's way it has centimetres
    json.dumps([one.to_json() for one in found.values()], allow_nan=False)


def test_one_object_says_nothing_of_others_and_few_scenes_nothing() -> None:
    one = ask(planted.scripted(rho=1.0), objects=1, scenes=9)["table"]
    assert one.table[0]["named"]
    assert "1 objects: scenes are the units, nothing is said of new objects" in one.caveats
    assert "5 scenes; it needs 9" in ask(planted.scripted(rho=1.0), scenes=5)["table"].verdict


def test_an_object_s_scenes_are_one_unit() -> None:
    """Eight scenes of each of six objects that all lean otherwise: 48 scenes, and no evidence of a side."""
    signs = np.array([1, -1, 1, -1, 1, 1.0])
    found = np.repeat(signs, 8)[:, None] * np.array([[1.0, 0.0]])
    assert flipped([found.reshape(6, 8, 2).sum(axis=1)], 0, "x") > 0.3
    assert flipped([found], 0, "x") < 0.05


@pytest.mark.parametrize(("training", "said"), [
    (None, "not labelled, success as in training is unknown; table 0 -> 3"),
    ((9, 20), "not labelled, incapable: it succeeds in 9 of 20 episodes as in training; table"),
])
def test_no_label_without_success_as_in_training(training, said: str) -> None:
    one = ask(planted.scripted(rho=1.0), training=training)["table"]
    assert one.verdict.startswith(said)
    assert (one.card, one.table[0]["named"]) == ("", None)
    assert one.table[0]["response_cm"] == pytest.approx(6.0)


def test_the_text_and_the_json_hold_every_figure() -> None:
    swaps = Swaps({"light": (0.5,)}, {"table": TOLD})
    policy = planted.scripted(rho=1.0, slope=10 / 3)
    found = counterfactual(planted.looked_at(policy, swaps), swaps, training=ABLE, notes={"light": "not told"})
    text = findings_table(found)
    assert "takes table for the target's place: table 0 -> 3 sends it 100 % of the way" in text
    assert "direction unknown: not told" in text
    line = json.loads(json.dumps(found.to_json(), allow_nan=False))[0]["table"][0]
    said = {"factor", "from", "to", "response_cm", "low", "high", "p", "p (Holm)", "consistent share", "direction"}
    assert said | {"beta", "rest_cm", "along place", "x", "y", "named"} <= {*line}


# ---------------------------------------------------------------- what data imply


def data(tied: bool, episodes: int = 60):
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, episodes)
    table = (side if tied else rng.integers(0, 2, episodes)) * 3
    y = 0.1 * side - 0.05 + rng.uniform(-0.02, 0.02, episodes)
    places = np.stack([rng.uniform(-0.1, 0.1, episodes), y], axis=1)
    return {"table": table.tolist(), "azimuth": (30.0 * (2 * side - 1) + rng.uniform(-9, 9, episodes)).tolist(),
            "light": [1.0] * episodes}, places  # fmt: skip


def test_data_tell_what_a_factor_implies_and_where_they_do_not() -> None:
    found, nothing = implied_of(*data(tied=True))
    assert {*found} == {"table", "azimuth"}
    assert nothing == {"light": "it is the same in all episodes"}
    table = found["table"]
    by_value = dict(zip(table.values, table.places, strict=True))
    assert by_value[0][1] == pytest.approx(-0.05, abs=0.01)
    assert by_value[3][1] == pytest.approx(0.05, abs=0.01)
    assert table.sides(np.array([0.0, -0.04])) == ((0, 1) if table.values[0] == 0 else (1, 0))
    assert abs(found["azimuth"].values[0] - found["azimuth"].values[1]) > 40
    free, why = implied_of(*data(tied=False))
    assert {*free} == {"azimuth"}
    assert why["table"].startswith("the data tie it to no place (p ")


def test_few_episodes_one_place_and_no_factors_imply_nothing() -> None:
    factors, places = data(tied=True, episodes=4)
    assert implied_of(factors, places)[1]["table"] == "the data cannot tell what it implies: too few episodes (4)"
    factors, places = data(tied=True)
    assert "always lay at one place" in implied_of(factors, 0 * places)[1]["table"]
    assert implied_of({}, places) == ({}, {})


def test_sub_datasets_of_one_episode_and_of_none_are_said_to_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import toyshift.data
    from toyshift.diagnostics.measuring.implied import read_episodes, usual_look_of

    pose = np.eye(4)
    look = {"factors": {"look": {"table": 1}}}
    metas: dict[str, list[dict[str, Any]]] = {
        "a": [{"object_pose": pose.tolist()} | look], "b": [{"object_pose": pose.tolist()} | look], "empty": [],
        "bare": [{"object_pose": pose.tolist()}],
    }  # fmt: skip

    def opened(folder: Path) -> Any:
        held = metas[folder.name]
        return SimpleNamespace(num_episodes=len(held), meta=held.__getitem__)

    monkeypatch.setattr(toyshift.data, "open_dataset", opened, raising=False)
    factors, places = read_episodes((Path("a"), Path("b")))
    assert (factors, places.shape) == ({"table": [1, 1]}, (2, 2))
    assert implied_of(factors, places)[1] == {"table": "the data cannot tell what it implies: too few episodes (2)"}
    assert usual_look_of((Path("a"),)) == {"table": 1}
    with pytest.raises(ConfigError, match="empty: no episodes, so nothing is told of what training showed"):
        read_episodes((Path("empty"),))
    assert usual_look_of((Path("empty"),)) == {}
    assert read_episodes((Path("bare"), Path("a")))[0] == {}  # an episode that does not tell its look


def test_the_usual_look_is_one_of_the_data_s() -> None:
    factors = {"table": [0, 3, 3], "light": [1.0, 1.0, 1.0], "background": [2, 2, 2]}
    assert usual_look(factors) == {"table": 3, "background": 2}
    tied = {"table": [1, 3, 3, 1, 1], "light": [0.5, 1.5, 1.5, 1.5, 0.5]}  # 1 with 1.5 is there, and rare
    assert usual_look(tied) == {"table": 1, "light": 0.5}
    assert usual_look({"table": [0, 0], "light": [1.0, 1.0]}) == usual_look({}) == {}


def test_independent_factors_are_tied_to_no_place_in_95_percent() -> None:
    rng, alarms = np.random.default_rng(0), 0
    for seed in range(60):
        places = rng.uniform(-0.1, 0.1, (80, 2))
        factors = {"table": rng.integers(0, 2, 80).tolist(), "light": rng.uniform(0.5, 1.5, 80).tolist()}
        alarms += bool(implied_of(factors, places, seed)[0])
    assert alarms <= 7


def test_as_many_processes_look_and_play_as_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    began: list[int] = []

    def look(*_: object, pool: Pool, **__: object) -> Answers:
        used.append(pool.workers)
        return planted.looked_at(planted.scripted(), Swaps(VALUES), scenes=6, looks=1)

    @contextlib.contextmanager
    def own_pool(workers: int) -> Iterator[Pool]:
        began.append(workers)
        yield shared(workers)

    def shared(workers: int) -> Pool:
        return Pool(lambda *_: Future(), workers, ())

    def success(asked: Asked, pool: Pool) -> tuple[int, int]:
        used.append(pool.workers)
        return 1, 1

    monkeypatch.setattr(room, "look_along", look)
    monkeypatch.setattr(measures, "worker_pool", own_pool)
    monkeypatch.setattr(room, "own_success", success)
    asked = Asked(
        policy="p", objects="o", scenes=6, looks=1, trials=1, camera="front", seed=0, out=tmp_path, workers=3
    )
    room.counterfactual_of(asked)
    assert used == began == [3, 3]
    room.counterfactual_of(dataclasses.replace(asked, pool=shared(5)))  # none of its own
    assert (used, began) == ([3, 3, 5, 5], [3, 3])
    assert dataclasses.replace(asked, workers=0).processes == core_count()


@pytest.mark.parametrize("objects", [5, 6, 7, 8, 9, 10])
def test_a_shortcut_is_named_with_any_number_of_objects(objects: int) -> None:
    """No deal of the signs of 8 objects is rare enough for seven factors: then scenes are the units."""
    policy = planted.scripted(rho=1.0)
    looked, swaps = planted.looked_at(policy, Swaps(VALUES), looks=1, objects=objects), Swaps(VALUES)
    found = counterfactual(looked, swaps, training=ABLE)
    table = found.found[[*VALUES].index("table")]
    assert table.table[0]["named"]
    assert any("scenes are the units" in note for note in table.caveats) == (objects < 9)


def test_a_factor_that_is_a_shift_is_shown_as_the_episode_s_shift() -> None:
    changes = Swaps({OTHERS: (3,), ROBOT_COLOUR: (5,)}, base={"table": 1})(0, 0, True, None)  # type: ignore[arg-type]
    shifts = {name: (change.shift, dict(change.look)) for name, change in changes.items() if "=" in name}
    assert shifts == {
        "others=3": ("distractors=3", {"table": 1}), "robot_colour=5": ("robot-colour=5", {"table": 1})
    }  # fmt: skip


def test_the_robot_s_colour_is_seen_in_the_same_state() -> None:
    """In a look with another colour the robot's pixels differ, those of no other thing, and no joint moves."""
    from toyshift.diagnostics.actors import RandomActor
    from toyshift.diagnostics.looks import looks_in_scene
    from toyshift.envs import EnvConfig, GraspEnv

    seen: list[Any] = []

    def keep(observations: Sequence[Any]) -> Array:
        seen.extend(observations)
        return np.zeros((len(observations), 1, 1))

    env = GraspEnv(EnvConfig(objects="toys:test?n=2", cameras=("front",), image_size=64))
    swaps = Swaps({ROBOT_COLOUR: (5,)})
    (glance,) = looks_in_scene(keep, RandomActor(), env, env.objects.ids, 0, 0, 1, swaps)
    env.close()
    shown = dict(zip(glance.chunks, seen, strict=True))
    plain, other = shown["base"], shown["robot_colour=5"]
    differs = np.abs(plain["pixels"]["front"].astype(int) - other["pixels"]["front"]).max(axis=-1) > 8
    robot = plain["masks"]["front"] == 3
    assert differs[robot].mean() > 0.5
    assert differs[~robot].mean() < 0.05  # its reflection and edges
    assert (plain["masks"]["front"] == other["masks"]["front"]).all()
    assert plain["agent_pos"] == pytest.approx(other["agent_pos"])


def test_changes_begin_from_the_usual_look_of_the_data() -> None:
    """A policy that follows its target under table 3 alone was trained there, and is asked there."""

    def only_there(observations: Sequence[Any]) -> Array:
        return np.stack([
            chunk * (obs["look"].table == 3) for chunk, obs in zip(follows(observations), observations, strict=True)
        ])  # fmt: skip

    follows = planted.scripted(rho=0.0)
    for base in ({}, {"table": 3}):
        swaps = Swaps({"light": (0.5,)}, base=base)
        (light, *_) = counterfactual(planted.looked_at(only_there, swaps, looks=1), swaps, training=ABLE).found
        assert light.verdict.startswith("hardly moves with light" if base else "undefined: its actions do not follow")
        told = "changes begin from the commonest look of the data, table 3"
        assert (told in light.caveats) == bool(base)


def test_the_oracle_looks_at_nothing() -> None:
    from toyshift.diagnostics.evaluation import EvaluateConfig
    from toyshift.diagnostics.looks import look_along

    with pytest.raises(ConfigError, match="oracle looks at no images"):
        look_along(EvaluateConfig("oracle", "toys:train?n=3"), 2, SWAPS)
