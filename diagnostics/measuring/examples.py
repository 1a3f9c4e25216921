"""What a policy was shown: the factors of each training frame on the way to a grasp, and what was done there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.core.contract import ACTION, STATE, ActionContract, require_same_contract
from toyshift.core.errors import ConfigError
from toyshift.diagnostics.dependence import BINS
from toyshift.diagnostics.measuring.implied import folders_of, read_episodes

STEPS = 8  # actions of a chunk that are compared, or as many as the policy's chunk has
# name of each factor of a state, and the least that counts as one standard deviation of it [m] or [rad]
FACTORS = {
    "target x": 0.01, "target y": 0.01, "hand x": 0.01, "hand y": 0.01, "hand z": 0.01, "turn to the grasp": 0.1,
    "width of the grasp": 0.005,
}  # fmt: skip
OF_GRASP = 2  # the last ones, which only data tell that note the grasp
HAND = ("eef.x", "eef.y", "eef.z", "eef.r11", "eef.r21")  # entries of the state that tell where the hand is


@dataclasses.dataclass(frozen=True)
class Examples:
    """Frames before the hand closes.

    Attributes:
        factors: (N, F) of each frame, see `FACTORS`; without those of the grasp where the data do not tell it.
        chunks: (N, STEPS, A) actions from each frame on.
        episode: (N,) of each frame.
        places: (E, 2) of the target in each episode [m].
        values: factor of the look -> its value in each episode.
        scale: (A,) standard deviation of each action entry; 1 for what never varies.
        contract: what the actions mean.
    """

    factors: Array
    chunks: Array
    episode: Indices
    places: Array
    values: Mapping[str, Sequence[Any]]
    scale: Array
    contract: ActionContract

    def nearest(self, factors: Array, shown: tuple[str, Any] | None = None) -> Array:
        """Returns what was done (STEPS, A) in the frame that is nearest in its factors, in standard deviations.

        Args:
            factors: (F,) of a state.
            shown: factor of the look and its value: only episodes that showed it.
        """
        unit = np.maximum(self.factors.std(axis=0), [*FACTORS.values()][: self.factors.shape[1]])
        apart = (((self.factors - factors[: self.factors.shape[1]]) / unit) ** 2).sum(axis=1)
        if shown is not None:
            apart = np.where(self.showing(*shown)[self.episode], apart, np.inf)
        return np.asarray(self.chunks[int(np.argmin(apart))])

    def showing(self, factor: str, value: Any) -> NDArray[np.bool_]:
        """Returns which episodes (E,) showed a value; of a continuum the nearest ones, as many as `implied` bins."""
        values = self.values[factor]
        same = np.array([one == value for one in values])
        if len(set(values)) <= BINS:
            return same
        apart = np.abs(np.asarray(values, np.float64) - value)
        return np.asarray(apart <= np.quantile(apart, 1 / BINS))


def factors_of(
    place: Array, hand: Array, yaw: NDArray[np.floating[Any]], grasp_yaw: float | None = None, width: float = 0.0
) -> Array:
    """Returns the factors (T, F) of states of one episode, see `FACTORS`; without those of a grasp that is not told.

    Args:
        place: (2,) of the target on the table [m].
        hand: (T, 3) where the hand is [m].
        yaw: (T,) of its closing axis [rad].
        grasp_yaw: that of the planned grasp, or of its half-turn [rad].
        width: of the planned grasp [m].
    """
    columns = [np.tile(np.asarray(place, np.float64), (len(hand), 1)), np.asarray(hand, np.float64)]
    if grasp_yaw is not None:
        turn = (grasp_yaw - yaw + np.pi / 2) % np.pi - np.pi / 2  # two fingers: half a turn is none
        columns += [np.asarray(turn, np.float64)[:, None], np.full((len(hand), 1), width)]
    return np.concatenate(columns, axis=1)


def before_closing(actions: NDArray[np.floating[Any]], contract: ActionContract) -> int:
    """Returns how many actions (T, A) come before the first that closes the hand, and have STEPS from them on."""
    opening = actions[:, contract.names.index("gripper")]
    closes = int(np.argmax(opening < 0.5)) if (opening < 0.5).any() else len(actions)
    return min(closes, max(0, len(actions) - STEPS + 1))


def read_examples(folders: Sequence[Path]) -> Examples:
    """Reads the frames of datasets, those of `toyshift data fragment` by their sub-datasets, without images.

    Episodes of several attempts are left out: theirs is the grasp of the last.

    Raises:
        ConfigError: an episode does not tell where its target lay, or its frames where the hand was.
        ContractError: two datasets' actions mean different things.
        FileError: no dataset there.
    """
    from toyshift.data import open_dataset

    values, places = read_episodes(folders)
    rows, chunks, numbers, actions_of, grasps = [], [], [], [], True
    contract: ActionContract | None = None
    first = 0
    for folder in folders_of(folders):
        dataset = open_dataset(folder)
        if contract is None:
            contract, named = dataset.action_contract, str(folder)
        require_same_contract(contract, dataset.action_contract, named, str(folder))
        state_names = dataset.observation_contract.state_names
        lacking = [name for name in HAND if name not in state_names]
        lacking += [] if "gripper" in contract.names else ["an action named gripper"]
        if lacking:
            raise ConfigError(f"{folder} does not tell {', '.join(lacking)}, so no nearest example can be found in it")
        entries = [state_names.index(name) for name in HAND]
        for i in range(dataset.num_episodes):
            meta = dataset.meta(i)
            if meta.get("attempts", 1) > 1:
                continue
            frames = dataset.episode(i, [STATE, ACTION]).frames
            hand, actions = frames[STATE][:, entries], np.asarray(frames[ACTION], np.float64)
            actions_of.append(actions)
            count, grasp = before_closing(actions, contract), meta.get("grasp")
            grasps &= grasp is not None
            told = (np.arctan2(grasp["rotation"][1][0], grasp["rotation"][0][0]), grasp["width"]) if grasp else ()
            yaw = np.arctan2(hand[:count, 4], hand[:count, 3])
            rows.append(factors_of(places[first + i], hand[:count, :3], yaw, *told))
            chunks += [actions[t : t + STEPS] for t in range(count)]
            numbers += [first + i] * count
        first += dataset.num_episodes
    assert contract is not None, "read_episodes has read a dataset"
    kept = len(FACTORS) - (0 if grasps else OF_GRASP)
    std = np.concatenate(actions_of).std(axis=0) if actions_of else np.ones(contract.size)
    return Examples(
        np.concatenate([row[:, :kept] for row in rows]) if rows else np.zeros((0, kept)),
        np.asarray(chunks, np.float64).reshape(-1, STEPS, contract.size), np.asarray(numbers, np.int64), places,
        values, np.where(std > 1e-6, std, 1.0), contract,
    )  # fmt: skip
