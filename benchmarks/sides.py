"""Environments that are timed beside each other, each in a process of its own: makes one and steps it when asked.

python benchmarks/sides.py NAME reads a number of seconds per line and answers with one JSON object per line: control
steps per second, and the most memory that the process has held [MB]. ManiSkill and Gymnasium-Robotics live in an
environment of their own, whose Python runs this file: see README.md.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import resource
import sys
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from toyshift.scripts.measure import CONTROL_HZ, IMAGE_SIZE, Stepper, steps_per_second

Step = Callable[[], object]


def drawn(low: Any, high: Any) -> Iterable[Any]:
    """256 random actions (A,), over and over."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    return itertools.cycle(np.random.default_rng(0).uniform(low, high, (256, *low.shape)))


def lift(images: bool) -> Step:
    """robosuite's Lift with a Panda; images are RGB and instance segmentation."""
    import robosuite

    # Absent switches keep robosuite's defaults; cameras also bring the renderer with them.
    size = {"camera_heights": IMAGE_SIZE, "camera_widths": IMAGE_SIZE}
    cameras = {"camera_names": "agentview", "camera_segmentations": "instance", **size} if images else {}
    env = robosuite.make(
        "Lift", robots="Panda", has_renderer=False, has_offscreen_renderer=images, use_camera_obs=images,
        control_freq=int(CONTROL_HZ), horizon=10**9, ignore_done=True, **cameras,
    )
    env.reset()
    actions = iter(drawn(*env.action_spec))
    return lambda: env.step(next(actions))


def pick_cube(images: bool) -> Step:
    """ManiSkill's PickCube on the CPU; images are its two cameras' or one's RGB and segmentation, as it gives them."""
    import gymnasium as gym
    import mani_skill.envs  # noqa: F401  registers

    sensors = {"sensor_configs": {"width": IMAGE_SIZE, "height": IMAGE_SIZE}} if images else {}
    mode = "rgb+segmentation" if images else "state"
    env = gym.make("PickCube-v1", num_envs=1, sim_backend="cpu", obs_mode=mode, max_episode_steps=10**9, **sensors)
    env.reset(seed=0)
    actions = iter(drawn(env.action_space.low, env.action_space.high))
    return lambda: env.step(next(actions).astype(np.float32))


def fetch(images: bool) -> Step:
    """Gymnasium-Robotics' FetchPickAndPlace; images are RGB alone."""
    import gymnasium as gym
    import gymnasium_robotics

    gym.register_envs(gymnasium_robotics)
    options = {"render_mode": "rgb_array", "width": IMAGE_SIZE, "height": IMAGE_SIZE} if images else {}
    env = gym.make("FetchPickAndPlace-v4", max_episode_steps=10**9, **options)
    env.reset(seed=0)
    actions = iter(drawn(env.action_space.low, env.action_space.high))
    return lambda: (env.step(next(actions).astype(np.float32)), env.render() if images else None)


# ours steps physics by 2 ms like robosuite, and by 5 ms as an option
SIDES: dict[str, Callable[[], Step]] = {
    "robosuite state": lambda: lift(images=False),
    "robosuite images": lambda: lift(images=True),
    "toyshift state 2 ms": lambda: Stepper(images=False, physics_dt=0.002).step,
    "toyshift state 5 ms": lambda: Stepper(images=False, physics_dt=0.005).step,
    "toyshift images 2 ms": lambda: Stepper(images=True, physics_dt=0.002).step,
    "toyshift images 5 ms": lambda: Stepper(images=True, physics_dt=0.005).step,
    "maniskill state": lambda: pick_cube(images=False),
    "maniskill images": lambda: pick_cube(images=True),
    "fetch state": lambda: fetch(images=False),
    "fetch images": lambda: fetch(images=True),
}
PEERS = tuple(name for name in SIDES if name.startswith(("maniskill", "fetch")))


def main() -> None:
    """Serves the side that the command line names, until standard input ends."""
    with contextlib.redirect_stdout(sys.stderr):
        step = SIDES[sys.argv[1]]()
        steps_per_second(step, 1.0)  # robosuite's numba functions compile in the first steps
    print("ready", flush=True)
    for line in sys.stdin:
        with contextlib.redirect_stdout(sys.stderr):
            rate = steps_per_second(step, float(line))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        print(json.dumps({"rate": rate, "peak_mb": peak}), flush=True)


if __name__ == "__main__":
    main()
