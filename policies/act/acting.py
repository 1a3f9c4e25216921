"""Acting: a trained folder or an exported bundle becomes an object that turns environment observations into action chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import (
    TASK,
    ActionContract,
    ObservationContract,
    require_same_contract,
    require_same_observations,
)
from toyshift.core.errors import ContractError
from toyshift.core.seeds import episode_rng
from toyshift.policies.config import NOISE_HEADS, PolicyConfig
from toyshift.policies.instructions import instructions_of

Float = NDArray[np.float32]


def blend(chunks: list[tuple[int, Float]], now: int, decay: float) -> Float:
    """Averages what several chunks say about the same control steps (temporal ensembling).

    Args:
        chunks: (control step at which it was predicted, (K, A) actions), the newest last and predicted at `now`.
        now: current control step.
        decay: a chunk of age n steps weighs exp(-decay * n).

    Returns:
        (K, A): entry j is for control step now + j.
    """
    newest = chunks[-1][1]
    total = np.zeros(newest.shape, dtype=np.float64)
    weight = np.zeros((len(newest), 1))
    for made, chunk in chunks:
        age = now - made
        rest = chunk[age:]
        share = float(np.exp(-decay * age))
        total[: len(rest)] += share * rest
        weight[: len(rest)] += share
    return np.asarray(total / weight, dtype=np.float32)


class ActingPolicy(ABC):
    """A policy that acts on one environment; what evaluation and serving see.

    Attributes:
        name: name in tables.
        config: what the policy is made of.
        action_contract: meaning of its actions.
        observation_contract: what it must be shown.
        execute: actions of a chunk to execute before `act` is called again.
    """

    def __init__(self, name: str, config: PolicyConfig, action: ActionContract, observation: ObservationContract) -> None:
        self.name = name
        self.config = config
        self.action_contract = action
        self.observation_contract = observation
        self.execute = config.execute
        self.cameras = config.cameras or observation.camera_names
        self._sizes = dict(observation.cameras)
        self._low = np.asarray(action.low, dtype=np.float32)
        self._high = np.asarray(action.high, dtype=np.float32)
        self._chunks: list[tuple[int, Float]] = []
        self._now = 0
        self._rng = episode_rng(0, 0, "acting-noise")
        self.instructions = instructions_of(config)

    @property
    def needs_masks(self) -> bool:
        return self.config.needs_masks

    @abstractmethod
    def predict(
        self, images: Mapping[str, NDArray[np.uint8]], masks: Mapping[str, NDArray[np.uint8]], state: Float, instruction: NDArray[Any] | None = None
    ) -> Float:
        """Predicts chunks for a batch of observations; a policy with a history takes them for the next ones of the same episodes.

        Args:
            images: camera -> (B, H, W, 3) uint8 sRGB.
            masks: camera -> (B, H, W) uint8 labels.
            state: (B, S) float32.
            instruction: as `self.instructions` codes them; None for a policy that is told nothing.

        Returns:
            (B, K, A) float32 physical actions, not clipped.
        """

    def reset(self) -> None:
        """Forgets the episode so far."""
        self._chunks, self._now = [], 0
        self._rng = episode_rng(0, 0, "acting-noise")  # every episode draws the same: evaluation does not depend on its order

    def noise(self, batch: int) -> Float | None:
        """Returns the noise (B, K, A) that a prediction starts from, or None for heads that need none."""
        if self.config.head not in NOISE_HEADS:
            return None
        return self._rng.standard_normal((batch, self.config.chunk, self.action_contract.size), dtype=np.float32)

    def act(self, obs: Mapping[str, Any]) -> Float:
        """Returns a chunk (K, A) of physical actions inside the action contract's bounds; execute the first `execute`.

        Args:
            obs: {"pixels": {cam: (H, W, 3) uint8}, "masks": {cam: (H, W) uint8}, "agent_pos": (S,) float32}, and "task", the instruction, for a
                policy that is told it, "environment_state" (E,) float32 for a privileged one.

        Raises:
            ContractError: a camera, mask or instruction is missing, or an array has another shape or dtype.
            UnknownNameError: the policy was not trained with this instruction.
        """
        images = {c: self._take(obs, "pixels", c, (*self._sizes[c], 3))[None] for c in self.cameras}
        masks = {c: self._take(obs, "masks", c, self._sizes[c])[None] for c in self.cameras} if self.needs_masks else {}
        state = np.concatenate([
            self._vector(obs, key, names) for key, names in
            (("agent_pos", self.observation_contract.state_names), ("environment_state", self.observation_contract.environment_state_names))[: 1 + self.config.privileged]
        ])
        told = None if self.instructions is None else self.instructions([str(obs.get(TASK, ""))])
        chunk = self.predict(images, masks, state[None], told)[0]
        if self.config.ensemble > 0:
            self._chunks = [(made, c) for made, c in self._chunks if self._now - made < len(c)] + [(self._now, chunk)]
            chunk = blend(self._chunks, self._now, self.config.ensemble)
        self._now += self.execute
        return np.asarray(np.clip(chunk, self._low, self._high), dtype=np.float32)

    def _vector(self, obs: Mapping[str, Any], key: str, names: tuple[str, ...]) -> Float:
        if key not in obs:
            raise ContractError(f"policy {self.name} needs {key}; the observation has: {', '.join(sorted(obs)) or 'nothing'}")
        vector = np.asarray(obs[key], dtype=np.float32)
        if vector.shape != (len(names),):
            raise ContractError(f"policy {self.name}: {key} has shape {vector.shape}, the contract names {len(names)} entries")
        return vector

    def _take(self, obs: Mapping[str, Any], kind: str, camera: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
        arrays = obs.get(kind, {})
        if camera not in arrays:
            raise ContractError(f"policy {self.name} needs {kind} of camera {camera!r}; the observation has: {', '.join(sorted(arrays)) or 'none'}")
        array = np.asarray(arrays[camera])
        if array.shape != shape or array.dtype != np.uint8:
            raise ContractError(f"policy {self.name}: {kind} of camera {camera!r} are {array.shape} {array.dtype}, the contract says {shape} uint8")
        return array

    def check(self, action: ActionContract, observation: ObservationContract) -> None:
        """Refuses an environment (or dataset) that means other actions or shows other observations.

        Raises:
            ContractError: names what differs.
        """
        require_same_contract(self.action_contract, action, f"policy {self.name}", "the environment")
        require_same_observations(self.observation_contract, observation, f"policy {self.name}", "the environment")


class TorchPolicy(ActingPolicy):
    """A trained policy, run by torch."""

    def __init__(self, name: str, policy: Any, device: str = "cpu") -> None:
        super().__init__(name, policy.config, policy.action_contract, policy.observation_contract)
        from toyshift.policies.devices import choose_device

        self.device = choose_device(device)
        self.policy = policy.to(self.device).eval()
        self._steps: list[Any] = []

    def reset(self) -> None:
        super().reset()
        self._steps = []

    def predict(
        self, images: Mapping[str, NDArray[np.uint8]], masks: Mapping[str, NDArray[np.uint8]], state: Float, instruction: NDArray[Any] | None = None
    ) -> Float:
        import torch

        def move(array: NDArray[Any]) -> torch.Tensor:
            return torch.from_numpy(np.array(array)).to(self.device)  # a copy: torch refuses read-only arrays

        with torch.inference_mode():
            tensors = move(state)
            told = None if instruction is None else move(instruction)
            step = self.policy.observe({c: move(a) for c, a in images.items()}, {c: move(a) for c, a in masks.items()}, tensors, told)
            if self._steps and len(self._steps[-1]) != len(step):
                self._steps = []  # another batch: other episodes
            self._steps = [*self._steps, step][-self.config.steps_seen :]
            noise = self.noise(len(step))
            out = self.policy.decide(torch.stack(self._steps, dim=1), tensors, None if noise is None else move(noise))
        return np.asarray(out.cpu().numpy(), dtype=np.float32)
