"""Worker processes: how many there are by default, and what is told of one that dies."""

from __future__ import annotations

import contextlib
import functools
import itertools
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from toyshift.core.errors import ToyShiftError, UnknownNameError
from toyshift.core.workers import Job, core_count, play, ray_pool, worker_pool


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_only_cores_that_the_process_may_use_are_counted() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert core_count() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert core_count() == len(before)


def test_a_pool_starts_no_more_processes_than_it_has_work_for() -> None:
    with worker_pool(50) as pool:
        assert [pool.submit(len, "ab").result(), pool.submit(len, "abc").result()] == [2, 3]
        assert len(multiprocessing.active_children()) <= 2


def test_the_error_that_ends_a_worker_is_told(tmp_path: Path) -> None:
    # by a process of its own: workers write where the first of them did, and here that was another test's stderr
    script = tmp_path / "script.py"
    script.write_text("""
from concurrent.futures.process import BrokenProcessPool
from toyshift.core.workers import worker_pool

class NotThere:  # arrives as an error in the worker
    def __reduce__(self):
        return (__import__, ("no_such_module",))

if __name__ == "__main__":
    with worker_pool(1) as pool:
        try:
            pool.submit(NotThere()).result()
        except BrokenProcessPool:
            print("broken")
""")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == "broken\n"
    assert "No module named 'no_such_module'" in done.stderr


@pytest.mark.usefixtures("importable")
def test_workers_have_the_environment_of_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOYSHIFT_TEST", "1")
    with worker_pool(1) as pool:
        assert pool.submit(os.getenv, "TOYSHIFT_TEST").result() == "1"
    monkeypatch.delenv("TOYSHIFT_TEST")
    with worker_pool(1) as pool:
        assert pool.submit(os.getenv, "TOYSHIFT_TEST").result() is None
        assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"


@contextlib.contextmanager
def opened(log: Path) -> Iterator[Path]:
    (log / f"open-{os.getpid()}").touch()
    yield log
    (log / f"closed-{os.getpid()}").touch()


def doubled(log: Path, item: int) -> int:
    if item == 13:
        raise UnknownNameError("number", "13", ["12", "14"])
    if item == 14:
        os._exit(1)
    return 2 * item


def job(log: Path) -> Job[Path, int, int]:
    return Job("k", functools.partial(opened, log), doubled, "doubling numbers")


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    # so that workers find this module, by the name pytest gives it
    monkeypatch.syspath_prepend(Path(__file__).parents[2])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.usefixtures("importable")
def test_every_item_is_done_by_few_sessions_and_the_caller_may_stop(tmp_path: Path, workers: int) -> None:
    assert sorted(play(range(12), job(tmp_path), workers)) == list(range(0, 24, 2))
    assert 1 <= len(list(tmp_path.glob("open-*"))) <= max(1, workers)
    assert workers or len(list(tmp_path.glob("closed-*"))) == 1
    endless = play(itertools.count(), Job("other", functools.partial(opened, tmp_path), times_two, "doubling"), workers)
    assert {next(endless), next(endless)} <= set(range(0, 16, 2))  # of the first, which two workers take four at a time
    endless.close()


def times_two(log: Path, item: int) -> int:
    return 2 * item


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.usefixtures("importable")
def test_an_error_arrives_as_what_it_is(tmp_path: Path, workers: int) -> None:
    with pytest.raises(UnknownNameError, match=r"'13'.*Did you mean '12'|'13'"):
        list(play([1, 13], job(tmp_path), workers))


def test_workers_end_with_a_process_that_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("""
import time
from toyshift.core.workers import worker_pool

if __name__ == "__main__":
    with worker_pool(1) as pool:
        pool.submit(time.time).result()
        print("idle", flush=True)
        time.sleep(600)
""")
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "idle\n"
    parent.kill()
    parent.communicate(timeout=60)  # comes back once nobody holds stdout any more


@pytest.mark.usefixtures("importable")
def test_a_worker_that_dies_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ToyShiftError, match=r"died while doubling numbers.*run the same command again"):
        list(play([14], job(tmp_path), 1))


def broken(log: Path, item: int) -> int:
    raise ZeroDivisionError("a mistake in the work")


@pytest.mark.usefixtures("importable")
def test_a_mistake_in_the_work_is_not_called_a_death_by_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    work = Job("broken", functools.partial(opened, tmp_path), broken, "doubling")
    with ray_pool("local", 1) as pool:
        with pytest.raises(ZeroDivisionError, match="a mistake in the work"):
            list(play([1], work, pool=pool))
        with pytest.raises(UnknownNameError, match="'13'"):
            list(play([13], job(tmp_path), pool=pool))
