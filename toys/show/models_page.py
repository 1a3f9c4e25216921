"""One self-contained HTML page that shows the objects of a set as models one can turn, without any network."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from toyshift.core.arrays import Array
from toyshift.core.errors import MeshError
from toyshift.core.templates import templates
from toyshift.toys.geometry.solid import decimated, quat_to_matrix
from toyshift.toys.model import Geom, GraspObject
from toyshift.toys.objectset import PANDA_OPENING, too_light

ASSETS = Path(__file__).parents[1] / "assets"
MAX_FACES = 4000  # of one object; larger surfaces are decimated
TEXTURE = 512  # longest side of a texture in the page [pixels]


def _text(array: NDArray[Any]) -> str:
    """Base64 of an array's bytes, little-endian."""
    return base64.b64encode(np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()).decode("ascii")


def quantised(values: NDArray[Any], low: Array, size: Array) -> NDArray[np.uint16]:
    """Values (n, k) as 16-bit steps from low (k,) over size (k,); half a step off at most."""
    return np.asarray(np.round((values - low) / np.where(size > 0, size, 1.0) * 65535).clip(0, 65535), dtype=np.uint16)


def packed(vertices: NDArray[Any], faces: NDArray[Any], rgba: tuple[float, ...]) -> dict[str, Any]:
    """A coloured surface as the page's script reads it."""
    low = np.asarray(vertices, dtype=np.float64).min(axis=0)
    size = np.ptp(np.asarray(vertices, dtype=np.float64), axis=0)
    kind = np.uint32 if len(vertices) > 65536 else np.uint16
    return {
        "positions": _text(quantised(vertices, low, size)), "faces": _text(faces.astype(kind)),
        "wide": kind is np.uint32, "low": low.round(7).tolist(), "size": size.round(7).tolist(),
        "rgba": [round(float(v), 3) for v in rgba],
    }


def _geom_mesh(geom: Geom) -> trimesh.Trimesh:
    """A collision primitive as a surface in the object's frame."""
    s = geom.size
    if geom.kind == "box":
        mesh = trimesh.creation.box(extents=2 * np.asarray(s))
    elif geom.kind == "cylinder":
        mesh = trimesh.creation.cylinder(radius=s[0], height=2 * s[1], sections=32)
    elif geom.kind == "capsule":
        mesh = trimesh.creation.capsule(radius=s[0], height=2 * s[1], count=[24, 24])
        mesh.apply_translation(-mesh.bounds.mean(axis=0))
    else:
        mesh = trimesh.creation.uv_sphere(radius=1.0, count=[24, 24])
        mesh.apply_scale(s if geom.kind == "ellipsoid" else (s[0],) * 3)
    move = np.eye(4)
    move[:3, :3], move[:3, 3] = quat_to_matrix(geom.quat), geom.pos
    mesh.apply_transform(move)
    return mesh


def object_parts(found: GraspObject) -> list[dict[str, Any]]:
    """The coloured or textured surfaces that an object is drawn with, decimated and quantised."""
    if found.visual is not None and found.visual.uv is not None and found.visual.texture is not None:
        from PIL import Image

        seen = found.visual
        part = packed(seen.vertices, seen.faces, seen.rgba)
        assert seen.uv is not None
        assert seen.texture is not None
        part["uv"] = _text(quantised(np.clip(seen.uv, 0.0, 1.0), np.zeros(2), np.ones(2)))
        image = Image.fromarray(seen.texture)
        image.thumbnail((TEXTURE, TEXTURE))
        file = io.BytesIO()
        image.save(file, format="JPEG", quality=82)
        return [{**part, "texture": "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")}]
    if found.visual is None and len({g.rgba for g in found.geoms}) > 1:  # a toy with parts of several colours
        meshes = [_geom_mesh(g) for g in found.geoms]
        return [packed(m.vertices, m.faces, g.rgba) for m, g in zip(meshes, found.geoms, strict=True)]
    source = found.visual or found.mesh
    vertices, faces = np.asarray(source.vertices, dtype=np.float64), np.asarray(source.faces)
    if len(faces) > MAX_FACES:
        vertices, faces = decimated(vertices, faces, MAX_FACES)
    return [packed(vertices, faces, found.rgba)]


def object_entry(found: GraspObject) -> dict[str, Any]:
    """Everything the page knows of an object.

    Raises:
        MeshError: the object has no surface.
    """
    if not len(found.mesh.faces):
        raise MeshError(f"object {found.id!r} has no surface to show")
    vertices = np.asarray(found.mesh.vertices)
    centre = 0.5 * (vertices.min(axis=0) + vertices.max(axis=0))
    x, y, z = (f"{v * 1000:.0f}" for v in np.ptp(vertices, axis=0))
    fits = found.graspable(PANDA_OPENING)
    facts = {
        "name": found.name, "size": f"{x} × {y} × {z} mm", "mass": f"{found.mass * 1000:.0f} g",
        "smallest width": f"{found.width * 1000:.0f} mm",
        "density": f"{found.density:.0f} kg/m³" + (" (a placeholder?)" if too_light(found) else ""),
        "graspable": f"{'yes' if fits else 'no'} ({PANDA_OPENING * 1000:.0f} mm gripper)", "source": found.source,
    }
    return {
        "id": found.id, "name": found.name, "facts": facts, "quat": [round(float(v), 6) for v in found.shown_pose.quat],
        "centre": centre.round(7).tolist(), "radius": round(float(np.linalg.norm(vertices - centre, axis=1).max()), 7),
        "parts": object_parts(found),
    }


def viewer_page(title: str, objects: Iterable[GraspObject]) -> str:
    """The page as one string: styles, script and models are inside, nothing is loaded from elsewhere."""
    data = json.dumps([object_entry(found) for found in objects], separators=(",", ":"), allow_nan=False)
    page = templates(ASSETS).get_template("models_page.html")
    return page.render(title=title, data=data.replace("<", "\\u003c"))
