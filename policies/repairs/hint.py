"""Task hinting: the features must tell something beside the action that the task is about (and two controls).

Hints come from what episodes note of themselves: where the target lay, which grasp was planned. After the first closing
command the target may have moved, and in episodes of several attempts another grasp may have been planned: those frames
are left out. Hints are privileged in training only; the policy that acts is not told them. With `feed` its head reads
the hint that it tells itself, and with `proposals` one of several (RLAD): after closing on nothing the next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from toyshift.core.arrays import Array, Float32, Indices
from toyshift.core.contract import ACTION, STATE, mask_key
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.fields import Limit
from toyshift.core.proprioception import OPENING
from toyshift.core.seeds import episode_rng
from toyshift.policies.batch_keys import HINT_VALID, HINT_VALUE
from toyshift.policies.network.hints import hint_loss
from toyshift.policies.network.policy import Judged, Policy
from toyshift.policies.network.views import target_pixels
from toyshift.policies.parts import HINTS, PROPOSED
from toyshift.policies.repairs.repair import RunRepair

if TYPE_CHECKING:
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_run import Run

Kind = Literal["auto", "turn", "place", "grasp", "pixel", "azimuth", "noise"]
CLOSED = 0.5  # gripper commands below this close

# What an episode's meta data must have noted, of the hints that are read from there
NEEDS: dict[str, tuple[str, ...]] = {
    "turn": ("attempts", "grasp"),
    "grasp": ("attempts", "grasp"),
    "place": ("attempts", "object_pose"),
    "azimuth": ("attempts", "factors"),
    "noise": ("attempts",),
}


@dataclasses.dataclass
class Hint(RunRepair):
    """Adds `weight` times the loss of a linear layer that reads a hint from the features.

    `of=auto` is the target's place, or with proposals the grasp's.
    """

    of: Kind = "auto"
    weight: float = 0.3
    feed: bool = False
    proposals: int = 0

    limits: ClassVar[dict[str, Limit]] = {"weight": (1e-6, 1e3), "proposals": (0, 16)}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of == "auto":
            self.of = "grasp" if self.proposals else "place"
        if self.proposals == 1:
            raise ConfigError("proposals is 1, which is feed=1; write that, or 2 or more")
        if self.proposals and self.of not in PROPOSED:
            raise ConfigError(f"proposals can be made of {', '.join(PROPOSED)}, and of is {self.of!r}")

    @property
    def fed(self) -> bool:
        """Whether the head reads it; then it acts, and belongs to the policy."""
        return self.feed or self.proposals > 0

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if config.mirror:
            raise self.refuse("tells places, turns and cameras as they were, and mirror turns half of them; drop one")
        if self.of == "pixel" and config.caches_tokens:
            raise self.refuse("of=pixel reads masks, and cached tokens stand in their place; give --token-copies 0")
        if not self.fed:
            return config.policy
        if config.policy.hint not in ("", self.of):
            raise self.refuse(f"feeds {self.of}, and the head reads {config.policy.hint} already; feed one of them")
        return dataclasses.replace(config.policy, hint=self.of, proposals=self.proposals)

    def begin(self, run: Run) -> None:
        if self.of == "pixel":
            run.source.require_masks(run.policy.cameras, "repair 'hint?of=pixel'")
            return
        source, needs = run.source, NEEDS[self.of]
        names = source.windows.observation_contract.state_names, source.windows.action_contract.names
        if self.proposals and OPENING not in names[0]:
            raise FileError(
                f"repair 'hint?proposals={self.proposals}' tells a miss by the state entry {OPENING}; "
                f"there are {', '.join(names[0])}"
            )
        columns = []
        for d, (folder, arrays, starts, metas) in enumerate(source.windows.described()):
            for i, meta in enumerate(metas):
                if missing := [key for key in needs if key not in meta]:
                    raise FileError(
                        f"repair 'hint?of={self.of}' needs {' and '.join(missing)} of each episode, and {folder} notes "
                        f"none of episode {i}; `toyshift collect` notes it, and of=pixel needs masks only"
                    )
            state, action = np.asarray(arrays[STATE]), np.asarray(arrays[ACTION])
            valid = before_closing(action, names[1], starts, metas)
            if self.of == "noise":
                rng = episode_rng(run.config.seed, d, "hint-noise")
                value = rng.standard_normal((len(state), HINTS["noise"]), dtype=np.float32)
            else:
                value = hints(self.of, state, names[0], starts, metas)
            columns.append({HINT_VALUE: value, HINT_VALID: valid})
        run.source = source.with_columns(standardised(columns), ())

    def modules(self, policy: Policy) -> nn.Module | None:
        if self.fed:
            return None
        return nn.Linear(policy.head_reads, HINTS[self.of] or 2 * len(policy.cameras))

    def extra_loss(self, policy: Policy, module: Any, batch: Mapping[str, Tensor], seen: Judged) -> Tensor:
        steps, weight = policy.config.steps_seen, (~seen.is_pad).sum(dim=1).float()
        loss, told = hint_loss, seen.told
        if self.fed and policy.hint is not None:
            loss = policy.hint.loss
        else:
            told = module(seen.features)
        assert told is not None
        if self.of == "pixel":
            masks = [batch[mask_key(camera)][:, -steps:].flatten(0, 1) for camera in policy.cameras]
            places, inside = zip(*(centroid(target_pixels(mask)) for mask in masks), strict=True)
            told = told.reshape(len(told), -1, 2)
            each = [hint_loss(told[:, i], place, inside[i], weight) for i, place in enumerate(places)]
            return self.weight * torch.stack(each).mean()
        value, valid = (batch[key][:, -steps:].flatten(0, 1) for key in (HINT_VALUE, HINT_VALID))
        return self.weight * loss(told, value, valid, weight)


def centroid(target: Tensor) -> tuple[Tensor, Tensor]:
    """Returns where targets (B, H, W) are in their image, x and y (B, 2) in [-1, 1], and whether they are seen (B,)."""
    height, width = target.shape[1:]
    count = target.sum(dim=(1, 2))
    x = torch.linspace(-1.0, 1.0, width, device=target.device)
    y = torch.linspace(-1.0, 1.0, height, device=target.device)
    place = torch.stack([(target.sum(dim=1) * x).sum(dim=1), (target.sum(dim=2) * y).sum(dim=1)], dim=1)
    return place / count.clamp(min=1.0).unsqueeze(1), (count > 0).float()


def before_closing(
    action: Float32, names: tuple[str, ...], starts: Indices, metas: Sequence[Mapping[str, Any]]
) -> Float32:
    """Returns 1 for the frames (N,) before the first closing command of episodes of one attempt, 0 for the others."""
    if "gripper" not in names:
        raise FileError(f"repair 'hint' looks for the first closing command, and actions have no gripper: {names}")
    closing = action[:, names.index("gripper")] < CLOSED
    valid = np.zeros(len(action), np.float32)
    for e, meta in enumerate(metas):
        span = slice(int(starts[e]), int(starts[e + 1]))
        valid[span] = (np.cumsum(closing[span]) == 0) & (int(meta["attempts"]) == 1)
    return valid


def hints(
    of: str, state: Float32, names: tuple[str, ...], starts: Indices, metas: Sequence[Mapping[str, Any]]
) -> Float32:
    """Returns the hints (N, d) of a dataset's frames.

    Args:
        of: "place" (the target's place in the hand's frame [m]), "turn" (sine and cosine of twice the turn about the
            vertical from the hand to the planned grasp, which half a turn does not change), "grasp" (x and y of the
            planned grasp in the hand's frame [m], and that turn) or "azimuth" (of the camera [degrees]).
        state: (N, S).
        names: of its entries.
        starts: (E + 1,) first frame of each episode.
        metas: of the episodes.
    """
    episode = np.repeat(np.arange(len(metas)), np.diff(starts))
    found: Array
    if of == "azimuth":
        found = np.array([[meta["factors"]["look"]["azimuth"]] for meta in metas], np.float64)[episode]
        return found.astype(np.float32)
    x, y = (_columns(state, names, [f"eef.r{row}{column}" for row in (1, 2, 3)]) for column in (1, 2))
    if of in ("turn", "grasp"):
        grasps = np.array([meta["grasp"]["rotation"] for meta in metas], np.float64)  # (E, 3, 3)
        turn = np.arctan2(grasps[:, 1, 0], grasps[:, 0, 0])[episode] - np.arctan2(x[:, 1], x[:, 0])
        turned = np.stack([np.sin(2 * turn), np.cos(2 * turn)], axis=1)
        if of == "turn":
            return np.asarray(turned, np.float32)
        target = np.array([meta["grasp"]["position"] for meta in metas], np.float64)[episode]
    else:
        target = np.array([np.asarray(meta["object_pose"], np.float64)[:3, 3] for meta in metas])[episode]
    offset = target - _columns(state, names, ["eef.x", "eef.y", "eef.z"])
    hand = np.stack([x, y, np.cross(x, y)], axis=1)  # (N, 3, 3), its axes as rows
    place = np.einsum("nij,nj->ni", hand, offset)
    found = np.concatenate([place[:, :2], turned], axis=1) if of == "grasp" else place
    return np.asarray(found, np.float32)


def _columns(state: Float32, names: tuple[str, ...], wanted: Sequence[str]) -> Array:
    if missing := [name for name in wanted if name not in names]:
        raise FileError(f"repair 'hint' needs the state entries {', '.join(missing)}; there are {', '.join(names)}")
    return np.asarray(state[:, [names.index(name) for name in wanted]], np.float64)


def standardised(columns: Sequence[Mapping[str, Float32]]) -> list[dict[str, Float32]]:
    """Returns the columns with hints of mean 0 and deviation 1 over the valid frames of all datasets."""
    values = np.concatenate([c[HINT_VALUE][c[HINT_VALID] > 0] for c in columns])
    if not len(values):
        raise FileError("repair 'hint' finds no frame before a closing command in an episode of one attempt")
    mean, std = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    return [{**c, HINT_VALUE: ((c[HINT_VALUE] - mean) / std).astype(np.float32)} for c in columns]
