"""Frames and windows per processor second from the decoded cache, and private memory beside a cache of 20 GB.

python benchmarks/loader.py               96x96, two cameras with RGB and masks, made-up frames: all parts
python benchmarks/loader.py --data DIR    frames of a dataset of ours instead (its cache is built if need be)
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import mmap
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import clocks
import numpy as np

from toyshift.core.contract import ACTION, STATE, ActionContract, ObservationContract, image_key, mask_key
from toyshift.core.files import write_json
from toyshift.data.loading import cache
from toyshift.data.loading.loader import Batch, Windows
from toyshift.data.store import mixture
from toyshift.data.store.layout import Column

SIZE, STATES, ACTIONS, LENGTH = 96, 24, 7, 30
FRAMES_PER_S, WINDOWS_PER_S, GROWTH_MB = 20_000, 3_000, 500
CAMERAS = ("front", "wrist")
NAMES = tuple(f"a{i}" for i in range(ACTIONS))
CONTRACT = ActionContract("eef_delta", NAMES, ("m",) * ACTIONS, (-1.0,) * ACTIONS, (1.0,) * ACTIONS, 20.0, ())
SEEN = ObservationContract(tuple((c, (SIZE, SIZE)) for c in CAMERAS), tuple(f"s{i}" for i in range(STATES)))
COLUMNS = {image_key(c): Column("uint8", (SIZE, SIZE, 3)) for c in CAMERAS}
COLUMNS |= {mask_key(c): Column("uint8", (SIZE, SIZE)) for c in CAMERAS}
COLUMNS |= {STATE: Column("float32", (STATES,)), ACTION: Column("float32", (ACTIONS,))}


def made_up(folder: Path, frames: int, *, sparse: bool) -> Windows:
    """Opens windows on a finished cache without the dataset that it was made from.

    It holds zeros that take no room on the disk, or noise.
    """
    lengths = (LENGTH,) * (frames // LENGTH)
    dataset: Any = SimpleNamespace(
        folder=folder, columns=COLUMNS, lengths=lengths, num_episodes=len(lengths), num_frames=sum(lengths),
        action_contract=CONTRACT, observation_contract=SEEN, content_hash=lambda: "made up",
        meta=lambda i: {"task": "lift"}, require_episodes=lambda: None,
    )  # fmt: skip
    folder.mkdir()
    place = cache.cache_path(dataset)  # in the folder, which can be written
    place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for key, column in COLUMNS.items():
        shape = (dataset.num_frames, *column.shape)
        array = np.lib.format.open_memmap(place / f"{key}.npy", mode="w+", dtype=column.dtype, shape=shape)
        if not sparse:
            array[:] = rng.integers(0, 256, shape, np.uint8) if column.dtype == "uint8" else rng.normal(size=shape)
    write_json(place / "cache.json", {"version": cache.CACHE_VERSION})
    with mock.patch.object(mixture, "open_dataset", return_value=dataset):
        return Windows([folder], chunk=16)


def with_history(windows: Windows, history: int) -> Windows:
    """Returns the same windows with a longer history."""
    return dataclasses.replace(windows, history=history)


def rate(windows: Windows, batch_size: int, seconds: float) -> dict[str, float]:
    """Draws batches for so many processor seconds; returns samples per processor second and per second on the clock."""
    sampler = windows.sampler(batch_size, seed=0)
    for step in range(20):  # the pages of the files, and NumPy's own first time
        windows.batch(sampler.batch_indices(step))
    clock, steps = clocks.Clock(), itertools.count()
    while clock.stopped().cpu < seconds:
        windows.batch(sampler.batch_indices(next(steps)))
    return clock.stopped().rates(next(steps) * batch_size)


def batches(windows: Windows, batch_size: int, steps: int, workers: int = 2) -> Iterator[Batch]:
    """Yields so many batches, gathered ahead by several threads: NumPy copies pixels without holding Python's lock."""
    sampler = windows.sampler(batch_size, seed=0)
    pending: collections.deque[Future[Batch]] = collections.deque()
    with ThreadPoolExecutor(workers) as pool:
        for step in range(steps):
            pending.append(pool.submit(windows.batch, sampler.batch_indices(step)))
            if len(pending) > 2 * workers:
                yield pending.popleft().result()
        yield from (future.result() for future in pending)


def rate_of_threads(windows: Windows, batch_size: int, seconds: float) -> dict[str, float]:
    """As `rate`, with the batches that two threads make ahead, as for training."""
    clock, drawn = clocks.Clock(), 0
    for step, batch in enumerate(batches(windows, batch_size, 10**6)):
        if step == 20:
            clock, drawn = clocks.Clock(), 0
        drawn += len(batch[ACTION])
        if step > 20 and clock.stopped().cpu > seconds:
            break
    return clock.stopped().rates(drawn)


def speed(windows: Windows, seconds: float) -> dict[str, dict[str, float]]:
    """Single frames with one action each, and windows of 16 observations, on one thread and on two."""
    single, long = dataclasses.replace(windows, chunk=1), with_history(windows, 16)
    return {
        "frames": rate(single, 64, seconds), "windows_of_16": rate(long, 16, seconds),
        "frames_chunk_16": rate(windows, 64, seconds), "frames, 2 threads": rate_of_threads(single, 64, seconds),
        "windows_of_16, 2 threads": rate_of_threads(long, 16, seconds),
    }  # fmt: skip


def memory(folder: Path, gigabytes: float) -> dict[str, float]:
    """Opens a sparse cache, draws windows with a history of 16 on two threads, and takes the statistics.

    Returns:
        the growth of private memory, and what was drawn.
    """
    frame = sum(int(np.prod(c.shape)) * np.dtype(c.dtype).itemsize for c in COLUMNS.values())
    before = highest = clocks.private_mb()
    windows = made_up(folder, -(-int(gigabytes * 1e9) // frame // LENGTH + 1) * LENGTH, sparse=True)
    for _, arrays in windows.arrays:
        for array in arrays.values():  # else every window has the kernel fill megabytes of zeros ahead of it
            array.base.madvise(mmap.MADV_RANDOM)  # type: ignore[union-attr]  # a memory map's base
    taken = sum(f.stat().st_blocks * 512 for f in folder.rglob("*.npy")) / 1e6
    drawn = 0
    for batch in batches(with_history(windows, 16), 32, 40):
        drawn += len(batch[ACTION])
        highest = max(highest, clocks.private_mb())
    assert windows.stats[STATE]["max"].shape == (STATES,)
    highest = max(highest, clocks.private_mb())
    size = sum(f.stat().st_size for f in folder.rglob("*.npy")) / 1e9
    facts = {"cache_gb": round(size, 1), "disk_mb": round(taken, 1), "frames": len(windows), "windows": drawn}
    return facts | {"anonymous_growth_mb": round(highest - before, 1)}


def main() -> None:
    parser = clocks.options(__doc__)
    parser.add_argument("--data", type=Path, help="a dataset; made-up frames without it")
    parser.add_argument("--only", choices=("speed", "memory"))
    parser.add_argument("--frames", type=int, default=6000, help="made-up frames (74 kB each)")
    parser.add_argument("--seconds", type=float, default=5.0, help="processor seconds of each measurement")
    parser.add_argument("--gigabytes", type=float, default=20.0, help="size of the sparse cache")
    args = parser.parse_args()
    out: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        if args.only != "memory":
            noise = Path(temporary) / "noise"
            windows = Windows([args.data], chunk=16) if args.data else made_up(noise, args.frames, sparse=False)
            out["speed"] = speed(windows, args.seconds)
            limits = {"frames, 2 threads": FRAMES_PER_S, "windows_of_16, 2 threads": WINDOWS_PER_S}  # of two cores
            for name, found in out["speed"].items():
                asked = f", {limits[name]:,} asked for" if name in limits else ""
                both = f"{found['per_cpu_s']:8,} per processor second, {found['per_wall_s']:8,} on the clock"
                print(f"{name:>24}: {both}{asked}")
        if args.only != "speed":
            out["memory"] = memory(Path(temporary) / "sparse", args.gigabytes)
            m = out["memory"]
            grown = f"private memory grew by {m['anonymous_growth_mb']} MB, {GROWTH_MB} allowed"
            held = f"{m['cache_gb']} GB ({m['disk_mb']} MB on the disk)"
            print(f"sparse cache of {held}, {m['windows']} windows: {grown}")
    if args.json:
        print(json.dumps(out))


if __name__ == "__main__":
    main()
