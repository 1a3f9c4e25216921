"""The way of an action to the robot: late by whole control steps, and not quite as it was sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import ActionContract
from toyshift.envs.shifts import Variation
from toyshift.envs.spaces import MAX_DELTA, MAX_TURN

Array = NDArray[np.float64]


class ActionChannel:
    """Delays actions and adds noise to them, for one episode.

    Args:
        variation: what the episode's shifts come to.
        contract: units, bounds and rate of the actions.
        rest: the action that changes nothing; executed until the first delayed one arrives.
        stream: gives the generator of a control step's number.
    """

    def __init__(self, variation: Variation, contract: ActionContract, rest: Array, stream: Callable[[int], np.random.Generator]) -> None:
        self._waiting = deque([rest] * round(variation["action-latency"] * contract.control_hz))
        scale = {"m": MAX_DELTA, "rad": MAX_TURN}  # the gripper's opening, without a unit, stays as it is
        self._deviation = variation["action-noise"] * np.array([scale.get(unit, 0.0) for unit in contract.units])
        self._noisy = bool(self._deviation.any())
        self._low, self._high = np.asarray(contract.low), np.asarray(contract.high)
        self._stream = stream

    def __call__(self, action: Array, step: int) -> Array:
        """Returns the action that is executed in control step `step` when `action` is sent."""
        self._waiting.append(action)
        executed = self._waiting.popleft()
        if not self._noisy:
            return executed
        noise = self._deviation * self._stream(step).standard_normal(len(executed))
        return np.clip(executed + noise, self._low, self._high)
