"""Rows of a study that were made from scratch, beside those of before."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.errors import FileError
from toyshift.core.files import whole_files, write_json
from toyshift.core.manifest import other_kind

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

FOUND = "found"  # in manifests: what a cell found that plays no episodes


def set_name(spec: str) -> str:
    """Returns what a set is called wherever it lies: toys:train, ycb-like or ycb."""
    return spec.split("?")[0] if not spec.startswith("ycb:") else "ycb"


def compare_with(here: Path, there: Path) -> dict[str, Any]:
    """Prints how rows that were made again compare with those of before, and writes comparison.json beside them.

    Cells whose two files say the same kind of CPU, libraries and renderer must be equal: row by row, column by column
    but the wall times, and in what cells without episodes found. Of the others the paired difference is told.

    Args:
        here: folder of the rows that were made again.
        there: folder of those of before.

    Returns:
        compared with what, and "ok": False where rows of the same kind differ.

    Raises:
        FileError: no cell is in both folders.
    """
    from toyshift.diagnostics import read_rows, read_rows_manifest
    from toyshift.diagnostics.reproduction import reproduction_table, reproductions

    names = [path.name for path in whole_files(there, "*.parquet") if (here / path.name).exists()]
    if not names:
        raise FileError(f"no cell of {there} is in {here} yet; run the same command without --tabulate")

    def rows(folder: Path, chosen: list[str]) -> list[Row]:
        # the cell belongs to the name: several train a policy that is called the same
        every = [(Path(name).stem, row) for name in chosen for row in read_rows(folder / name)]
        return [
            dataclasses.replace(row, policy=f"{cell}: {row.policy}", object_set=set_name(row.object_set))
            for cell, row in every
        ]

    facts = {name: [read_rows_manifest(folder / name) for folder in (here, there)] for name in names}
    kinds = {name: other_kind(*both) for name, both in facts.items()}
    found: dict[str, Any] = {}
    for what, chosen in (
        ("same kind", [name for name in names if not kinds[name]]), ("other kind", [n for n in names if kinds[n]]),
    ):
        made = reproductions(rows(here, chosen), rows(there, chosen))
        told = [name for name in chosen if any(FOUND in fact for fact in facts[name])]
        unequal = [name for name in told if facts[name][0].get(FOUND) != facts[name][1].get(FOUND)]
        if told:
            print(f"{what} of CPU and libraries: {len(told) - len(unequal)} of {len(told)} cells found the same")
        if not made and not told:
            continue
        n, equal = sum(x.n for x in made), sum(x.equal for x in made)
        unlike = sum(x.only_here + x.only_there for x in made)
        print(f"{what} of CPU and libraries, {len(chosen)} cells: {equal} of {n} rows are equal but for wall times")
        if unlike:
            print(f"rows that one side lacks: {unlike} (other --trials, or a search that chose otherwise)")
        if reasons := list(dict.fromkeys(reason for name in chosen for reason in kinds[name])):
            print(f"what differs: {'; '.join(reasons)}")
        if not all(x.same for x in made):
            sources = [dict.fromkeys(str(facts[name][side].get("git")) for name in chosen) for side in (0, 1)]
            print(f"source: {', '.join(sources[0])} here, {', '.join(sources[1])} there\n{reproduction_table(made)}")
        same = all(x.same for x in made) and not unequal
        found[what] = {"differs": reasons, "equal": same, "rows": [x.to_json() for x in made], "unequal": unequal}
    ok = found.get("same kind", {"equal": True})["equal"]
    result = {"compared_with": str(there), "ok": ok, **found}
    write_json(here.parent / "comparison.json", result)
    print(f"comparison: {here.parent / 'comparison.json'}")
    return result
