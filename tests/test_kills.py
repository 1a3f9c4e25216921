"""kill -9 while rows are saved, while a study writes, while a dataset is finished: the same command comes out equal.

`python benchmarks/kills.py` does the same at ten moments each.
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_killed_and_run_again_it_comes_out_equal(
    benchmark_file: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    names = ("evaluate-short", "study-short", "augment")
    words = [*names, "--moments", "2", "--chained", "--out", str(tmp_path / "kills")]
    file = str(benchmark_file("kills").__file__)  # one process, which imports the libraries once for all that it forks
    done = subprocess.run([sys.executable, file, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in names:
        assert f"{name}: 1 of 1 trials came out equal" in done.stdout
