"""The search of `toyshift study lego-table`: every pooling tries as often, and each try follows from those before."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

BEYOND_RATES = 5  # tries of each pooling, besides one for each learning rate


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is searched.

    Attributes:
        lr: peak learning rate.
        jitter: whether brightness, contrast and colour of the images are changed while training.
        norm: whether a LayerNorm follows the pooling.
    """

    lr: float
    jitter: bool = True
    norm: bool = False

    def __str__(self) -> str:
        return f"lr {self.lr:g}{'' if self.jitter else ', no jitter'}{', LayerNorm' if self.norm else ''}"


@dataclasses.dataclass(frozen=True)
class Try:
    """What came of a choice: successes on training toys, and the loss on held-out demonstrations."""

    choice: Choice
    successes: int
    validation_loss: float | None


def ranked(tries: Sequence[Try]) -> list[Choice]:
    """Returns the choices, the best first: by successes, ties by the lower validation loss."""
    order = sorted(tries, key=lambda x: (-x.successes, math.inf if x.validation_loss is None else x.validation_loss))
    return [x.choice for x in order]


def next_choice(tries: Sequence[Try], rates: Sequence[float]) -> Choice:
    """Returns what to try after `tries`, the earliest first.

    First the rates, then no jitter at the two best of them, a LayerNorm at the two best choices up to there, and last
    another rate for the best of all.
    """
    n, last = len(rates), len(tries) - len(rates)
    if last < 0:
        return Choice(rates[len(tries)])
    if last < 2:
        return dataclasses.replace(ranked(tries[:n])[last], jitter=False)
    if last < 4:
        return dataclasses.replace(ranked(tries[: n + 2])[last - 2], norm=True)
    return another_rate(tries)


def another_rate(tries: Sequence[Try]) -> Choice:
    """Returns the best choice at a rate that it was not tried at.

    Twice or half the rate where the best lies at the edge of what was tried, else between it and its better neighbour.
    """
    order = ranked(tries)
    best = order[0]
    alike = [choice.lr for choice in order if dataclasses.replace(choice, lr=best.lr) == best]  # the best first
    if best.lr == max(alike) and (len(alike) > 1 or order[1].lr >= best.lr):
        return dataclasses.replace(best, lr=2 * best.lr)
    if best.lr == min(alike):
        return dataclasses.replace(best, lr=best.lr / 2)
    beside = max(lr for lr in alike if lr < best.lr), min(lr for lr in alike if lr > best.lr)
    better = next(lr for lr in alike if lr in beside)
    return dataclasses.replace(best, lr=float(f"{math.sqrt(best.lr * better):.2g}"))


def at_edge(tries: Sequence[Try]) -> bool:
    """Says whether the best rate is the smallest or the largest that was tried with what else is best."""
    best = ranked(tries)[0]
    alike = [x.choice.lr for x in tries if dataclasses.replace(x.choice, lr=best.lr) == best]
    return len(alike) > 1 and best.lr in (min(alike), max(alike))
