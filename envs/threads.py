"""Worker threads: what must stay with one thread (a GL context) does, and things dealt among threads keep theirs."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar, cast

from toyshift.core.errors import ConfigError, ToyShiftError

P = ParamSpec("P")
T = TypeVar("T")
Try = Callable[[int], T | None]
Answers = dict[int, tuple[T | None, Exception | None]]  # what a function gave for a number, or raised


class WorkerError(ToyShiftError, RuntimeError):
    """Something failed on a worker thread; the message says where, the cause is chained."""


class Worker(threading.Thread):
    """A daemon thread with a queue; `submit` gives it work, `stop` ends it when the work is done.

    A daemon, because Python waits for other threads before it runs exit handlers, one of which frees what it holds.

    Args:
        name: the thread's name.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.stopped = False
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._at_end: dict[Callable[[], None], None] = {}  # in order, each once
        self.start()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queues a call and returns its future.

        Raises:
            ConfigError: the worker was stopped.
        """
        if self.stopped:
            raise ConfigError(f"{self.name} was stopped and takes no more work")
        future: Future[T] = Future()
        self._jobs.put((future, lambda: function(*args, **kwargs)))
        return future

    def at_end(self, function: Callable[[], None]) -> None:
        """Has a function called on this thread when it ends; a function that is given twice is called once."""
        self._at_end[function] = None

    def stop(self) -> None:
        """Ends the thread after the work that is queued; may be called twice."""
        if not self.stopped:
            self.stopped = True
            self._jobs.put(None)

    def run(self) -> None:
        """Works until it is stopped."""
        while (job := self._jobs.get()) is not None:
            _work(*job)
            del job  # while the thread waits, it keeps nothing alive
        for function in self._at_end:
            function()


def _work(future: Future[T], call: Callable[[], T]) -> None:
    try:
        future.set_result(call())
    except BaseException as error:  # handed to whoever asks the future
        future.set_exception(error)


class Team:
    """Threads among which things are dealt: number i always has its turn on thread i mod `threads`.

    A team that is forgotten without being closed has its things closed on their threads.

    Args:
        things: each has a method `close`.
        threads: number of threads.
        noun: what a thing is called in errors.
    """

    def __init__(self, things: Sequence[Any], threads: int, noun: str) -> None:
        self._things, self._noun = things, noun
        self._workers = tuple(Worker(f"{noun} worker {k}") for k in range(threads))
        self._forget = weakref.finalize(self, _shut_down, things, self._workers)
        self._forget.atexit = False  # at exit, `render` frees what is open, before MuJoCo ends GL

    def each(self, function: Callable[[int], T], chosen: Iterable[int]) -> list[T]:
        """Calls function(i) for numbers, each on its own thread; returns the answers in order when all are there.

        Raises:
            ConfigError, WorkerError: of the first number that failed; names it, and chains the error. The others went
                on.
        """
        chosen = list(chosen)
        return self._in_order(chosen, self._tried(function, chosen))

    def relay(self, legs: Sequence[tuple[Try[T], Try[T]]], chosen: Iterable[int]) -> list[T]:
        """Calls the functions of legs in turn for numbers, until one gives an answer; returns the answers in order.

        The first function of a leg has its turn on the calling thread while the others sleep, then the second on the
        numbers' own: that is for C code that lets go of Python's lock. Threads that hand each other the lock lose more
        than they gain.

        Args:
            legs: a function gives None to pass the number on; the last one passes none on.
            chosen: numbers.

        Raises:
            ConfigError, WorkerError: as `each`. What fails is not passed on.
        """
        chosen = left = list(chosen)
        answers: Answers[T] = {}
        for here, there in legs:
            for function, attempt in ((here, _attempt), (there, self._tried)):
                answers |= attempt(function, left)
                left = [i for i in left if answers[i][0] is None and answers[i][1] is None]
        return self._in_order(chosen, answers)

    def _tried(self, function: Try[T], numbers: Sequence[int]) -> Answers[T]:
        """Calls function(i) for numbers, each on its own thread."""
        shares = [[i for i in numbers if i % len(self._workers) == k] for k in range(len(self._workers))]
        dealt = [(worker, share) for worker, share in zip(self._workers, shares, strict=True) if share]
        jobs: list[Future[Answers[T]]] = [worker.submit(_attempt, function, share) for worker, share in dealt]
        return {i: answer for job in jobs for i, answer in job.result().items()}

    def _in_order(self, chosen: Sequence[int], answers: Answers[T]) -> list[T]:
        """Returns answers in order, or raises the error of the first number that failed."""
        for i in chosen:
            error = answers[i][1]
            if error is not None:
                kind = ConfigError if isinstance(error, ValueError) else WorkerError
                raise kind(f"{self._noun} {i}: {error or type(error).__name__}") from error
        return [cast("T", answers[i][0]) for i in chosen]

    def close(self) -> None:
        """Closes everything, each on its own thread, and ends the threads; may be called twice."""
        if self._forget.detach() is None:
            return
        try:
            self.each(lambda i: self._things[i].close(), range(len(self._things)))
        finally:
            for worker in self._workers:
                worker.stop()
            for worker in self._workers:
                worker.join()


def _attempt(function: Try[T], numbers: Sequence[int]) -> Answers[T]:
    """Calls function(i) for every number; an error of one is kept beside the answers of the others."""
    answers: Answers[T] = {}
    for i in numbers:
        try:
            answers[i] = function(i), None
        except Exception as error:
            answers[i] = None, error
    return answers


def _shut_down(things: Sequence[Any], workers: Sequence[Worker]) -> None:
    """Has things closed on their threads and the threads end; waits for nothing: the garbage collector may call it."""
    for k, worker in enumerate(workers):
        worker.submit(_close_all, things[k :: len(workers)])
        worker.stop()


def _close_all(things: Sequence[Any]) -> None:
    for thing in things:
        thing.close()
