"""The network of reinforcement learning: the policy network inside Stable-Baselines3, and back out as one that acts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from torch import Tensor, nn

from toyshift.core.contract import MASK_SCALE, ActionContract, ObservationContract
from toyshift.core.errors import UnknownNameError
from toyshift.policies.config import PolicyConfig
from toyshift.policies.network.policy import Policy

VECTORS = ("agent_pos", "environment_state")


class LearningEnv(VecEnvWrapper):  # type: ignore[misc]  # Stable-Baselines3 is optional, mypy does not follow it
    """An environment as the learners see it.

    It takes some of the actions, in [-1, 1]; the others stay at 0 in physical units, where they do nothing.
    Observations without images are one vector (N, S) float32, the state and the target's pose, because
    Stable-Baselines3's n-step returns know no dictionaries.

    Args:
        env: with an `action_contract`.
        names: the chosen actions.

    Raises:
        UnknownNameError: the environment has no action of that name.
    """

    def __init__(self, env: VecEnv, names: tuple[str, ...]) -> None:
        self.contract: ActionContract = env.get_attr("action_contract")[0]
        for name in names:
            if name not in self.contract.names:
                raise UnknownNameError("action", name, self.contract.names)
        self.places = [self.contract.names.index(name) for name in names]
        low, high = np.asarray(self.contract.low), np.asarray(self.contract.high)
        self._rest = ((0.0 - low) / (high - low) * 2.0 - 1.0).clip(-1.0, 1.0).astype(np.float32)  # (A,)
        space = env.observation_space
        self.flat = set(space.spaces) <= set(VECTORS)
        self.keys = [key for key in VECTORS if key in space.spaces]
        if self.flat:
            bounds = (np.concatenate([getattr(space[key], side) for key in self.keys]) for side in ("low", "high"))
            space = spaces.Box(*bounds, dtype=np.float32)
        super().__init__(env, observation_space=space, action_space=spaces.Box(-1.0, 1.0, (len(names),), np.float32))

    def reset(self) -> Any:
        return self._seen(self.venv.reset())

    def _seen(self, observations: Any) -> Any:
        return np.concatenate([observations[key] for key in self.keys], axis=-1) if self.flat else observations

    def step_async(self, actions: Any) -> None:
        whole = np.repeat(self._rest[None], self.num_envs, axis=0)  # (N, A)
        whole[:, self.places] = actions
        self.venv.step_async(whole)

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            if "terminal_observation" in info:
                info["terminal_observation"] = self._seen(info["terminal_observation"])
        return self._seen(observations), rewards, dones, infos


class PolicyFeatures(BaseFeaturesExtractor):  # type: ignore[misc]
    """The policy network up to its head (encoder per view, pooling, standardised state) as a features extractor.

    Args:
        observation_space: of a `LearningEnv`, images channels first.
        config: what the policy is made of.
        action, observation: contracts of the environment.
        stats: see `Policy`.
    """

    def __init__(
        self, observation_space: spaces.Space[Any], config: PolicyConfig, action: ActionContract,
        observation: ObservationContract, stats: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        policy = Policy(config, action, observation, stats)
        super().__init__(observation_space, len(policy.cameras) * config.width + len(policy.indices))
        self.policy = policy
        policy.head = nn.Identity()  # Stable-Baselines3 has its own

    def forward(self, observations: Any) -> Tensor:  # (B, S), or a dictionary of (B, ...) -> (B, F)
        config = self.policy.config
        if isinstance(observations, Tensor):
            return self.policy.observe({}, {}, observations)
        state = [observations[key] for key in VECTORS[: 1 + config.privileged]]
        # (B, H, W, 3) in 0..255
        images = {c: observations[f"pixels_{c}"].permute(0, 2, 3, 1) for c in self.policy.cameras}
        masked = self.policy.cameras if config.needs_masks else ()
        masks = {c: (observations[f"masks_{c}"][:, 0] / MASK_SCALE).round() for c in masked}
        return self.policy.observe(images, masks, torch.cat(state, dim=1))


def action_statistics(action: ActionContract) -> dict[str, Any]:
    """Returns the middle and half the range of each action: standardised actions are those in [-1, 1]."""
    low, high = np.asarray(action.low), np.asarray(action.high)
    return {"mean": (low + high) / 2, "std": (high - low) / 2}


def state_statistics(env: LearningEnv, steps: int, seed: int) -> dict[str, Any]:
    """Returns mean and standard deviation of the state entries under random actions.

    Args:
        env: whose episodes are played.
        steps: steps of all environments.
        seed: of episodes and actions.
    """
    env.seed(seed)
    env.action_space.seed(seed)
    seen = [env.reset()]
    seen += [env.step(np.stack([env.action_space.sample() for _ in range(env.num_envs)]))[0] for _ in range(steps)]
    rows = [one if env.flat else np.concatenate([one[key] for key in env.keys], axis=1) for one in seen]
    states = np.concatenate(rows).astype(np.float64)
    return {"mean": states.mean(axis=0), "std": states.std(axis=0)}


def acting_network(
    learner: BaseAlgorithm, config: PolicyConfig, action: ActionContract, observation: ObservationContract,
    places: list[int],
) -> Policy:
    """Returns the policy network with the weights that the learner has now: what it does without exploring.

    Args:
        learner: SAC or PPO with `PolicyFeatures`.
        config, action, observation: as those of its features.
        places: which actions it controls; the others are 0.
    """
    mine = learner.policy
    if hasattr(mine, "actor"):  # SAC
        features, hidden, last = mine.actor.features_extractor, mine.actor.latent_pi, mine.actor.mu
    else:
        features, hidden, last = mine.features_extractor, mine.mlp_extractor.policy_net, mine.action_net
    with torch.random.fork_rng(devices=[]):  # its random start is not the learner's business
        policy = Policy(config, action, observation)
    own = policy.state_dict()
    own.update({k: v.detach().cpu() for k, v in features.policy.state_dict().items()})
    policy.load_state_dict(own)
    ours = [module for module in policy.head.modules() if isinstance(module, nn.Linear)]
    theirs = [module for module in hidden if isinstance(module, nn.Linear)]
    with torch.no_grad():
        for one, other in zip(ours[:-1], theirs, strict=True):
            one.weight.copy_(other.weight)
            one.bias.copy_(other.bias)
        ours[-1].weight.zero_()
        ours[-1].bias.zero_()
        ours[-1].weight[places] = last.weight.detach().cpu()
        ours[-1].bias[places] = last.bias.detach().cpu()
    return policy.eval()
