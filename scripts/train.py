"""Trains a policy on datasets.

toyshift train --data runs/demos --pooling detpool --out runs/detpool
toyshift train --data runs/demos runs/more --weights 1 2 --steps 20000 --device cuda --out runs/big
"""

from __future__ import annotations

import dataclasses
from typing import Any

import tyro

from toyshift.policies.config import TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Options of `toyshift train`."""

    train: tyro.conf.OmitArgPrefixes[TrainConfig]
    json: bool = False
    """Print one JSON object as the last line of stdout; everything else goes to stderr."""


def main(cfg: Config) -> dict[str, Any]:
    """Trains a policy on datasets; the same command goes on where an interrupted one was.

    Example: toyshift train --data runs/demos --pooling detpool --out runs/detpool
    """
    from toyshift.policies import train

    result: dict[str, Any] = train(cfg.train)
    print(f"policy: {cfg.train.out} (curves: tensorboard --logdir {cfg.train.out}/tensorboard)")
    return result | {"out": cfg.train.out}
