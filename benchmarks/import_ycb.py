"""Times the import of YCB scans: the first time, into an empty cache, and again from it.

python benchmarks/import_ycb.py ../shared/ycb --json

Each turn is a process of its own and loads every object of `ycb:DIR`. Processor time counts the worker processes too and
hardly depends on what else the machine does; wall time does.
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
    """Loads all objects in a process of its own; wall time [s] and processor time [s] without and with starting Python."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", CODE, folder], env=os.environ | {"TOYSHIFT_CACHE": cache}, check=True, stdout=subprocess.PIPE, text=True)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    count, loading, _ = (float(v) for v in out.stdout.split())
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"objects": count, "load_s": loading, "process_s": wall, "processor_s": cpu}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="objects in the official YCB layout")
    parser.add_argument("--repeats", type=int, default=3, help="how often it is read from the cache")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="toyshift-import-") as cache:
        first = turn(options.folder, cache)
        again = [turn(options.folder, cache) for _ in range(options.repeats)]
    best = min(again, key=lambda run: run["load_s"])
    print(f"{first['objects']:.0f} objects, first time   {first['load_s']:7.1f} s   processor {first['processor_s']:7.1f} s   (target 180 s)")
    print(f"{best['objects']:.0f} objects, from cache   {best['load_s']:7.2f} s   processor {best['processor_s']:7.2f} s   (target 2 s; best of {len(again)})")
    if options.json:
        print(json.dumps({"first": first, "from_cache": again, "manifest": manifest({"benchmark": "import_ycb", "folder": options.folder})}))


if __name__ == "__main__":
    main()
