"""The report command: what it finds in a run's folder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from toyshift.core.errors import FileError
from toyshift.core.files import write_json
from toyshift.diagnostics import ChangedSuccess, Estimate, Row, SensitivityResult, write_rows
from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.reporting.found import find_rows
from toyshift.diagnostics.reporting.gather import gather
from toyshift.diagnostics.reporting.success import derive_headlines
from toyshift.diagnostics.seen import SEEN, seen_in_rows
from toyshift.diagnostics.sensitivity import FactorEffect
from toyshift.scripts import cli


def row(policy: str, episode: int, success: bool, look: str = "") -> Row:
    return Row(
        policy, "", "toys:test", f"toy{episode % 3}", 0, episode, success, 0.3, 50, "" if success else "timeout", look,
        0.1
    )


MEASURED = SensitivityResult(
    policy="detpool", pooling="detpool", target=Estimate(0.4, 0.3, 0.5, 40), repeat=0.0,
    factors=(FactorEffect("light", Estimate(0.1, 0.05, 0.2, 40), Estimate(0.25, 0.1, float("inf"), 40)),),
    unit="standard deviations", scenes=40, looks=200,
    limits={"sensitive_above": 1.0, "robust_below": 0.1, "capable_from": 0.5},
)


def test_rows_of_several_files_count_once(tmp_path: Path) -> None:
    write_rows(tmp_path / "a" / "rows.parquet", [row("detpool", i, i % 2 == 0) for i in range(4)], {
        "versions": {}, "command": "toyshift evaluate"
    })
    write_rows(tmp_path / "b" / "rows.parquet", [row("detpool", i, i % 2 == 0) for i in range(6)], {})
    found = find_rows(tmp_path)
    assert sorted(r.episode for r in found.rows) == list(range(6))
    assert found.facts["command"] == "toyshift evaluate"
    assert found.seen == {}  # rows of before it was written down


def test_changed_looks_are_not_counted_as_success_on_the_set(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.parquet", [row("detpool", 0, True), row("detpool", 1, False, look="light=0.5")], {})
    [summary] = gather(tmp_path, pictures=False).success
    assert (summary.k, summary.n) == (1, 1)


def test_the_training_set_that_evaluate_found_is_taken_over(tmp_path: Path) -> None:
    toys = [dataclasses.replace(row("mine", i, i < 3), object_set="toys:train") for i in range(4)]
    rows = [*toys, *(row(policy, i, i < 2) for policy in ("mine", "other") for i in range(4))]
    write_rows(tmp_path / "rows.parquet", rows, {"versions": {}, "trained_on": {"mine": "toys:train", "other": ""}})
    data = gather(tmp_path, pictures=False)
    assert data.trained_on == dict.fromkeys(("mine", "oracle", "random"), "toys:train")
    assert [data.label(s) for s in data.success] == ["trained on these", "", ""]
    assert [(c.first, c.second, c.object_set) for c in data.comparisons] == [("mine", "other", "toys:test")]
    given = gather(tmp_path, training_set="toys:test", pictures=False)
    assert [given.label(s) for s in given.success] == ["", "trained on these", "trained on these"]


def test_zero_shot_is_said_of_what_a_policy_says_it_was_not_trained_on(tmp_path: Path) -> None:
    toys, scans = "meshes:mine?graspable", "ycb-like"
    known = {"object_sets": ["meshes:mine"], "object_ids": ["toy0", "toy1", "toy2"], "starts": []}
    write_json(tmp_path / "policies" / "mine" / "config.json", {"trained_on": [known]})
    policies = {"mine": str(tmp_path / "policies" / "mine"), "served": "ws://localhost:1", "oracle": "oracle"}
    rows = [
        dataclasses.replace(row(policy, i, i < 3), object_set=spec) for spec in (toys, scans, "meshes:other")
        for policy in policies for i in range(4)
    ]
    rows = [dataclasses.replace(r, object_id=f"scan{r.episode}") if r.object_set == scans else r for r in rows]
    write_rows(tmp_path / "eval" / "rows.parquet", rows, {"versions": {}, SEEN: seen_in_rows(rows, policies)})
    data = gather(tmp_path / "eval", pictures=False)
    labels = {(s.policy, s.object_set): data.label(s) for s in data.success}
    assert {there for there, label in labels.items() if label} == {("mine", toys), ("mine", scans)}
    assert labels["mine", toys] == "trained on these"
    assert labels["mine", scans] == "zero-shot"
    assert data.trained_on == dict.fromkeys(("mine", "oracle", "random"), toys)  # what retention is over
    given = gather(tmp_path / "eval", training_set=toys, pictures=False)
    labels = {(s.policy, s.object_set): given.label(s) for s in given.success}
    assert labels["served", toys] == "trained on these"
    assert labels["served", scans] == labels["oracle", toys] == ""


def test_policies_stand_in_the_order_in_which_they_were_asked_for(tmp_path: Path) -> None:
    for minute, policy in ((1, "worse"), (3, "best"), (2, "another")):
        rows = [row(policy, i, policy == "best") for i in range(4)]
        write_rows(tmp_path / "rows" / f"{policy}.parquet", rows, {"versions": {}, "made": f"2026-01-01T00:0{minute}"})
    data = gather(tmp_path, pictures=False)
    assert [s.policy for s in data.success] == ["worse", "another", "best"]
    assert derive_headlines(data)[0].value == "0\u00a0%"


def test_the_command_writes_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows(
        tmp_path / "rows.parquet",
        [row(policy, i, policy == "oracle") for policy in ("mine", "oracle") for i in range(4)], {}
    )
    plain, dark = ([row("mine", i, i < 3, look) for i in range(4)] for look in ("", "light=0.5"))
    success = ChangedSuccess.of_rows({"": plain, "light": dark}, plain)
    measured = dataclasses.replace(MEASURED.judged(success), policy="mine")
    found = {"sensitivity": measured, "success": success}
    answers = {name: {"mine": answer.to_json()} for name, answer in found.items()}
    write_json(tmp_path / "sensitivity.json", answers)
    write_json(tmp_path / "leaning.json", {"leaning": {}})
    assert cli.main(["report", str(tmp_path), "--no-pictures", "--json"]) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert "leaning.json is left out: it is of an earlier version; run `toyshift diagnose` again" in said.err
    assert answer["policies"] == ["mine", "oracle"]
    page = Path(answer["out"]).read_text()
    assert "mine" in page.lower()
    assert "Not shown to be robust to light." in page
    assert "Training toys lifted with nothing changed: 3 of 4" in page
    assert "trained on these" in page


def test_a_folder_without_results_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="toyshift evaluate"):
        gather(tmp_path)
    with pytest.raises(FileError, match="not a folder"):
        gather(tmp_path / "missing")


@pytest.mark.parametrize(("name", "value"), [
    ("sensitivity.json", []), ("sensitivity.json", {"sensitivity": {"a": {}}}), ("diversity.json", {}),
    ("diversity.json", {"diversity": 1})
])
def test_results_of_another_shape_are_named(tmp_path: Path, name: str, value: object) -> None:
    write_json(tmp_path / name, value)
    with pytest.raises(FileError, match=f"{name} does not hold what"):
        gather(tmp_path)


def test_cards_are_found_and_shown_even_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nothing = Estimate(float("nan"), float("nan"), float("nan"), 0)
    card = Card(
        kind="policy", subject="runs/mine", cue="", verdict="Nothing was found.", strength=nothing, unit="",
        null=float("nan"), word="nothing found", advice=("look harder\ntoyshift diagnose --policy runs/mine",),
    )  # fmt: skip
    write_json(tmp_path / "a" / "card-mine.json", card.to_json() | {"manifest": {}})
    write_json(tmp_path / "dataset_card.json", dataclasses.replace(card, kind="dataset", word="").to_json())
    found = gather(tmp_path, pictures=False).cards
    assert [one.kind for one in found] == ["policy", "dataset"]
    assert found[0].to_json() == card.to_json()
    assert cli.main(["report", str(tmp_path), "--no-pictures"]) == 0
    assert "Nothing was found." in (tmp_path / "report.html").read_text()
    write_json(tmp_path / "card-torn.json", {"kind": "policy"})
    assert cli.main(["report", str(tmp_path), "--no-pictures"]) == 2
    assert "card-torn.json does not hold what `toyshift diagnose` writes" in capsys.readouterr().err
