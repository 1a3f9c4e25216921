"""Repairs that change what is seen: a picture of the masks in the place of the image (ProtoReasoning), or nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from toyshift.core.arrays import Indices
from toyshift.core.contract import image_key, mask_key
from toyshift.core.fields import Limit
from toyshift.core.seeds import episode_rng
from toyshift.policies.network.views import prototype
from toyshift.policies.repairs.repair import Batch, RunRepair

if TYPE_CHECKING:
    from toyshift.policies.config import PolicyConfig
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_run import Run


@dataclasses.dataclass
class Prototype(RunRepair):
    """Acts on the abstract view: each label of the masks in one grey, whatever it looks like.

    A share below 1 is an augmentation: so many of the samples are shown so in training, and the policy acts on images.
    """

    share: float = 1.0

    limits: ClassVar[dict[str, Limit]] = {"share": (0.0, 1.0)}

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if self.share < 1.0 and config.caches_tokens:
            raise self.refuse("with a share below 1 changes images, and cached tokens are of images as they are; "
                              "give --token-copies 0, or share 1")
        if self.share < 1.0 and config.policy.blind:
            raise self.refuse("changes images, and a blind policy sees none")
        return dataclasses.replace(config.policy, prototype=True) if self.share == 1.0 else config.policy

    def begin(self, run: Run) -> None:
        run.source.require_masks(run.policy.cameras, "repair 'prototype'")

    def samples(self, run: Run, step: int, frames: tuple[Indices, slice], batch: Batch) -> Batch:
        if self.share == 1.0:
            return batch
        indices, here = frames
        which = (episode_rng(run.config.seed, step, "prototype").random(len(indices)) < self.share)[here]
        out = dict(batch)
        for camera in run.policy.cameras:
            out[image_key(camera)] = np.array(batch[image_key(camera)])
            out[image_key(camera)][which] = prototype(torch.from_numpy(batch[mask_key(camera)][which])).numpy()
        return out


@dataclasses.dataclass
class Blind(RunRepair):
    """A control: a learned vector stands for every view, in training and in acting."""

    def policy(self, config: TrainConfig) -> PolicyConfig:
        if config.caches_tokens:
            raise self.refuse("sees no image, and pool_first would encode them all; drop pool_first")
        return dataclasses.replace(config.policy, blind=True)
