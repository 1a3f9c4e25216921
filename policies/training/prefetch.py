"""One background thread that prepares the next batches while the current one trains."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Prefetch(Generic[T]):
    """Iterates over make(start), make(start + 1), ..., make(stop - 1), made ahead by one thread, in order.

    An error in the thread is raised in the consumer. Use as a context manager, so that the thread ends with the block.
    """

    def __init__(self, make: Callable[[int], T], start: int, stop: int, depth: int = 2) -> None:
        self._make, self._start, self._stop = make, start, stop
        self._queue: queue.Queue[T | BaseException] = queue.Queue(depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, name="toyshift-prefetch", daemon=True)

    def _put(self, item: T | BaseException) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def _work(self) -> None:
        try:
            for step in range(self._start, self._stop):
                if self._closed.is_set():
                    return
                self._put(self._make(step))
        except BaseException as error:  # handed to the consumer, which raises it
            self._put(error)

    def __iter__(self) -> Iterator[T]:
        for _ in range(self._start, self._stop):
            item = self._queue.get()
            if isinstance(item, BaseException):
                raise item
            yield item

    def __enter__(self) -> Prefetch[T]:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join(timeout=10.0)
