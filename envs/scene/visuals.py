"""Robot visuals: the pieces of a body merged by colour, for policies decimated once; cached on disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Float32
from toyshift.core.errors import ContractError
from toyshift.core.files import atomic_path, cache_dir, content_hash, locked

VERSION = "2"
GENTLE, BRISK = 2, 7  # how fast the decimation goes: gently, no face moves by more than about 1 mm
SMALL = 100  # pieces below this many faces are kept whole


@dataclasses.dataclass(frozen=True)
class Piece:
    """A visual mesh in its body's frame: vertices (n, 3) [m], faces (m, 3), colour rgba."""

    body: str
    vertices: Float32
    faces: NDArray[np.int32]
    rgba: tuple[float, float, float, float]


def robot_visuals(spec: Any, root: Path, keep: float, weld: bool) -> list[Piece]:
    """Returns the visual geoms of a robot's MjSpec as pieces, one per body and colour.

    Args:
        spec: mujoco.MjSpec with geoms in group 1: meshes, boxes, cylinders, spheres.
        root: folder of the MJCF file, against which mesh files are resolved.
        keep: share of the faces that is kept, 1 for pictures; with 0.05 the Panda's 134k become 7k, without a visible
            difference at policy resolutions.
        weld: whether vertices nearer than 1 mm are made one, and faces merged in smaller steps.
    """
    sources = _sources(spec, root)
    sizes = [s.file.stat().st_size if s.file else s.size for s in sources]
    texts = (f"{s.body}{s.rgba}{s.shape}{size}{s.transform.tolist()}" for s, size in zip(sources, sizes, strict=True))
    key = content_hash(VERSION, str(keep), str(weld), *texts)
    path = cache_dir("robots") / f"{key}.npz"
    with locked(path):
        if not path.exists():
            _write(path, _build(sources, keep, weld))
    return _read(path)


@dataclasses.dataclass(frozen=True)
class _Source:
    """A visual geom: a mesh file with its scale, or a primitive with its size; `transform` (4, 4) puts it into the
    body's frame.
    """

    body: str
    rgba: tuple[float, ...]
    shape: str
    file: Path | None
    size: tuple[float, ...]
    transform: Array


def _sources(spec: Any, root: Path) -> list[_Source]:
    meshes = {mesh.name: mesh for mesh in spec.meshes}
    materials = {material.name: material for material in spec.materials}
    found = []
    for geom in spec.geoms:
        if geom.group != 1:
            continue
        rgba = materials[geom.material].rgba if geom.material else geom.rgba
        transform = trimesh.transformations.quaternion_matrix(geom.quat / np.linalg.norm(geom.quat))
        transform[:3, 3] = geom.pos
        mesh = meshes[geom.meshname] if geom.meshname else None
        file = root / mesh.file if mesh else None
        size = tuple(float(x) for x in (mesh.scale if mesh else geom.size))
        shape = file.name if file else geom.type.name.removeprefix("mjGEOM_").lower()
        found.append(_Source(geom.parent.name, tuple(round(float(c), 3) for c in rgba), shape, file, size, transform))
    return found


def _mesh_of(source: _Source) -> trimesh.Trimesh:
    if source.file is not None:
        mesh = trimesh.load(source.file, force="mesh", process=False)
        # the OBJ files have split vertices: decimating those would tear the surface
        mesh = trimesh.Trimesh(mesh.vertices * np.array(source.size), mesh.faces, process=False)
        mesh.merge_vertices(merge_tex=True, merge_norm=True)
        return mesh
    match source.shape:
        case "box":
            return trimesh.creation.box(2 * np.array(source.size))
        case "cylinder":
            return trimesh.creation.cylinder(source.size[0], 2 * source.size[1], sections=24)
        case "sphere":
            return trimesh.creation.icosphere(subdivisions=2, radius=source.size[0])
        case shape:
            drawn = "meshes, boxes, cylinders and spheres"
            raise ContractError(f"{source.body} has a visual {shape}: {__name__} draws {drawn}")


def _build(sources: list[_Source], keep: float, weld: bool) -> list[Piece]:
    groups: dict[tuple[str, tuple[float, ...]], list[trimesh.Trimesh]] = {}
    for source in sources:
        mesh = _mesh_of(source)
        mesh.apply_transform(source.transform)
        groups.setdefault((source.body, source.rgba), []).append(mesh if keep == 1.0 else _decimated(mesh, keep, weld))
    pieces = []
    for (body, rgba), parts in groups.items():
        mesh = trimesh.util.concatenate(parts)
        r, g, b, a = rgba
        pieces.append(Piece(body, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32), (r, g, b, a)))
    return pieces


def _decimated(mesh: trimesh.Trimesh, keep: float, weld: bool) -> trimesh.Trimesh:
    import fast_simplification

    if len(mesh.faces) <= SMALL:
        return mesh
    target = max(SMALL, round(keep * len(mesh.faces)))
    if weld:
        mesh = mesh.copy()
        mesh.merge_vertices(digits_vertex=3)  # [m]
        mesh.update_faces(mesh.nondegenerate_faces() & mesh.unique_faces())
        target = min(target, len(mesh.faces))
    vertices, speed = mesh.vertices.astype(np.float32), GENTLE if weld else BRISK
    points, faces = fast_simplification.simplify(vertices, mesh.faces, target_count=target, agg=speed)
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
        colours = [(float(r), float(g), float(b), float(a)) for r, g, b, a in rgba]
        return [Piece(str(body), file[f"v{i}"], file[f"f{i}"], colours[i]) for i, body in enumerate(bodies)]
