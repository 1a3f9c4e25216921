"""What a factor implied in training: where the target lay under each of its values, as the episodes of datasets tell.

Only a dataset knows what a cue means. Where it ties a factor to the target's place, two values are named: the ends of
the line along which the mean places of its values, weighted by their episodes, spread most. Where it does not, or does
not tell its factors, that is said.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.dependence import BINS
from toyshift.diagnostics.statistics import holm

APART = 0.02  # least distance between two implied places: nearer ones are the same place for a hand [m]
LEAST = 3  # episodes of a value, without which it implies nothing
SHUFFLES = 500
TIED = 0.05  # p, corrected by Holm over factors, up to which a factor tells of the place

SAME, TIED_TO_NONE = "it is the same in all episodes", "the data tie it to no place"  # why a factor implied nothing

Place = tuple[float, float]  # on the table, base frame [m]


@dataclasses.dataclass(frozen=True)
class Implied:
    """What one factor implied.

    Attributes:
        factor: a field of `Look`.
        values: the two at the ends of the line along which the places spread most.
        places: mean place of the target under each.
        episodes: of the datasets.
        told: share of the place's variance that the factor's value tells.
        p: whether as much would be told by values dealt out at random, corrected for the factors that were looked at.
    """

    factor: str
    values: tuple[Any, Any]
    places: tuple[Place, Place]
    episodes: int
    told: float
    p: float

    @property
    def apart(self) -> float:
        """Distance between the two places [m]."""
        return float(np.hypot(*np.subtract(*self.places)))

    def sides(self, place: Array) -> tuple[int, int]:
        """Returns which value goes with a target at this place (2,), and which with one elsewhere."""
        near = [float(np.linalg.norm(place - np.asarray(other))) for other in self.places]
        return (0, 1) if near[0] <= near[1] else (1, 0)

    def way_to(self, side: int, place: Array) -> Array:
        """Returns the way (2,) from a place to the height of an implied one, along the line through both of these.

        Across that line the place stays, where the datasets had targets at all heights.
        """
        along = np.subtract(*self.places) / self.apart
        return np.asarray(((np.asarray(self.places[side]) - place) @ along) * along)


def folders_of(folders: Sequence[Path]) -> list[Path]:
    """Returns folders of datasets, those of `toyshift data fragment` by their sub-datasets."""
    from toyshift.data.collecting.fragment_folder import is_fragmented, read_plan

    found = []
    for folder in map(Path, folders):
        found += [folder / part.name for part in read_plan(folder)[0].parts] if is_fragmented(folder) else [folder]
    return found


def read_episodes(folders: Sequence[Path]) -> tuple[dict[str, list[Any]], Array]:
    """Returns factor -> its value in each episode of all datasets, and where the target lay (N, 2) [m].

    Factors that an episode does not tell are left out.

    Raises:
        ConfigError: an episode does not tell where its target lay, or there is none.
        FileError: no dataset there.
    """
    from toyshift.data import open_dataset
    from toyshift.envs.shifts import FACTORS

    metas: list[Mapping[str, Any]] = []
    for folder in folders_of(folders):
        dataset = open_dataset(folder)
        metas += [dataset.meta(i) for i in range(dataset.num_episodes)]
        silent = [i for i in range(dataset.num_episodes) if dataset.meta(i).get("object_pose") is None]
        if silent:
            told = f"episode {silent[0]} does not tell where its target lay"
            raise ConfigError(f"{folder}: {told}, so neither what a factor implies, nor the nearest example")
    if not metas:
        raise ConfigError(f"{' '.join(map(str, folders))}: no episodes, so nothing is told of what training showed")
    looks = [meta.get("factors", {}).get("look", {}) for meta in metas]
    values = {name: [look.get(name) for look in looks] for name in FACTORS}
    places = np.array([[meta["object_pose"][axis][3] for axis in (0, 1)] for meta in metas], np.float64)
    return {name: every for name, every in values.items() if None not in every}, places.reshape(-1, 2)


def _groups(values: Sequence[Any]) -> tuple[np.ndarray[Any, Any], list[Any]]:
    """Returns the group (N,) of each value, and a value for each group: of a continuum, bins of as many episodes."""
    numbers = np.asarray(values, np.float64)
    own, which = np.unique(numbers, return_inverse=True)
    if len(own) <= BINS:
        return which, [values[int(np.flatnonzero(which == i)[0])] for i in range(len(own))]
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, BINS + 1))[1:-1])
    which = np.searchsorted(edges, numbers, side="right")
    which = np.unique(which, return_inverse=True)[1]
    return which, [float(np.median(numbers[which == i])) for i in range(int(which.max()) + 1)]


def _told(which: np.ndarray[Any, Any], places: Array) -> float:
    """Returns which share of the places' variance the groups tell."""
    centred = places - places.mean(axis=0)
    size = np.bincount(which).astype(np.float64)
    sums = np.stack([np.bincount(which, weights=column) for column in centred.T], axis=1)
    return float((sums**2 / size[:, None]).sum() / (centred**2).sum())


def implied_of(
    factors: Mapping[str, Sequence[Any]], places: Array, seed: int = 0
) -> tuple[dict[str, Implied], dict[str, str]]:
    """Returns factor -> what it implied, and factor -> why it implied nothing.

    Args:
        factors: factor -> its value in each of N episodes.
        places: (N, 2) of the targets [m].
        seed: of the shuffles.
    """
    found: dict[str, Implied] = {}
    nothing: dict[str, str] = {}
    if len(places) < 2 * LEAST or np.ptp(places, axis=0).max() < APART:
        few = f"too few episodes ({len(places)})" if len(places) < 2 * LEAST else "the target always lay at one place"
        return {}, dict.fromkeys(factors, f"the data cannot tell what it implies: {few}")
    for name, values in factors.items():
        which, shown = _groups(values)
        kept = [i for i in range(len(shown)) if (which == i).sum() >= LEAST]
        if len(kept) < 2:
            nothing[name] = SAME if len(shown) == 1 else "its values have too few episodes"
            continue
        rng, told = episode_rng(seed, 0, f"implied {name}"), _told(which, places)
        chance = [_told(rng.permutation(which), places) for _ in range(SHUFFLES)]
        means = np.array([places[which == i].mean(axis=0) for i in kept])
        weight = np.sqrt([(which == i).sum() for i in kept])[:, None]
        middle = (means * weight**2).sum(axis=0) / (weight**2).sum()
        along = (means - middle) @ np.linalg.svd((means - middle) * weight, full_matrices=False)[2][0]
        low, high = int(np.argmin(along)), int(np.argmax(along))
        p = (1 + sum(other >= told - 1e-12 for other in chance)) / (1 + SHUFFLES)
        ends = (float(means[low, 0]), float(means[low, 1])), (float(means[high, 0]), float(means[high, 1]))
        found[name] = Implied(name, (shown[kept[low]], shown[kept[high]]), ends, len(places), told, p)
    for one, p in zip(list(found.values()), holm([one.p for one in found.values()]), strict=True):
        found[one.factor] = dataclasses.replace(one, p=p)
        if p > TIED or one.apart < APART:
            why = f"places {100 * one.apart:.1f} cm apart" if p <= TIED else f"p {p:.2g}"
            nothing[one.factor] = f"{TIED_TO_NONE} ({why})"
            del found[one.factor]
    return found, nothing


def usual_look_of(folders: Sequence[Path]) -> dict[str, Any]:
    """Returns `usual_look` of datasets; {} where an episode does not tell where its target lay, and so what it showed.

    Raises:
        FileError: no dataset there.
    """
    try:
        return usual_look(read_episodes(folders)[0])
    except ConfigError:
        return {}


def usual_look(factors: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Returns the look of an episode with the commonest values (of a continuum, bins), {} where it is the ordinary one.

    Args:
        factors: factor -> its value in each episode.
    """
    from toyshift.envs.shifts import Look

    if not factors:
        return {}
    groups = np.stack([_groups(values)[0] for values in factors.values()], axis=1)
    _, first, count = np.unique(groups, axis=0, return_index=True, return_counts=True)
    at = int(first[np.argmax(count)])
    shown = {name: values[at] for name, values in factors.items()}
    return {name: value for name, value in shown.items() if value != getattr(Look(), name)}
