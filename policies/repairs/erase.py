"""Erasing one factor from a trained policy's pooled views by LEACE; what is behind them learns to act without it.

Fitted where factor and place go together, it erases the place as well: give it data in which they do not, or pairs of
looks that differ in the factor alone (`pairs=FILE`, of `toyshift diagnose --measure steer`).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from toyshift.core.arrays import Array
from toyshift.core.errors import FileError
from toyshift.core.seeds import stream
from toyshift.policies.network.erasing import leace, paired_leace
from toyshift.policies.repairs.pairs import AGAIN, read_pairs, weights_of
from toyshift.policies.repairs.repair import RunRepair

if TYPE_CHECKING:
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.network.erasing import Eraser
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_run import Run

FRAMES, AT_ONCE = 2048, 128  # that it is fitted on, and that are looked at together
NO_PAIRS = "none"
MOST = 32  # different values up to which each is a direction of its own; beyond it is a number


@dataclasses.dataclass
class Erase(RunRepair):
    """Puts a fixed layer behind the pooled views that erases a factor of the look, and trains the head only.

    It starts from a trained policy: `--init-from`.
    """

    factor: str = "table"
    pairs: str = NO_PAIRS

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if not config.init_from:
            raise self.refuse("erases a factor from what a trained policy sees; give --init-from")
        if config.policy.steps_seen > 1 or config.policy.blind:
            raise self.refuse("erases from the pooled views of one step; choose policy_net mlp, and not blind")
        return dataclasses.replace(config.policy, erased=self.factor)

    def begin(self, run: Run) -> None:
        eraser = run.policy.eraser
        assert eraser is not None
        if eraser.projection.any():
            raise self.refuse(f"finds another factor erased in {run.config.init_from}; start from the policy before")
        eraser.fit(*(self._of_data(run, eraser) if self.pairs == NO_PAIRS else self._of_pairs(run, eraser)))
        for name, parameter in run.policy.named_parameters():  # what is erased stays so, as what is seen stays
            parameter.requires_grad_(name.startswith("head."))

    def _of_pairs(self, run: Run, eraser: Eraser) -> tuple[Array, Array]:
        """Fits it on pairs that the policy's own diagnosis saved."""
        found = read_pairs(Path(self.pairs))
        base, changed, levels = found.of(self.factor)
        start = Path(run.config.init_from)
        if found.policy != weights_of(start) or base.shape[1] != len(eraser.mean):
            raise self.refuse(f"is fitted on what {start} sees, and {self.pairs} is of another policy; {AGAIN}")
        if np.array_equal(base, changed):
            raise self.refuse(f"finds nothing to erase: no view of {self.pairs} changes with {self.factor}")
        return paired_leace(base.astype(np.float64), changed.astype(np.float64), levels)

    def _of_data(self, run: Run, eraser: Eraser) -> tuple[Array, Array]:
        """Fits it on the views of the training's frames, and the factor's values in their episodes."""
        source, known = run.source, self._known(run)
        frames = stream(run.config.seed).permutation(len(source.windows))[:FRAMES]
        views, values = [], []
        for start in range(0, len(frames), AT_ONCE):
            some = frames[start : start + AT_ONCE]
            raw = source.windows.batch(some)
            batch = {k: torch.from_numpy(np.ascontiguousarray(v)).to(run.device) for k, v in source.told(raw).items()}
            with torch.no_grad():
                views.append(run.policy.judge(batch).features[:, : len(eraser.mean)].float().cpu().numpy())
            places = zip(source.windows.dataset_of(some), raw["episode_index"], strict=True)
            values += [known[d][e] for d, e in places]
        return leace(np.concatenate(views).astype(np.float64), encoded(values, self.factor))

    def _known(self, run: Run) -> list[list[Any]]:
        """Returns the factor's value in each episode of each dataset."""
        found = []
        for folder, _, _, metas in run.source.windows.described():
            looks = [meta.get("factors", {}).get("look", {}) for meta in metas]
            if absent := [i for i, look in enumerate(looks) if self.factor not in look]:
                known = sorted({name for look in looks for name in look})
                raise FileError(
                    f"repair 'erase?factor={self.factor}' needs that factor of every episode, and {folder} notes none "
                    f"of episode {absent[0]}; it notes {', '.join(known) or 'no look'}"
                )
            found.append([look[self.factor] for look in looks])
        return found


def encoded(values: list[Any], factor: str) -> Array:
    """Returns the values of a factor (N,) as a concept (N, c): one-hot, or as a number where there are many."""
    kinds = sorted(set(values))
    if len(kinds) < 2:
        raise FileError(
            f"repair 'erase?factor={factor}' needs several values of it, and the datasets show {kinds} only"
        )
    if len(kinds) > MOST:
        return np.asarray(values, np.float64)[:, None]
    return np.asarray([[value == kind for kind in kinds] for value in values], np.float64)
