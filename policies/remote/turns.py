"""One at a time, in the order in which they asked."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator


class Turns:
    """A lock that is fair: whoever has had a turn stands behind all who wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # of what follows
        self._waiting: collections.deque[threading.Lock] = collections.deque()
        self._taken = False

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Waits for the turn of whoever asks."""
        mine = threading.Lock()
        mine.acquire()
        with self._lock:
            if self._taken:
                self._waiting.append(mine)
            else:
                self._taken = True
                mine.release()
        mine.acquire()
        try:
            yield
        finally:
            with self._lock:
                if self._waiting:
                    self._waiting.popleft().release()  # handed on: nobody comes in between
                else:
                    self._taken = False
