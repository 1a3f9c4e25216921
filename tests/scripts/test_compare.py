"""`toyshift compare` and `toyshift power`, as typed."""

from __future__ import annotations

import json
from pathlib import Path

from toyshift.scripts.cli import main

FILES = Path(__file__).parents[1] / "diagnostics/comparing/files"


def run(capsys, *words: str) -> dict:
    """Runs a command with --json and returns its object."""
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_compare_prints_and_writes(capsys, tmp_path):
    two = [f"act={FILES / 'lerobot_act'}", f"smolvla={FILES / 'lerobot_smolvla'}"]
    options = ["--pairing", "paired", "--split", "object", "--out", str(tmp_path / "out.json")]
    found = run(capsys, "compare", *two, *options)
    assert found["comparisons"][0]["holds"][0]["verdict"] == "better"
    assert [level["name"] for level in found["splits"][0]["levels"]] == ["0", "2", "1"]
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["comparisons"] == found["comparisons"]
    assert main(["compare", *two]) == 0
    out = capsys.readouterr().out
    assert "act - smolvla, on libero_object" in out
    assert "not paired: act and smolvla: lerobot-eval writes no seeds" in out


def test_compare_takes_columns_and_policies(capsys):
    words = ["compare", str(FILES / "trials.csv"), "--columns", "success=ok", "object=item", "start=trial"]
    assert run(capsys, *words)["comparisons"][0]["first"] == "diffusion"
    assert run(capsys, *words, "--policy", "act", "diffusion")["comparisons"][0]["first"] == "act"


def test_compare_refuses(capsys):
    table = str(FILES / "trials.csv")
    for words, told in (
        (["compare", table], "no column success"),
        (["compare", table, "--columns", "success"], "write WHAT=NAME"),
        (["compare", table, "--columns", "success=ok", "--policy", "atc"], "Did you mean 'act'"),
        (["compare", table, "--columns", "success=ok", "--pairing", "pared"], "Did you mean 'paired'"),
        (["compare", str(FILES / "lerobot_act")], "a comparison needs two policies"),
        (["compare"], "needs two policies, and there is none"),
        (["compare", table, "--margin", "0"], "--margin must be from 0.01 to 100"),
        (["power", "--rate", "80"], "needs --difference FLOAT"),
        (["power", "--rate", "80", "--difference", "30"], "110 %"),
        (["power", "--rate", "80", "--difference", "15", "--correlation", "0.9"], "at most"),
    ):
        assert main(words) == 2
        assert told in capsys.readouterr().err


def test_power(capsys):
    found = run(capsys, "power", "--difference", "5", "--rate", "80", "--episodes", "200")["plans"]
    assert [plan["design"]["correlation"] for plan in found] == [0.6, 0.3, 0.0, None]
    assert found[-1]["episodes"] == 906
    assert 0.2 < found[-1]["power"][0] < 0.3
    assert main(["power", "--difference", "15", "--rate", "80"]) == 0
    out = capsys.readouterr().out
    assert "these rates cannot have a correlation of 0.6" in out
    assert max(map(len, out.splitlines())) <= 100
