"""Memory-mapped arrays that are built in place: whatever kills the process, the next one goes on in the same file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray


def writable_map(path: Path, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Opens a file of zeros for writing, or the one that a killed build left; all its room is taken now."""
    if path.exists():
        try:
            array: NDArray[Any] = np.load(path, mmap_mode="r+", allow_pickle=False)
        except (ValueError, OSError):
            array = np.empty(0)  # killed while it was being made
        if array.shape == shape and str(array.dtype) == dtype:
            _reserve(path)
            return array
        path.unlink()
    made: NDArray[Any] = open_memmap(path, mode="w+", dtype=dtype, shape=shape)  # type: ignore[no-untyped-call]
    _reserve(path)
    return made


def _reserve(path: Path) -> None:
    """Takes the room of a sparse file: on a full disk a write through a memory map would kill the process unheard."""
    with open(path, "r+b") as file:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
