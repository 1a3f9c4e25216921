"""Times toyshift/Grasp-v0 beside robosuite's Lift, on one machine in one run.

make bench
python benchmarks/vs_robosuite.py --json

Both sides: a Panda, 20 Hz control, random actions, no resets, one process that renders with one thread
(LP_NUM_THREADS=1). Short runs of the two sides take turns, so that a slow spell of the machine meets both; figures are
medians. "State" renders nothing; "images" is one camera at 128x128 with RGB and mask (robosuite: instance segmentation).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import statistics
import sys
import time
from multiprocessing.connection import Connection
from typing import Protocol

from toyshift.core.manifest import manifest
from toyshift.scripts.measure import CONTROL_HZ, IMAGE_SIZE, Stepper, find_gl


class Side(Protocol):
    """Something that steps."""

    def rate(self, seconds: float) -> float: ...


class Lift:
    """robosuite's Lift with a Panda, under random actions."""

    def __init__(self, images: bool, seed: int = 0) -> None:
        import numpy as np
        import robosuite

        # Absent switches keep robosuite's defaults; cameras also bring the renderer with them.
        cameras = {"camera_names": "agentview", "camera_heights": IMAGE_SIZE, "camera_widths": IMAGE_SIZE, "camera_segmentations": "instance"} if images else {}
        self._env = robosuite.make(
            "Lift", robots="Panda", has_renderer=False, has_offscreen_renderer=images, use_camera_obs=images,
            control_freq=int(CONTROL_HZ), horizon=10**9, ignore_done=True, **cameras,
        )
        self._env.reset()
        low, high = self._env.action_spec
        self._actions = np.random.default_rng(seed).uniform(low, high, size=(256, len(low)))  # (256, A)
        self._next = 0
        self.rate(1.0)  # numba compiles in the first steps

    def rate(self, seconds: float) -> float:
        """Steps for so long [s] and returns control steps per second."""
        start, steps = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - start) < seconds:
            self._env.step(self._actions[self._next % len(self._actions)])
            self._next += 1
            steps += 1
        return steps / elapsed


# Per measurement: how its side is made. Our physics step is 2 ms like robosuite's, and 5 ms as an option.
SIDES = {
    "robosuite state": lambda: Lift(images=False),
    "robosuite images": lambda: Lift(images=True),
    "toyshift state 2 ms": lambda: Stepper(images=False, physics_dt=0.002),
    "toyshift state 5 ms": lambda: Stepper(images=False, physics_dt=0.005),
    "toyshift images 2 ms": lambda: Stepper(images=True, physics_dt=0.002),
    "toyshift images 5 ms": lambda: Stepper(images=True, physics_dt=0.005),
}
RATIOS = {
    "state 2 ms": ("toyshift state 2 ms", "robosuite state"),
    "state 5 ms": ("toyshift state 5 ms", "robosuite state"),
    "images 2 ms": ("toyshift images 2 ms", "robosuite images"),
    "images 5 ms": ("toyshift images 5 ms", "robosuite images"),
}


def serve(name: str, pipe: Connection) -> None:
    """Makes one side in its own process (each has its own GL context), then times a run whenever it is asked to."""
    with contextlib.redirect_stdout(sys.stderr):
        side: Side = SIDES[name]()
    pipe.send("ready")
    while (seconds := pipe.recv()) is not None:
        pipe.send(side.rate(seconds))


def measure(repeats: int, seconds: float) -> dict[str, list[float]]:
    """Returns control steps/s of every run, by side."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[str, Connection] = {}
    workers = []
    for name in SIDES:
        pipes[name], far = context.Pipe()
        workers.append(context.Process(target=serve, args=(name, far), daemon=True))
        workers[-1].start()
        far.close()
        print(f"{name}: {pipes[name].recv()}", file=sys.stderr)
    figures: dict[str, list[float]] = {name: [] for name in SIDES}
    for turn in range(repeats):
        for name, pipe in pipes.items():
            pipe.send(seconds)
            figures[name].append(pipe.recv())
        print(f"turn {turn + 1} of {repeats}", file=sys.stderr)
    for pipe, worker in zip(pipes.values(), workers, strict=True):
        pipe.send(None)
        worker.join()
    return figures


def main() -> int:
    """Prints a table, and with --json one JSON object as the last line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7, help="turns per side (default 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one turn [s] (default 1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()

    os.environ["LP_NUM_THREADS"] = "1"
    gl, reasons = find_gl()
    if gl["backend"] is None:
        print(f"no OpenGL ({'; '.join(reasons)}); see `toyshift doctor`", file=sys.stderr)
        return 2
    os.environ["MUJOCO_GL"] = gl["backend"]

    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"the machine is busy (load {load:.1f}): figures will be lower and noisier than on an idle one", file=sys.stderr)
    figures = measure(options.repeats, options.seconds)
    medians = {name: statistics.median(values) for name, values in figures.items()}
    ratios = {name: medians[ours] / medians[theirs] for name, (ours, theirs) in RATIOS.items()}

    print(f"control steps/s at {CONTROL_HZ:.0f} Hz, median of {options.repeats} turns of {options.seconds:g} s; renderer: {gl['renderer']}")
    print(f"{'':<22}{'median':>9}{'lowest':>9}{'highest':>9}")
    for name, values in figures.items():
        print(f"{name:<22}{medians[name]:>9.1f}{min(values):>9.1f}{max(values):>9.1f}")
    for name, ratio in ratios.items():
        print(f"{name:<22}{ratio:>8.1f}x robosuite")
    if options.json:
        print(json.dumps({"ratios": ratios, "medians": medians, "runs": figures, "gl": gl, "load_before": load, "manifest": manifest(vars(options), seed=0)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
