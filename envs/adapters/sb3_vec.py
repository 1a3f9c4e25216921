"""A Stable-Baselines3 VecEnv over ToyGraspVectorEnv: terminal observations, time limits, options."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from toyshift.core.arrays import Float32, Image
from toyshift.core.contract import ActionContract
from toyshift.core.errors import ConfigError
from toyshift.envs.adapters.flat import flat_observation, flat_space, sb3_info, unit_space
from toyshift.envs.adapters.vector import ToyGraspVectorEnv

Flat = dict[str, NDArray[Any]]
Some = int | Iterable[int] | None  # numbers of environments; None is all


class ThreadedVecEnv(VecEnv):  # type: ignore[misc]  # Stable-Baselines3 is optional, mypy does not follow it
    """Worker threads for Stable-Baselines3.

    An episode's last observation is `infos[i]["terminal_observation"]`, and `infos[i]["TimeLimit.truncated"]` tells a
    time limit from an end, as with DummyVecEnv. Unlike there, `seed(s)` is one root seed for all: environment j plays
    the episodes j, j + N, j + 2N, ... of it. No observation shares memory with another.

    Args:
        envs: with autoreset SAME_STEP.

    Raises:
        ConfigError: another autoreset mode.
    """

    def __init__(self, envs: ToyGraspVectorEnv) -> None:
        if envs.autoreset_mode is not AutoresetMode.SAME_STEP:
            mode, needed = envs.autoreset_mode.value, AutoresetMode.SAME_STEP.value
            raise ConfigError(f"autoreset mode is {mode}; Stable-Baselines3 needs {needed}")
        self.envs = envs
        self._contract: ActionContract = envs.get_attr("action_contract")[0]
        self._root: int | None = None
        self._actions: Float32 | None = None
        super().__init__(envs.num_envs, flat_space(envs.single_observation_space), unit_space(self._contract))

    def reset(self) -> Flat:
        """Starts episodes with the seed and options that were set; both are used once."""
        begun = self.envs.reset_each(self._root, [dict(options) for options in self._options])
        self._root = None
        self._reset_options()
        self.reset_infos = [sb3_info(info) for _, info in begun]
        return _stacked([flat_observation(observation) for observation, _ in begun])

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Sets the root seed of the next reset; None draws one."""
        self._root = int(self.envs.np_random.integers(2**31)) if seed is None else int(seed)
        self._seeds = [self._root] * self.num_envs
        return self._seeds

    def step_async(self, actions: Float32) -> None:
        """Takes actions (N, A) in [-1, 1]."""
        self._actions = self._contract.from_unit(actions)

    def step_wait(self) -> tuple[Flat, Float32, NDArray[np.bool_], list[dict[str, Any]]]:
        """Executes them and returns observations, rewards (N,), dones (N,) and infos."""
        if self._actions is None:
            raise ConfigError("call step_async() first")
        actions, self._actions = self._actions, None
        played = self.envs.step_each(actions)
        infos = []
        for i, one in enumerate(played):
            info = sb3_info(one.info if one.final is None else one.final[1])
            info["TimeLimit.truncated"] = one.truncated and not one.terminated
            if one.final is not None:
                info["terminal_observation"] = flat_observation(one.final[0])
                self.reset_infos[i] = sb3_info(one.info)
            infos.append(info)
        observations = _stacked([flat_observation(one.observation) for one in played])
        rewards = np.array([one.reward for one in played], np.float32)
        return observations, rewards, np.array([one.final is not None for one in played], np.bool_), infos

    def close(self) -> None:
        """Closes the environments and ends the threads; may be called twice."""
        self.envs.close()

    def get_images(self) -> Sequence[Image | None]:
        """Returns a picture of every environment, None without a render mode."""
        return self.envs.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Some = None) -> list[Any]:
        """Returns an attribute of some environments; raises AttributeError where there is none, for `has_attr`."""
        return [self.envs.envs[i].get_wrapper_attr(attr_name) for i in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Some = None) -> None:
        """Sets an attribute of some environments."""
        self.env_method("set_wrapper_attr", attr_name, value, indices=indices)

    def env_method(self, method_name: str, *method_args: Any, indices: Some = None, **method_kwargs: Any) -> list[Any]:
        """Calls a method of some environments on their threads."""
        chosen = [int(i) for i in self._get_indices(indices)]
        return list(self.envs.call_each(method_name, chosen, *method_args, **method_kwargs))

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: Some = None) -> list[bool]:
        """No environment is wrapped: put VecMonitor around this instead of Monitor around each."""
        return [False for _ in self._get_indices(indices)]


def _stacked(observations: Sequence[Flat]) -> Flat:
    """Returns one batch (N, ...) per key; always new memory."""
    return {key: np.stack([observation[key] for observation in observations]) for key in observations[0]}
