"""Fixtures of the toys room: small meshes in the official YCB layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image


@pytest.fixture
def ycb_folder(tmp_path: Path) -> Callable[..., Path]:
    """Returns write(id, mesh, texture=True) -> path of the OBJ, under tmp_path/ycb."""

    def write(object_id: str, mesh: trimesh.Trimesh, texture: bool = True, nested: bool = True) -> Path:
        folder = tmp_path / "ycb" / object_id
        folder = folder / "google_16k" if nested else folder
        folder.mkdir(parents=True)
        lines = ["mtllib textured.mtl", "usemtl material_0"] if texture else []
        lines += [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in mesh.vertices]
        low, size = mesh.vertices.min(axis=0), np.ptp(mesh.vertices, axis=0)
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in ((mesh.vertices - low) / np.where(size > 0, size, 1))[:, :2]]
        lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in face) for face in mesh.faces]
        path = folder / "textured.obj"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        if texture:
            (folder / "textured.mtl").write_text("newmtl material_0\nmap_Kd texture_map.png\n", encoding="utf-8")
            Image.fromarray(np.full((8, 8, 3), (200, 40, 10), dtype=np.uint8)).save(folder / "texture_map.png")
        return path

    return write
