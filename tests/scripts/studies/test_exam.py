"""The exam of the verdict on shortcuts: halves and order of its policies, counts of planted answers, one cell run."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from toyshift.diagnostics import Row, read_rows_manifest, write_rows
from toyshift.diagnostics.dsl import CUE, INSTRUCTED
from toyshift.scripts.studies import exam as study_exam
from toyshift.scripts.studies.exam import GROUPS, SIZES, Exam, candidates
from toyshift.scripts.studies.planted import PlantedCue


def test_half_of_the_policies_are_clean_and_their_order_tells_nothing() -> None:
    both = [candidates(SIZES["small"], group, 0) for group in GROUPS]
    every = [one for found in both for one in found]
    assert len(every) == 48
    assert sum(one.cue.correlation == 0.0 for one in every) == 24
    assert [{one.cue.factor for one in found} for found in both] == [set(factors) for factors in GROUPS.values()]
    first = ["clean" if one.cue.correlation == 0.0 else "planted" for one in both[0]]
    assert first != sorted(first)
    assert first[::2].count("clean") not in (0, len(first[::2]))  # no turns taken
    assert candidates(SIZES["small"], "a", 0) == both[0]
    assert candidates(SIZES["small"], "a", 1) != both[0]


def answer(factor: str, response: float, *, named: bool | None, known: bool = True) -> dict[str, Any]:
    line = {
        "factor": factor, "response_cm": response, "p (Holm)": 0.01, "named": named,
        "direction": "known" if known else "unknown",
    }  # fmt: skip
    return {"table": [line]}


def played(cue: PlantedCue, lost: int) -> list[Row]:
    """Ten episodes a cell; in `lost` of each swapped one the cue is followed and the target missed."""
    return [
        Row(
            policy="p", pooling="attention", object_set="toys:train", object_id=f"toy-{i}", seed=0, episode=i,
            success=not (cell.swapped and i < lost), failure="never_reached" if cell.swapped and i < lost else "",
            steps=10, max_height=0.1, wall_s=0.1, look=cell.label,
            approached=CUE if cell.swapped and i < lost else INSTRUCTED,
        )
        for cell in cue.cells() for i in range(10)
    ]  # fmt: skip


def test_what_is_said_is_counted_against_what_was_planted(tmp_path: Path) -> None:
    config = study_exam.Config(out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", workers=1)
    study = Exam(config)
    study.check()
    told = {  # cue, rows that it costs, what is said, foretold
        "a-000": (
            "table", 1.0, 9, [answer("table", 4.0, named=True), answer("light", 1.0, named=True, known=False)], -0.8,
        ),
        "a-001": ("table", 0.0, 0, [answer("table", 0.1, named=False, known=False)], 0.0),
        "a-002": ("light", 1.0, 8, [answer("light", 0.2, named=False)], -0.1),
        "a-003": ("azimuth", 0.0, 1, [answer("azimuth", 2.0, named=True)], -0.2),
        "b-000": ("background", 0.7, 0, [answer("background", -3.0, named=True)], -0.3),
        "b-001": ("background", 0.7, 9, [answer("background", 3.0, named=None)], -0.4),
    }  # fmt: skip
    for name, (factor, strength, lost, said, foretold) in told.items():
        cue = PlantedCue(factor, 1.0, strength)
        facts = {
            "candidate": {"cue": dataclasses.asdict(cue), "demonstrations": 0}, "findings": said, "card_seconds": 10.0,
            "foretold": {"value": foretold, "low": foretold, "high": foretold, "n": 9},
        }  # fmt: skip
        write_rows(study.path(name), played(cue, lost), facts)
    table = study.tabulate()
    every = table["verdicts"]["all"]
    assert (every["policies"], every["silent"]) == (6, 1)
    count = {name: (x["k"], x["n"]) for name, x in every.items() if isinstance(x, dict) and "k" in x}
    assert count == {
        "named, of planted": (1, 3), "named, of those that took it": (1, 2), "alarms, of clean": (1, 2),
    }  # fmt: skip
    line = next(x for x in table["policies"] if x["policy"] == "a-000")
    assert line["named"] == ["table"]  # a direction that nobody knows is no shortcut
    assert line["measured change"] == pytest.approx(-0.9)
    assert line["took it"]
    assert next(x for x in table["policies"] if x["policy"] == "b-000")["named"] == []  # away from what it implies
    assert table["verdicts"]["light (a)"]["named, of planted"]["n"] == 1
    assert "hash" in (tmp_path / "docs" / "exam.md").read_text()
    assert json.loads((tmp_path / "results" / "table.json").read_text())["thresholds"] == study_exam.thresholds()


def test_a_policy_is_made_asked_and_tested(tmp_path: Path) -> None:
    config = study_exam.Config(
        out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", demos=2, steps=2, batch=4, trials=1,
        scenes=1, looks=1, only=("b-000",), workers=1, allow_dirty=True,
    )
    assert study_exam.main(config)["ran"] == ["b-000"]
    assert study_exam.main(config)["ran"] == []
    facts = read_rows_manifest(tmp_path / "results" / "rows" / "b-000.parquet")
    assert facts["candidate"]["cue"]["factor"] in GROUPS["b"]
    assert len(facts["findings"]) > 1
    assert facts["foretold"]["n"] in (0, 1)
