"""Executes a dataset's recorded actions again.

toyshift data replay runs/demos
"""

from __future__ import annotations

import dataclasses
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.scripts.data.options import DatasetConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(DatasetConfig, episodes=0, at_least=(0, 1)):
    """Options of `toyshift data replay`."""

    episodes: int = 0
    """At most so many episodes, evenly spread; 0 takes all."""
    at_least: float = 0.98
    """Share of the recorded successes that must succeed again; below it the exit code is 1."""


def main(cfg: Config) -> dict[str, Any]:
    """Executes recorded actions again from the recorded start, and says which share succeeds again.

    Example: toyshift data replay runs/demos
    """
    import numpy as np

    from toyshift.data import open_dataset
    from toyshift.data.collecting.replay import replay

    dataset = open_dataset(cfg.data)
    count = min(cfg.episodes or dataset.num_episodes, dataset.num_episodes)
    result = replay(dataset, np.linspace(0, dataset.num_episodes - 1, count).round().astype(int).tolist())
    for row in result["failed"]:
        print(f"episode {row['episode']} ({row['object_id']}) did not succeed again")
    share = result["share"]
    if share is None:
        raise ConfigError(f"{cfg.data}: none of the {result['episodes']} replayed episodes was recorded as a success")
    drift = f"positions drift by at most {result['max_drift']:.2g}"
    again = f"{result['again']} of {result['recorded']} succeed again ({share:.1%})"
    print(f"{again}, executing {result['actions']}; {drift}")
    return {"ok": share >= cfg.at_least} | result
