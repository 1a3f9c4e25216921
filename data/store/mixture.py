"""Mixtures: a JSON file that names datasets and how often each is drawn, and merging datasets into one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toyshift.core.contract import require_same_contract, require_same_observations
from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.files import atomic_dir, read_json, real_path, require_new, write_json
from toyshift.core.manifest import manifest
from toyshift.core.progress import track
from toyshift.data.episode import Episode, write_episode
from toyshift.data.store.dataset import Dataset, open_dataset
from toyshift.data.store.lerobot import finalize

KINDS = ("uniform", "proportional", "given")
VERSION = 1


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Datasets and their shares of the draws.

    Attributes:
        folders: datasets, in order.
        weights: one positive share each; they add up to 1.
        kind: how the weights came about: one of KINDS, or a word of the program that chose them.
        hashes: content hashes of the datasets.
    """

    folders: tuple[Path, ...]
    weights: tuple[float, ...]
    kind: str
    hashes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        rows = [
            {"folder": str(f), "weight": w, "content_hash": h}
            for f, w, h in zip(self.folders, self.weights, self.hashes, strict=True)
        ]
        return {"version": VERSION, "kind": self.kind, "datasets": rows}


def open_alike(folders: Sequence[Path]) -> list[Dataset]:
    """Opens datasets that belong together.

    Raises:
        ContractError: two of them differ in what actions mean (frame rate among it) or in cameras and state; both are
            named.
        FileError: one is damaged or empty.
    """
    first, *others = datasets = [open_dataset(folder) for folder in folders]
    for other in others:
        names = str(first.folder), str(other.folder)
        require_same_contract(first.action_contract, other.action_contract, *names)
        require_same_observations(first.observation_contract, other.observation_contract, *names)
    for dataset in datasets:
        dataset.require_episodes()
    return datasets


def mix(folders: Sequence[Path], kind: str = "proportional", given: Sequence[float] = ()) -> Mixture:
    """Makes a mixture of datasets under one contract.

    Args:
        folders: at least one dataset.
        kind: "uniform" (each dataset the same share), "proportional" (each frame the same) or "given".
        given: relative weights for "given".

    Raises:
        ConfigError: the weights do not fit.
        ContractError, FileError: see `open_alike`.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of weights", kind, KINDS)
    if not folders or len({real_path(f) for f in folders}) != len(folders):
        raise ConfigError(f"a mixture needs datasets, each once; got {', '.join(map(str, folders)) or 'none'}")
    fit = not given or (len(given) == len(folders) and all(math.isfinite(w) and w > 0 for w in given))
    if (kind == "given") != bool(given) or not fit:
        got = f"got {list(given)} with kind {kind!r}"
        raise ConfigError(f"weights must be {len(folders)} positive numbers, one per dataset; {got}")
    datasets = open_alike(folders)
    frames = [d.num_frames for d in datasets]
    raw = [float(w) for w in {"uniform": [1] * len(datasets), "proportional": frames, "given": given}[kind]]
    weights, hashes = tuple(w / sum(raw) for w in raw), tuple(d.content_hash() for d in datasets)
    return Mixture(tuple(map(Path, folders)), weights, kind, hashes)


def write_mixture(path: Path, mixture: Mixture) -> None:
    """Writes the mixture file, with absolute paths: it may lie anywhere."""
    write_json(path, dataclasses.replace(mixture, folders=tuple(map(real_path, mixture.folders))).to_json())


def read_mixture(path: Path) -> Mixture:
    """Reads a mixture file.

    Raises:
        FileError: it is damaged, of another version, or a dataset in it has changed or is gone.
    """
    value = read_json(path)
    try:
        if value["version"] != VERSION:
            raise FileError(f"{path}: version {value['version']} of mixture files; this ToyShift reads {VERSION}")
        rows = value["datasets"]
        folders, weights = tuple(Path(r["folder"]) for r in rows), tuple(float(r["weight"]) for r in rows)
        mixture = Mixture(folders, weights, str(value["kind"]), tuple(str(r["content_hash"]) for r in rows))
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(f"{path} is no mixture file ({error!r}); make it with `toyshift data mix`") from error
    for folder, expected in zip(mixture.folders, mixture.hashes, strict=True):
        if open_dataset(folder).content_hash() != expected:
            why = f"it is not the dataset that was mixed in {path}: its content hash is another"
            raise FileError(f"{folder}: {why}; run `toyshift data mix` again")
    return mixture


def is_mixture(path: Path) -> bool:
    """Whether a path is meant as a mixture file rather than as a folder."""
    return Path(path).suffix == ".json"


def merge(folders: Sequence[Path], out: Path) -> dict[str, Any]:
    """Writes one dataset with the episodes of all, in order; each episode's meta data say where it came from.

    Returns:
        episodes, frames, content_hash.

    Raises:
        ConfigError: `out` is not empty.
        ContractError, FileError: see `open_alike`.
    """
    require_new(Path(out))
    datasets = open_alike(folders)
    number = 0
    first = datasets[0]
    facts = manifest({"merged": [str(d.folder) for d in datasets]})
    with atomic_dir(Path(out)) as temporary:  # an episode that cannot be read leaves nothing at `out`
        for dataset in datasets:
            for episode in track(dataset, f"merge {dataset.folder.name}", dataset.num_episodes, "episode"):
                origin = {"dataset": dataset.folder.resolve().name, "content_hash": dataset.content_hash()}
                meta = episode.meta | {"merged_from": origin | {"episode": episode.index}}
                write_episode(temporary, Episode(number, episode.frames, meta))
                number += 1
        finalize(temporary, first.action_contract, first.observation_contract, facts, robot_type=first.robot_type)
    return open_dataset(Path(out)).facts()
