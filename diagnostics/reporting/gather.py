"""Makes `ReportData` of a run's folder, or of several runs."""

from __future__ import annotations

import collections
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.errors import FileError, ToyShiftError, UnknownNameError
from toyshift.core.progress import track
from toyshift.diagnostics.actors import BUILTIN
from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.changes import ChangedSuccess
from toyshift.diagnostics.diversity import Diversity
from toyshift.diagnostics.reporting.chapter_data import ShiftPanel, StudyPanel
from toyshift.diagnostics.reporting.clips import clip_pairs, played_pairs
from toyshift.diagnostics.reporting.data import ObjectPanel, Repair, ReportData, SensitivityPanel, Sheet, Video
from toyshift.diagnostics.reporting.found import (
    FoundRows,
    FoundStudy,
    films_in,
    find_rows,
    find_studies,
    made_by,
    read_results,
    repairs_in,
    study_places,
)
from toyshift.diagnostics.reporting.panels import object_panel, read_curves, repairs_against
from toyshift.diagnostics.reporting.shifts import shift_panels
from toyshift.diagnostics.reporting.studies import study_panel
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.seen import ON_THESE, objects_by_test
from toyshift.diagnostics.sensitivity import SensitivityResult
from toyshift.diagnostics.summaries import compare_all, summarise

CARDS = ("card-*.json", "dataset_card.json")  # files that `toyshift diagnose` writes
SHIFTS = "shifts"  # the study whose rows are a matrix
NAMED = ("sensitivity.json", "diversity.json", "metrics.jsonl")


def gather(
    run: Path, title: str = "", training_set: str = "", pictures: bool = True, control: str = "",
    studies: Sequence[Path] = (),
) -> ReportData:
    """Returns what a run's folder holds as the data of a report.

    Args:
        run: the folder.
        title: heading; "" takes the folder's name.
        training_set: that all policies were trained on, whatever they say.
        pictures: whether objects are drawn.
        control: the policy that the others are repairs of; "" takes what their folders in the run say.
        studies: folders with results of studies, beside those in the run.

    Raises:
        FileError: a folder is missing or holds no results, or a file is damaged.
        UnknownNameError: no rows are of the control.
    """
    if missing := next((folder for folder in (run, *studies) if not folder.is_dir()), None):
        told = "name one that `toyshift evaluate --out` or `toyshift run` wrote to"
        raise FileError(f"{missing} is not a folder; {told}")
    of_studies = find_studies([run, *studies])
    found = find_rows(run, study_places(of_studies))
    rows, facts = found.rows, found.facts
    for path in sorted(run.rglob("leaning.json")):  # of before the measure was mended; its labels do not hold
        print(f"{path} is left out: it is of an earlier version; run `toyshift diagnose` again", file=sys.stderr)
    clips, unclear = clip_pairs(run)
    played_clips, lost = played_pairs(of_studies)
    unclear += lost
    for told in (*found.left_out, *unclear):
        print(f"left out: {told}", file=sys.stderr)
    paths = {name: sorted(run.rglob(name)) for name in NAMED}
    sensitivity = [panel for path in paths["sensitivity.json"] for panel in read_results(path, _sensitivity)]
    diversities = [read_results(p, lambda v: Diversity.from_json(v["diversity"])) for p in paths["diversity.json"]]
    cards = {path: read_results(path, Card.from_json) for name in CARDS for path in sorted(run.rglob(name))}
    folders = [path.parent for path in paths["metrics.jsonl"]]
    short = [folder.name for folder in folders]
    names = {f: f.name if short.count(f.name) == 1 else str(f.relative_to(run)) for f in folders}
    curves = [curve for folder in folders for curve in read_curves(folder / "metrics.jsonl", names[folder])]
    if not any((rows, sensitivity, diversities, curves, cards, of_studies, clips)):
        wanted = ", ".join(("rows *.parquet", *NAMED, *CARDS, "a study's table.json", "augmented datasets"))
        raise FileError(f"{run} holds no results ({wanted}); run `toyshift evaluate --out {run}` first")
    plain = [s for s in summarise(rows) if not s.look and not s.shift]
    sets = list(dict.fromkeys(s.object_set for s in plain))
    panels, sheets = object_pictures(sets, rows, pictures)
    diagnosed = [(p.result.policy, p.success.training) for p in sensitivity if p.success]
    trained_on = {policy: training.object_set for policy, training in diagnosed if training} | facts["trained_on"]
    met = objects_by_test([row for row in rows if not row.look and not row.shift])
    known = found.seen
    seen = {there: known[there].of(met[there]) for there in met if there in known and there[1] != training_set}
    for (policy, object_set), one in seen.items():
        if one.label(len(met[policy, object_set])) == ON_THESE:
            trained_on.setdefault(policy, object_set)
    if len(common := {spec for policy, spec in trained_on.items() if policy not in BUILTIN}) == 1:
        trained_on = dict.fromkeys(BUILTIN, *common) | trained_on  # theirs says how much harder the others are
    if training_set:
        trained_on = dict.fromkeys((s.policy for s in plain), training_set)
    first, *others = list(dict.fromkeys(row.policy for row in rows if row.policy not in BUILTIN)) or [""]
    played, on = len({row.policy for row in rows}), len({row.object_set for row in rows})
    ran = f"{len(rows):,} episodes of {played} policies on {on} object sets."
    commands = {
        "success": found.commands, "repair": found.commands, "runs": found.commands,
        "sensitivity": _commands(paths["sensitivity.json"]), "diversity": _commands(paths["diversity.json"]),
        "curves": _commands([path.parent / "config.json" for path in paths["metrics.jsonl"]]),
        **{f"card {card.subject}": made_by(path) for path, card in cards.items()},
    }  # fmt: skip
    return ReportData(
        title=title or run.resolve().name, ran=[ran] if rows else [], success=plain, trained_on=trained_on,
        comparisons=compare_all(rows, first, others), cards=list(cards.values()), sensitivity=sensitivity,
        objects=panels, curves=curves, seen=seen, sheets=sheets, videos=films(run, rows),
        diversity=diversities[0] if diversities else None, manifest=facts, shifts=shifts_of(found, of_studies),
        repair=repairs_of_run(run, rows, control), studies=panels_of_studies(of_studies), clips=clips,
        played=played_clips,
        left_out=[*found.left_out, *unclear],
        commands=list(dict.fromkeys(command for own in commands.values() for command in own)), made_by=commands,
    )  # fmt: skip


def _sensitivity(value: Any) -> list[SensitivityPanel]:
    success = {policy: ChangedSuccess.from_json(found) for policy, found in value.get("success", {}).items()}
    found = {policy: SensitivityResult.from_json(entry) for policy, entry in value["sensitivity"].items()}
    return [SensitivityPanel(result, success.get(policy)) for policy, result in found.items()]


def _commands(paths: Iterable[Path]) -> list[str]:
    return list(dict.fromkeys(command for path in paths if path.exists() for command in made_by(path)))


def shifts_of(found: FoundRows, studies: Sequence[FoundStudy]) -> list[ShiftPanel]:
    """Returns the panels of shifts, of a run's rows and of those of `toyshift study shifts`.

    Rows of other studies may differ in more than their columns say (masks, seeds of training), and are theirs to read.
    """
    panels = shift_panels(found.rows, commands=found.commands)
    for study in (study for study in studies if study.name == SHIFTS):
        left_out: dict[str, dict[str, str]] = {}
        for facts, rows in study.files:
            if rows and isinstance(why := facts.get("left_out"), Mapping):
                left_out.setdefault(rows[0].policy, {}).update(why)
        panels += shift_panels(study.rows, left_out, study.commands)
    return panels


def panels_of_studies(studies: Sequence[FoundStudy]) -> list[StudyPanel]:
    def panel(study: FoundStudy) -> StudyPanel:
        told = f"toyshift study {study.name}"
        path = study.folder / "table.json"
        return read_results(path, lambda v: study_panel(study.name, v, len(study.rows), study.commands), told)

    return [found for study in studies if (found := panel(study)).figures or found.facts]


def repairs_of_run(run: Path, rows: Sequence[Row], control: str = "") -> list[Repair]:
    """Returns the repairs that were played against a control from the same starts.

    Raises:
        UnknownNameError: no rows are of the control that was named.
    """
    tested = [name for name in dict.fromkeys(row.policy for row in rows) if name not in BUILTIN]
    if control and control not in tested:
        raise UnknownNameError("policy of these rows", control, tested)
    if control:
        return repairs_against(rows, control, {name: "" for name in tested if name != control})
    said = {name: spec for name, spec in repairs_in(run).items() if name in tested}
    plain = [name for name, spec in said.items() if not spec]
    repaired = {name: spec for name, spec in said.items() if spec}
    return repairs_against(rows, plain[0], repaired) if len(plain) == 1 and repaired else []


def films(run: Path, rows: Sequence[Row], most: int = 12, whose: str = "") -> list[Video]:
    """Returns the films of a run, those of starts that several policies have played first.

    Args:
        run: its folder.
        rows: of it.
        most: films are large.
        whose: what stands in place of the policy's name, where several runs have played it.
    """
    found = []
    for row, path in films_in(run, rows):
        policy, failure = whose or row.policy, row.failure.replace("_", " ")
        start = f"{row.object_set} {row.object_id} {row.purpose} {row.seed} {row.episode}"
        found.append(Video(path, row.success, f"{policy}, {row.object_id}", failure, start, policy))
    count = collections.Counter(film.start for film in found)
    return sorted(found, key=lambda film: -count[film.start])[:most]


def object_pictures(sets: Iterable[str], rows: Sequence[Row], pictures: bool) -> tuple[list[ObjectPanel], list[Sheet]]:
    """Returns per-object bars and contact sheets; without pictures where objects or OpenGL are not at hand."""
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
