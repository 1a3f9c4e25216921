"""The object set `random-urdfs:SPLIT`: the 1000 random objects that PyBullet brings (Quillen et al., ICRA 2018)."""

from __future__ import annotations

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path

from toyshift.core.errors import FileError, MissingDependencyError, UnknownNameError
from toyshift.toys.grammar import Term
from toyshift.toys.meshes.meshobject import Recipe
from toyshift.toys.meshes.meshset import mesh_set
from toyshift.toys.objectset import ObjectSet

SPLITS = ("all", "train", "test")


def data_folder() -> Path:
    """The folder of the objects inside the installed pybullet, which is not imported.

    Raises:
        MissingDependencyError: it is not installed.
    """
    found = importlib.util.find_spec("pybullet_data")
    folder = Path(found.origin).parent / "random_urdfs" if found and found.origin else None
    if folder is None or not folder.is_dir():
        raise MissingDependencyError('random-urdfs: the objects come with pybullet, which is not installed; run `pip install "toyshift[bullet]"`')
    return folder


def split_of(name: str) -> str:
    """Which split an object belongs to: PyBullet's own environment tests on the 100 whose number ends in 0."""
    return "test" if name.endswith("0") else "train"


def read_urdf(path: Path) -> Recipe:
    """What a URDF says of its object: mesh, scale, mass and colour.

    Its inertia is a placeholder (1, 0, 0), so the inertia of a uniform solid takes its place.

    Raises:
        FileError: it is damaged, or lacks one of them.
    """
    try:
        root = ET.parse(path).getroot()
        link = root.find("link")
        if link is None:
            raise ValueError("no <link>")
        values = {tag: link.find(where) for tag, where in (("mesh", "visual/geometry/mesh"), ("mass", "inertial/mass"), ("color", "visual/material/color"))}
        for tag, element in values.items():
            if element is None:
                raise ValueError(f"no <{tag}>")
        found = {tag: dict(element.attrib) for tag, element in values.items() if element is not None}
        x, y, z = (float(v) for v in found["mesh"]["scale"].split())
        r, g, b, a = (float(v) for v in found["color"]["rgba"].split())
        mass = float(found["mass"]["value"])
        mesh = path.parent / found["mesh"]["filename"]
    except (OSError, ET.ParseError, ValueError, KeyError) as error:
        raise FileError(f"{path} cannot be read ({error}); install pybullet again") from error
    if not mesh.resolve().is_relative_to(path.parent.resolve()):
        raise FileError(f"{path} refers to {mesh}, which is outside its folder; install pybullet again")
    name = path.stem
    return Recipe(str(mesh.resolve()), f"random_{name}", "random object", "random-urdfs", scale=(x, y, z), mass=mass, rgba=(r, g, b, a))


def random_urdfs_set(term: Term) -> ObjectSet:
    """All 1000 objects (`random-urdfs:all`) or PyBullet's split of 900 (`:train`) and 100 (`:test`), each of 100 g.

    An object that cannot be read is left out with a warning (168, whose coordinates are not numbers). The first use builds all that were asked for.

    Raises:
        MissingDependencyError: pybullet is not installed.
        FileError: the objects cannot be read.
    """
    if term.variant:
        raise UnknownNameError("variant of random-urdfs", term.variant, [])
    if term.argument not in SPLITS:
        raise UnknownNameError("split of random-urdfs", term.argument, SPLITS)
    folder = data_folder()
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and (p / f"{p.name}.urdf").is_file())
    chosen = [name for name in names if term.argument in ("all", split_of(name))]
    if not chosen:
        raise FileError(f"random-urdfs: {folder} holds no objects; install pybullet again")
    recipes = [read_urdf(folder / name / f"{name}.urdf") for name in chosen]
    return mesh_set(term.text, recipes, {r.id: r.key() for r in recipes}, ["random-urdfs"], "building random-urdfs", leave_out=True)
