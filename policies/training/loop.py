"""The loop of a training run: steps, rows of metrics.jsonl, validation, and a checkpoint every few minutes."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.files import atomic_path
from toyshift.core.progress import Progress
from toyshift.policies.training.optimisation import learning_rate
from toyshift.policies.training.prefetch import Prefetch
from toyshift.policies.training.trackers import tracker
from toyshift.policies.training.training_run import Run

METRICS = "metrics.jsonl"
VALIDATIONS = 10  # of a run, unless validate_every says otherwise
EARLY = 10  # with a monitor, the weights after a tenth of the steps are kept, and those of the start
SHOWN = ("loss", "validation_loss", "samples_per_second")


def run_loop(run: Run) -> None:
    """Trains from the run's step to the last and saves the finished weights."""
    config = run.config
    every = config.validate_every or max(1, config.steps // VALIDATIONS)
    start, saved, before = time.monotonic(), time.monotonic(), run.seconds
    losses: list[float] = []
    mark = (start, run.step)
    kept = {*config.keep_steps, *([max(1, config.steps // EARLY)] if run.monitor is not None else [])}
    if run.monitor is not None and run.step == 0:
        run.keep()
    with _records(run) as record, Prefetch(run.batch, run.step, config.steps) as batches:
        for indices, batch in batches:
            losses.append(run.train_step(indices, batch))
            run.seconds = before + time.monotonic() - start
            last = run.step == config.steps
            row: dict[str, Any] = {}
            if last or run.step % config.log_every == 0:
                speed = (run.step - mark[1]) * config.batch_size / max(1e-9, time.monotonic() - mark[0])
                rate = learning_rate(config, run.step - 1)
                row = {"loss": float(np.mean(losses)), "lr": rate, "samples_per_second": round(speed, 1)}
                losses, mark = [], (time.monotonic(), run.step)
            if last or run.step % every == 0:
                if (value := run.validate()) is not None:
                    row["validation_loss"] = value
                if run.monitor is not None and run.processes.first:
                    row |= run.monitor.columns(run)
            record(row)
            if run.step in kept:
                run.keep()
            if not last and time.monotonic() - saved > 60.0 * config.checkpoint_minutes:
                run.save(finished=False)
                saved = time.monotonic()
    for repair in run.repairs:
        repair.finish(run)
    run.save(finished=True)


class _Record:
    """Writes the figures of a step, where there are any, to the file, the trackers and the terminal."""

    def __init__(self, run: Run, log: Any, track: Any, bar: Progress) -> None:
        self._run, self._log, self._track, self._bar = run, log, track, bar
        self._shown: dict[str, float] = {}

    def __call__(self, row: dict[str, Any]) -> None:
        if row:
            self._log.write(json.dumps({"step": self._run.step, "seconds": round(self._run.seconds, 2), **row}) + "\n")
            self._track(self._run.step, row)
            self._shown |= {k: v for k, v in row.items() if k in SHOWN}
            self._bar.update(0, **self._shown)
        self._bar.update(1)


def _nothing(row: dict[str, Any]) -> None:
    """What the processes behind the first record."""


@contextlib.contextmanager
def _records(run: Run) -> Iterator[Any]:
    if not run.processes.first:
        yield _nothing
        return
    metrics = run.folder / METRICS
    trim_metrics(metrics, run.step)
    with (
        tracker(run.config, run.step) as track,
        open(metrics, "a", encoding="utf-8", buffering=1) as log,
        Progress(f"train {run.folder.name}", run.config.steps, "step", run.step) as bar,
    ):
        yield _Record(run, log, track, bar)


def trim_metrics(path: Path, step: int) -> None:
    """Drops rows after a step, which a killed run wrote behind its last checkpoint; a torn last line goes as well."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row["step"] <= step:
            rows.append(line)
    with atomic_path(path) as temporary:
        temporary.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
