"""Scans in the YCB layout: mass, inertia, textures of made-up meshes, parts, the cache, and all that can be wrong."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import trimesh

from toyshift.core.errors import FileError, MeshError
from toyshift.toys import load_objects
from toyshift.toys.geometry.decompose import convex_parts, parts_properties
from toyshift.toys.geometry.solid import quat_to_matrix
from toyshift.toys.meshes.meshfile import read_mesh
from toyshift.toys.meshes.meshobject import build
from toyshift.toys.meshes.meshvisual import MAX_VISUAL_FACES, visual_mesh
from toyshift.toys.meshes.repair import repaired
from toyshift.toys.meshes.ycb import object_key, recipe
from toyshift.toys.model import GraspObject
from toyshift.toys.objectset import PANDA_OPENING
from toyshift.toys.store import builders, cached, read_object, save_object, store_path

Writer = Callable[..., Path]
SCANS = Path(os.environ.get("TOYSHIFT_YCB", "/work/shared/ycb"))


def build_object(path: Path, object_id: str) -> GraspObject:
    return build(recipe(path, object_id))


def _open_cup() -> trimesh.Trimesh:
    outer = trimesh.creation.cylinder(0.04, 0.1, sections=48)
    inner = trimesh.creation.cylinder(0.037, 0.1, sections=48).apply_translation([0, 0, 0.005])
    return trimesh.boolean.difference([outer, inner], engine="manifold")


def test_a_box_has_the_tables_mass_its_inertia_its_texture_and_its_poses(tmp_path: Path, ycb_folder: Writer) -> None:
    ycb_folder("004_sugar_box", trimesh.creation.box((0.045, 0.09, 0.176)))
    objects = load_objects(f"ycb:{tmp_path / 'ycb'}")
    found = objects[0]
    assert objects.ids == ("004_sugar_box",)
    assert found.name == "sugar box"
    assert found.mass == pytest.approx(0.514)
    wanted = 0.514 / 12 * np.array([0.09**2 + 0.176**2, 0.045**2 + 0.176**2, 0.045**2 + 0.09**2])
    np.testing.assert_allclose(np.diag(found.inertia), wanted, rtol=1e-6)
    assert len(found.parts) == 1
    assert found.visual is not None
    assert found.visual.texture is not None
    assert found.visual.texture.shape == (8, 8, 3)
    assert (found.visual.texture == (200, 40, 10)).all()
    assert found.visual.uv is not None
    assert found.visual.uv.min() >= 0
    assert {round(p.width, 4) for p in found.rest_poses} == {0.045, 0.09}
    assert any(quat_to_matrix(p.quat)[2, 2] > 0.99 for p in found.rest_poses)  # upright, rare as it is


def test_maniskill_variant_scales_at_constant_density(tmp_path: Path, ycb_folder: Writer) -> None:
    ycb_folder("002_master_chef_can", trimesh.creation.cylinder(0.051, 0.14))
    real, small = load_objects(f"ycb:{tmp_path / 'ycb'}"), load_objects(f"ycb:{tmp_path / 'ycb'}@maniskill")
    assert real[0].width == pytest.approx(0.102, rel=0.01)
    assert not real[0].graspable(PANDA_OPENING)
    assert small[0].width == pytest.approx(0.7 * real[0].width)
    assert small[0].graspable(PANDA_OPENING)
    assert small[0].mass == pytest.approx(0.414 * 0.7**3)
    np.testing.assert_allclose(small[0].inertia, real[0].inertia * 0.7**5)
    assert small[0].mesh.volume == pytest.approx(real[0].mesh.volume * 0.7**3)
    assert real.fingerprint != small.fingerprint


def test_an_open_vessel_stays_hollow(tmp_path: Path, ycb_folder: Writer) -> None:
    found = build_object(ycb_folder("065-e_cups", _open_cup()), "065-e_cups")
    assert 12 <= len(found.parts) <= 40
    hollow = np.array([[0.0, 0.0, z] for z in np.linspace(-0.035, 0.06, 20)] + [[0.02, 0.02, 0.0], [-0.025, 0.0, 0.03]])
    for part in found.parts:
        hull = trimesh.convex.convex_hull(part)
        assert not hull.contains(hollow).any()
    wall = found.mesh.triangles_center * 0.999
    covered = np.any(
        [trimesh.proximity.signed_distance(trimesh.convex.convex_hull(p), wall) > -5e-4 for p in found.parts], axis=0
    )
    assert covered.all()


def test_a_small_hole_is_closed(ycb_folder: Writer) -> None:
    box = trimesh.creation.box((0.05, 0.06, 0.07)).subdivide().subdivide()
    torn = trimesh.Trimesh(box.vertices, box.faces[~(box.faces == 40).any(axis=1)], process=False)
    assert not torn.is_watertight
    found = build_object(ycb_folder("061_foam_brick", torn), "061_foam_brick")
    assert found.info["closed"] is True
    assert found.mesh.is_watertight
    wanted = 0.028 / 12 * np.array([0.06**2 + 0.07**2, 0.05**2 + 0.07**2, 0.05**2 + 0.06**2])
    np.testing.assert_allclose(np.diag(found.inertia), wanted, rtol=0.03)


# Builds an object without loading coacd: onnxruntime crashes when it is loaded after coacd in one process, so that a
# fresh one must survive both in this order.
BUILDS = """
import sys
from pathlib import Path
from toyshift.toys.meshes.meshobject import build
from toyshift.toys.meshes.ycb import recipe
from toyshift.toys.store import save_object
save_object(Path(sys.argv[3]), build(recipe(Path(sys.argv[1]), sys.argv[2])))
assert "coacd" not in sys.modules
import onnxruntime
onnxruntime.InferenceSession
"""


def test_an_open_box_keeps_its_mouth_and_gets_inertia_from_its_convex_parts(
    tmp_path: Path, ycb_folder: Writer
) -> None:
    box = trimesh.creation.box((0.05, 0.06, 0.07))
    lid = box.triangles_center[:, 2] > 0.034
    path = ycb_folder("061_foam_brick", trimesh.Trimesh(box.vertices, box.faces[~lid], process=False))
    command = [sys.executable, "-W", "ignore", "-c", BUILDS, str(path), "061_foam_brick", str(tmp_path / "built.npz")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    found = read_object(tmp_path / "built.npz")
    assert len(found.parts) >= 4
    assert found.info["closed"] is False
    assert found.mass == pytest.approx(0.028)
    # Between a solid box and all mass at the walls.
    solid = 0.028 / 12 * np.array([0.06**2 + 0.07**2, 0.05**2 + 0.07**2, 0.05**2 + 0.06**2])
    assert (np.diag(found.inertia) > solid).all()
    assert (np.diag(found.inertia) < 3 * solid).all()
    assert not any(trimesh.convex.convex_hull(p).contains([[0, 0, 0], [0, 0, 0.02]]).any() for p in found.parts)


def test_unknown_objects_get_a_density_and_a_warning(tmp_path: Path, ycb_folder: Writer) -> None:
    path = ycb_folder("my_thing", trimesh.creation.box((0.04, 0.05, 0.06)), texture=False, nested=False)
    found = build_object(path, "my_thing")
    assert found.mass == pytest.approx(500 * 0.04 * 0.05 * 0.06)
    assert found.visual is not None
    assert found.visual.texture is None
    with pytest.warns(UserWarning, match="not in the YCB table: 'my_thing': mass taken as 500"):
        objects = load_objects(f"ycb:{tmp_path / 'ycb'}")
    assert objects[0].name == "my thing"


def test_large_meshes_are_decimated_without_tearing_the_texture(tmp_path: Path, ycb_folder: Writer) -> None:
    ball = trimesh.creation.icosphere(5, 0.05)
    assert len(ball.faces) > MAX_VISUAL_FACES
    raw = read_mesh(ycb_folder("056_tennis_ball", ball))
    visual = visual_mesh(raw, repaired(raw)[0])
    assert len(visual.faces) <= MAX_VISUAL_FACES
    assert visual.uv is not None
    # The texture was laid over the ball from above: u = (x - min x) / size x.
    corners = visual.vertices[visual.faces].reshape(-1, 3)
    np.testing.assert_allclose(visual.uv[visual.faces].reshape(-1, 2)[:, 0], (corners[:, 0] + 0.05) / 0.1, atol=0.02)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (lambda p: p.write_bytes(b"\x00\xff" * 100), MeshError, "no text in UTF-8"),
        (
            lambda p: (p.parent / "texture_map.png").write_bytes(b"hello"),
            FileError,
            "texture_map.png cannot be read as an image",
        ),
        (
            lambda p: (p.parent / "texture_map.png").write_bytes((p.parent / "texture_map.png").read_bytes()[:40]),
            FileError,
            "texture_map.png cannot be read as an image",
        ),
        (lambda p: p.write_text("", encoding="utf-8"), MeshError, "textured.obj"),
        (lambda p: p.write_text("v 0 0 0\nv 1 0 0\n", encoding="utf-8"), MeshError, "textured.obj"),
        (
            lambda p: p.write_text("v 0 0 0\nv .1 0 0\nv 0 .1 0\nv .1 .1 0\nf 1 2 3\nf 2 4 3\n", encoding="utf-8"),
            MeshError,
            "flat",
        ),
        (
            lambda p: p.write_text("v nan 0 0\nv .1 0 0\nv 0 .1 0\nv .1 .1 .1\nf 1 2 3\nf 2 4 3\n", encoding="utf-8"),
            MeshError,
            "not finite",
        ),
        (lambda p: p.write_text("v 0 0 0\nv 1 0 0\nf 1 2 9\n", encoding="utf-8"), MeshError, "textured.obj"),
        (lambda p: (p.parent / "texture_map.png").unlink(), FileError, "put texture_map.png into"),
        (lambda p: (p.parent / "textured.mtl").unlink(), FileError, "remove the line 'mtllib textured.mtl'"),
        (
            lambda p: (p.parent / "textured.mtl").write_text("map_Kd ../../../../etc/passwd\n", encoding="utf-8"),
            FileError,
            "outside its folder",
        ),
    ],
)
def test_bad_files_are_named_with_the_remedy(
    tmp_path: Path, ycb_folder: Writer, spoil: Callable[[Path], object], error: type[Exception], words: str,
) -> None:
    path = ycb_folder("062_dice", trimesh.creation.box((0.017, 0.017, 0.018)))
    spoil(path)
    with pytest.raises(error, match=words):
        load_objects(f"ycb:{tmp_path / 'ycb'}")


def test_units_are_checked(tmp_path: Path, ycb_folder: Writer) -> None:
    ycb_folder("004_sugar_box", trimesh.creation.box((45, 90, 176)))
    with pytest.raises(
        MeshError, match=r"textured.obj is 176 m long; it seems to be in millimetres: multiply its coordinates by 0.001"
    ):
        load_objects(f"ycb:{tmp_path / 'ycb'}")


def test_lengths_that_may_be_centimetres_name_both(tmp_path: Path, ycb_folder: Writer) -> None:
    ycb_folder("004_sugar_box", trimesh.creation.box((4.5, 9.0, 17.6)))
    with pytest.raises(MeshError, match=r"in centimetres or millimetres: multiply its coordinates by 0.01 or 0.001"):
        load_objects(f"ycb:{tmp_path / 'ycb'}")


def test_a_folder_without_objects_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="is a file; give the folder"):
        load_objects(f"ycb:{tmp_path / 'file'}")
    (tmp_path / "empty" / "x").mkdir(parents=True)
    with pytest.raises(FileError, match=r"holds no objects; expected <id>/google_16k/textured.obj"):
        load_objects(f"ycb:{tmp_path / 'empty'}")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is there yet: in the user's cache are objects of earlier runs, and of other versions of NumPy."""
    monkeypatch.setenv("TOYSHIFT_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("own_cache")
def test_several_objects_are_built_by_processes_and_read_back_equal(tmp_path: Path, ycb_folder: Writer) -> None:
    for k, name in enumerate(("003_cracker_box", "008_pudding_box", "009_gelatin_box")):
        path = ycb_folder(name, trimesh.creation.box((0.03 + 0.001 * k, 0.05, 0.07)))
    objects = load_objects(f"ycb:{tmp_path / 'ycb'}")
    assert store_path(object_key(path, "009_gelatin_box")).exists()
    fresh, kept = build_object(path, "009_gelatin_box"), objects.by_id("009_gelatin_box")
    np.testing.assert_array_equal(fresh.mesh.vertices, kept.mesh.vertices)
    assert [p.tolist() for p in fresh.parts] == [p.tolist() for p in kept.parts]
    assert fresh.rest_poses == kept.rest_poses
    assert fresh.mass == kept.mass


def test_a_truncated_cache_entry_is_built_again(tmp_path: Path, ycb_folder: Writer) -> None:
    path = ycb_folder("077_rubiks_cube", trimesh.creation.box((0.058, 0.058, 0.058)))
    before = load_objects(f"ycb:{tmp_path / 'ycb'}")[0]
    entry = store_path(object_key(path, "077_rubiks_cube"))
    entry.write_bytes(entry.read_bytes()[:100])
    with pytest.raises(FileError, match="cannot be read"):
        read_object(entry)
    after = load_objects(f"ycb:{tmp_path / 'ycb'}")[0]
    np.testing.assert_array_equal(before.inertia, after.inertia)
    read_object(entry)


def test_other_versions_of_what_builds_objects_build_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    here = store_path("an-object")
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.4.9" if name == "numpy" else real(name))
    builders.cache_clear()
    other = store_path("an-object")
    monkeypatch.undo()
    builders.cache_clear()
    assert other.parent == here.parent
    assert other != here == store_path("an-object")


def test_two_that_ask_at_once_build_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOYSHIFT_CACHE", str(tmp_path))
    built = []

    def build() -> GraspObject:
        built.append(1)
        time.sleep(0.2)
        return load_objects("toys:lego?n=1")[0]

    with ThreadPoolExecutor(4) as pool:
        found = [f.result() for f in [pool.submit(cached, "two-at-once", build) for _ in range(4)]]
    assert len(built) == 1
    assert {f.id for f in found} == {found[0].id}


@pytest.mark.usefixtures("own_cache")
def test_one_bad_object_among_several_names_it_and_keeps_the_others(tmp_path: Path, ycb_folder: Writer) -> None:
    good = ycb_folder("003_cracker_box", trimesh.creation.box((0.031, 0.05, 0.07)))
    ycb_folder("008_pudding_box", trimesh.creation.box((0.032, 0.05, 0.07)))
    bad = ycb_folder("009_gelatin_box", trimesh.creation.box((33, 50, 70)))
    with pytest.raises(MeshError, match=r"009_gelatin_box.*millimetres"):
        load_objects(f"ycb:{tmp_path / 'ycb'}")
    assert store_path(object_key(good, "003_cracker_box")).exists()
    assert not store_path(object_key(bad, "009_gelatin_box")).exists()


def test_store_round_trip_with_geoms(tmp_path: Path) -> None:
    toy = load_objects("toys:lego?n=1")[0]
    save_object(tmp_path / "toy.npz", toy)
    again = read_object(tmp_path / "toy.npz")
    assert again.geoms == toy.geoms
    assert again.rest_poses == toy.rest_poses
    assert (again.visual, again.parts) == (None, ())
    double = toy.scaled(2.0)
    assert double.mass == pytest.approx(8 * toy.mass)
    assert double.geoms[0].size[0] == pytest.approx(2 * toy.geoms[0].size[0])


def test_parts_properties_of_touching_halves() -> None:
    left, right = (trimesh.creation.box((0.05, 0.04, 0.04)).vertices + np.array([x, 0, 0]) for x in (-0.025, 0.025))
    volume, com, inertia = parts_properties([np.asarray(left), np.asarray(right)])
    assert volume == pytest.approx(0.1 * 0.04 * 0.04)
    np.testing.assert_allclose(com, 0, atol=1e-12)
    np.testing.assert_allclose(np.diag(inertia), volume / 12 * np.array([0.0032, 0.0116, 0.0116]), rtol=1e-9)


def test_an_l_shape_splits_into_two_exact_boxes() -> None:
    ell = trimesh.boolean.union(
        [
            trimesh.creation.box((0.1, 0.02, 0.02)),
            trimesh.creation.box((0.02, 0.08, 0.02)).apply_translation([0.04, 0.03, 0]),
        ],
        engine="manifold",
    )
    parts = convex_parts(ell)
    assert 2 <= len(parts) <= 6
    assert sum(trimesh.convex.convex_hull(p).volume for p in parts) == pytest.approx(ell.volume, rel=0.07)


@pytest.mark.skipif(not SCANS.is_dir(), reason="no YCB scans here; set TOYSHIFT_YCB to a folder of them")
@pytest.mark.parametrize(("name", "most"), [("065-c_cups", 3.0), ("024_bowl", 8.0), ("031_spoon", 1.8)])
def test_scanned_vessels_stay_open(name: str, most: float) -> None:
    found = build_object(SCANS / name / "google_16k" / "textured.obj", name)
    volume = sum(trimesh.convex.convex_hull(p).volume for p in found.parts)
    assert volume < most * found.info["volume"]
    assert found.visual is not None
    assert found.visual.texture is not None
