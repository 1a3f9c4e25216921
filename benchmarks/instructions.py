"""Does a policy use its instruction on Pick? Where the named toy stands, from one look at two toys; prints a table.

.venv/bin/python benchmarks/instructions.py --samples 1500 --steps 1500
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toyshift.core.contract import ACTION, ACTION_IS_PAD, STATE, image_key, mask_key
from toyshift.envs import EnvConfig, GraspEnv
from toyshift.policies import Policy, PolicyConfig
from toyshift.policies.batch_keys import INSTRUCTION
from toyshift.policies.instructions import Instructions

OBJECTS = "toys:train?n=8"
HELD_OUT = 0.2
CASES = (
    ("mean", "none"), ("mean", "table"), ("mean", "minilm"), ("attention", "none"), ("attention", "table"),
    ("detpool", "none"),
)  # fmt: skip

Batch = dict[str, Tensor]


def looks(samples: int, objects: str = OBJECTS) -> tuple[Any, Batch, list[str]]:
    """Returns an environment, first images of episodes with the target's x, y [m] as the action, and instructions."""
    env = GraspEnv(EnvConfig(objects=objects, task="pick", clutter=1))
    rows: dict[str, list[Any]] = {}
    said = []
    for episode in range(samples):
        observation, _ = env.reset(
            seed=0, options={"episode": episode, "object": env.objects.ids[episode % len(env.objects.ids)]}
        )
        for camera in observation["pixels"]:
            rows.setdefault(image_key(camera), []).append(observation["pixels"][camera])
            rows.setdefault(mask_key(camera), []).append(observation["masks"][camera])
        rows.setdefault(STATE, []).append(observation["agent_pos"])
        rows.setdefault(ACTION, []).append([*env.object_position()[:2], *[0.0] * (env.action_contract.size - 2)])
        said.append(env.task_description)
    batch = {key: torch.from_numpy(np.asarray(values)).unsqueeze(1) for key, values in rows.items()}
    batch[ACTION] = batch[ACTION].float()
    batch[ACTION_IS_PAD] = torch.zeros(samples, 1, dtype=torch.bool)
    return env, batch, said


def errors(env: Any, batch: Batch, said: list[str], pooling: str, kind: str, steps: int) -> tuple[float, float]:
    """Trains on the first samples; returns the median distance [cm] on the others: as told, and told another thing."""
    torch.manual_seed(0)
    known = tuple(sorted(set(said)))
    words = known if kind == "table" else ()
    config = PolicyConfig(pooling=pooling, instruction=kind, vocabulary=words, chunk=1, execute=1, gripper_gain=0.0)
    numbers = {key: batch[key] for key in (STATE, ACTION)}
    stats = {k: {"mean": v.mean((0, 1)).numpy(), "std": v.std((0, 1)).numpy()} for k, v in numbers.items()}
    policy = Policy(config, env.action_contract, env.observation_contract, stats)
    own: Batch = {}
    wrong: Batch = {}
    if kind != "none":
        coder = Instructions(kind, known)
        own = {INSTRUCTION: torch.from_numpy(coder(said))}
        wrong = {INSTRUCTION: torch.from_numpy(coder([known[(known.index(s) + 1) % len(known)] for s in said]))}
    count = round(len(said) * (1 - HELD_OUT))
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    for step in range(steps):
        index = torch.from_numpy(np.random.default_rng([0, step]).integers(count, size=64))
        loss = policy({k: v[index] for k, v in (batch | own).items()})["loss"]
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()

    def distance(told: Batch) -> float:
        rest = {k: v[count:] for k, v in (batch | told).items()}
        views = ({c: rest[key(c)][:, 0] for c in policy.cameras} for key in (image_key, mask_key))
        with torch.no_grad():
            found = policy.eval().predict(*views, rest[STATE][:, 0], instruction=rest.get(INSTRUCTION))  # type: ignore[misc]
        return float(100 * (found[:, 0, :2] - rest[ACTION][:, 0, :2]).norm(dim=1).median())

    return distance(own), distance(wrong) if wrong else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1500)
    parser.add_argument("--steps", type=int, default=1500)
    args = parser.parse_args()
    torch.set_num_threads(1)
    env, batch, said = looks(args.samples)
    print("| pooling | instruction | median error [cm] | told another toy's instruction [cm] |\n" + "|---" * 4 + "|")
    for pooling, kind in CASES:
        right, wrong = errors(env, batch, said, pooling, kind, args.steps)
        print(f"| {pooling} | {kind} | {right:.1f} | {wrong:.1f} |".replace("nan", "-"), flush=True)


if __name__ == "__main__":
    main()
