"""Stable-Baselines3's SAC and PPO as learners whose whole state is a table of tensors: going on needs no pickle."""

from __future__ import annotations

import functools
import math
import os
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from toyshift.core.errors import FileError
from toyshift.policies.rl.config import RlConfig
from toyshift.policies.rl.network import LearningEnv, PolicyFeatures
from toyshift.policies.training.memory import MemoryShortError

Tensors = dict[str, Tensor]
PPO_DEVIATION = 0.4  # of actions in [-1, 1] at the start; Stable-Baselines3's 1.0 clips a third of them
BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def require_memory(buffer: int, space: spaces.Space[Any], share: float = 0.7) -> None:
    """Refuses a buffer that does not fit into a share of this machine's memory.

    It fills slowly, and the run would be killed hours later.

    Raises:
        MemoryShortError: says how many transitions fit.
    """
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    # an observation and the next
    each = 2 * sum(int(np.prod(part.shape or ())) * np.dtype(part.dtype).itemsize for part in parts)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if buffer * each > share * memory:
        raise MemoryShortError(
            f"{buffer} transitions take {buffer * each / 2**30:.1f} GiB, this machine has {memory / 2**30:.1f} GiB: "
            f"lower --buffer to {int(share * memory / each)} or less, or --image-size"
        )


def make_learner(config: RlConfig, env: VecEnv, features: dict[str, Any], device: torch.device) -> BaseAlgorithm:
    """Makes an untrained learner; the same configuration gives the same weights.

    Args:
        config: what is learnt and how.
        env: where.
        features: arguments of `PolicyFeatures`.
        device: where it is computed.

    Raises:
        MemoryShortError: SAC's buffer does not fit.
    """
    policy: dict[str, Any] = {
        "activation_fn": nn.ReLU, "normalize_images": False,
        "features_extractor_class": PolicyFeatures, "features_extractor_kwargs": features,
        "net_arch": [config.hidden] * config.layers, "optimizer_kwargs": {"fused": True},
    }
    common: dict[str, Any] = {
        "learning_rate": config.lr, "batch_size": config.batch_size, "gamma": config.gamma, "seed": config.seed,
        "device": device, "policy_kwargs": policy,
    }
    network = "MlpPolicy" if isinstance(env.observation_space, spaces.Box) else "MultiInputPolicy"
    if config.algo == "sac":
        require_memory(config.buffer, env.observation_space)
        return SAC(
            network, env, n_steps=config.n_step if network == "MlpPolicy" else 1, buffer_size=config.buffer,
            learning_starts=config.random_steps, tau=config.tau, train_freq=1, gradient_steps=config.updates_at_once,
            ent_coef=f"auto_{config.temperature}", **common,
        )  # fmt: skip
    policy |= {"ortho_init": False, "log_std_init": math.log(PPO_DEVIATION)}  # the former would start the encoders anew
    learner = PPO(
        network, env, n_steps=config.horizon, n_epochs=config.epochs, clip_range=config.clip,
        gae_lambda=config.gae_lambda, ent_coef=config.entropy, **common,
    )  # fmt: skip
    mine = learner.policy
    for module, gain in ((mine.mlp_extractor, 2**0.5), (mine.action_net, 0.01), (mine.value_net, 1.0)):
        module.apply(functools.partial(mine.init_weights, gain=gain))
    return learner


def learner_state(learner: BaseAlgorithm) -> Tensors:
    """Returns copies of weights and optimiser moments by name."""
    out: Tensors = {}
    for name, entries in learner.get_parameters().items():
        if "param_groups" in entries:
            moments = entries["state"].items()
            entries = {f"{place}/{key}": value for place, values in moments for key, value in values.items()}
        out |= {f"{name}/{key}": value.detach().cpu().clone() for key, value in entries.items()}
    if getattr(learner, "log_ent_coef", None) is not None:
        out["log_ent_coef"] = learner.log_ent_coef.detach().cpu().clone()
    return out


def restore_learner(learner: BaseAlgorithm, tensors: Tensors) -> None:
    """Puts back what `learner_state` returned.

    Raises:
        FileError: the tensors are of another learner.
    """
    whole = {}
    for name, entries in learner.get_parameters().items():
        mine = {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}
        if "param_groups" in entries:
            places: dict[int, Tensors] = {}
            for key, value in mine.items():
                place, _, moment = key.partition("/")
                places.setdefault(int(place), {})[moment] = value
            whole[name] = {"param_groups": entries["param_groups"], "state": places}
        elif set(mine) != set(entries) or any(mine[key].shape != value.shape for key, value in entries.items()):
            raise FileError(f"the checkpoint's {name} is of another learner; delete the folder and train again")
        else:
            whole[name] = mine
    learner.set_parameters(whole)
    if getattr(learner, "log_ent_coef", None) is not None:
        with torch.no_grad():
            learner.log_ent_coef.copy_(tensors["log_ent_coef"])


class Experts(Protocol):
    """Scripted experts, one per environment."""

    def begin(self, i: int) -> None:
        """Looks at the episode that environment i has just begun."""

    def act(self, i: int) -> NDArray[np.float32]:
        """Returns the physical action (A,) of environment i."""


def play_experts(learner: BaseAlgorithm, env: LearningEnv, experts: Experts, steps: int, seed: int) -> list[bool]:
    """Puts transitions of experts into SAC's buffer, and returns how their episodes ended.

    Actions that are not learnt stay at 0.

    Args:
        learner: SAC.
        env: whose episodes they play.
        experts: of its environments.
        steps: control steps of all environments together.
        seed: of the episodes.
    """
    buffer: Any = learner.replay_buffer
    env.seed(seed)
    seen, ends = env.reset(), list[bool]()
    for i in range(env.num_envs):
        experts.begin(i)
    for _ in range(-(-steps // env.num_envs)):
        units = [env.contract.to_unit(experts.act(i))[env.places] for i in range(env.num_envs)]
        actions = np.stack(units).clip(-1.0, 1.0)
        then, rewards, dones, infos = env.step(actions)
        last = {key: value.copy() for key, value in then.items()} if isinstance(then, dict) else then.copy()
        for i in np.flatnonzero(dones):
            final = infos[i]["terminal_observation"]
            if isinstance(last, dict):
                for key, value in final.items():
                    last[key][i] = value
            else:
                last[i] = final
            ends.append(bool(infos[i]["is_success"]))
            experts.begin(int(i))
        buffer.add(seen, last, actions, rewards, dones, infos)
        seen = then
    return ends


def end_episodes(learner: BaseAlgorithm) -> None:
    """Marks SAC's newest transitions as the last of their episodes.

    What is collected next begins new ones, and n-step returns must not run into them.
    """
    buffer: Any = getattr(learner, "replay_buffer", None)
    if buffer is not None:
        buffer.timeouts[buffer.pos - 1] = 1.0 - buffer.dones[buffer.pos - 1] * (1.0 - buffer.timeouts[buffer.pos - 1])


def buffer_state(learner: BaseAlgorithm) -> Tensors:
    """Returns SAC's transitions (n, envs, ...) by name, oldest place first; nothing for PPO."""
    buffer = getattr(learner, "replay_buffer", None)
    if buffer is None:
        return {}
    size = buffer.buffer_size if buffer.full else buffer.pos
    out = {"place": torch.tensor([buffer.pos, int(buffer.full)])}
    for name in BUFFER:
        value = getattr(buffer, name)
        parts = {f"{name}/{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        out |= {key: torch.from_numpy(part[:size]) for key, part in parts.items()}
    return out


def restore_buffer(learner: BaseAlgorithm, tensors: Tensors) -> None:
    """Puts back what `buffer_state` returned."""
    buffer: Any = learner.replay_buffer
    for key, stored in tensors.items():
        name, _, part = key.partition("/")
        if name != "place":
            target = getattr(buffer, name)[part] if part else getattr(buffer, name)
            target[: len(stored)] = stored.numpy()
    buffer.pos, buffer.full = int(tensors["place"][0]), bool(tensors["place"][1])
