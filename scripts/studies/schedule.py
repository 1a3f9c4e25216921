"""The cells of a study in order: which are wanted, how far it is, how long the rest takes; and running them here."""

from __future__ import annotations

import dataclasses
import fnmatch
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.errors import UnknownNameError
from toyshift.core.files import read_json, write_json

BAR = 24


@dataclasses.dataclass(frozen=True)
class Cell:
    """One piece of a study.

    Attributes:
        name: of its rows' file.
        text: what it is, for people.
        estimate: how long it takes by rule of thumb [s].
        needs: names of cells that must be there before.
    """

    name: str
    text: str
    estimate: float
    needs: tuple[str, ...] = ()


def choose(cells: Sequence[Cell], only: Sequence[str]) -> list[Cell]:
    """Returns the cells whose names match a pattern, and all that these need, in the study's order; all without one.

    Raises:
        UnknownNameError: a pattern matches no cell.
    """
    if not only:
        return [*cells]
    by_name, wanted = {cell.name: cell for cell in cells}, set[str]()
    for pattern in only:
        found = [name for name in by_name if fnmatch.fnmatchcase(name, pattern)]
        if not found:
            raise UnknownNameError("cell", pattern, [*by_name])
        while found:
            if (name := found.pop()) not in wanted:
                wanted.add(name)
                found += [need for need in by_name[name].needs if need in by_name]
    return [cell for cell in cells if cell.name in wanted]


def duration(seconds: float) -> str:
    """Returns a time as "45 s", "12 min" or "3.4 h"; "an unknown time" for nan."""
    if math.isnan(seconds):
        return "an unknown time"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def pace(cells: Sequence[Cell], seconds: Mapping[str, float], usual: float) -> float:
    """Returns how many times as long as estimated the measured cells took; `usual` without any."""
    pairs = [(seconds[cell.name], cell.estimate) for cell in cells if cell.name in seconds]
    return sum(s for s, _ in pairs) / sum(e for _, e in pairs) if pairs else usual


def measured(clock: Path) -> dict[str, float]:
    """Returns how long finished cells took, by name [s]."""
    return dict(read_json(clock)) if clock.exists() else {}


class Missing:
    """Which cells are missing. To look at all of them takes seconds where there are hundreds, so that is done once.

    Args:
        cells: all that are wanted.
        is_done: whether a cell's rows are there.
    """

    def __init__(self, cells: Sequence[Cell], is_done: Callable[[Cell], bool]) -> None:
        self._all, self._is_done = cells, is_done
        self.names = {cell.name for cell in cells if not is_done(cell)}

    @property
    def cells(self) -> list[Cell]:
        """They, in their order."""
        return [cell for cell in self._all if cell.name in self.names]

    def look(self, cell: Cell) -> bool:
        """Looks at one cell again, and says whether it is missing."""
        if done := self._is_done(cell):
            self.names.discard(cell.name)
        else:
            self.names.add(cell.name)
        return not done

    def ran(self, cell: Cell) -> None:
        """Looks again at a cell that was run, and at those that need it, which it may have made out of date."""
        for other in self._all:
            if other.name == cell.name or cell.name in other.needs:
                self.look(other)


def plan(
    cells: Sequence[Cell], is_done: Callable[[Cell], bool], clock: Path, usual: float = 1.0, at_once: int = 1
) -> dict[str, Any]:
    """Prints what would be run, and how long by the times in `clock`; returns the same.

    Arguments as of `run_cells`; `at_once` cells run side by side.
    """
    factor = pace(cells, measured(clock), usual)
    missing = Missing(cells, is_done)
    for cell in cells:
        state = f"about {duration(factor * cell.estimate)}" if cell.name in missing.names else "done"
        print(f"{cell.name:<34} {state:<14} {cell.text}")
    left = factor * sum(cell.estimate for cell in missing.cells) / at_once
    beside = f", {at_once} side by side" if at_once > 1 else ""
    print(f"{len(missing.names)} of {len(cells)} cells to run, about {duration(left)}{beside}")
    names = {"cells": [cell.name for cell in cells], "missing": [cell.name for cell in missing.cells]}
    return {**names, "seconds_left": None if math.isnan(left) else round(left)}


def run_cells(
    cells: Sequence[Cell], run: Callable[[Cell], None], is_done: Callable[[Cell], bool], clock: Path, most: int = 0,
    minutes: float = 0.0,
    usual: float = 1.0,
) -> dict[str, Any]:
    """Runs the cells that are missing, in order.

    Args:
        cells: all that are wanted.
        run: runs one and keeps its rows; goes on where it was when it was interrupted before.
        is_done: whether a cell's rows are there.
        clock: JSON file of how long finished cells took [s]; those of this call are added.
        most: stop after so many cells; 0 = all.
        minutes: start no cell after so many minutes; 0 = no limit.
        usual: how many times as long as estimated cells take, until some have been measured; nan where nobody knows.
    """
    begun = time.monotonic()
    ran: list[str] = []
    missing = Missing(cells, is_done)
    for cell in cells:
        if not missing.look(cell):
            continue
        if (most and len(ran) >= most) or (minutes and time.monotonic() - begun > 60 * minutes):
            break
        factor = pace(cells, measured(clock), usual)
        left = factor * sum(c.estimate for c in missing.cells)
        now = f"{cell.name}: {cell.text} (about {duration(factor * cell.estimate)})"
        print(f"{bar(cells, missing.cells, left)}; now {now}", file=sys.stderr, flush=True)
        start = time.monotonic()
        run(cell)
        write_json(clock, measured(clock) | {cell.name: round(time.monotonic() - start, 1)})
        missing.ran(cell)
        ran.append(cell.name)
    return summed_up(cells, ran, is_done)


def bar(cells: Sequence[Cell], missing: Sequence[Cell], left: float) -> str:
    """Returns how far a study is, and how long the rest takes [s], in words."""
    done = len(cells) - len(missing)
    filled = BAR * done // len(cells)
    return f"[{'#' * filled}{'.' * (BAR - filled)}] {done}/{len(cells)} cells, about {duration(left)} left"


def summed_up(cells: Sequence[Cell], ran: list[str], is_done: Callable[[Cell], bool]) -> dict[str, Any]:
    """Prints and returns what was run, and what is missing still."""
    left_over = [cell.name for cell in cells if not is_done(cell)]
    then = ": the same command goes on" if left_over else ""
    print(f"{len(ran)} cells run, {len(left_over)} of {len(cells)} still missing{then}")
    return {"ran": ran, "missing": left_over}
