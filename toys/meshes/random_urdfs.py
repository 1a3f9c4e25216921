"""The object set `random-urdfs:SPLIT`: the 1000 random objects that PyBullet brings (Quillen et al., ICRA 2018)."""

from __future__ import annotations

from pathlib import Path

from toyshift.core.errors import FileError, UnknownNameError
from toyshift.toys.grammar import Term, check_variant
from toyshift.toys.meshes.meshobject import MeshRecipe
from toyshift.toys.meshes.package import package_folder, package_set, parsed
from toyshift.toys.objectset import ObjectSet

MISSING = 'random-urdfs: the objects come with pybullet, which is not installed; run `pip install "toyshift[bullet]"`'
SPLITS = ("all", "train", "test")


def split_of(name: str) -> str:
    """Which split an object belongs to: PyBullet's own environment tests on the 100 whose number ends in 0."""
    return "test" if name.endswith("0") else "train"


def read_urdf(path: Path) -> MeshRecipe:
    """What a URDF says of its object: mesh, scale, mass and colour.

    Its inertia is a placeholder (1, 0, 0), so the inertia of a uniform solid takes its place.

    Raises:
        FileError: it is damaged, or lacks one of them.
    """
    with parsed(path, "pybullet") as root:
        link = root.find("link")
        if link is None:
            raise ValueError("no <link>")
        places = {"mesh": "visual/geometry/mesh", "mass": "inertial/mass", "color": "visual/material/color"}
        found = {tag: element.attrib for tag, place in places.items() if (element := link.find(place)) is not None}
        for tag in places:
            if tag not in found:
                raise ValueError(f"no <{tag}>")
        x, y, z = (float(v) for v in found["mesh"]["scale"].split())
        r, g, b, a = (float(v) for v in found["color"]["rgba"].split())
        mass = float(found["mass"]["value"])
        mesh = path.parent / found["mesh"]["filename"]
    if not mesh.resolve().is_relative_to(path.parent.resolve()):
        raise FileError(f"{path} refers to {mesh}, which is outside its folder; install pybullet again")
    name, rgba = f"random_{path.stem}", (r, g, b, a)
    return MeshRecipe(str(mesh.resolve()), name, "random object", "random-urdfs", (x, y, z), mass, rgba=rgba)


def random_urdfs_set(term: Term) -> ObjectSet:
    """All 1000 objects (`random-urdfs:all`) or PyBullet's split of 900 (`:train`) and 100 (`:test`), each of 100 g.

    An object that cannot be read is left out with a warning (168, whose coordinates are not numbers). The first use
    builds all that were asked for.

    Raises:
        MissingDependencyError: pybullet is not installed.
        FileError: the objects cannot be read.
    """
    check_variant(term)
    if term.argument not in SPLITS:
        raise UnknownNameError("split of random-urdfs", term.argument, SPLITS)
    folder = package_folder("pybullet_data", "random_urdfs", MISSING)
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and (p / f"{p.name}.urdf").is_file())
    chosen = [name for name in names if term.argument in ("all", split_of(name))]
    if not chosen:
        raise FileError(f"random-urdfs: {folder} holds no objects; install pybullet again")
    return package_set(term, [read_urdf(folder / name / f"{name}.urdf") for name in chosen], leave_out=True)
