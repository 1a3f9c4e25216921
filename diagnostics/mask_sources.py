"""Where the masks that a policy sees in an evaluation come from: the simulator, the same made worse, a detector."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from toyshift.core.arrays import Mask
from toyshift.core.contract import MASK_TARGET
from toyshift.core.errors import ConfigError, shown
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.own import own_function

LEAST = 4  # pixels of the target, below which an image says nothing about its mask
TRUTH, NOISY, DETECTOR = "truth", "noisy", "detector"

Observation = Mapping[str, Any]


class MaskSource(Protocol):
    """Gives observations their masks; `reset` once an episode."""

    def reset(self, seed: int, episode: int) -> None: ...

    def shown(self, observation: Observation) -> Observation: ...


class TrueMasks:
    """The environment's own masks."""

    def reset(self, seed: int, episode: int) -> None:
        pass

    def shown(self, observation: Observation) -> Observation:
        return observation


class NoisyMasks:
    """The environment's masks, made worse until the target overlaps the true one by a given IoU (to within a pixel).

    As under the shift `mask-jitter`: the outline is wrong, by another error in every image.
    """

    def __init__(self, iou: float) -> None:
        self.iou = iou

    def reset(self, seed: int, episode: int) -> None:
        self._rng = episode_rng(seed, episode, "noisy-masks")

    def shown(self, observation: Observation) -> Observation:
        from toyshift.envs.shifted.mask_noise import with_iou

        return {**observation, "masks": {c: with_iou(m, self.iou, self._rng) for c, m in observation["masks"].items()}}


def target_ious(shown: Mapping[str, Mask], true: Mapping[str, Mask]) -> list[float]:
    """Returns the IoU of the target in masks (H, W) with the true ones, of every camera that sees it (see LEAST)."""
    pairs = [(mask == MASK_TARGET, true[camera] == MASK_TARGET) for camera, mask in shown.items()]
    return [float((ours & seen).sum() / (ours | seen).sum()) for ours, seen in pairs if seen.sum() >= LEAST]


class DetectedMasks:
    """Masks found in the images, by a new detector every episode; the environment's are not looked at."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def reset(self, seed: int, episode: int) -> None:
        self._detector = self._make()

    def shown(self, observation: Observation) -> Observation:
        masks = self._detector.masks(observation["pixels"])
        return {**observation, "masks": {c: np.asarray(m, dtype=np.uint8) for c, m in masks.items()}}


def mask_source(text: str) -> MaskSource:
    """Reads truth, noisy:IOU, detector, or module:name, a callable that returns a `policies.detectors.MaskProvider`.

    Raises:
        ConfigError: nothing of these, or an IoU out of (0, 1].
    """
    kind, _, rest = text.partition(":")
    available = f"available: {TRUTH}, {NOISY}:IOU, {DETECTOR}, or module:name of your own provider"
    if text == TRUTH:
        return TrueMasks()
    if text == DETECTOR:
        from toyshift.policies.detectors import ColourDetector

        return DetectedMasks(ColourDetector)
    if kind == NOISY:
        try:
            iou = float(rest)
        except ValueError:
            iou = math.nan
        if not 0.0 < iou <= 1.0:
            raise ConfigError(f"masks {text!r}: write noisy:IOU with an IoU above 0 and at most 1, such as noisy:0.6")
        return NoisyMasks(iou)
    if ":" in text:
        return DetectedMasks(functools.partial(_own_detector, text, own_function(text, "masks", available)))
    raise ConfigError(f"masks {shown(text)} are unknown; {available}")


def _own_detector(text: str, make: Callable[[], Any]) -> Any:
    """Makes a detector of a user's own; raises ConfigError where it cannot be made, or is none."""
    wanted = "it must return a provider without being given anything: `policies.detectors.MaskProvider`"
    try:
        made = make()
    except Exception as error:  # whatever a user's function raises
        raise ConfigError(f"masks {text!r} raises {type(error).__name__} ({error}); {wanted}") from error
    if not callable(getattr(made, "masks", None)):
        what = f"returns a {type(made).__name__}, which has no method masks(pixels)"
        raise ConfigError(f"masks {text!r} {what}; {wanted}")
    return made
