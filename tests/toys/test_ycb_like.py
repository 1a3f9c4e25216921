"""YCB-like shapes: measured sizes and masses are met, bodies are closed and in one piece, vessels hollow, handles open."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from toyshift.toys import ycb_like
from toyshift.toys.decompose import convex_parts
from toyshift.toys.solid import trimesh_to_manifold
from toyshift.toys.table import display_name, ycb_table

ALL = sorted(ycb_like.SHAPES)


def test_every_row_of_the_table_has_a_shape() -> None:
    assert set(ycb_like.SHAPES) == set(ycb_table())
    assert len(ALL) == 78


def test_names_for_instructions() -> None:
    assert display_name("025_mug") == "mug"
    assert display_name("065-a_cups") == "cup"
    assert display_name("043_phillips_screwdriver") == "phillips screwdriver"
    assert all(row.name and not row.name[0].isdigit() for row in ycb_table().values())


@pytest.fixture(scope="module")
def meshes() -> dict[str, trimesh.Trimesh]:
    return {name: ycb_like.fitted(ycb_like.SHAPES[name][1](), ycb_table()[name].box) for name in ALL}


@pytest.mark.parametrize("name", ALL)
def test_size_and_solid(name: str, meshes: dict[str, trimesh.Trimesh]) -> None:
    mesh, row = meshes[name], ycb_table()[name]
    found, wanted = np.sort(mesh.bounding_box_oriented.primitive.extents), np.array(row.box)
    assert (np.abs(found - wanted) <= np.maximum(0.002, 0.03 * wanted)).all(), (found, wanted)
    assert mesh.is_watertight
    assert mesh.volume > 0
    assert sum(piece.volume() > 0 for piece in trimesh_to_manifold(mesh).decompose()) == 1
    np.testing.assert_allclose(mesh.center_mass, 0, atol=1e-6)


@pytest.mark.parametrize("name", ["024_bowl", "025_mug", "029_plate", "019_pitcher_base", "065-a_cups", "065-j_cups", "028_skillet_lid"])
def test_vessels_are_hollow_also_for_collisions(name: str, meshes: dict[str, trimesh.Trimesh]) -> None:
    mesh = meshes[name]
    hull = mesh.convex_hull.volume
    assert mesh.volume < 0.35 * hull
    parts = convex_parts(mesh)
    assert len(parts) <= 40
    assert sum(trimesh.convex.convex_hull(p).volume for p in parts) < 0.55 * hull


@pytest.mark.parametrize(("name", "holes"), [("025_mug", 1), ("038_padlock", 1), ("019_pitcher_base", 1), ("042_adjustable_wrench", 1), ("037_scissors", 2)])
def test_handles_have_a_hole(name: str, holes: int, meshes: dict[str, trimesh.Trimesh]) -> None:
    assert 1 - meshes[name].euler_number // 2 == holes  # the surface's genus


def test_a_finger_fits_into_the_mug_from_above(meshes: dict[str, trimesh.Trimesh]) -> None:
    mesh = meshes["025_mug"]
    z = np.linspace(mesh.bounds[0, 2] + 0.01, mesh.bounds[1, 2], 20)
    middle = np.column_stack([np.full(20, mesh.bounds[0, 0] + 0.04), np.zeros(20), z])
    assert not mesh.contains(middle).any()
    assert not any(trimesh.convex.convex_hull(p).contains(middle).any() for p in convex_parts(mesh))


@pytest.mark.parametrize("name", ["025_mug", "011_banana", "062_dice", "058_golf_ball"])
def test_mass_is_the_tables_and_inertia_is_physical(name: str) -> None:
    found = ycb_like.build_object(name)
    assert found.mass == ycb_table()[name].mass
    a, b, c = np.sort(np.linalg.eigvalsh(found.inertia))
    assert a > 0
    assert c <= a + b + 1e-15  # the triangle inequality of principal moments
    if name == "058_golf_ball":
        assert np.diag(found.inertia) == pytest.approx(0.4 * found.mass * 0.02117**2, rel=0.03)


def test_building_twice_gives_the_same_object() -> None:
    a, b = ycb_like.build_object("070-b_colored_wood_blocks"), ycb_like.build_object("070-b_colored_wood_blocks")
    np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
    assert a.rest_poses == b.rest_poses
    assert [p.tolist() for p in a.parts] == [p.tolist() for p in b.parts]
