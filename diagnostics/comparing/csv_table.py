"""Reads a CSV table with one line per episode, whose columns are stated."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.diagnostics.comparing.trials import Side, Trial

COLUMNS = {  # what is understood, and called so unless another name is given
    "success": "1, true or yes; 0, false or no",
    "policy": "whose episode it is; without it the file is one policy's, called as the file is",
    "object": "the object, or task, that several episodes share; without it nothing is known about new ones",
    "group": "what is compared apart: an object set, a suite",
    "start": "what fixes the start, whatever the policy",
    "seed": "fixes the start together with the object and the episode",
    "episode": "fixes the start together with the object and the seed",
    "shift": "distance from the training distribution; empty for none",
    "failure": "why the episode failed",
}
_BOOLS = {"1": True, "true": True, "yes": True, "1.0": True, "0": False, "false": False, "no": False, "0.0": False}
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def recognises(path: Path) -> bool:
    """Whether this is a table, by its name."""
    return path.is_file() and path.suffix.lower() in _DELIMITERS


def read(path: Path, name: str, columns: Mapping[str, str]) -> list[Side]:
    """Returns a side per policy.

    Args:
        path: the table, in UTF-8, with a line of names.
        name: what the policy is called, where there is no column of policies.
        columns: name of COLUMNS -> what this table calls it.

    Raises:
        FileError: there is no column of successes, a named column is missing, or a line is too short or has no outcome.
    """
    if unknown := next((key for key in columns if key not in COLUMNS), None):
        raise UnknownNameError("column", unknown, COLUMNS)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, delimiter=_DELIMITERS[path.suffix.lower()], strict=True)
            there = list(table.fieldnames or ())
            where = _where(path, there, columns)
            lines = [(table.line_num, line) for line in table]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path} is no readable table ({error})") from error
    fixed = [key for key in ("start", "seed", "episode") if key in where]
    policies: dict[str, list[Trial]] = {}
    for number, line in lines:
        if None in line or None in line.values():
            raise FileError(f"{path}, line {number}: it has not as many values as there are columns")
        said = {key: line[column].strip() for key, column in where.items()}
        if (word := said["success"].lower()) not in _BOOLS:
            raise FileError(f"{path}, line {number}: {where['success']} is {said['success']!r}, not 0 or 1")
        group, item = said.get("group", ""), said.get("object", "")
        if "object" in where and not item:
            raise FileError(f"{path}, line {number}: {where['object']} is empty")
        shift = said.get("shift", "")
        own = tuple(said[key] for key in fixed)
        start, base = ((group, item, shift, *own), (group, item, *own)) if fixed else (None, None)
        one = Trial(group, item, start, _BOOLS[word], said.get("failure", ""), shift, base)
        policies.setdefault(said.get("policy", name or path.stem), []).append(one)
    if name and "policy" in where and len(policies) == 1:
        policies = {name: next(iter(policies.values()))}
    columns_of_start = ", ".join(where[key] for key in fixed)
    why = f"{columns_of_start} of a line fix its start" if fixed else "the table has no column start, seed or episode"
    return [Side(key, "CSV", tuple(episodes), why) for key, episodes in (policies or {name or path.stem: []}).items()]


def _where(path: Path, there: list[str], columns: Mapping[str, str]) -> dict[str, str]:
    """Returns which column holds what."""
    for key, column in columns.items():
        if column not in there:
            raise FileError(f"{path} has no column {column!r} for {key}; it has: {', '.join(there) or 'none'}")
    where = {key: columns.get(key, key) for key in COLUMNS if columns.get(key, key) in there}
    if "success" not in where:
        told = f"{path} has no column success; it has: {', '.join(there) or 'none'}"
        raise ConfigError(f"{told}. Say which one it is: --columns success=NAME")
    return where
