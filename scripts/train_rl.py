"""Trains a policy by reinforcement learning.

toyshift train-rl --algo sac --out runs/rl
toyshift train-rl --algo ppo --env toyshift/Grasp-v0 --out runs/rl-pixels
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import tyro

from toyshift.core.errors import GraspError, MissingDependencyError, UnknownNameError
from toyshift.core.graphics import gl_backend
from toyshift.policies.rl.config import RlConfig

if TYPE_CHECKING:
    from toyshift.core.arrays import Float32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Options of `toyshift train-rl`."""

    train: tyro.conf.OmitArgPrefixes[RlConfig]
    json: bool = False
    """Print one JSON object as the last line of stdout; everything else goes to stderr."""


def env_maker(config: RlConfig) -> Any:
    """Returns a function from a number of environments and their episodes' purpose to a VecEnv of them.

    Raises:
        UnknownNameError: no environment is registered under this id.
        MissingDependencyError: Stable-Baselines3 is not installed.
    """
    from toyshift.envs import VARIANTS, sb3

    ids = [f"toyshift/{name}" for name in VARIANTS]
    if config.env not in ids:
        raise UnknownNameError("environment", config.env, ids)
    pixels = VARIANTS[config.env.removeprefix("toyshift/")].get("cameras") != ()
    options: dict[str, Any] = {"objects": config.objects, "reward": config.reward}
    if pixels:
        gl_backend()
        options |= {"cameras": config.cameras, "image_size": config.image_size}
    return lambda count, purpose: sb3.make_vec(config.env, count, purpose=purpose, **options)


class ScriptedExperts:
    """The scripted expert of every environment of a VecEnv; where no grasp is found, it stays where it is.

    Args:
        envs: made by `env_maker`.
    """

    def __init__(self, envs: Any) -> None:
        from toyshift.data.grasping.choose import make_expert

        self._envs = envs.envs.envs
        self._experts = [make_expert(env) for env in self._envs]
        self._planned, self._played = [False] * len(self._envs), [0] * len(self._envs)

    def begin(self, i: int) -> None:
        """Plans for the present episode of environment i."""
        self._played[i] += 1
        try:
            self._experts[i].reset(i, self._played[i])  # which only tell the expert's own draws apart
        except GraspError:
            self._planned[i] = False
        else:
            self._planned[i] = True

    def act(self, i: int) -> Float32:
        """Returns the expert's action (A,), physical units."""
        import numpy as np

        env = self._envs[i]
        return self._experts[i].act() if self._planned[i] else env.action_for(np.zeros(3), np.zeros(3), 1.0)


def main(cfg: Config) -> dict[str, Any]:
    """Trains a policy by reinforcement learning (Stable-Baselines3); the same command goes on with an interrupted one.

    Example: toyshift train-rl --algo sac --objects "toys:train?n=1" --out runs/rl
    """
    make_env = env_maker(cfg.train)
    try:
        from toyshift.policies.rl.rounds import train_rl
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{error.name} is not installed: run `pip install \"toyshift[rl]\"`") from error

    result = train_rl(cfg.train, make_env, ScriptedExperts)
    out, best = cfg.train.out, f"success {100 * result['success']:.0f} % of its best evaluation"
    print(f"policy: {out}, {best} (curves: tensorboard --logdir {out}/tensorboard)")
    return result
