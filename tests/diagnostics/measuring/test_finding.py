"""What every measure returns: JSON without NaN, and text."""

from __future__ import annotations

import json
import math

from toyshift.diagnostics.measuring.finding import Finding, Findings, findings_table, listed, undefined
from toyshift.diagnostics.statistics import Estimate


def test_a_finding_is_json_and_text() -> None:
    line = {"shift": "-", "ratio": math.nan, "objects": 7}
    finding = Finding(
        name="m", subject="p on toys", value=Estimate(0.25, 0.125, 0.5, 8), unit="of objects", null=0.0625,
        verdict="so it is", card="so", table=(line,), caveats=("few",),
    )  # fmt: skip
    kept = json.loads(json.dumps(finding.to_json(), allow_nan=False))
    assert kept["value"] == {"value": 0.25, "low": 0.125, "high": 0.5, "n": 8}
    assert kept["table"] == [{"shift": "-", "ratio": None, "objects": 7}]
    assert (kept["name"], kept["subject"], kept["null"], kept["caveats"]) == ("m", "p on toys", 0.0625, ["few"])
    text = findings_table(Findings((finding, finding)))
    assert text.count("m of p on toys: so it is\n0.250 [0.125, 0.500] of objects; 0.062 if nothing were there") == 2
    assert text.endswith("note: few")


def test_what_is_undefined_says_why_and_nothing_else() -> None:
    finding = undefined("m", "of objects", "one object", n=1)
    assert findings_table(Findings((finding,))) == "m: undefined: one object"
    kept = json.loads(json.dumps(finding.to_json(), allow_nan=False))
    assert kept["value"] == {"value": None, "low": None, "high": None, "n": 1}
    assert kept["null"] is None
    assert kept["card"] == ""


def test_long_lists_are_cut() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed("abcdef") == "a, b, c, d and 2 more"
