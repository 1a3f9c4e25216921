"""Shape distances against closed forms, their invariances, and the search against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from toyshift.core.errors import ConfigError, MeshError
from toyshift.toys import load_objects, set_distance
from toyshift.toys.compare.alignment import Fit, chamfer, fit, overlap_where, turns
from toyshift.toys.compare.descriptor import Shape, sample_shape
from toyshift.toys.compare.distance import MEASURES, nearest

STAY = Fit(0.0, np.eye(3), np.zeros(3))


def box(*edges: float) -> trimesh.Trimesh:
    return trimesh.creation.box(extents=edges)


def moved(mesh: trimesh.Trimesh, seed: int, scale: float = 1.0) -> trimesh.Trimesh:
    rng = np.random.default_rng(seed)
    turn = Rotation.random(random_state=seed).as_matrix()
    return trimesh.Trimesh(scale * mesh.vertices @ turn.T + rng.uniform(-1, 1, 3), mesh.faces, process=False)


def bracket() -> trimesh.Trimesh:
    """An asymmetric solid of three boxes."""
    from manifold3d import Manifold

    from toyshift.toys.geometry.solid import manifold_to_trimesh, union

    parts = [
        Manifold.cube([0.1, 0.03, 0.02]),
        Manifold.cube([0.02, 0.03, 0.07]),
        Manifold.cube([0.02, 0.06, 0.02]).translate([0.07, 0.0, 0.0]),
    ]
    return manifold_to_trimesh(union(parts))


def test_concentric_spheres_are_as_far_apart_as_their_radii() -> None:
    a, b = (sample_shape(trimesh.creation.icosphere(4, r)) for r in (0.03, 0.04))
    assert fit(a, b, metric=True).distance == pytest.approx(0.01, rel=0.02)
    assert fit(a, b, metric=False).distance == pytest.approx(0.0, abs=1e-3)
    assert overlap_where(a, b, STAY) == pytest.approx((3 / 4) ** 3, rel=1e-3)


def test_distance_to_a_plate_is_exact_but_beside_the_edges_of_triangles() -> None:
    plate = sample_shape(box(0.2, 0.2, 0.02))
    points = np.random.default_rng(0).uniform(-0.08, 0.08, (300, 3)) * [1, 1, 0] + [0, 0, 0.035]
    off = np.abs(plate.distances((points - plate.centre) / plate.radius) * plate.radius - 0.025)
    assert np.quantile(off, 0.9) < 1e-12
    assert off.max() < 1e-4


@pytest.mark.parametrize("metric", [True, False])
@pytest.mark.parametrize(
    "mesh", [box(0.1, 0.06, 0.03), box(0.05, 0.05, 0.05), bracket()], ids=["box", "cube", "bracket"]
)
def test_a_moved_body_is_at_distance_zero(mesh: trimesh.Trimesh, metric: bool) -> None:
    a, b = sample_shape(mesh), sample_shape(moved(mesh, 3))
    assert a.key != b.key
    found = fit(a, b, metric)
    assert found.distance < (2e-5 if metric else 5e-4)
    if metric:
        assert overlap_where(a, b, found) > 0.99


def test_scaled_measures_do_not_see_the_size_and_metric_ones_do() -> None:
    a, b, large = (
        sample_shape(m) for m in (bracket(), box(0.08, 0.05, 0.02), moved(box(0.08, 0.05, 0.02), 1, scale=2.0))
    )
    assert fit(a, large, metric=False).distance == pytest.approx(fit(a, b, metric=False).distance, rel=0.02)
    assert large.descriptor == pytest.approx(b.descriptor, abs=1e-9)
    assert large.radius == pytest.approx(2 * b.radius)
    assert fit(b, large, metric=True).distance > 0.005


@pytest.mark.parametrize("metric", [True, False])
def test_distance_is_symmetric_and_the_pose_turns_around(metric: bool) -> None:
    a, b = sample_shape(bracket()), sample_shape(box(0.07, 0.04, 0.05))
    there, back = fit(a, b, metric), fit(b, a, metric)
    assert there.distance == back.distance
    assert back.turn @ there.turn == pytest.approx(np.eye(3), abs=1e-12)
    assert back.turn @ there.shift + back.shift == pytest.approx(np.zeros(3), abs=1e-12)
    assert np.linalg.det(there.turn) == pytest.approx(1.0)  # never a mirror image


def test_chamfer_of_shifted_squares_is_known() -> None:
    """Two thin plates, one 10 mm above the other: almost every point is 10 mm from the other plate."""
    a = sample_shape(box(0.2, 0.2, 1e-6))
    assert chamfer(a, a, 1.0, np.eye(3), np.array([0.0, 0.0, 0.01 / a.radius])) * a.radius == pytest.approx(
        0.01, rel=1e-3
    )


def test_overlap_of_shifted_cubes_is_known() -> None:
    cube = box(0.1, 0.1, 0.1)
    a, b = (
        sample_shape(cube),
        sample_shape(trimesh.Trimesh(cube.vertices + np.array([0.05, 0, 0]), cube.faces, process=False)),
    )
    in_place = Fit(0.0, np.eye(3), b.centre - a.centre)
    assert overlap_where(a, b, in_place) == pytest.approx(1 / 3, rel=1e-9)


def test_descriptor_is_the_same_in_every_pose() -> None:
    assert sample_shape(moved(bracket(), 5)).descriptor == pytest.approx(sample_shape(bracket()).descriptor, abs=1e-9)
    assert np.abs(sample_shape(bracket()).descriptor - sample_shape(box(0.1, 0.1, 0.1)).descriptor).mean() > 0.02


def test_turns_are_distinct_rotations() -> None:
    all_turns = turns()
    assert all_turns.shape == (96, 3, 3)
    assert np.einsum("aij,akj->aik", all_turns, all_turns) == pytest.approx(np.tile(np.eye(3), (96, 1, 1)), abs=1e-12)
    assert np.linalg.det(all_turns) == pytest.approx(1.0)
    assert len(np.unique(all_turns.round(6).reshape(96, 9), axis=0)) == 96


def some_shapes(seed: int, n: int) -> list[Shape]:
    rng = np.random.default_rng(seed)
    return [sample_shape(box(*rng.uniform(0.02, 0.12, 3))) for _ in range(n)]


def test_search_finds_what_brute_force_finds() -> None:
    targets, queries = some_shapes(1, 12), some_shapes(2, 2)
    for query in queries:
        quick, full = nearest(query, targets, candidates=8, fitted=3), nearest(query, targets, candidates=99, fitted=99)
        assert quick["descriptor"] == full["descriptor"]
        for name in ("chamfer", "chamfer_scaled"):
            assert quick[name][1] == pytest.approx(full[name][1], rel=1e-9)


def test_a_surface_with_holes_has_distances_but_no_iou() -> None:
    whole = box(0.1, 0.05, 0.03)
    open_box = sample_shape(trimesh.Trimesh(whole.vertices, whole.faces[:-2], process=False))
    found = nearest(open_box, some_shapes(4, 2))
    assert set(found) == set(MEASURES) - {"iou"}


def test_surface_without_area_is_refused() -> None:
    with pytest.raises(MeshError, match="no area"):
        sample_shape(trimesh.Trimesh(np.zeros((3, 3)), [[0, 1, 2]], process=False))


def test_a_set_is_at_distance_zero_from_itself_and_the_cache_answers_the_same() -> None:
    toys = load_objects("toys:lego?n=4")
    result = set_distance(toys, toys, workers=1)
    for row, name in zip(result["objects"], toys.ids, strict=True):
        assert row["id"] == name
        assert all(row[m] == {"nearest": name, "distance": 1.0 if m == "iou" else 0.0} for m in MEASURES)
    for name in MEASURES:
        entry = result["summary"][name]
        assert entry["farther"] == 0
        assert entry["of"] == 4
        assert entry["b_to_a"]["mean"] == entry["a_to_b"]["mean"] == (1.0 if name == "iou" else 0.0)
    assert result["summary"]["chamfer"]["leave_one_out"]["min"] > 1e-4  # the other toys are other shapes
    assert set_distance(toys, toys, workers=1) == result


def test_one_object_cannot_be_the_reference() -> None:
    one = load_objects("toys:lego?n=1")
    with pytest.raises(ConfigError, match="at least 2"):
        set_distance(one, one)
