"""Sets out of other packages: RGB-Stacking's wheel, PyBullet's random objects, robosuite's six.

Made-up files stand in for what is not installed.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh

from toyshift.core.errors import FileError, MissingDependencyError, UnknownNameError
from toyshift.toys import load_objects
from toyshift.toys.meshes.random_urdfs import split_of

RGB = "dm_robotics/manipulation/props/rgb_objects/assets/rgb_v1.3/meshes"
URDF = """<robot name="blob"><link name="l"><inertial><origin rpy="0 0 0" xyz="0 0 0"/><mass value="0.1"/>
<inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="0"/></inertial>
<visual><geometry><mesh filename="{name}.obj" scale="0.015 0.015 0.015"/></geometry>
<material name="m"><color rgba="0.04 0.07 0.91 1"/></material></visual></link></robot>"""


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "dm_robotics_manipulation-0.10.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for split, name, width in (
            ("train", "e23_sds4_scx48", 0.048),
            ("heldout", "e2_sds5_scx49", 0.049),
            ("test_triplets", "s0_sds4_scx50", 0.05),
        ):
            out.writestr(f"{RGB}/{split}/{name}.stl", trimesh.creation.box((width, 0.05, 0.05)).export(file_type="stl"))
        out.writestr("dm_robotics/manipulation/__init__.py", "")
    return path


def test_rgb_stacking_out_of_a_wheel_with_its_splits(wheel: Path, tmp_path: Path) -> None:
    objects = load_objects(f"rgb-stacking:{wheel}?density=1000")
    assert objects.ids == ("e2", "e23", "s0")
    assert objects[2].mass == pytest.approx(1000 * 0.05**3, rel=1e-5)
    assert objects[0].width == pytest.approx(0.049, rel=1e-5)
    assert {o.visual.rgba for o in objects if o.visual} != {objects[0].visual}
    assert [load_objects(f"rgb-stacking:{wheel}@{s}").ids for s in ("train", "heldout", "triplets")] == [
        ("e23",),
        ("e2",),
        ("s0",),
    ]
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "by_hand")
    assert load_objects(f"rgb-stacking:{tmp_path / 'by_hand'}?density=1000").fingerprint == objects.fingerprint
    with pytest.raises(UnknownNameError, match="Did you mean 'heldout'"):
        load_objects(f"rgb-stacking:{wheel}@held")


def test_a_folder_without_the_shapes_names_the_download(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="pip download --no-deps dm-robotics-manipulation"):
        load_objects(f"rgb-stacking:{tmp_path}")


@pytest.fixture
def bullet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A pybullet_data that must not be imported."""
    package = tmp_path / "site" / "pybullet_data"
    for name in ("010", "011", "012"):
        folder = package / "random_urdfs" / name
        folder.mkdir(parents=True)
        (folder / f"{name}.urdf").write_text(URDF.format(name=name), encoding="utf-8")
        first, second = trimesh.creation.box((2, 2, 4)), trimesh.creation.box((4, 2, 2)).apply_translation([1, 0, 0])
        (folder / f"{name}.obj").write_text(
            trimesh.util.concatenate([first, second]).export(file_type="obj"), encoding="utf-8"
        )
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(package.parent))
    return package / "random_urdfs"


def test_random_urdfs_unite_their_pieces_and_take_mass_and_size_from_the_urdf(bullet: Path) -> None:
    objects = load_objects("random-urdfs:all")
    assert objects.ids == ("random_010", "random_011", "random_012")
    assert load_objects("random-urdfs:test").ids == ("random_010",)
    assert load_objects("random-urdfs:train").ids == ("random_011", "random_012")
    found = objects[0]
    assert found.mass == pytest.approx(0.1)
    assert found.info["volume"] == pytest.approx((16 + 16 - 8) * 0.015**3)
    np.testing.assert_allclose(np.sort(found.mesh.extents), np.array([2, 4, 4]) * 0.015)
    assert found.visual is not None
    assert found.visual.rgba == (0.04, 0.07, 0.91, 1.0)


def test_an_unreadable_object_is_reported_and_left_out(bullet: Path) -> None:
    path = bullet / "011" / "011.obj"
    path.write_text(path.read_text().replace("v ", "v nan nan nan\nv ", 1), encoding="utf-8")
    with pytest.warns(UserWarning, match=r"1 of 3 objects left out: .*011.obj holds 1 vertices that are not finite"):
        objects = load_objects("random-urdfs:all")
    assert objects.ids == ("random_010", "random_012")
    assert len(list(objects)) == 2


def test_a_damaged_urdf_is_named(bullet: Path) -> None:
    (bullet / "012" / "012.urdf").write_text("<robot><link/></robot>", encoding="utf-8")
    with pytest.raises(FileError, match=r"012.urdf cannot be read \(no <mesh>\)"):
        load_objects("random-urdfs:train")
    with pytest.raises(UnknownNameError, match="Available: all, test, train"):
        load_objects("random-urdfs:x")


def test_pybullets_split_is_900_to_100() -> None:
    assert sum(split_of(f"{k:03d}") == "test" for k in range(1000)) == 100


def test_without_pybullet_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"toyshift\[bullet\]"):
        load_objects("random-urdfs:all")


def test_robosuites_objects_have_its_sizes_densities_and_textures() -> None:
    objects = load_objects("robosuite")
    assert objects.ids == ("milk", "bread", "cereal", "can", "lemon", "bottle")
    lemon = objects.by_id("lemon")
    np.testing.assert_allclose(lemon.mesh.extents, [0.0675, 0.04, 0.04], rtol=1e-4)  # 4.5 x 4 x 4 cm, stretched by 1.5
    assert lemon.mass == pytest.approx(50 * lemon.mesh.volume, rel=1e-6)
    cereal = objects.by_id("cereal")
    np.testing.assert_allclose(cereal.mesh.extents, [0.1, 0.03, 0.15], rtol=1e-4)
    assert cereal.mass == pytest.approx(150 * 0.1 * 0.03 * 0.15, rel=0.02)
    textured = {o.id for o in objects if o.visual is not None and o.visual.texture is not None}
    assert textured == {"milk", "bread", "cereal", "can", "lemon"}
    assert all(o.graspable(0.08) for o in objects)


def test_robosuite_is_not_imported() -> None:
    code = "import sys; from toyshift.toys import load_objects; load_objects('robosuite')[0]; "
    code += "print([m for m in ('robosuite', 'mujoco') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
