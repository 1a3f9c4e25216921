"""Processor seconds to convert 10,000 frames (96x96, two cameras with masks) between formats.

python benchmarks/convert.py --data runs/demos          any dataset of ours; its episodes are repeated up to --frames
.venv-interop/bin/python benchmarks/convert.py ...      with RLDS too (PYTHONPATH=.typing)
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import resource
import tempfile
from pathlib import Path

import clocks

from toyshift.data.episode import write_episode
from toyshift.data.formats.convert import convert
from toyshift.data.store.dataset import open_dataset
from toyshift.data.store.lerobot import finalize

LIMIT = 60.0  # seconds for 10,000 frames


def make(src: Path, out: Path, frames: int) -> int:
    """Repeats a dataset's episodes until there are at least so many frames; returns how many."""
    dataset = open_dataset(src)
    number = total = 0
    while total < frames:
        episode = dataset.episode(number % dataset.num_episodes)
        write_episode(out, dataclasses.replace(episode, index=number, meta=episode.meta | {"copy": number}))
        number, total = number + 1, total + len(episode)
    finalize(out, dataset.action_contract, dataset.observation_contract, {})
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--frames", type=int, default=10_000)
    args = parser.parse_args()
    ways = [("lerobot", "robomimic"), ("robomimic", "lerobot")]
    if importlib.util.find_spec("tensorflow_datasets"):
        import tensorflow_datasets  # noqa: F401  its import (2 to 20 s) is no conversion

        ways += [("lerobot", "rlds"), ("rlds", "lerobot")]
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        clock = clocks.Clock()
        frames = make(args.data, root / "source", args.frames)
        print(f"made {frames} frames in {clock.stopped().cpu:.1f} s")
        places = {"robomimic": root / "file.hdf5", "rlds": root / "folder"}
        rows = []
        for source, target in ways:
            src = root / "source" if source == "lerobot" else places[source]
            dst = root / f"from_{source}" if target == "lerobot" else places[target]
            clock = clocks.Clock()
            convert(src, dst, target)
            times = clock.stopped()
            cpu = times.cpu * 1e4 / frames  # of 10,000 frames
            rows.append({
                "from": source, "to": target, "frames": frames, "cpu_s": round(times.cpu, 1), "ok": cpu < LIMIT,
                "cpu_s_per_10000": round(cpu, 1), "wall_s": round(times.wall, 1),
            })  # fmt: skip
            pace = f"{cpu:6.1f} s of processor per 10,000 frames ({times.wall:.1f} s on the clock)"
            print(f"{source:>10} -> {target:<10} {pace}, {frames / times.cpu:,.0f} frames/s")
        print(json.dumps({"rows": rows, "max_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
