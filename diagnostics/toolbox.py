"""The tables of `docs/toolbox.md`, made from those that the commands read: repairs of training and of data, measures.

`python -m toyshift.diagnostics.toolbox docs/toolbox.md` writes them between the page's marks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from toyshift.augment.registry import AUGMENTATIONS
from toyshift.core.errors import FileError
from toyshift.core.files import atomic_path
from toyshift.diagnostics.measures import ARRAYS, DATASETS, MEASURES, POLICY, ROWS
from toyshift.diagnostics.repair_truths import TriedRepair
from toyshift.policies.repairs import TRAINING_REPAIRS, keys_of

GIVEN = {POLICY: "--policy DIR", DATASETS: "--data DIR DIR", ROWS: "--rows FILE", ARRAYS: "--arrays FILE"}
# What this project found of a repair, by name, and where its interval stands.
FINDINGS = {
    "toward-other": "the hand no longer goes where a planted table tells (quickstart, its setting chosen on that seed)",
    "toward-own": "repaired nothing of a planted table (control of the quickstart, its setting chosen on that seed)",
}
NOT_YET = "not measured yet"


def repairs_table() -> str:
    """Returns the table of repairs of training."""
    rows = []
    for row in TRAINING_REPAIRS:
        needed = "&".join(f"{key}=DIR" for key, value in keys_of(row).items() if value == "...")
        also = f" {row.also}" if row.also else ""
        command = f"`toyshift train --data D --repair {row.name}{f'?{needed}' * bool(needed)}{also} --out P`"
        keys = ", ".join(f"`{key}={value}`" for key, value in keys_of(row).items() if value != "...")
        whole = "yes" if row.whole else "no"
        rows.append((
            row.name, row.does, row.paper, command, keys or "-", row.cost, row.truth, _tried(row),
            row.privileged or "no", whole, FINDINGS.get(row.name, NOT_YET),
        ))  # fmt: skip
    heads = ("name", "what it does", "paper", "command", "keys", "cost", "planted truth", "tried by", "privileged")
    return _table((*heads, "whole batch", "finding here"), rows)


def augmentations_table() -> str:
    """Returns the table of repairs of datasets."""
    rows = []
    for row in AUGMENTATIONS.values():
        keys = ", ".join(f"`{key}={value}`" for key, value in row.keys().items())
        control = "yes" if row.control else "no"
        command = f"`toyshift augment {row.name} SRC DST`"
        finding = FINDINGS.get(row.name, NOT_YET)
        rows.append((row.name, row.what, command, keys or "-", row.needs, control, _tried(row), finding))
    return _table(("name", "what it makes", "command", "keys", "needs", "control", "tried by", "finding here"), rows)


def measures_table() -> str:
    """Returns the table of measures."""
    rows = [
        (m.name, m.question, m.paper, f"`toyshift diagnose {GIVEN[m.needs]} --measure {m.name}`", m.cost)
        for m in MEASURES
    ]
    return _table(("name", "question", "paper", "command", "cost"), rows)


def _tried(repair: TriedRepair) -> str:
    """Returns where a repair's planted truth is tried."""
    return f"the tests (needs {repair.suite})" if repair.suite else "`diagnose --self-test`"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


TABLES = {"repairs of training": repairs_table, "repairs of datasets": augmentations_table, "measures": measures_table}


def made(page: str) -> str:
    """Returns the page with its tables as they are now.

    Raises:
        FileError: the page lacks the marks of a table.
    """
    for name, table in TABLES.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not marks.search(page):
            raise FileError(f"the page has no marks for {name}; write <!-- {name} --> and <!-- end --> on two lines")
        text = table()
        page = marks.sub(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)  # type: ignore[misc]
    return page


if __name__ == "__main__":
    place = Path(sys.argv[1])
    with atomic_path(place) as temporary:
        temporary.write_text(made(place.read_text(encoding="utf-8")), encoding="utf-8")
