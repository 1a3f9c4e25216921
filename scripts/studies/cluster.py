"""Cells of a study side by side, in processes here or on a Ray cluster: each runs as one worker would run it alone."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path
from typing import Any, Protocol

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import write_json
from toyshift.core.manifest import git_revision
from toyshift.core.workers import Job, Pool, begin, outcome
from toyshift.scripts.studies.options import StudyConfig
from toyshift.scripts.studies.schedule import Cell, Missing, bar, duration, measured, pace, summed_up

SHARED = "all machines must see --out and --results under the same paths"


class HasCells(Protocol):
    """What is needed of a `Study`."""

    clock: Path
    usual: float

    def cells(self) -> list[Cell]: ...

    def is_done(self, cell: Cell) -> bool: ...

    def path(self, name: str) -> Path: ...

    def run(self, cell: Cell) -> None: ...


@dataclasses.dataclass(frozen=True)
class ForWorkers:
    """What a worker must know to run cells of a study.

    Attributes:
        kind: class of the study, made with its options.
        cfg: its options, with one worker that has one cell.
        folder: in which the command was given; what it names is relative to it.
        argv: the command, for the manifests of rows.
        revision: of the source that it was given with; "" where workers are this machine's and read the same files.
    """

    kind: Callable[[StudyConfig], HasCells]
    cfg: StudyConfig
    folder: Path
    argv: tuple[str, ...]
    revision: str


def for_workers(study: HasCells, cfg: StudyConfig) -> ForWorkers:
    """Returns what the workers of a study that runs here must know."""
    alone = dataclasses.replace(cfg, ray="", workers=1, cells_at_once=1)
    return ForWorkers(type(study), alone, Path.cwd(), tuple(sys.argv), "" if cfg.here else git_revision())


@contextlib.contextmanager
def handed(asked: ForWorkers) -> Iterator[ForWorkers]:
    """Opens nothing: a cell's own evaluations would close it. What a cell prints must not end up in --json."""
    sys.stdout = sys.stderr  # of a worker's process
    yield asked


@contextlib.contextmanager
def ready(asked: ForWorkers) -> Iterator[None]:
    """Puts a worker into the place of the process that asked.

    Raises:
        FileError: the study's folder is not the one that it is there.
        ConfigError: the source is another one.
    """
    marker = asked.folder / lock_of(asked.cfg)
    if not marker.exists():
        told = f"{marker.parent} of a worker is not that of `toyshift study`: {marker.name} is missing"
        raise FileError(f"{told}; {SHARED}")
    if asked.revision and (here := git_revision()) != asked.revision:
        raise ConfigError(f"a worker has the source {here}, this machine {asked.revision}; install the same everywhere")
    before, argv = Path.cwd(), sys.argv
    os.chdir(asked.folder)
    sys.argv = list(asked.argv)
    try:
        yield
    finally:
        sys.argv = argv
        os.chdir(before)


def lock_of(cfg: StudyConfig) -> Path:
    """Returns the file that is there while the study runs."""
    return cfg.work_dir / "study.lock"


def run_one(asked: ForWorkers, name: str) -> float:
    """Runs a cell, and returns how long it took [s]."""
    with ready(asked):
        study = asked.kind(asked.cfg)
        cell = next(cell for cell in study.cells() if cell.name == name)
        start = time.monotonic()
        study.run(cell)
        return time.monotonic() - start


def run_cells_elsewhere(
    study: HasCells, cells: Sequence[Cell], asked: ForWorkers, pool: Pool, most: int = 0, minutes: float = 0.0
) -> dict[str, Any]:
    """Runs the cells that are missing on the workers of a pool, each when the cells that it needs are there.

    Args:
        study: says which are there.
        cells: all that are wanted, in their order.
        asked: what a worker must know.
        pool: whose workers run them.
        most: start so many; 0 = all.
        minutes: start none after so many minutes, and wait for those that run; 0 = no limit.

    Raises:
        FileError: a cell's rows did not come to where this process looks for them.
        ToyShiftError: raised by a cell, or a worker died; what is finished is kept.
    """
    job: Job[ForWorkers, str, float] = Job(repr(asked), functools.partial(handed, asked), run_one, "running a cell")
    begun, ran = time.monotonic(), dict[str, None]()
    waiting: dict[Future[Any], Cell] = {}
    wanted, missing = {cell.name for cell in cells}, Missing(cells, study.is_done)

    def next_cell() -> Cell | None:
        if (most and len(ran) >= most) or (minutes and time.monotonic() - begun > 60 * minutes):
            return None
        lacks = (missing.names | {cell.name for cell in waiting.values()}) & wanted
        free = [c for c in cells if c.name in missing.names - ran.keys() and not lacks & {*c.needs}]
        return next((cell for cell in free if missing.look(cell)), None)

    while True:
        while len(waiting) < pool.workers and (cell := next_cell()) is not None:
            ran[cell.name] = None
            waiting[begin(pool, job, cell.name)] = cell
            _tell(study, cells, missing, pool.workers, f"now {cell.name}: {cell.text}")
        if not waiting:
            break
        finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in finished:
            cell = waiting.pop(future)
            seconds = outcome(pool, job, future)
            if not (path := study.path(cell.name)).exists():
                told = f"a worker has run {cell.name}, and {path} is not there"
                raise FileError(f"{told}; {SHARED}")
            write_json(study.clock, measured(study.clock) | {cell.name: round(seconds, 1)})
            missing.ran(cell)
            _tell(study, cells, missing, pool.workers, f"{cell.name} took {duration(seconds)}")
    return summed_up(cells, [*ran], study.is_done)


def _tell(study: HasCells, cells: Sequence[Cell], missing: Missing, workers: int, what: str) -> None:
    """Says how far a study is, and what happens."""
    rest = missing.cells
    left = pace(cells, measured(study.clock), study.usual) * sum(cell.estimate for cell in rest) / workers
    print(f"{bar(cells, rest, left)}; {what}", file=sys.stderr, flush=True)
