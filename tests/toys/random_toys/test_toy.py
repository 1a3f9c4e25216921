"""Toys: ids that depend on content alone, LEGO's rule, connected watertight solids, JSON round trips."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.seeds import stream
from toyshift.toys.geometry.solid import quat_to_matrix, union
from toyshift.toys.random_toys.distribution import LEGO_KINDS, ToyDistribution
from toyshift.toys.random_toys.primitives import Primitive
from toyshift.toys.random_toys.sampling import random_quat, sample_toy
from toyshift.toys.random_toys.toy import COLOURS, LEGO_COLOURS, Toy, toy_object

GOLDEN = "14f49006389eb2dd"  # of the first toy of seed 0: must never change


def _lego(i: int) -> Toy:
    return sample_toy(stream(0, 0, i))


def test_golden_id_and_second_process() -> None:
    assert _lego(0).id == GOLDEN
    code = "from toyshift.toys import sample_toy; from toyshift.core.seeds import stream; "
    code += "print(sample_toy(stream(0, 0, 0)).id)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == GOLDEN


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**63))
def test_json_round_trip_keeps_the_id(seed: int) -> None:
    toy = sample_toy(stream(seed))
    again = Toy.from_json(json.loads(json.dumps(toy.to_json())))
    assert again == toy
    assert again.id == toy.id
    assert len(toy.id) == 16


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**63))
def test_every_toy_is_connected_watertight_and_positive(seed: int) -> None:
    toy = sample_toy(stream(seed))
    body = union([p.manifold() for p in toy.primitives])
    # A negative piece is the inside of a cavity (a ring whose hole two others close), not a second body.
    assert sum(piece.volume() > 0 for piece in body.decompose()) == 1
    mesh = toy.mesh()
    assert mesh.is_watertight
    total = sum(p.volume for p in toy.primitives)
    assert max(p.volume for p in toy.primitives) * (1 - 1e-6) <= mesh.volume <= total * (1 + 1e-6)


def test_lego_rule_each_centroid_lies_in_the_primitive_before() -> None:
    for i in range(200):
        toy = _lego(i)
        assert toy.primitives[0].pos == (0.0, 0.0, 0.0)
        for before, after in zip(toy.primitives, toy.primitives[1:], strict=False):
            if after.kind == "ring":
                r, wall, height = after.size
                angle, z = np.meshgrid(np.linspace(0, 2 * np.pi, 720), np.linspace(-height / 2, height / 2, 41))
                radius = r - wall / 2
                points = np.column_stack([radius * np.cos(angle.ravel()), radius * np.sin(angle.ravel()), z.ravel()])
                assert before.contains(points @ quat_to_matrix(after.quat).T + np.array(after.pos), wall / 2).any()
            else:
                assert before.contains(np.array([after.pos]), 2e-6).all()


def test_counts_kinds_colours_and_sizes_follow_the_distribution() -> None:
    toys = [_lego(i) for i in range(2000)]
    counts = np.bincount([len(t.primitives) for t in toys], minlength=6)
    assert counts[0] == 0
    assert np.abs(counts[1:] / 2000 - 0.2).max() < 0.04
    kinds = [p.kind for t in toys for p in t.primitives]
    assert max(abs(kinds.count(k) / len(kinds) - 0.25) for k in LEGO_KINDS) < 0.03
    assert {t.colour for t in toys} == set(LEGO_COLOURS)
    assert len({t.id for t in toys}) == 2000
    holes = [p.size[0] - p.size[1] for t in toys for p in t.primitives if p.kind == "ring"]
    assert min(holes) >= 0.016


def test_rotations_are_uniform() -> None:
    rng = stream(1)
    z = np.array([quat_to_matrix(random_quat(rng))[:, 2] for _ in range(4000)])
    assert np.abs(z.mean(axis=0)).max() < 0.04
    np.testing.assert_allclose(z.T @ z / len(z), np.eye(3) / 3, atol=0.03)


def test_id_depends_on_content_alone() -> None:
    a = Toy((Primitive("sphere", (0.02,)),), "red")
    assert a.id == Toy((Primitive("sphere", (0.02 + 2e-7,)),), "red").id  # below the resolution of 1e-6
    others = [
        Toy((Primitive("sphere", (0.020001,)),), "red"),
        Toy((Primitive("sphere", (0.02,)),), "blue"),
        Toy((Primitive("sphere", (0.02,)),), "red", 500.0),
        Toy((Primitive("sphere", (0.02,)), Primitive("sphere", (0.02,))), "red"),
    ]
    assert len({a.id, *(o.id for o in others)}) == 5


def test_object_has_the_mass_and_inertia_of_the_union() -> None:
    box = Primitive("cuboid", (0.04, 0.04, 0.04))
    found = toy_object(Toy((box, Primitive("cuboid", (0.04, 0.04, 0.04), (0.02, 0, 0))), "green"), "test")
    assert found.mass == pytest.approx(400 * 0.06 * 0.04 * 0.04, rel=1e-9)
    np.testing.assert_allclose(found.com, [0.01, 0, 0], atol=1e-12)
    np.testing.assert_allclose(np.diag(found.inertia), found.mass / 12 * np.array([0.0032, 0.0052, 0.0052]), rtol=1e-9)
    assert found.name == "green toy"
    assert len(found.geoms) == 2
    assert found.geoms[0].rgba == COLOURS["green"]
    assert Toy.from_json(found.info["toy"]).id == found.id


def test_no_toy_has_more_than_a_hundred_geoms() -> None:
    only_rings = ToyDistribution(counts=(0, 0, 0, 0, 1), kinds=(0, 0, 0, 1))
    toy = sample_toy(stream(3), only_rings)
    assert len(toy_object(toy, "test").geoms) == 100


def test_errors() -> None:
    toy = _lego(3).to_json()
    with pytest.raises(ConfigError, match="was changed"):
        Toy.from_json(toy | {"density": 401.0})
    with pytest.raises(UnknownNameError, match="Did you mean 'red'"):
        Toy((Primitive("sphere", (0.02,)),), "redd")
    with pytest.raises(ConfigError, match="at least one"):
        Toy((), "red")
    with pytest.raises(ConfigError, match="not a toy"):
        Toy.from_json({"colour": "red"})
    with pytest.raises(ConfigError, match="sum to 1"):
        ToyDistribution(counts=(0.5, 0.6))
    with pytest.raises(ConfigError, match="sphere_radius"):
        ToyDistribution(sphere_radius=(0.03, 0.01))
    with pytest.raises(ConfigError, match="ring_wall"):
        ToyDistribution(ring_wall=(0.004, 0.03))
