"""Times the making of toys on one core: values with ids, union meshes, objects ready for MuJoCo, and the memory of 100,000 toys.

python benchmarks/toys.py
python benchmarks/toys.py --json
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is imported: one core

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

from toyshift.core.manifest import manifest
from toyshift.core.seeds import stream
from toyshift.toys.random_toys.sampling import sample_toy
from toyshift.toys.random_toys.toy import Toy, toy_object

WANTED = {"toys_per_s": 3000.0, "meshes_per_s": 60.0, "objects_per_s": 50.0}


def _toy(index: int) -> Toy:
    return sample_toy(stream(0, 0, index))


def _rate(work: Callable[[int], object], n: int) -> tuple[float, float]:
    """Calls per second of wall time, and of this process's processor time (a shared machine slows the first only)."""
    work(0)
    wall, processor = time.perf_counter(), time.process_time()
    for i in range(n):
        work(i)
    return n / (time.perf_counter() - wall), n / (time.process_time() - processor)


def resident() -> int:
    """Memory of this process [bytes] (Linux)."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--toys", type=int, default=100_000, help="toys generated for the memory figure (default 100,000)")
    args = parser.parse_args()
    pool = [_toy(i) for i in range(200)]
    jobs: dict[str, tuple[Callable[[int], object], int]] = {
        "toys_per_s": (lambda i: _toy(i).id, 3000),
        "meshes_per_s": (lambda i: pool[i].mesh(), 200),
        "objects_per_s": (lambda i: toy_object(pool[i], "bench"), 200),
    }
    result: dict[str, float] = {}
    for name, (work, n) in jobs.items():
        wall, processor = _rate(work, n)
        result[name], result[f"{name}_of_processor_time"] = round(wall, 1), round(processor, 1)
    for i in range(args.toys // 100):
        _toy(i)
    before = resident()
    for i in range(args.toys):
        _ = _toy(i).id
    result["memory_growth_mb"] = round((resident() - before) / 1e6, 2)
    if args.json:
        print(json.dumps(result | {"toys": args.toys, "wanted": WANTED, "manifest": manifest({}, 0)}))
        return
    for name, wanted in WANTED.items():
        print(f"{name:<14} {result[name]:>10.1f}   (processor time {result[f'{name}_of_processor_time']:.1f}; wanted {wanted:.0f})")
    print(f"memory grows by {result['memory_growth_mb']:.2f} MB while {args.toys} toys are generated")


if __name__ == "__main__":
    main()
