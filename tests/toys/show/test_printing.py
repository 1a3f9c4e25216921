"""Prints: millimetres, closed, on z = 0, on a stable flat side, with a manifest from which the toy comes back."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import trimesh

from toyshift.core.errors import ConfigError, MeshError
from toyshift.toys import load_objects
from toyshift.toys.model import GraspObject
from toyshift.toys.random_toys.primitives import Primitive
from toyshift.toys.random_toys.toy import Toy, toy_object
from toyshift.toys.show.printing import (
    PrintConfig,
    contact_area,
    file_stem,
    label_sheet,
    prepare,
    wall_thickness,
    write_3mf,
    write_prints,
)

NAME = "{http://schemas.microsoft.com/3dmanufacturing/core/2015/02}"


def a_toy(*primitives: Primitive, colour: str = "red") -> GraspObject:
    return toy_object(Toy(primitives, colour), "toys:test")


BRICK = Primitive("cuboid", (0.02, 0.09, 0.05), (0.01, 0.02, 0.03), (0.9, 0.3, -0.2, 0.1))


def test_a_brick_lies_on_its_largest_side_along_x() -> None:
    ready = prepare(a_toy(BRICK), PrintConfig())
    assert ready.mesh.extents == pytest.approx([90, 50, 20], abs=1e-2)
    assert ready.mesh.bounds.mean(axis=0) == pytest.approx([0, 0, 10], abs=1e-2)
    assert ready.mesh.bounds[0, 2] == pytest.approx(0, abs=1e-9)
    assert contact_area(ready.mesh) == pytest.approx(4500, rel=1e-3)
    assert ready.row["wall_mm"] == pytest.approx(20, rel=1e-3)
    assert ready.row["volume_cm3"] == pytest.approx(90)
    assert ready.row["solid_mass_g"] == pytest.approx(111.6)
    assert ready.row["fill_for_simulated_mass"] == pytest.approx(400 / 1240, abs=1e-3)
    assert ready.row["warnings"] == []


def test_the_transform_takes_the_object_to_the_bed() -> None:
    toy = a_toy(BRICK, Primitive("sphere", (0.03,), (0.0, 0.05, 0.05)))
    ready = prepare(toy, PrintConfig())
    assert trimesh.transform_points(toy.mesh.vertices, ready.transform) == pytest.approx(ready.mesh.vertices, abs=1e-9)
    assert np.linalg.det(ready.transform[:3, :3]) == pytest.approx(1e9, rel=1e-6)  # no mirror image
    assert ready.mesh.volume == pytest.approx(toy.mesh.volume * 1e9, rel=1e-6)


def test_the_wall_of_a_ring_is_measured() -> None:
    ring = a_toy(Primitive("ring", (0.04, 0.004, 0.03)))
    assert wall_thickness(ring.mesh) == pytest.approx(0.004, rel=0.03)
    thin = prepare(ring, PrintConfig(wall=5.0)).row["warnings"]
    assert len(thin) == 1
    assert "thinner than 5 mm" in thin[0]
    assert prepare(ring, PrintConfig(wall=3.0)).row["warnings"] == []


def test_what_has_no_flat_side_needs_a_brim() -> None:
    assert any("brim" in text for text in prepare(a_toy(Primitive("sphere", (0.03,))), PrintConfig()).row["warnings"])


def test_too_large_for_the_bed_names_the_toy() -> None:
    toy = a_toy(BRICK)
    with pytest.raises(ConfigError, match=f"{toy.id}.*does not fit the bed"):
        prepare(toy, PrintConfig(bed=(80, 80, 80)))
    assert prepare(toy, PrintConfig(bed=(60, 95, 25))).row["size_mm"][0] == pytest.approx(
        90, abs=1e-2
    )  # a bed may be turned


def test_open_surface_names_the_object() -> None:
    import dataclasses

    toy = a_toy(BRICK)
    torn = dataclasses.replace(toy, mesh=trimesh.Trimesh(toy.mesh.vertices, toy.mesh.faces[1:], process=False))
    with pytest.raises(MeshError, match=f"{toy.id}.*not closed"):
        prepare(torn, PrintConfig())


@pytest.mark.parametrize("bad", [{"bed": (0.0, 1.0, 1.0)}, {"wall": -1.0}, {"density": 1.0}])
def test_impossible_printers_are_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="printer"):
        PrintConfig(**bad)  # type: ignore[arg-type]


def test_files_of_toys_open_are_closed_and_bring_the_toy_back(tmp_path: Path) -> None:
    toys = list(load_objects("toys:lego?n=3"))
    printer = PrintConfig(bed=(400, 400, 400))
    manifest = write_prints(tmp_path, "toys:lego?n=3", [(toy, prepare(toy, printer)) for toy in toys], printer)
    assert manifest == json.loads((tmp_path / "manifest.json").read_text())
    assert {p.name for p in tmp_path.iterdir()} == {
        "manifest.json",
        *(f"{t.id}.{kind}" for t in toys for kind in ("stl", "3mf")),
    }
    for toy, row in zip(toys, manifest["prints"], strict=True):
        assert Toy.from_json(row["toy"]).id == toy.id
        mesh = trimesh.load_mesh(tmp_path / row["stl"])
        assert mesh.is_watertight
        assert mesh.volume == pytest.approx(toy.mesh.volume * 1e9, rel=1e-4)
        assert mesh.bounds[0, 2] == pytest.approx(0, abs=1e-4)


def test_3mf_says_millimetres_and_colour_and_opens_in_trimesh(tmp_path: Path) -> None:
    ready = prepare(a_toy(BRICK), PrintConfig())
    path, again = tmp_path / "a.3mf", tmp_path / "b.3mf"
    for file in (path, again):
        write_3mf(file, ready.mesh, "<red & toy>", (1.0, 0.5, 0.0, 1.0))
    assert path.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(path) as archive:
        root = ElementTree.fromstring(archive.read("3D/3dmodel.model"))
    assert root.attrib["unit"] == "millimeter"
    base = root.find(f".//{NAME}base")
    assert base is not None
    assert base.attrib == {"name": "<red & toy>", "displaycolor": "#FF8000FF"}
    heights = [float(v.attrib["z"]) for v in root.iter(f"{NAME}vertex")]
    assert (min(heights), max(heights)) == pytest.approx((0, 20), abs=1e-2)
    pytest.importorskip("lxml", reason="trimesh reads 3MF with lxml")
    mesh = trimesh.load_mesh(path)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(90_000, rel=1e-4)


def test_label_sheet_has_every_print_and_loads_nothing(tmp_path: Path) -> None:
    toy = a_toy(BRICK)
    manifest = write_prints(tmp_path, "toys:<x>", [(toy, prepare(toy, PrintConfig()))], PrintConfig())
    page = label_sheet(manifest, {toy.id: b"png"})
    assert toy.id in page
    assert "90.0 × 50.0 × 20.0 mm" in page
    assert "data:image/png;base64,cG5n" in page
    assert "toys:&lt;x&gt;" in page
    assert "http" not in page


def test_ids_become_safe_file_names() -> None:
    assert file_stem("../a b/c") == "_a_b_c"
    assert file_stem("..") == "object"
    assert file_stem("065-a_cups") == "065-a_cups"
