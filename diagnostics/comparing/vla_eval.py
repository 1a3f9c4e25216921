"""Reads results of vla-eval (vla-evaluation-harness): one JSON file per benchmark or shard, or the SQLite recording.

JSON: `{benchmark, seed?, tasks: [{task, episodes: [{episode_id, metrics: {success}, failure_reason?}]}]}`; before
0.1 `success` stood beside `episode_id`. SQLite: `episode_results(eval_id, task_name, episode_id, metrics,
failure_reason, ...)`, `eval_metadata(eval_id, metadata)`. An episode with a failure reason (a lost connection, a
timeout of the server) is no failure of the policy: vla-eval counts it in no rate, nor is it counted here.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from toyshift.core.errors import FileError
from toyshift.core.files import read_json
from toyshift.diagnostics.comparing.trials import Side, Trial

WHY = "vla-eval's episode number of a task, with the benchmark's seed, stands for a start"
UNSEEDED = "vla-eval's file holds no seed (--pairing paired: both sides had the same one, and episode numbers tell)"


class _Found(NamedTuple):
    """One episode of a file."""

    benchmark: str
    seed: Any
    task: str
    episode: Any
    metrics: Mapping[str, Any]
    error: str


def _files(path: Path) -> list[Path]:
    """Returns the files of a folder: what was merged if anything was, else recordings, else shards."""
    if not path.is_dir():
        return [path]
    for pattern in ("*_aggregate.json", "merged_*.json", "recording-*.sqlite", "*.json"):
        if found := [file for file in sorted(path.glob(pattern)) if _known(file)]:
            return found
    return []


def _known(file: Path) -> bool:
    if file.suffix == ".sqlite":
        return file.read_bytes()[:15] == b"SQLite format 3"
    if file.suffix != ".json":
        return False
    found = read_json(file)
    return isinstance(found, dict) and {"benchmark", "tasks"} <= found.keys()


def recognises(path: Path) -> bool:
    """Whether this is such a file, or a folder with some."""
    return any(map(_known, _files(path)))


def read(path: Path, name: str, columns: Mapping[str, str]) -> list[Side]:
    """Returns the one policy of the files, called as the folder or the file is."""
    episodes, errors = [], 0
    for file in _files(path):
        try:
            for found in _of_sqlite(file) if file.suffix == ".sqlite" else _of_json(file):
                if found.error:
                    errors += 1
                    continue
                own = (found.benchmark, found.task, found.episode, found.seed)
                start = None if found.seed is None else own
                episodes.append(Trial(found.benchmark, found.task, start, _success(found, file), number=found.episode))
        except (KeyError, TypeError, ValueError, sqlite3.Error) as error:
            raise FileError(f"{file} lacks what vla-eval writes ({error})") from error
    notes = (f"{errors} episodes that ended in an error of the harness are left out",) if errors else ()
    name = name or (path.resolve().name if path.is_dir() else path.stem)
    why = UNSEEDED if any(one.start is None for one in episodes) else WHY
    return [Side(name, "vla-eval", tuple(episodes), why, notes)]


def _of_json(file: Path) -> Iterator[_Found]:
    found = read_json(file)
    for task in found["tasks"]:
        for one in task["episodes"]:
            metrics = one.get("metrics") or {key: one[key] for key in ("success",) if key in one}
            about = str(found["benchmark"]), found.get("seed"), str(task["task"])
            yield _Found(*about, one["episode_id"], metrics, str(one.get("failure_reason") or ""))


def _of_sqlite(file: Path) -> Iterator[_Found]:
    with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as store:
        about = {key: json.loads(text) for key, text in store.execute("SELECT eval_id, metadata FROM eval_metadata")}
        # The last one written of a task's episode counts: a run that was taken up again may hold two.
        query = (
            "SELECT eval_id, task_name, episode_id, metrics, failure_reason FROM episode_results WHERE rowid IN "
            "(SELECT MAX(rowid) FROM episode_results GROUP BY eval_id, task_name, episode_id) ORDER BY rowid"
        )
        for key, task, episode, metrics, error in store.execute(query):
            facts = about.get(key, {})
            seed = (facts.get("config") or {}).get("params", {}).get("seed")
            benchmark = str(facts.get("benchmark", key))
            yield _Found(benchmark, seed, str(task), episode, json.loads(metrics or "{}"), str(error or ""))


def _success(found: _Found, file: Path) -> bool:
    if "success" not in found.metrics:
        there = ", ".join(found.metrics) or "none"
        raise FileError(f"{file}: an episode of {found.task!r} has no metric success; it has: {there}")
    if found.metrics["success"] not in (True, False):
        told = f"{file}: an episode of {found.task!r} has success {found.metrics['success']!r}"
        raise FileError(f"{told}; only whole successes can be compared")
    return bool(found.metrics["success"])
