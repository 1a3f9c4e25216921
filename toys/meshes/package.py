"""What the sets out of other people's packages share: their folder, their XML, and the set itself."""

from __future__ import annotations

import contextlib
import importlib.util
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path

from toyshift.core.errors import FileError, MissingDependencyError
from toyshift.toys.grammar import Term
from toyshift.toys.meshes.meshobject import MeshRecipe
from toyshift.toys.meshes.meshset import mesh_set
from toyshift.toys.objectset import ObjectSet


def package_folder(package: str, inner: str, missing: str) -> Path:
    """A folder inside an installed package, which is not imported.

    Raises:
        MissingDependencyError: there is none; says `missing`.
    """
    found = importlib.util.find_spec(package)
    folder = Path(found.origin).parent / inner if found and found.origin else None
    if folder is None or not folder.is_dir():
        raise MissingDependencyError(missing)
    return folder


@contextlib.contextmanager
def parsed(path: Path, package: str) -> Iterator[ET.Element]:
    """Yields the root of an XML file.

    Raises:
        FileError: it is damaged; or a ValueError or KeyError inside the block, where something in it is looked for.
    """
    try:
        yield ET.parse(path).getroot()
    except (OSError, ET.ParseError, ValueError, KeyError) as error:
        raise FileError(f"{path} cannot be read ({error}); install {package} again") from error


def package_set(term: Term, recipes: Sequence[MeshRecipe], leave_out: bool = False) -> ObjectSet:
    """The set of some recipes, named after its source; see `mesh_set`."""
    keys = {one.id: one.key() for one in recipes}
    return mesh_set(term.text, recipes, keys, [term.source], f"building {term.source}", leave_out=leave_out)
