"""Where the time of one control step and of one reset goes, beside what cannot be gone below.

python benchmarks/where_time_goes.py
python benchmarks/where_time_goes.py --json

Step: the environment's step without images and with one camera of 128x128 (RGB and mask), beside MuJoCo alone
(`mj_step` for the same physics steps from the same states) and GL alone (drawing and reading back the same scene twice,
without updating it). Reset: a new episode with the object that is loaded, with another toy that was played before, and
with a toy never seen before. One process, one thread (LP_NUM_THREADS=1); the kinds take turns; medians.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import clocks
import numpy as np

from toyshift.core.manifest import manifest
from toyshift.scripts.measure import IMAGE_SIZE, fixed_gl

REPEATS, CALLS = 15, 40
RESETS = 40


def timed(call: Callable[[], Any], calls: int = CALLS) -> float:
    """Milliseconds per call."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return 1000 * (time.perf_counter() - start) / calls


def steps(physics_dt: float, control_hz: float) -> dict[str, float]:
    """Milliseconds per control step: in all, and of its parts alone."""
    import mujoco

    from toyshift.envs import EnvConfig, GraspEnv

    options: dict[str, Any] = {"objects": "toys:train?n=4", "image_size": IMAGE_SIZE}
    options |= {"control_hz": control_hz, "physics_dt": physics_dt}
    blind, seeing = GraspEnv(EnvConfig(cameras=(), **options)), GraspEnv(EnvConfig(cameras=("front",), **options))
    rng = np.random.default_rng(0)
    contract = blind.action_contract
    actions = iter(rng.uniform(contract.low, contract.high, (200_000, contract.size)).astype(np.float32))
    for env in (blind, seeing):
        env.reset(seed=0)
    model, data, kinematics = blind.scene.model, blind.scene.data, blind.inverse_kinematics
    renderer = seeing.renderer()
    renderer.render("front", IMAGE_SIZE)

    def physics() -> None:
        data.ctrl[blind.scene.arm.ctrl] = blind.commanded_joints()
        mujoco.mj_step(model, data, nstep=blind.config.substeps)

    parts: dict[str, Callable[[], Any]] = {
        "step, no images": lambda: blind.step(next(actions)),
        "mj_step alone": physics,
        "inverse kinematics": lambda: kinematics().solve(blind.commanded_joints(), *blind.commanded_pose()),
        "judging, contacts, reward, info": lambda: (blind._measure(), blind._reward(), blind._info()),
        "step, one camera": lambda: seeing.step(next(actions)),
        "image and mask": lambda: renderer.render("front", IMAGE_SIZE),
        "GL alone": lambda: draw_alone(renderer),
    }
    figures: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(REPEATS):
        for name, call in parts.items():
            figures[name].append(timed(call))
    for env in (blind, seeing):
        env.close()
    return {name: statistics.median(values) for name, values in figures.items()}


def draw_alone(renderer: Any) -> None:
    """Draws and reads back the scene as it is, in colour and in identity colours."""
    import mujoco

    viewport = mujoco.MjrRect(0, 0, IMAGE_SIZE, IMAGE_SIZE)
    image = np.empty((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    flags, switches = renderer._view.flags, (mujoco.mjtRndFlag.mjRND_SEGMENT, mujoco.mjtRndFlag.mjRND_IDCOLOR)
    for flat in (False, True):
        for switch in switches:
            flags[switch] = flat
        mujoco.mjr_render(viewport, renderer._view, renderer._context)
        mujoco.mjr_readPixels(image, None, viewport, renderer._context)
    for switch in switches:
        flags[switch] = False


def resets() -> dict[str, float]:
    """Milliseconds per reset without images: medians, and the largest of new toys."""
    from toyshift.envs import EnvConfig, GraspEnv

    env = GraspEnv(EnvConfig(objects=f"toys:train?n={2 * RESETS}", cameras=()))
    env.reset(seed=0, options={"object": 0})
    figures: dict[str, list[float]] = {"same toy": [], "toy played before": [], "toy never seen": []}
    objects = [env.objects[i] for i in range(2 * RESETS)]  # drawn and meshed by the object set, not by the environment
    for i in range(1, RESETS):
        for name, which in (("toy never seen", i), ("same toy", i), ("toy played before", i - 1)):
            start = time.perf_counter()
            env.reset(options={"object": which})
            figures[name].append(1000 * (time.perf_counter() - start))
    env.close()
    assert len(objects) == 2 * RESETS
    start = time.perf_counter()
    fresh = GraspEnv(EnvConfig(objects="toys:train?n=4", cameras=()))
    made = 1000 * (time.perf_counter() - start)
    fresh.close()
    medians = {name: statistics.median(values) for name, values in figures.items()}
    return medians | {"toy never seen, slowest": max(figures["toy never seen"]), "environment made": made}


def main() -> int:
    """Prints tables, and with --json one JSON object as the last line."""
    parser = clocks.options(__doc__)
    options = parser.parse_args()
    gl = fixed_gl()
    load = clocks.load()
    results: dict[str, dict[str, float]] = {}
    kinds = {"20 Hz, 2 ms": (0.002, 20.0), "10 Hz, 4 ms (default)": (0.004, 10.0), "20 Hz, 5 ms": (0.005, 20.0)}
    for name, (dt, rate) in kinds.items():
        results[name] = steps(dt, rate)
    results["reset"] = resets()
    for title, parts in results.items():
        print(f"{title} [ms]")
        for name, value in parts.items():
            print(f"  {name:<34}{value:8.3f}")
    if options.json:
        facts = {"gl": gl, "load_before": load, "manifest": manifest(vars(options), seed=0)}
        print(json.dumps({"results": results, **facts}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
