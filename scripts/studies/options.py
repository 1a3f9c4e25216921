"""What the studies share: how much of one is run, and in how many processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from toyshift.core.errors import ConfigError
from toyshift.scripts.options import PER_CORE, Clustered

MOST_SEEDS = 1000  # a study lists all of its cells before it starts


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyConfig(Clustered, cells=0, minutes=0, cells_at_once=1):
    """Options of a study; with one worker it plays in this process, on a cluster each worker runs a cell by itself."""

    out: Path
    """Folder of work: demonstrations, policies, unfinished rows."""
    results: Path | None = None
    """Folder of the rows and of table.json; by default OUT/results."""
    docs: Path | None = None
    """Folder of the study's page, whose generated part is written, and of its figures; by default OUT."""
    from_scratch: bool = False
    """Make the rows of --results anew in a folder of their own, OUT-from-scratch, and compare: on the same kind of CPU
    they must be equal, on another one the difference is told with its interval."""
    cells: int = 0
    """Stop after so many cells; 0 = all."""
    minutes: float = 0.0
    """Start no cell after so many minutes; 0 = no limit."""
    cells_at_once: int = 1
    """Cells that run side by side on this machine, each in a process of its own with one thread; their rows are those
    of --workers 1."""
    dry_run: bool = False
    """Print the plan with estimated times, run nothing."""
    tabulate: bool = False
    """Make table and figure of the rows that are there, run nothing."""
    allow_dirty: bool = False
    """Run although the source has changes that are not committed: the rows then name no revision that made them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.from_scratch and (not self.results or self.docs):
            told = "--from-scratch takes --results DIR, the rows to make anew (such as results/recipe), and no --docs"
            raise ConfigError(told)

        if self.cells_at_once > 1:
            from toyshift.core.workers import core_count

            if self.ray or self.workers > 1:
                other = "--ray" if self.ray else f"--workers {self.workers}"
                told = "has cells side by side on this machine, each in one process"
                raise ConfigError(f"--cells-at-once {self.cells_at_once} {told}; leave out {other}, or it")
            if self.cells_at_once > (most := PER_CORE * core_count()):
                told = f"more than {PER_CORE} for each core only take memory: {most} at most"
                raise ConfigError(f"--cells-at-once is {self.cells_at_once}; {told}")

    @property
    def processes(self) -> int:
        """Of a cell, which has one worker to itself where several run at once."""
        return 1 if self.ray or self.cells_at_once > 1 else super().processes

    @property
    def work_dir(self) -> Path:
        """Where it works: --out, and from scratch a folder beside it."""
        return self.out.with_name(f"{self.out.name}-from-scratch") if self.from_scratch else self.out

    @property
    def results_dir(self) -> Path:
        """Where its rows and its table go."""
        return self.results if self.results and not self.from_scratch else self.work_dir / "results"

    @property
    def docs_dir(self) -> Path:
        """Where its page and its figures go."""
        return self.docs or self.work_dir
