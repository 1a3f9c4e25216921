"""Mask providers beside each other while the expert grasps: IoU with the true masks, and time per image.

.venv/bin/python benchmarks/mask_providers.py                                  the tables in docs/policies.md
.venv/bin/python benchmarks/mask_providers.py --providers track:FOLDER --objects toys:test?n=40 --episodes 1
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from toyshift.core.errors import GraspError
from toyshift.data.grasping.choose import make_expert
from toyshift.diagnostics.mask_sources import mask_source, target_ious
from toyshift.envs import EnvConfig, GraspEnv

PROVIDERS = ("detector", "background", "colour", "box")
CASES = (("toys:test?n=40", ""), ("ycb-like", ""), ("ycb-like", "light-intensity=3"), ("ycb-like", "table-texture=3"))
STEPS, EVERY = 25, 5


class Measured:
    """A provider's IoUs and the CPU seconds of its images, by camera."""

    def __init__(self, text: str) -> None:
        self.source, self.ious, self.seconds = mask_source(text), {}, {}  # type: ignore[var-annotated]

    def look(self, observation: dict, first: bool) -> None:  # type: ignore[type-arg]
        """Asks for one camera after the other, so that each has its own time; `first` is an episode's first image."""
        for camera, image in observation["pixels"].items():
            begun = time.process_time()
            shown = self.source.shown({"pixels": {camera: image}})["masks"]
            if not first:  # in which a provider learns
                self.seconds.setdefault(camera, []).append(time.process_time() - begun)
            true = {camera: observation["masks"][camera]}
            self.ious.setdefault(camera, []).extend(target_ious(shown, true))


def measure(objects: str, shift: str, providers: list[str], episodes: int, size: int) -> dict[str, Measured]:
    """Returns what was measured on every fifth image of some episodes, by provider; the same images for all."""
    env = GraspEnv(EnvConfig(objects=objects, image_size=size))
    expert = make_expert(env)
    found = {text: Measured(text) for text in providers}
    for episode in range(episodes):
        env.reset(seed=1, options={"episode": episode} | ({"shift": shift} if shift else {}))
        for one in found.values():
            one.source.reset(1, episode, env)
        over = False
        try:
            expert.reset(1, episode)
        except GraspError:
            over = True  # its first images count all the same
        for step in range(STEPS + 1):
            if step % EVERY == 0:
                observation = env.observe()
                for one in found.values():
                    one.look(observation, step == 0)
            if over:
                break
            over = bool(env.advance(expert.act())[1])
    env.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--providers", nargs="+", default=list(PROVIDERS))
    parser.add_argument("--objects", default="", help="one object set, without a shift; by default those of the docs")
    parser.add_argument("--episodes", type=int, default=24)
    parser.add_argument("--size", type=int, default=96, help="of the images [pixels]")
    args = parser.parse_args()
    cases = ((args.objects, ""),) if args.objects else CASES
    head = ("objects", "shift", "masks", "camera", "images", "mean IoU", "median IoU", "IoU above 0.5", "ms CPU")
    print("| " + " | ".join(head) + " |\n" + "|---" * len(head) + "|")
    for objects, shift in cases:
        for text, one in measure(objects, shift, args.providers, args.episodes, args.size).items():
            for camera, values in one.ious.items():
                good, middle = 100 * np.mean(np.array(values) > 0.5), f"{np.mean(values):.2f} | {np.median(values):.2f}"
                spent = 1e3 * float(np.median(one.seconds.get(camera, [np.nan])))
                case = f"`{objects}` | {shift or '-'} | {text} | {camera} | {len(values)}"
                print(f"| {case} | {middle} | {good:.0f} % | {spent:.1f} |", flush=True)


if __name__ == "__main__":
    main()
