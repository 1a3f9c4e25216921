"""Rows that are made again: equal ones are found equal, planted differences are counted where they were planted."""

import dataclasses

import pytest

from toyshift.diagnostics.reproduction import reproduction_table, reproductions
from toyshift.diagnostics.rows import Row


def rows(policy: str = "p", n: int = 20, wins: int = 10) -> list[Row]:
    return [
        Row(policy, "", "toys", f"o{i % 5}", 0, i, i < wins, 0.1, 7, "" if i < wins else "dropped", "", 0.5)
        for i in range(n)
    ]


def test_wall_times_alone_make_no_difference() -> None:
    (found,) = reproductions(rows(), [dataclasses.replace(row, wall_s=9.0) for row in reversed(rows())])
    assert (found.same, found.n, found.equal, found.columns) == (True, 20, 20, {})


def test_planted_differences_are_counted_by_column_and_outcome() -> None:
    there = rows()
    here = [dataclasses.replace(row, success=True, failure="") if row.episode in (10, 11) else row for row in there]
    here[0] = dataclasses.replace(here[0], max_height=0.1 + 1e-16 * 200)
    (found,) = reproductions(here, there)
    assert (found.same, found.n, found.equal, found.outcomes) == (False, 20, 17, 2)
    assert found.columns == {"success": 2, "failure": 2, "max_height": 1}
    assert found.paired is not None
    assert found.paired.difference.value == pytest.approx(0.1)
    assert found.to_json()["outcomes"] == 2
    assert "+10.0" in reproduction_table([found])


def test_rows_of_one_side_alone_are_told() -> None:
    found = {x.policy: x for x in reproductions([*rows("a", 12), *rows("b")], [*rows("a", 20), *rows("c")])}
    assert {name: (x.n, x.only_here, x.only_there) for name, x in found.items()} == {
        "a": (12, 0, 8), "b": (0, 20, 0), "c": (0, 0, 20)
    }
    assert not any(x.same for x in found.values())
    assert found["b"].paired is None
