"""Where and in which precision tensors are computed: device choice, bf16 support and threads."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from toyshift.core.errors import ConfigError, ToyShiftError, UnknownNameError
from toyshift.policies.config import BACKBONE_NAMES, TrainConfig

DEVICES = ("auto", "cpu", "cuda")
BF16_FLAGS = {"amx_bf16", "avx512_bf16"}


def cpu_has_bf16() -> bool:
    """Whether this processor multiplies bf16 matrices in hardware (AMX or AVX512-BF16), by Linux's cpuinfo."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return bool(BF16_FLAGS & set(flags.split()))


def choose_device(name: str) -> torch.device:
    """Returns the device called auto, cpu or cuda.

    Raises:
        UnknownNameError: another name.
        ConfigError: CUDA was asked for and is absent.
    """
    if name not in DEVICES:
        raise UnknownNameError("device", name, DEVICES)
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError(f"device 'cuda' was asked for, but torch {torch.__version__} sees no CUDA device; use --device cpu, or install a CUDA build of torch and a driver")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and available) else "cpu")


def choose_bf16(precision: str, device: torch.device) -> bool:
    """Whether to autocast to bf16 for a precision of f32, bf16 or auto."""
    if precision == "auto":
        return device.type == "cuda" or cpu_has_bf16()
    return precision == "bf16"


def require_compiler(device: torch.device) -> None:
    """Raises ConfigError where torch.compile would find no C++ compiler; for a CUDA device torch brings Triton."""
    compiler = os.environ.get("CXX") or "g++"
    if device.type == "cpu" and not (shutil.which(compiler) or shutil.which("clang++")):
        raise ConfigError(f"--compile needs a C++ compiler, and {compiler} is not on this machine; install it (e.g. apt install g++), or train without --compile")


class MemoryShortError(ToyShiftError, MemoryError):
    """The device's memory does not hold what was asked for."""


def _memory(path: str, name: str) -> int:
    """Returns an entry of a file of Linux' /proc [bytes]."""
    line = next(line for line in Path(path).read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return 1024 * int(line.split()[1])


@contextlib.contextmanager
def no_more_memory_than_there_is() -> Iterator[None]:
    """Makes allocations beyond the memory that is free now fail inside a block: Linux grants them, and kills the process when it uses them."""
    if not Path("/proc/meminfo").exists():
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _memory("/proc/self/status", "VmData") + _memory("/proc/meminfo", "MemAvailable") + _memory("/proc/meminfo", "SwapFree")
    bounds = [value for value in before if value != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([limit, *bounds]), before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@contextlib.contextmanager
def memory_advice(config: TrainConfig) -> Iterator[None]:
    """Turns running out of memory inside a block into an error that says which settings to lower.

    Raises:
        MemoryShortError: there was too little memory, on the GPU or the CPU.
    """
    try:
        # CUDA's address space is larger than any memory: there its own allocator says when it is full
        with no_more_memory_than_there_is() if choose_device(config.device).type == "cpu" else contextlib.nullcontext():
            yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and "can't allocate memory" not in str(error):
            raise
        advice = [f"--batch-size (now {config.batch_size})"]
        if config.policy.steps_seen > 1:
            advice.append(f"--history (now {config.policy.steps_seen})")
        if config.policy.encoder in BACKBONE_NAMES:
            advice.append(f"the encoder ({config.policy.encoder}) or --encoder-size")
        raise MemoryShortError(f"out of memory while training on {choose_device(config.device).type}: lower {', '.join(advice)}, or raise --accumulate (now {config.accumulate}); finished checkpoints are kept ({str(error).splitlines()[0] if str(error) else type(error).__name__})") from error


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Sets torch's threads inside a block; 0 leaves them as they are."""
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
