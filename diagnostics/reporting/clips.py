"""Clips of what was changed: an episode and the copy that an augmentation made of it, or one start, played twice."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.contract import image_key
from toyshift.core.errors import FileError
from toyshift.core.files import read_json
from toyshift.data.store.dataset import Dataset, open_dataset
from toyshift.diagnostics.reporting.chapter_data import ClipPair
from toyshift.diagnostics.reporting.found import FoundStudy
from toyshift.diagnostics.video import write_mp4

MOST = 6  # pairs, each of another augmentation
PLAYED, INDEX = "clips", "clips.json"  # folder of a study's clips beside its table, and what they are


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a copied episode comes from.

    Attributes:
        spec: what changed it, in words.
        folder: the dataset that it is a copy from.
        episode: its number there.
    """

    spec: str
    folder: Path
    episode: int


def origin_of(meta: Mapping[str, Any], config: Mapping[str, Any]) -> Origin | None:
    """Returns where an episode comes from, by its meta data and the manifest of its dataset; None for one as it was.

    `toyshift augment NAME` writes the one, `toyshift augment cue` the other.
    """
    if said := meta.get("_augmented"):
        if not said["copy"]:
            return None
        folders = [Path(folder) for folder in config.get("folders", ())]
        named = [folder for folder in folders if folder.name == said["dataset"]] or folders[:1]
        return Origin(str(said["spec"]), named[0], int(said["episode"])) if named else None
    if "source_episode" in meta and "src" in config:
        changed = ", ".join(str(config[key]) for key in ("factor", "azimuth") if key in config)
        return Origin(f"another {changed or 'look'}", Path(config["src"]), int(meta["source_episode"]))
    return None


def clip_pairs(run: Path, most: int = MOST) -> tuple[list[ClipPair], list[str]]:
    """Returns clips of the datasets in a run that an augmentation made, and what could not be shown, in words.

    Args:
        run: its folder.
        most: pairs; of each augmentation the first copy is shown.
    """
    found: list[ClipPair] = []
    left_out: list[str] = []
    shown: set[str] = set()
    for marker in sorted(run.rglob("meta/toyshift.json")):
        if len(found) == most:
            break
        try:
            copy = open_dataset(marker.parent.parent)
            config = copy.manifest.get("config", {})
            origins = ((i, origin_of(copy.meta(i), config)) for i in range(len(copy)))
            index, origin = next(((i, origin) for i, origin in origins if origin), (0, None))
            if origin and origin.spec not in shown:
                shown.add(origin.spec)
                title = f"{copy.folder.relative_to(run)}: {origin.spec}"
                found += list(_pair(title, copy, index, open_dataset(origin.folder), origin))
        except FileError as error:
            left_out.append(f"clips of {marker.parent.parent}: {error}")
    return found, left_out


def played_pairs(studies: Sequence[FoundStudy], most: int = MOST) -> tuple[list[ClipPair], list[str]]:
    """Returns the starts that studies have filmed twice, and what could not be shown, in words."""
    found: list[ClipPair] = []
    left_out: list[str] = []
    for study in studies:
        folder = study.folder / PLAYED
        if not (folder / INDEX).exists():
            continue
        try:
            for film in read_json(folder / INDEX)["films"][: most - len(found)]:
                sides = film["before"], film["after"]
                before, after = ((folder / side["file"]).read_bytes() for side in sides)
                names = (str(sides[0]["name"]), str(sides[1]["name"]))
                found.append(ClipPair(f"{study.name}: {film['title']}", film["caption"], before, after, names))
        except (FileError, OSError, KeyError, TypeError) as error:
            left_out.append(f"clips of {folder}: {error}")
    return found, left_out


def _pair(title: str, copy: Dataset, index: int, source: Dataset, origin: Origin) -> Iterator[ClipPair]:
    cameras = [c for c in copy.observation_contract.camera_names if c in source.observation_contract.camera_names]
    if cameras:
        before, after = (_clip(dataset, i, cameras[0]) for dataset, i in ((source, origin.episode), (copy, index)))
        yield ClipPair(title, f"episode {origin.episode}, camera {cameras[0]}", before, after)


def _clip(dataset: Dataset, episode: int, camera: str) -> bytes:
    key = image_key(camera)
    frames = dataset.episode(episode, [key]).frames[key]
    with tempfile.TemporaryDirectory() as folder:
        return write_mp4(Path(folder) / "clip.mp4", list(frames), dataset.action_contract.control_hz).read_bytes()
