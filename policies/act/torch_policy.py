"""A trained policy that acts, run by torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toyshift.core.arrays import Float32, Image
from toyshift.policies.act.acting_policy import ActingPolicy
from toyshift.policies.devices import choose_device
from toyshift.policies.network.policy import Policy


class TorchPolicy(ActingPolicy):
    """Acts with a network.

    Args:
        name: name in tables.
        policy: the network.
        device: auto, cpu or cuda.
    """

    def __init__(self, name: str, policy: Policy, device: str = "cpu") -> None:
        super().__init__(name, policy.config, policy.action_contract, policy.observation_contract)
        self.device = choose_device(device)
        self.policy = policy.to(self.device).eval()

    def predict(
        self, images: Mapping[str, Image], masks: Mapping[str, Image], state: Float32,
        instruction: NDArray[Any] | None = None,
    ) -> Float32:
        def move(array: NDArray[Any]) -> torch.Tensor:
            return torch.from_numpy(np.array(array)).to(self.device)  # a copy: torch refuses read-only arrays

        with torch.inference_mode():
            tensors = move(state)
            told = None if instruction is None else move(instruction)
            seen, labels = ({camera: move(array) for camera, array in views.items()} for views in (images, masks))
            step = self.policy.observe(seen, labels, tensors, told)
            self._steps = [*self.steps_before(len(step)), step][-self.config.steps_seen :]
            noise = self.noise(len(step))
            tried = None if self.proposals is None else move(self.proposals.tried(state))
            features, chosen = self.policy.consider(torch.stack(self._steps, dim=1), tried=tried)
            if self.proposals is not None and chosen is not None:
                self.proposals.took(chosen.cpu().numpy())
            out = self.policy.answer(features, tensors, None if noise is None else move(noise))
        return np.asarray(out.cpu().numpy(), dtype=np.float32)
