"""Robot visuals: the pieces of a body merged by colour, for policies decimated once; cached on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from toyshift.core.files import atomic_path, cache_dir, content_hash, locked

VERSION = "2"
KEEP = 0.05  # share of the faces that is kept; 134k -> 7k for the Panda, no visible difference at policy resolutions
SMALL = 100  # pieces below this many faces are kept whole


@dataclasses.dataclass(frozen=True)
class Piece:
    """A visual mesh in its body's frame: vertices (n, 3) [m], faces (m, 3), colour rgba."""

    body: str
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    rgba: tuple[float, float, float, float]


def robot_visuals(spec: Any, root: Path, full: bool = False) -> list[Piece]:
    """Returns the visual geoms of a robot's MjSpec as pieces, one per body and colour.

    Args:
        spec: mujoco.MjSpec with mesh geoms in group 1.
        root: folder of the MJCF file, against which mesh files are resolved.
        full: whether all faces are kept, for pictures; otherwise KEEP of them.
    """
    sources = _sources(spec, root)
    key = content_hash(VERSION, *(("full",) if full else ()), *(f"{body}{rgba}{file.name}{file.stat().st_size}" for body, rgba, file, *_ in sources))
    path = cache_dir("robots") / f"{key}.npz"
    with locked(path):
        if not path.exists():
            _write(path, _build(sources, full))
    return _read(path)


def _sources(spec: Any, root: Path) -> list[tuple[str, tuple[float, ...], Path, NDArray[np.float64], NDArray[np.float64]]]:
    meshes = {mesh.name: mesh for mesh in spec.meshes}
    materials = {material.name: material for material in spec.materials}
    found = []
    for geom in spec.geoms:
        if geom.group != 1 or not geom.meshname:
            continue
        rgba = materials[geom.material].rgba if geom.material else geom.rgba
        transform = trimesh.transformations.quaternion_matrix(geom.quat)
        transform[:3, 3] = geom.pos
        mesh = meshes[geom.meshname]
        found.append((geom.parent.name, tuple(round(float(c), 3) for c in rgba), root / mesh.file, transform, np.array(mesh.scale)))
    return found


def _build(sources: list[Any], full: bool) -> list[Piece]:
    groups: dict[tuple[str, tuple[float, ...]], list[trimesh.Trimesh]] = {}
    for body, rgba, file, transform, scale in sources:
        mesh = trimesh.load(file, force="mesh", process=False)
        # the OBJ files have split vertices: decimating those would tear the surface
        mesh = trimesh.Trimesh(mesh.vertices * scale, mesh.faces, process=False)
        mesh.merge_vertices(merge_tex=True, merge_norm=True)
        mesh.apply_transform(transform)
        groups.setdefault((body, rgba), []).append(mesh if full else _decimated(mesh))
    pieces = []
    for (body, rgba), parts in groups.items():
        mesh = trimesh.util.concatenate(parts)
        pieces.append(Piece(body, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32), (rgba[0], rgba[1], rgba[2], rgba[3])))
    return pieces


def _decimated(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    import fast_simplification

    if len(mesh.faces) <= SMALL:
        return mesh
    target = max(SMALL, round(KEEP * len(mesh.faces)))
    points, faces = fast_simplification.simplify(mesh.vertices.astype(np.float32), mesh.faces, target_count=target)
    return trimesh.Trimesh(points, faces, process=False)


def _write(path: Path, pieces: list[Piece]) -> None:
    arrays: dict[str, Any] = {"bodies": np.array([p.body for p in pieces]), "rgba": np.array([p.rgba for p in pieces])}
    for i, piece in enumerate(pieces):
        arrays[f"v{i}"], arrays[f"f{i}"] = piece.vertices, piece.faces
    with atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def _read(path: Path) -> list[Piece]:
    with np.load(path, allow_pickle=False) as file:
        bodies, rgba = file["bodies"], file["rgba"]
        return [Piece(str(body), file[f"v{i}"], file[f"f{i}"], tuple(float(c) for c in rgba[i])) for i, body in enumerate(bodies)]  # type: ignore[arg-type]
