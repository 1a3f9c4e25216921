"""Demonstrations that begin where a policy has got to: a beginner plays, then the expert takes over and is recorded.

Behaviour cloning shows a policy no way out of its own mistakes. What the expert does from there is what it lacks
(DAgger, Ross et al. 2011; with the expert in command once it has taken over, as in HG-DAgger, Kelly et al. 2019).
"""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from toyshift.envs.tasks.grasp import GraspEnv


class Starter(Protocol):
    """Chooses actions; `reset` once an episode, `actions` whenever the last chunk is used up."""

    def check(self, env: GraspEnv) -> None:
        """Raises ContractError where the environment acts or looks otherwise than it needs."""
        ...

    def reset(self, env: GraspEnv, seed: int, episode: int) -> None: ...

    def actions(self, env: GraspEnv) -> NDArray[np.float32]:
        """Returns the (K, A) physical actions to execute next, K >= 1."""
        ...


class Beginner(Protocol):
    """What a process makes its Starter of: a frozen dataclass whose fields say all, for they are hashed and sent."""

    def load(self) -> Starter: ...


@dataclasses.dataclass(frozen=True)
class TakeOver:
    """Who plays first, and for how long.

    Attributes:
        beginner: what plays first.
        shortest, longest: bounds of the number of control steps after which the expert takes over, drawn uniformly.
            While the beginner holds the target it goes on: an expert that lets go of it would teach to.
    """

    beginner: Beginner
    shortest: int = 4
    longest: int = 60

    def play(self, env: GraspEnv, starter: Starter, seed: int, episode: int, rng: np.random.Generator) -> int | None:
        """Plays the beginning of an episode that has just been reset.

        Returns:
            the number of control steps, or None where the episode ended, or the target was still held, before the
            expert was to take over.
        """
        due = int(rng.integers(self.shortest, self.longest + 1))
        starter.reset(env, seed, episode)
        steps = 0
        while steps <= 2 * self.longest:
            for action in starter.actions(env):
                _, terminated, info = env.advance(np.clip(action, env.action_contract.low, env.action_contract.high))
                steps += 1
                if terminated:
                    return None
                if steps >= due and not info["predicates"]["held"]:
                    return steps
        return None
