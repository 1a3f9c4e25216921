"""What the quickstart leaves behind: results.json for programs, report.html and videos for people."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.files import read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.scripts.quickstart.planted import Planted
from toyshift.scripts.quickstart.settings import POLICIES, TRAINING_TOYS, Config

if TYPE_CHECKING:
    from toyshift.diagnostics import ChangedSuccess, EvaluateConfig, ReportData, Row, SensitivityResult, Summary
    from toyshift.diagnostics.reporting.data import Sheet, Video
    from toyshift.diagnostics.seen import Seen
    from toyshift.diagnostics.video import Rollout

SHEET = 40  # objects on a contact sheet
FILMS = (("detpool", 1, 1), ("attention-mask", 1, 1))  # policy, successes and failures of it that are filmed


@dataclasses.dataclass(frozen=True)
class Results:
    """What the stages measured.

    Attributes:
        rows: episodes of all policies on all sets with the training look.
        sensitivity: pooling -> what it is sensitive to.
        changed: pooling -> success with each factor changed, with none, and on the training toys.
        planted: what became of the planted shortcut.
        verified: what `verify` said of the bundle.
        seconds: how long the stages took.
    """

    rows: list[Row]
    sensitivity: dict[str, SensitivityResult]
    changed: dict[str, ChangedSuccess]
    planted: Planted
    verified: dict[str, Any]
    seconds: dict[str, float]


SideBySide = Callable[[Callable[[Any], Any], Sequence[Any], str], list[Any]]  # of `experiment`, with its processes


def write_results(cfg: Config, results: Results, side_by_side: SideBySide) -> dict[str, Any]:
    """Writes results.json, the videos and report.html, and returns a short form of results.json."""
    from toyshift.diagnostics import write_report

    found = as_json(cfg, results)
    report, path = cfg.out / "report.html", cfg.out / "results.json"
    write_json(path, found)
    write_report(report_data(cfg, results, side_by_side), report)
    success = {f"{row['policy']} on {row['set']}": row["rate"] for row in found["success"]}
    paths = {"out": str(cfg.out), "report": str(report), "results": str(path)}
    return {**paths, "success": success, "seconds": found["seconds"]}


def as_json(cfg: Config, results: Results) -> dict[str, Any]:
    """Returns success per (policy, set), what is retained of it, what policies are sensitive to, and the shortcut.
    """
    from toyshift.diagnostics import compare_all, retentions, summarise, undertrained

    summaries = summarise(results.rows)
    success = [_line(s) for s in summaries]
    trained_on = dict.fromkeys((s.policy for s in summaries), TRAINING_TOYS)
    sensitivity: dict[str, Any] = {}
    for policy, result in results.sensitivity.items():
        value, under = result.to_json(), results.changed[policy].under
        for factor, found in value["factors"].items():
            found["under"] = _line(under[factor])
        sensitivity[policy] = value | {"unchanged": _line(under[""])}
    return {
        "success": success,
        "retention": [
            {"policy": r.policy, "set": r.object_set, **r.ratio.to_json()} for r in retentions(summaries, trained_on)
        ],
        "undertrained": undertrained(summaries, trained_on),
        "differences": [c.to_json() for c in compare_all(results.rows, POLICIES[0], POLICIES[1:])],
        "sensitivity": sensitivity, "shortcut": results.planted.to_json(), "bundle": results.verified,
        "training": {name: _training(cfg, name) for name in POLICIES},
        "seconds": results.seconds, "manifest": _facts(cfg, results),
    }  # fmt: skip


LINE = {  # of results.json -> of a summary's JSON
    "policy": "policy", "pooling": "pooling", "set": "object_set", "look": "look", "n": "n", "k": "k", "rate": "rate",
    "wilson_95": "wilson", "clustered_95": "clustered", "objects": "objects", "failures": "failures",
}  # fmt: skip


def _line(summary: Summary) -> dict[str, Any]:
    value = summary.to_json()
    return {name: value[there] for name, there in LINE.items()}


def _training(cfg: Config, name: str) -> dict[str, Any]:
    """Samples, learning rate and last losses of a policy's training."""
    folder = cfg.policy(name)
    config = read_json(folder / "config.json")["train"]
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    last = {key: value for row in rows for key, value in row.items()}
    losses = {key: last.get(key) for key in ("loss", "validation_loss")}
    return {"samples": config["steps"] * config["batch_size"], "lr": config["lr"], **losses}


def _facts(cfg: Config, results: Results) -> dict[str, Any]:
    """The manifest of the run."""
    from toyshift.envs.render.renderer import gl_backend, gl_renderer_name

    gl = {"gl_backend": gl_backend(), "gl_renderer": gl_renderer_name()}
    return manifest(cfg.to_json(), cfg.seed, seconds=results.seconds, **gl)


# ---------------------------------------------------------------- the report


def report_data(cfg: Config, results: Results, side_by_side: SideBySide) -> ReportData:
    """Gathers everything the report shows, and records the rollout videos."""
    from toyshift.diagnostics import ReportData, compare_all, summarise
    from toyshift.diagnostics.reporting.clips import clip_pairs
    from toyshift.diagnostics.reporting.data import SensitivityPanel
    from toyshift.diagnostics.reporting.panels import object_panel, read_curves

    summaries = summarise(results.rows)
    panels = [SensitivityPanel(found, results.changed[pooling]) for pooling, found in results.sensitivity.items()]
    tests = [spec for spec in cfg.test_sets if spec != TRAINING_TOYS]
    sheets, pictures, names = _pictures(cfg, results, side_by_side)
    trained = [row for row in results.rows if row.policy in POLICIES]
    clips, left_out = clip_pairs(cfg.out)
    command = f"toyshift run quickstart --out {cfg.out}" + (f" --ycb {cfg.ycb}" if cfg.ycb else "")
    return ReportData(
        title="ToyShift quickstart", ran=_sentences(cfg), success=summaries,
        trained_on=dict.fromkeys((s.policy for s in summaries), TRAINING_TOYS), seen=_seen(cfg, results),
        comparisons=compare_all(results.rows, POLICIES[0], POLICIES[1:]),
        subtitle="Policies that played with random toys, tested on those, on others, and on household objects.",
        sensitivity=panels, repair=[results.planted.repair(cfg)], cards=[results.planted.card], clips=clips,
        sheets=sheets, videos=_videos(cfg, results, side_by_side), left_out=left_out,
        objects=[object_panel(spec, trained, names[spec], pictures[spec]) for spec in reversed(tests)],
        curves=[curve for name in POLICIES for curve in read_curves(cfg.policy(name) / "metrics.jsonl", name)],
        manifest=_facts(cfg, results), commands=[command],
        made_by=dict.fromkeys(("success", "sensitivity", "repair", "curves"), (command,)),
    )  # fmt: skip


def _seen(cfg: Config, results: Results) -> dict[tuple[str, str], Seen]:
    """Which of the objects that the policies met they were trained on, as their folders say."""
    from toyshift.diagnostics.seen import objects_by_test, seen_objects

    tests = objects_by_test([row for row in results.rows if row.policy in POLICIES])
    found = {there: seen_objects(str(cfg.policy(there[0])), there[1], met) for there, met in tests.items()}
    return {there: seen for there, seen in found.items() if seen is not None}


def _sentences(cfg: Config) -> list[str]:
    return [
        f"The expert lifted random toys {cfg.episodes} times ({TRAINING_TOYS}); it was pushed on its way and "
        "recovered, and only successes were kept.",
        f"Three policies that differ in how they pool the image were trained from scratch on the same "
        f"{cfg.steps * cfg.batch:,} samples: detection pooling (detpool), which looks at the target's tokens only; "
        "attention pooling that is shown the target's mask as an input channel (attention-mask); and mean pooling "
        "without a mask (mean). The first two are told by the simulator which pixels are the target's, at test time "
        "too, and differ in what they do with it; the third has to find the target itself.",
        "Learning rates of detpool and mean come from a search at this length; that of attention-mask from one on half "
        "the samples for attention without the mask.",
        f"Each was tested in {cfg.trials} episodes per object set, with the same starts for all policies; success "
        "means that the object's lowest point is lifted by 0.3 m and held for half a second within 10 seconds, "
        "touching nothing but the gripper.",
        "The oracle is the expert, which knows the object's pose; random draws actions uniformly.",
    ]


def _picture(asked: tuple[str, str]) -> Any:
    from toyshift.envs import thumbnail
    from toyshift.toys import load_objects

    spec, object_id = asked
    return thumbnail(load_objects(spec).by_id(object_id), 144)


def _pictures(
    cfg: Config, results: Results, side_by_side: SideBySide
) -> tuple[list[Sheet], dict[str, dict[str, Any]], dict[str, dict[str, str]]]:
    """Returns sheets, pictures and names of the objects that were tested, of toys the first `SHEET`."""
    from toyshift.diagnostics.reporting.data import Sheet
    from toyshift.toys import load_objects

    sheets: list[Sheet] = []
    pictures: dict[str, dict[str, Any]] = {}
    names: dict[str, dict[str, str]] = {}
    for spec in cfg.test_sets:
        objects = load_objects(spec)
        met = {row.object_id for row in results.rows if row.object_set == spec}
        ids = [i for i in objects.ids if i in met][: SHEET if spec.startswith("toys:") else None]
        drawn = side_by_side(_picture, [(spec, i) for i in ids], f"drawing {spec}")
        pictures[spec] = dict(zip(ids, drawn, strict=True))
        names[spec] = {i: objects.by_id(i).name for i in ids}
        caption = f"{len(objects)} objects" + (f", {len(ids)} shown." if len(ids) < len(objects) else ".")
        if objects.left_out:
            left_out = f"{len(objects.left_out)} more are wider than the gripper opens in every rest pose, or too light"
            caption += f" {left_out} for their size, and are left out: {', '.join(objects.left_out)}."
        sheets.append(Sheet(spec, caption, [(names[spec][i], picture) for i, picture in pictures[spec].items()]))
    return sheets, pictures, names


def _film(folder: Path, asked: tuple[EvaluateConfig, list[Row], int, int]) -> list[Rollout]:
    from toyshift.diagnostics.video import record_rollouts

    config, rows, successes, failures = asked
    return record_rollouts(config, rows, folder, successes=successes, failures=failures, camera="film")


def _videos(cfg: Config, results: Results, side_by_side: SideBySide) -> list[Video]:
    from toyshift.diagnostics.reporting.data import Video

    spec, asked = cfg.test_sets[-1], []
    for name, successes, failures in FILMS:
        rows = [row for row in results.rows if row.policy == name and row.object_set == spec]
        asked.append((cfg.evaluation(name, spec, cfg.trials, None), rows, successes, failures))
    films = side_by_side(functools.partial(_film, cfg.out / "videos"), asked, "filming")
    return [
        Video(
            f.path, f.success, f"{config.name}, {f.object_id}", f.failure.replace("_", " "),
            f"{spec} {f.object_id} {f.episode}", config.name,
        )
        for (config, *_), of_policy in zip(asked, films, strict=True) for f in of_policy
    ]  # fmt: skip
