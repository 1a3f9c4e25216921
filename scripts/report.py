"""Writes the HTML report of a run.

toyshift report runs/quickstart
toyshift report runs/mine --out mine.html
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from toyshift.core.errors import FileError, ToyShiftError
from toyshift.core.files import read_json, whole_files
from toyshift.core.progress import track
from toyshift.scripts.options import Common

if TYPE_CHECKING:
    from toyshift.diagnostics import ReportData, Row
    from toyshift.diagnostics.report_data import ObjectPanel, Sheet, Video
    from toyshift.diagnostics.seen import Seen

CARDS = ("card-*.json", "dataset_card.json")  # files that `toyshift diagnose` writes
T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift report`."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUNDIR")]
    """Folder with what evaluate, diagnose and train wrote, at any depth."""
    out: Path | None = None
    """HTML file; none is RUNDIR/report.html."""
    title: str = ""
    """Heading; none is the folder's name."""
    training_set: str = ""
    """Object set that all policies were trained on, whatever they say: it is marked, and retention is over success
    there. Nothing is said of other sets for it. None takes what each policy says, where it does."""
    no_pictures: bool = False
    """Leave out the pictures of objects (they need OpenGL)."""


def main(cfg: Config) -> dict[str, Any]:
    """Writes one self-contained HTML file from everything that a run's folder holds.

    Rows (*.parquet), sensitivity.json, diversity.json, cards (card-*.json, dataset_card.json), metrics.jsonl and *.mp4
    are found at any depth.
    Example: toyshift report runs/quickstart
    """
    from toyshift.diagnostics import write_report

    path = cfg.out or cfg.run / "report.html"
    data = gather(cfg.run, cfg.title, cfg.training_set, pictures=not cfg.no_pictures)
    write_report(data, path)
    print(f"report: {path}")
    sets = list(dict.fromkeys(s.object_set for s in data.success))
    return {"out": path, "policies": sorted({s.policy for s in data.success}), "object_sets": sets}


def gather(run: Path, title: str = "", training_set: str = "", pictures: bool = True) -> ReportData:
    """Returns what a run's folder holds as the data of a report.

    Raises:
        FileError: the folder is missing or holds no results.
    """
    from toyshift.diagnostics import (
        ChangedSuccess,
        Diversity,
        ReportData,
        SensitivityResult,
        compare_all,
        summarise,
    )  # fmt: skip
    from toyshift.diagnostics.actors import BUILTIN
    from toyshift.diagnostics.cards import Card
    from toyshift.diagnostics.report_data import SensitivityPanel, read_curves
    from toyshift.diagnostics.seen import ON_THESE, objects_by_test

    def panels_of(value: Any) -> list[SensitivityPanel]:
        success = {policy: ChangedSuccess.from_json(found) for policy, found in value.get("success", {}).items()}
        found = {policy: SensitivityResult.from_json(entry) for policy, entry in value["sensitivity"].items()}
        return [SensitivityPanel(result, success.get(policy)) for policy, result in found.items()]

    if not run.is_dir():
        raise FileError(f"{run} is not a folder; name one that `toyshift evaluate --out` or `toyshift run` wrote to")
    rows, facts, seen = find_rows(run)
    summaries = summarise(rows)
    plain = [summary for summary in summaries if not summary.look and not summary.shift]
    paths = {name: sorted(run.rglob(name)) for name in ("sensitivity.json", "diversity.json", "metrics.jsonl")}
    sensitivity = [panel for path in paths["sensitivity.json"] for panel in read_results(path, panels_of)]
    for path in sorted(run.rglob("leaning.json")):  # of before the measure was mended; its labels do not hold
        print(f"{path} is left out: it is of an earlier version; run `toyshift diagnose` again", file=sys.stderr)
    diversities = [read_results(p, lambda v: Diversity.from_json(v["diversity"])) for p in paths["diversity.json"]]
    cards = [read_results(path, Card.from_json) for name in CARDS for path in sorted(run.rglob(name))]
    curves = [curve for path in paths["metrics.jsonl"] for curve in read_curves(path, path.parent.name)]
    if not rows and not sensitivity and not diversities and not curves and not cards:
        wanted = ", ".join(("rows *.parquet", *paths))
        raise FileError(f"{run} holds no results ({wanted}); run `toyshift evaluate --out {run}` first")
    sets = list(dict.fromkeys(summary.object_set for summary in plain))
    panels, sheets = object_pictures(sets, rows, pictures)
    diagnosed = [(p.result.policy, p.success.training) for p in sensitivity if p.success]
    trained_on = {policy: training.object_set for policy, training in diagnosed if training} | facts["trained_on"]
    met = objects_by_test([row for row in rows if not row.look and not row.shift])
    seen = {there: seen[there].of(met[there]) for there in met if there in seen and there[1] != training_set}
    for (policy, object_set), found in seen.items():
        if found.label(len(met[policy, object_set])) == ON_THESE:
            trained_on.setdefault(policy, object_set)
    if len(common := {spec for policy, spec in trained_on.items() if policy not in BUILTIN}) == 1:
        trained_on = dict.fromkeys(BUILTIN, *common) | trained_on  # theirs says how much harder the others are
    if training_set:
        trained_on = dict.fromkeys((summary.policy for summary in plain), training_set)
    first, *others = list(dict.fromkeys(row.policy for row in rows if row.policy not in BUILTIN)) or [""]
    ran = f"{len(rows)} episodes of {len({row.policy for row in rows})} policies on {len(sets)} object sets."
    return ReportData(
        title=title or run.resolve().name, ran=[ran] if rows else [], success=plain,
        trained_on=trained_on, comparisons=compare_all(rows, first, others),
        cards=cards, sensitivity=sensitivity, objects=panels, curves=curves,
        seen=seen, sheets=sheets, videos=find_videos(run, rows), diversity=diversities[0] if diversities else None,
        manifest=facts, commands=[facts["command"]] if facts.get("command") else [],
    )  # fmt: skip


def read_results(path: Path, parse: Callable[[Any], T]) -> T:
    """Returns what `parse` makes of a JSON file.

    Raises:
        FileError: the file holds something else.
    """
    value = read_json(path)
    try:
        return parse(value)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"does not hold what `toyshift diagnose` writes ({type(error).__name__}: {error})"
        raise FileError(f"{path} {what}; delete it and diagnose again") from error


def find_rows(run: Path) -> tuple[list[Row], dict[str, Any], dict[tuple[str, str], Seen]]:
    """Returns the rows of all rows files, each episode once, what their manifests say, and what policies had seen.

    Files are taken in the order in which they were made, so that policies stand as they were asked for. The manifest
    is that of the first file that has one; its `trained_on` is that of all files, where they agree.
    """
    from toyshift.diagnostics import read_rows, read_rows_manifest
    from toyshift.diagnostics.seen import seen_of_files

    merged = sorted(run.rglob("rows.parquet"))
    single = (path for path in whole_files(run, "**/*.parquet") if ".parts" not in str(path))
    paths = merged or [path for path in single if "rows" in str(path.relative_to(run))]
    files = [(read_rows_manifest(path), read_rows(path)) for path in paths]
    files.sort(key=lambda file: str(file[0].get("made", "")))
    rows: dict[tuple[Any, ...], Row] = {}
    claims: dict[str, set[str]] = {}
    for found, of_file in files:
        for row in of_file:
            rows[(row.policy, row.object_set, row.look, row.shift, row.seed, row.episode)] = row
        for policy, spec in found.get("trained_on", {}).items():
            claims.setdefault(policy, set()).update([spec] if spec else [])
    facts: dict[str, Any] = next((dict(found) for found, _ in files if "versions" in found), {})
    trained_on = {policy: min(specs) for policy, specs in claims.items() if len(specs) == 1}
    return list(rows.values()), facts | {"trained_on": trained_on}, seen_of_files(files)


def find_videos(run: Path, rows: Sequence[Row], most: int = 8) -> list[Video]:
    """Returns the films that `record_rollouts` made of these rows; one of another episode is left out."""
    from toyshift.diagnostics.report_data import Video

    films = {path.stem: path for path in sorted(run.rglob("*.mp4"))}
    found = []
    for row in rows:
        told = f"{row.policy}-{row.object_set}-{row.episode:05d}-{row.object_id}"
        name = "".join(c if c.isalnum() or c in "-_" else "_" for c in told)[:150]
        if name in films:
            title, failure = f"{row.policy}, {row.object_id}", row.failure.replace("_", " ")
            found.append(Video(films[name], row.success, title, failure))
    return found[:most]


def object_pictures(sets: Iterable[str], rows: Sequence[Row], pictures: bool) -> tuple[list[ObjectPanel], list[Sheet]]:
    """Returns per-object bars and contact sheets; without pictures where objects or OpenGL are not at hand."""
    from toyshift.diagnostics.report_data import Sheet, object_panel

    panels, sheets = [], []
    for spec in sets:
        names: dict[str, str] = {}
        thumbnails: dict[str, Any] = {}
        try:
            if pictures:
                from toyshift.envs import thumbnail
                from toyshift.toys import load_objects

                objects = load_objects(spec)
                wanted = dict.fromkeys(row.object_id for row in rows if row.object_set == spec)
                for object_id in track(list(wanted)[:60], f"pictures of {spec}"):
                    obj = objects.by_id(object_id)
                    names[object_id], thumbnails[object_id] = obj.name, thumbnail(obj, size=160)
        except ToyShiftError as error:
            print(f"no pictures of {spec}: {error}", file=sys.stderr)
        panels.append(object_panel(spec, rows, names, thumbnails))
        if thumbnails:
            named = [(names[i], picture) for i, picture in thumbnails.items()]
            sheets.append(Sheet(spec, f"{len(thumbnails)} objects of the test.", named))
    return panels, sheets
