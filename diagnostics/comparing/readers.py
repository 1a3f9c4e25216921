"""The table of result files that can be compared, and how one is told from another.

Adding a format is a file beside this one, with `recognises(path) -> bool` and
`read(path, name, columns) -> list[Side]`, and a row of READERS.
"""

from __future__ import annotations

import collections
import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, FileError
from toyshift.diagnostics.comparing.trials import Side

READERS = {  # module beside this one -> what it reads; the first that recognises a path reads it
    "evaluation_rows": "rows of `toyshift evaluate` (Parquet, or its folder)",
    "lerobot_eval": "lerobot-eval's eval_info.json, or its folder",
    "vla_eval": "vla-eval's results: JSON, recording-*.sqlite, or a folder of them",
    "csv_table": "a CSV table (.csv or .tsv) with a column success",
}


def _reader(name: str) -> Any:
    return importlib.import_module(f"toyshift.diagnostics.comparing.{name}")


def read_sides(given: Sequence[str], columns: Mapping[str, str] | None = None) -> list[Side]:
    """Reads result files.

    Args:
        given: paths, or NAME=PATH to call the policy so; a file may hold several policies.
        columns: what a CSV table calls its columns, where not as `csv_table.COLUMNS` does.

    Returns:
        The sides, whose names differ: where two files hold a policy of one name, its path is put behind it.

    Raises:
        FileError: a path is missing, is no result file that is known, or is damaged.
        ConfigError: a file holds no episode, or one of them twice.
    """
    found: list[tuple[Side, Path]] = []
    for text in given:
        name, path = _named(text)
        if not path.exists():
            raise FileError(f"{path} does not exist; give result files: {'; '.join(READERS.values())}")
        if path.is_file() and not path.stat().st_size:
            raise FileError(f"{path} is empty")
        kind = next((kind for kind in READERS if _reader(kind).recognises(path)), None)
        if kind is None:
            raise FileError(f"{path} is no result file that is known; these are: {'; '.join(READERS.values())}")
        sides = _reader(kind).read(path, name, dict(columns or {}))
        if name and len(sides) > 1:
            inside = ", ".join(side.name for side in sides)
            raise ConfigError(f"{path} holds {len(sides)} policies ({inside}), which cannot all be called {name!r}")
        found += [(side, path) for side in sides]
    return _apart(found)


def _named(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if equals and name and "/" not in name and not Path(text).exists():
        return name, Path(path)
    return "", Path(text)


def _apart(found: Sequence[tuple[Side, Path]]) -> list[Side]:
    times = collections.Counter(side.name for side, _ in found)
    sides = [
        dataclasses.replace(side, name=f"{side.name} ({path})") if times[side.name] > 1 else side
        for side, path in found
    ]
    if len({side.name for side in sides}) < len(sides):
        raise ConfigError("one file is given twice; comparing a policy with itself says nothing")
    return sides
