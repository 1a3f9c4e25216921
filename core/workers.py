"""Worker processes that are spawned, use one thread each, end when the main process is killed, and leave quietly."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.util
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

# one thread for linear algebra; software rendering (llvmpipe) in the thread that asks for it
_THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LP_NUM_THREADS": "0"}


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
