"""Cells of a study: each is run once and its rows are kept; a stopped study goes on with the first that is missing."""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import json_hash, locked, read_json, write_text
from toyshift.core.manifest import DIRTY, git_revision
from toyshift.core.runs import claim, differences, found
from toyshift.core.workers import Pool, ray_package, ray_pool, worker_pool
from toyshift.scripts.studies.again import FOUND, compare_with
from toyshift.scripts.studies.options import StudyConfig
from toyshift.scripts.studies.schedule import Cell, choose, plan, run_cells

PLAY = 0.21  # seconds of one core per episode, for estimates until cells have been measured
TEST_SEED = 1000  # of test episodes, apart from the demonstrations'


def training_speed(pooling: str) -> float:
    """Returns the samples of two images of 96 pixels that a policy learns from in a second of one core, for estimates.

    Measured of detection pooling and of attention; the others, which encode whole images too, are taken for the latter.
    """
    return 1400.0 if pooling == "detpool" else 650.0


class Study(abc.ABC):
    """A study's cells, and what is there of them.

    Attributes:
        name: its word behind `toyshift study`.

    Args:
        cfg: what is asked for.
        usual: how many times as long as estimated cells take, until some have been measured; nan where nobody knows.
    """

    name: ClassVar[str]

    def __init__(self, cfg: StudyConfig, usual: float = 1.0) -> None:
        # work first: where results lie inside, a kill between the two must not leave a filled folder of nobody
        self.folders, self.rows = (cfg.work_dir, cfg.results_dir), cfg.results_dir / "rows"
        self.clock, self.usual = cfg.work_dir / "seconds.json", usual

    def path(self, name: str) -> Path:
        """Returns where the rows of a cell are kept."""
        return self.rows / _file(name)

    def settings(self) -> dict[str, Any]:
        """Returns what decides the rows, however many there are; {} where every cell says its own."""
        return {}

    @abc.abstractmethod
    def cells(self) -> list[Cell]:
        """Returns all cells in the order in which they run."""

    def is_done(self, cell: Cell) -> bool:
        """Says whether a cell's rows are there."""
        return self.path(cell.name).exists()

    @abc.abstractmethod
    def check(self) -> None:
        """Finds what is missing before hours are spent, and marks the folders."""

    @abc.abstractmethod
    def run(self, cell: Cell) -> None:
        """Runs a cell and keeps its rows; every part of it goes on where it was."""

    @abc.abstractmethod
    def tabulate(self) -> dict[str, Any]:
        """Makes table, page and figure of the rows that are there; returns the table."""

    def conduct(self, cfg: StudyConfig, only: Sequence[str] = ()) -> dict[str, Any]:
        """Plans, runs or tabulates the study, as its options say; `only` as of `choose`.

        Raises:
            ConfigError: it is to run, and the source has changes that are not committed; or the rows that are to be
                made anew have other settings.
            FileError: there are no such rows; or a cluster's workers do not see the folders.
            MissingDependencyError: it is to run on a cluster, and Ray is not installed.
        """
        if cfg.tabulate:
            made = self.tabulate()
            return compare_with(self.rows, cfg.results / "rows") if cfg.from_scratch and cfg.results else made
        there = cfg.results if cfg.from_scratch else None
        if there:
            self.require_settings(there)
            known = [cell for cell in self.cells() if (there / "rows" / _file(cell.name)).exists()]
            if not known:
                raise FileError(f"{there / 'rows'} holds no rows of this study to make anew")
            cells = choose(known, only)
        else:
            cells = choose(self.cells(), only)
        if cfg.dry_run:
            return plan(cells, self.is_done, self.clock, self.usual, cfg.cells_at_once)
        if (revision := git_revision()).endswith(DIRTY) and not cfg.allow_dirty:
            told = f"the source is {revision}: with changes that are not committed nobody can make these rows again"
            raise ConfigError(f"{told}; commit them (`git status`), or run with --allow-dirty")
        if cfg.ray:
            ray_package()  # before anything is written
        self.check()
        with locked(cfg.work_dir / "study"):
            if cfg.ray or cfg.cells_at_once > 1:
                from toyshift.scripts.studies.cluster import for_workers, run_cells_elsewhere

                with ray_pool(cfg.ray, cfg.workers) if cfg.ray else worker_pool(cfg.cells_at_once) as pool:
                    done = run_cells_elsewhere(self, cells, for_workers(self, cfg), pool, cfg.cells, cfg.minutes)
            else:
                done = run_cells(cells, self.run, self.is_done, self.clock, cfg.cells, cfg.minutes, self.usual)
        made = done | {"table": self.tabulate()}
        return made | compare_with(self.rows, there / "rows") if there else made

    def prepare(self, *object_sets: str) -> None:
        """Finds what is missing before hours are spent (GL, the objects), and marks the folders."""
        from toyshift.core.graphics import gl_backend
        from toyshift.toys import load_objects

        gl_backend()
        for objects in object_sets:
            load_objects(objects)
        self.claim()

    def require_settings(self, folder: Path) -> None:
        """Refuses rows of other settings than are asked for.

        Raises:
            ConfigError: names the options that differ.
        """
        if (marker := folder / "settings.json").exists():
            require_equal(folder, self.settings(), read_json(marker)["settings"])

    def claim(self) -> None:
        """Marks the folders as this study's, if none of them belongs to another."""
        settings = self.settings()
        key = json_hash(settings)
        markers = [folder / "settings.json" for folder in self.folders]
        for marker in markers:
            found(marker, key, "a study", f"toyshift study {self.name}", settings)
        for marker in markers:
            if not marker.exists():
                claim(marker, key, settings)


def require_equal(rows: Path, now: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    """Raises ConfigError where rows were made with other options than are asked for; names those that differ."""
    if different := differences(now, there):
        told = f"the rows of {rows} were made with other options ({'; '.join(different)})"
        raise ConfigError(f"{told}; give those that they were made with")


def pool_of(processes: int) -> contextlib.AbstractContextManager[Pool | None]:
    """Returns so many processes for a cell's evaluations; none for one, which plays in this one."""
    return worker_pool(processes) if processes > 1 else contextlib.nullcontext()


def made_once(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Waits until no other cell makes a folder that several share, or works in it; another worker may run that."""
    return locked(folder.with_name(f"{folder.name}.made"))


def _file(cell: str) -> str:
    return f"{cell.replace('/', '_')}.parquet"


def write_page(page: Path, study: str, results: Path, made: str) -> None:
    """Puts what is made of a study's rows between two lines of a Markdown page; makes the page where there is none.

    The first line says the command, and so whose rows a page holds: others are refused.

    Raises:
        FileError: the page lacks the lines.
    """
    command = f"toyshift study {study} --results {results} --docs {page.parent} --tabulate"
    write_made(page, command, made)


def write_made(page: Path, command: str, made: str) -> None:
    """Puts what a command makes between two lines of a Markdown page, of which the first says it; see `write_page`."""
    begin, end = f"<!-- made by `{command}` -->", "<!-- end of what is made -->"
    text = page.read_text(encoding="utf-8") if page.exists() else f"{begin}\n{end}\n"
    if begin not in text or end not in text:
        told = f"{page} lacks the lines {begin!r} and {end!r}, between which the table goes"
        raise FileError(f"{told}: it holds other rows; leave out --docs, or give another folder")
    before, _, rest = text.partition(begin)
    write_text(page, f"{before}{begin}\n{made}\n{end}{rest.partition(end)[2]}")


def keep_found(path: Path, found: Mapping[str, Any], made_by: Mapping[str, Any]) -> None:
    """Keeps what a cell found that plays no episodes, JSON-able, as a rows file without rows.

    Args:
        path: of the cell's rows.
        found: what it found.
        made_by: its manifest.
    """
    from toyshift.diagnostics import write_rows

    write_rows(path, [], {**made_by, FOUND: dict(found)})


def found_in(path: Path) -> dict[str, Any]:
    """Returns what `keep_found` kept."""
    from toyshift.diagnostics import read_rows_manifest

    return dict(read_rows_manifest(path)[FOUND])


def no_rows(folder: Path, words: str) -> FileError:
    """Returns the error that there is nothing to tabulate yet; `words` are those of the study and what it needs."""
    return FileError(f"{folder / 'rows'} holds no rows yet; run `toyshift study {words} --results {folder}` first")
