"""Times the import of YCB scans: the first time, into an empty cache, and again from it.

python benchmarks/import_ycb.py ../shared/ycb --json

Each turn is a process of its own and loads every object of `ycb:DIR`. Processor time counts the worker processes too
and hardly depends on what else the machine does; wall time does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

import clocks

from toyshift.core.manifest import manifest

CODE = """
import sys, time
start = time.perf_counter()
from toyshift.toys import load_objects
imported = time.perf_counter() - start
objects = load_objects("ycb:" + sys.argv[1])
print(len([o for o in objects]), time.perf_counter() - start - imported, imported)
"""


def turn(folder: str, cache: str) -> dict[str, float]:
    """Loads all objects in a process of its own; wall and processor time [s] without and with starting Python."""
    command, environment = [sys.executable, "-c", CODE, folder], os.environ | {"TOYSHIFT_CACHE": cache}
    clock = clocks.Clock()
    out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    times = clock.stopped()
    count, loading, _ = (float(v) for v in out.stdout.split())
    return {"objects": count, "load_s": loading, "process_s": times.wall, "processor_s": times.children}


def main() -> None:
    parser = clocks.options(__doc__)
    parser.add_argument("folder", help="objects in the official YCB layout")
    parser.add_argument("--repeats", type=int, default=3, help="how often it is read from the cache")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="toyshift-import-") as cache:
        first = turn(options.folder, cache)
        again = [turn(options.folder, cache) for _ in range(options.repeats)]
    best = min(again, key=lambda run: run["load_s"])
    for run, when, target in ((first, "first time", "180 s"), (best, "from cache", f"2 s; best of {len(again)}")):
        times = f"{run['load_s']:7.2f} s   processor {run['processor_s']:7.2f} s"
        print(f"{run['objects']:.0f} objects, {when}   {times}   (target {target})")
    if options.json:
        facts = manifest({"benchmark": "import_ycb", "folder": options.folder})
        print(json.dumps({"first": first, "from_cache": again, "manifest": facts}))


if __name__ == "__main__":
    main()
