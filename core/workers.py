"""Worker processes that are spawned, use one thread each, end when the main process is killed, and leave quietly; or those of a Ray cluster."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.util
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Any

from toyshift.core.errors import ConfigError, MissingDependencyError

# one thread for linear algebra; software rendering (llvmpipe) in the thread that asks for it
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}


def core_count() -> int:
    """Number of cores that this process may use; schedulers of clusters give fewer than a machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _leave() -> None:
    """Ends this worker without teardown; an error that ends it is still told, which multiprocessing would do only after this."""
    error = sys.exc_info()[1]
    if error is not None:
        traceback.print_exception(error)
        sys.stderr.flush()
    os._exit(error is not None)


def _die_with_parent() -> None:
    """Ends this worker when the main process is killed (it would wait for work for ever otherwise), and ends it quietly.

    Leaving without Python's teardown spares the terminal the complaints of native libraries (manifold3d, GL drivers)
    about objects that are alive at that moment; a worker has nothing to save.
    """
    multiprocessing.util.Finalize(None, _leave, exitpriority=-1000)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Lets worker processes started inside use one thread for linear algebra and software rendering."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(_THREADS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Yields a pool of `workers` processes, which several calls may share so that libraries are imported once.

    Each process uses one thread, ends with this one however it ends, and starts by `spawn`: guard scripts with
    `if __name__ == "__main__"`. Work that has not begun when the block ends is cancelled.
    """
    with _one_thread_each():
        pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_die_with_parent)
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class RayPool:
    """Work on a Ray cluster, with `submit` as executors have it; `died` is what a future raises when a worker is lost for good.

    Attributes:
        workers: how many pieces of work run at once.
    """

    def __init__(self, ray: Any, workers: int) -> None:
        self.workers, self.died = workers, ray.exceptions.RayError
        # A worker that dies is replaced and its work done again, three times; a worker process is kept between pieces of work.
        self._remote = ray.remote(num_cpus=1, max_retries=3)(_call)

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Runs a function that every node can import."""
        future: Future[Any] = self._remote.remote(function, *args).future()
        return future


def _call(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def ray_package() -> Any:
    """Returns Ray, or raises MissingDependencyError."""
    try:
        import ray
    except ImportError as error:
        raise MissingDependencyError(f'work on a Ray cluster needs Ray ({error}); run: pip install "toyshift[ray]"') from error
    return ray


@contextlib.contextmanager
def ray_pool(address: str, workers: int) -> Iterator[RayPool]:
    """Yields the workers of a Ray cluster, where ToyShift must be installed on every node; leaves it when the block ends.

    Args:
        address: "local" starts a cluster of `workers` workers on this machine; otherwise where one runs, e.g. "auto" or "ray://HOST:10001".
        workers: most pieces of work at once; 0 takes as many as the cluster has cores.

    Raises:
        MissingDependencyError: Ray is not installed.
        ConfigError: there is no cluster at this address.
    """
    ray = ray_package()
    local = {"num_cpus": workers or os.cpu_count(), "include_dashboard": False} if address == "local" else {}
    with _one_thread_each():
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", runtime_env={"env_vars": _THREADS}, **local)
        except (ConnectionError, OSError, ValueError, RuntimeError) as error:
            raise ConfigError(f"no Ray cluster at {address!r} ({error}); start one with `ray start --head`, or write 'local'") from error
        try:
            yield RayPool(ray, min(workers or 10**9, int(ray.cluster_resources().get("CPU", 1))))
        finally:
            ray.shutdown()
