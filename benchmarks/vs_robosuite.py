"""Times toyshift/Grasp-v0 beside robosuite's Lift, and beside other peers where asked to, on one machine in one run.

make bench
python benchmarks/vs_robosuite.py --json
python benchmarks/vs_robosuite.py --peers peers/bin/python   also ManiSkill and Gymnasium-Robotics: see README.md

All sides: 20 Hz control (Fetch: 25 Hz), random actions, no resets, one process that renders with one thread
(LP_NUM_THREADS=1). Short runs of the sides take turns, so that a slow spell of the machine meets all; figures are
medians. "State" renders nothing; "images" is one camera at 128x128 with RGB and mask (robosuite: instance masks).
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import clocks
from sides import PEERS, SIDES

from toyshift.core.manifest import manifest
from toyshift.scripts.measure import CONTROL_HZ, fixed_gl

RATIOS = {
    "state 2 ms": ("toyshift state 2 ms", "robosuite state"),
    "state 5 ms": ("toyshift state 5 ms", "robosuite state"),
    "images 2 ms": ("toyshift images 2 ms", "robosuite images"),
    "images 5 ms": ("toyshift images 5 ms", "robosuite images"),
}


def measure(sides: dict[str, str], repeats: int, seconds: float) -> dict[str, list[dict[str, float]]]:
    """Returns rate [control steps/s] and peak memory [MB] of every run, by side.

    Args:
        sides: name -> the Python that runs it.
        repeats: turns per side.
        seconds: length of one turn [s].

    Raises:
        SystemExit: a side does not start or ends early.
    """
    workers: dict[str, subprocess.Popen[str]] = {}
    for name, python in sides.items():
        command = [python, str(Path(__file__).with_name("sides.py")), name]
        workers[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if answer(workers[name], name) != "ready":
            raise SystemExit(f"{name}: not ready")
        print(f"{name}: ready", file=sys.stderr)
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for turn in range(repeats):
        for name, worker in workers.items():
            assert worker.stdin is not None
            worker.stdin.write(f"{seconds}\n")
            worker.stdin.flush()
            figures[name].append(json.loads(answer(worker, name)))
        print(f"turn {turn + 1} of {repeats}", file=sys.stderr)
    for worker in workers.values():
        worker.communicate()
    return figures


def answer(worker: subprocess.Popen[str], name: str) -> str:
    """The next line of a side."""
    assert worker.stdout is not None
    line = worker.stdout.readline().strip()
    if not line:
        raise SystemExit(f"{name} ended with exit code {worker.wait()}; its message is above")
    return line


def main() -> int:
    """Prints a table, and with --json one JSON object as the last line."""
    parser = clocks.options(__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="turns per side (default 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one turn [s] (default 1)")
    parser.add_argument("--peers", default="", help="Python of an environment with mani_skill and gymnasium-robotics")
    options = parser.parse_args()

    gl = fixed_gl()

    load = clocks.load()
    names = [name for name in SIDES if options.peers or name not in PEERS]
    pythons = {name: options.peers if name in PEERS else sys.executable for name in names}
    runs = measure(pythons, options.repeats, options.seconds)
    figures = {name: [run["rate"] for run in values] for name, values in runs.items()}
    memory = {name: max(run["peak_mb"] for run in values) for name, values in runs.items()}
    medians = {name: statistics.median(values) for name, values in figures.items()}
    ratios: dict[str, Any] = {name: medians[ours] / medians[theirs] for name, (ours, theirs) in RATIOS.items()}

    turns = f"median of {options.repeats} turns of {options.seconds:g} s"
    print(f"control steps/s at {CONTROL_HZ:.0f} Hz, {turns}; renderer: {gl['renderer']}")
    print(f"{'':<22}{'median':>9}{'lowest':>9}{'highest':>9}{'peak MB':>9}")
    for name, values in figures.items():
        print(f"{name:<22}{medians[name]:>9.1f}{min(values):>9.1f}{max(values):>9.1f}{memory[name]:>9.0f}")
    for name, ratio in ratios.items():
        print(f"{name:<22}{ratio:>8.1f}x robosuite")
    if options.json:
        measured = {"ratios": ratios, "medians": medians, "peak_mb": memory, "runs": figures}
        facts = {"gl": gl, "load_before": load, "manifest": manifest(vars(options), seed=0)}
        print(json.dumps(measured | facts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
