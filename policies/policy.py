"""The policy network: images, masks and proprioception in, a chunk of physical actions out, normalisers inside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toyshift.core.contract import (
    ACTION,
    ACTION_IS_PAD,
    STATE,
    ActionContract,
    ObservationContract,
    image_key,
    mask_key,
)
from toyshift.core.errors import ConfigError, ContractError, UnknownNameError
from toyshift.policies.config import MASKED_POOLINGS, PolicyConfig
from toyshift.policies.encoders import Jitter, make_encoder
from toyshift.policies.heads import make_head
from toyshift.policies.pooling import make_pooling, patch_coverage, target_pixels


class Normaliser(nn.Module):
    """Standardises and restores vectors; mean and standard deviation are buffers, saved and exported with the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Any, std: Any, floor: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(np.asarray(mean, dtype=np.float32)).clone())
        self.register_buffer("std", torch.as_tensor(np.asarray(std, dtype=np.float32)).clamp(min=floor))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std

    def restore(self, x: Tensor) -> Tensor:
        return x * self.std + self.mean


def state_to_action(action_contract: ActionContract, observation_contract: ObservationContract) -> NDArray[np.float32]:
    """Returns the (S, A) matrix that copies state entries to the actions of the same name, and gives 0 for the others.

    Raises:
        ConfigError: no action bears the name of a state entry.
    """
    names = observation_contract.state_names
    matrix = np.array([[float(s == a) for a in action_contract.names] for s in names], dtype=np.float32)
    if not matrix.any():
        raise ConfigError(f"relative needs an action with the name of a state entry; actions: {', '.join(action_contract.names)}; state: {', '.join(names)}")
    return matrix


class Policy(nn.Module):
    """Encoder per view -> pooling -> concat with the state -> action-chunk head.

    Args:
        config: what the policy is made of.
        action_contract: meaning of the predicted actions.
        observation_contract: cameras, image sizes and state names it was recorded with.
        stats: {"observation.state": {"mean", "std"}, "action": {"mean", "std"}}; identity when missing (weights follow).
            With `config.relative` those of the action are of the relative action.
    """

    indices: Tensor
    base: Tensor | None

    def __init__(
        self,
        config: PolicyConfig,
        action_contract: ActionContract,
        observation_contract: ObservationContract,
        stats: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        self.action_contract = action_contract
        self.observation_contract = observation_contract
        sizes = dict(observation_contract.cameras)
        self.cameras = config.cameras or observation_contract.camera_names
        for camera in self.cameras:
            if camera not in sizes:
                raise UnknownNameError("camera", camera, sizes)
        names = observation_contract.state_names
        for name in config.state_keep:
            if name not in names:
                raise UnknownNameError("state entry", name, names)
        kept = [i for i, name in enumerate(names) if not config.state_keep or name in config.state_keep]
        self.register_buffer("indices", torch.tensor(kept, dtype=torch.int64), persistent=False)
        base = torch.from_numpy(state_to_action(action_contract, observation_contract)) if config.relative else None
        self.register_buffer("base", base, persistent=False)  # (S, A)

        zero_one = {STATE: len(names), ACTION: action_contract.size}
        stats = stats or {key: {"mean": np.zeros(n), "std": np.ones(n)} for key, n in zero_one.items()}
        for key, n in zero_one.items():
            if np.shape(stats[key]["mean"]) != (n,):
                raise ContractError(f"the statistics of {key} have shape {np.shape(stats[key]['mean'])}, the contract says ({n},)")
        self.normalise_state = Normaliser(stats[STATE]["mean"], stats[STATE]["std"], config.std_floor)
        self.normalise_action = Normaliser(stats[ACTION]["mean"], stats[ACTION]["std"], config.std_floor)

        if config.share_encoder and len({sizes[c] for c in self.cameras}) > 1:
            raise ContractError("share_encoder needs cameras of one image size")
        owners = self.cameras[:1] if config.share_encoder else self.cameras
        self.encoders = nn.ModuleDict({camera: make_encoder(config, sizes[camera]) for camera in owners})
        self.pooling = make_pooling(config.pooling, config.width)
        self.hidden_view = nn.Parameter(torch.zeros(len(self.cameras), config.width))  # stands for a dropped view
        self.head = make_head(len(self.cameras) * config.width + len(kept), action_contract.size, config)

    def encoder_of(self, camera: str) -> nn.Module:
        """Returns the encoder that looks through a camera."""
        return self.encoders[camera if camera in self.encoders else self.cameras[0]]

    def pool(self, images: Mapping[str, Tensor], masks: Mapping[str, Tensor], jitter: Mapping[str, Jitter] | None = None) -> Tensor:
        """Returns the pooled views (B, V, C) of images {camera: (B, H, W, 3) uint8} and masks {camera: (B, H, W) uint8}."""
        pooled = []
        for camera in self.cameras:  # one view at a time: image sizes, and so token counts, may differ
            encoder = self.encoder_of(camera)
            if self.config.needs_masks:
                target = target_pixels(masks[camera])
                coverage = patch_coverage(target)
            else:
                target, coverage = None, images[camera].new_ones((1, 1), dtype=torch.float32)
            # Detection pooling reads the covered tokens only. An exported graph must not depend on the data: it takes all.
            wanted = coverage > 0 if self.training and self.config.pooling in MASKED_POOLINGS else None
            tokens = encoder(images[camera], target if self.config.mask_input else None, jitter[camera] if jitter else None, wanted)
            pooled.append(self.pooling(tokens.unsqueeze(1), coverage.to(tokens.dtype).unsqueeze(1)))  # (B, 1, C)
        return torch.cat(pooled, dim=1)

    def features(self, pooled: Tensor, state: Tensor) -> Tensor:
        """Concatenates pooled views (B, V, C) with the standardised state entries that the policy sees: (B, V*C + S')."""
        return torch.cat([pooled.flatten(1), state.index_select(1, self.indices).to(pooled.dtype)], dim=1)

    def forward(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the losses of a batch of the batch contract with a history of 1.

        Augmentation travels in the batch (all optional, see `augmentation.py`): `augment.gain.<cam>` (B, 3),
        `augment.bias.<cam>` (B,), `augment.state` (B, S) in standardised units, `augment.keep` (B, V) bool.

        Returns:
            "loss", to be minimised; more entries are for the log.
        """
        features, target = self._features_and_target(batch)
        return {"loss": self.head.loss(features, target, batch[ACTION_IS_PAD])}

    def losses(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Returns the loss of each sample (B,) of a batch that `forward` takes; its mean is the loss where nothing is padding."""
        features, target = self._features_and_target(batch)
        return self.head.losses(features, target, batch[ACTION_IS_PAD])

    def _features_and_target(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        images = {c: batch[image_key(c)][:, -1] for c in self.cameras}
        masks = {c: batch[mask_key(c)][:, -1] for c in self.cameras} if self.config.needs_masks else {}
        jitter = None
        if f"augment.gain.{self.cameras[0]}" in batch:
            jitter = {c: Jitter(batch[f"augment.gain.{c}"], batch[f"augment.bias.{c}"]) for c in self.cameras}
        pooled = self.pool(images, masks, jitter)
        if "augment.keep" in batch:
            pooled = torch.where(batch["augment.keep"].unsqueeze(-1), pooled, self.hidden_view.to(pooled.dtype))
        state = batch[STATE][:, -1]
        if "augment.state" in batch:
            state = state + batch["augment.state"] * self.normalise_state.std
        action = batch[ACTION]
        if self.base is not None:  # relative to the noisy state: the network learns to undo the noise
            action = action - (state.float() @ self.base).unsqueeze(1)
        return self.features(pooled, self.normalise_state(state)), self.normalise_action(action)

    def predict(self, images: Mapping[str, Tensor], masks: Mapping[str, Tensor], state: Tensor) -> Tensor:
        """Predicts physical actions.

        Args:
            images: camera -> (B, H, W, 3) uint8 sRGB.
            masks: camera -> (B, H, W) uint8 labels; may be empty for a policy that needs none.
            state: (B, S) float32, all entries of the observation contract.

        Returns:
            (B, K, A) float32 in the action contract's units, not clipped.
        """
        features = self.features(self.pool(images, masks), self.normalise_state(state))
        action = self.normalise_action.restore(self.head(features).float())
        if self.base is not None:
            action = action + (state @ self.base).unsqueeze(1)
        if self.config.gripper_gain and "gripper" in self.action_contract.names:
            place = self.action_contract.names.index("gripper")
            decided = ((action[..., place : place + 1] - 0.5) * self.config.gripper_gain + 0.5).clamp(0.0, 1.0)
            action = torch.cat([action[..., :place], decided, action[..., place + 1 :]], dim=-1)
        return action
