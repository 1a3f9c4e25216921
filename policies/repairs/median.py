"""Gradients that follow what samples share: medians and winsorised means of several (The Generalization Mystery).

A direction that one part of a batch alone wants is one that is learnt by heart. They stand before AdamW (the authors:
SGD), whose weight decay stays outside. Rare objects are parts of their own, too: look at success per object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from toyshift.core.contract import STATE
from toyshift.core.fields import Limit
from toyshift.policies.repairs.repair import RunRepair

if TYPE_CHECKING:
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_run import Run

Gradient = dict[str, Tensor]
PARTS = 8  # of a batch that `winsor` compares


def median3(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Returns the middle one of three numbers, entry by entry: to the bit one of them."""
    return torch.maximum(torch.minimum(a, b), torch.minimum(torch.maximum(a, b), c))


def winsorised(parts: Tensor, count: int) -> Tensor:
    """Returns the mean over the first dimension, in which the `count` lowest and highest are clipped to the next."""
    ordered = parts.sort(dim=0).values
    return ordered.clamp(ordered[count], ordered[-1 - count]).mean(dim=0)


def _taken(run: Run) -> Gradient:
    """Takes the gradients off the parameters."""
    found = {name: p.grad for name, p in run.named_parameters().items() if p.grad is not None}
    run.optimizer.zero_grad(set_to_none=True)
    return found


def _put(run: Run, gradient: Mapping[str, Tensor]) -> None:
    for name, parameter in run.named_parameters().items():
        found = gradient.get(name)
        # laid out as the parameter, which those of a resumed run are not: the norm's last bit depends on it
        parameter.grad = None if found is None else torch.empty_like(parameter).copy_(found)


def _of_parts(run: Run, batch: dict[str, Tensor], count: int) -> tuple[float, list[Gradient]]:
    """Returns the mean loss of so many parts of a batch, and the gradient of each."""
    values, found = 0.0, []
    for rows in torch.arange(len(batch[STATE])).tensor_split(count):
        part = {k: v[int(rows[0]) : int(rows[-1]) + 1] for k, v in batch.items()}
        values += run.backward(part) / count
        found.append(_taken(run))
    return values, found


def _stacked(gradients: Sequence[Gradient], name: str, like: Tensor) -> list[Tensor]:
    """Returns one parameter's gradients; one that a part did not use has none, which is 0."""
    return [g[name] if name in g else torch.zeros_like(like) for g in gradients]


def _names(gradients: Sequence[Gradient]) -> dict[str, Tensor]:
    """Returns the parameters that have a gradient in any of these, with such a one."""
    return {name: g for gradient in reversed(gradients) for name, g in gradient.items()}


@dataclasses.dataclass
class M3(RunRepair):
    """The median of the gradients of three thirds of a batch, entry by entry."""

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if config.batch_size < 3:
            raise self.refuse(f"cuts a batch into 3 parts, and batch_size is {config.batch_size}")
        return config.policy

    def gradients(self, run: Run, batch: dict[str, Tensor]) -> float:
        value, parts = _of_parts(run, batch, 3)
        _put(run, {name: median3(*_stacked(parts, name, like)) for name, like in _names(parts).items()})
        return value


@dataclasses.dataclass
class Winsor(RunRepair):
    """The mean of the gradients of 8 parts of a batch, of whose entries the c lowest and highest are clipped."""

    c: int = 1

    limits: ClassVar[dict[str, Limit]] = {"c": (1, (PARTS - 1) // 2)}

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if config.batch_size < PARTS:
            raise self.refuse(f"cuts a batch into {PARTS} parts, and batch_size is {config.batch_size}")
        return config.policy

    def gradients(self, run: Run, batch: dict[str, Tensor]) -> float:
        value, parts = _of_parts(run, batch, PARTS)
        every = _names(parts).items()
        _put(run, {name: winsorised(torch.stack(_stacked(parts, name, like)), self.c) for name, like in every})
        return value


@dataclasses.dataclass
class Rm3(RunRepair):
    """The median of the gradients of this step and the two before; nothing is learnt in the first two."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.last: list[Gradient] = []  # the oldest first

    def gradients(self, run: Run, batch: dict[str, Tensor]) -> float:
        value = run.backward(batch)
        self.last = [*self.last[-2:], _taken(run)]
        if len(self.last) == 3:
            every = _names(self.last).items()
            _put(run, {name: median3(*_stacked(self.last, name, like)) for name, like in every})
        return value

    def state(self) -> dict[str, Tensor]:
        return {f"{i}/{name}": g for i, gradient in enumerate(self.last[-2:]) for name, g in gradient.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        count = len({key.split("/", 1)[0] for key in state})
        self.last = [{k.split("/", 1)[1]: v for k, v in state.items() if k.startswith(f"{i}/")} for i in range(count)]
