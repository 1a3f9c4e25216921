"""Episodes a minute of `toyshift evaluate` over a shift matrix: several shifts of the same starts beside the control.

python benchmarks/shift_matrix.py --policy runs/quickstart/policies/detpool --json
python benchmarks/shift_matrix.py --policy runs/quickstart/policies/detpool --where

The first plays the command twice, with few starts and with many, in new folders: on the clock with starting up, on the
clock without it (the difference of the two), and in processor seconds of all its processes, which are all that means
something on a shared machine. The second says where the time goes: shares of processor time in one process.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import clocks

from toyshift.core.manifest import manifest

ASKED = 1000  # episodes a minute on two cores
SHIFTS = (
    "", "camera-azimuth=3", "camera-elevation=3", "camera-distance=3", "camera-fov=3", "light-direction=3",
    "light-intensity=3", "light-colour=3", "table-colour=3", "table-texture=3", "background=3", "distractors=3",
    "object-colour=3", "object-texture=3", "object-size=3", "robot-start=3", "robot-colour=3", "image-noise=3",
    "image-blur=3", "mask-jitter=3",
)  # fmt: skip


def play(args: argparse.Namespace, trials: int, out: Path) -> clocks.Times:
    """Runs the command; returns how long it took; it and its workers are children."""
    command = [sys.executable, "-m", "toyshift.scripts", "evaluate", "--policy", args.policy, "--no-references"]
    command += ["--objects", args.objects, "--trials", str(trials), "--workers", str(args.workers), "--out", str(out)]
    for shift in SHIFTS:
        command += ["--shift", shift or "camera-azimuth=0"]
    clock = clocks.Clock()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return clock.stopped()


def rates(args: argparse.Namespace) -> dict[str, Any]:
    """Returns episodes a minute."""
    few, many = max(1, args.trials // 4), max(2, args.trials)
    with tempfile.TemporaryDirectory() as temporary:
        short, long = (play(args, trials, Path(temporary) / str(trials)) for trials in (few, many))
    episodes, extra = many * len(SHIFTS), (many - few) * len(SHIFTS)
    return {
        "episodes": episodes, "shifts": len(SHIFTS), "workers": args.workers,
        "per_minute": round(60 * extra / (long.wall - short.wall)) if long.wall > short.wall else None,
        "per_minute_with_start": round(60 * episodes / long.wall),
        "cpu_ms_per_episode": round(1000 * (long.children - short.children) / extra, 1),
        "per_minute_of_two_processors": round(120 * extra / (long.children - short.children)),
        "load": round(os.getloadavg()[0], 1),
    }


class Shares:
    """Processor time by stage: of a function without the stages that it calls."""

    def __init__(self) -> None:
        self.spent: collections.Counter[str] = collections.Counter()
        self._inside: list[float] = []

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Counts the time of a function of a module or class as a stage's."""
        function: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            self._inside.append(0.0)
            try:
                return function(*args, **kwargs)
            finally:
                whole, inside = time.process_time() - start, self._inside.pop()
                self.spent[stage] += whole - inside  # type: ignore[assignment]
                if self._inside:
                    self._inside[-1] += whole

        setattr(owner, name, watched)


def where(args: argparse.Namespace) -> dict[str, float]:
    """Returns the share of every stage [%], and processor milliseconds of an episode."""
    import mujoco

    from toyshift.diagnostics import evaluation
    from toyshift.envs.render.renderer import Renderer
    from toyshift.envs.tasks.grasp import GraspEnv
    from toyshift.policies.act.torch_policy import TorchPolicy

    plain = evaluation.EvaluateConfig(args.policy, args.objects, trials=args.trials)
    shares = Shares()
    with tempfile.TemporaryDirectory() as temporary:
        # Libraries are imported, and GL is started, before anything is counted.
        warm = dataclasses.replace(plain, trials=1, seed=1)
        evaluation.evaluate(warm, Path(temporary) / "warm.parquet", workers=0, progress=False)
        for owner, name, stage in (
            (evaluation, "evaluate_all", "rows and all else"), (GraspEnv, "reset", "reset"),
            (GraspEnv, "command", "inverse kinematics"), (GraspEnv, "simulate", "physics"),
            (GraspEnv, "outcome", "judging, info"), (GraspEnv, "observe", "observation, noise"),
            (Renderer, "render", "image and mask: Python"), (mujoco, "mjr_render", "image and mask: GL"),
            (mujoco, "mjr_readPixels", "image and mask: GL"), (TorchPolicy, "act", "network"),
        ):  # fmt: skip
            shares.watch(owner, name, stage)
        asked = [
            (dataclasses.replace(plain, shift=shift), Path(temporary) / f"{i}.parquet")
            for i, shift in enumerate(SHIFTS)
        ]
        evaluation.evaluate_all(asked, workers=0, progress=False)
    total = sum(shares.spent.values())
    told = {stage: round(100 * spent / total, 1) for stage, spent in shares.spent.most_common()}
    return told | {"cpu_ms_per_episode": round(1000 * total / (args.trials * len(SHIFTS)), 1)}


def main() -> None:
    parser = clocks.options(__doc__)
    parser.add_argument("--policy", default="runs/quickstart/policies/detpool")
    parser.add_argument("--objects", default="toys:test")
    parser.add_argument("--trials", type=int, default=100, help="starts, each under every shift")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--where", action="store_true", help="shares of processor time, in one process")
    args = parser.parse_args()
    if args.where:
        out: dict[str, Any] = where(args)
        for stage, share in out.items():
            print(f"{stage:<28}{share:8.1f}")
    else:
        out = rates(args)
        print(
            f"{out['per_minute']} episodes a minute on the clock at load {out['load']} "
            f"({out['per_minute_with_start']} with starting up), {out['per_minute_of_two_processors']} of two "
            f"processors; {ASKED} asked for"
        )
    if args.json:
        print(json.dumps(out | {"manifest": manifest(vars(args), seed=0)}))


if __name__ == "__main__":
    main()
