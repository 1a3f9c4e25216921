"""The decoded, memory-mapped copy of a dataset that training reads: built once, resumable, never half there."""

from __future__ import annotations

import concurrent.futures
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ACTION, STATE
from toyshift.core.errors import FileError, with_remedy
from toyshift.core.files import cache_dir, content_hash, locked, read_json, write_json
from toyshift.core.maps import writable_map
from toyshift.core.progress import Progress
from toyshift.data.episode import is_image, is_mask
from toyshift.data.store.dataset import Dataset

CACHE_VERSION = 1
THREADS = 2


def cached_arrays(dataset: Dataset, *, threads: int = THREADS) -> dict[str, NDArray[Any]]:
    """Returns read-only memory maps of a dataset's images, masks, state and action, each (N, ...), made if need be.

    They lie in `<folder>/.cache/<hash>/`, or in the user's cache folder where the dataset cannot be written. A killed
    build goes on where it was.

    Args:
        dataset: an open dataset.
        threads: decoding threads.

    Raises:
        FileError: an episode is damaged, or there is no room.
    """
    place = cache_path(dataset)
    with locked(place):
        if not (place / "cache.json").exists():
            _build(dataset, place, max(1, threads))
    return open_arrays(dataset, place)


def cache_path(dataset: Dataset) -> Path:
    """Returns the folder of a dataset's cache."""
    name = content_hash(str(CACHE_VERSION), dataset.content_hash())
    beside = dataset.folder / ".cache"
    writable = os.access(beside if beside.exists() else dataset.folder, os.W_OK)
    return (beside if writable else cache_dir("windows")) / name


def cached_keys(dataset: Dataset) -> list[str]:
    return [k for k in dataset.columns if is_image(k) or is_mask(k) or k in (STATE, ACTION)]


def open_arrays(dataset: Dataset, place: Path) -> dict[str, NDArray[Any]]:
    """Maps the files of a finished cache.

    Raises:
        FileError: a file is missing, truncated or of another shape.
    """
    remedy = f"delete {place}: it is made again from the dataset"
    facts = read_json(place / "cache.json", remedy)
    if (version := facts.get("version")) != CACHE_VERSION:
        raise FileError(f"{place} is a cache of version {version}, this ToyShift reads {CACHE_VERSION}; {remedy}")
    arrays: dict[str, NDArray[Any]] = {}
    for key in cached_keys(dataset):
        path = place / f"{key}.npy"
        column = dataset.columns[key]
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise FileError(f"{path} is missing or truncated ({error}); {remedy}") from error
        expected = (dataset.num_frames, *column.shape)
        if array.shape != expected or str(array.dtype) != column.dtype:
            found = f"{path} has shape {array.shape} {array.dtype}"
            raise FileError(f"{found}, expected {expected} {column.dtype}; {remedy}")
        arrays[key] = array
    return arrays


def _build(dataset: Dataset, place: Path, threads: int) -> None:
    partial = place.with_name(place.name + ".partial")
    starts = np.cumsum([0, *dataset.lengths])
    columns = {key: dataset.columns[key] for key in cached_keys(dataset)}
    try:
        partial.mkdir(parents=True, exist_ok=True)
        arrays = {
            key: writable_map(partial / f"{key}.npy", (dataset.num_frames, *column.shape), column.dtype)
            for key, column in columns.items()
        }
        done = writable_map(partial / "done.npy", (dataset.num_episodes,), "uint8")
    except OSError as error:
        frame = sum(int(np.prod(column.shape)) * np.dtype(column.dtype).itemsize for column in columns.values())
        size = f"{dataset.num_frames} decoded frames take {frame * dataset.num_frames / 1e6:,.0f} MB"
        raise FileError(with_remedy(f"cannot make the cache {partial} ({error}); {size}", error)) from error

    def decode(i: int) -> int:
        frames = dataset.episode(i).frames
        for key in (STATE, ACTION):
            if not np.isfinite(frames[key]).all():
                t = int(np.argwhere(~np.isfinite(frames[key]))[0][0])
                remedy = f"`toyshift data check {dataset.folder} --repair NEW` copies the dataset without such episodes"
                raise FileError(
                    f"{dataset.file_of(i)}, episode {i}: {key} is not finite in frame {t}, "
                    f"and so nothing to learn from; {remedy}"
                )
        for key, array in arrays.items():
            array[starts[i] : starts[i + 1]] = frames[key]
        done[i] = 1  # after the frames: what a killed build marked is there
        return int(starts[i + 1] - starts[i])

    todo = [int(i) for i in np.flatnonzero(done == 0)]
    finished = dataset.num_frames - sum(dataset.lengths[i] for i in todo)
    with Progress(f"decode {dataset.folder.name}", dataset.num_frames, "frame", initial=finished) as bar:
        for frames in _in_parallel(decode, todo, threads):
            bar.update(frames)
    (partial / "done.npy").unlink()
    facts = {"content_hash": dataset.content_hash(), "episodes": dataset.num_episodes}
    write_json(partial / "cache.json", {"version": CACHE_VERSION} | facts)
    shutil.rmtree(place, ignore_errors=True)
    partial.replace(place)
    _remove_stale(place)


def _in_parallel(work: Any, items: list[int], threads: int) -> Iterator[int]:
    """Yields work(item) with at most 2 items per thread in memory."""
    pending: set[concurrent.futures.Future[int]] = set()
    queue = iter(items)
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                pending |= {pool.submit(work, i) for i in itertools.islice(queue, 2 * threads - len(pending))}
                if not pending:
                    return
                finished, pending = concurrent.futures.wait(pending, return_when=concurrent.futures.FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        finally:
            for future in pending:
                future.cancel()


def _remove_stale(place: Path) -> None:
    """Removes caches of what the dataset was before; only beside a dataset, where all belong to it."""
    if place.parent.name != ".cache":
        return
    for other in place.parent.iterdir():
        if re.fullmatch(r"[0-9a-f]{16}(\.partial)?", other.name) and not other.name.startswith(place.name):
            shutil.rmtree(other, ignore_errors=True)
