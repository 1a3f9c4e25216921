"""An alarm where what a policy reads is unlike its training: distance of features, with a conformal threshold.

Score of an observation: root mean square distance, in standard deviations of each feature, to the nearest of the
training's observations. Threshold: split conformal on the largest scores of n held-out episodes, the one of rank
ceil((n + 1)(1 - share)) (Vovk et al. 2005, Algorithmic Learning in a Random World): of episodes like those, at most
`share` are alarmed, on average over draws of them.
"""

from __future__ import annotations

import dataclasses
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Float32
from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError, FileError
from toyshift.core.files import atomic_path
from toyshift.policies.runtime.robot_runtime import BundlePolicy

MOST = 4000  # observations of the training that are kept, evenly
FLAT = 1e-6  # standard deviation below which a feature says nothing


@dataclasses.dataclass(frozen=True, eq=False)
class Alarm:
    """A fitted alarm.

    Attributes:
        reference: standardised features of the training (N, F) float32.
        mean, std: of the training's features (F,).
        threshold: score above which it sounds.
        share: of episodes like the held-out ones that it sounds in, at most.
        episodes: held-out ones that the threshold is from.
        bundle: hash of the network that made the features; "" where it does not matter.
    """

    reference: Float32
    mean: Array
    std: Array
    threshold: float
    share: float
    episodes: int
    bundle: str = ""

    @classmethod
    def fit(
        cls, training: Float32, held_out: Sequence[Float32], share: float = 0.05, bundle: str = ""
    ) -> Alarm:
        """Fits the scale on the training's features (N, F), and the threshold on those of held-out episodes (T, F).

        Raises:
            ConfigError: features that are not finite or of another size, or too few episodes for `share`.
        """
        if not 0.0 < share < 1.0:
            raise ConfigError(f"share is {share:g}; it must be between 0 and 1")
        training = np.asarray(training, np.float64)
        if training.ndim != 2 or len(training) < 2 or not np.isfinite(training).all():
            raise ConfigError(f"features of the training are {training.shape}; finite (N, F) with N > 1 are needed")
        rank = math.ceil((len(held_out) + 1) * (1.0 - share) - 1e-9)
        if rank > len(held_out):
            least = math.ceil(1.0 / share - 1e-9) - 1
            told = f"{len(held_out)} held-out episodes say nothing about {share:g} of them"
            raise ConfigError(f"{told}; at least {least} are needed")
        mean, std = training.mean(0), training.std(0)
        std = np.where(std > FLAT, std, np.inf)  # one that never changed takes no part
        kept = training[np.unique(np.linspace(0, len(training) - 1, MOST).astype(int))]
        reference = np.asarray((kept - mean) / std, np.float32)
        alarm = cls(reference, mean, std, math.inf, share, len(held_out), bundle)
        largest = sorted(max(map(alarm.score, episode)) for episode in held_out)
        return dataclasses.replace(alarm, threshold=float(largest[rank - 1]))

    def score(self, features: Float32) -> float:
        """Returns how far features (F,) are from the training's; infinite where they are not finite.

        Raises:
            ContractError: there are others.
        """
        features = np.asarray(features, np.float64)
        if features.shape != self.mean.shape:
            raise ContractError(f"features of shape {features.shape}, the alarm was fitted to {self.mean.shape}")
        if not np.isfinite(features).all():
            return math.inf
        point = np.asarray((features - self.mean) / self.std, np.float32)
        squared = self._squares - 2.0 * (self.reference @ point) + float(point @ point)
        return math.sqrt(max(float(squared.min()), 0.0) / len(point))

    @property
    def _squares(self) -> Float32:
        found: Float32 | None = self.__dict__.get("_square")
        if found is None:
            found = np.einsum("nf,nf->n", self.reference, self.reference)
            self.__dict__["_square"] = found
        return found

    def sounds(self, score: float) -> bool:
        return not score <= self.threshold

    def save(self, path: Path) -> None:
        """Writes it as one NPZ file, whole or not at all."""
        arrays: dict[str, Any] = {"reference": self.reference, "mean": self.mean, "std": self.std}
        about = {"threshold": self.threshold, "share": self.share, "episodes": self.episodes, "bundle": self.bundle}
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays, **{key: np.array(value) for key, value in about.items()})

    @classmethod
    def load(cls, path: Path, bundle: str = "") -> Alarm:
        """Reads it; `bundle` is the hash of the network that will make the features.

        Raises:
            FileError: it is missing or damaged.
            ConfigError: it was fitted to another network.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                numbers = float(arrays["threshold"]), float(arrays["share"]), int(arrays["episodes"])
                alarm = cls(arrays["reference"], arrays["mean"], arrays["std"], *numbers, str(arrays["bundle"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            told = f"cannot read the alarm {path} ({error})"
            raise FileError(f"{told}; fit it again: `toyshift robot alarm BUNDLE --out {path}`") from error
        if bundle and alarm.bundle != bundle:
            raise ConfigError(f"the alarm {path} was fitted to another network ({alarm.bundle}, this is {bundle})")
        return alarm


class WatchedPolicy:
    """A bundle whose features an alarm looks at, with every chunk.

    Args:
        policy: an `OnnxPolicy` or `ServedBundle`.
        alarm: fitted to its features; None watches nothing.

    Attributes:
        score: of the latest observation; nan before there is one.
        scores: of the episode, one for each chunk.
    """

    def __init__(self, policy: Any, alarm: Alarm | None) -> None:
        self._policy: BundlePolicy = policy
        self.alarm = alarm
        self.name: str = policy.name
        self.contract: dict[str, Any] = policy.contract
        self.action_contract: ActionContract = policy.action_contract
        self.observation_contract: ObservationContract = policy.observation_contract
        self.execute: int = policy.execute
        self.cameras: tuple[str, ...] = policy.cameras
        self.score, self.scores = math.nan, []  # type: float, list[float]

    @property
    def needs_masks(self) -> bool:
        return self._policy.needs_masks

    @property
    def sounds(self) -> bool:
        """Whether the alarm sounds for the latest observation."""
        return self.alarm is not None and self.score == self.score and self.alarm.sounds(self.score)

    def reset(self) -> None:
        self.score, self.scores = math.nan, []
        self._policy.reset()

    def act(self, obs: Mapping[str, Any]) -> Float32:
        """Returns a chunk (K, A), and scores what it was made from; errors as those of the policy.

        Raises:
            ContractError: the policy gives no features.
        """
        chunk = self._policy.act(obs)
        if self.alarm is not None:
            features: Any = getattr(self._policy, "features", ())
            if not len(features):
                raise ContractError(f"policy {self.name} gives no features, which the alarm looks at; export it again")
            self.score = self.alarm.score(features[0])
            self.scores.append(self.score)
        return chunk
