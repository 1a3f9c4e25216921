"""`make setup`: what it says before it does what takes long."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(not (ROOT / ".ci").is_dir(), reason="the tests run against an installed wheel")

# stands for a Python in which torch is missing; installs nothing, and writes down what it was asked for
PYTHON = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in *'m.version("torch"))'*) echo 2.0+cpu ;; *'m.version("torch")'*) exit 1 ;; esac
"""


def test_it_says_how_long_it_takes_and_how_much_it_needs_first(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "constraints.txt", ".ci/setup.sh"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(PYTHON)
    python.chmod(0o755)
    environment = os.environ | {"LOG": str(tmp_path / "log"), "PYTHON": str(python), "TORCH": "cpu", "VENV": ".venv"}

    def setup() -> list[str]:
        command = [str(tmp_path / ".ci" / "setup.sh")]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr.splitlines()

    first = setup()
    assert "minutes" in first[0]
    assert "3 GB" in first[1]
    assert [line.split(":")[1].split(" of ")[0].strip() for line in first if " of 2: " in line] == ["1", "2"]
    installs = [line for line in (tmp_path / "log").read_text().splitlines() if "pip install" in line]
    assert any("torch" in line for line in installs)
    assert setup() == []  # nothing is missing, nothing is said


def test_a_run_of_the_tests_without_a_browser_says_so_in_a_line_of_its_own(tmp_path: Path) -> None:
    page = ROOT / "tests" / "toys" / "show" / "test_models_page.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{page}::test_browser_draws_every"]
    command[-1] += "_thumbnail_and_cuts_no_size"
    told = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PATH": str(tmp_path)}, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    line = "NOT TESTED IN A BROWSER: 1 test of pages skipped (no Chromium to run: apt install chromium)"
    assert line in told
