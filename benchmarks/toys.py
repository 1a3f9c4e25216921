"""Times the making of toys on one core (values with ids, meshes, objects for MuJoCo), and the memory of 100,000 toys.

python benchmarks/toys.py
python benchmarks/toys.py --json
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before NumPy is imported: one core

import json
from collections.abc import Callable

import clocks

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
    clock = clocks.Clock()
    for i in range(n):
        work(i)
    times = clock.stopped()
    return n / times.wall, n / times.cpu


def main() -> None:
    parser = clocks.options(__doc__)
    parser.add_argument("--toys", type=int, default=100_000, help="toys of the memory figure (default 100,000)")
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
    before = clocks.resident_mb()
    for i in range(args.toys):
        _ = _toy(i).id
    result["memory_growth_mb"] = round(clocks.resident_mb() - before, 2)
    if args.json:
        print(json.dumps(result | {"toys": args.toys, "wanted": WANTED, "manifest": manifest({}, 0)}))
        return
    for name, wanted in WANTED.items():
        processor = result[f"{name}_of_processor_time"]
        print(f"{name:<14} {result[name]:>10.1f}   (processor time {processor:.1f}; wanted {wanted:.0f})")
    print(f"memory grows by {result['memory_growth_mb']:.2f} MB while {args.toys} toys are generated")


if __name__ == "__main__":
    main()
