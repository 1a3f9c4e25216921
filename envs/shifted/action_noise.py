"""The way of an action to the robot: late by whole control steps, and not quite as it was sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.contract import ActionContract
from toyshift.envs.shifts import Variation
from toyshift.envs.spaces import MAX_DELTA, MAX_TURN


class ActionChannel:
    """Delays actions and adds noise to them, for one episode.

    Args:
        variation: what the episode's shifts come to.
        contract: units, bounds and rate of the actions.
        rest: the action that changes nothing; executed until the first delayed one arrives.
        stream: gives the generator of a control step's number.

    Attributes:
        contract, rest: as given.
        waiting: actions under way, oldest first.
        deviation: standard deviation of the noise on every entry (A,).
    """

    def __init__(
        self, variation: Variation, contract: ActionContract, rest: Array, stream: Callable[[int], np.random.Generator]
    ) -> None:
        self.contract, self.rest, self._stream = contract, rest, stream
        self.waiting: deque[Array] = deque()
        self.deviation = np.zeros(contract.size)
        for apply, drawn in variation.at("action"):
            apply(self, drawn.value)
        self._noisy = bool(self.deviation.any())
        self._low, self._high = np.asarray(contract.low), np.asarray(contract.high)

    def __call__(self, action: Array, step: int) -> Array:
        """Returns the action that is executed in control step `step` when `action` is sent."""
        self.waiting.append(action)
        executed = self.waiting.popleft()
        if not self._noisy:
            return executed
        noise = self.deviation * self._stream(step).standard_normal(len(executed))
        return np.clip(executed + noise, self._low, self._high)


def latency(channel: ActionChannel, seconds: float) -> None:
    channel.waiting.extend([channel.rest] * round(seconds * channel.contract.control_hz))


def noise(channel: ActionChannel, share: float) -> None:
    scale = {"m": MAX_DELTA, "rad": MAX_TURN}  # the gripper's opening, without a unit, stays as it is
    channel.deviation = share * np.array([scale.get(unit, 0.0) for unit in channel.contract.units])
