"""Threads, memory and endurance of ToyGraspVectorEnv, each in a process of its own.

python benchmarks/vector_env.py                       threads, memory, 200 environments, 20,000 steps
python benchmarks/vector_env.py threads --json        one part, with one JSON object as the last line
python benchmarks/vector_env.py soak --steps 1000000  random control; RSS must stay flat, nothing may be NaN or warn

Threads: environment steps/s with one and two worker threads, with and without images (one camera, RGB and mask), in
turns in one process, medians; every thread draws its own images. Beside it what the machine allows: control steps/s of
`mj_step` alone in one and in two threads (two virtual cores may share one real one). Memory: resident set of a
process with 64 environments, each with a toy of its own, after every one of them has rendered both cameras.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import clocks
import numpy as np

from toyshift.core.manifest import manifest
from toyshift.core.progress import Progress
from toyshift.scripts.measure import steps_per_second

PARTS = ("threads", "memory", "contexts", "soak")
IMAGE_SIZE = 96  # [pixels]


def actions(envs: Any, count: int) -> list[np.ndarray]:
    """Random actions (N, A), drawn before the clock runs."""
    rng = np.random.default_rng(0)
    return [rng.uniform(envs.action_space.low, envs.action_space.high).astype(np.float32) for _ in range(count)]


def threads(options: argparse.Namespace) -> dict[str, Any]:
    """Environment steps/s and the ratio of two threads to one."""
    from toyshift.envs import ToyGraspVectorEnv

    answer: dict[str, Any] = {}
    for name, cameras in (("state", ()), ("images", ("front",))):
        sides = {n: ToyGraspVectorEnv(options.envs, threads=n, cameras=cameras, image_size=IMAGE_SIZE) for n in (1, 2)}
        drawn = actions(sides[1], 64)
        rates: dict[int, list[float]] = {1: [], 2: []}
        for envs in sides.values():
            envs.reset(seed=0)
            envs.step(drawn[0])
        for _ in range(options.repeats):
            for n, envs in sides.items():
                turns = itertools.cycle(drawn)
                rate = steps_per_second(lambda envs=envs, turns=turns: envs.step(next(turns)), options.seconds)
                rates[n].append(options.envs * rate)
        for envs in sides.values():
            envs.close()
        answer[name] = compared(rates)
    return answer | {"ceiling": ceiling(options)}


def ceiling(options: argparse.Namespace) -> dict[str, float]:
    """Control steps/s of `mj_step` alone, which holds no lock of Python's, in one thread and in two, in turns."""
    import mujoco

    from toyshift.envs import GraspEnv

    envs = [GraspEnv(cameras=()) for _ in range(2)]
    for env in envs:
        env.reset(seed=0)
    long = 10 * envs[0].config.substeps

    def physics(env: GraspEnv) -> float:
        model, data = env.scene.model, env.scene.data
        return 10 * steps_per_second(lambda: mujoco.mj_step(model, data, nstep=long), options.seconds)

    rates: dict[int, list[float]] = {1: [], 2: []}
    with ThreadPoolExecutor(2) as pool:
        for _ in range(options.repeats):
            for n, values in rates.items():
                values.append(sum(pool.map(physics, envs[:n])))
    return compared(rates)


def compared(rates: dict[int, list[float]]) -> dict[str, float]:
    """Medians of one thread and of two, and their ratio."""
    one, two = (statistics.median(rates[n]) for n in (1, 2))
    return {"one_thread": round(one, 1), "two_threads": round(two, 1), "ratio": round(two / one, 2)}


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Resident set [MB] of 64 environments with 64 different toys and two cameras each."""
    from toyshift.envs import ToyGraspVectorEnv

    before, start = clocks.resident_mb(), time.perf_counter()
    envs = ToyGraspVectorEnv(64, objects="toys:train?n=64", image_size=IMAGE_SIZE)
    made = time.perf_counter() - start
    envs.reset(seed=0, options={"object": list(range(64))})
    begun = time.perf_counter() - start
    for action in actions(envs, 10):
        envs.step(action)
    different = len({env.scene.loaded for env in envs.envs})
    sizes = {"imports_mb": round(before), "total_mb": round(clocks.resident_mb())}
    envs.close()
    times = {"made_s": round(made, 1), "first_images_s": round(begun, 1)}
    return {"environments": 64, "toys": different, **sizes, **times}


def contexts(options: argparse.Namespace) -> dict[str, Any]:
    """200 environments made, rendered and closed; threads and file descriptors after the first and the last ten."""
    from toyshift.envs import ToyGraspVectorEnv

    counts = []
    with Progress("environments", 200) as bar:
        for _ in range(20):
            envs = ToyGraspVectorEnv(10, objects="toys:train?n=64", cameras=("front",), image_size=32)
            envs.reset(seed=0)
            envs.close()
            places = (("threads", "task"), ("files", "fd"))
            held = {name: len(os.listdir(f"/proc/self/{folder}")) for name, folder in places}
            counts.append(held | {"rss_mb": round(clocks.resident_mb())})
            bar.update(10)
    return {"first": counts[0], "last": counts[-1]}


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """Random control with autoreset; RSS after a tenth of it and at the end."""
    from gymnasium.vector import AutoresetMode

    from toyshift.envs import ToyGraspVectorEnv

    warnings.simplefilter("error")
    cameras = ("front",) if options.images else ()
    mode = AutoresetMode.SAME_STEP
    envs = ToyGraspVectorEnv(options.envs, 100, cameras=cameras, image_size=IMAGE_SIZE, autoreset_mode=mode)
    envs.reset(seed=0)
    drawn, turns = actions(envs, 997), -(-options.steps // options.envs)
    samples, physics, unstable, bad = [], 0, 0, 0
    start = time.perf_counter()
    with Progress("steps", turns * options.envs) as bar:
        for turn in range(turns):
            observation, rewards, _, _, infos = envs.step(drawn[turn % len(drawn)])
            bad += int(not (np.isfinite(observation["agent_pos"]).all() and np.isfinite(rewards).all()))
            if "final_info" in infos:
                unstable += int(np.sum(infos["final_info"]["unstable"]))
            if turn % max(1, turns // 100) == 0:
                samples.append(clocks.resident_mb())
                physics = sum(int(env.scene.data.warning.number.sum()) for env in envs.envs)
            bar.update(options.envs)
    elapsed = time.perf_counter() - start
    envs.close()
    early = statistics.median(samples[len(samples) // 10 : len(samples) // 5 + 1])
    late = statistics.median(samples[-5:])
    return {
        "steps": turns * options.envs, "steps_per_s": round(turns * options.envs / elapsed, 1), "not_finite": bad,
        "unstable_episodes": unstable, "mujoco_warnings": physics, "rss_early_mb": round(early, 1),
        "rss_late_mb": round(late, 1), "growth_percent": round(100 * (late / early - 1), 2),
    }  # fmt: skip


def isolated(part: str) -> dict[str, Any]:
    """Runs one part in a process of its own, with this one's options."""
    arguments = [word for word in sys.argv[1:] if word not in PARTS and word != "--json"]
    command = [sys.executable, __file__, part, *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer["results"][part]  # type: ignore[no-any-return]


def main() -> int:
    """Prints a line per figure, and with --json one JSON object as the last line."""
    parser = clocks.options(__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--envs", type=int, default=8, help="environments in threads and soak (default 8)")
    parser.add_argument("--repeats", type=int, default=7, help="turns per side in threads (default 7)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one turn [s] (default 1)")
    parser.add_argument("--steps", type=int, default=20_000, help="environment steps of the soak (default 20,000)")
    parser.add_argument("--images", action="store_true", help="the soak renders one camera")
    options = parser.parse_args()
    load = clocks.load()
    parts = options.parts or list(PARTS)
    functions = {"threads": threads, "memory": memory, "contexts": contexts, "soak": soak}
    results = {part: functions[part](options) if len(parts) == 1 else isolated(part) for part in parts}
    for part, answer in results.items():
        for name, value in answer.items():
            print(f"{part:<10}{name:<20}{value}")
    if options.json:
        facts = manifest({k: v for k, v in vars(options).items() if k != "parts"}, seed=0)
        print(json.dumps({"results": results, "load_before": load, "manifest": facts}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
