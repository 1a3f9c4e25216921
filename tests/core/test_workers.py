"""Worker processes: how many there are by default, and what is told of one that dies."""

from __future__ import annotations

import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from toyshift.core.workers import core_count, worker_pool


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_only_cores_that_the_process_may_use_are_counted() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert core_count() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert core_count() == len(before)


class NotThere:
    """Arrives as an error in the worker."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (__import__, ("no_such_module",))


def test_the_error_that_ends_a_worker_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with worker_pool(1) as pool, pytest.raises(BrokenProcessPool):
        pool.submit(NotThere()).result()  # type: ignore[arg-type]
    assert "No module named 'no_such_module'" in capfd.readouterr().err
