"""Builds in child processes: errors come back by name, and a child that dies is an error that names the remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toyshift.core.errors import FileError, MeshError
from toyshift.toys.building import FailedBuild, build_in_processes

JOBS = """
import os
from toyshift.core.errors import MeshError

def build(argument, name):
    if argument == "die":
        os._exit(1)
    if argument == "fail":
        raise MeshError(f"{name} is flat")
    open(os.path.join(argument, name), "w").close()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "their_jobs.py").write_text(JOBS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    return "their_jobs:build"


@pytest.mark.parametrize("count", [2, 6])
def test_all_jobs_are_done_and_those_that_fail_come_back(tmp_path: Path, place: str, count: int) -> None:
    jobs = [[place, str(tmp_path), f"{k}.txt"] for k in range(count - 1)]
    failed = build_in_processes([*jobs[:1], [place, "fail", "sheet"], *jobs[1:]], "building")
    assert failed == [FailedBuild("sheet", MeshError.__name__, "sheet is flat")]
    assert len(list(tmp_path.glob("*.txt"))) == count - 1


def test_a_child_that_dies_is_named_with_the_remedy(place: str, tmp_path: Path) -> None:
    jobs = [[place, str(tmp_path), "a.txt"], *[[place, "die", f"big{k}"] for k in range(6)]]
    with pytest.raises(FileError, match=r"builds 'big0' from die ended unexpectedly .* run the command again"):
        build_in_processes(jobs, "building")
