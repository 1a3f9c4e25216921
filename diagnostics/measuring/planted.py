"""Data whose answers are known: what measures are tried on, in tests and by `toyshift diagnose --self-test`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.rows import Row


def coins(rate: float, shape: tuple[int, ...], seed: int = 0) -> NDArray[np.bool_]:
    """Returns independent tosses: every object, start and variant succeeds at one rate."""
    return episode_rng(seed, 0, "coins").random(shape) < rate


def by_object(good: int, bad: int, variants: int) -> NDArray[np.bool_]:
    """Returns (good + bad, variants) outcomes that are the object's alone: some always succeed, the others never."""
    return np.repeat(np.arange(good + bad)[:, None] < good, variants, axis=1)


def helpful(rates: Sequence[float], objects: int, starts: int, seed: int = 0) -> Array:
    """Returns (objects, policies) success rates of policies with these true rates over so many starts an object."""
    rng = episode_rng(seed, 0, "helpful")
    return rng.binomial(starts, rates, (objects, len(rates))) / starts


def misses(errors: int, ignorant: int, well: int, starts: int = 6) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns (N, starts) outcomes without a shift and (N,) with one: known and missed, never known, known and met."""
    known = np.r_[np.ones(errors, bool), np.zeros(ignorant, bool), np.ones(well, bool)]
    return np.repeat(known[:, None], starts, axis=1), np.r_[np.zeros(errors + ignorant, bool), np.ones(well, bool)]


def case_or_law(scenes: int = 60, seed: int = 0) -> dict[str, Array]:
    """Returns chunks (N, 4, 3) outside a trained region: the rule's, the nearest example's, and three policies'.

    The rule is linear in two factors. 40 training states lie in the unit square, the test's beside it. "copies" acts as
    the nearest training state, "obeys" by least squares on the training states, "half" by the mean of both.
    """
    rng = episode_rng(seed, 0, "case or law")
    rule = rng.normal(size=(3, 12))

    def inputs(states: Array) -> Array:
        return np.concatenate([states, np.ones((len(states), 1))], axis=1)

    train, test = rng.random((40, 2)), rng.random((scenes, 2)) + np.asarray((1.5, 0.0))
    acted, right = inputs(train) @ rule, inputs(test) @ rule
    nearest = acted[np.argmin(((test[:, None] - train) ** 2).sum(axis=-1), axis=1)]
    learnt = inputs(test) @ np.linalg.lstsq(inputs(train), acted, rcond=None)[0]
    chunks = {"law": right, "nearest": nearest, "copies": nearest, "obeys": learnt, "half": (nearest + learnt) / 2}
    return {name: chunk.reshape(scenes, 4, 3) for name, chunk in chunks.items()}


def rows_of(policy: str, outcomes: NDArray[np.bool_], shift: str = "", look: str = "", seed: int = 0) -> list[Row]:
    """Returns rows of an evaluation with these outcomes (objects, starts): in rounds that meet every object once."""
    objects, starts = outcomes.shape
    return [
        Row(
            policy=policy, pooling="", object_set="planted", object_id=f"object-{i}", seed=seed,
            episode=j * objects + i, success=bool(outcomes[i, j]), max_height=0.0, steps=0,
            failure="" if outcomes[i, j] else "not_lifted", look=look, wall_s=0.0, object_trial=j,
            trials=objects * starts, shift=shift, purpose="test",
        )
        for j in range(starts) for i in range(objects)
    ]  # fmt: skip
