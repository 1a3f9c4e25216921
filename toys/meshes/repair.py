"""Repairs a surface so that it bounds a solid, and says in words what was repaired."""

from __future__ import annotations

import numpy as np
import trimesh

from toyshift.core.errors import MeshError
from toyshift.toys.geometry.solid import manifold_to_trimesh, trimesh_to_manifold, union

SMALL_HOLE = 0.08  # of the surface's area; larger holes are not closed


def _holes_closed(surface: trimesh.Trimesh) -> tuple[trimesh.Trimesh, int]:
    """Closes holes smaller than SMALL_HOLE of the surface with a fan around their middle; also returns how many.

    A larger hole is left open: it may be the mouth of a vessel whose wall is a single sheet.
    """
    edges = surface.edges_sorted
    _, index, count = np.unique(edges, axis=0, return_index=True, return_counts=True)
    following = {int(b): int(a) for a, b in surface.edges[index[count == 1]]}  # against the faces' direction
    vertices, faces = [np.asarray(surface.vertices)], [np.asarray(surface.faces)]
    size = len(surface.vertices)
    while following:
        start, node = next(iter(following.items()))
        del following[start]
        loop = [start]
        while node != start and node in following:
            loop.append(node)
            node = following.pop(node)
        if node != start:
            continue  # not a simple loop
        rim = surface.vertices[loop]
        middle = rim.mean(axis=0)
        fan = np.stack([rim, np.roll(rim, -1, axis=0), np.broadcast_to(middle, rim.shape)], axis=1)
        if trimesh.triangles.area(fan).sum() > SMALL_HOLE * surface.area:
            continue
        vertices.append(middle[None])
        faces.append(np.array([[a, b, size] for a, b in zip(loop, loop[1:] + loop[:1], strict=True)]))
        size += 1
    return trimesh.Trimesh(np.concatenate(vertices), np.concatenate(faces), process=False), len(vertices) - 1


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def repaired(mesh: trimesh.Trimesh) -> tuple[trimesh.Trimesh, tuple[str, ...]]:
    """The surface alone, turned into the boundary of a solid as far as that goes.

    Vertices that were split for the texture are joined, faces without an area and second copies of faces left out,
    small holes closed, faces turned outward.

    Returns:
        the surface, and what was repaired or stays wrong, one sentence each.
    """
    said: list[str] = []
    surface = trimesh.Trimesh(np.asarray(mesh.vertices, dtype=np.float64), np.asarray(mesh.faces), process=False)
    surface.merge_vertices(merge_tex=True, merge_norm=True)
    sound = surface.nondegenerate_faces()
    surface.update_faces(sound)
    if not sound.all():
        said.append(f"{_many(int((~sound).sum()), 'face')} without an area left out")
    surface.remove_unreferenced_vertices()
    if not surface.is_watertight:
        single = surface.unique_faces()
        if not single.all():
            surface.update_faces(single)
            said.append(f"{_many(int((~single).sum()), 'repeated face')} left out")
    if not surface.is_watertight:
        surface, closed = _holes_closed(surface)
        if closed:
            said.append(f"{_many(closed, 'small hole')} closed")
    if not surface.is_winding_consistent:
        surface.fix_normals()
        said.append("faces pointed both ways: turned outward")
    elif surface.volume < 0:
        surface.invert()  # all of it, so that cavities stay cavities
        said.append("faces pointed inward (mirrored?): turned outward")
    if not surface.is_watertight:
        _, count = np.unique(surface.edges_sorted, axis=0, return_counts=True)
        if (count == 1).any():
            said.append(f"stays open: {_many(int((count == 1).sum()), 'edge')} around holes too large to close")
        if (count > 2).any():
            said.append(f"not manifold: {_many(int((count > 2).sum()), 'edge')} shared by more than two faces")
    return surface, tuple(said)


def united(surface: trimesh.Trimesh) -> tuple[trimesh.Trimesh, tuple[str, ...]]:
    """A closed surface of several pieces as the boundary of one solid: pieces that overlap would count twice.

    A piece whose faces point inward is a cavity where it lies inside another piece; anywhere else it was mirrored, and
    is turned outward.

    Returns:
        the surface and what was repaired; the same surface where nothing had to be done.
    """
    if not surface.is_watertight:
        return surface, ()
    pieces = surface.split(only_watertight=False)
    if len(pieces) < 2:
        return surface, ()
    solid = [p for p in pieces if p.volume > 0]
    cavities = [p for p in pieces if p.volume < 0]
    said: list[str] = []
    mirrored = [c for c in cavities if not any(_inside(c, p) for p in solid)]
    if mirrored:
        cavities = [c for c in cavities if not any(c is m for m in mirrored)]
        for piece in mirrored:
            piece.invert()
        solid += mirrored
        said.append(f"{_many(len(mirrored), 'piece')} with the faces inward (mirrored?): turned outward")
    try:
        body = union([trimesh_to_manifold(p) for p in solid])
        apart = sum(p.volume for p in solid)
        if apart - body.volume() < 1e-6 * apart and not mirrored:
            return surface, ()
        if cavities:
            filled = [trimesh.Trimesh(c.vertices, c.faces[:, ::-1], process=False) for c in cavities]
            body = body - union([trimesh_to_manifold(solid) for solid in filled])
    except MeshError as error:
        return surface, (f"its {len(pieces)} pieces cannot be united ({error}): what overlaps counts twice",)
    if apart - body.volume() >= 1e-6 * apart:
        said.append(f"{_many(len(pieces), 'piece')} that overlap united")
    return manifold_to_trimesh(body), tuple(said)


def _inside(inner: trimesh.Trimesh, outer: trimesh.Trimesh) -> bool:
    return bool((inner.bounds[0] >= outer.bounds[0]).all() and (inner.bounds[1] <= outer.bounds[1]).all())
