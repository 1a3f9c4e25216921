"""Builds objects in a few child processes: plain `python -m`, so that callers need no `if __name__ == "__main__"`."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import Empty, Queue
from typing import NamedTuple

from toyshift.core.errors import FileError, ToyShiftError
from toyshift.core.progress import Progress

PROCESSES = 2


class Problem(NamedTuple):
    """What went wrong with one job: its last argument, and class and message of the error."""

    job: str
    kind: str
    message: str


def run_job(job: list[str]) -> Problem | None:
    """Runs ["module:function", argument, id]; returns what went wrong, if anything did."""
    module, function = job[0].split(":")
    try:
        getattr(importlib.import_module(module), function)(job[1], job[2])
    except ToyShiftError as error:
        return Problem(job[2], type(error).__name__, str(error))
    return None


def main() -> None:
    """The child: reads one job a line from stdin, answers with one line each."""
    for line in sys.stdin:
        answer = run_job(json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _drain(jobs: Queue[list[str]], done: Queue[Problem | None]) -> None:
    """Feeds one child until no job is left."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "toyshift.toys.building"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        while True:
            try:
                job = jobs.get_nowait()
            except Empty:
                return
            try:
                child.stdin.write(json.dumps(job) + "\n")
                child.stdin.flush()
                line = child.stdout.readline()
            except BrokenPipeError:
                line = ""
            if not line:
                raise FileError(f"the process that builds {job[2]!r} from {job[1][:200]} ended unexpectedly (out of memory?); run the command again")
            answer = json.loads(line)
            done.put(Problem(*answer) if answer else None)
    finally:
        child.stdin.close()
        child.stdout.close()
        child.wait()


def build_in_processes(jobs: list[list[str]], label: str) -> list[Problem]:
    """Runs all jobs with a progress bar, in this process where there are few, and returns what went wrong.

    Raises:
        FileError: a child process died.
    """
    problems: list[Problem] = []
    with Progress(label, len(jobs), "object") as bar:
        if len(jobs) <= PROCESSES:
            for job in jobs:
                answer = run_job(job)
                problems += [answer] if answer else []
                bar.update()
            return problems
        waiting: Queue[list[str]] = Queue()
        done: Queue[Problem | None] = Queue()
        for job in jobs:
            waiting.put(job)
        with ThreadPoolExecutor(PROCESSES) as pool:
            drains = [pool.submit(_drain, waiting, done) for _ in range(PROCESSES)]
            finished = 0
            while finished < len(jobs) and (not done.empty() or any(not d.done() for d in drains)):
                try:
                    answer = done.get(timeout=0.2)
                except Empty:
                    continue
                problems += [answer] if answer else []
                finished += 1
                bar.update()
            for drain in as_completed(drains):
                drain.result()
    return problems


if __name__ == "__main__":
    main()
