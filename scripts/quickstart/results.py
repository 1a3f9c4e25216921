"""What the quickstart leaves behind: results.json for programs, report.html and videos for people."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from toyshift.core.files import write_json
from toyshift.core.progress import track
from toyshift.scripts.quickstart.settings import DIAGNOSED_SET, POOLINGS, REPAIRED_TURN, TRAINING_TOYS

if TYPE_CHECKING:
    from toyshift.diagnostics import LeaningResult, ReportData, Row
    from toyshift.diagnostics.report_data import Repair, Sheet, Video
    from toyshift.scripts.quickstart.experiment import Quickstart

SHEET = 40  # objects on a contact sheet
CONDITIONS = {"azimuth": "camera turned by 15 degrees", "": "training camera"}


@dataclasses.dataclass(frozen=True)
class Results:
    """What the stages measured.

    Attributes:
        rows: episodes of all policies on all sets with the training look.
        leaning: pooling -> what it leans on.
        changed: pooling -> factor -> rows with that factor changed.
        repair: policy (repaired, control, before) -> changed factor, "" for none -> rows.
        verified: what `verify` said of the bundle.
    """

    rows: list[Row]
    leaning: dict[str, LeaningResult]
    changed: dict[str, dict[str, list[Row]]]
    repair: dict[str, dict[str, list[Row]]]
    verified: dict[str, Any]


def write_results(run: Quickstart, results: Results) -> dict[str, Any]:
    """Writes results.json, the videos and report.html, and returns a short form of results.json."""
    from toyshift.diagnostics import write_report

    found = as_json(run, results)
    write_json(run.out / "results.json", found)
    write_report(report_data(run, results), run.out / "report.html")
    return {
        "out": str(run.out), "report": str(run.out / "report.html"), "results": str(run.out / "results.json"),
        "success": {f"{row['policy']} on {row['set']}": row["rate"] for row in found["success"]}, "seconds": found["seconds"],
    }


def as_json(run: Quickstart, results: Results) -> dict[str, Any]:
    """Returns success with intervals per (policy, set), what each policy leans on with success under each change, and the repair."""
    from toyshift.diagnostics import compare, summarise

    success = [_line(s) for s in summarise(results.rows)]
    leaning: dict[str, Any] = {}
    for pooling, result in results.leaning.items():
        value = result.to_json()
        for factor, rows in results.changed[pooling].items():
            value["factors"][factor]["success"] = _line(summarise(rows)[0])
        leaning[pooling] = value
    repaired, control = results.repair["detpool-viewpoint"], results.repair["detpool-control"]
    repair = {
        factor or "none": {
            **{name: _line(summarise(by_factor[factor])[0]) for name, by_factor in results.repair.items()},
            "repaired_minus_control": compare(repaired[factor], control[factor]).to_json(),
        }
        for factor in repaired
    }
    return {
        "success": success, "leaning": leaning, "repair_viewpoint": repair, "bundle": results.verified, "training": {p: run.training(p) for p in POOLINGS},
        "seconds": run.seconds, "manifest": run.facts(),
    }


def _line(summary: Any) -> dict[str, Any]:
    value = summary.to_json()
    return {
        "policy": value["policy"], "pooling": value["pooling"], "set": value["object_set"], "look": value["look"], "n": value["n"], "k": value["k"],
        "rate": value["rate"], "wilson_95": value["wilson"], "clustered_95": value["clustered"], "objects": value["objects"], "failures": value["failures"],
    }


# ---------------------------------------------------------------- the report


def report_data(run: Quickstart, results: Results) -> ReportData:
    """Gathers everything the report shows, and records the rollout videos."""
    from toyshift.diagnostics import ReportData, summarise
    from toyshift.diagnostics.report_data import LeaningPanel, object_panel, read_curves

    summaries = summarise(results.rows)
    # the same episodes as under the changes, so that the difference is the change's and not the draw's
    same = [row for row in results.rows if row.object_set == DIAGNOSED_SET and row.episode < run.cfg.factor_trials]
    base = {s.policy: s for s in summarise(same)}
    panels = [
        LeaningPanel(result, base.get(pooling), {factor: summarise(rows)[0] for factor, rows in results.changed[pooling].items()})
        for pooling, result in results.leaning.items()
    ]
    tests = [spec for spec in run.cfg.test_sets if spec != TRAINING_TOYS]
    sheets, pictures, names = _pictures(run)
    trained = [row for row in results.rows if row.policy in POOLINGS]
    return ReportData(
        title="ToyShift quickstart",
        subtitle="Policies that played with random toys, tested zero-shot on objects they have never seen.",
        ran=_sentences(run),
        success=summaries,
        training_sets=[TRAINING_TOYS],
        leaning=panels,
        repair=[_repair(run, results)],
        objects=[object_panel(spec, trained, names[spec], pictures[spec]) for spec in reversed(tests)],
        curves=[curve for pooling in POOLINGS for curve in read_curves(run.policy(pooling) / "metrics.jsonl", pooling)],
        sheets=sheets,
        videos=_videos(run, results),
        manifest=run.facts(),
        commands=[run.command()],
    )


def _sentences(run: Quickstart) -> list[str]:
    cfg = run.cfg
    return [
        f"The planner lifted random toys {cfg.episodes} times ({TRAINING_TOYS}); it was pushed on its way and recovered, and only successes were kept.",
        f"Two policies that differ only in how they pool the image ({' and '.join(POOLINGS)}) were trained from scratch on the same "
        f"{cfg.steps * cfg.batch:,} samples, each with the learning rate that a small search found.",
        f"Each was tested in {cfg.trials} episodes per object set, with the same starts for all policies; success means that the object's lowest point is "
        "lifted by 0.3 m and held for half a second within 10 seconds, touching nothing but the gripper.",
        "The oracle is the planner, which knows the object's pose; random draws actions uniformly.",
    ]


def _repair(run: Quickstart, results: Results) -> Repair:
    from toyshift.diagnostics import compare, summarise
    from toyshift.diagnostics.report_data import Repair, RepairLine

    lines = []
    for factor in results.repair["detpool-viewpoint"]:
        repaired, control, before = (results.repair[name][factor] for name in ("detpool-viewpoint", "detpool-control", "detpool"))
        lines.append(RepairLine(CONDITIONS[factor], summarise(repaired)[0], summarise(control)[0], compare(repaired, control), summarise(before)[0]))
    cfg = run.cfg
    text = (
        f"{cfg.repair_episodes} demonstrations were rendered again from front cameras turned by up to {REPAIRED_TURN:g} degrees, actions untouched, and detpool "
        f"was tuned on them and the originals for {cfg.repair_steps} steps. The control was tuned as long on plain copies of the same demonstrations."
    )
    return Repair("Viewpoint augmentation", text, lines)


def _pictures(run: Quickstart) -> tuple[list[Sheet], dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    from toyshift.diagnostics.report_data import Sheet
    from toyshift.envs import thumbnail
    from toyshift.toys import load_objects

    sheets: list[Sheet] = []
    pictures: dict[str, dict[str, Any]] = {}
    names: dict[str, dict[str, str]] = {}
    for spec in run.cfg.test_sets:
        objects = load_objects(spec)
        ids = objects.ids[:SHEET] if spec.startswith("toys:") else objects.ids
        chosen = {i: objects.by_id(i) for i in ids}
        pictures[spec] = {i: thumbnail(obj, 144) for i, obj in track(chosen.items(), f"pictures of {spec}", len(chosen))}
        names[spec] = {i: obj.name for i, obj in chosen.items()}
        caption = f"{len(objects)} objects" + (f", {len(ids)} shown." if len(ids) < len(objects) else ".")
        if objects.ungraspable:
            caption += f" {len(objects.ungraspable)} more are wider than the gripper opens in every rest pose and are left out: {', '.join(objects.ungraspable)}."
        sheets.append(Sheet(spec, caption, [(names[spec][i], picture) for i, picture in pictures[spec].items()]))
    return sheets, pictures, names


def _videos(run: Quickstart, results: Results) -> list[Video]:
    from toyshift.diagnostics import record_rollouts
    from toyshift.diagnostics.report_data import Video

    videos: list[Video] = []
    for pooling, successes, failures in ((POOLINGS[0], 3, 2), (POOLINGS[1], 1, 1)):
        spec = run.cfg.test_sets[-1]
        rows = [row for row in results.rows if row.policy == pooling and row.object_set == spec]
        config = run.evaluation(pooling, spec, run.cfg.trials)
        films = record_rollouts(config, rows, run.out / "videos", successes=successes, failures=failures, camera="film")
        videos += [Video(film.path, film.success, f"{pooling}, {film.object_id}", film.failure.replace("_", " ")) for film in films]
    return videos
