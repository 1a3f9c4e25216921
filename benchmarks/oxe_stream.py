"""Private memory while an RLDS dataset of RT-1's encoding is streamed: one 50 times as large must not take more.

PYTHONPATH=.typing .venv-interop/bin/python benchmarks/oxe_stream.py --json

It needs tensorflow_datasets (`make test-interop` makes that environment). The data are noise, so that nothing is
compressed. The large dataset has the small one's files again and again, by hard links: on the disk it takes no room,
but nothing of TensorFlow or ToyShift knows that. Each measurement is a process of its own, and draws as many episodes:
the small dataset comes round 50 times.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clocks
import numpy as np

from toyshift.data.formats.exchange import open_stream
from toyshift.data.formats.rlds import oxe_mixture_stream

NAME = "fractal20220817_data"
STEPS, SHARD = 15, 5  # of an episode; episodes of a file
ALLOWED_MB = 64.0  # that the large dataset may take more; its decoded frames are several times that


def write_small(root: Path, episodes: int, side: int) -> Path:
    """Writes a dataset in RT-1's encoding with tfds; returns its folder."""
    import tensorflow_datasets as tfds

    f: Any = tfds.features

    def vector(size: int) -> Any:
        return f.Tensor(shape=(size,), dtype=np.float32)

    step = {
        "observation": {
            "image": f.Image(shape=(side, side, 3), encoding_format="png"), "base_pose_tool_reached": vector(7),
            "gripper_closed": vector(1),
            "natural_language_instruction": f.Text(),
        },
        "action": {"world_vector": vector(3), "rotation_delta": vector(3), "gripper_closedness_action": vector(1)},
        "reward": f.Scalar(np.float32),
    }  # fmt: skip
    folder = root / NAME / "0.1.0"
    folder.mkdir(parents=True)
    version = tfds.core.Version("0.1.0")
    identity = tfds.core.DatasetIdentity(name=NAME, version=version, data_dir=str(folder), module_name="")
    features = f.FeaturesDict({"steps": f.Dataset(step), "episode_metadata": {"file_path": f.Text()}})
    info = tfds.core.DatasetInfo(builder=identity, features=features)
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=SHARD, overwrite=False)
    writer.initialize_splits(["train"])
    rng = np.random.default_rng(0)
    for _ in range(episodes):
        steps = [
            {
                "observation": {
                    "image": rng.integers(0, 256, (side, side, 3), np.uint8),
                    "base_pose_tool_reached": rng.normal(size=7).astype(np.float32),
                    "gripper_closed": rng.random(1, np.float32), "natural_language_instruction": "pick coke can",
                },
                "action": {
                    "world_vector": rng.normal(size=3).astype(np.float32),
                    "rotation_delta": rng.normal(size=3).astype(np.float32),
                    "gripper_closedness_action": rng.uniform(-1, 1, 1).astype(np.float32),
                },
                "reward": 0.0,
            } for _ in range(STEPS)
        ]  # fmt: skip
        writer.add_examples({"train": [{"steps": steps, "episode_metadata": {"file_path": "x"}}]})
    writer.close_all()
    return folder


def write_large(small: Path, root: Path, times: int) -> Path:
    """Makes a dataset with the files of the small one so many times over."""
    folder = root / NAME / "0.1.0"
    folder.mkdir(parents=True)
    shards = sorted(small.glob("*.tfrecord-*"))
    for i in range(times * len(shards)):
        source = shards[i % len(shards)]
        os.link(source, folder / f"{source.name.split('.tfrecord-')[0]}.tfrecord-{i:05d}")
    info = json.loads((small / "dataset_info.json").read_text())
    for split in info["splits"]:
        split["shardLengths"] = split["shardLengths"] * times
        split["numBytes"] = str(int(split["numBytes"]) * times)
    (folder / "dataset_info.json").write_text(json.dumps(info))
    os.link(small / "features.json", folder / "features.json")
    return folder


def draw(root: Path, way: str) -> Iterator[Any]:
    """Yields episodes for ever: drawn for training, or as a conversion reads them."""
    if way == "mixture":
        return oxe_mixture_stream(root, {NAME: 1.0})

    def again() -> Iterator[Any]:
        while True:
            yield from open_stream(root / NAME).episodes(0)

    return again()


def watch(root: Path, way: str, draws: int, warm: int) -> dict[str, float]:
    """Draws episodes; returns private memory after the first `warm` and the most after that [MB]."""
    before = most = 0.0
    for i, _ in zip(range(draws), draw(root, way), strict=False):
        if i == warm:
            before = clocks.private_mb()
        if i >= warm and i % 5 == 0:
            most = max(most, clocks.private_mb())
    return {"after_warming_mb": round(before, 1), "most_mb": round(most, 1)}


def main() -> None:
    parser = clocks.options(__doc__)
    parser.add_argument("--episodes", type=int, default=20, help="of the small dataset")
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--side", type=int, default=96, help="of the pictures [pixels]")
    parser.add_argument("--way", choices=("mixture", "convert"), action="append", help="both without it")
    parser.add_argument("--watch", nargs=4, metavar=("ROOT", "WAY", "DRAWS", "WARM"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.watch:
        root, way, draws, warm = args.watch
        print(json.dumps(watch(Path(root), way, int(draws), int(warm))))
        return
    draws = args.episodes * args.times
    decoded = round(draws * STEPS * 3 * args.side**2 / 1e6, 1)
    out: dict[str, Any] = {"episodes": [args.episodes, draws], "decoded_mb": decoded, "allowed_mb": ALLOWED_MB}
    with tempfile.TemporaryDirectory() as temporary:
        roots = {"small": Path(temporary) / "small", "large": Path(temporary) / "large"}
        write_large(write_small(roots["small"], args.episodes, args.side), roots["large"], args.times)
        for way in args.way or ("mixture", "convert"):
            found = {}
            for name, root in roots.items():
                command = [sys.executable, __file__, "--watch", str(root), way, str(draws), str(args.episodes)]
                told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                found[name] = json.loads(told.splitlines()[-1])
            small, large = (found[name]["most_mb"] for name in ("small", "large"))
            out[way] = found | {"more_mb": round(large - small, 1)}
            both = f"{small} MB from {args.episodes} that come again, {large} MB from {draws}"
            print(f"{way}: {draws} episodes, {both}; {decoded} MB decoded")
    if args.json:
        print(json.dumps(out))


if __name__ == "__main__":
    main()
