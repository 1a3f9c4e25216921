"""Where the masks that a policy sees in an evaluation come from: the simulator, the same made worse, or the images."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from toyshift.core.arrays import Image, Mask
from toyshift.core.contract import MASK_TARGET
from toyshift.core.errors import ConfigError, shown
from toyshift.core.seeds import episode_rng
from toyshift.core.world import World
from toyshift.diagnostics.own import own_function
from toyshift.policies.masks.provider import Prompt
from toyshift.policies.masks.providers import BACKGROUND, is_provider, provider_maker, spelled

LEAST = 4  # pixels of the target, below which an image says nothing about its mask
TRUTH, NOISY = "truth", "noisy"

Observation = Mapping[str, Any]


class MaskSource(Protocol):
    """Gives observations their masks; `reset` once an episode, with the environment where there is one."""

    def reset(self, seed: int, episode: int, world: World | None = None) -> None: ...

    def shown(self, observation: Observation) -> Observation: ...


class TrueMasks:
    """The environment's own masks."""

    def reset(self, seed: int, episode: int, world: World | None = None) -> None:
        pass

    def shown(self, observation: Observation) -> Observation:
        return observation


class NoisyMasks:
    """The environment's masks, made worse until the target overlaps the true one by a given IoU (to within a pixel).

    As under the shift `mask-jitter`: the outline is wrong, by another error in every image.
    """

    def __init__(self, iou: float) -> None:
        self.iou = iou

    def reset(self, seed: int, episode: int, world: World | None = None) -> None:
        self._rng = episode_rng(seed, episode, "noisy-masks")

    def shown(self, observation: Observation) -> Observation:
        from toyshift.envs.shifted.mask_noise import with_iou

        return {**observation, "masks": {c: with_iou(m, self.iou, self._rng) for c, m in observation["masks"].items()}}


def target_ious(shown: Mapping[str, Mask], true: Mapping[str, Mask]) -> list[float]:
    """Returns the IoU of the target in masks (H, W) with the true ones, of every camera that sees it (see LEAST)."""
    pairs = [(mask == MASK_TARGET, true[camera] == MASK_TARGET) for camera, mask in shown.items()]
    return [float((ours & seen).sum() / (ours | seen).sum()) for ours, seen in pairs if seen.sum() >= LEAST]


def prompts_of(masks: Mapping[str, Mask]) -> dict[str, Prompt]:
    """Returns the box around the target in masks (H, W), of every camera that sees it (see LEAST)."""
    seen = {camera: mask == MASK_TARGET for camera, mask in masks.items()}
    boxes = {camera: Prompt.around(found) for camera, found in seen.items() if found.sum() >= LEAST}
    return {camera: box for camera, box in boxes.items() if box is not None}


class DetectedMasks:
    """Masks found in the images, by a new provider every episode.

    The environment's are not looked at, but by a provider that must be told where the target is: it gets the box around
    the true mask of the first observation that shows the target, as a person would draw it. Cameras that do not show
    it then have empty masks for the episode.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    @property
    def prompted(self) -> bool:
        """Whether the present provider must be told where the target is."""
        return bool(getattr(self._provider, "prompted", False))

    def reset(self, seed: int, episode: int, world: World | None = None) -> None:
        self._provider, self._world = self._made(world), world
        self._waits = self.prompted

    def _made(self, world: World | None) -> Any:
        return self._make()

    def shown(self, observation: Observation) -> Observation:
        images = observation["pixels"]
        if self._waits and self._world is not None:
            if not (prompts := prompts_of(self._world.true_masks())):
                return {**observation, "masks": {c: np.zeros(i.shape[:2], np.uint8) for c, i in images.items()}}
            self._provider.prompt(prompts)
            self._waits = False
        masks = self._provider.masks(images)
        return {**observation, "masks": {c: np.asarray(m, dtype=np.uint8) for c, m in masks.items()}}


class AgainstEmptyTable(DetectedMasks):
    """Masks by `background`, against a picture that every camera took of the table before the episode."""

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def _made(self, world: World | None) -> Any:
        from toyshift.diagnostics.empty_table import empty_table, moving_cameras

        return None if world is None else provider_maker(BACKGROUND, empty_table(world), moving_cameras(world))()


def provider_of(text: str, pictures: Mapping[str, Image] | None = None) -> Callable[[], Any]:
    """Reads the text of a provider, or module:name, a callable that returns a `MaskProvider`; returns what makes one.

    Args:
        text: see `policies.masks.providers.provider_maker`, as for what is raised.
        pictures: camera -> picture of the empty table, for `background` without a folder.

    Raises:
        ConfigError: it is neither.
    """
    if is_provider(text):
        return provider_maker(text, pictures)
    available = f"available: {spelled()}, or module:name of your own provider"
    if ":" not in text:
        raise ConfigError(f"masks {shown(text)} are unknown; {available}")
    return functools.partial(_own_detector, text, own_function(text, "masks", available))


def mask_source(text: str) -> MaskSource:
    """Reads truth, noisy:IOU, or a provider as `provider_of` does.

    `background` without a folder looks at the simulator's empty table.

    Raises:
        ConfigError: nothing of these, or an IoU out of (0, 1].
        FileError: the folder of a provider cannot be used.
        MissingDependencyError: a package is missing.
    """
    kind, _, rest = text.partition(":")
    if text == TRUTH:
        return TrueMasks()
    if text == BACKGROUND:
        return AgainstEmptyTable()
    if kind == NOISY:
        try:
            iou = float(rest)
        except ValueError:
            iou = math.nan
        if not 0.0 < iou <= 1.0:
            raise ConfigError(f"masks {text!r}: write noisy:IOU with an IoU above 0 and at most 1, such as noisy:0.6")
        return NoisyMasks(iou)
    if not is_provider(text) and ":" not in text:
        available = f"available: {TRUTH}, {NOISY}:IOU, {spelled()}, or module:name of your own provider"
        raise ConfigError(f"masks {shown(text)} are unknown; {available}")
    return DetectedMasks(provider_of(text))


def needs_simulator(source: MaskSource) -> bool:
    """Whether masks can only be shown where the simulator is, or somebody who says where the target is."""
    if not isinstance(source, DetectedMasks) or isinstance(source, AgainstEmptyTable):
        return True
    source.reset(0, 0)  # refuses what is no provider
    return source.prompted


def _own_detector(text: str, make: Callable[[], Any]) -> Any:
    """Makes a detector of a user's own; raises ConfigError where it cannot be made, or is none."""
    wanted = "it must return a provider without being given anything: `policies.masks.MaskProvider`"
    try:
        made = make()
    except Exception as error:  # whatever a user's function raises
        raise ConfigError(f"masks {text!r} raises {type(error).__name__} ({error}); {wanted}") from error
    if not callable(getattr(made, "masks", None)):
        what = f"returns a {type(made).__name__}, which has no method masks(pixels)"
        raise ConfigError(f"masks {text!r} {what}; {wanted}")
    return made
