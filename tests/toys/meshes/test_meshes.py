"""One's own meshes: formats, units, masses, repairs that are stated, and everything that can be wrong."""

from __future__ import annotations

import errno
import os
import re
import struct
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from toyshift.core.errors import ConfigError, FileError, MeshError, ToyShiftError, UnknownNameError
from toyshift.core.files import cache_dir
from toyshift.toys import load_objects, store
from toyshift.toys.geometry.self_intersection import crossing_faces, misfilled
from toyshift.toys.meshes import meshfile
from toyshift.toys.meshes.inspection import check, plan_folder
from toyshift.toys.meshes.meshobject import surface_of
from toyshift.toys.units import infer_unit

BOX = (0.03, 0.05, 0.08)
SOLID = 0.03 * 0.05 * 0.08


def _box(size: tuple[float, float, float] = BOX, at: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    return trimesh.creation.box(size).apply_translation(at)


def _joined(*meshes: trimesh.Trimesh) -> trimesh.Trimesh:
    return trimesh.util.concatenate(meshes)


def _quiet(spec: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_objects(spec)[0]


@pytest.mark.parametrize("suffix", ["obj", "stl", "ply", "glb", "off"])
def test_every_format_gives_the_same_solid(tmp_path: Path, suffix: str) -> None:
    mesh = _box()
    if suffix == "glb":  # the format prescribes y up
        mesh.apply_transform(trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0]))
    mesh.export(tmp_path / f"brick.{suffix}")
    found = load_objects(f"meshes:{tmp_path}?unit=m&density=1000")[0]
    assert (found.id, found.name, found.source) == ("brick", "brick", "meshes")
    assert found.mass == pytest.approx(1000 * SOLID, rel=1e-5)
    np.testing.assert_allclose(found.mesh.extents, BOX, rtol=1e-5)
    np.testing.assert_allclose(
        np.diag(found.inertia),
        found.mass / 12 * np.array([0.05**2 + 0.08**2, 0.03**2 + 0.08**2, 0.03**2 + 0.05**2]),
        rtol=1e-4,
    )
    assert (len(found.parts), found.info["repairs"]) == (1, [])


@pytest.mark.parametrize(("unit", "factor"), [("m", 1.0), ("cm", 100.0), ("mm", 1000.0)])
def test_units_are_given_or_inferred_with_a_warning(tmp_path: Path, unit: str, factor: float) -> None:
    _box().apply_scale(factor).export(tmp_path / "brick.stl")
    with pytest.warns(UserWarning, match=f"the unit was taken to be {unit}: the longest edges are .*\\?unit={unit}"):
        inferred = load_objects(f"meshes:{tmp_path}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = load_objects(f"meshes:{tmp_path}?unit={unit}")
    assert given.fingerprint == inferred.fingerprint
    np.testing.assert_allclose(given[0].mesh.extents, BOX, rtol=1e-5)


def test_inches_and_scale(tmp_path: Path) -> None:
    _box((1, 2, 3)).export(tmp_path / "brick.stl")
    found = load_objects(f"meshes:{tmp_path}?unit=in&scale=0.5")[0]
    np.testing.assert_allclose(found.mesh.extents, np.array([1, 2, 3]) * 0.0127, rtol=1e-6)


@pytest.mark.parametrize(("size", "scale", "told"), [
    (2.0, "1e308", r"brick\.off is too long for a number where it is multiplied by 1e\+308; give a smaller scale"),
    (1.0, "1e308", r"is 1e\+308 m long; .*\?unit=cm or \?unit=m"),
    (2e-9, "1e-310", r"is only .* m long; .*\?unit=m&scale=1e\+08$"), (2e-9, "1e-320", r"is only 0 m long; .*=1e\+08$"),
    (1e-315, "1", "is only 1e-315 m long; it seems to be in another unit"),
])  # fmt: skip
@pytest.mark.filterwarnings("error")
def test_a_size_that_no_number_holds_is_told(tmp_path: Path, size: float, scale: str, told: str) -> None:
    corners, sides = f"0 0 0\n{size} 0 0\n0 {size} 0\n0 0 {size}\n", "3 0 2 1\n3 0 1 3\n3 1 2 3\n3 0 3 2\n"
    (tmp_path / "brick.off").write_text(f"OFF\n4 4 0\n{corners}{sides}")
    with pytest.raises(MeshError, match=told):
        load_objects(f"meshes:{tmp_path}?unit=m&scale={scale}")


def test_the_median_decides_the_unit() -> None:
    assert infer_unit([0.05, 0.1, 120]) == "m"
    assert infer_unit([5, 12, 0.1]) == "cm"
    assert infer_unit([80, 120, 12]) == "mm"


def test_masses_come_from_a_table_a_number_or_a_density(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    for name in ("a", "b"):
        _box().export(tmp_path / "m" / f"{name}.stl")
    (tmp_path / "masses.csv").write_text("id,mass_g\na,250\n", encoding="utf-8")
    objects = load_objects(f"meshes:{tmp_path / 'm'}?unit=m&masses={tmp_path / 'masses.csv'}&density=700")
    assert [o.mass for o in objects] == pytest.approx([0.25, 700 * SOLID])
    assert load_objects(f"meshes:{tmp_path / 'm'}?unit=m&mass=0.3")[1].mass == pytest.approx(0.3)
    with pytest.raises(ConfigError, match="mass contradicts density"):
        load_objects(f"meshes:{tmp_path / 'm'}?mass=1&density=5")
    (tmp_path / "masses.csv").write_text("id,mass_g\na,-2\n", encoding="utf-8")
    with pytest.raises(FileError, match="mass_g of 'a' must be a positive number"):
        load_objects(f"meshes:{tmp_path / 'm'}?masses={tmp_path / 'masses.csv'}")
    (tmp_path / "masses.csv").write_text("name,kg\na,2\n", encoding="utf-8")
    with pytest.raises(FileError, match="columns name, kg; it needs id and mass_g"):
        load_objects(f"meshes:{tmp_path / 'm'}?masses={tmp_path / 'masses.csv'}")


def test_names_that_clash_unknown_units_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no mesh"):
        load_objects(f"meshes:{tmp_path}")
    with pytest.raises(FileError, match="does not exist"):
        load_objects(f"meshes:{tmp_path}/nowhere")
    _box().export(tmp_path / "a.stl")
    with pytest.raises(UnknownNameError, match="Did you mean 'mm'"):
        load_objects(f"meshes:{tmp_path}?unit=mmm")
    _box().export(tmp_path / "a.ply")
    with pytest.raises(FileError, match=r"would both be the object 'a'"):
        load_objects(f"meshes:{tmp_path}")


def _figure_eight() -> trimesh.Trimesh:
    """One closed tube that runs through itself: a box swept along a path that crosses."""
    turn = np.linspace(0, 2 * np.pi, 65)[:-1]
    middle = np.stack([0.06 * np.sin(turn), 0.06 * np.sin(turn) * np.cos(turn), 0 * turn], axis=1)
    along = np.roll(middle, -1, axis=0) - np.roll(middle, 1, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    side = np.cross(along, [0, 0, 1.0])
    up = np.broadcast_to([0, 0, 1.0], side.shape)
    rings = np.stack(
        [middle + 0.01 * (a * side + b * up) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))], axis=1
    )  # (64, 4, 3)
    index = np.arange(256).reshape(64, 4)
    ahead, right = np.roll(index, -1, axis=0), np.roll(index, -1, axis=1)
    both = np.roll(ahead, -1, axis=1)
    faces = np.concatenate(
        [np.stack([index, right, both], -1).reshape(-1, 3), np.stack([index, both, ahead], -1).reshape(-1, 3)]
    )
    mesh = trimesh.Trimesh(rings.reshape(-1, 3), faces, process=False)
    mesh.fix_normals()
    return mesh


@pytest.mark.parametrize(
    ("mesh", "words", "volume"),
    [
        (trimesh.Trimesh(_box().vertices, _box().faces[:, ::-1], process=False), "faces pointed inward", SOLID),
        (_box().apply_scale([-1, 1, 1]), "", SOLID),
        (_joined(_box(), _box(at=(0.015, 0, 0))), "2 pieces that overlap united", SOLID * 1.5),
        (
            _joined(
                _box(),
                trimesh.Trimesh(
                    _box((0.03, 0.03, 0.03), at=(0.1, 0, 0)).vertices, _box().faces[:, ::-1], process=False
                ),
            ),
            "1 piece with the faces inward",
            SOLID + 0.03**3,
        ),
        (
            trimesh.Trimesh(_box().vertices, np.vstack([_box().faces, _box().faces[:2]]), process=False),
            "2 repeated faces left out",
            SOLID,
        ),
        (
            trimesh.Trimesh(_box().vertices, np.vstack([_box().faces, [[0, 0, 1]]]), process=False),
            "1 face without an area left out",
            SOLID,
        ),
    ],
)
def test_repairs_are_stated_and_right(tmp_path: Path, mesh: trimesh.Trimesh, words: str, volume: float) -> None:
    mesh.export(tmp_path / "it.off")
    found = _quiet(f"meshes:{tmp_path}?unit=m")
    assert words in "; ".join(found.info["repairs"])
    assert found.info["closed"] is True
    assert found.info["volume"] == pytest.approx(volume, rel=1e-4)
    assert found.mesh.is_watertight
    assert found.mesh.volume > 0
    if words:
        with pytest.warns(UserWarning, match=words):
            load_objects(f"meshes:{tmp_path}?unit=m")[0]


def test_a_cavity_stays_hollow() -> None:
    hollow = _joined(
        _box((0.06, 0.06, 0.06)),
        trimesh.Trimesh(_box((0.04, 0.04, 0.04)).vertices, _box().faces[:, ::-1], process=False),
    )
    surface, said, closed = surface_of(hollow)
    assert (said, closed) == ((), True)
    assert surface.volume == pytest.approx(0.06**3 - 0.04**3)


def test_a_surface_through_itself_is_found_and_rebuilt(tmp_path: Path) -> None:
    eight = _figure_eight()
    assert eight.is_watertight
    hit = crossing_faces(eight)
    assert len(hit)
    assert np.abs(eight.triangles_center[hit][:, :2]).max() < 0.035  # all near the crossing
    assert 0.02 < misfilled(eight) < 0.1
    assert len(crossing_faces(trimesh.creation.torus(0.05, 0.01))) == 0
    assert misfilled(trimesh.creation.icosphere(2, 0.04)) == 0
    eight.export(tmp_path / "eight.stl")
    found = _quiet(f"meshes:{tmp_path}?unit=m")
    assert found.info["closed"] is False
    assert "twice or inside out" in found.info["repairs"][-1]
    assert 0.7 * eight.volume < found.info["volume"] < 1.35 * eight.volume


def test_edges_of_three_faces_are_stated(tmp_path: Path) -> None:
    box = _box()
    fin = trimesh.Trimesh(
        np.vstack([box.vertices, [[0.1, 0, 0]]]), np.vstack([box.faces, [[*box.faces[0][:2], 8]]]), process=False
    )
    fin.export(tmp_path / "fin.off")
    found = _quiet(f"meshes:{tmp_path}?unit=m")
    assert any("not manifold" in text and "more than two faces" in text for text in found.info["repairs"])
    assert found.info["closed"] is False
    assert found.mass > 0


def _sheet(path: Path) -> None:
    """A closed tent whose floor touches its roof."""
    rim = "0 0 0\n.1 0 0\n.1 .1 0\n0 .1 0\n.05 .05 .05\n.05 .05 .04999998\n"
    path.write_text(f"OFF\n6 8 0\n{rim}" + "".join(f"3 {k} {(k + 1) % 4} 4\n3 {(k + 1) % 4} {k} 5\n" for k in range(4)))


def _huge(path: Path) -> None:
    path.write_bytes(bytes(80) + struct.pack("<I", 10_000_000))
    os.truncate(path, 84 + 50 * 10_000_000)  # sparse: takes no room


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("empty.stl", lambda p: p.write_bytes(b""), "empty.stl"),
        ("cut.stl", lambda p: p.write_bytes(_box().export(file_type="stl")[:300]), "cut.stl"),
        (
            "none.ply",
            lambda p: p.write_text(
                "ply\nformat ascii 1.0\nelement vertex 0\n"
                "property float x\nproperty float y\nproperty float z\nend_header\n"
            ),
            "none.ply",
        ),
        ("noise.glb", lambda p: p.write_bytes(bytes(range(256))), "noise.glb"),
        (
            "flat.off",
            lambda p: p.write_text("OFF\n4 2 0\n0 0 0\n.1 0 0\n0 .1 0\n.1 .1 0\n3 0 1 2\n3 1 3 2\n"),
            "flat or empty",
        ),
        ("sheet.off", _sheet, "volume"),
        (
            "nan.off",
            lambda p: p.write_text("OFF\n4 2 0\nnan 0 0\n.1 0 0\n0 .1 0\n.1 .1 0\n3 0 1 2\n3 1 3 2\n"),
            "1 vertices that are not finite",
        ),
        ("far.off", lambda p: p.write_text("OFF\n3 1 0\n0 0 0\n.1 0 0\n0 .1 0\n3 0 1 9\n"), "far.off"),
        ("huge.stl", _huge, "decimate it"),
        (
            "mm.stl",
            lambda p: _box((30, 50, 80)).export(p),
            "seems to be in millimetres or centimetres: give it a set of its own with \\?unit=mm or \\?unit=cm",
        ),
        ("tiny.stl", lambda p: _box((3e-5, 5e-5, 8e-5)).export(p), "only 8e-05 m long"),
        (
            "m.obj",
            lambda p: p.write_text(
                "mtllib gone.mtl\nv 0 0 0\nv .1 0 0\nv 0 .1 0\nv 0 0 .1\nf 1 3 2\nf 1 2 4\nf 2 3 4\nf 1 4 3\n"
            ),
            "remove the line 'mtllib gone.mtl'",
        ),
    ],
)
def test_bad_meshes_are_named_and_do_not_stop_the_check(
    tmp_path: Path, name: str, write: Callable[[Path], object], words: str
) -> None:
    (tmp_path / "s").mkdir()
    write(tmp_path / "s" / name)
    with pytest.raises(ToyShiftError, match=words) as caught:
        load_objects(f"meshes:{tmp_path / 's'}?unit=m")
    assert name in str(caught.value)
    _box().export(tmp_path / "s" / "good.stl")
    rows = {row.id: row for row in check(*plan_folder(tmp_path / "s", {"unit": "m"}))}
    assert rows["good"].ok
    assert rows["good"].box == pytest.approx(sorted(BOX))
    assert not rows[Path(name).stem].ok
    assert name in rows[Path(name).stem].error


@pytest.mark.parametrize("suffix", ["off", "ply", "stl", "obj"])
def test_too_many_faces_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(meshfile, "MAX_FACES", 11)
    if suffix in ("off", "ply"):  # refused by what the header says, before anything is read
        monkeypatch.setattr(trimesh, "load_mesh", None)
    _box().export(tmp_path / f"many.{suffix}")
    with pytest.raises(MeshError, match="12 faces; at most 11"):
        load_objects(f"meshes:{tmp_path}?unit=m")


def test_an_archive_is_read_like_its_folder(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4, 3), (200, 40, 10), dtype=np.uint8)).save(tmp_path / "t.png")
    (tmp_path / "o.mtl").write_text("newmtl a\nmap_Kd t.png\n")
    (tmp_path / "o.obj").write_text(
        "mtllib o.mtl\nusemtl a\nv 0 0 0\nv .1 0 0\nv 0 .1 0\nv 0 0 .1\nvt 0 0\n"
        "f 1/1 3/1 2/1\nf 1/1 2/1 4/1\nf 2/1 3/1 4/1\nf 1/1 4/1 3/1\n"
    )
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("t.png", "o.mtl", "o.obj"):
            archive.write(tmp_path / name, name)
    from_zip, from_folder = (load_objects(f"meshes:{place}?unit=m") for place in (tmp_path / "set.zip", tmp_path))
    assert from_zip.fingerprint == from_folder.fingerprint
    visual = from_zip[0].visual
    assert visual is not None
    assert visual.texture is not None
    assert visual.texture[0, 0].tolist() == [200, 40, 10]
    assert from_zip[0].info["volume"] == pytest.approx(0.1**3 / 6)


def _no_room(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _box((0.031, 0.052, 0.083)).export(tmp_path / "full.stl")
    monkeypatch.setattr(store.np, "savez", _no_room)
    before = set(cache_dir("objects").glob("*"))
    with pytest.raises(FileError, match=r"No space left on device.; .*make room.*, or set TOYSHIFT_CACHE"):
        load_objects(f"meshes:{tmp_path}?unit=m")
    assert {p for p in set(cache_dir("objects").glob("*")) - before if p.suffix != ".lock"} == set()


def test_a_read_only_cache_is_read_and_named_when_it_must_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _box((0.032, 0.052, 0.083)).export(tmp_path / "first.stl")
    spec = f"meshes:{tmp_path}?unit=m"
    width = load_objects(spec)[0].width

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("toyshift.core.files._lock", refused)
    assert load_objects(spec)[0].width == width
    (tmp_path / "first.stl").rename(tmp_path / "second.stl")
    with pytest.raises(FileError, match=r"Read-only file system.; choose a place .*, or set TOYSHIFT_CACHE"):
        load_objects(spec)


def test_two_processes_at_once_make_one_set(tmp_path: Path) -> None:
    for k in range(2):
        _box((0.03, 0.05, 0.07 + 0.001 * k)).export(tmp_path / f"b{k}.stl")
    code = f"from toyshift.toys import load_objects; s = load_objects('meshes:{tmp_path}?unit=m'); "
    code += "print(s.fingerprint, [o.mass for o in s])"
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    out = [child.communicate(timeout=120) for child in both]
    assert [child.returncode for child in both] == [0, 0], out
    assert out[0][0] == out[1][0] != ""


@pytest.mark.parametrize(("edge", "unit", "said"), [
    (1e5, "", "not as large as"), (1e5, "?unit=mm", "not as large as"), (80.0, "?unit=m", "millimetres or centimetres"),
    (0.08, "?unit=mm", "only 8e-05 m long"),
])
def test_the_unit_that_a_message_asks_for_is_taken(edge: float, unit: str, said: str, tmp_path: Path) -> None:
    _box((edge, 0.6 * edge, 0.4 * edge)).export(tmp_path / "box.stl")

    def size(options: str) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the unit is told where it was inferred
            return float(np.ptp(load_objects(f"meshes:{tmp_path}{options}")[0].mesh.vertices, axis=0).max())

    with pytest.raises(MeshError, match=said) as refused:
        size(unit)
    asked = re.findall(r"\?unit=\S+", str(refused.value))
    assert asked
    assert unit not in asked
    for options in asked:
        assert 0.001 <= size(options) <= 5.0


def test_where_no_mesh_can_be_read_the_mesh_is_named_and_not_its_unit(tmp_path: Path) -> None:
    (tmp_path / "cut.stl").write_bytes(_box().export(file_type="stl")[:300])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(MeshError, match=r"cut\.stl"):
            load_objects(f"meshes:{tmp_path}")[0]
