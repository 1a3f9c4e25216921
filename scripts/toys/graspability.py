"""Measures how often sampled grasps of each toy succeed.

toyshift toys graspability 'toys:train?n=500'      then: toyshift collect --objects 'toys:train?select=top-graspable&pool=500' ...
"""

from __future__ import annotations

import dataclasses
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.scripts.toys.options import SetConfig
from toyshift.toys.graspability import TRIES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(SetConfig):
    """Options of `toyshift toys graspability`."""

    tries: int = TRIES
    """Grasps per toy; the selection of top-graspable toys reads the tables of the default and of seed 0."""
    workers: int = 2
    """Processes; 0 works in this one."""

    def __post_init__(self) -> None:
        if self.tries < 1 or self.workers < 0:
            raise ConfigError(f"--tries must be at least 1 and --workers at least 0, got {self.tries} and {self.workers}")


def main(cfg: Config) -> dict[str, Any]:
    """Measures how often sampled grasps of each toy succeed in simulation; goes on where an earlier run ended.

    Example: toyshift toys graspability 'toys:train?n=500'
    """
    from toyshift.data.grasping.graspability import measure_graspability
    from toyshift.toys.graspability import table_path

    shares = measure_graspability(cfg.objects, cfg.tries, cfg.seed, cfg.workers)
    mean = sum(shares.values()) / len(shares)
    never, always = (sum(share == limit for share in shares.values()) for limit in (0.0, 1.0))
    print(f"{len(shares)} toys of {cfg.objects}: {mean:.1%} of {cfg.tries} sampled grasps succeed; never {never} toys, always {always}; table {table_path(cfg.tries, cfg.seed)}")
    return {"objects": cfg.objects, "count": len(shares), "tries": cfg.tries, "mean": mean, "never": never, "always": always, "table": table_path(cfg.tries, cfg.seed), "shares": shares}
