"""Trains a policy on datasets.

toyshift train --data runs/demos --pooling detpool --out runs/detpool
toyshift train --data runs/demos runs/more --weights 1 2 --steps 20000 --device cuda --out runs/big
toyshift train --config-file runs/detpool/config.json --pooling mean --out runs/mean
toyshift train --data runs/demos --repair "hint?of=place" --out runs/hinted
torchrun --nproc-per-node 4 -m toyshift.scripts train --data runs/demos --out runs/four
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import tyro

from toyshift.core.errors import ConfigError
from toyshift.policies.repairs import TRAINING_REPAIRS, keys_of
from toyshift.policies.training.config import UNSET, TrainConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Options of `toyshift train`."""

    train: tyro.conf.OmitArgPrefixes[TrainConfig]
    config_file: Path | None = None
    """YAML or JSON with any of these options, e.g. config.json of a trained folder; what stands on the command line
    goes before it."""
    resume: bool = False
    """Go on from a checkpoint and from nothing else: an error where there is none. Without it the same command starts
    or goes on."""
    list_repairs: bool = False
    """Show the repairs that --repair takes, with their keys, and do nothing else."""
    json: bool = False
    """Print one JSON object as the last line of stdout; everything else goes to stderr."""

    @classmethod
    def defaults(cls, argv: Sequence[str]) -> Self | None:
        """Returns the options that the command line's --config-file gives; None where it names none."""
        from toyshift.policies.training.config_file import read_config_file

        if "--list-repairs" in [word.replace("_", "-") for word in argv]:
            return cls(train=TrainConfig(data=(UNSET,)))  # no dataset is needed
        named = "--config-file="
        words = [part for word in argv for part in (word.split("=", 1) if word.startswith(named) else [word])]
        if "--config-file" not in words[:-1]:
            return None
        return cls(train=read_config_file(Path(words[words.index("--config-file") + 1])))


def main(cfg: Config) -> dict[str, Any]:
    """Trains a policy on datasets; the same command goes on where an interrupted one was.

    Example: toyshift train --data runs/demos --pooling detpool --out runs/detpool
    Example: toyshift train --data runs/demos --repair "hint?of=place" --out runs/hinted
    Example: toyshift train --list-repairs
    """
    from toyshift.policies import train
    from toyshift.policies.checkpoints import STATE_FILE

    if cfg.list_repairs:
        return _listed()
    if UNSET in cfg.train.data:
        raise ConfigError(f"no dataset was given: {cfg.config_file} names none under data, and there is no --data")
    if cfg.resume and not (Path(cfg.train.out) / STATE_FILE).is_file():
        remedy = "without --resume the same command starts the training"
        raise ConfigError(f"--resume: there is no checkpoint in {cfg.train.out} to go on from; {remedy}")
    result: dict[str, Any] = train(cfg.train)
    print(f"policy: {cfg.train.out} (curves: tensorboard --logdir {cfg.train.out}/tensorboard)")
    return result | {"out": cfg.train.out}


def _listed() -> dict[str, Any]:
    """Shows the table of repairs."""
    rows = []
    for row in TRAINING_REPAIRS:
        keys = keys_of(row)
        told = f"; privileged, {row.privileged}" if row.privileged else ""
        print(f"{row.name:<10} {row.does}\n{'':<10} cost: {row.cost}{told}")
        whole = "the whole batch in one pass of one process (no --accumulate)" if row.whole else ""
        if needs := "; ".join(filter(None, (row.also, whole))):
            print(f"{'':<10} needs: {needs}")
        if keys:
            print(f"{'':<10} keys: " + ", ".join(f"{key}={value}" for key, value in keys.items()))
        rows.append({"name": row.name, "does": row.does, "paper": row.paper, "cost": row.cost, "keys": keys,
                     "privileged": row.privileged, "also": row.also, "needs_whole_batch": bool(row.whole)})  # fmt: skip
    print("several are joined by +: --repair 'hint?of=place+prototype?share=0.5'")
    return {"repairs": rows}
