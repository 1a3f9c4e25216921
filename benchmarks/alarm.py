"""The alarm of a bundle in the simulator: false alarms, alarms by shift and level, and what it cannot see.

python benchmarks/alarm.py BUNDLE --data DATASET --episodes 200 --json runs/alarm.json
python benchmarks/alarm.py BUNDLE --data DATASET --held-out 40 --episodes 40 --shifted 20 --levels 3 --shifts background

Fits it on the training's data and on episodes of the purpose "validation", plays fresh ones of the purpose "test",
without a shift and under each, and tells how often it sounds, how often the policy succeeds, and in how many failures
it is silent. The intervals are Wilson's.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.diagnostics.alarm_fit import PlayedEpisode, dataset_features, play
from toyshift.diagnostics.statistics import wilson
from toyshift.policies.act.onnx_policy import OnnxPolicy
from toyshift.policies.safety import Alarm

# seen: the look of the scene and of masks; unseen: what changes nothing in an image before it is too late
SHIFTS = (
    "camera-azimuth", "light-intensity", "table-texture", "background", "distractors", "object-colour", "object-size",
    "robot-start", "image-noise", "image-blur", "mask-outline", "mask-wrong",
    "object-mass", "object-friction", "action-latency", "action-noise",
)  # fmt: skip


def share(k: int, n: int) -> dict[str, float | int]:
    """Returns a share with its interval."""
    low, high = wilson(k, n) if n else (0.0, 1.0)
    return {"k": k, "n": n, "value": k / n if n else float("nan"), "low": float(low), "high": float(high)}


def told(alarm: Alarm, episodes: Sequence[PlayedEpisode]) -> dict[str, Any]:
    """Returns how episodes went, and how often the alarm sounded in them."""
    scores = [max(map(alarm.score, one.features)) for one in episodes]
    sounds = np.array([alarm.sounds(score) for score in scores])
    good = np.array([one.success for one in episodes])
    return {
        "success": share(int(good.sum()), len(good)), "alarms": share(int(sounds.sum()), len(sounds)),
        "silent_failures": share(int((~sounds & ~good).sum()), int((~good).sum())), "score": float(np.median(scores)),
    }  # fmt: skip


def measure(asked: argparse.Namespace) -> dict[str, Any]:
    policy = OnnxPolicy(asked.bundle, asked.bundle.resolve().name)
    training = np.concatenate(dataset_features(policy, asked.data))
    held = play(policy, asked.objects, range(asked.held_out), purpose="validation")
    alarm = Alarm.fit(training, [one.features for one in held], asked.share)
    fresh = play(policy, asked.objects, range(asked.episodes), purpose="test")
    rows = {"": {"0": told(alarm, fresh)}}
    for shift in asked.shifts:
        rows[shift] = {
            str(level): told(alarm, play(
                policy, asked.objects, range(asked.shifted), purpose="test", shift=f"{shift}={level}"
            ))
            for level in asked.levels
        }  # fmt: skip
    return {
        "bundle": str(asked.bundle), "threshold": alarm.threshold, "share": asked.share, "held_out": asked.held_out,
        "objects": asked.objects, "rows": rows,
    }  # fmt: skip


def table(found: dict[str, Any]) -> str:
    """Returns the table that is printed."""
    lines = [f"{'shift':<18} level   alarms              success             failures without an alarm"]
    for shift, levels in found["rows"].items():
        for level, row in levels.items():
            cells = [
                f"{one['value']:4.0%} ({one['low']:.0%}-{one['high']:.0%})" if one["n"] else "none"
                for one in (row["alarms"], row["success"], row["silent_failures"])
            ]
            lines.append(f"{shift or 'none':<18} {level:>5}   " + "".join(f"{cell:<20}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--objects", default="toys:train")
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--shifted", type=int, default=50, help="episodes of each shift and level")
    parser.add_argument("--shifts", nargs="*", default=SHIFTS)
    parser.add_argument("--levels", nargs="*", type=int, default=(1, 3, 5))
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--json", type=Path, help="file to write")
    asked = parser.parse_args()
    found = measure(asked)
    if asked.json:
        from toyshift.core.files import write_json

        write_json(asked.json, json.loads(json.dumps(found).replace("NaN", "null")))
    print(table(found))


if __name__ == "__main__":
    main()
