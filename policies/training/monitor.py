"""Watches what happens inside a network while it trains (`train --monitor`): columns of metrics.jsonl.

After "Where to find Grokking in LLM Pretraining?", which looks at the experts that a mixture of experts sends samples
through, by edit distance; here a sample's *pathway* is the set of hidden units that are active for it, and two pathways
are as far apart as Jaccard says: 1 minus the shared units over all of both. Samples of one group share a task and
whether the hand is open. It tells when a network is still reorganising itself, and never that it generalizes.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toyshift.core.arrays import Indices
from toyshift.core.contract import ACTION, STATE, TASK
from toyshift.core.seeds import episode_rng
from toyshift.policies.batch_keys import FROZEN
from toyshift.policies.network.heads import masked_mean
from toyshift.policies.network.outputs import outputs_of
from toyshift.policies.network.policy import Policy

if TYPE_CHECKING:
    from toyshift.policies.training.training_data import TrainingData
    from toyshift.policies.training.training_run import Run

FRAMES = 256  # of the training data, the same ones every time
AT_ONCE = 64
COLUMNS = ("pathway_distance", "pathway_between", "consistency", "weight_distance", "train_loss")


def pathway_distance(active: NDArray[np.bool_], group: Sequence[Hashable]) -> tuple[float, float]:
    """Returns the mean Jaccard distance of active units over pairs of one group, and over pairs of different ones.

    Args:
        active: (N, H) which of a layer's units are active for each sample; two samples without any are equal.
        group: (N,) of each sample. Where there is no such pair the distance is nan.
    """
    on = np.asarray(active, np.float32)
    shared, size = on @ on.T, on.sum(axis=1)
    either = size[:, None] + size[None, :] - shared
    apart = 1.0 - np.where(either > 0, shared / np.maximum(either, 1.0), 1.0)  # (N, N)
    number = np.unique([repr(one) for one in group], return_inverse=True)[1]
    upper = np.triu(np.ones_like(apart, dtype=bool), 1)
    same = number[:, None] == number[None, :]
    within, between = apart[upper & same], apart[upper & ~same]
    return tuple(float(x.mean()) if len(x) else float("nan") for x in (within, between))  # type: ignore[return-value]


class Monitor:
    """Looks at a run from its start on.

    Args:
        policy: with its initial weights.
        source: what it is trained on.
        seed: of the frames that are looked at.
    """

    def __init__(self, policy: Policy, source: TrainingData, seed: int) -> None:
        self._start = {k: p.detach().clone() for k, p in policy.named_parameters() if p.requires_grad}
        count = len(source.windows)
        drawn = episode_rng(seed, 0, "monitor").permutation(count)[:FRAMES]
        self.frames: Indices = np.sort(drawn)

    def columns(self, run: Run) -> dict[str, float]:
        """Returns those of COLUMNS that are defined, of the weights that will act; `weight_distance` is of those that
        are trained. Nothing is drawn and no weight is changed.
        """
        now = dict(run.policy.named_parameters())
        far = sum(float(((now[k].detach() - start) ** 2).sum()) for k, start in self._start.items())
        with run.acting_weights(), torch.no_grad():
            found = self._looked(run) | {"weight_distance": far**0.5}
        return {name: found[name] for name in COLUMNS if name in found and np.isfinite(found[name])}

    def _looked(self, run: Run) -> dict[str, float]:
        policy = run.policy
        head: Any = policy.head
        hidden = {f"head {i}": m for i, m in enumerate(head.mlp) if not isinstance(m, nn.Linear)}
        blocks: list[Any] = [] if policy.history is None else [*cast("Any", policy.history).blocks]
        hidden |= {f"block {i} hidden": block.up for i, block in enumerate(blocks)}  # GELU keeps the sign
        streams = {f"block {i}": block for i, block in enumerate(blocks)}
        kept: dict[str, list[Tensor]] = {}
        group: list[Hashable] = []
        errors, pads = [], []
        for start in range(0, len(self.frames), AT_ONCE):
            raw = run.source.windows.batch(self.frames[start : start + AT_ONCE])
            arrays = run.source.told(raw)
            arrays = {k: v[:, :, 0] if k.startswith(FROZEN) else v for k, v in arrays.items()}  # images as they are
            batch = {k: torch.from_numpy(np.ascontiguousarray(v)).to(run.device) for k, v in arrays.items()}
            with (
                outputs_of({**hidden, **streams}) as seen,
                torch.autocast(run.device.type, dtype=torch.bfloat16, enabled=run.bf16),
            ):
                judged = policy.judge(batch)
            errors.append(judged.errors.float())
            pads.append(judged.is_pad)
            samples = len(batch[STATE])
            for name, out in seen.items():  # of the newest step
                kept.setdefault(name, []).append(out.reshape(samples, -1, out.shape[-1])[:, -1].float().cpu())
            group += _groups(raw, run.policy.action_contract.names)
        layers = {name: torch.cat(parts) for name, parts in kept.items()}
        apart = [pathway_distance((layers[name] > 0).numpy(), group) for name in hidden if name in layers]
        within, between = np.mean(apart, axis=0) if apart else (float("nan"),) * 2
        states = [layers[name] for name in streams]
        cosine = nn.functional.cosine_similarity
        cosines = [float(cosine(a, b, dim=1).mean()) for a, b in itertools.pairwise(states)]
        return {
            "pathway_distance": float(within), "pathway_between": float(between),
            "train_loss": float(masked_mean(torch.cat(errors), torch.cat(pads))),
        } | ({"consistency": float(np.mean(cosines))} if cosines else {})  # fmt: skip


def _groups(raw: dict[str, Any], names: Sequence[str]) -> list[Hashable]:
    """Returns the group of each frame: its task, and whether the hand is told to be open."""
    if "gripper" not in names:
        return list(raw[TASK])
    opened = raw[ACTION][:, 0, list(names).index("gripper")] >= 0.5
    return list(zip(raw[TASK], opened.tolist(), strict=True))
