"""The table of mask providers, and how one is made from its text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.lazy import imported

if TYPE_CHECKING:  # the table is read where NumPy is not loaded
    from toyshift.core.arrays import Image


@dataclasses.dataclass(frozen=True)
class ProviderRow:
    """One kind of provider.

    Attributes:
        place: module of this room and class.
        prompted: it must be told where the target is in each camera's first image.
        folder: what the folder behind its name holds; "" where none is given.
        optional: the folder may be left out where somebody else has what it holds.
    """

    place: str
    prompted: bool = False
    folder: str = ""
    optional: bool = False


PROVIDERS = {
    "detector": ProviderRow("detector:ColourDetector"),
    "background": ProviderRow("background:EmptyTable", folder="pictures of the empty table, CAMERA.png", optional=True),
    "colour": ProviderRow("colour:ColourFollower", prompted=True),
    "box": ProviderRow("box:FilledBox", prompted=True),
    "track": ProviderRow("track:VideoTracker", prompted=True, folder="config.json and model.safetensors"),
}
BACKGROUND = "background"


def spelled() -> str:
    """Returns how every provider is spelled, for errors and help."""
    forms = [f"{name}[:FOLDER]" if row.optional else f"{name}:FOLDER" if row.folder else name
             for name, row in PROVIDERS.items()]  # fmt: skip
    return ", ".join(forms)


def is_provider(text: str) -> bool:
    """Whether a text begins with the name of a provider, as `track:FOLDER` does."""
    return text.partition(":")[0] in PROVIDERS


def row_of(text: str) -> tuple[ProviderRow, str]:
    """Returns the row of a provider, and the folder behind its name.

    Raises:
        UnknownNameError: there is no such provider.
        ConfigError: a folder lacks, or is given to one that takes none.
    """
    name, colon, folder = text.partition(":")
    if name not in PROVIDERS:
        raise UnknownNameError("mask provider", name, PROVIDERS)
    row = PROVIDERS[name]
    if colon and not row.folder:
        raise ConfigError(f"masks {text!r}: {name} takes nothing behind it")
    if not folder and row.folder and not (row.optional and not colon):
        raise ConfigError(f"masks {text!r}: write {name}:FOLDER, a folder with {row.folder}")
    return row, folder


def provider_maker(
    text: str, pictures: Mapping[str, Image] | None = None, moving: Collection[str] | None = None
) -> Callable[[], Any]:
    """Returns what makes a provider, a new one for every episode; a model's weights are read once.

    Args:
        text: `detector`, `background[:FOLDER]`, `colour`, `box` or `track:FOLDER`.
        pictures: camera -> picture of the empty table, for `background` without a folder.
        moving: cameras that the robot carries, for `background`; None is the wrist's.

    Raises:
        UnknownNameError, ConfigError: see `row_of`; or nobody has pictures of the empty table.
        FileError: what the folder holds cannot be used.
        MissingDependencyError: a package is missing.
    """
    row, folder = row_of(text)
    kind = imported("toyshift.policies.masks", row.place)
    if text.partition(":")[0] == BACKGROUND:
        from toyshift.policies.masks.background import MOVING, empty_pictures

        seen = empty_pictures(Path(folder)) if folder else pictures
        if not seen:
            wanted = f"give {BACKGROUND}:FOLDER, a folder with {row.folder}"
            raise ConfigError(f"masks {text!r}: there is no picture of the empty table; {wanted}")
        return lambda: kind(seen, MOVING if moving is None else moving)
    if folder:
        first = kind(Path(folder))
        return lambda: first.anew()
    return kind  # type: ignore[no-any-return]
