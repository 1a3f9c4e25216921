"""Recorded demonstrations per second of `toyshift collect` (96x96, two cameras with masks, grasp search included) on two workers.

python benchmarks/collect.py --json       the clock, and processor seconds too: on a shared machine only those mean anything
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ASKED = 4.0  # recorded demonstrations/s on two cores


def collect(episodes: int, workers: int, out: Path) -> tuple[float, float]:
    """Collects into a new folder; returns seconds on the clock and of processors, of the program and its workers."""
    command = [sys.executable, "-m", "toyshift.scripts.cli", "collect", "--objects", "toys:train", "--episodes", str(episodes), "--out", str(out), "--workers", str(workers)]
    begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"LP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - begun, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=120)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        # The second collection's extra episodes, without starting up (imports, the first model), which a long collection does once.
        few, many = max(1, args.episodes // 4), max(2, args.episodes)
        wall_few, cpu_few = collect(few, args.workers, Path(temporary) / "few")
        wall_many, cpu_many = collect(many, args.workers, Path(temporary) / "many")
    extra = many - few
    out = {
        "episodes": extra,
        "workers": args.workers,
        "cpu_s_per_demonstration": round((cpu_many - cpu_few) / extra, 3),
        "per_s_of_two_processors": round(2 * extra / (cpu_many - cpu_few), 2),
        "per_s_on_the_clock": round(extra / (wall_many - wall_few), 2) if wall_many > wall_few else None,  # None: too few episodes for this machine's noise
        "per_s_with_start": round(many / wall_many, 2),
        "start_cpu_s": round(cpu_few - few * (cpu_many - cpu_few) / extra, 1),
        "load": round(os.getloadavg()[0], 1),
    }
    print(
        f"{out['per_s_on_the_clock']} demonstrations/s on the clock at load {out['load']} ({out['per_s_with_start']} with starting up), "
        f"{out['per_s_of_two_processors']} of two processors; {ASKED} asked for"
    )
    if args.json:
        print(json.dumps(out))


if __name__ == "__main__":
    main()
