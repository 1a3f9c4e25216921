"""Memory of a training: what it may take, and which settings to lower when there is too little."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import resource
from collections.abc import Iterator
from pathlib import Path

import torch

from toyshift.core.errors import ToyShiftError
from toyshift.policies.config import BACKBONE_NAMES
from toyshift.policies.devices import choose_device
from toyshift.policies.training.config import TrainConfig

# glibc's mallopt (malloc.h): M_MMAP_MAX and M_TRIM_THRESHOLD, with which nothing goes back to the kernel; and what
# holds afterwards: its usual M_MMAP_MAX, and the thresholds it comes to by itself in a program that frees large blocks.
# Whoever sets one of them ends that, and would be left with thresholds of 128 KiB.
KEPT = {-4: 0, -1: 2**31 - 1}
AFTERWARDS = {-4: 65536, -3: 32 * 2**20, -1: 64 * 2**20}  # M_MMAP_MAX, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD


class MemoryShortError(ToyShiftError, MemoryError):
    """The device's memory does not hold what was asked for."""


def _memory(path: str, name: str) -> int:
    """Returns an entry of a file of Linux' /proc [bytes]."""
    line = next(line for line in Path(path).read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


@contextlib.contextmanager
def no_more_memory_than_there_is() -> Iterator[None]:
    """Makes allocations beyond the memory that is free now fail inside a block.

    Linux grants them, and kills the process when it uses them.
    """
    if not Path("/proc/meminfo").exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    free = _memory("/proc/meminfo", "MemAvailable") + _memory("/proc/meminfo", "SwapFree")
    limit = _memory("/proc/self/status", "VmData") + free
    bounds = [value for value in before if value != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([limit, *bounds]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keeps what is freed inside a block for what comes next, and gives it back at its end; glibc only.

    glibc asks the kernel for every tensor above 32 MiB and returns it when it is freed, so that each step of a training
    would touch all of its pages for the first time: a tenth to a fifth of its time.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    try:
        for option, value in KEPT.items():
            libc.mallopt(option, value)
        yield
    finally:
        for option, value in AFTERWARDS.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)


@contextlib.contextmanager
def memory_advice(config: TrainConfig) -> Iterator[None]:
    """Turns running out of memory inside a block into an error that says which settings to lower.

    Raises:
        MemoryShortError: there was too little memory, on the GPU or the CPU.
    """
    device = choose_device(config.device).type
    try:
        # CUDA's address space is larger than any memory: there its own allocator says when it is full
        with no_more_memory_than_there_is() if device == "cpu" else contextlib.nullcontext(), freed_memory_kept():
            yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and "can't allocate memory" not in str(error):
            raise
        advice = [f"--batch-size (now {config.batch_size})"]
        if config.policy.steps_seen > 1:
            advice.append(f"--history (now {config.policy.steps_seen})")
        if config.policy.encoder in BACKBONE_NAMES:
            advice.append(f"the encoder ({config.policy.encoder}) or --encoder-size")
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise MemoryShortError(
            f"out of memory while training on {device}: lower {', '.join(advice)}, or raise --accumulate "
            f"(now {config.accumulate}); finished checkpoints are kept ({reason})"
        ) from error
