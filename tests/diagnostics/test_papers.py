"""The page of papers names what exists, and says of nothing that exists that it is not built."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from toyshift.augment.registry import AUGMENTATIONS
from toyshift.diagnostics.measures import MEASURES
from toyshift.policies.parts import POOLINGS
from toyshift.policies.repairs import TRAINING_REPAIRS
from toyshift.scripts.cli import TABLE

PAGE = Path(__file__).parents[2] / "docs" / "papers.md"
STUDIES = next(words.split() for name, _, _, words in TABLE if name == "study")
KINDS: dict[str, set[str]] = {
    "measure": {measure.name for measure in MEASURES}, "repair": {row.name for row in TRAINING_REPAIRS},
    "augmentation": {*AUGMENTATIONS}, "pooling": {*POOLINGS}, "study": {*STUDIES},
}  # fmt: skip
KINDS |= {f"{kind}s": names for kind, names in KINDS.items() if kind != "study"} | {"studies": {*STUDIES}}
NAMES = r"`[a-z0-9-]+`(?: \([^)]*\))?(?:, `[a-z0-9-]+`(?: \([^)]*\))?)*"

NOT_BUILT = r"not built: `([a-z0-9-]+)`"


@pytest.fixture(scope="module")
def rows() -> list[list[str]]:
    if not PAGE.is_file():
        pytest.skip("the tests run against an installed wheel")
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if re.match(r"\| \d+ \|", line)]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_all_38_papers_have_a_row(rows: list[list[str]]) -> None:
    assert [int(row[0]) for row in rows] == list(range(1, 39))
    assert {len(row) for row in rows} == {6}
    assert len({row[1] for row in rows}) == 38
    for number, _, _, _, read, found in rows:
        assert re.match(r"[CPAR]\b", read), f"row {number} does not say how its formula was known"
        assert found


def named(became: str) -> list[tuple[str, str]]:
    """Returns the kinds and names that a cell says exist."""
    found = re.findall(rf"\b({'|'.join(sorted(KINDS, key=len, reverse=True))}) ({NAMES})", became)
    return [(kind, name) for kind, names in found for name in re.findall(r"`([a-z0-9-]+)`", names)]


def test_what_is_named_exists(rows: list[list[str]]) -> None:
    every = [(row[0], kind, name) for row in rows for kind, name in named(row[2])]
    assert len(every) > 35
    wrong = [one for one in every if one[2] not in KINDS[one[1]]]
    assert not wrong, f"docs/papers.md names what is not there: {wrong}"


def test_what_is_not_built_does_not_exist(rows: list[list[str]]) -> None:
    there = set().union(*KINDS.values())
    assert re.findall(NOT_BUILT, "measure `bits`; not built: `no-such`") == ["no-such"]
    said = [name for row in rows for name in re.findall(NOT_BUILT, row[2])]
    assert not (built := there & set(said)), f"docs/papers.md says that {sorted(built)} is not built: update its row"


def test_commands_name_what_exists(rows: list[list[str]]) -> None:
    measures, repairs = KINDS["measure"], KINDS["repair"]
    for number, _, became, command, _, _ in rows:
        for names in re.findall(r"--measure ([a-z ]+)", command):
            assert set(names.split()) <= measures, number
        for name in re.findall(r"--repair \"?([a-z0-9]+)", command):
            assert name in repairs, number
        for name in re.findall(r"toyshift (?:augment|study) ([a-z-]+)", command):
            assert name in KINDS["augmentation"] | KINDS["study"], number
        assert command != "-" or "not built" in became, f"row {number} has something and no command"


def test_a_name_that_is_not_there_is_seen() -> None:
    assert named("measures `bits`, `no-such`; repair `sam`") == [
        ("measures", "bits"), ("measures", "no-such"), ("repair", "sam"),
    ]  # fmt: skip
    assert "no-such" not in KINDS["measures"]
