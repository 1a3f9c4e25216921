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

GIVEN = {POLICY: "--policy DIR", DATASETS: "--data DIR DIR", ROWS: "--rows FILE FILE", ARRAYS: "--arrays FILE"}
MORE = dict.fromkeys(("rule", "coherence", "bits"), " --trained-on DATA") | {"novelty": " --base DIR"}
# What this project found with a measure or of a repair, by name. Each rests on committed rows: numbers carry the mark
# that `benchmarks/check_claims.py` computes again.
_HAND = "quickstart.json#shortcut/policies"
FINDINGS = {
    "success": (
        "on other tables the quickstart's attention lifts 18 of 32 new toys instead of 25, detection pooling 23 of 32 "
        "instead of 24<!-- claim: value of quickstart.json#sensitivity/{attention-mask,detpool}/"
        "{factors/table/under/k,factors/table/under/n,unchanged/k} -->: too few to "
        "tell"
    ),
    "sensitivity": (
        "of the quickstart's policies another table moves attention's actions as 1.10 cm (0.95-1.29) of the target's "
        "way, detection pooling's as 0.71 cm (0.57-0.88)<!-- claim: value of quickstart.json#sensitivity/"
        "{attention-mask,detpool}/factors/table/ratio/{value,low,high} -->; to the background both are robust"
    ),
    "diversity": (
        "two sub-datasets with an azimuth each: fragmentation 2.25 (2.12-2.41)<!-- claim: value of "
        "fragments/diversity.json#diversity/fragmentation/{value,low,high} --> ([fragments.md](fragments.md))"
    ),
    "dependence": (
        "the same two: NMI of position and azimuth 0.391 (0.350-0.431)<!-- claim: value of fragments/diversity.json"
        "#dependence/pairs/relevant=position&irrelevant=azimuth/{nmi,low,high} --> ([fragments.md](fragments.md))"
    ),
    "counterfactual": (
        "of 48 policies of known data it names 16 of 23 with a planted cue, and 0 of 22 without"
        "<!-- claim: value of exam/table.json#verdicts/all/{named%2C of planted,alarms%2C of clean}/{k,n} --> "
        "([exam.md](exam.md))"
    ),
    "consistency": (
        "of real YCB objects, two starts each plain and on another table, 44 % always succeed with one policy of "
        "detection pooling, luck would leave 21 %<!-- claim: percent of measures/consistency.json#consistency/3/"
        "{value/value,null} -->: failures are the object's or its start's ([measures.md](measures.md))"
    ),
    "toward-other": (
        "the hand goes where a planted table tells in 10 % (3-30)<!-- claim: percent of "
        f"{_HAND}/shortcut-repaired/degree/dsl/{{value,low,high}} --> (quickstart, its setting chosen on that seed)"
    ),
    "toward-own": (
        "repairs nothing of a planted table: 98 % (80-100)<!-- claim: percent of "
        f"{_HAND}/shortcut-control/degree/dsl/{{value,low,high}} --> (control of the quickstart, its setting chosen on "
        "that seed)"
    ),
}
NOT_YET = "not run at size"


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
        rows.append((
            row.name, row.what, row.paper, command, keys or "-", row.needs, row.cost, control, row.planted, _tried(row),
            finding,
        ))  # fmt: skip
    heads = ("name", "what it makes", "paper", "command", "keys", "needs", "cost", "control", "planted truth")
    return _table((*heads, "tried by", "finding here"), rows)


def measures_table() -> str:
    """Returns the table of measures."""
    rows = [
        (
            m.name, m.question, m.paper,
            f"`toyshift diagnose {GIVEN[m.needs]} --measure {m.name}{MORE.get(m.name, '')}`",
            m.cost, m.planted, FINDINGS.get(m.name, NOT_YET),
        )
        for m in MEASURES
    ]  # fmt: skip
    return _table(("name", "question", "paper", "command", "cost", "planted truth", "finding here"), rows)


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
