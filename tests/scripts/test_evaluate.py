"""The evaluate command: which set was trained on, what is retained of success there, which of two is better."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from toyshift.core.errors import ConfigError, FileError, MissingDependencyError
from toyshift.diagnostics import read_rows, read_rows_manifest, retention
from toyshift.diagnostics.actors import policy_fingerprint
from toyshift.diagnostics.bundle_facts import measured_success
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.scripts import cli, evaluate
from toyshift.scripts.evaluate import Config, main

TOYS, NEW = "toys:train?n=2", "toys:test?n=2"


def test_retention_is_printed_where_the_training_set_is_among_the_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--objects", TOYS, "--objects", NEW, "--trials", "2", "--workers", "1", "--out", str(tmp_path)]
    words = ["evaluate", "--policy", "oracle", "--no-references", *words]
    assert cli.main([*words, "--max-steps", "60", "--training-set", TOYS]) == 0
    assert "retention: success over that on the training set" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    rates = {(s["policy"], s["object_set"]): s["rate"] for s in results["summaries"]}
    [kept] = results["retention"]
    assert rates["oracle", TOYS] > 0  # the least that the seed must give
    assert kept["ratio"]["value"] == rates["oracle", NEW] / rates["oracle", TOYS]
    assert results["undertrained"] == []  # nobody trained the oracle
    facts = read_rows_manifest(tmp_path / "rows.parquet")
    assert facts["trained_on"] == {"oracle": TOYS}
    assert facts["seen"] == {"oracle": {TOYS: None, NEW: None}}
    own = [read_rows_manifest(path) for path in (tmp_path / "rows").glob("*.parquet")]
    assert sorted(facts["objects_hash"].values()) == sorted(one["objects_hash"] for one in own)  # `compare` looks at it
    assert facts["protocol"] == own[0]["protocol"]
    assert cli.main([*words, "--max-steps", "60"]) == 0  # from the rows that are there; nobody tells the training set
    assert "retention:" not in capsys.readouterr().out


def test_a_training_set_that_is_not_tested_is_refused() -> None:
    with pytest.raises(ConfigError, match="add --objects toys:train"):
        Config(policy=("random",), objects=(NEW,), training_set="toys:train")


def test_two_policies_are_played_until_it_is_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "--policy", "oracle", "--policy", "random", "--objects", "toys:train?n=3", "--max-steps", "60"]
    words += ["--until", "decided", "--trials", "90", "--json"]
    found = []
    for workers in ("2", "1"):
        assert cli.main([*words, "--out", str(tmp_path / workers), "--workers", workers]) == 0
        told = capsys.readouterr()
        found.append(json.loads(told.out)["decision"])
        assert "on these objects, oracle is better than random" in told.err
    assert found[0] == found[1]  # in whichever order episodes were finished
    assert (found[0]["verdict"], found[0]["first"], found[0]["second"]) == ("better", "oracle", "random")
    assert found[0]["episodes"] == 3 * found[0]["rounds"] < 90
    assert json.loads((tmp_path / "1" / "results.json").read_text())["decision"] == found[1]
    assert len(read_rows(tmp_path / "1" / "rows.parquet")) == 2 * found[0]["episodes"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ({"policy": ("random",)}, "got 1 --policy"),
        ({"policy": ("a", "b", "c")}, "got 3 --policy"),
        ({"policy": ("a", "a")}, "got 1 --policy"),
        ({"objects": (NEW, TOYS)}, "2 --objects"),
        ({"shift": ("light=1", "light=2")}, "2 --shift"),
        ({"until": "trials", "margin": 5.0}, "--until decided as well"),
        ({"margin": 100.0}, "--margin must be from 0 to 99"),
    ],
)
def test_what_cannot_be_decided_is_refused(words: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Config(**{"policy": ("a", "b"), "until": "decided", **words})


@pytest.mark.parametrize("words", [{}, {"policy": ("oracle", "random"), "until": "decided"}])
def test_a_cluster_plays_whatever_is_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    asked = {"policy": ("oracle",), "objects": (TOYS,), "trials": 2, "out": tmp_path, "ray": "local", **words}
    with pytest.raises(MissingDependencyError, match="work on a Ray cluster needs Ray"):
        main(Config(**asked))


def test_a_policy_that_nodes_cannot_see_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"lerobot:act is served on this machine.*give --ray local"):
        Config(policy=("lerobot:act",), ray="auto")
    assert Config(policy=("lerobot:act",), ray="local").here


def test_policies_of_equal_weights_are_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toyshift.diagnostics.actors.policy_fingerprint", lambda *_: "of equal weights")
    policies = tuple(str(tmp_path / name) for name in ("one", "two"))
    with pytest.warns(UserWarning, match="one and .*two hold the same weights"), pytest.raises(FileError, match="one"):
        main(Config(policy=policies, until="decided", objects=(TOYS,), out=tmp_path / "out", trials=2))


def test_swapped_cues_ask_for_no_training_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "_swapped", lambda cfg, folder, names: {"folder": folder, "names": names})
    monkeypatch.setattr(retention, "training_sets", lambda *_: pytest.fail("they are not used"))
    found = evaluate.main(Config(policy=("random",), swapped=tmp_path, no_references=True))
    assert found == {"folder": tmp_path, "names": {"random": "random"}}


def test_latency_is_in_the_name_of_rows_and_results_say_whose_they_are(
    grasp_policy: Callable[..., Path], tmp_path: Path
) -> None:
    env = GraspEnv(EnvConfig(objects=NEW, image_size=32))
    policy = str(grasp_policy(tmp_path / "mine", env))
    env.close()
    words = ["evaluate", "--policy", policy, "--objects", NEW, "--trials", "1", "--workers", "1", "--max-steps", "9"]
    words += ["--out", str(tmp_path / "out")]
    assert cli.main([*words, "--latency", "0.3", "--jitter", "0.1", "--compensation", "wait"]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    late = "mine [latency 0.3 +- 0.1 s, wait]"
    assert {one["policy"] for one in results["summaries"]} == {late, "oracle", "random"}  # these know no latency
    hashes = results["manifest"]["policy_hash"]
    assert hashes == {late: policy_fingerprint(policy), "oracle": "oracle", "random": "random"}
    assert measured_success(Path(policy), tmp_path / "out" / "results.json")[0]["policy"] == late
    assert cli.main([*words, "--no-references"]) == 0
    files = {path.name.split("-")[0] for path in (tmp_path / "out" / "rows").glob("mine*.parquet")}
    assert len(files) == 2  # rows with and without latency do not meet


@pytest.mark.parametrize(
    ("given", "culprit"),
    [
        ({"jitter": 0.1}, "--jitter"), ({"compensation": "wait"}, "--compensation"),
        ({"latency": 0.1, "jitter": 0.2}, "--jitter is 0.2"), ({"latency": 11.0}, "--latency"),
        ({"latency": 0.1, "swapped": Path("x")}, "--latency"),
    ],
)
def test_latencies_that_mean_nothing_are_refused(given: dict[str, Any], culprit: str) -> None:
    with pytest.raises(ConfigError, match=culprit):
        Config(policy=("random",), objects=(NEW,), **given)


def test_a_policy_without_instructions_is_told_apart_on_pick(
    tmp_path: Path, grasp_policy: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    env = GraspEnv(EnvConfig(objects="toys:test?n=8", task="pick", image_size=32))
    folders = [grasp_policy(tmp_path / pooling, env, pooling=pooling) for pooling in ("mean", "detpool")]
    env.close()
    words = [word for folder in folders for word in ("--policy", str(folder))]
    words += ["--objects", "toys:test?n=8", "--task", "pick", "--trials", "2", "--max-steps", "4", "--workers", "0"]
    with pytest.warns(UserWarning, match="mean was not trained with instructions.*by chance") as warned:
        assert cli.main(["evaluate", *words, "--no-references", "--out", str(tmp_path / "eval")]) == 0
    assert sum("by chance" in str(one.message) for one in warned) == 1  # the other is shown the target's mask
    assert "of several objects one is named" in capsys.readouterr().out
    found = {one["policy"]: one for one in json.loads((tmp_path / "eval" / "results.json").read_text())["named"]}
    assert {name: one["told"] for name, one in found.items()} == {"mean": "nothing", "detpool": "masks (truth)"}
    assert {one["n"] for one in found.values()} == {2}
    assert found["mean"]["verdict"].startswith("is told nothing of what is named")
