"""The recipe of the quickstart's policies: what was found by trying; docs/recipe.md says what each choice brought."""

from __future__ import annotations

import dataclasses
from typing import Any

from toyshift.core.workers import core_count
from toyshift.policies.config import PolicyConfig
from toyshift.policies.training.config import TrainConfig


@dataclasses.dataclass(frozen=True)
class PolicyKind:
    """What tells one of the quickstart's policies from the others.

    Attributes:
        pooling: how its tokens become one vector.
        lr: peak learning rate.
        mask_input: the target's mask is an input channel of its encoder.
    """

    pooling: str
    lr: float
    mask_input: bool = False


# Rates of detpool and mean: searched at the quickstart's length (benchmarks/lr_search.py; results/lr_search_long.json,
# results/lr_search_mean.json). That of attention-mask was searched in half as many steps (results/lego_fair,
# docs/recipe.md).
KINDS = {
    "detpool": PolicyKind("detpool", 2.5e-3),
    "attention-mask": PolicyKind("attention", 5e-3, mask_input=True),
    "mean": PolicyKind("mean", 2.5e-3),
}

# What the policy is told of itself: the hand and what it has been told to do, not the joint angles, from which it would
# learn by heart where demonstrations went.
STATE = (
    "gripper.opening", "eef.x", "eef.y", "eef.z", "eef.r11", "eef.r21", "eef.r31", "eef.r12", "eef.r22", "eef.r32",
    "lag.x", "lag.y", "lag.z", "command.gripper",
)


def quickstart_policy(name: str) -> PolicyConfig:
    """Returns what a policy of `KINDS` is made of; they differ in the pooling and in what the encoder is shown."""
    kind = KINDS[name]
    return PolicyConfig(pooling=kind.pooling, mask_input=kind.mask_input, chunk=8, execute=4, state_keep=STATE)


NOISE: dict[str, Any] = {"state_noise": 0.05, "brightness": 0.15, "contrast": 0.3, "color": 0.3}


def quickstart_recipe(name: str, data: tuple[str, ...], out: str, steps: int, batch: int, seed: int) -> TrainConfig:
    """Returns how the quickstart trains a policy of `KINDS`; all of them see the same samples."""
    return TrainConfig(
        data=data, out=out, policy=quickstart_policy(name), steps=steps, batch_size=batch, lr=KINDS[name].lr, seed=seed,
        threads=core_count(), mirror=True, **NOISE,
    )


def best_recipe(data: tuple[str, ...], out: str, steps: int, batch: int, seed: int) -> TrainConfig:
    """Returns how the best policy is trained: as the quickstart's, with the mask as an input channel too.

    Each dataset gives the same share of the samples.
    """
    recipe = quickstart_recipe("detpool", data, out, steps, batch, seed)
    policy = dataclasses.replace(recipe.policy, mask_input=True)
    return dataclasses.replace(recipe, policy=policy, weights=(1.0,) * len(data))
