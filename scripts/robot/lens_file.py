"""The file with cameras' intrinsics that `toyshift robot run` and `toyshift robot check` take alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toyshift.core.errors import FileError
from toyshift.core.files import read_json

if TYPE_CHECKING:
    from toyshift.policies.runtime.framing import Lens

WANTED = 'write {"front": {"size": [480, 640], "intrinsics": [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]}}'


def read_lenses(path: Path | None, option: str) -> dict[str, Lens]:
    """Returns lenses by camera, {} without a file.

    Raises:
        FileError: it cannot be read, or holds something else.
    """
    from toyshift.policies.runtime.framing import Lens

    if path is None:
        return {}
    value = read_json(path, WANTED)
    try:
        return {camera: Lens.of(one["intrinsics"], (one["size"][0], one["size"][1])) for camera, one in value.items()}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise FileError(f"{option} {path} holds no lenses ({error!r}); {WANTED}") from error
