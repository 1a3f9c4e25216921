"""The evaluate command: which set was trained on, what is retained of success there, who is flagged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics import read_rows_manifest
from toyshift.scripts import cli
from toyshift.scripts.evaluate import Config

TOYS, NEW = "toys:train?n=2", "toys:test?n=2"


def test_retention_is_printed_where_the_training_set_is_among_the_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--objects", TOYS, "--objects", NEW, "--trials", "2", "--workers", "1", "--out", str(tmp_path)]
    words = ["evaluate", "--policy", "oracle", "--no-references", *words]
    assert cli.main([*words, "--max-steps", "60", "--training-set", TOYS]) == 0
    assert "retention: success over that on the training set" in capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    rates = {(s["policy"], s["object_set"]): s["rate"] for s in results["summaries"]}
    [kept] = results["retention"]
    assert rates["oracle", TOYS] > 0  # the least that the seed must give
    assert kept["ratio"]["value"] == rates["oracle", NEW] / rates["oracle", TOYS]
    assert results["undertrained"] == []  # nobody trained the oracle
    assert read_rows_manifest(tmp_path / "rows.parquet")["trained_on"] == {"oracle": TOYS}
    assert read_rows_manifest(tmp_path / "rows.parquet")["seen"] == {"oracle": {TOYS: None, NEW: None}}
    assert cli.main([*words, "--max-steps", "60"]) == 0  # from the rows that are there; nobody tells the training set
    assert "retention:" not in capsys.readouterr().out


def test_a_training_set_that_is_not_tested_is_refused() -> None:
    with pytest.raises(ConfigError, match="add --objects toys:train"):
        Config(policy=("random",), objects=(NEW,), training_set="toys:train")
