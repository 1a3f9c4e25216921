"""The journal of a run: a JSON line for every intervention, with what was asked, what was sent, and why."""

from __future__ import annotations

import collections
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, write_json

KEPT = 10_000  # lines in memory
STOPPED = ".stopped"  # beside the journal, while a stop is latched


class Journal:
    """Writes lines to a file, each as soon as it is known, and keeps the latest.

    Args:
        path: file of JSON lines that grows; None keeps them in memory only.

    Attributes:
        lines: the latest, as they were written.
        counts: how many lines there are by kind.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.lines: collections.deque[dict[str, Any]] = collections.deque(maxlen=KEPT)
        self.counts: collections.Counter[str] = collections.Counter()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, kind: str, time: float, why: str, **more: Any) -> None:
        """Adds a line.

        Args:
            kind: "limit" (sent otherwise than asked), "hold", "stop", "alarm", "fault", "begin" or "dry".
            time: when [s].
            why: in words.
            more: arrays and numbers, such as asked and sent; numbers that are not finite become texts.
        """
        line = {"kind": kind, "time": _plain(float(time)), "why": why}
        line |= {key: _plain(value) for key, value in more.items()}
        self.lines.append(line)
        self.counts[kind] += 1
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, allow_nan=False) + "\n")
                if kind == "stop":
                    file.flush()
                    os.fsync(file.fileno())

    # ---------------------------------------------------------------- the latch

    @property
    def _latch(self) -> Path | None:
        return None if self.path is None else self.path.with_name(self.path.name + STOPPED)

    def latch(self, time: float, why: str) -> None:
        """Notes beside the journal that the robot was stopped, for the next run."""
        if self._latch is not None:
            write_json(self._latch, {"time": time, "why": why})

    def require_released(self, release: bool = False) -> None:
        """Refuses to begin while a stop is latched; `release` takes it away.

        Raises:
            ConfigError: says why it was stopped.
        """
        if self._latch is None or not self._latch.exists():
            return
        if not release:
            told = read_json(self._latch).get("why", "")
            raise ConfigError(f"the robot was stopped: {told}. Look at it, then release the stop: --release")
        self._latch.unlink(missing_ok=True)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):  # first, as most are
        return round(value, 6) if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    return value
