"""The sub-datasets that are augmented: opened once in each process, their environments when they are first needed."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from toyshift.augment.augmentation import Around
from toyshift.augment.rerender import CONFIG
from toyshift.augment.seen import look_of
from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, real_path
from toyshift.data.collecting.fragment_folder import is_fragmented, read_plan
from toyshift.data.collecting.replay import environment_of
from toyshift.data.store.dataset import Dataset
from toyshift.data.store.mixture import open_alike
from toyshift.envs.shifts import Look
from toyshift.envs.tasks.grasp import GraspEnv


class GivenDatasets(NamedTuple):
    """What was named: sub-datasets by name, and in what they differ as their plan says, seen and to be done; "" without
    one.
    """

    parts: dict[str, Path]
    factor: str = ""
    relevant: str = ""


def sub_datasets(folder: Path) -> GivenDatasets | None:
    """Returns the sub-datasets of a folder that `toyshift data fragment` or `toyshift augment` made; None of another.
    """
    if is_fragmented(folder):
        design, _ = read_plan(folder)
        return GivenDatasets({part.name: folder / part.name for part in design.parts}, design.factor, design.relevant)
    marker = Path(folder) / CONFIG
    settings = read_json(marker).get("settings", {}) if marker.exists() else {}
    if names := settings.get("parts"):
        return GivenDatasets({name: folder / name for name in names}, settings["factor"], settings["relevant"])
    return None


def given_by(folders: Sequence[Path]) -> GivenDatasets:
    """Returns the sub-datasets that folders are or hold.

    Raises:
        ConfigError: none was named, two have one name, or one of several holds sub-datasets and is none itself.
    """
    if len(folders) == 1 and (found := sub_datasets(folders[0])):
        return found
    if held := next(((folder, found) for folder in folders if (found := sub_datasets(folder))), None):
        folder, found = held
        parts = " ".join(map(str, found.parts.values()))
        raise ConfigError(f"{folder} holds sub-datasets: name it alone, or each that is meant, such as {parts}")
    names = [real_path(folder).name for folder in folders]
    if not names or len(set(names)) < len(names):
        raise ConfigError(f"{', '.join(names) or 'nothing'}: name datasets that differ in their folders' names")
    return GivenDatasets(dict(zip(names, map(Path, folders), strict=True)))


class Sources:
    """Opened sub-datasets.

    Attributes:
        names: of all.
        datasets: of each.
    """

    def __init__(self, given: GivenDatasets) -> None:
        self.names = tuple(given.parts)
        self.datasets: list[Dataset] = open_alike(list(given.parts.values()))
        self._factor = given.factor
        self._envs: dict[int, GraspEnv] = {}

    @functools.cached_property
    def metas(self) -> tuple[tuple[dict[str, Any], ...], ...]:
        """What was noted of the episodes of each."""
        return tuple(tuple(d.meta(i) for i in range(d.num_episodes)) for d in self.datasets)

    @functools.cached_property
    def _looks(self) -> tuple[tuple[Look, ...], ...]:
        return tuple(tuple(look_of(meta) for meta in metas) for metas in self.metas)

    def around(self, own: int) -> Around:
        """Returns a sub-dataset among the others."""
        return Around(own, self.names, self._looks, self._factor)

    def grasped(self, parts: Sequence[int]) -> list[dict[str, Any]]:
        """Returns what was noted of the episodes of some that tell their grasp."""
        return [meta for part in parts for meta in self.metas[part] if {"grasp", "object_pose"} <= meta.keys()]

    def env(self, part: int) -> GraspEnv:
        """Returns the environment of a sub-dataset, in which the objects of all of them are known."""
        if part not in self._envs:
            sets = dict.fromkeys(str(meta.get("object_set")) for metas in self.metas for meta in metas)
            known = {"objects": "+".join(sets)} if len(sets) > 1 else {}
            self._envs[part] = environment_of(self.datasets[part], **known)
        return self._envs[part]

    def close(self) -> None:
        for env in self._envs.values():
            env.close()


@contextlib.contextmanager
def opened_sources(given: GivenDatasets) -> Iterator[Sources]:
    """Yields sub-datasets, which a process keeps between episodes."""
    with contextlib.closing(Sources(given)) as sources:
        yield sources
