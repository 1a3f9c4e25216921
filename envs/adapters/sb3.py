"""Environments the way Stable-Baselines3 wants them: flat observation keys, masks as images, actions in [-1, 1].

>>> from toyshift.envs import sb3
>>> env = sb3.make("toyshift/Grasp-v0")                    # one gymnasium.Env
>>> envs = sb3.make_vec("toyshift/Grasp-v0", num_envs=8)   # a Stable-Baselines3 VecEnv on worker threads
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import gymnasium as gym
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from toyshift.core.arrays import Float32
from toyshift.core.contract import ActionContract
from toyshift.core.errors import MissingDependencyError
from toyshift.envs.adapters.flat import flat_observation, flat_space, sb3_info, unit_space

if TYPE_CHECKING:
    from toyshift.envs.adapters.sb3_vec import ThreadedVecEnv

ID = "toyshift/Grasp-v0"


class SB3Env(gym.Wrapper[dict[str, NDArray[Any]], Float32, dict[str, Any], Float32]):
    """Flat observations and [-1, 1] actions around a ToyShift environment.

    Args:
        env: made by `gym.make`.
    """

    def __init__(self, env: gym.Env[dict[str, Any], Float32]) -> None:
        super().__init__(env)
        self.action_contract: ActionContract = env.get_wrapper_attr("action_contract")
        self.observation_space = cast("Any", flat_space(env.observation_space))
        self.action_space = cast("Any", unit_space(self.action_contract))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None,
    ) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Starts an episode; see the environment for seed and options."""
        observation, info = self.env.reset(seed=seed, options=options)
        return flat_observation(observation), sb3_info(info)

    def step(self, action: Float32) -> tuple[dict[str, NDArray[Any]], float, bool, bool, dict[str, Any]]:
        """Executes an action (A,) in [-1, 1]."""
        observation, reward, terminated, truncated, info = self.env.step(self.action_contract.from_unit(action))
        return flat_observation(observation), float(reward), terminated, truncated, sb3_info(info)


def make(id: str = ID, **kwargs: Any) -> SB3Env:
    """Makes one environment for Stable-Baselines3; needs only Gymnasium.

    Args:
        id: a registered id.
        kwargs: go to `gymnasium.make`.
    """
    return SB3Env(gym.make(id, **kwargs))


def make_vec(id: str = ID, num_envs: int = 1, **kwargs: Any) -> ThreadedVecEnv:
    """Makes a Stable-Baselines3 VecEnv of environments on worker threads.

    Args:
        id: a registered id.
        num_envs: number of environments.
        kwargs: go to `gymnasium.make_vec`, e.g. threads=2, cameras=("front",), max_episode_steps=50.

    Raises:
        MissingDependencyError: Stable-Baselines3 is not installed.
    """
    try:
        from toyshift.envs.adapters.sb3_vec import ThreadedVecEnv
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{error.name} is not installed: run `pip install \"toyshift[rl]\"`") from error
    how: dict[str, Any] = {"vectorization_mode": "vector_entry_point", "autoreset_mode": AutoresetMode.SAME_STEP}
    envs = gym.make_vec(id, num_envs, **how, **kwargs)
    return ThreadedVecEnv(cast("Any", envs))
