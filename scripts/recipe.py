"""The recipe of the quickstart's policies: what was found by a small search, in one place (docs/recipe.md says what each choice brought)."""

from __future__ import annotations

import os

from toyshift.policies.config import PolicyConfig, TrainConfig

# peak learning rates that the search found, per pooling: see docs/recipe.md
LEARNING_RATES = {"detpool": 1e-3, "mean": 1e-3, "cls": 1e-3, "attention": 1e-3}


def quickstart_recipe(pooling: str, data: tuple[str, ...], out: str, steps: int, batch: int, seed: int) -> TrainConfig:
    """Returns how the quickstart trains a policy; every pooling sees the same samples."""
    return TrainConfig(
        data=data, out=out, policy=PolicyConfig(pooling=pooling), steps=steps, batch_size=batch, lr=LEARNING_RATES[pooling], seed=seed,
        threads=os.cpu_count() or 1, state_noise=0.05,
    )


def fine_tune_recipe(pooling: str, data: tuple[str, ...], out: str, start: str, steps: int, batch: int, seed: int) -> TrainConfig:
    """Returns how a trained policy is tuned on further data, half of the samples from each folder."""
    weights = (1.0,) * len(data)
    return TrainConfig(
        data=data, weights=weights, out=out, policy=PolicyConfig(pooling=pooling), steps=steps, batch_size=batch, lr=0.3 * LEARNING_RATES[pooling],
        warmup=50, seed=seed, threads=os.cpu_count() or 1, state_noise=0.05, init_from=start,
    )
