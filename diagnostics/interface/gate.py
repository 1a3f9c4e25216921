"""Names a mistake at the interface by what undoes it: a policy's actions then come nearer to the expert's.

The policy is asked in states of the expert's episodes, as it is and with each mistake of `miswirings.py` taken back.
A mistake that was not made is thereby made, so a sound policy moves away from the expert, and each mistake is *ruled
out*; one that was made moves it nearer, and is *named*. What moves it neither way, by more than chance from episode to
episode, *cannot be told*: no policy shows a camera swapped that it does not look at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.diagnostics.interface.miswirings import Interface, Observation, Predict, miswirings

EDITION = 2  # raised with what is asked or concluded: a kept answer of another is asked for again
NAMED = 0.001  # chance that a mistake is named which changes nothing; most others move a sound policy away
RULED_OUT = 0.01  # chance that one is ruled out which changes nothing
LEAST = 0.005  # by which actions must come nearer [standard deviations of the expert's]
# colours are jittered in training, so that some sound policies read swapped channels a little better than their own
LEAST_OF = {"bgr": 0.045}
MOST = 3.0  # an entry's error counts no more than this [the same]: units that are wrong by 1000 do not hide the rest
EPISODES = 3  # fewest that tell chance apart

Told = Literal["named", "ruled out", "cannot be told"]


@dataclasses.dataclass(frozen=True)
class ExpertFrames:
    """States of the expert's episodes, and what it did from there on.

    Attributes:
        observations: N of them, as a policy sees them.
        actions: (N, K, A) its next actions, physical; nan past the end of an episode.
        episode: (N,) numbers.
    """

    observations: Sequence[Observation]
    actions: Array
    episode: NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Sign:
    """What speaks for or against one mistake.

    Attributes:
        name: of the mistake.
        words: completes "looks as if ...".
        error: distance to the expert where it is taken back [standard deviations of the expert's actions].
        nearer: by how much that is less than as it is; negative: farther.
        p: chance of so much or more in this direction, from episode to episode.
        told: what follows.
    """

    name: str
    words: str
    error: float
    nearer: float
    p: float
    told: Told


@dataclasses.dataclass(frozen=True)
class GateReport:
    """What a policy's answers say about its interface.

    Attributes:
        policy: its name.
        frames: number of states.
        episodes: that they are from.
        error: distance of the policy's actions to the expert's [standard deviations of the expert's].
        idle: distance of the expert's mean action: who knows nothing is no nearer.
        signs: of each mistake.
        named: the mistake that the policy suffers from, and others that explain it as well: what is mirrored twice is
            as it was; () for none.
        alike: whether its actions are nearer to the expert's than the mean action, as it is or with that taken back.
    """

    policy: str
    frames: int
    episodes: int
    error: float
    idle: float
    signs: tuple[Sign, ...]
    named: tuple[str, ...]
    alike: bool

    @property
    def sound(self) -> bool:
        """Whether nothing speaks against this interface, and the policy's actions for it."""
        return self.alike and not self.named

    @property
    def verdict(self) -> str:
        """One line in plain words."""
        if self.named:
            found = [next(sign for sign in self.signs if sign.name == name) for name in self.named]
            words, back = ", or ".join(sign.words for sign in found), f"{found[0].error:.2f} with that taken back"
            distance = f"actions are {self.error:.2f} standard deviations from the expert's, {back}"
            return f"looks as if {words}: {distance} ({self.episodes} episodes)"
        distance = f"{self.error:.2f} standard deviations from the expert's, the mean action {self.idle:.2f}"
        if not self.alike:
            return f"unlike the expert in every reading: actions are {distance}; untrained, or wired in another way"
        unknown = [sign.name for sign in self.signs if sign.told == "cannot be told"]
        left = f"; cannot be told: {', '.join(unknown)}" if unknown else ""
        return f"nothing is wrong that shows: actions are {distance}{left}"

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"sound": self.sound, "verdict": self.verdict}


def interface_of(frames: ExpertFrames, action: Any, observation: Any) -> Interface:
    """Returns an interface with the spread that state and actions have along the expert's episodes."""
    states = np.stack([np.asarray(one["agent_pos"], dtype=np.float64) for one in frames.observations])
    flat = frames.actions.reshape(-1, frames.actions.shape[-1])
    spread = np.array([np.nanmean(flat, axis=0), np.nanstd(flat, axis=0)])
    return Interface(action, observation, np.array([states.mean(axis=0), states.std(axis=0)]), spread)


def _distances(chunks: Array, frames: ExpertFrames, interface: Interface) -> Array:
    """Returns how far chunks (N, K, A) are from the expert's actions, (E,) one an episode."""
    steps = min(chunks.shape[1], frames.actions.shape[1])
    apart = np.abs(chunks[:, :steps] - frames.actions[:, :steps]) / _scale(interface)
    each = np.nanmean(np.minimum(apart, MOST), axis=(1, 2))
    return np.array([each[frames.episode == number].mean() for number in np.unique(frames.episode)])


def _scale(interface: Interface) -> Array:
    return np.where(interface.actions[1] > 1e-6, interface.actions[1], 1.0)


def farther(other: Predict, predict: Predict, frames: ExpertFrames, interface: Interface) -> tuple[float, float]:
    """Returns by how much another policy is farther from the expert than this one, and the chance of so much."""
    one, two = (_distances(np.asarray(ask(frames.observations)), frames, interface) for ask in (predict, other))
    return float((two - one).mean()), _chance(two - one)


def readings(interface: Interface) -> int:
    """Returns how often `check_interface` asks a policy in each state: as it is, and with what it sees taken back."""
    return 1 + sum(mistake.seen_back is not None for mistake in miswirings(interface))


def check_interface(predict: Predict, frames: ExpertFrames, interface: Interface, policy: str = "") -> GateReport:
    """Asks a policy in the expert's states, as it is and with each mistake taken back.

    Args:
        predict: the policy.
        frames: of at least `EPISODES` episodes.
        interface: see `interface_of`.
        policy: its name.

    Raises:
        ConfigError: too few episodes.
    """
    count = len(np.unique(frames.episode))
    if count < EPISODES:
        raise ConfigError(f"{count} episodes of the expert tell nothing from chance; at least {EPISODES} do")
    as_it_is = np.asarray(predict(frames.observations), dtype=np.float64)
    mean = np.broadcast_to(interface.actions[0], frames.actions.shape)
    base, idle = (_distances(chunks, frames, interface) for chunks in (as_it_is, mean))
    size = _size(as_it_is, frames, interface)
    signs, gains = [], {}
    for mistake in miswirings(interface):
        ask = predict if mistake.seen_back else lambda _: as_it_is  # sees the same: it need not be asked again
        chunks = mistake.undo(ask)(frames.observations)
        taken_back = _distances(chunks, frames, interface)
        nearer = base - taken_back
        p = _chance(nearer)
        told: Told = "cannot be told"
        smaller = mistake.done_back is not None and _size(chunks, frames, interface) > size + LEAST
        alike = taken_back.mean() < idle.mean()  # else nothing is explained by it
        least = LEAST_OF.get(mistake.name, LEAST)
        if nearer.mean() > least and p < NAMED and alike and not smaller:
            told = "named"
            gains[mistake.name] = nearer
        elif nearer.mean() < 0 and p < RULED_OUT:
            told = "ruled out"
        signs.append(Sign(mistake.name, mistake.words, float(taken_back.mean()), float(nearer.mean()), p, told))
    order = sorted(gains, key=lambda name: -gains[name].mean())
    named = tuple(name for name in order if name == order[0] or _chance(gains[order[0]] - gains[name]) > RULED_OUT)
    alike = bool(named) or bool(base.mean() < idle.mean() and _chance(idle - base) < RULED_OUT)
    frame_count, distance, of_mean = len(frames.observations), float(base.mean()), float(idle.mean())
    return GateReport(policy, frame_count, count, distance, of_mean, tuple(signs), named, alike)


def _size(chunks: Array, frames: ExpertFrames, interface: Interface) -> float:
    """Returns how far the spread of actions is from the expert's: mean over entries of |log of their ratio|."""
    steps = min(chunks.shape[1], frames.actions.shape[1])
    there, scale = ~np.isnan(frames.actions[:, :steps, 0]), _scale(interface)
    spread = (actions[:, :steps][there].std(axis=0) for actions in (chunks, frames.actions))
    own, expert = (np.maximum(part, 1e-3 * scale) for part in spread)
    return float(np.abs(np.log(own / expert)).mean())


def _chance(differences: Array) -> float:
    """Returns Student's one-sided p of a mean as far from zero as theirs, in its own direction; (E,) one an episode."""
    spread = differences.std(ddof=1)
    if spread < 1e-12:
        return 0.0 if abs(differences.mean()) > 1e-12 else 0.5
    t = abs(differences.mean()) / (spread / np.sqrt(len(differences)))
    return float(stats.t.sf(t, len(differences) - 1))
