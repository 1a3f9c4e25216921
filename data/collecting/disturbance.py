"""Disturbances while demonstrating: the executed action is pushed aside, the clean one recorded, with its recovery."""

from __future__ import annotations

import dataclasses

import numpy as np

from toyshift.core.arrays import Array, Float32
from toyshift.core.contract import ActionContract


@dataclasses.dataclass(frozen=True)
class Disturbance:
    """Noise on executed hand motions (`eef_delta` only), off while the gripper closes or lifts except for the jitter.

    Attributes:
        jitter: standard deviation of the noise on every translation [m]; rotations about the vertical get 3 rad per m.
        push_rate: chance per action that a push begins while the hand approaches.
        push_speed: standard deviation of a push's translation per action [m].
        push_turn: standard deviation of a push's turn about the vertical per action [rad].
        push_steps: shortest and longest push [actions].
        squeeze: chance that the gripper is closed during a push.
        start_turn: largest turn about the vertical that the hand begins with, drawn uniformly on both sides [rad]:
            without it, most demonstrations need no turn at all, and a policy never learns to turn.
        start_steps: actions that this turn takes.
    """

    jitter: float = 0.002
    push_rate: float = 0.06
    push_speed: float = 0.02
    push_turn: float = 0.15
    push_steps: tuple[int, int] = (2, 5)
    squeeze: float = 0.25
    start_turn: float = 0.8
    start_steps: int = 4


class Disturber:
    """One episode's disturbance, drawn from the generator it is given.

    Args:
        disturbance: how strong.
        contract: of the actions; only `eef_delta` is disturbed.
        rng: the episode's stream for disturbances.
    """

    def __init__(self, disturbance: Disturbance, contract: ActionContract, rng: np.random.Generator) -> None:
        self._config, self._contract, self._rng = disturbance, contract, rng
        self._left = 0
        self._push: Array = np.zeros(4)
        self._squeezing = False
        self._starting = disturbance.start_steps
        self._start_turn = disturbance.start_turn * (2.0 * rng.random() - 1.0) / max(1, disturbance.start_steps)

    def __call__(self, action: Float32, approaching: bool) -> Float32:
        """Returns the action (A,) to execute in place of the clean one."""
        if self._contract.mode != "eef_delta":
            return action
        config, rng = self._config, self._rng
        noise = config.jitter * rng.standard_normal(4) * np.array([1.0, 1.0, 1.0, 3.0])
        begins = rng.random() < config.push_rate
        if approaching and self._left == 0 and begins:
            self._left = int(rng.integers(config.push_steps[0], config.push_steps[1] + 1))
            self._push = rng.standard_normal(4) * np.array([config.push_speed] * 3 + [config.push_turn])
            self._squeezing = bool(rng.random() < config.squeeze)
        executed = action.copy()
        if self._starting > 0:
            self._starting -= 1
            executed[3:6] = (0.0, 0.0, self._start_turn)
        executed[[0, 1, 2, 5]] += noise
        if approaching and self._left > 0:
            self._left -= 1
            executed[[0, 1, 2, 5]] += self._push
            if self._squeezing:
                executed[-1] = 0.0
        return np.clip(executed, self._contract.low, self._contract.high).astype(np.float32)
