"""Copies of a dataset in which episodes are left out or changed: resumable, and marked with what was done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core import runs
from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash
from toyshift.core.manifest import manifest
from toyshift.core.seeds import episode_rng

if TYPE_CHECKING:
    from toyshift.data.episode import Episode

MARKER = "remade.json"


def remake(
    src: Path, out: Path, takes: Sequence[int], facts: Mapping[str, Any],
    change: Mapping[int, Callable[[Episode], Episode]] | None = None,
) -> Path:
    """Writes a dataset of episodes `takes` of another one, in this order.

    Args:
        src: the dataset.
        out: folder of the new one; killed and run again, it goes on.
        takes: numbers of its episodes.
        facts: what was done, JSON-able: another one does not take the folder.
        change: place in `takes` -> what is made of that episode; others are copied to the bit.

    Returns:
        out.
    """
    from toyshift.data.episode import episode_indices, write_encoded, write_episode
    from toyshift.data.store.dataset import open_dataset
    from toyshift.data.store.lerobot import finalize

    dataset, changed = open_dataset(src), change or {}
    settings = {**facts, "source": dataset.content_hash(), "takes": [int(i) for i in takes], "changed": sorted(changed)}
    key = json_hash(settings)
    if runs.found(out / MARKER, key, "a copy of a dataset", "toyshift study", settings) is not None:
        return out
    runs.claim(out / MARKER, key, settings)
    for number in sorted(set(range(len(takes))) - episode_indices(out)):
        if number in changed:
            write_episode(out, dataclasses.replace(changed[number](dataset.episode(takes[number])), index=number))
        else:
            write_encoded(out, dataclasses.replace(dataset.encoded_with_histograms(takes[number]), index=number))
    made_by = manifest({**facts, "src": str(src)}, 0)
    finalize(out, dataset.action_contract, dataset.observation_contract, made_by, robot_type=str(dataset.robot_type))
    runs.finish(out / MARKER, {"out": str(out), "episodes": len(takes)})
    return out


def donors(count: int, share: float, seed: int) -> dict[int, int]:
    """Returns which episodes get the actions of which others: a share of all, rounded, none its own.

    A larger share of the same seed takes the episodes of a smaller one and more.

    Raises:
        ConfigError: the share is not in [0, 1], or a lone episode is to get another's.
    """
    if not 0.0 <= share <= 1.0:
        raise ConfigError(f"the share of corrupted episodes is {share}; it must be from 0 to 1")
    wanted = round(share * count)
    if wanted and count < 2:
        raise ConfigError("a dataset of one episode has no other one to take actions from")
    rng = episode_rng(seed, 0, "corrupted")
    order = [int(i) for i in rng.permutation(count)]
    steps = [1 + int(rng.integers(max(1, count - 1))) for _ in order]
    return {i: (i + step) % count for i, step in zip(order[:wanted], steps, strict=False)}


def with_actions(episode: Episode, actions: Any) -> Episode:
    """Returns an episode that says to have been commanded other actions (T', A): cut, or its last one repeated."""
    import numpy as np

    from toyshift.core.contract import ACTION

    length = len(episode)
    given = np.asarray(actions)[np.minimum(np.arange(length), len(actions) - 1)]
    frames = episode.frames | {ACTION: given.astype(episode.frames[ACTION].dtype)}
    return dataclasses.replace(episode, frames=frames, meta=episode.meta | {"corrupted": True})


def corrupt(src: Path, out: Path, share: float, seed: int) -> Path:
    """Writes a dataset in which a share of the episodes is labelled with another one's actions; images stay."""
    from toyshift.core.contract import ACTION
    from toyshift.data.store.dataset import open_dataset

    dataset = open_dataset(src)

    def given(donor: int) -> Callable[[Episode], Episode]:
        return lambda episode: with_actions(episode, dataset.episode(donor, [ACTION]).frames[ACTION])

    change = {i: given(donor) for i, donor in donors(dataset.num_episodes, share, seed).items()}
    facts = {"what": "corrupted", "share": share, "seed": seed}
    return remake(src, out, range(dataset.num_episodes), facts, change)
