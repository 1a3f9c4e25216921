"""The object set `robosuite`: milk, bread, cereal, can, lemon and bottle out of robosuite, which is not imported."""

from __future__ import annotations

from pathlib import Path

from toyshift.core.extras import robosuite_file
from toyshift.toys.grammar import Term, check_variant
from toyshift.toys.meshes.meshobject import MeshRecipe
from toyshift.toys.meshes.package import package_set, parsed
from toyshift.toys.objectset import ObjectSet

NAMES = ("milk", "bread", "cereal", "can", "lemon", "bottle")


def read_object(assets: Path, name: str) -> MeshRecipe:
    """What robosuite's model file says of an object: mesh, scale, density and texture.

    The surface is read from the OBJ beside the file's MSH or STL, which holds the same triangles and texture
    coordinates.

    Raises:
        FileError: the model file is damaged.
    """
    path = assets / "objects" / f"{name}.xml"
    with parsed(path, "robosuite") as root:
        mesh, texture, geom = root.find("asset/mesh"), root.find("asset/texture"), root.find(".//geom[@density]")
        if mesh is None or geom is None:
            raise ValueError("no <mesh>, or no <geom> with a density")
        x, y, z = (float(v) for v in mesh.get("scale", "1 1 1").split())
        density = float(geom.attrib["density"])
        surface = (path.parent / mesh.attrib["file"]).with_suffix(".obj")
    # A skybox (the bottle's glass) is no image of the surface.
    image = ""
    if texture is not None and texture.get("type") == "2d":
        image = str((path.parent / texture.attrib["file"]).resolve())
    rgba, file = None if image else (0.6, 0.75, 0.7, 1.0), str(surface.resolve())
    return MeshRecipe(file, name, name, "robosuite", (x, y, z), None, density, image, textures=False, rgba=rgba)


def robosuite_set(term: Term) -> ObjectSet:
    """robosuite's six objects, at its sizes and densities; friction is ours, so that sets differ in shape alone.

    Raises:
        MissingDependencyError: robosuite is not installed.
        FileError: its files are damaged.
    """
    check_variant(term)
    assets = robosuite_file("")
    return package_set(term, [read_object(assets, name) for name in NAMES])
