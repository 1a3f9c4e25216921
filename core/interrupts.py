"""Ctrl-C ends a command at any moment: one line, exit code 130, and nothing left running.

Python answers it with KeyboardInterrupt wherever the program happens to be, and there it may be lost. Native modules
that are being loaded turn it into an ImportError (MuJoCo's, those on NumPy's C interface), packages that do without
others drop it (trimesh: `except BaseException` around imports), a `__del__` prints it and goes on, and a long native
call is finished first. So a command leaves at once where it is importing or where KeyboardInterrupt was lost, and else
after some seconds. It may: it can be killed at any moment.

Nothing is imported here that takes time: this comes before everything else.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import NoReturn

CODE = 130  # what shells give to a command that Ctrl-C has ended
LINE = "toyshift: interrupted; the same command goes on where it was"
PATIENCE = 5.0  # for what is closed on the way out [s]

_came = _said = False
_waits = False  # it came while a child was being started
_starting = 0  # children that this thread is starting
_first: list[Callable[[], None]] = []  # what ends child processes


def install() -> None:
    """Has SIGINT handled as this file says, unless it is ignored, as for a shell's background jobs.

    Of the main thread of a process that is ours.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        return
    sys.excepthook, sys.unraisablehook, threading.excepthook = _uncaught, _lost, _lost_in_thread
    signal.signal(signal.SIGINT, _handle)
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)  # written to even while native code runs
    threading.Thread(target=_watch, args=(read,), name="toyshift-interrupts", daemon=True).start()


def came() -> bool:
    """Whether there was a Ctrl-C: whatever goes wrong from then on comes from it."""
    return _came


def say() -> int:
    """Says what happened, and returns the exit code."""
    global _said
    print(LINE, file=sys.stderr, flush=True)
    _said = True
    return CODE


def leave() -> NoReturn:
    """Ends this process at once, without teardown, and its children."""
    for end in tuple(_first):
        end()
    _end_children()
    if not _said:
        with contextlib.suppress(OSError):
            os.write(2, f"{LINE}\n".encode())  # sys.stderr may be busy at this moment
    os._exit(CODE)


@contextlib.contextmanager
def first(end: Callable[[], None]) -> Iterator[None]:
    """Calls `end` as soon as Ctrl-C comes while the block runs: children end, so that nobody waits for their work."""
    _first.append(end)
    try:
        yield
    finally:
        _first.remove(end)


@contextlib.contextmanager
def told_to_end() -> Iterator[Callable[[], None]]:
    """Gives a function that waits for SIGTERM or Ctrl-C, which interrupt nothing in this block until it returns.

    For servers, which end by being told to. From then on Ctrl-C leaves as ever. A signal that was ignored stays so.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    ends = [number for number in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, frame: None) for number in ends}
    woken = signal.set_wakeup_fd(write, warn_on_full_buffer=False)  # whichever thread they reach

    def as_before() -> None:
        if before:
            signal.set_wakeup_fd(woken)
        while before:
            signal.signal(*before.popitem())

    def wait() -> None:
        while os.read(read, 1)[0] not in ends:
            pass
        as_before()

    try:
        yield wait
    finally:
        as_before()
        os.close(read)
        os.close(write)


@contextlib.contextmanager
def kept_from_children() -> Iterator[None]:
    """Keeps Ctrl-C from child processes that are started inside: a terminal sends it to all, their parent ends them.

    In the main thread it waits until they are started.
    """
    global _starting, _waits
    main = threading.current_thread() is threading.main_thread()
    _starting += main
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # children inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _starting -= main
        if main and _waits and not _starting:
            _waits = False
            signal.raise_signal(signal.SIGINT)


def end_with_parent(seconds: float = 1.0) -> None:
    """Ends this process when its parent is gone, however that ended; for children that nobody could tell.

    Args:
        seconds: how often one that is not multiprocessing's looks whether it is still there.
    """
    from multiprocessing import parent_process

    starter = parent_process()  # of a worker, which may have lost it before it got here
    parent = os.getppid()

    def watch() -> None:
        if starter:
            starter.join()
        else:
            while os.getppid() == parent:
                time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _end_children() -> None:
    """Ends the children that packages have started, and theirs before: GLFW's import asks one, which complains when
    nobody listens.

    Python's own that frees shared memory stays until it has done so.
    """
    tracker = getattr(sys.modules.get("multiprocessing.resource_tracker"), "_resource_tracker", None)
    children: dict[int, list[int]] = {}
    for entry in filter(str.isdecimal, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as facts:
            parent = int(facts.read().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry))

    def end(parent: int) -> None:
        for child in children.get(parent, []):
            if child != getattr(tracker, "_pid", None):
                end(child)
                with contextlib.suppress(OSError):
                    os.kill(child, signal.SIGKILL)

    end(os.getpid())


def _handle(number: int, frame: FrameType | None) -> None:
    global _came, _waits
    if _starting:
        _waits = True
        return
    if _came or _importing(frame):
        leave()
    _came = True
    for end in tuple(_first):
        end()
    raise KeyboardInterrupt


def _importing(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code.co_filename != "<frozen importlib._bootstrap>":
        frame = frame.f_back
    return frame is not None


def _watch(read: int) -> None:
    while os.read(read, 1) != bytes([signal.SIGINT]):
        pass
    time.sleep(PATIENCE)
    leave()


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if _came or issubclass(kind, KeyboardInterrupt):
        leave()
    sys.__excepthook__(kind, error, trace)


def _lost(what: sys.UnraisableHookArgs) -> None:
    if issubclass(what.exc_type, KeyboardInterrupt):
        leave()
    if not _came:  # else of what is half made
        sys.__unraisablehook__(what)


def _lost_in_thread(what: threading.ExceptHookArgs) -> None:
    if not _came:
        threading.__excepthook__(what)
