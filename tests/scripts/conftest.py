"""Pools of one process, which work in this one: a process that imports torch and MuJoCo takes seconds to start."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.reduction import ForkingPickler
from typing import Any

import pytest

TAKEN_BY = (
    "core.workers", "diagnostics.measures", "scripts.diagnose", "scripts.quickstart.experiment", "scripts.studies.exam",
)  # fmt: skip


@pytest.fixture
def works_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does here what one worker process would do; what is sent to it and what it returns is packed as it would be."""
    workers = importlib.import_module("toyshift.core.workers")

    def sent(value: Any) -> Any:
        return ForkingPickler.loads(ForkingPickler.dumps(value))

    def submit(function: Callable[..., Any], *given: Any) -> Future[Any]:
        done: Future[Any] = Future()
        function, given = sent((function, given))
        try:
            done.set_result(sent(function(*given)))
        except Exception as error:
            done.set_exception(error)
        return done

    @contextlib.contextmanager
    def pool(count: int) -> Iterator[Any]:
        assert count == 1, f"{count} processes were asked for"
        try:
            yield workers.Pool(submit, 1, (BrokenProcessPool,))
        finally:
            workers._leave_session()

    for place in TAKEN_BY:
        monkeypatch.setattr(importlib.import_module(f"toyshift.{place}"), "worker_pool", pool)
