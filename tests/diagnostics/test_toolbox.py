"""The toolbox's page shows the tables that the commands read."""

from __future__ import annotations

from pathlib import Path

import pytest

from toyshift.augment.registry import AUGMENTATIONS
from toyshift.core.errors import FileError
from toyshift.diagnostics.measures import MEASURES
from toyshift.diagnostics.toolbox import NOT_YET, TABLES, made, repairs_table
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
        assert f"--measure {measure.name}`" in page


def test_every_row_has_all_columns() -> None:
    for table in TABLES.values():
        lines = table().splitlines()
        assert len({line.count("|") for line in lines}) == 1
    assert repairs_table().count(NOT_YET) == len(TRAINING_REPAIRS)  # no claim that no study has shown


def test_a_page_without_marks_is_refused() -> None:
    marks = {name: f"<!-- {name} -->\nstale\n<!-- end -->\n" for name in TABLES}
    with pytest.raises(FileError, match="no marks for measures"):
        made("".join(text for name, text in marks.items() if name != "measures"))
    old = "\n".join(marks.values())
    assert "stale" not in made(old)
    assert made(made(old)) == made(old)
