"""Makes the reference scales that diversity is measured in: diagnostics/assets/scales/*.npz.

python benchmarks/reference_scale.py                               both shipped files, a few minutes
python benchmarks/reference_scale.py --encoder vit-small --encoder-weights dinov2:FILE.safetensors --out mine.npz
                                                                   for `toyshift diagnose --data A B --scale mine.npz`

Reference pictures are the first images of the front camera of 1,000 episodes with training toys, each under a look
drawn over the whole range of every factor of a look and under one shift of the table that can be seen, factors and
levels in turn. Drivers draw single pixels otherwise; the scale is an average and moves little with that.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from toyshift.core.progress import track
from toyshift.core.seeds import stream
from toyshift.diagnostics.features import LITE0, SIDE, THUMBNAIL, features_of, vectors_of
from toyshift.diagnostics.reference_scale import SHIPPED, make_scale, write_scale
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.envs.shift_table import LEVELS, SHIFT_FACTORS
from toyshift.envs.shifts import OBJECT_COLOURS, Look
from toyshift.envs.textures import BACKGROUNDS, TABLES

PICTURES, SEED, OBJECTS = 1000, 0, "toys:train"
TOLD = f"{OBJECTS} under all looks and visible shifts"
AZIMUTH, LIGHT = 60.0, (0.4, 1.6)  # degrees to either side, and factors: the spans of data/collecting/factors.py
SEEN = [name for name, row in SHIFT_FACTORS.items() if row.visual and "mask" not in row.apply]


def reference_pictures(count: int = PICTURES) -> Iterator[NDArray[np.uint8]]:
    """Yields the first `count` reference pictures, (96, 96, 3); picture i is the same whatever their number."""
    env = GraspEnv(EnvConfig(objects=OBJECTS, cameras=("front",), image_size=SIDE))
    for i in range(count):
        rng = stream(SEED, i)
        look = Look(
            int(rng.integers(len(TABLES))), int(rng.integers(len(BACKGROUNDS))), float(rng.uniform(-AZIMUTH, AZIMUTH)),
            float(rng.uniform(*LIGHT)), int(rng.integers(len(OBJECT_COLOURS))),
        )
        shift = f"{SEEN[i % len(SEEN)]}={1 + i // len(SEEN) % LEVELS}"
        observation, _ = env.reset(seed=SEED, options={"episode": i, "look": look, "shift": shift})
        yield np.array(observation["pixels"]["front"])
    env.close()


def main(encoders: list[str], weights: str, out: Path | None) -> None:
    features = [features_of(encoder, weights) for encoder in encoders]
    pictures = np.stack(list(track(reference_pictures(), "reference pictures", PICTURES)))
    for each in features:
        path = out or SHIPPED / f"{each.name}.npz"
        scale = make_scale(vectors_of(each, pictures), each, TOLD)
        write_scale(path, scale)
        inside = float((scale.units.astype(np.float64) ** 2).sum())
        share = inside / (inside + scale.outside**2)
        print(f"{path}: {len(scale.units)} components, {share:.0%} of the variance; {path.stat().st_size} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", help="one encoder instead of the two that are shipped")
    parser.add_argument("--encoder-weights", default="none", help="FAMILY:FILE.safetensors, for --encoder")
    parser.add_argument("--out", type=Path, help="file, with --encoder")
    given = parser.parse_args()
    if bool(given.encoder) != bool(given.out):
        parser.error("--encoder and --out go together")
    main([given.encoder] if given.encoder else [THUMBNAIL, LITE0], given.encoder_weights, given.out)
