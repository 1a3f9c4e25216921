"""Reads what `toyshift evaluate` wrote: one row per episode."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.diagnostics.comparing.trials import Side, Trial
from toyshift.diagnostics.rows import Row, read_rows, read_rows_manifest
from toyshift.diagnostics.seen import DEMONSTRATED, seen_of_files

KIND, WHY = "rows of toyshift evaluate", "purpose, seed and episode of a row fix its start"


def _file(path: Path) -> Path:
    return path / "rows.parquet" if path.is_dir() else path


def recognises(path: Path) -> bool:
    """Whether this is a file of rows, or a folder with one."""
    file = _file(path)
    return file.is_file() and file.read_bytes()[:4] == b"PAR1"


def read(path: Path, name: str, columns: Mapping[str, str]) -> list[Side]:
    """Returns a side per policy; starts are fixed by purpose, root seed and episode (`core/seeds.py`)."""
    facts, every = read_rows_manifest(_file(path)), read_rows(_file(path))
    if not every:
        return [Side(name or str(path), KIND, (), WHY)]  # which says that it is empty
    return [dataclasses.replace(side, name=name or side.name) for side in sides_of([(facts, every)])]


def sides_of(files: Sequence[tuple[Mapping[str, Any], Sequence[Row]]]) -> list[Side]:
    """Returns a side per policy of files of rows, each with its manifest."""
    policies: dict[str, list[Trial]] = {}
    terms: dict[str, dict[str, Any]] = {}
    sets: dict[str, str] = {}
    demonstrated: dict[str, Any] = {}
    for facts, rows in files:
        for row in rows:
            one = _trial(row)
            policies.setdefault(row.policy, []).append(one)
            sets[one.group] = row.object_set
            terms.setdefault(one.group, _terms(facts, row.object_set))
        demonstrated |= facts.get(DEMONSTRATED, {})
    seen = seen_of_files(files)
    return [
        Side(
            policy, KIND, tuple(trials), WHY, terms=terms,
            seen={group: seen[policy, spec] for group, spec in sets.items() if (policy, spec) in seen},
            trained_on=tuple(demonstrated.get(policy, ())),
        )
        for policy, trials in policies.items()
    ]  # fmt: skip


def _terms(facts: Mapping[str, Any], object_set: str) -> dict[str, Any]:
    """Returns what a manifest says of how episodes of a set were played."""
    objects = facts.get("objects_hash")
    said = {
        "protocol": facts.get("protocol"),
        "max_steps": (facts.get("config") or {}).get("max_steps"),
        "objects": objects.get(object_set) if isinstance(objects, Mapping) else objects,
    }
    return {name: value for name, value in said.items() if value is not None}


def _group(row: Row) -> str:
    return f"{row.object_set} {row.scene}".rstrip()


def _trial(row: Row) -> Trial:
    group = _group(row)
    shift = ",".join(filter(None, (row.look, row.shift)))
    base = (group, row.object_id, row.purpose, row.seed, row.episode)
    return Trial(group, row.object_id, (*base, shift), row.success, row.failure, shift, base)
