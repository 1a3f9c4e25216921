"""Makes `ReportData` of several runs: what they have in common beside each other, what each found on its own."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.errors import FileError
from toyshift.diagnostics.actors import BUILTIN
from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.comparing.evaluation_rows import sides_of
from toyshift.diagnostics.reporting.clips import played_pairs
from toyshift.diagnostics.reporting.data import ReportData, Video
from toyshift.diagnostics.reporting.found import FoundRows, find_rows, find_studies, made_by, read_results, study_places
from toyshift.diagnostics.reporting.gather import CARDS, films, panels_of_studies, shifts_of
from toyshift.diagnostics.reporting.runs import PlayedRun, runs_panel
from toyshift.diagnostics.rows import Row

MOST_FILMS = 12
COMPARED = ("git", "seed", "protocol", "versions", "machine", "gl_renderer")  # of manifests


def gather_runs(
    folders: Sequence[Path], title: str = "", studies: Sequence[Path] = (), margin: float = 0.05
) -> ReportData:
    """Returns several runs as the data of one report.

    What holds no rows (a shell's runs/* names anything) is left out, and named.

    Args:
        folders: of the runs; names that occur twice are told apart by their folders.
        title: heading.
        studies: further folders with results of studies.
        margin: largest difference that does not matter, see `compare_cells`.

    Raises:
        FileError: fewer than two hold rows, a folder with results of studies is missing, or a file is damaged.
    """
    if missing := next((folder for folder in studies if not folder.is_dir()), None):
        raise FileError(f"{missing} is not a folder with results of a study")
    there = [folder for folder in folders if folder.is_dir()]
    left_out = [f"{folder}: not a folder." for folder in folders if folder not in there]
    of_studies = find_studies([*there, *studies])
    found: dict[Path, FoundRows] = {}
    for folder in there:
        rows = find_rows(folder, study_places(of_studies))
        left_out += [f"{told}." for told in rows.left_out]
        if rows.rows:
            found[folder] = rows
        elif not any(folder.resolve() in (s.folder.resolve(), *s.folder.resolve().parents) for s in of_studies):
            left_out.append(f"{folder}: no rows of episodes.")
    if len(found) == 1 and of_studies:
        (only,) = found
        told = f"{only}: the only run with rows, and so compared with none; `toyshift report {only}` shows it."
        left_out.append(told)
    played, lost = played_pairs(of_studies)
    left_out += lost
    for told in left_out:
        print(f"left out: {told}", file=sys.stderr)
    if len(found) < 2 and not of_studies:
        empty = ", ".join(str(folder) for folder in folders if folder not in found)
        one = "".join(f"; `toyshift report {only}` shows the one that does" for only in found)
        raise FileError(f"{empty}: no rows of episodes there; to compare runs, two of them must hold some{one}")
    names = _names(list(found))
    runs = [PlayedRun(names[f], rows.rows, {s.name: s for s in sides_of(rows.files)}) for f, rows in found.items()]
    cards: list[Card] = []
    commands: dict[str, list[str]] = {"runs": [command for rows in found.values() for command in rows.commands]}
    videos: list[Video] = []
    for folder in there:
        for path in (path for name in CARDS for path in sorted(folder.rglob(name))):
            card = read_results(path, Card.from_json)
            cards.append(card)
            commands[f"card {card.subject}"] = made_by(path)
    renamed: list[Row] = []
    for folder, rows in found.items():
        tested = (row for row in rows.rows if row.policy not in BUILTIN)
        renamed += [dataclasses.replace(row, policy=f"{row.policy} ({names[folder]})") for row in tested]
        videos += films(folder, rows.rows, whose=names[folder])
    every = FoundRows([({"command": command}, []) for command in commands["runs"]] + [({}, renamed)], {})
    facts = differing({names[folder]: rows.facts for folder, rows in found.items()})
    ran = [f"{run.name}: {len(run.rows):,} episodes of {', '.join(run.sides)}." for run in runs]
    return ReportData(
        title=title or (f"{len(runs)} runs" if len(runs) > 1 else f"{len(of_studies)} studies"), ran=ran,
        runs=runs_panel(runs, margin, facts) if len(runs) > 1 else None,
        cards=cards, shifts=shifts_of(every, of_studies), studies=panels_of_studies(of_studies),
        videos=videos[:MOST_FILMS], played=played,
        commands=list(dict.fromkeys(commands["runs"])), made_by=commands, left_out=left_out,
    )  # fmt: skip


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """Returns a name for every run: its folder's, or all of its place where two share one."""
    short = [folder.resolve().name for folder in folders]
    return {f: name if short.count(name) == 1 else str(f) for f, name in zip(folders, short, strict=True)}


def differing(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Returns what manifests say differently: name -> run -> value."""
    flat = {run: dict(_flat(facts)) for run, facts in manifests.items()}
    names = sorted({name for values in flat.values() for name in values})
    told = {name: {run: values[name] for run, values in flat.items() if name in values} for name in names}
    return {name: by_run for name, by_run in told.items() if len(set(by_run.values())) > 1}


def _flat(facts: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    for name, value in facts.items():
        if not before and name not in COMPARED:
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name} ")
        elif value is not None:
            yield f"{before}{name}", str(value)
