"""Cards as JSON and as text: every field is there, nothing undefined is a number, commands stay whole."""

from __future__ import annotations

import json
import math

from toyshift.diagnostics.cards import WIDTH, Card, card_text
from toyshift.diagnostics.statistics import Estimate

FULL = Card(
    kind="policy", subject="runs/detpool", cue="table", verdict="It takes the table's texture for the target's place.",
    strength=Estimate(0.41, 0.35, 0.47, 200), unit="degree", null=0.02,
    agree=("one, " * 60, "two"), disagree=("three",), beside=("neither",),
    unknown=("four",), advice=(f"do this\ntoyshift augment cue {'x' * 200} y --factor table",),
    error_rate=Estimate(0.05, 0.01, 0.2, 40),
    table=({"factor": "table", "degree": 0.41},),
)  # fmt: skip
NOTHING = Card(
    kind="dataset", subject="d", cue="", verdict="Nothing can be said.", strength=Estimate(*(math.nan,) * 3, 0),
    unit="", null=math.nan,
)  # fmt: skip


def test_json_has_every_field_and_no_nan() -> None:
    value = json.loads(json.dumps(FULL.to_json(), allow_nan=False))
    assert value["strength"] == {"value": 0.41, "low": 0.35, "high": 0.47, "n": 200}
    assert (value["cue"], value["table"]) == ("table", [{"factor": "table", "degree": 0.41}])
    assert value["error_rate"] == {"value": 0.05, "low": 0.01, "high": 0.2, "n": 40}
    empty = json.loads(json.dumps(NOTHING.to_json(), allow_nan=False))
    assert empty["strength"]["value"] is None
    assert empty["null"] is None
    assert empty["error_rate"] is None


def test_text_is_as_wide_as_a_terminal_but_for_commands() -> None:
    lines = card_text(FULL).splitlines()
    assert "degree 0.41 [0.35, 0.47], by chance 0.02" in lines
    command = next(line for line in lines if "toyshift augment" in line)
    assert command.strip() == FULL.advice[0].splitlines()[1]
    assert max(len(line) for line in lines if line != command) <= WIDTH
    starts = {line[:12].strip() for line in lines[4:]} - {""}
    assert starts == {"for it", "against it", "beside it", "not known", "what to do", "wrong in"}
    assert lines[-1] == "wrong in    5 % [1, 20] of such cards, by the 40 of the exam (docs/exam.md)"


def test_what_is_not_known_is_said_and_not_invented() -> None:
    lines = card_text(NOTHING).splitlines()
    assert lines == ["dataset card: d", "=" * 15, "Nothing can be said.", "wrong in    not measured"]
