"""Losses of a training's kept weights: on what it learnt from, on wrong labels apart, and on held-out episodes.

Weights that were averaged for acting are judged, without noise or jitter, on the same frames at every look.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.errors import ConfigError
from toyshift.core.seeds import episode_rng

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from toyshift.core.arrays import Array
    from toyshift.policies.network.policy import Policy
    from toyshift.policies.training.config import TrainConfig
    from toyshift.policies.training.training_data import TrainingData

SHARES = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)  # of the steps, after which is looked
DRAWN, RIGHT = 2048, 512  # training frames that are drawn, and of those with right labels the most that are judged
EVERY = 2  # of so many held-out frames one is judged
AT_ONCE = 128
FRAMES = RIGHT + DRAWN // 10 + 700  # about so many are judged at a look, for estimates


@dataclasses.dataclass(frozen=True, eq=False)
class Frames:
    """Frames that are judged at every look.

    Attributes:
        batches: as a policy reads them, AT_ONCE frames each.
        episode: (n,) the number of each frame's episode.
    """

    batches: list[dict[str, Any]]
    episode: NDArray[np.int64]


def steps_to_look(steps: int) -> tuple[int, ...]:
    """Returns the steps after which a training's weights are looked at, the start and the last among them."""
    return tuple(sorted({0, *(max(1, round(share * steps)) for share in SHARES[1:])}))


def losses_of(config: TrainConfig, right: Path, wrong: Sequence[int]) -> dict[str, Any]:
    """Returns the losses of the weights that a finished training has kept.

    Args:
        config: of the training, which kept the weights of `steps_to_look`.
        right: the dataset with the labels that are right, the same episodes as that which was learnt from.
        wrong: numbers of the episodes whose labels were not.

    Returns:
        looks: for each step "right" (training frames whose labels are right) and "held_out" (held-out episodes by right
            labels), and where labels were wrong "wrong" (those labels), "rule" (the right ones of the same frames) and
            "train" (all training frames by what they were labelled with).
        episodes: number of each held-out episode -> its mean loss at the last step.
    """
    from toyshift.policies.checkpoints import kept_folder
    from toyshift.policies.network.weights import load_network

    frames, share = frames_of(config, right, wrong)
    looks: list[dict[str, float]] = []
    by_episode: dict[str, float] = {}
    for step in steps_to_look(config.steps):
        network = load_network(kept_folder(Path(config.out), step) if step < config.steps else Path(config.out))
        found = {name: judged(network, some) for name, some in frames.items()}
        means = {name: float(x.mean()) for name, x in found.items()}
        train = means["right"] if "wrong" not in means else share * means["wrong"] + (1 - share) * means["right"]
        looks.append({"step": step, **means, "train": train})
        by_episode = mean_of_each(found["held_out"], frames["held_out"].episode)
    return {"looks": looks, "episodes": by_episode}


def frames_of(config: TrainConfig, right: Path, wrong: Sequence[int]) -> tuple[dict[str, Frames], float]:
    """Returns the frames that are judged, by name, and which share of the training frames has wrong labels.

    Raises:
        ConfigError: nothing is held out; or the two datasets do not hold the same frames.
    """
    import numpy as np

    from toyshift.policies.training.training_data import open_source

    own, true = open_source(config), open_source(dataclasses.replace(config, data=(str(right),)))
    if true.held_out is None:
        raise ConfigError("no episode is held out; give more --demos")
    if len(own.windows) != len(true.windows):
        raise ConfigError(f"{right} and {', '.join(config.data)} do not hold the same frames")
    drawn = np.sort(episode_rng(config.seed, 0, "looks").permutation(len(own.windows))[:DRAWN])
    episode = np.concatenate([own.windows.batch(drawn[i : i + AT_ONCE])["episode_index"]
                              for i in range(0, len(drawn), AT_ONCE)])  # fmt: skip
    is_wrong = np.isin(episode, wrong)
    held = np.arange(len(true.held_out))[::EVERY]
    found = {
        "right": _frames(true, true.windows, drawn[~is_wrong][:: max(1, int((~is_wrong).sum()) // RIGHT)][:RIGHT]),
        "held_out": _frames(true, true.held_out, held),
    }
    if is_wrong.any():
        found |= {name: _frames(source, source.windows, drawn[is_wrong])
                  for name, source in (("wrong", own), ("rule", true))}  # fmt: skip
    return found, float(is_wrong.mean())


def frames_in(config: TrainConfig) -> Frames:
    """Returns every EVERYth frame of a training's datasets, whatever it would hold out."""
    import numpy as np

    from toyshift.policies.training.training_data import open_source

    source = open_source(dataclasses.replace(config, validation=0.0))
    return _frames(source, source.windows, np.arange(len(source.windows))[::EVERY])


def _frames(source: TrainingData, windows: Any, numbers: NDArray[np.int64]) -> Frames:
    import numpy as np

    batches, episodes = [], [np.empty(0, np.int64)]
    for i in range(0, len(numbers), AT_ONCE):
        raw = windows.batch(numbers[i : i + AT_ONCE])
        batches.append(source.told(raw))
        episodes.append(raw["episode_index"])
    return Frames(batches, np.concatenate(episodes))


def judged(network: Policy, frames: Frames) -> Array:
    """Returns the loss of each frame (n,)."""
    import torch

    with torch.no_grad():
        losses = [
            network.losses({k: torch.from_numpy(v) for k, v in batch.items()}).double() for batch in frames.batches
        ]
    found: Array = torch.cat(losses).numpy()
    return found


def mean_of_each(losses: Array, episode: NDArray[np.int64]) -> dict[str, float]:
    """Returns the mean loss of each episode, by its number as text: JSON has no other keys."""
    return {str(one): float(losses[episode == one].mean()) for one in sorted({int(e) for e in episode})}


def settled_at(train: Sequence[float], share: float) -> int | None:
    """Returns at which look a loss had made so much of its whole fall, None where it never fell."""
    fall = train[0] - train[-1]
    return next((i for i, loss in enumerate(train) if train[0] - loss >= share * fall), None) if fall > 0 else None


def paired_losses(first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, Any] | None:
    """Returns the second minus the first over the episodes that both have: mean, 95 % interval and Wilcoxon's p.

    None where they share fewer than two, or are equal in all.
    """
    import numpy as np
    from scipy.stats import wilcoxon

    from toyshift.diagnostics.statistics import bootstrap_mean

    shared = [name for name in first if name in second]
    apart = np.array([second[name] - first[name] for name in shared])
    if len(apart) < 2 or not apart.any():
        return None
    return {"difference": bootstrap_mean(apart).to_json(), "p_value": float(wilcoxon(apart).pvalue)}
