"""The toolbox's page shows the tables that the commands read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from toyshift.augment.registry import AUGMENTATIONS
from toyshift.core.errors import FileError
from toyshift.diagnostics.measures import MEASURES
from toyshift.diagnostics.toolbox import FINDINGS, NOT_YET, TABLES, made, measures_table, repairs_table
from toyshift.policies.repairs import TRAINING_REPAIRS

PAGE = Path(__file__).parents[2] / "docs" / "toolbox.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="the tests run against an installed wheel")
def test_the_page_is_made_of_the_tables() -> None:
    page = PAGE.read_text(encoding="utf-8")
    again = "run python -m toyshift.diagnostics.toolbox docs/toolbox.md"
    assert made(page) == page, again
    for row in TRAINING_REPAIRS:
        assert f"| {row.name} | {row.does} |" in page
    for name in AUGMENTATIONS:
        assert f"`toyshift augment {name} SRC DST`" in page
    for measure in MEASURES:
        assert re.search(rf"--measure {measure.name}( --[a-z-]+ [A-Z]+)?`", page)


def test_every_row_has_all_columns() -> None:
    for table in TABLES.values():
        lines = table().splitlines()
        assert len({line.count("|") for line in lines}) == 1
    assert repairs_table().count(NOT_YET) == len(TRAINING_REPAIRS)  # no claim that no study has shown
    assert measures_table().splitlines()[0].endswith("| command | cost | planted truth | finding here |")
    for table in TABLES.values():
        cells = [line.strip("|").split(" | ") for line in table().splitlines()[2:]]
        assert all(cell.strip() for line in cells for cell in line)  # "-" where there is nothing


def test_findings_rest_on_rows() -> None:
    """What is said has a row, and each number of a finding stands before the mark by which it is computed again."""
    assert {*FINDINGS} <= {*AUGMENTATIONS} | {row.name for row in TRAINING_REPAIRS} | {m.name for m in MEASURES}
    for name, finding in FINDINGS.items():
        assert "<!-- claim: " in finding, name
        after = re.sub(r".*?<!-- claim: [^>]* -->", "", finding, flags=re.DOTALL)
        assert not re.search(r"\d", after.replace("exam.md", "")), name
    assert "| not run at size |" in measures_table()


def test_what_is_planted_is_told_by_the_function_that_plants_it() -> None:
    for row in (*MEASURES, *AUGMENTATIONS.values()):
        assert row.planted.endswith("."), row.name
        assert "\n" not in row.planted
        assert "|" not in row.planted
    assert next(m for m in MEASURES if m.name == "case").planted.startswith("A policy that copies the nearest example")


def test_a_page_without_marks_is_refused() -> None:
    marks = {name: f"<!-- {name} -->\nstale\n<!-- end -->\n" for name in TABLES}
    with pytest.raises(FileError, match="no marks for measures"):
        made("".join(text for name, text in marks.items() if name != "measures"))
    old = "\n".join(marks.values())
    assert "stale" not in made(old)
    assert made(made(old)) == made(old)
