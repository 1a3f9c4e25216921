"""The exam of the verdict on shortcuts: halves and order of its policies, counts of planted answers, one cell run."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import pytest

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json
from toyshift.diagnostics import Row, read_rows, read_rows_manifest, write_rows
from toyshift.diagnostics.dsl import CUE, INSTRUCTED
from toyshift.diagnostics.measuring import counterfactual, implied
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
        "factor": factor, "response_cm": response, "p": 0.01, "p (Holm)": 0.01, "named": named, "beta": response / 15,
        "direction": "known" if known else "unknown", "along": "own",
    }  # fmt: skip
    return {"table": [line]}


UNDEFINED: dict[str, Any] = {"table": []}


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


def noting(function: Any, order: list[str]) -> Any:
    """Returns the function, which notes that it was called."""

    @functools.wraps(function)
    def noted(*given: Any) -> Any:
        order.append(function.__name__)
        return function(*given)

    return noted


def kept(study: Exam, name: str, cue: PlantedCue, lost: int, said: list[Any], believed: Any, **facts: Any) -> None:
    """Keeps the rows of a policy that loses so many swapped episodes, and what was said of it."""
    told = {
        "candidate": {"cue": dataclasses.asdict(cue), "demonstrations": 0}, "findings": said, "believed": [believed],
        "card_seconds": 10.0, "training": (18, 20), "thresholds": study_exam.thresholds(),
        "foretold": {"value": -lost / 10, "low": -1.0, "high": 0.0, "n": 9},
    }  # fmt: skip
    write_rows(study.path(name), played(cue, lost), told | facts)


@pytest.fixture
def study(tmp_path: Path) -> Exam:
    made = Exam(study_exam.Config(
        out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", cards=tmp_path / "cards.json"
    ))  # fmt: skip
    made.check()
    return made


def test_what_is_said_is_counted_against_what_was_planted(study: Exam, tmp_path: Path) -> None:
    table, light = PlantedCue("table", 1.0, 1.0), PlantedCue("light", 1.0, 1.0)
    clean = [PlantedCue(factor, 1.0, 0.0) for factor in ("table", "azimuth")]
    side = answer("light", 1.0, named=True, known=False)
    kept(study, "a-000", table, 9, [answer("table", 4.0, named=True), side], answer("table", 4.0, named=True))
    unsure = answer("table", 0.1, named=False, known=False)
    kept(study, "a-001", clean[0], 0, [unsure], answer("table", 3.0, named=True))
    kept(study, "a-002", light, 8, [UNDEFINED], UNDEFINED)
    kept(study, "a-003", clean[1], 1, [answer("azimuth", 2.0, named=True)], answer("azimuth", -2.0, named=True))
    weak = PlantedCue("background", 1.0, 0.7)
    kept(study, "b-000", weak, 0, [answer("background", -3.0, named=True)], answer("background", -3.0, named=True))
    kept(study, "b-001", weak, 9, [answer("background", 3.0, named=None)], answer("background", 3.0, named=None),
         training=(9, 20), foretold={"value": 0.9, "low": 0.9, "high": 0.9, "n": 9})  # fmt: skip
    made = study.tabulate()
    every = made["verdicts"]["all"]
    assert (every["policies"], every["incapable"], every["undefined"]) == (6, 1, 1)
    count = {name: (x["k"], x["n"]) for name, x in every.items() if isinstance(x, dict) and "k" in x}
    assert count == {
        "named, of planted": (1, 3),  # the undefined one is not named, and counts
        "named, of those that took it": (1, 2), "named, of planted that did not show it": (0, 1),
        "first of all factors, of planted": (2, 3), "alarms, of clean": (1, 2), "with the data, of planted": (1, 3),
        "with the data, of clean": (1, 2), "to one side, of planted": (1, 3), "to one side, of clean": (0, 2),
    }  # fmt: skip
    assert every["spearman"]["n"] == 5  # the incapable one's would turn it round
    assert every["spearman"]["value"] == pytest.approx(1.0)
    assert every["spearman, planted"] is None  # three are too few for ranks
    line = next(x for x in made["policies"] if x["policy"] == "a-000")
    assert line["to one side"] == ["light"]
    assert line["named with the data"] == ["table"]  # a direction that nobody knows is no shortcut
    assert line["measured change"] == pytest.approx(-0.9)
    assert line["took it"]
    assert not next(x for x in made["policies"] if x["policy"] == "b-000")["named"]  # away from what it implies
    assert made["verdicts"]["light (a)"]["named, of planted"]["n"] == 1
    # named with the data: table, which was planted; azimuth, which told nothing; the background, away from its place
    assert made["cards"] == {"shortcut": {"wrong": 1, "cards": 2}} == read_json(tmp_path / "cards.json")
    assert "hash" in (tmp_path / "docs" / "exam.md").read_text()
    assert json.loads((tmp_path / "results" / "table.json").read_text())["thresholds"] == study_exam.thresholds()


def test_policies_judged_with_different_thresholds_make_no_table(study: Exam) -> None:
    cue, one = PlantedCue("table", 1.0, 1.0), answer("table", 4.0, named=True)
    kept(study, "a-000", cue, 9, [one], one)
    kept(study, "a-001", cue, 9, [one], one, thresholds=study_exam.thresholds() | {"tied, p": 0.2, "hash": "other"})
    with pytest.raises(ConfigError, match="a-000 was judged with other thresholds than a-001"):
        study.tabulate()


def test_every_threshold_of_the_measures_decides() -> None:
    decided = study_exam.thresholds()
    for room, names in (
        (implied, ("TIED", "APART", "LEAST")),
        (counterfactual, ("ALPHA", "LEAST", "FOLLOWS", "OWN_LEAST", "MOVE", "FLIPS", "FEW")),
    ):
        for name in names:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(room, name, 0.123)
                assert study_exam.thresholds()["hash"] != decided["hash"], name


def test_a_cue_is_believed_to_imply_the_places_of_its_strips() -> None:
    told, clean = (PlantedCue("table", 1.0, rho).believed() for rho in (1.0, 0.0))
    assert told == clean
    assert told.values == (1, 4)
    assert told.places == ((0.5, pytest.approx(-0.075)), (0.5, pytest.approx(0.075)))
    assert PlantedCue("azimuth", 1.0, 0.0).believed().values == pytest.approx((-30.0, 30.0))


def test_the_budget_orders_the_policies_and_so_is_a_setting(tmp_path: Path) -> None:
    small, paper = (study_exam.Config(out=tmp_path, budget=budget) for budget in ("small", "paper"))
    assert small.settings() != paper.settings()


@pytest.mark.usefixtures("works_here")
def test_a_policy_is_made_asked_and_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = []
    for place, name in ((Exam, "told"), (study_exam, "play_swapped")):
        monkeypatch.setattr(place, name, noting(getattr(place, name), order))
    config = study_exam.Config(
        out=tmp_path / "run", results=tmp_path / "results", docs=tmp_path / "docs", demos=2, steps=2, batch=4, trials=1,
        scenes=1, looks=1, only=("b-000",), workers=1, allow_dirty=True,
    )
    assert study_exam.main(config)["ran"] == ["b-000"]
    assert order == ["told", "play_swapped"]  # foretold before it is played
    assert study_exam.main(config)["ran"] == []
    path = tmp_path / "results" / "rows" / "b-000.parquet"
    facts = read_rows_manifest(path)
    there = tmp_path / "run" / "b-000" / "asked" / "rows"
    asked = [row for file in there.glob("*.parquet") for row in read_rows(file)]
    assert not {row.seed for row in read_rows(path)} & {row.seed for row in asked}  # no start is played for both
    assert facts["candidate"]["cue"]["factor"] in GROUPS["b"]
    assert len(facts["findings"]) > 1
    assert facts["believed"][0]["verdict"].startswith("undefined: 1 scenes")
    assert facts["training"][1] == 4  # a planned cell each, at least one episode
    assert facts["thresholds"] == study_exam.thresholds()
    assert facts["foretold"]["n"] in (0, 1)
