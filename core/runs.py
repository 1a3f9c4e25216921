"""Runs that can be taken up again: a marker file says whose the folder is, and what came of it.

A command looks for what an earlier run of the same settings left (`found`), checks all it needs, marks the folder
as its own (`claim`), works, and says what came of it (`finish`). Killed in between and run again, it goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import in_the_way, json_hash, read_json, write_json


def differences(now: Mapping[str, Any], there: Mapping[str, Any], but: Collection[str] = ()) -> list[str]:
    """Returns "name: value now, value there" for every setting in which two runs differ, those in `but` aside."""
    names = [name for name in dict.fromkeys((*now, *there)) if name not in but]
    different = [name for name in names if json_hash(now.get(name)) != json_hash(there.get(name))]
    return [f"{name}: {now.get(name)!r} now, {there.get(name)!r} there" for name in different]


def refuse_other(folder: Path, what: str, different: Collection[str] = ()) -> ConfigError:
    """Returns the error that a folder holds something of other settings.

    Args:
        folder: where it was to be written.
        what: what it holds, e.g. "a dataset".
        different: of `differences`.
    """
    which = f" ({'; '.join(different)})" if different else ""
    remedy = "choose another folder, or delete this one"
    return ConfigError(f"{folder} holds {what} of another configuration{which}; {remedy}")


def refuse_foreign(folder: Path, made_by: str) -> None:
    """Raises ConfigError where a folder holds something, or a file is in its place."""
    if in_the_way(folder):
        what = "is a file" if folder.is_file() else f"is not empty and was not made by `{made_by}`"
        raise ConfigError(f"{folder} {what}; choose another folder")


def found(marker: Path, key: str, what: str, made_by: str, settings: Mapping[str, Any] | None = None) -> Any | None:
    """Returns what `finish` wrote in an earlier run with the same key; None where it did not get so far or none was.

    Markers of older versions, which lack `settings`, are understood: the key decides.

    Args:
        marker: the folder's marker file.
        key: hash of everything that decides the result.
        what: what the folder holds, e.g. "a dataset"; for errors.
        made_by: the command that makes such folders; for errors.
        settings: of this run, to name those that differ.

    Raises:
        ConfigError: the folder was made by something else, or with another key.
        FileError: the marker is damaged.
    """
    folder = marker.parent
    if not marker.exists():
        refuse_foreign(folder, made_by)
        return None
    before = None
    with contextlib.suppress(FileError):  # its remedy, to delete the marker, would leave a folder of nobody
        before = read_json(marker)
    if not isinstance(before, dict) or "key" not in before:
        raise FileError(f"{marker} is not what `{made_by}` writes; restore it, or delete {folder}")
    if before["key"] != key:
        there = before.get("settings")
        raise refuse_other(folder, what, differences(settings, there) if settings and isinstance(there, dict) else ())
    return before.get("finished")


def claim(marker: Path, key: str, settings: Mapping[str, Any] | None = None, finished: Any = None) -> None:
    """Marks a folder as that of one run, made where it is missing.

    Args:
        marker: the folder's marker file.
        key: hash of everything that decides the result.
        settings: JSON-able, for readers.
        finished: what came of the run, once it is finished.
    """
    write_json(marker, {"key": key, "settings": dict(settings or {}), "finished": finished})


def finish(marker: Path, result: Any) -> None:
    """Says in the marker what came of a run; `found` returns it from now on."""
    write_json(marker, {**read_json(marker), "finished": result})
