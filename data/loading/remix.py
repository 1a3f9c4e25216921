"""Re-Mix (2408.14037): weights of datasets by distributionally robust optimisation of what is left to learn.

A reference policy is trained on the datasets as they are. Then a robust one is trained on a mixture whose weights rise
wherever it is still worse than the reference: a dataset that is noise for both has no such excess, and neither has one
that is learnt already.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import ConfigError

ETA = 0.2
SMOOTHING = 0.05


class Learner(Protocol):
    """The robust policy in training."""

    def losses(self, step: int) -> tuple[Array, Array, Indices]:
        """Returns losses of the robust policy and of the reference, and the dataset, of a step's samples: (B,) each."""
        ...

    def learn(self, weights: Array) -> None:
        """Takes one optimiser step on that batch: on the sum over datasets of weight times mean loss."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Remix:
    """What Re-Mix comes to.

    Attributes:
        weights: (m,) average of the weights over all steps; they add up to 1.
        history: (steps, m) weights after each step.
        excess: (m,) mean excess loss of each dataset over all steps.
    """

    weights: Array
    history: Array
    excess: Array


def mean_excess(losses: Array, reference: Array, dataset: Indices, m: int) -> Array:
    """Returns each dataset's mean of max(loss - reference loss, 0) over its samples: (m,); 0 where it has none."""
    excess = np.maximum(np.asarray(losses, np.float64) - np.asarray(reference, np.float64), 0.0)
    counts = np.bincount(dataset, minlength=m)
    return np.asarray(np.bincount(dataset, excess, minlength=m) / np.maximum(counts, 1))


def remix_step(weights: Array, excess: Array, prior: Array, eta: float = ETA, smoothing: float = SMOOTHING) -> Array:
    """Returns the weights after one step: a <- a exp(eta excess), normalised, then (1 - s) a + s a0.

    Args:
        weights: a, (m,) positive.
        excess: mean excess loss of each dataset, (m,).
        prior: a0, (m,) positive, adding up to 1.
        eta: step size.
        smoothing: s, which keeps every weight at s * prior at least.
    """
    raised = weights * np.exp(eta * (excess - np.max(excess)))  # a common factor drops out; this one prevents overflow
    return np.asarray((1.0 - smoothing) * raised / raised.sum() + smoothing * prior)


def remix_weights(
    learner: Learner, prior: Sequence[float], steps: int, eta: float = ETA, smoothing: float = SMOOTHING,
    report: Callable[[Array], None] | None = None,
) -> Remix:
    """Trains the robust policy, moving the weights before each of its steps.

    Args:
        learner: the robust policy.
        prior: relative weights at the start and of the smoothing, one per dataset.
        steps: number of steps.
        eta: see `remix_step`.
        smoothing: see `remix_step`.
        report: called with the weights after each step.

    Raises:
        ConfigError: prior, steps, eta or smoothing out of range, or losses that are no numbers or of another dataset.
    """
    start = np.asarray(prior, np.float64)
    if start.ndim != 1 or not len(start) or not np.all(np.isfinite(start) & (start > 0)):
        raise ConfigError(f"prior must be positive numbers, one per dataset; got {list(prior)}")
    if steps < 1 or not (0.0 < eta < np.inf) or not 0.0 <= smoothing < 1.0:
        raise ConfigError(f"steps={steps}, eta={eta}, smoothing={smoothing}; at least 1, above 0, and in [0, 1)")
    start = start / start.sum()
    weights, m = start, len(start)
    history, total = np.empty((steps, m)), np.zeros(m)
    for step in range(steps):
        losses, reference, dataset = learner.losses(step)
        if not (np.all(np.isfinite(losses)) and np.all(np.isfinite(reference))):
            remedy = "lower the learning rate, or look at the data with `toyshift data check`"
            raise ConfigError(f"step {step}: a loss is not finite; {remedy}")
        if np.min(dataset) < 0 or np.max(dataset) >= m:
            raise ConfigError(f"step {step}: samples of dataset {int(np.max(dataset))}; there are 0 to {m - 1}")
        excess = mean_excess(losses, reference, dataset, m)
        weights = remix_step(weights, excess, start, eta, smoothing)
        history[step] = weights
        total += excess
        learner.learn(weights)
        if report is not None:
            report(weights)
    return Remix(history.mean(axis=0), history, total / steps)
