"""Milliseconds of the runtime on one core: readings with two images of 640 x 480 in, a chunk out, and where they go.

python benchmarks/runtime.py BUNDLE --chunks 500 --json

The bundle tells its arm and cameras: `toyshift export POLICY --out BUNDLE --data DEMOS`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.errors import ToyShiftError
from toyshift.policies.act.bundle_format import full_contract
from toyshift.policies.runtime import Lens, Readings, Runtime

SIZE = (480, 640)


def milliseconds(work: Callable[[], Any], times: int) -> dict[str, float]:
    """Returns the median and the 99th percentile of a piece of work [ms]."""
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        taken.append(1e3 * (time.perf_counter() - start))
    return {"p50": float(np.median(taken)), "p99": float(np.quantile(taken, 0.99))}


def measure(bundle: Path, chunks: int) -> dict[str, dict[str, float]]:
    """Times whole chunks from readings, the images alone and the network alone."""
    contract, rng = full_contract(bundle), np.random.default_rng(0)
    cameras = list(contract["observation"]["cameras"])
    images = {camera: rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8) for camera in cameras}
    masks = {camera: rng.integers(0, 4, SIZE, dtype=np.uint8) for camera in cameras}
    lenses = {}
    for camera in cameras:
        side = contract["observation"]["cameras"][camera][0]
        focal = SIZE[0] * contract["cameras"][camera]["intrinsics"][0][0] / side
        lenses[camera] = Lens(SIZE, (focal, focal), (SIZE[1] / 2, SIZE[0] / 2))
    with Runtime(bundle, colours="bgr", lenses=lenses, clock=lambda: 0.0) as runtime:
        joints = np.asarray(contract["arm"]["home"])
        readings = Readings(joints, 0.04, images, 0.0, dict.fromkeys(cameras, 0.0), masks)

        def chunk() -> None:
            runtime.reset()
            if runtime.step(readings) is None:  # a robot asks again a period later; here as soon as it is there
                assert runtime._coming is not None
                wait([runtime._coming])
                runtime.step(readings)

        chunk()
        whole = milliseconds(chunk, chunks)
        seen = runtime._observation
        runtime.reset()
        runtime.step(readings)

        def look() -> dict[str, Any]:
            runtime._used = {}
            return seen(readings, joints, 0.5, 0.0)

        parts = {"images": milliseconds(look, chunks)}
        observation = look()
        parts["network"] = milliseconds(lambda: runtime.policy.act(observation), chunks)
    return {"chunk": whole, **parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--chunks", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = measure(asked.bundle, asked.chunks)
    if asked.json:
        print(json.dumps(found))
        return
    for name, times in found.items():
        print(f"{name:<8} p50 {times['p50']:6.2f} ms   p99 {times['p99']:6.2f} ms")


if __name__ == "__main__":
    try:
        main()
    except ToyShiftError as error:
        raise SystemExit(f"runtime: {error}") from error
