"""Where and in which precision tensors are computed: device choice, bf16 support, compiler and threads."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from toyshift.core.choices import DEVICES
from toyshift.core.errors import ConfigError
from toyshift.core.workers import core_count
from toyshift.policies.settings import choose

THREADS_PER_CORE = 4
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
    choose("device", name, DEVICES)
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError(
            f"device 'cuda' was asked for, but torch {torch.__version__} sees no CUDA device; "
            "use --device cpu, or install a CUDA build of torch and a driver"
        )
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
        raise ConfigError(
            f"--compile needs a C++ compiler, and {compiler} is not on this machine; "
            "install it (e.g. apt install g++), or train without --compile"
        )


def check_threads(count: int) -> None:
    """Raises ConfigError for more threads than this machine's cores can use: OpenMP ends the process at thousands."""
    if count > (most := THREADS_PER_CORE * (cores := core_count())):
        why = f"{THREADS_PER_CORE} for each of {cores} cores"
        raise ConfigError(f"threads is {count}; it must be at most {most} on this machine, {why}")


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Sets torch's threads inside a block; 0 leaves them as they are.

    Raises:
        ConfigError: see `check_threads`.
    """
    check_threads(count)
    before = torch.get_num_threads()
    if count:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
