"""Which proposals of its hint a policy has tried in vain in an episode: a hand that closed on nothing tells it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Float32, Indices
from toyshift.core.errors import ContractError
from toyshift.core.proprioception import OPENING

EMPTY = 0.03  # opening at which nothing is between the fingers; every robot of `envs` shuts to 0.012 or less


class Proposals:
    """What was tried in each of the episodes that are played together, from their start on.

    Args:
        count: proposals of the policy.
        state_names: entries of its state.

    Raises:
        ContractError: the state does not tell how far the hand is open.
    """

    def __init__(self, count: int, state_names: Sequence[str]) -> None:
        if OPENING not in state_names:
            raise ContractError(f"a policy with proposals needs the state entry {OPENING}; there are {state_names}")
        self._count, self._entry = count, list(state_names).index(OPENING)
        self._tried: NDArray[np.bool_] = np.zeros((0, count), bool)
        self._empty: NDArray[np.bool_] = np.zeros(0, bool)
        self._taken: Indices = np.zeros(0, np.int64)

    def tried(self, state: Float32) -> NDArray[np.bool_]:
        """Returns what is not to be taken now (B, proposals), by the state (B, S): those with which a hand shut.

        What was acted on is tried when the hand is shut and was not at the look before. After all were tried, none is
        anymore. Another number of episodes than before are new ones.
        """
        empty = state[:, self._entry] <= EMPTY
        if len(state) != len(self._empty):
            self._tried = np.zeros((len(state), self._count), bool)
        else:
            missed = np.flatnonzero(empty & ~self._empty)
            self._tried[missed, self._taken[missed]] = True
            self._tried[self._tried.all(axis=1)] = False
        self._empty = empty
        return self._tried.copy()

    def took(self, chosen: Indices) -> None:
        """Notes the proposal (B,) that each episode acts on."""
        self._taken = np.asarray(chosen, np.int64)
