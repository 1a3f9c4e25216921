"""Primitives: exact volumes, solids that agree with membership, and collision shapes that leave a ring's hole open."""

from __future__ import annotations

import math

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.toys.geometry.solid import manifold_to_trimesh, mass_properties, quat_to_matrix, union
from toyshift.toys.model import Geom
from toyshift.toys.random_toys.primitives import KINDS, Primitive

TURN = (0.5, -0.5, 0.1, 0.7)
RING = Primitive("ring", (0.03, 0.005, 0.02), (0.1, -0.2, 0.05), TURN)
ONES = [
    Primitive("sphere", (0.02,), (0.1, 0.2, -0.1), TURN),
    Primitive("cuboid", (0.03, 0.05, 0.02), (0.1, 0.2, -0.1), TURN),
    Primitive("cylinder", (0.02, 0.06), (0.1, 0.2, -0.1), TURN),
    RING,
]
# Inertia about the centre over mass, in the primitive's frame, from textbooks; x and y alike but for the cuboid.
INERTIA = {
    "sphere": lambda s: [0.4 * s[0] ** 2] * 3,
    "cuboid": lambda s: [(s[1] ** 2 + s[2] ** 2) / 12, (s[0] ** 2 + s[2] ** 2) / 12, (s[0] ** 2 + s[1] ** 2) / 12],
    "cylinder": lambda s: [(3 * s[0] ** 2 + s[1] ** 2) / 12] * 2 + [s[0] ** 2 / 2],
    "ring": lambda s: (
        [(3 * (s[0] ** 2 + (s[0] - s[1]) ** 2) + s[2] ** 2) / 12] * 2 + [(s[0] ** 2 + (s[0] - s[1]) ** 2) / 2]
    ),
}


@pytest.mark.parametrize("one", ONES, ids=lambda p: p.kind)
def test_mass_properties_equal_closed_forms(one: Primitive) -> None:
    mesh = manifold_to_trimesh(one.manifold())
    volume, com, inertia = mass_properties(mesh.vertices, mesh.faces)
    assert mesh.is_watertight
    assert volume == pytest.approx(one.volume, rel=1e-9)
    np.testing.assert_allclose(com, one.pos, atol=1e-9)
    turn = quat_to_matrix(one.quat)
    wanted = turn @ np.diag(INERTIA[one.kind](one.size)) @ turn.T * volume
    np.testing.assert_allclose(inertia, wanted, atol=4e-3 * np.trace(wanted))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_keeps_its_word_about_its_points(name: str) -> None:
    """Points inside lie in the material, those of the surface on it, the material behind them; none lies farther."""
    kind, rng = KINDS[name], np.random.default_rng(0)
    for _ in range(50):
        one = Primitive(name, kind.draw(rng, *kind.ranges.values()))
        u, v, w = rng.random(3).tolist()
        assert one.contains(np.array([kind.inside(one.size, 1.0, u, v, w)]), 1e-6).all()
        point, normal = (np.array(found) for found in kind.surface(one.size, 1.0, u, v, w))
        assert np.linalg.norm(normal) == pytest.approx(1)
        assert one.contains(np.array([point - 1e-5 * normal])).all()
        assert not one.contains(np.array([point + 1e-5 * normal])).any()
        corners = np.asarray(one.manifold(128).to_mesh64().vert_properties)[:, :3]
        farthest = np.array(kind.farthest(one.size, tuple(normal)))
        assert farthest @ normal >= (corners @ normal).max() - 3e-3 * one.size[0]
        assert one.contains(np.zeros((1, 3))).all() != kind.hollow


def test_hoop_volume_in_numbers() -> None:
    # pi (30^2 - 25^2) 20 mm^3
    assert RING.volume == pytest.approx(math.pi * (900 - 625) * 20 * 1e-9, rel=1e-12)


def test_union_counts_an_overlap_once_and_adds_disjoint_solids() -> None:
    a = Primitive("cuboid", (0.04, 0.04, 0.04))
    half = Primitive("cuboid", (0.04, 0.04, 0.04), (0.02, 0.0, 0.0))
    ball = Primitive("sphere", (0.01,), (0.1, 0.0, 0.0))
    mesh = manifold_to_trimesh(union([a.manifold(), half.manifold()]))
    volume, com, inertia = mass_properties(mesh.vertices, mesh.faces)
    assert volume == pytest.approx(0.06 * 0.04 * 0.04, rel=1e-9)
    np.testing.assert_allclose(com, [0.01, 0, 0], atol=1e-12)
    np.testing.assert_allclose(np.diag(inertia), volume / 12 * np.array([0.0032, 0.0052, 0.0052]), rtol=1e-9)
    mesh = manifold_to_trimesh(union([a.manifold(), ball.manifold()]))
    volume, com, _ = mass_properties(mesh.vertices, mesh.faces)
    assert volume == pytest.approx(a.volume + ball.volume, rel=1e-9)
    assert com[0] == pytest.approx(0.1 * ball.volume / (a.volume + ball.volume), rel=1e-9)


def test_union_of_a_box_and_a_sphere_inside_it_is_the_box() -> None:
    a, b = Primitive("cuboid", (0.04, 0.05, 0.06)), Primitive("sphere", (0.015,))
    mesh = manifold_to_trimesh(union([a.manifold(), b.manifold()]))
    assert mass_properties(mesh.vertices, mesh.faces)[0] == pytest.approx(a.volume, rel=1e-9)


def _inside(geom: Geom, points: np.ndarray) -> np.ndarray:
    local = (points - np.array(geom.pos)) @ quat_to_matrix(geom.quat)
    if geom.kind == "box":
        return (np.abs(local) <= np.array(geom.size)).all(axis=1)
    if geom.kind == "sphere":
        return np.linalg.norm(local, axis=1) <= geom.size[0]
    return (np.linalg.norm(local[:, :2], axis=1) <= geom.size[0]) & (np.abs(local[:, 2]) <= geom.size[1])


@pytest.mark.parametrize("one", ONES, ids=lambda p: p.kind)
def test_collision_shapes_cover_the_material_and_little_else(one: Primitive) -> None:
    rng = np.random.default_rng(0)
    points = np.array(one.pos) + rng.uniform(-0.07, 0.07, (20_000, 3))
    covered = np.any([_inside(g, points) for g in one.geoms((1, 0, 0, 1))], axis=0)
    assert covered[one.contains(points, -1e-4)].all()  # nothing solid can be passed through
    assert not covered[~one.contains(points, 5e-4)].any()  # and nothing else collides, to half a millimetre


def test_a_finger_passes_through_a_rings_hole() -> None:
    """A finger 22 mm wide and 10 mm thick goes along the axis of a ring with a hole of 25 mm radius."""
    x, y, z = np.meshgrid(np.linspace(-0.011, 0.011, 12), np.linspace(-0.005, 0.005, 6), np.linspace(-0.05, 0.05, 30))
    finger = np.column_stack([x.ravel(), y.ravel(), z.ravel()]) @ quat_to_matrix(RING.quat).T + np.array(RING.pos)
    assert not any(_inside(g, finger).any() for g in RING.geoms((1, 0, 0, 1)))
    assert not RING.contains(finger).any()
    mesh = manifold_to_trimesh(RING.manifold())
    assert mesh.euler_number == 0  # a torus, topologically: one hole


def test_bad_primitives_name_what_is_wrong() -> None:
    with pytest.raises(UnknownNameError, match=r"sphre.*Did you mean 'sphere'"):
        Primitive("sphre", (1.0,))
    with pytest.raises(ConfigError, match="thinner than its outer radius"):
        Primitive("ring", (0.02, 0.02, 0.01))
    with pytest.raises(ConfigError, match="finite"):
        Primitive("sphere", (float("nan"),))
    with pytest.raises(ConfigError, match="size"):
        Primitive("cuboid", (0.1, 0.1))
    with pytest.raises(ConfigError, match="quaternion"):
        Primitive("sphere", (0.1,), quat=(0, 0, 0, 0))
    with pytest.raises(ConfigError, match="needs kind"):
        Primitive.from_json({"kind": "sphere"})
