"""What the studies share: how much of one is run, and in how many processes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from toyshift.scripts.options import Parallel


@dataclasses.dataclass(frozen=True, kw_only=True)
class StudyConfig(Parallel, cells=0, minutes=0):
    """Options of a study; with one worker it plays in this process."""

    out: Path
    """Folder of work: demonstrations, policies, unfinished rows."""
    results: Path
    """Folder of the rows and of table.json, small enough to commit."""
    docs: Path = Path("docs")
    """Folder of the study's page, whose generated part is written, and of its figure."""
    cells: int = 0
    """Stop after so many cells; 0 = all."""
    minutes: float = 0.0
    """Start no cell after so many minutes; 0 = no limit."""
    dry_run: bool = False
    """Print the plan with estimated times, run nothing."""
    tabulate: bool = False
    """Make table and figure of the rows that are there, run nothing."""
    allow_dirty: bool = False
    """Run although the source has changes that are not committed: the rows then name no revision that made them."""
