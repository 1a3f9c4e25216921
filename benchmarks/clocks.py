"""What benchmarks share: options, clocks of processors and the wall, memory of this process, load of the machine.

Machines are shared: processor time hardly depends on what others do there, time on the wall does.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple


def options(doc: str | None) -> argparse.ArgumentParser:
    """Returns a parser that shows a benchmark's docstring as it is, and knows --json."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return parser


class Times(NamedTuple):
    """Seconds: of this process's processors, of those of its children that have ended, and on the wall."""

    cpu: float
    children: float
    wall: float

    def rates(self, count: int, digits: int | None = None) -> dict[str, float]:
        """Returns how many of `count` things were done per second of this process's processors and of the wall."""
        return {"per_cpu_s": round(count / self.cpu, digits), "per_wall_s": round(count / self.wall, digits)}


class Clock:
    """Runs since it was made."""

    def __init__(self) -> None:
        self._start = self._now()

    def stopped(self) -> Times:
        """Returns how long it has run."""
        return Times(*(now - start for now, start in zip(self._now(), self._start, strict=True)))

    @staticmethod
    def _now() -> tuple[float, float, float]:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time(), used.ru_utime + used.ru_stime, time.perf_counter()


def private_mb() -> float:
    """Returns this process's private memory (RssAnon)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def resident_mb() -> float:
    """Returns this process's resident memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def load() -> float:
    """Returns the machine's load, and warns of one that spoils figures."""
    busy = os.getloadavg()[0]
    if busy > 0.5:
        print(f"the machine is busy (load {busy:.1f}): figures will be lower and noisier", file=sys.stderr)
    return busy
