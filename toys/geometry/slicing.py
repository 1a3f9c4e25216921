"""Convex parts of a solid by exact cuts: sectors around an axis for shells of revolution, then the best plane."""

from __future__ import annotations

import itertools

import numpy as np

from toyshift.core.arrays import Array
from toyshift.toys.geometry.solid import Manifold, vertices_of

SECTORS = 16  # first cuts of a shell of revolution
FRACTIONS = (0.2, 0.4, 0.6, 0.8)  # tried as places of a plane inside a piece's extent
GOOD_EXCESS = 0.06  # parts whose hulls hold this much more than the solid are close enough
PART_PRICE = 0.004  # a part must save this share of the volume to be worth its contacts
DUST = 2e-4  # pieces with less than this share of the volume are dropped


class _Piece:
    """A connected piece of the solid and its hull."""

    def __init__(self, body: Manifold) -> None:
        self.body = body
        self.hull = body.hull()
        self.volume = body.volume()
        self.waste = max(0.0, self.hull.volume() - self.volume)
        self.done = False  # no plane helps


def _components(body: Manifold, dust: float) -> list[_Piece]:
    """The connected pieces of a solid, without dust (and the inner surfaces of cavities, whose volume is negative)."""
    return [_Piece(part) for part in body.decompose() if part.volume() > dust]


def _sectors(body: Manifold, axis: Array, centre: Array, n: int) -> list[Manifold]:
    """Cuts a solid into n wedges (n even) around an axis through a point."""
    helper = np.eye(3)[int(np.argmin(np.abs(axis)))]
    u = np.cross(axis, helper)
    u /= np.linalg.norm(u)
    v = np.cross(axis, u)
    out: list[Manifold] = []
    for half in body.split_by_plane(list(u), float(u @ centre)):
        sign = 1.0 if not out else -1.0
        rest = half
        for k in range(1, n // 2):
            angle = 2 * np.pi * k / n - np.pi / 2
            # The half where sign * u > 0 spans -90..90 degrees around sign * u; cut off the part below the angle.
            direction = sign * (np.cos(angle) * u + np.sin(angle) * v)
            across = np.cross(axis, direction)
            rest, piece = rest.split_by_plane(list(across), float(across @ centre))
            out.append(piece)
        out.append(rest)
    return out


def _split(piece: _Piece, axes: Array, dust: float) -> list[_Piece] | None:
    """The pieces left by the axis-parallel plane that wastes least; None where no plane saves anything."""
    best: list[_Piece] | None = None
    least = piece.waste
    points = np.asarray(piece.hull.to_mesh().vert_properties)[:, :3]
    for axis, fraction in itertools.product(axes, FRACTIONS):
        along = points @ axis
        offset = float(along.min() + fraction * np.ptp(along))
        found = [c for half in piece.body.split_by_plane(list(axis), offset) for c in _components(half, dust)]
        waste = sum(c.waste for c in found)
        if found and waste < least:
            best, least = found, waste
    return best


def _refine(pieces: list[_Piece], axes: Array, volume: float, cap: int) -> list[_Piece]:
    while len(pieces) < cap:
        waste = sum(p.waste for p in pieces)
        open_pieces = [p for p in pieces if not p.done]
        if waste < GOOD_EXCESS * volume or not open_pieces:
            break
        worst = max(open_pieces, key=lambda p: p.waste)
        if worst.waste < PART_PRICE * volume:
            break
        found = _split(worst, axes, DUST * volume)
        saved = worst.waste - sum(p.waste for p in found or ())
        if found is None or len(pieces) - 1 + len(found) > cap or saved < PART_PRICE * volume:
            worst.done = True
            continue
        pieces = [p for p in pieces if p is not worst] + found
    return pieces


def sliced_parts(body: Manifold, axes: Array, axis: Array | None, centre: Array, cap: int) -> list[Array]:
    """Cuts a solid into pieces whose convex hulls fill little more than the solid.

    Args:
        body: the solid.
        axes: (3, 3) rows are the directions of the cutting planes' normals.
        axis: unit vector around which the solid is first cut into sectors; None for no sectors.
        centre: a point of that axis [m].
        cap: most parts.

    Returns:
        the hulls' vertices.
    """
    volume = body.volume()
    first = [body] if axis is None else _sectors(body, axis, centre, SECTORS)
    pieces = [c for piece in first for c in _components(piece, DUST * volume)]
    pieces = _refine(pieces, axes, volume, cap)
    return [vertices_of(p.hull.to_mesh64()) for p in pieces]
