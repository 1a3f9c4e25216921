"""What evaluation and serving see of a policy: an object that turns environment observations into action chunks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Float32, Image
from toyshift.core.contract import (
    MASK_ROBOT,
    TASK,
    ActionContract,
    ObservationContract,
    require_same_contract,
    require_same_observations,
)
from toyshift.core.errors import ContractError
from toyshift.core.seeds import episode_rng
from toyshift.policies.act.proposals import Proposals
from toyshift.policies.config import PolicyConfig
from toyshift.policies.instructions import instructions_of

AT_ONCE = 64  # observations that go through the network together


def blend(chunks: list[tuple[int, Float32]], now: int, decay: float) -> Float32:
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


def part_name(kind: str, camera: str = "") -> str:
    """Returns how errors call a part of an observation: "agent_pos", "masks of camera 'front'"."""
    return f"{kind} of camera {camera!r}" if camera else kind


class Inputs(NamedTuple):
    """What `ActingPolicy.predict` takes, by the names of its arguments."""

    images: dict[str, Image]
    masks: dict[str, Image]
    state: Float32
    instruction: NDArray[Any] | None


class ActingPolicy(ABC):
    """A policy that acts on one environment; what evaluation and serving see.

    Attributes:
        name: name in tables.
        config: what the policy is made of.
        action_contract: meaning of its actions.
        observation_contract: what it must be shown.
        execute: actions of a chunk to execute before `act` is called again.
        called: how errors call a part of an observation; a server's clients have names of their own.
    """

    def __init__(
        self, name: str, config: PolicyConfig, action: ActionContract, observation: ObservationContract
    ) -> None:
        self.name = name
        self.config = config
        self.action_contract = action
        self.observation_contract = observation
        self.execute = config.execute
        self.cameras = config.cameras or observation.camera_names
        self.called = part_name
        self._sizes = dict(observation.cameras)
        self._low = np.asarray(action.low, dtype=np.float32)
        self._high = np.asarray(action.high, dtype=np.float32)
        self.instructions = instructions_of(config)
        self.reset()

    @property
    def needs_masks(self) -> bool:
        return self.config.needs_masks

    @abstractmethod
    def predict(
        self, images: Mapping[str, Image], masks: Mapping[str, Image], state: Float32,
        instruction: NDArray[Any] | None = None,
    ) -> Float32:
        """Predicts chunks for a batch of observations; with a history, the next ones of the same episodes.

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
        self._chunks: list[tuple[int, Float32]] = []
        self._now = 0
        self._steps: list[Any] = []  # features of the latest observations
        count = self.config.proposals
        self.proposals = Proposals(count, self.observation_contract.state_names) if count else None
        # every episode draws the same: evaluation does not depend on its order
        self._rng = episode_rng(0, 0, "acting-noise")

    def steps_before(self, batch: int) -> list[Any]:
        """Returns the features of the latest observations, none where those were a batch of other episodes."""
        return self._steps if self._steps and len(self._steps[-1]) == batch else []

    def noise(self, batch: int) -> Float32 | None:
        """Returns the noise (B, K, A) that a prediction starts from, or None for heads that need none."""
        if not self.config.needs_noise:
            return None
        return self._rng.standard_normal((batch, self.config.chunk, self.action_contract.size), dtype=np.float32)

    def act(self, obs: Mapping[str, Any]) -> Float32:
        """Returns a chunk (K, A) of physical actions inside the action contract's bounds; execute the first `execute`.

        Args:
            obs: {"pixels": {cam: (H, W, 3) uint8}, "masks": {cam: (H, W) uint8}, "agent_pos": (S,) float32}, and
                "task", the instruction, for a policy that is told it, "environment_state" (E,) float32 for a privileged
                one.

        Raises:
            ContractError: a camera, mask or instruction is missing, an array has another shape or dtype, a mask holds
                another label, a state is not finite as float32, or the network gives actions that are not.
            UnknownNameError: the policy was not trained with this instruction.
        """
        chunk = self._finite(self.predict(*self._asked(obs))).mean(axis=0)  # of one, unless a name is unknown
        if self.config.ensemble > 0:
            self._chunks = [(made, c) for made, c in self._chunks if self._now - made < len(c)]
            self._chunks.append((self._now, chunk))
            chunk = blend(self._chunks, self._now, self.config.ensemble)
        self._now += self.execute
        return np.asarray(np.clip(chunk, self._low, self._high), dtype=np.float32)

    def act_apart(self, observations: Sequence[Mapping[str, Any]]) -> Float32:
        """Returns what `act` would answer to each observation if an episode began with it: chunks (B, K, A).

        The episode so far is forgotten. Observations go through the network together, unless predictions start from
        noise: each then begins with the same.
        """
        chunks = []
        most = 1 if self.config.needs_noise else AT_ONCE
        for first in range(0, len(observations), most):
            self.reset()
            parts = [self._asked(obs) for obs in observations[first : first + most]]
            images = {c: np.concatenate([part.images[c] for part in parts]) for c in parts[0].images}
            masks = {c: np.concatenate([part.masks[c] for part in parts]) for c in parts[0].masks}
            told = None if self.instructions is None else np.concatenate([part.instruction for part in parts])
            states = np.concatenate([part.state for part in parts])
            answers = self._finite(self.predict(images, masks, states, told))
            ends = np.cumsum([len(part.state) for part in parts])
            chunks += [each.mean(axis=0, keepdims=True) for each in np.split(answers, ends[:-1])]
        self.reset()
        return np.asarray(np.clip(np.concatenate(chunks), self._low, self._high), dtype=np.float32)

    def inputs(self, obs: Mapping[str, Any]) -> Inputs:
        """Returns what `predict` takes of an observation, a batch of one; arguments and errors as those of `act`."""
        images = {c: self._take(obs, "pixels", c, (*self._sizes[c], 3))[None] for c in self.cameras}
        masks = {c: self._take(obs, "masks", c, self._sizes[c])[None] for c in self.cameras} if self.needs_masks else {}
        seen = self.observation_contract
        vectors = [self._vector(obs, "agent_pos", seen.state_names)]
        if self.config.privileged:
            vectors.append(self._vector(obs, "environment_state", seen.environment_state_names))
        state = np.concatenate(vectors)[None]
        told = None if self.instructions is None else self.instructions([str(obs.get(TASK, ""))])
        return Inputs(images, masks, state, told)

    def _asked(self, obs: Mapping[str, Any]) -> Inputs:
        """Returns what `inputs` gives, and where a name is unknown a second row that tells it in general."""
        own = self.inputs(obs)
        if self.instructions is None or not self.config.fallback:
            return own
        told = self.instructions.branches(str(obs.get(TASK, "")))
        images, masks = (
            {c: view.repeat(len(told), axis=0) for c, view in views.items()} for views in (own.images, own.masks)
        )
        return Inputs(images, masks, own.state.repeat(len(told), axis=0), told)

    def _needed(self, obs: Mapping[str, Any], kind: str, camera: str = "") -> Any:
        """Returns a part of an observation; raises ContractError where it is missing."""
        views = obs.get(kind, {}) if camera else obs
        if (key := camera or kind) not in views:
            parts = [(k, c) for k, v in obs.items() for c in (v if isinstance(v, Mapping) else ("",))]
            there = ", ".join(sorted(self.called(*part) for part in parts)) or "nothing"
            what = f"policy {self.name} needs {self.called(kind, camera)}"
            raise ContractError(f"{what}; the observation has: {there}")
        return views[key]

    def _vector(self, obs: Mapping[str, Any], key: str, names: tuple[str, ...]) -> Float32:
        given = self._needed(obs, key)
        if (dtype := np.asarray(given).dtype).kind not in "biuf":
            raise ContractError(f"policy {self.name}: {self.called(key)} must be finite numbers, got {dtype}")
        with np.errstate(over="ignore"):  # what overflows is refused below
            vector = np.asarray(given, dtype=np.float32)
        what = f"policy {self.name}: {self.called(key)}"
        if vector.shape != (len(names),):
            raise ContractError(f"{what} has shape {vector.shape}, the contract names {len(names)} entries")
        if not np.isfinite(vector).all():
            entry = int(np.argmin(np.isfinite(vector)))
            raise ContractError(f"{what} must be finite as float32, but {names[entry]} is {np.asarray(given)[entry]}")
        return vector

    def _finite(self, chunks: Float32) -> Float32:
        """Returns chunks (B, K, A) as they are; raises ContractError where the network gives what no arm can do."""
        if not np.isfinite(chunks).all():
            case, row, entry = np.argwhere(~np.isfinite(chunks))[0]
            value, name = chunks[case, row, entry], self.action_contract.names[entry]
            raise ContractError(f"policy {self.name} gives {value} for {name} in action {row} of its chunk")
        return chunks

    def _take(self, obs: Mapping[str, Any], kind: str, camera: str, shape: tuple[int, ...]) -> Image:
        array = np.asarray(self._needed(obs, kind, camera))
        what = f"policy {self.name}: {self.called(kind, camera)}"
        if array.shape != shape or array.dtype != np.uint8:
            raise ContractError(f"{what} are {array.shape} {array.dtype}, the contract says {shape} uint8")
        if kind == "masks" and array.max(initial=0) > MASK_ROBOT:
            labels = f"labels are 0 to {MASK_ROBOT} (background, target, other object, robot)"
            raise ContractError(f"{what} hold {array.max()}; {labels}")
        return array

    def check(self, action: ActionContract, observation: ObservationContract) -> None:
        """Refuses an environment (or dataset) that means other actions or shows other observations.

        Raises:
            ContractError: names what differs.
        """
        require_same_contract(self.action_contract, action, f"policy {self.name}", "the environment")
        require_same_observations(self.observation_contract, observation, f"policy {self.name}", "the environment")
