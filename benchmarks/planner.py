"""How often the planner lifts the objects of each set, with Wilson intervals, and how long it thinks; writes results/planner.json.

python benchmarks/planner.py                                                     toys:train, toys:test, ycb-like
python benchmarks/planner.py --objects toys:train 'ycb:DIR?graspable' --trials 150 --rows runs/planner

The rows are those of `toyshift evaluate --policy oracle`; an interrupted run goes on. Times are of the first plan of an episode, processor
time of one thread: the busy neighbours of a shared machine still make it longer, but do not count as such.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path

import numpy as np

from toyshift.core.errors import GraspError
from toyshift.core.files import write_json
from toyshift.core.manifest import manifest
from toyshift.data.expert import GraspExpert
from toyshift.envs.grasp import GraspEnv
from toyshift.scripts.evaluate import Config
from toyshift.scripts.evaluate import main as evaluate


def planning_ms(objects: str, episodes: int) -> list[float]:
    """Processor time of the first plan of each episode [ms]; an episode without a plan counts."""
    env = GraspEnv(objects=objects, cameras=())
    expert, times = GraspExpert(env), []
    for episode in range(-1, episodes):  # the first one warms up and is not counted
        env.reset(seed=0, options={"episode": max(episode, 0), "object": max(episode, 0) % len(env.objects)})
        begun = time.process_time()
        with contextlib.suppress(GraspError):
            expert.reset(0, max(episode, 0))
        if episode >= 0:
            times.append(1000 * (time.process_time() - begun))
    env.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", nargs="+", default=["toys:train", "toys:test", "ycb-like"])
    parser.add_argument("--trials", type=int, default=150)
    parser.add_argument("--plans", type=int, default=78, help="episodes per set whose planning is timed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=Path, default=Path("runs/planner"))
    parser.add_argument("--out", type=Path, default=Path("results/planner.json"))
    args = parser.parse_args()
    summaries = evaluate(Config(policy=("oracle",), objects=tuple(args.objects), trials=args.trials, out=args.rows, workers=args.workers, no_references=True))["summaries"]
    for summary, objects in zip(summaries, args.objects, strict=True):
        times = planning_ms(objects, args.plans)
        summary["planning_ms"] = {name: round(float(np.percentile(times, share)), 1) for name, share in (("median", 50), ("p90", 90), ("max", 100))}
        print(objects, summary["planning_ms"])
    facts = manifest({"objects": args.objects, "trials": args.trials, "plans": args.plans}, 0)
    write_json(args.out, {"sets": summaries, "manifest": facts})


if __name__ == "__main__":
    main()
