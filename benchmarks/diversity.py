"""Measures planted image sets: does diversity move with what was planted, alone and in company? For docs/diversity.md.

python benchmarks/diversity.py --out results/diversity.json       both shipped encoders, some minutes

Image noise: one picture and squares of 12 x 12 pixels that vary around it by an amplitude [of 255]. Blends: the same
share of the way [%] from one picture to 32 others of all tables and viewpoints. Everything else is rendered: the same
32 starts of episodes, seen from K viewpoints evenly over 120 degrees, with K toys (at one start as well), from a range
of viewpoints; and as two sub-datasets whose viewpoints lie an angle apart, 10 degrees wide each.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.files import write_json
from toyshift.core.manifest import manifest
from toyshift.core.seeds import stream
from toyshift.diagnostics.diversity import measure_vectors, scale_of
from toyshift.diagnostics.features import LITE0, THUMBNAIL, features_of, vectors_of
from toyshift.diagnostics.reference_scale import Scale
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.envs.shifts import Look

EPISODES, SEED = 32, 1
AMPLITUDES, COUNTS, RANGES, ANGLES = (1, 2, 5, 10, 20, 40), (1, 2, 4, 8), (0, 20, 50, 120), (0, 15, 35, 80)
SHARES = (2, 5, 10, 20, 40, 100)
APART = "two sub-datasets, angle [deg]"
Images = NDArray[np.uint8]


def noise(picture: Images, amplitude: float) -> Images:
    """Returns 32 pictures (32, 96, 96, 3) that vary around one: the same directions at every amplitude."""
    drawn = stream(SEED, 0).uniform(-1, 1, (EPISODES, 8, 8, 3)).repeat(12, axis=1).repeat(12, axis=2)
    return np.clip(np.round(picture + amplitude * drawn), 0, 255).astype(np.uint8)


def planted() -> dict[str, Any]:
    """Renders what is measured: "sets" (what -> level -> set), "pairs" (angle -> two sets), and "company"."""
    env = GraspEnv(EnvConfig(objects="toys:train", cameras=("front",), image_size=96))

    def shown(look: Callable[[int], Look], toys: int = 250, starts: int = EPISODES) -> Images:
        frames = []
        for i in range(EPISODES):
            options = {"episode": i % starts, "look": look(i), "object": (37 * i) % toys}
            frames.append(np.array(env.reset(seed=SEED, options=options)[0]["pixels"]["front"]))
        return np.stack(frames)

    def turned(centre: float, width: float) -> Images:
        return shown(lambda i: Look(azimuth=centre + width * ((i * 0.618034) % 1.0 - 0.5)))

    def views(count: int) -> Images:
        return shown(lambda i: Look(azimuth=float(np.linspace(-60, 60, count)[i % count]) if count > 1 else 0.0))

    plain = shown(lambda i: Look())
    mixed = shown(lambda i: Look(table=i % 6, azimuth=float(np.linspace(-60, 60, EPISODES)[i]))).astype(np.float64)
    base = np.clip(plain[0], 45, 210)  # so that nothing is cut off at black or white
    sets = {
        "image noise, amplitude": {level: noise(base, level) for level in AMPLITUDES},
        "blends, share [%]": {k: np.round(base + k / 100 * (mixed - base)).astype(np.uint8) for k in SHARES},
        "viewpoints, number": {count: views(count) for count in COUNTS},
        "toys, number": {count: shown(lambda i: Look(), count) for count in COUNTS},
        "toys at one start, number": {count: shown(lambda i: Look(), count, 1) for count in COUNTS},
        "viewpoints, range [deg]": {width: turned(0.0, width) for width in RANGES},
    }
    pairs = {angle: (turned(-angle / 2, 10.0), turned(angle / 2, 10.0)) for angle in ANGLES}
    company = {"another table": shown(lambda i: Look(table=2)), "all tables": shown(lambda i: Look(table=i % 4))}
    env.close()
    return {"sets": sets, "pairs": pairs, "company": company}


def measured(vectors: dict[str, Any], scale: Scale) -> dict[str, Any]:
    """Returns diversity and spread of each set alone and in company, and disparity and distance of each pair."""
    sets, pairs, others = vectors["sets"], vectors["pairs"], vectors["company"]
    out: dict[str, Any] = {}
    for what, levels in sets.items():
        out[what] = {}
        for level, own in levels.items():
            alone, beside = (measure_vectors({"it": own} | more, scale) for more in ({}, others))
            out[what][level] = {
                "diversity": alone.within["it"].to_json(), "in company": beside.within["it"].value,
                "spread": alone.spread["it"],
            }
    out[APART] = {}
    for angle, (left, right) in pairs.items():
        both = {"left": left, "right": right}
        alone, beside = (measure_vectors(both | more, scale) for more in ({}, others))
        out[APART][angle] = {
            "disparity": alone.between[0].disparity.to_json(), "in company": beside.between[0].disparity.value,
            "apart": alone.between[0].apart, "diversity": alone.diversity.value,
            "fragmentation": alone.fragmentation.value if alone.fragmentation else None,
        }
    return out


def by_encoder(encoder: str, images: dict[str, Any]) -> dict[str, Any]:
    """Returns the results of one encoder: its name, or its name and the scale -> what was measured."""
    features = features_of(encoder)

    def seen(pictures: Any) -> Any:
        """Returns the same dictionaries and tuples, with vectors in place of pictures."""
        if isinstance(pictures, dict):
            return {key: seen(value) for key, value in pictures.items()}
        return tuple(map(seen, pictures)) if isinstance(pictures, tuple) else vectors_of(features, pictures)

    vectors = seen(images)
    shipped = measured(vectors, scale_of("shipped", features))
    return {encoder: shipped, f"{encoder}, unit": measured(vectors, scale_of("unit", features))}


def table(results: dict[str, dict[str, Any]]) -> str:
    """Returns the rows of docs/diversity.md."""
    lines = ["| planted | | " + " | ".join(results) + " |", "|---|---|" + "---|" * len(results)]
    first = next(iter(results.values()))
    for what, levels in first.items():
        key = "disparity" if "disparity" in next(iter(levels.values())) else "diversity"
        for kind in (key, "spread" if key == "diversity" else "apart"):
            cells = []
            for result in results.values():
                found = [row[kind] for row in result[what].values()]
                numbers = [f"{v['value']:.2f}" if isinstance(v, dict) else f"{v:.3f}" for v in found]
                cells.append(", ".join(numbers))
            name = f"{what} {', '.join(map(str, levels))}" if kind == key else ""
            lines.append(f"| {name} | {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/diversity.json"))
    given = parser.parse_args()
    PLANTED = planted()
    RESULTS = by_encoder(THUMBNAIL, PLANTED) | by_encoder(LITE0, PLANTED)
    write_json(given.out, {"results": RESULTS, "manifest": manifest(seed=SEED)})
    print(table(RESULTS))
