"""USEFUL: what a short first training finds hard is shown twice to the training that counts.

Early training learns what is simple. Its answers are clustered, within each phase of each dataset; the cluster with the
higher loss is what it has not found a simple way for. In regression that may as well be what is noisy: `useful.json` in
the trained folder says of which datasets and phases most was repeated.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from toyshift.core.arrays import Array, Float32, Indices
from toyshift.core.contract import ACTION, STATE
from toyshift.core.errors import ContractError
from toyshift.core.fields import Limit
from toyshift.core.files import write_json
from toyshift.core.seeds import stream
from toyshift.policies.network.heads import sample_mean
from toyshift.policies.network.weights import load_network
from toyshift.policies.repairs.repair import RunRepair

if TYPE_CHECKING:
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_run import Run

FIRST = "first"  # folder of the first training, in that of the second
PHASES = ("approach", "close", "lift")
CLOSED, RISEN = 0.5, 0.01  # gripper command below which the hand closes; rise since then that counts as lifting [m]
AT_ONCE = 256


def repeats(outputs: Array, losses: Array, classes: Indices) -> Indices:
    """Returns how often each point is shown: 2 in the cluster of its class with the higher mean loss, 1 in the other.

    Args:
        outputs: (E, D) of a first training.
        losses: (E,) its losses.
        classes: (E,) within which two clusters are made; one of fewer than four points is left alone.
    """
    from scipy.cluster.vq import kmeans2

    shown = np.ones(len(outputs), np.int64)
    for c in np.unique(classes):
        here = np.flatnonzero(classes == c)
        if len(here) < 4 or np.ptp(outputs[here], axis=0).max() == 0:
            continue
        points = outputs[here] - outputs[here].mean(axis=0)
        cluster = kmeans2(points, 2, minit="++", seed=stream(0, int(c)))[1]
        if 0 < cluster.sum() < len(here):
            means = [losses[here[cluster == k]].mean() for k in (0, 1)]
            shown[here[cluster == int(np.argmax(means))]] = 2
    return shown


def phases(gripper: Float32, height: Float32) -> Indices:
    """Returns the phase of each frame (N,) of one episode: 0 with an open hand, 1 closing, 2 lifting.

    Args:
        gripper: (N,) commands.
        height: (N,) of the hand [m].
    """
    closed = gripper < CLOSED
    begins = closed & ~np.concatenate([[False], closed[:-1]])
    latest = np.maximum.accumulate(np.where(begins, np.arange(len(closed)), 0))
    return np.where(closed, 1 + (height > height[latest] + RISEN), 0)


@dataclasses.dataclass
class Useful(RunRepair):
    """Trains a share of the steps, then from scratch with what that training found hard shown twice."""

    share: float = 0.08

    limits: ClassVar[dict[str, Limit]] = {"share": (0.001, 0.9)}

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if config.minutes:
            raise self.refuse("trains a share of the steps first, and minutes say no number of them; give --steps")
        if config.policy.steps_seen > 1:
            raise self.refuse("takes one step of a sample, and a history has several; choose policy_net mlp")
        return config.policy

    def first(self, config: TrainConfig) -> TrainConfig | None:
        steps = max(1, round(self.share * config.steps))
        out = str(Path(config.out) / FIRST)
        return dataclasses.replace(config, repair="", steps=steps, out=out, keep_steps=(), act="last", wandb="")

    def begin(self, run: Run) -> None:
        points, loss, label, point_of = _looked(run)
        shown = repeats(points, loss, label)
        run.source = dataclasses.replace(run.source, repeats=shown[point_of])
        rows = [
            {"dataset": int(c) // len(PHASES), "phase": PHASES[int(c) % len(PHASES)], "points": int((label == c).sum()),
             "twice": int((shown[label == c] == 2).sum())}
            for c in np.unique(label)
        ]  # fmt: skip
        if run.processes.first:
            write_json(run.folder / "useful.json", {"share": self.share, "classes": rows})


def _looked(run: Run) -> tuple[Array, Array, Indices, Indices]:
    """Shows the first training every frame once.

    Returns:
        of each episode's phases the mean answer (P, K*A), standardised, the mean loss (P,) and the class (P,); and
        which of them each frame is of (N,).
    """
    source, policy = run.source, load_network(Path(run.config.out) / FIRST).to(run.device)
    names = source.windows.observation_contract.state_names, source.windows.action_contract.names
    if "eef.z" not in names[0] or "gripper" not in names[1]:
        raise ContractError("repair 'useful' tells phases by the gripper's command and the state entry eef.z")
    answers, losses, keys, gripper, height = [], [], [], [], []
    for start in range(0, len(source.windows), AT_ONCE):
        indices = np.arange(start, min(start + AT_ONCE, len(source.windows)))
        raw = source.windows.batch(indices)
        batch = {k: torch.from_numpy(np.ascontiguousarray(v)).to(run.device) for k, v in source.told(raw).items()}
        with torch.no_grad(), torch.autocast(run.device.type, dtype=torch.bfloat16, enabled=run.bf16):
            seen = policy.judge(batch)
            answers.append(policy.head(seen.features).float().flatten(1).cpu().numpy())
            losses.append(sample_mean(seen.errors, seen.is_pad).float().cpu().numpy())
        keys.append(np.stack([source.windows.dataset_of(indices), raw["episode_index"]], axis=1))
        gripper.append(raw[ACTION][:, 0, names[1].index("gripper")])
        height.append(raw[STATE][:, -1, names[0].index("eef.z")])
    key, command, risen = np.concatenate(keys), np.concatenate(gripper), np.concatenate(height)
    phase = np.empty(len(key), np.int64)
    borders = np.flatnonzero(np.diff(key, axis=0).any(axis=1)) + 1
    for span in np.split(np.arange(len(key)), borders):  # frames stand episode by episode
        phase[span] = phases(command[span], risen[span])
    each, point_of = np.unique(np.column_stack([key, phase]), axis=0, return_inverse=True)
    point_of = point_of.reshape(-1)
    counts = np.bincount(point_of)
    answer, loss = np.concatenate(answers), np.concatenate(losses)
    mean = np.stack([np.bincount(point_of, weights=column) for column in answer.T], axis=1) / counts[:, None]
    return mean, np.bincount(point_of, weights=loss) / counts, each[:, 0] * len(PHASES) + each[:, 2], point_of

