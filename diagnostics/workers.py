"""Worker processes of an evaluation: one thread each, ended with their parent, quiet when they leave."""

from __future__ import annotations

import concurrent.futures as futures
import contextlib
import multiprocessing
import multiprocessing.util
import os
import threading
from collections.abc import Iterator


def _die_with_parent() -> None:
    """Ends this worker when the main process is killed (it would wait for work for ever otherwise), and ends it quietly.

    Leaving without Python's teardown spares the terminal the complaints of native libraries (manifold3d, GL drivers)
    about objects that are alive at that moment; a worker has nothing to save.
    """
    multiprocessing.util.Finalize(None, os._exit, args=(0,), exitpriority=-1000)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Lets worker processes started inside use one thread for linear algebra and software rendering."""
    names = ("OMP_NUM_THREADS", "LP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def worker_pool(workers: int) -> Iterator[futures.ProcessPoolExecutor | None]:
    """Yields processes for several calls of `evaluate`, so that libraries are imported once, not once per call; None for workers <= 0.

    Each process uses one thread, ends with this one however it ends, and starts by `spawn`: guard scripts with
    `if __name__ == "__main__"`.
    """
    if workers <= 0:
        yield None
        return
    with _one_thread_each():
        pool = futures.ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"), initializer=_die_with_parent)
        try:
            yield pool
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
