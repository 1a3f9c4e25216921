r"""How often the expert lifts the objects of each set, with intervals, and how long it searches for grasps.

examples:
  python benchmarks/grasp_search.py                                        toys:train, toys:test, ycb-like, seed 2
  python benchmarks/grasp_search.py --objects ycb-like 'ycb:DIR?graspable'   real YCB objects too (DIR: their folder)
  python benchmarks/grasp_search.py --objects toys:train --trials 20 --plans 20 --seed 3 --rows runs/try \
      --out runs/try/planner.json

The rows are those of `toyshift evaluate --policy oracle`; an interrupted run goes on. The searches were tuned on seed
0, so measure on another. Times are of the first plan of an episode, processor time of one thread: the busy neighbours
of a shared machine still make it longer, but do not count as such.
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
from toyshift.data.grasping.choose import make_expert
from toyshift.diagnostics import per_object, read_rows
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.scripts.evaluate import Config
from toyshift.scripts.evaluate import main as evaluate


def planning_ms(objects: str, episodes: int, seed: int) -> list[float]:
    """Processor time of the first plan of each episode [ms]; an episode without a plan counts."""
    env = GraspEnv(objects=objects, cameras=())
    expert, times = make_expert(env), []
    for episode in range(-1, episodes):  # the first one warms up and is not counted
        env.reset(seed=seed, options={"episode": max(episode, 0), "object": max(episode, 0) % len(env.objects)})
        begun = time.process_time()
        with contextlib.suppress(GraspError):
            expert.reset(seed, max(episode, 0))
        if episode >= 0:
            times.append(1000 * (time.process_time() - begun))
    env.close()
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", nargs="+", default=["toys:train", "toys:test", "ycb-like"], help="object sets")
    parser.add_argument("--trials", type=int, default=150, help="episodes per set; the objects take turns")
    parser.add_argument("--seed", type=int, default=2, help="root seed of episodes and timed plans")
    parser.add_argument("--plans", type=int, default=78, help="episodes per set whose planning is timed")
    parser.add_argument("--workers", type=int, default=2, help="processes that play")
    parser.add_argument("--rows", type=Path, default=Path("runs/planner"), help="folder of the rows, one per episode")
    parser.add_argument("--out", type=Path, default=Path("results/planner.json"), help="file to write")
    args = parser.parse_args()
    sets = tuple(args.objects)
    config = Config(
        policy=("oracle",), objects=sets, trials=args.trials, seed=args.seed, out=args.rows, workers=args.workers,
        no_references=True,
    )  # fmt: skip
    summaries = evaluate(config)["summaries"]
    rows = read_rows(args.rows / "rows.parquet")
    for summary in summaries:
        objects = summary["object_set"]
        lifted = per_object(row for row in rows if row.object_set == objects)
        summary["not_always_lifted"] = {name: f"{k} of {n}" for name, (k, n) in lifted.items() if k < n}
        times = planning_ms(objects, args.plans, args.seed)
        shares = {"median": 50, "p90": 90, "max": 100}
        summary["planning_ms"] = {name: round(float(np.percentile(times, share)), 1) for name, share in shares.items()}
        print(objects, summary["planning_ms"], summary["not_always_lifted"])
    facts = manifest({"objects": args.objects, "trials": args.trials, "plans": args.plans}, args.seed)
    write_json(args.out, {"sets": summaries, "manifest": facts})


if __name__ == "__main__":
    main()
