"""Rounds of two policies in a small fake world: when it ends, what is kept, and that a killed run decides the same."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, MissingDependencyError
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import Pool
from toyshift.diagnostics import evaluation, until_decided
from toyshift.diagnostics.actors import EnvSpec
from toyshift.diagnostics.evaluation import EvaluateConfig
from toyshift.diagnostics.power import pairs_needed
from toyshift.diagnostics.rows import read_rows
from toyshift.diagnostics.seen import Seen
from toyshift.diagnostics.sequential import NEW, THESE, PairedTest
from toyshift.diagnostics.until_decided import Decision, differences, evaluate_until_decided
from toyshift.toys import load_objects

CONTRACT = ActionContract("eef_delta", ("dx",), ("m",), (-1.0,), (1.0,), 10.0, ("j1",))
OBJECTS = "toys:train?n=4"
PAGE = Path(__file__).parents[2] / "docs" / "sequential.md"


class Env:
    """An episode's luck is drawn from its start; a policy as good as that succeeds."""

    action_contract, observation_contract = CONTRACT, ObservationContract((("front", (8, 8)),), ())
    task_description, lift_height = "", 0.3

    def __init__(self, objects: str) -> None:
        self.luck = 0.0

    def reset(self, seed: int, options: dict[str, Any]) -> None:
        self.luck = float(episode_rng(seed, options["episode"], purpose=options["purpose"]).random())

    def advance(self, action: Any) -> tuple[float, bool, dict[str, Any]]:
        return 0.0, True, {"lift_height": 0.0, "is_success": self.luck < float(action[0])}

    def sim_state(self) -> Any:
        return np.array([self.luck])

    def close(self) -> None:
        pass


class Apart(Env):
    """Begins elsewhere each time that it is made."""

    made = 0

    def __init__(self, objects: str) -> None:
        super().__init__(objects)
        Apart.made += 1
        self.own = Apart.made

    def sim_state(self) -> Any:
        return np.array([self.luck + self.own])


class Skilled:
    """Succeeds on a share of the starts, which its name says."""

    pooling, ious = "", ()

    def __init__(self, name: str) -> None:
        self.name, self.skill = name, float(name)

    def reset(self, env: Any, seed: int, episode: int) -> None:
        pass

    def actions(self, env: Any) -> Any:
        return np.array([[self.skill]])


@pytest.fixture(autouse=True)
def skilled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "policy_fingerprint", lambda policy, remote=None: policy)
    monkeypatch.setattr(evaluation, "gl_renderer_of", lambda policy, spec: "none")

    def opened(policy: str, objects: str, spec: EnvSpec, remote: Any) -> Any:
        return Skilled(policy), spec.open(objects)

    monkeypatch.setattr(evaluation, "open_actor", opened)


def decide(folder: Path, a: str, b: str, trials: int = 400, pool: Pool | None = None, **rule: Any) -> Decision:
    configs = [EvaluateConfig(p, OBJECTS, trials, env=EnvSpec(make_env=Env), name=p) for p in (a, b)]
    outs = folder / f"{a}.parquet", folder / f"{b}.parquet"
    return evaluate_until_decided(*configs, outs, workers=0, progress=False, **rule)


def test_rounds_are_played_until_it_is_decided(tmp_path: Path) -> None:
    decision = decide(tmp_path, "0.9", "0.6")
    assert (decision.verdict, decision.first, decision.second) == ("better", "0.9", "0.6")
    assert 10 < decision.episodes < 100
    rows = {p: read_rows(tmp_path / f"{p}.parquet") for p in ("0.9", "0.6")}
    assert list(decision.rows) == [*rows["0.9"], *rows["0.6"]]
    assert {len(r) for r in rows.values()} == {decision.episodes}
    ids = sorted({row.object_id for row in decision.rows})
    done = [{row.episode: row for row in r} for r in rows.values()]
    test = PairedTest.begin(THESE, 4)
    for number in range(decision.episodes // 4):
        assert test.verdict() == ""  # not a round too many
        test = test.after(differences(done, ids, number))
    assert test.verdict() == "better"
    told = decision.to_json()
    assert told["verdict"] == "better"
    assert told["tests"][0]["low"] == decision.tests[THESE].low == test.low
    assert told["fixed_design_episodes"] is None  # no margin was planned
    differ = test.discordance
    pairs = {gap: pairs_needed(gap, differ) for gap in (0.05, 0.1)}  # of the gap that was seen nothing is said
    assert told["fixed_designs"] == [{"gap": gap, "episodes": pairs[gap]} for gap in pairs]
    assert f"episodes each: {pairs[0.05]} for 5 points, {pairs[0.1]} for 10 points (true gaps" in decision.text()
    assert "on these objects, 0.9 is better than 0.6" in decision.text()
    assert decide(tmp_path / "other", "0.6", "0.9").verdict == "worse"


def test_a_killed_run_decides_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = decide(tmp_path / "whole", "0.85", "0.65")
    played: list[int] = []
    original = until_decided.play_row

    def dying(*args: Any) -> Any:
        if len(played) == 45:
            raise KeyboardInterrupt
        played.append(args[-1])
        return original(*args)

    monkeypatch.setattr(until_decided, "play_row", dying)
    with pytest.raises(KeyboardInterrupt):
        decide(tmp_path / "killed", "0.85", "0.65")
    parts = sorted((tmp_path / "killed").rglob("*.parts/*/*.parquet"))
    parts[-1].unlink()  # as after kill -9: the last, unflushed rows are gone
    kept = sum(len(read_rows(part)) for part in parts[:-1])
    assert 0 < kept < 45
    monkeypatch.setattr(until_decided, "play_row", lambda *args: (played.append(args[-1]), original(*args))[1])
    played.clear()
    again = decide(tmp_path / "killed", "0.85", "0.65")
    assert again.to_json() == whole.to_json()
    assert [dataclasses.replace(r, wall_s=0) for r in again.rows] == [
        dataclasses.replace(r, wall_s=0) for r in whole.rows
    ]
    assert len(played) == 2 * whole.episodes - kept
    played.clear()
    assert decide(tmp_path / "killed", "0.85", "0.65").to_json() == whole.to_json()
    assert played == []  # it was decided already


def test_a_cluster_plays_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match="work on a Ray cluster needs Ray"):
        decide(tmp_path, "0.9", "0.1", ray="local")


def test_trials_are_spent_where_nothing_can_be_decided(tmp_path: Path) -> None:
    decision = decide(tmp_path, "0.7", "0.70", trials=82)
    assert (decision.verdict, decision.episodes, decision.most) == ("", 80, 20)
    assert "not decided, trials spent" in decision.text()
    assert decision.to_json()["verdict"] == "not decided"
    same = decide(tmp_path, "0.7", "0.70", margin=0.2)
    assert same.fixed_designs() == {}  # policies that never differ have no gap
    assert "fixed design" not in same.text()
    assert same.verdict == "equivalent"
    assert "equivalent within 20 points to" in same.text()
    assert same.episodes < 80  # decided from the rows that were there


def test_too_few_objects_never_settle_it_for_new_ones(tmp_path: Path) -> None:
    decision = decide(tmp_path, "0.9", "0.6", trials=200, about=NEW)
    assert (decision.verdict, decision.episodes) == ("", 200)
    assert decision.tests[THESE].verdict() == "better"
    assert decision.to_json()["least_gap_for_new_objects"] is None
    assert "for new objects, no gap can be called better or worse with these 4 objects" in decision.text()


def test_a_decision_leaves_the_rows_that_were_there(tmp_path: Path) -> None:
    config = EvaluateConfig("0.9", OBJECTS, 200, env=EnvSpec(make_env=Env), name="0.9")
    whole = evaluation.evaluate(config, tmp_path / "0.9.parquet", workers=0, progress=False)
    decision = decide(tmp_path, "0.9", "0.6")
    assert decision.verdict == "better"
    assert decision.episodes < 100
    assert read_rows(tmp_path / "0.9.parquet") == whole
    assert list(decision.rows)[: decision.episodes] == [
        dataclasses.replace(row, trials=decision.episodes) for row in whole[: decision.episodes]
    ]


def test_a_fixed_design_is_told_for_the_margin_too(tmp_path: Path) -> None:
    decision = decide(tmp_path, "0.9", "0.5", margin=0.2)
    differ = decision.tests[THESE].discordance
    assert differ > 0.2
    assert decision.fixed_designs() == {gap: pairs_needed(gap, differ) for gap in (0.05, 0.1, 0.2)}
    assert decision.to_json()["fixed_design_episodes"] == pairs_needed(0.2, differ)
    assert f", {pairs_needed(0.2, differ)} for 20 points (" in decision.text()
    assert list(dataclasses.replace(decision, margin=0.1).fixed_designs()) == [0.05, 0.1]
    assert list(dataclasses.replace(decision, margin=1e-5).fixed_designs()) == [0.05, 0.1]  # more than anybody plays
    assert list(dataclasses.replace(decision, margin=0.99).fixed_designs()) == [0.05, 0.1]  # they differ less often


@pytest.mark.skipif(not PAGE.exists(), reason="the tests run against an installed wheel")
def test_the_documented_output_is_the_code_s() -> None:
    """100 objects, one round: the first policy alone succeeds on 66 of them."""
    found = np.r_[np.ones(66), np.zeros(34)]
    tests = {about: PairedTest.begin(about, 100).after(found) for about in (THESE, NEW)}
    text = Decision("detpool", "mean", THESE, 0.0, tests, [], 37).text()
    assert f"```\n{text}\n```" in PAGE.read_text(encoding="utf-8")


def test_objects_of_training_are_not_called_unseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decide(tmp_path / "unknown", "0.9", "0.6").notes == ()
    ids = tuple(load_objects(OBJECTS).ids)
    known = {"0.9": Seen(ids), "0.6": Seen()}
    monkeypatch.setattr(until_decided, "seen_objects", lambda policy, objects, met: known[policy])
    decision = decide(tmp_path, "0.9", "0.6", about=NEW, trials=40)
    (note,) = decision.notes
    assert note.startswith("0.9 was trained on these: what is said of new objects holds for others that are trained on")
    assert decision.text().endswith(f"note: {note}")
    assert decision.to_json()["notes"] == [note]


def test_what_cannot_be_paired_is_refused(tmp_path: Path) -> None:
    one = EvaluateConfig("0.7", OBJECTS, 40, env=EnvSpec(make_env=Env))
    outs = tmp_path / "a.parquet", tmp_path / "b.parquet"

    def refused(match: str, first: EvaluateConfig = one, **changed: Any) -> None:
        second = dataclasses.replace(first, **{"policy": "0.5", **changed})
        with pytest.raises(ConfigError, match=match):
            evaluate_until_decided(first, second, outs, workers=0, progress=False)

    refused(r"differ in seed \(0 and 1\)", seed=1)
    refused("differ in objects", objects="toys:test?n=4")
    refused("differ in env", env=EnvSpec({"clutter": 2}, make_env=Env))
    refused("compared with itself", policy="0.7")
    refused("3 trials are less than a round: .* has 4 objects", dataclasses.replace(one, trials=3))
    refused("begin the same episode in different states", dataclasses.replace(one, env=EnvSpec(make_env=Apart)))
    with pytest.raises(ConfigError, match="margin is 5"):
        decide(tmp_path, "0.7", "0.5", margin=5)
