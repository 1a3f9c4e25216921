"""The ledger of a collection: a line for every attempt that is done, so that a kill costs only what was in flight."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

from toyshift.core.files import write_text
from toyshift.data.episode import episode_indices

LEDGER = "attempts.jsonl"


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What became of one attempt.

    Attributes:
        index: its number.
        success: whether it succeeded.
        cause: why not; "" for a success.
        seconds: that it took [s].
        stored: whether an episode of it is kept.
    """

    index: int
    success: bool
    cause: str
    seconds: float
    stored: bool


def read_ledger(folder: Path) -> dict[int, Attempt]:
    """Reads the ledger; a line cut short by a kill, and attempts whose episode is missing, are to be played again."""
    attempts: dict[int, Attempt] = {}
    path = folder / LEDGER
    if path.exists():
        # in files of their own, or already in the layout when the kill came at the very end
        there = episode_indices(folder)
        for line in path.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError, TypeError):  # torn, or of an older version
                found = Attempt(**json.loads(line))
                if not found.stored or found.index in there:
                    attempts[found.index] = found
        write_text(path, "".join(map(_line, attempts.values())))  # what is appended must not join a torn line
    return attempts


def note(folder: Path, attempt: Attempt) -> None:
    """Appends a line to the ledger."""
    with open(folder / LEDGER, "a", encoding="utf-8") as ledger:
        ledger.write(_line(attempt))


def _line(attempt: Attempt) -> str:
    return json.dumps(dataclasses.asdict(attempt)) + "\n"


def complete(attempts: Mapping[int, Attempt], episodes: int) -> int:
    """Returns how many of the attempts 0, 1, 2, ... hold the first `episodes` successes; 0 while one is missing."""
    successes = 0
    for index in range(len(attempts)):
        if index not in attempts:
            return 0
        successes += attempts[index].success
        if successes == episodes:
            return index + 1
    return 0
