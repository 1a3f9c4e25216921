"""`benchmarks/exactness.py`: differences are counted as planted, and our own ways are equal bit for bit."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import FileError
from toyshift.diagnostics.rows import Row, read_rows, read_rows_manifest, write_rows
from toyshift.diagnostics.statistics import wilson
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv


@pytest.fixture
def exactness(benchmark_file: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = Path(__file__).parents[1] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))  # it imports its ways from beside it
    before = list(sys.path)
    yield benchmark_file("exactness")
    sys.path[:] = before


def rows_of(successes: list[bool], seed: int = 0) -> list[Row]:
    return [
        Row("p", "", "s", f"o{i % 3}", seed, i, won, 0.3, 9, "", "", 0.0, purpose="test")
        for i, won in enumerate(successes)
    ]  # fmt: skip


def test_planted_differences_are_counted(exactness: Any) -> None:
    there = rows_of([True, True, False, False, True, True])
    here = list(there)
    assert exactness.compared(here, there)["equal"] == 6
    here[1] = dataclasses.replace(here[1], success=False, failure="slipped")
    here[2] = dataclasses.replace(here[2], max_height=np.nextafter(0.3, 1))  # one bit
    here[3] = dataclasses.replace(here[3], wall_s=9.0, trials=5)  # says nothing of the episode
    found = exactness.compared(here[:5], there)
    assert (found["n"], found["outcomes"], found["equal"]) == (5, 1, 3)
    assert (found["columns"]["failure"], found["columns"]["max_height"]) == (1, 1)
    assert found["largest_height"] == np.nextafter(0.3, 1) - 0.3
    assert found["outcomes_95"] == list(wilson(1, 5))
    assert found["paired"]["difference"]["value"] == pytest.approx(-1 / 5)
    assert (found["success"], found["beside"]) == (2 / 5, 3 / 5)


def test_the_table_is_of_the_rows_and_says_what_was_not_run(exactness: Any, tmp_path: Path) -> None:
    rows = tmp_path / "rows"
    there, seeds = rows_of([True, False, True]), [dataclasses.replace(x, seed=1000 + i, episode=0)
                                                  for i, x in enumerate(rows_of([True, False]))]  # fmt: skip
    for name, held in (("evaluate", there), ("sb3", there), ("lerobot-reference", seeds), ("lerobot", seeds[:1])):
        write_rows(rows / f"{name}.parquet", held, {"versions": {"numpy": "1"}})
    (tmp_path / "docs").mkdir()
    argv = ["--results", str(tmp_path), "--docs", str(tmp_path / "docs"), "--tabulate"]
    assert exactness.main(argv)["ok"] is True
    page = (tmp_path / "docs" / "exactness.md").read_text()
    assert "| 3 | 0 | 3<!-- claim: value of exactness/table.json#ways/sb3/{n,outcomes,equal} --> |" in page
    table = json.loads((tmp_path / "table.json").read_text())["ways"]
    assert {name: x["n"] for name, x in table.items()} == {"sb3": 3, "lerobot": 1}
    write_rows(rows / "sb3.parquet", [*there[:2], dataclasses.replace(there[2], steps=8)], {"versions": {"numpy": "1"}})
    assert exactness.main(argv)["ok"] is False  # physics is shared, and not a bit may differ
    write_rows(rows / "sb3.parquet", there, {"versions": {"numpy": "2"}})
    with pytest.raises(FileError, match="sb3 and evaluate were played with other versions"):
        exactness.main(argv)
    (rows / "evaluate.parquet").unlink()
    with pytest.raises(FileError, match=r"evaluate\.parquet is not there, beside which sb3 is held"):
        exactness.main(argv)


def test_a_way_whose_python_is_missing_says_why_and_how_to_get_it(exactness: Any, tmp_path: Path) -> None:
    args = argparse.Namespace(lerobot_python=str(tmp_path / "none"), vla_eval_python=sys.executable)
    python, why = exactness.python_of(args, "lerobot")
    assert python == ""
    assert "`make test-interop` makes it, --lerobot-python names another" in why
    assert exactness.python_of(args, "") == (sys.executable, "")
    for wrong in (["--policy", "p", "--ways", "telepathy"], [], ["--policy", "p", "--starts", "0"]):
        with pytest.raises(SystemExit):
            exactness.parse(wrong)


def test_our_own_ways_are_equal_bit_for_bit_and_go_on_where_they_were(
    exactness: Any, tmp_path: Path, grasp_policy: Callable[..., Path]
) -> None:
    objects = "toys:train?n=2"
    env = GraspEnv(EnvConfig(objects=objects, image_size=16))
    policy = grasp_policy(tmp_path / "p", env, pooling="detpool", chunk=8, execute=8)
    env.close()
    words = ["--policy", str(policy), "--objects", objects, "--seed", "3", "--results", str(tmp_path)]
    for way in ("evaluate", "gymnasium", "make_vec", "sb3"):
        pytest.importorskip("stable_baselines3")
        exactness.work(exactness.parse([*words, "--starts", "1", "--work", way]))
    found = exactness.tabulate(tmp_path)
    assert {name: (x["n"], x["equal"]) for name, x in found.items()} == dict.fromkeys(
        ("gymnasium", "make_vec", "sb3"), (1, 1)
    )
    path = exactness.rows_path(tmp_path, "evaluate")
    marked = [dataclasses.replace(row, wall_s=-1.0) for row in read_rows(path)]
    write_rows(path, marked, read_rows_manifest(path))
    exactness.work(exactness.parse([*words, "--starts", "2", "--work", "evaluate"]))
    rows = read_rows(path)
    assert [(row.episode, row.trials) for row in rows] == [(0, 2), (1, 2)]
    assert rows[0].wall_s == -1.0  # it was not played again
    with pytest.raises(FileError, match="root_seed 3 instead of 4"):
        exactness.work(exactness.parse([*words[:4], *words[6:], "--seed", "4", "--work", "evaluate"]))
