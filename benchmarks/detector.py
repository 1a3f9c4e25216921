"""IoU of the colour detector with the true masks while the expert grasps: the table in docs/policies.md.

.venv/bin/python benchmarks/detector.py
"""

from __future__ import annotations

import numpy as np

from toyshift.core.errors import GraspError
from toyshift.data.grasping.choose import make_expert
from toyshift.diagnostics.mask_sources import target_ious
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.policies.detectors import ColourDetector

CASES = (("toys:test?n=40", ""), ("ycb-like", ""), ("ycb-like", "light-intensity=3"), ("ycb-like", "table-texture=3"))
EPISODES, STEPS, EVERY = 24, 25, 5


def overlaps(objects: str, shift: str) -> dict[str, list[float]]:
    """Returns the IoU of every fifth image of some episodes, by camera."""
    env = GraspEnv(EnvConfig(objects=objects))
    expert = make_expert(env)
    found: dict[str, list[float]] = {}
    for episode in range(EPISODES):
        env.reset(seed=1, options={"episode": episode} | ({"shift": shift} if shift else {}))
        detector, over = ColourDetector(), False
        try:
            expert.reset(1, episode)
        except GraspError:
            over = True  # its first images count all the same
        for step in range(STEPS + 1):
            if step % EVERY == 0:
                observation = env.observe()
                for camera, mask in detector.masks(observation["pixels"]).items():
                    true = {camera: observation["masks"][camera]}
                    found.setdefault(camera, []).extend(target_ious({camera: mask}, true))
            if over:
                break
            over = bool(env.advance(expert.act())[1])
    env.close()
    return found


def main() -> None:
    print("| objects | shift | camera | images | mean IoU | median IoU | IoU above 0.5 |\n" + "|---" * 7 + "|")
    for objects, shift in CASES:
        for camera, values in overlaps(objects, shift).items():
            good, middle = 100 * np.mean(np.array(values) > 0.5), f"{np.mean(values):.2f} | {np.median(values):.2f}"
            print(f"| `{objects}` | {shift or '-'} | {camera} | {len(values)} | {middle} | {good:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
