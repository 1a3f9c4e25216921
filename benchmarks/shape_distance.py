"""Seconds that `toyshift toys distance` takes the first time and from the cache, in a cache folder of its own.

python benchmarks/shape_distance.py                      toys:train against ycb-like, one process per core
python benchmarks/shape_distance.py toys:train?n=50 toys:test?n=20 --workers 1 --json

Loading the sets is timed apart: what they cost is the business of their sources.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import time

import clocks

from toyshift.core.files import cache_dir
from toyshift.core.workers import core_count
from toyshift.toys import load_objects, set_distance


def main() -> None:
    parser = clocks.options(__doc__)
    parser.add_argument("a", nargs="?", default="toys:train")
    parser.add_argument("b", nargs="?", default="ycb-like")
    parser.add_argument("--workers", type=int, default=core_count())
    args = parser.parse_args()
    from toyshift.toys.compare.distance import surfaces_file

    a, b = load_objects(args.a), load_objects(args.b)
    with tempfile.TemporaryDirectory() as folder:
        objects = cache_dir("objects")  # built meshes may be used, distances may not
        os.environ["TOYSHIFT_CACHE"] = folder
        (cache_dir() / "objects").symlink_to(objects.resolve(), target_is_directory=True)
        clock = [time.perf_counter()]
        for step in (lambda: [surfaces_file(s) for s in (a, b)], *[lambda: set_distance(a, b, args.workers)] * 2):
            step()
            clock.append(time.perf_counter())
    surfaces, first, again = (round(end - start, 3) for start, end in itertools.pairwise(clock))
    asked = {"a": args.a, "b": args.b, "n_a": len(a), "n_b": len(b), "workers": args.workers}
    result = {**asked, "surfaces_s": surfaces, "first_s": first, "cached_s": again}
    print(json.dumps(result) if args.json else "\n".join(f"{name:<11} {value}" for name, value in result.items()))


if __name__ == "__main__":
    main()
