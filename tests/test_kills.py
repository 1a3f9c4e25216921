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
@pytest.mark.parametrize(("name", "moments"), [("evaluate-short", 2), ("study-short", 2), ("augment", 1)])
def test_killed_and_run_again_it_comes_out_equal(
    name: str, moments: int, benchmark_file: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    words = [name, "--moments", str(moments), "--chained", "--out", str(tmp_path / "kills")]
    file = str(benchmark_file("kills").__file__)
    done = subprocess.run([sys.executable, file, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{name}: 1 of 1 trials came out equal" in done.stdout
