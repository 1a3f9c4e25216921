"""The object set `rgb-stacking:WHEEL`: the 152 parametric shapes of RGB-Stacking (Lee et al., CoRL 2021).

They lie inside DeepMind's package dm-robotics-manipulation (Apache-2.0), whose pinned requirements clash with ours. So
it is downloaded but not installed:

    pip download --no-deps dm-robotics-manipulation
    toyshift toys list 'rgb-stacking:dm_robotics_manipulation-0.10.0-py3-none-any.whl@heldout'
"""

from __future__ import annotations

from pathlib import Path

from toyshift.core.errors import FileError
from toyshift.toys.grammar import Term, check_variant, number
from toyshift.toys.meshes.archive import folder_of
from toyshift.toys.meshes.meshobject import DEFAULT_DENSITY, MeshRecipe
from toyshift.toys.meshes.package import package_set
from toyshift.toys.objectset import ObjectSet

# Variant -> its folder in the package: shapes for training, those deformed along one axis only, and the five triplets'.
SPLITS = {"train": "train", "heldout": "heldout", "triplets": "test_triplets"}
MESHES = "rgb_v1.3/meshes"
COLOURS = ((0.8, 0.15, 0.12, 1.0), (0.15, 0.6, 0.2, 1.0), (0.15, 0.3, 0.8, 1.0))


def find_shapes(folder: Path) -> dict[str, dict[str, Path]]:
    """split -> id -> STL file, wherever in the folder the package's `rgb_v1.3/meshes` lies.

    Raises:
        FileError: it holds no such folder.
    """
    roots = sorted(path.parent for path in folder.rglob("test_triplets") if path.is_dir())
    if not roots:
        raise FileError(
            f"rgb-stacking: {folder} holds no {MESHES}; run `pip download --no-deps dm-robotics-manipulation` and give "
            "the wheel it saves, or the folder it unpacks to"
        )
    files = {split: sorted((roots[0] / name).glob("*.stl")) for split, name in SPLITS.items()}
    return {split: {path.name.split("_")[0]: path for path in paths} for split, paths in files.items()}


def rgb_stacking_set(term: Term) -> ObjectSet:
    """The shapes of a wheel or folder; `@train` (103), `@heldout` (36) or `@triplets` (13) keeps one split.

    They are in metres, 5 cm wide; density is 500 kg/m^3 unless `?density=` says otherwise. Colours alternate red,
    green, blue.

    Raises:
        FileError, MeshError: no shapes, or one that cannot be read.
    """
    check_variant(term, SPLITS)
    shapes = find_shapes(folder_of(Path(term.argument).expanduser(), (".stl",)))
    chosen = {name: path for split, one in shapes.items() if term.variant in ("", split) for name, path in one.items()}
    density = number(term, "density", DEFAULT_DENSITY)
    recipes = [
        MeshRecipe(str(path.resolve()), name, f"shape {name}", "rgb-stacking", density=density, rgba=COLOURS[index % 3])
        for index, (name, path) in enumerate(sorted(chosen.items()))
    ]
    return package_set(term, recipes)
