"""The recipe of the quickstart's policies: what was found by trying; docs/recipe.md says what each choice brought."""

from __future__ import annotations

import dataclasses
from typing import Any

from toyshift.core.workers import core_count
from toyshift.policies.config import PolicyConfig
from toyshift.policies.training.config import TrainConfig

# peak learning rates that a small search found, per pooling: benchmarks/lr_search.py, results/lr_search_long.json and
# lr_search_mean.json
LEARNING_RATES = {"detpool": 2.5e-3, "mean": 2.5e-3}

# What the policy is told of itself: the hand and what it has been told to do, not the joint angles, from which it would
# learn by heart where demonstrations went.
STATE = (
    "gripper.opening", "eef.x", "eef.y", "eef.z", "eef.r11", "eef.r21", "eef.r31", "eef.r12", "eef.r22", "eef.r32",
    "lag.x", "lag.y", "lag.z", "command.gripper",
)


def quickstart_policy(pooling: str) -> PolicyConfig:
    """Returns what the quickstart's policies are made of; they differ in the pooling only."""
    return PolicyConfig(pooling=pooling, chunk=8, execute=4, state_keep=STATE)


NOISE: dict[str, Any] = {"state_noise": 0.05, "brightness": 0.15, "contrast": 0.3, "color": 0.3}


def quickstart_recipe(
    pooling: str, data: tuple[str, ...], out: str, steps: int, batch: int, seed: int
) -> TrainConfig:
    """Returns how the quickstart trains a policy; every pooling sees the same samples."""
    return TrainConfig(
        data=data, out=out, policy=quickstart_policy(pooling), steps=steps, batch_size=batch,
        lr=LEARNING_RATES[pooling], seed=seed, threads=core_count(), mirror=True, **NOISE,
    )


def best_recipe(data: tuple[str, ...], out: str, steps: int, batch: int, seed: int) -> TrainConfig:
    """Returns how the best policy is trained: as the quickstart's, with the mask as an input channel too.

    Each dataset gives the same share of the samples.
    """
    recipe = quickstart_recipe("detpool", data, out, steps, batch, seed)
    policy = dataclasses.replace(recipe.policy, mask_input=True)
    return dataclasses.replace(recipe, policy=policy, weights=(1.0,) * len(data))


def fine_tune_recipe(
    pooling: str, data: tuple[str, ...], out: str, start: str, steps: int, batch: int, seed: int
) -> TrainConfig:
    """Returns how a trained policy is tuned on further data, the same share of the samples from each folder.

    No mirroring: a turned camera no longer looks along the plane of the mirror.
    """
    recipe, share = quickstart_recipe(pooling, data, out, steps, batch, seed), (1.0,) * len(data)
    return dataclasses.replace(recipe, weights=share, lr=0.3 * recipe.lr, warmup=50, mirror=False, init_from=start)
