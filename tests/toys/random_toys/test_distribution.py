"""Distributions: JSON and fingerprints, each field does what it says, every toy of every one is a sound solid."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toyshift.core.errors import ConfigError, ToyShiftError, UnknownNameError
from toyshift.core.seeds import stream
from toyshift.toys import load_objects
from toyshift.toys.geometry.solid import quat_to_matrix, union
from toyshift.toys.random_toys.distribution import COLOURINGS, CONNECTIONS, LEGO_KINDS, ROTATIONS, ToyDistribution
from toyshift.toys.random_toys.presets import PRESETS, distribution_named
from toyshift.toys.random_toys.primitives import KINDS
from toyshift.toys.random_toys.sampling import sample_toy
from toyshift.toys.random_toys.toy import COLOURS, LEGO_COLOURS, Toy, rgba_of, toy_object

LEGO_FINGERPRINT = "0e1393fb7fb10520"  # must never change: it names what users have in their caches


def _toys(distribution: ToyDistribution, n: int = 200) -> list[Toy]:
    return [sample_toy(stream(11, i), distribution) for i in range(n)]


@st.composite
def distributions(draw: st.DrawFn) -> ToyDistribution:
    def shares(n: int) -> tuple[float, ...]:
        weights = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n).filter(any))
        return tuple(w / sum(weights) for w in weights)

    def bounds(low: float, high: float) -> tuple[float, float]:
        a, b = sorted((draw(st.floats(low, high)), draw(st.floats(low, high))))
        return a, b

    return ToyDistribution(
        counts=shares(draw(st.integers(1, 6))),
        kinds=shares(4),
        sphere_radius=bounds(0.008, 0.06),
        cuboid_edge=bounds(0.005, 0.2),
        cylinder_radius=bounds(0.005, 0.06),
        cylinder_height=bounds(0.006, 0.2),
        ring_radius=bounds(0.02, 0.06),
        ring_wall=bounds(0.003, 0.012),
        ring_height=bounds(0.004, 0.04),
        density=bounds(100, 2000),
        friction=bounds(0.2, 2),
        rotation=draw(st.sampled_from(ROTATIONS)),
        connection=draw(st.sampled_from(CONNECTIONS)),
        asymmetry=draw(st.floats(0, 1)),
        colour=draw(st.sampled_from(COLOURINGS)),
    )


@settings(max_examples=60, deadline=None)
@given(distributions(), st.integers(0, 2**63))
def test_every_toy_of_every_distribution_is_one_sound_solid_and_survives_json(
    distribution: ToyDistribution, seed: int
) -> None:
    toy = sample_toy(stream(seed), distribution)
    again = Toy.from_json(json.loads(json.dumps(toy.to_json())))
    assert again == toy
    assert again.id == toy.id
    body = union([p.manifold() for p in toy.primitives])
    # A negative piece is the inside of a cavity, not a second body.
    assert sum(piece.volume() > 0 for piece in body.decompose()) == 1
    mesh = toy.mesh()
    assert mesh.is_watertight
    assert mesh.volume > 0


@settings(max_examples=30, deadline=None)
@given(distributions())
def test_a_distribution_survives_json_with_its_fingerprint(distribution: ToyDistribution) -> None:
    again = ToyDistribution.from_json(json.loads(json.dumps(distribution.to_json())))
    assert again == distribution
    assert again.fingerprint == distribution.fingerprint


def test_fingerprints_tell_distributions_apart_and_are_the_same_in_another_process() -> None:
    base = ToyDistribution()
    changed = [
        dataclasses.replace(base, **change)
        for change in ({"density": (300.0, 400.0)}, {"rotation": "upright"}, {"palette": ("red",)}, {"asymmetry": 0.5})
    ]
    assert len({base.fingerprint, *(d.fingerprint for d in changed)}) == 5
    out = subprocess.run(
        [sys.executable, "-c", "from toyshift.toys import ToyDistribution as D; print(D().fingerprint)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == base.fingerprint


def test_a_new_kind_changes_no_distribution_that_does_not_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ToyDistribution().fingerprint == LEGO_FINGERPRINT
    ball = dataclasses.replace(KINDS["sphere"], name="ball", ranges={}, draw=lambda rng: (0.03,))
    monkeypatch.setitem(KINDS, "ball", ball)
    assert ToyDistribution().fingerprint == LEGO_FINGERPRINT
    toys = _toys(ToyDistribution(kinds=(0.0, 0.0, 0.0, 0.5, 0.5)), 40)
    assert {p.kind for t in toys for p in t.primitives} == {"ring", "ball"}


def test_upright_parts_keep_their_axis_vertical_and_axis_aligned_ones_use_all_24_turns() -> None:
    for toy in _toys(ToyDistribution(rotation="upright"), 50):
        for part in toy.primitives:
            np.testing.assert_allclose(quat_to_matrix(part.quat)[:, 2], [0, 0, 1], atol=1e-5)
    turns = {
        tuple(np.rint(quat_to_matrix(p.quat)).astype(int).ravel())
        for t in _toys(ToyDistribution(rotation="axis-aligned"), 200)
        for p in t.primitives
    }
    assert len(turns) == 24
    for turn in turns:
        matrix = np.reshape(turn, (3, 3))
        assert np.linalg.det(matrix) == pytest.approx(1)
        np.testing.assert_array_equal(matrix @ matrix.T, np.eye(3))


def test_surface_contact_meets_the_part_before_and_overlaps_it_little() -> None:
    """Boxes or balls in surface contact share far less volume than under LEGO's rule, where the centroid is inside."""
    shape = {
        "counts": (0.0, 1.0),
        "kinds": (0.5, 0.5, 0.0, 0.0),
        "sphere_radius": (0.02, 0.02),
        "cuboid_edge": (0.03, 0.04),
    }
    shared: dict[str, list[float]] = {"surface": [], "centroid": []}
    for rule, shares in shared.items():
        for toy in _toys(ToyDistribution(connection=rule, **shape), 40):
            total = sum(p.volume for p in toy.primitives)
            overlap = total - toy.mesh().volume
            assert overlap > 0
            shares.append(overlap / min(p.volume for p in toy.primitives))
    assert max(shared["surface"]) < 0.12
    assert min(shared["centroid"]) > 0.12


def test_asymmetry_zero_with_aligned_axes_gives_toys_that_are_their_own_mirror_image() -> None:
    d = ToyDistribution(asymmetry=0.0, rotation="axis-aligned", kinds=(1 / 3, 1 / 3, 1 / 3, 0.0))
    for toy in _toys(d, 60):
        assert all(p.pos == (0.0, 0.0, 0.0) for p in toy.primitives)
    points = np.random.default_rng(0).uniform(-0.06, 0.06, (500, 3))
    toy = _toys(dataclasses.replace(d, counts=(0.0, 0.0, 1.0)), 1)[0]
    inside = np.any([p.contains(points) for p in toy.primitives], axis=0)
    for axis in range(3):
        mirrored = points * np.where(np.arange(3) == axis, -1, 1)
        np.testing.assert_array_equal(np.any([p.contains(mirrored) for p in toy.primitives], axis=0), inside)
    offsets = [
        np.mean(
            [
                np.linalg.norm(t.primitives[1].pos)
                for t in _toys(ToyDistribution(counts=(0.0, 1.0), kinds=(1.0, 0, 0, 0), asymmetry=a))
            ]
        )
        for a in (0.25, 1.0)
    ]
    assert offsets[0] == pytest.approx(offsets[1] / 4, rel=1e-3)


def test_colours_density_and_friction_reach_the_object() -> None:
    per_part = _toys(ToyDistribution(counts=(0, 0, 1.0), colour="per-part", palette=("pink", "#102030")), 30)
    assert {c for t in per_part for c in t.colours} == {"pink", "#102030"}
    mixed = next(t for t in per_part if len(set(t.colours)) == 2)
    assert mixed.name == "colourful toy"
    assert {g.rgba for g in toy_object(mixed, "test").geoms} == {COLOURS["pink"], (16 / 255, 32 / 255, 48 / 255, 1.0)}
    assert {c for t in _toys(ToyDistribution(colour="palette")) for c in t.colours} == set(COLOURS)
    assert {c for t in _toys(ToyDistribution()) for c in t.colours} == set(LEGO_COLOURS)
    hexes = {t.colours[0] for t in _toys(ToyDistribution(colour="random"), 20)}
    assert len(hexes) == 20
    assert all(0 <= v <= 1 for c in hexes for v in rgba_of(c))
    toys = _toys(ToyDistribution(density=(100.0, 900.0), friction=(0.3, 0.6)), 50)
    assert 100 <= min(t.density for t in toys) < 250
    assert 750 < max(t.density for t in toys) <= 900
    found = toy_object(toys[0], "test")
    assert found.friction[0] == toys[0].friction < 0.61
    assert found.mass == pytest.approx(toys[0].mesh().volume * toys[0].density, rel=1e-9)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_hold_what_their_names_say(name: str) -> None:
    toys = [load_objects(f"toys:{name}?n=60").toy(i) for i in load_objects(f"toys:{name}?n=60").ids]  # type: ignore[attr-defined]
    counts, kinds = {len(t.primitives) for t in toys}, {p.kind for t in toys for p in t.primitives}
    expected = {"lego": {1, 2, 3, 4, 5}, "single": {1}, "pairs": {2}, "complex": {4, 5}, "household": {1, 2, 3, 4}}
    if name.startswith("only-"):
        assert counts == {int(name[5:])}
    elif name.startswith("without-") and name[8:].isdigit():
        assert counts == {1, 2, 3, 4, 5} - {int(name[8:])}
    elif name.startswith("without-"):
        assert kinds == set(LEGO_KINDS) - {name.removeprefix("without-")}
    else:
        assert counts == expected[name]
        assert kinds == set(LEGO_KINDS)


def test_a_distribution_from_a_file_is_a_set(tmp_path: Path) -> None:
    path = tmp_path / "flat.json"
    path.write_text(json.dumps({"kinds": [0, 1, 0, 0], "cuboid_edge": [0.01, 0.05], "asymmetry": 1}), encoding="utf-8")
    assert distribution_named(str(path)) == ToyDistribution(kinds=(0.0, 1.0, 0.0, 0.0), cuboid_edge=(0.01, 0.05))
    whole = load_objects(f"toys:{path}?n=20")
    assert {g.kind for o in whole for g in o.geoms} == {"box"}
    assert all(len(o.geoms) <= 5 for o in load_objects(f"toys:train?n=3&of={path}"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([1], "object of fields"),
        ({"count": [1]}, "Did you mean 'counts'"),
        ({"counts": "all"}, "counts of a toy distribution"),
        ({"counts": ["a"]}, "counts"),
        ({"counts": []}, "sum to 1"),
        ({"kinds": [0.5, 0.5]}, "one probability for each"),
        ({"asymmetry": 2}, "between 0 and 1"),
        ({"asymmetry": True}, "asymmetry"),
        ({"rotation": "upwrong"}, "Did you mean 'upright'"),
        ({"connection": "glue"}, "centroid"),
        ({"colour": "lego5"}, "Did you mean 'lego4'"),
        ({"palette": ["redd"]}, "Did you mean 'red'"),
        ({"palette": []}, "at least one colour"),
        ({"palette": ["#12"]}, "#rrggbb"),
        ({"density": [0, 1]}, "density"),
        ({"friction": [1, float("nan")]}, "friction"),
        ({"sphere_radius": [0.02]}, "ascending range"),
        ({"ring_wall": [0.0011, 0.002], "ring_radius": [0.05, 0.06]}, "above 3%"),
        ({"cuboid_edge": [0.002, 0.9]}, "100 times the shortest"),
    ],
)
def test_bad_distributions_say_what_is_wrong(value: object, words: str) -> None:
    with pytest.raises(ToyShiftError) as caught:
        ToyDistribution.from_json(value)
    assert isinstance(caught.value, ConfigError | UnknownNameError)
    assert words in str(caught.value)
