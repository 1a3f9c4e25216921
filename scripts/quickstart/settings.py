"""What the quickstart is asked for, what is fixed in it, and where its parts lie."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash
from toyshift.core.runs import refuse_foreign
from toyshift.scripts.options import Parallel

if TYPE_CHECKING:
    from toyshift.diagnostics import EvaluateConfig

POLICIES = ("detpool", "attention-mask", "mean")  # of `scripts.recipe.KINDS`, the one that is compared with first
TRAINING_TOYS, NEW_TOYS, YCB_LIKE = "toys:train", "toys:test", "ycb-like?graspable"
DIAGNOSED_SET = NEW_TOYS

APART = ("out", "results", "workers", "json")  # options that decide no result


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    Parallel, episodes=1, steps=1, batch=1, trials=1, factor_trials=1, scenes=2, planted_episodes=2, planted_steps=1,
    planted_trials=1
):
    """Options of `toyshift run quickstart`; the defaults take about 25 minutes on two cores."""

    out: Path = Path("runs/quickstart")
    """Folder of everything that is made; a stage that is there already is not made again."""
    ycb: Path | None = None
    """Folder with real YCB objects in the official layout; they are tested when it is given."""
    episodes: int = 500
    """Demonstrations."""
    steps: int = 1100
    """Optimiser steps of each policy."""
    batch: int = 128
    """Samples per step."""
    trials: int = 100
    """Test episodes per policy and object set."""
    factor_trials: int = 32
    """Test episodes per policy and changed factor."""
    scenes: int = 40
    """Scenes in which the action change is measured."""
    planted_episodes: int = 100
    """Demonstrations in which the table tells where the target lies, half of them on either side: an even number."""
    planted_steps: int = 400
    """Optimiser steps of the policy that learns from those, of the repaired one and of its control."""
    planted_trials: int = 20
    """Test episodes of each of those in each of four cells: two with the tables swapped, two with their own."""
    results: Path | None = None
    """Folder that gets a copy of all rows (DIR/rows), with results.json beside it (DIR.json), to be kept."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.planted_episodes % 2:
            raise ConfigError(f"--planted-episodes is {self.planted_episodes}; two sides take an even number")

    @property
    def test_sets(self) -> tuple[str, ...]:
        """The object sets that success is measured on, the training toys first."""
        return (TRAINING_TOYS, NEW_TOYS, YCB_LIKE, *([f"ycb:{self.ycb}?graspable"] if self.ycb else []))

    def to_json(self) -> dict[str, str]:
        """Returns all options, and what is trained, as text."""
        return {k: str(v) for k, v in dataclasses.asdict(self).items()} | {"policies": ", ".join(POLICIES)}

    def identity(self) -> str:
        """Hash of what decides the results."""
        return json_hash({k: v for k, v in self.to_json().items() if k not in APART})

    @property
    def results_json(self) -> Path:
        """Where results.json is kept."""
        folder = self.results or self.out
        return folder.with_name(f"{folder.name}.json")

    def check_results(self) -> None:
        """Refuses to put results where something else is kept: rows there are replaced."""
        if self.results is not None and not self.results_json.exists():
            refuse_foreign(self.results, "toyshift run quickstart --results")

    @property
    def demos(self) -> Path:
        return self.out / "demos"

    @property
    def rows(self) -> Path:
        """Folder of the rows: a file per policy, set and look."""
        return self.out / "rows"

    def planted(self, name: str) -> Path:
        """Folder of the demonstrations that a policy of the planted shortcut learns from."""
        return self.out / "planted" / name

    def policy(self, name: str) -> Path:
        return self.out / "policies" / name

    def evaluation(self, policy: str, objects: str, trials: int, look: Mapping[str, Any] | None) -> EvaluateConfig:
        """Returns how a policy, by its name, is tested on an object set, with the training look or another."""
        from toyshift.diagnostics import EvaluateConfig

        path = policy if policy in ("oracle", "random") else str(self.policy(policy))
        return EvaluateConfig(path, objects, trials=trials, seed=self.seed + 1000, look=look or {}, name=policy)
