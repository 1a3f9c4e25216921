"""Builds objects in a few child processes: plain `python -m`, so that callers need no `if __name__ == "__main__"`."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from queue import Queue
from typing import NamedTuple

from toyshift.core import interrupts
from toyshift.core.errors import FileError, ToyShiftError
from toyshift.core.progress import track

PROCESSES = 2


class FailedBuild(NamedTuple):
    """What went wrong with one job: its last argument, and class and message of the error."""

    job: str
    kind: str
    message: str


def run_job(job: list[str]) -> FailedBuild | None:
    """Runs ["module:function", argument, id]; returns what went wrong, if anything did."""
    module, function = job[0].split(":")
    try:
        getattr(importlib.import_module(module), function)(job[1], job[2])
    except ToyShiftError as error:
        return FailedBuild(job[2], type(error).__name__, str(error))
    return None


def main() -> None:
    """The child: reads one job a line from stdin, answers with one line each."""
    interrupts.end_with_parent()
    for line in sys.stdin:
        print(json.dumps(run_job(json.loads(line))), flush=True)


def _ask(child: subprocess.Popen[str], job: list[str]) -> FailedBuild | None:
    """Has a child do one job."""
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdin.write(json.dumps(job) + "\n")
        child.stdin.flush()
        answer = json.loads(child.stdout.readline())
    except (BrokenPipeError, ValueError) as error:  # nothing, or half a line, comes from a child that was killed
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        what = f"the process that builds {job[2]!r} from {job[1][:200]} ended unexpectedly (out of memory?)"
        raise FileError(f"{what}; run the command again") from error
    return FailedBuild(*answer) if answer else None


def _answers(jobs: list[list[str]], few_here: bool) -> Iterator[FailedBuild | None]:
    """Does the jobs, and yields what came of them in their order."""
    if few_here and len(jobs) <= PROCESSES:
        yield from map(run_job, jobs)
        return
    command = [sys.executable, "-W", "ignore", "-m", "toyshift.toys.building"]
    environment, pipe = os.environ | {"OMP_NUM_THREADS": "1"}, subprocess.PIPE
    idle: Queue[subprocess.Popen[str]] = Queue()

    def do(job: list[str]) -> FailedBuild | None:
        child = idle.get()
        try:
            return _ask(child, job)
        finally:
            idle.put(child)

    with ThreadPoolExecutor(PROCESSES) as pool, contextlib.ExitStack() as stack:
        for _ in range(min(PROCESSES, len(jobs))):
            with interrupts.kept_from_children():
                child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)
                idle.put(stack.enter_context(child))
                stack.callback(child.kill)
                stack.enter_context(interrupts.first(child.kill))
        yield from pool.map(do, jobs)


def build_in_processes(jobs: list[list[str]], label: str, few_here: bool = True) -> list[FailedBuild]:
    """Does all jobs with a progress bar, and returns what went wrong.

    Args:
        jobs: see `run_job`.
        label: of the bar.
        few_here: do one or two jobs in this process, which is sooner; where it uses several threads, some last bits
            may differ from those of the children, which use one.

    Raises:
        FileError: a child process died.
    """
    return [answer for answer in track(_answers(jobs, few_here), label, len(jobs), "object") if answer]


if __name__ == "__main__":
    main()
