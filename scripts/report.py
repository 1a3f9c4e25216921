"""Writes the HTML report of a run, of a study's results, or of several runs beside each other.

toyshift report runs/quickstart
toyshift report runs/mine --out mine.html
toyshift report runs/*                                 several runs: success and paired differences
toyshift report runs/mine --studies results/dsl results/mask_iou
toyshift report runs/repaired --control plain          all others as repairs of that policy
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.errors import ConfigError
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common, margin=(0.01, 100)):
    """Options of `toyshift report`."""

    run: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUNDIR")]
    """Folder with what evaluate, diagnose, train and study wrote, at any depth; several are compared."""
    out: Path | None = None
    """HTML file; none is RUNDIR/report.html, of several runs runs.html in the folder of the first."""
    title: str = ""
    """Heading; none is the folder's name."""
    training_set: str = ""
    """Object set that all policies were trained on, whatever they say: it is marked, and retention is over success
    there. Nothing is said of other sets for it. None takes what each policy says, where it does."""
    control: str = ""
    """Policy that the others are repairs of: each is shown against it on the starts that both have played. None takes
    what policies in RUNDIR were trained with (--repair), where exactly one was trained without."""
    studies: tuple[Path, ...] = ()
    """Further folders with results of studies (table.json beside rows), such as results/dsl."""
    margin: float = 5.0
    """Of several runs: largest difference that does not matter, in percentage points."""
    no_pictures: bool = False
    """Leave out the pictures of objects (they need OpenGL)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.run:
            raise ConfigError("no RUNDIR was given: name the folder of a run, or several to compare them")
        if len(self.run) > 1 and (self.control or self.training_set):
            option = "--control" if self.control else "--training-set"
            raise ConfigError(f"{option} is of one run; give one RUNDIR, or leave it out")


def main(cfg: Config) -> dict[str, Any]:
    """Writes one self-contained HTML file from everything that a run's folder holds, or that several hold.

    Rows (*.parquet), sensitivity.json, diversity.json, cards (card-*.json, dataset_card.json), results of studies
    (table.json beside rows), metrics.jsonl and *.mp4 are found at any depth. Tables sort and filter, every figure has
    its numbers as CSV inside the page, and it prints: docs/report.md.

    Example: toyshift report runs/quickstart
    Example: toyshift report runs/a runs/b --out both.html
    Example: toyshift report runs/mine --studies results/dsl
    """
    from toyshift.diagnostics import write_report
    from toyshift.diagnostics.reporting.gather import gather
    from toyshift.diagnostics.reporting.gather_runs import gather_runs

    if len(cfg.run) > 1:
        data, path = gather_runs(cfg.run, cfg.title, cfg.studies, cfg.margin / 100), cfg.run[0].parent / "runs.html"
    else:
        (run,) = cfg.run
        data = gather(run, cfg.title, cfg.training_set, not cfg.no_pictures, cfg.control, cfg.studies)
        path = run / "report.html"
    path = write_report(data, cfg.out or path)
    print(f"report: {path}")
    sets = list(dict.fromkeys(s.object_set for s in data.success))
    found: dict[str, Any] = {"out": path, "policies": sorted({s.policy for s in data.success}), "object_sets": sets}
    if data.runs:
        found["runs"] = list(data.runs.runs)
    return found | {"studies": [study.name for study in data.studies], "left_out": list(data.left_out)}
