"""Recorded demonstrations/s of `toyshift collect` on two workers: 96x96, two cameras with masks, grasp search included.

python benchmarks/collect.py --json       the clock, and processor seconds: on a shared machine only those mean anything
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import clocks

ASKED = 4.0  # recorded demonstrations/s on two cores


def collect(episodes: int, workers: int, out: Path) -> clocks.Times:
    """Collects into a new folder; returns how long it took; the program and its workers are children."""
    command = [sys.executable, "-m", "toyshift.scripts", "collect", "--objects", "toys:train"]
    command += ["--episodes", str(episodes), "--out", str(out), "--workers", str(workers)]
    one_thread = os.environ | {"LP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    clock = clocks.Clock()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=one_thread)
    return clock.stopped()


def main() -> None:
    parser = clocks.options(__doc__)
    parser.add_argument("--episodes", type=int, default=120)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        # The second's extra episodes, without starting up (imports, the first model): a long collection does that once.
        few, many = max(1, args.episodes // 4), max(2, args.episodes)
        short, long = (collect(count, args.workers, Path(temporary) / str(count)) for count in (few, many))
    extra, cpu = many - few, long.children - short.children
    out = {
        "episodes": extra, "workers": args.workers, "cpu_s_per_demonstration": round(cpu / extra, 3),
        "per_s_of_two_processors": round(2 * extra / cpu, 2),
        # None: too few episodes for this machine's noise
        "per_s_on_the_clock": round(extra / (long.wall - short.wall), 2) if long.wall > short.wall else None,
        "per_s_with_start": round(many / long.wall, 2), "start_cpu_s": round(short.children - few * cpu / extra, 1),
        "load": round(os.getloadavg()[0], 1),
    }
    print(
        f"{out['per_s_on_the_clock']} demonstrations/s on the clock at load {out['load']} ({out['per_s_with_start']} "
        f"with starting up), {out['per_s_of_two_processors']} of two processors; {ASKED} asked for"
    )
    if args.json:
        print(json.dumps(out))


if __name__ == "__main__":
    main()
