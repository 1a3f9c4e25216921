"""Reads what `toyshift evaluate` wrote: one row per episode."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from toyshift.diagnostics.comparing.trials import Side, Trial
from toyshift.diagnostics.rows import Row, read_rows, read_rows_manifest
from toyshift.diagnostics.seen import DEMONSTRATED


def _file(path: Path) -> Path:
    return path / "rows.parquet" if path.is_dir() else path


def recognises(path: Path) -> bool:
    """Whether this is a file of rows, or a folder with one."""
    file = _file(path)
    return file.is_file() and file.read_bytes()[:4] == b"PAR1"


def read(path: Path, name: str, columns: Mapping[str, str]) -> list[Side]:
    """Returns a side per policy; starts are fixed by purpose, root seed and episode (`core/seeds.py`)."""
    policies: dict[str, list[Row]] = {}
    for row in read_rows(_file(path)):
        policies.setdefault(row.policy, []).append(row)
    demonstrated = read_rows_manifest(_file(path)).get(DEMONSTRATED, {})
    why = "purpose, seed and episode of a row fix its start"
    if not policies:
        return [Side(name or str(path), "rows of toyshift evaluate", (), why)]  # which says that it is empty
    return [
        Side(
            name or policy, "rows of toyshift evaluate", tuple(map(_trial, rows)), why,
            trained_on=tuple(demonstrated.get(policy, ())),
        )
        for policy, rows in policies.items()
    ]  # fmt: skip


def _trial(row: Row) -> Trial:
    group = f"{row.object_set} {row.scene}".rstrip()
    shift = ",".join(filter(None, (row.look, row.shift)))
    base = (group, row.object_id, row.purpose, row.seed, row.episode)
    return Trial(group, row.object_id, (*base, shift), row.success, row.failure, shift, base)
