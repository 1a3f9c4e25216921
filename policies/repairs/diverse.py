"""Several answers that fit the demonstrations and disagree elsewhere, of which the better one is taken: DivDis, D-BAT.

Elsewhere is a dataset of the shifted kind (`unlabelled=DIR`), which a training has no right to know: privileged. Its
actions are not learnt from; those of 16 of its episodes choose the answer. What stands for an answer's class is the
nearest of 8 centres of the demonstrations' last actions of a chunk. Noise with two modes looks diverse, too.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from toyshift.core.arrays import Array, Indices
from toyshift.core.contract import ACTION
from toyshift.core.errors import ConfigError
from toyshift.core.files import write_json
from toyshift.core.seeds import stream
from toyshift.policies.batch_keys import UNLABELLED
from toyshift.policies.network.policy import Policy
from toyshift.policies.repairs.repair import Batch, RunRepair

if TYPE_CHECKING:
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_run import Run

CENTRES, EPISODES, AT_ONCE = 8, 16, 128
FRAMES = 4096  # that centres are made of, and that answers are compared on
TINY = 1e-7


class Classes(nn.Module):
    """Centres of the last actions of chunks: makes class probabilities of answers. Saved with the run."""

    centres: Tensor
    scale: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("centres", torch.zeros(CENTRES, size))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, ends: Array) -> None:
        """Takes the centres of last actions (N, A), standardised, and the median squared distance to them."""
        from scipy.cluster.vq import kmeans2

        kinds = np.unique(ends, axis=0)
        few = len(kinds) <= CENTRES  # then each is a centre, and some are two
        centres = np.resize(kinds, (CENTRES, ends.shape[1])) if few else kmeans2(ends, CENTRES, minit="++", seed=0)[0]
        distances = ((ends[:, None] - centres) ** 2).sum(axis=-1)
        self.centres.copy_(torch.from_numpy(np.asarray(centres, np.float32)))
        self.scale.fill_(max(1e-6, float(np.median(distances))))

    def forward(self, answers: Tensor) -> Tensor:  # (B, K, A) -> (B, C)
        far = ((answers[:, -1].float().unsqueeze(1) - self.centres) ** 2).sum(dim=-1)
        return (-far / self.scale).softmax(dim=1)


@dataclasses.dataclass
class Diverse(RunRepair):
    """What both share: a second batch of other data, classes of answers, and the choice at the end."""

    unlabelled: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.unlabelled:
            raise ConfigError("it needs a dataset of the shifted kind; write ?unlabelled=DIR")
        self._other: Any = None  # its TrainingData
        self._classes: Any = None

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if config.policy.head != "l1" or config.policy.steps_seen > 1:
            raise self.refuse("compares single answers of one step; choose head l1 and policy_net mlp")
        if config.caches_tokens:
            raise self.refuse("looks at the images of a second dataset, and tokens are cached; give --token-copies 0")
        if config.act == "best":
            raise self.refuse("chooses what acts by disagreement, not by the validation loss; drop --act best")
        return config.policy

    def begin(self, run: Run) -> None:
        self._other = run.other_data(self.unlabelled)
        frames = stream(run.config.seed).permutation(len(run.source.windows))[:FRAMES]
        ends = run.policy.normalise_action(
            torch.from_numpy(run.source.windows.batch(frames)[ACTION][:, -1]).to(run.device)
        )
        self._classes = Classes(ends.shape[1])
        self._classes.fit(ends.double().cpu().numpy())

    def looked_at(self) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = self._other.made_of
        return found

    def samples(self, run: Run, step: int, frames: tuple[Indices, slice], batch: Batch) -> Batch:
        other = self._other.batch(self._other.indices(step))
        return batch | {f"{UNLABELLED}{key}": value for key, value in other.items()}

    def choose(self, run: Run, first: Callable[[Batch], Array], second: Callable[[Batch], Array]) -> bool:
        """Says whether the second answer fits the labelled episodes of largest disagreement better, and notes it.

        Args:
            run: that is finished.
            first: batch -> standardised chunks (B, K, A).
            second: likewise.
        """
        windows = self._other.windows
        frames = np.sort(stream(run.config.seed).permutation(len(windows))[:FRAMES])
        apart, off, keys = [], [], []
        for start in range(0, len(frames), AT_ONCE):
            some = frames[start : start + AT_ONCE]
            raw = windows.batch(some)
            batch = self._other.told(raw)
            a, b = first(batch), second(batch)
            target = run.policy.normalise_action(torch.from_numpy(raw[ACTION]).to(run.device)).cpu().numpy()
            apart.append(np.abs(a - b).mean(axis=(1, 2)))
            off.append(np.stack([np.abs(x - target).mean(axis=(1, 2)) for x in (a, b)], axis=1))
            keys.append(np.stack([windows.dataset_of(some), raw["episode_index"]], axis=1))
        _, episode = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
        counts = np.bincount(episode.reshape(-1))
        distance = np.bincount(episode.reshape(-1), weights=np.concatenate(apart)) / counts
        chosen = np.isin(episode.reshape(-1), np.argsort(-distance, kind="stable")[:EPISODES])
        errors = np.concatenate(off)[chosen].mean(axis=0)
        if run.processes.first:
            facts = {"episodes": int(min(EPISODES, len(counts))), "errors": errors.tolist()}
            write_json(run.folder / f"{self.row.name}.json", facts | {"chosen": int(errors[1] < errors[0])})
        return bool(errors[1] < errors[0])

    @staticmethod
    def answers(run: Run, policy: Policy, head: nn.Module) -> Callable[[Batch], Array]:
        """Returns what a policy answers with one of its heads, standardised."""

        def answer(arrays: Batch) -> Array:
            batch = {k: torch.from_numpy(np.ascontiguousarray(v)).to(run.device) for k, v in arrays.items()}
            with torch.no_grad():
                chunks: Tensor = head(policy.judge(batch).features)
            return chunks.double().cpu().numpy()

        return answer


def unlabelled(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the other data's samples of a batch."""
    return {key.removeprefix(UNLABELLED): value for key, value in batch.items() if key.startswith(UNLABELLED)}


def act_with(run: Run, weights: Mapping[str, Tensor], start: str) -> None:
    """Puts weights in the place of the policy's whose names begin so, the averaged ones among them."""
    with torch.no_grad():
        for name, parameter in run.policy.named_parameters():
            if name.startswith(start):
                parameter.copy_(weights[name.removeprefix(start)])
                if name in run.ema:
                    run.ema[name].copy_(parameter)
    run.best = {}  # of an answer that does not act
