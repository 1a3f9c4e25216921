"""`toyshift toys import`: one row an object, exit code 1 where one fails, and the others are told all the same."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import trimesh

from toyshift.scripts.cli import main

SCANS = Path(os.environ.get("TOYSHIFT_YCB", "/work/shared/ycb"))


def test_a_bad_mesh_does_not_hide_the_good_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOYSHIFT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "mine"
    folder.mkdir()
    trimesh.creation.box((30, 50, 80)).export(folder / "brick.stl")
    (folder / "flat.off").write_text("OFF\n4 2 0\n0 0 0\n90 0 0\n0 90 0\n90 90 0\n3 0 1 2\n3 1 3 2\n", encoding="utf-8")
    assert main(["toys", "import", str(folder), "--density", "1000", "--json"]) == 1
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (found["ok"], found["count"], found["failed"], found["unit"]) == (False, 2, ["flat"], "mm")
    assert "the unit was taken to be mm" in found["inferred"]
    brick, flat = found["rows"]
    assert brick["box"] == pytest.approx([0.03, 0.05, 0.08])
    assert brick["mass"] == pytest.approx(0.12)
    assert (brick["faces"], brick["parts"], brick["watertight"], brick["graspable"]) == (12, 1, True, True)
    assert "flat.off" in flat["error"]
    (folder / "flat.off").unlink()
    assert main(["toys", "import", str(folder), "--unit", "mm"]) == 0
    assert "1 of 1 objects can be used as meshes:" in capsys.readouterr().out


def test_a_wrong_unit_is_refused_before_anything_is_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trimesh.creation.box((30, 50, 80)).export(tmp_path / "brick.stl")
    assert main(["toys", "import", str(tmp_path), "--unit", "furlong"]) == 2
    assert "unknown unit of meshes 'furlong'" in capsys.readouterr().err


@pytest.mark.skipif(not SCANS.is_dir(), reason="no YCB scans here; set TOYSHIFT_YCB to a folder of them")
def test_a_scan_in_the_ycb_layout_has_the_tables_mass_and_box(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOYSHIFT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "ycb").mkdir()
    for name in ("004_sugar_box", "058_golf_ball"):
        (tmp_path / "ycb" / name).symlink_to(SCANS / name)
    assert main(["toys", "import", str(tmp_path / "ycb"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    assert [row["mass"] for row in rows] == pytest.approx([0.514, 0.046])
    assert [row["mass_from"] for row in rows] == ["the YCB table"] * 2
    assert rows[0]["box"] == pytest.approx([0.045, 0.092, 0.176], rel=0.06)
