"""Rotations in NumPy and in plain numbers, for where there is no simulator."""

from __future__ import annotations

import math

import numpy as np

from toyshift.core.arrays import Array, Float32

Triple = tuple[float, float, float]
Rows = tuple[Triple, Triple, Triple]


def rotvec_to_matrix(rotvec: Array | Float32) -> Array:
    """Axis times angle (3,) [rad] to rotation matrix (3, 3)."""
    return np.array(rows_of(*map(float, rotvec)))


def rows_of(x: float, y: float, z: float) -> Rows:
    """Axis times angle [rad] to rotation matrix, by rows of plain numbers."""
    angle = math.sqrt(x * x + y * y + z * z)
    # once: sine over angle; twice: one minus cosine, over its square
    once, twice = (math.sin(angle) / angle, (1.0 - math.cos(angle)) / angle**2) if angle >= 1e-8 else (1.0, 0.0)
    left = 1.0 - twice * angle * angle  # identity and the square of the cross product's matrix, on the diagonal
    xy, xz, yz = twice * x * y, twice * x * z, twice * y * z
    x, y, z, xx, yy, zz = once * x, once * y, once * z, twice * x * x, twice * y * y, twice * z * z
    return (left + xx, xy - z, xz + y), (xy + z, left + yy, yz - x), (xz - y, yz + x, left + zz)


def matrix_to_rotvec(matrix: Array) -> Array:
    """Rotation matrix (3, 3) to axis times angle (3,) [rad], angle at most pi."""
    return np.array(rotvec_of(np.asarray(matrix, dtype=np.float64).tolist()))


def rotvec_of(rows: Rows) -> Triple:
    """Rotation matrix, by rows of plain numbers, to axis times angle [rad], angle at most pi."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rows
    x, y, z = 0.5 * (zy - yz), 0.5 * (xz - zx), 0.5 * (yx - xy)  # axis times sine
    sine, cosine = math.sqrt(x * x + y * y + z * z), 0.5 * (xx + yy + zz - 1.0)
    angle = math.atan2(sine, cosine)
    if sine > 1e-6:
        scale = angle / sine
        return x * scale, y * scale, z * scale
    if cosine > 0:
        return x, y, z
    # half a turn: half of matrix and identity is the axis times itself; its longest column is taken
    most = max(xx, yy, zz)
    x, y, z = (xx + 1.0, yx, zx) if xx == most else (xy, yy + 1.0, zy) if yy == most else (xz, yz, zz + 1.0)
    scale = angle / math.sqrt(2.0 * (most + 1.0))
    return x * scale, y * scale, z * scale


def product(left: Rows, columns: Rows) -> Rows:
    """Product of two matrices (3, 3), the left by its rows, the right by its columns: by rows."""
    (a, b, c), (d, e, f), (g, h, i) = columns
    one, two, three = ((x * a + y * b + z * c, x * d + y * e + z * f, x * g + y * h + z * i) for x, y, z in left)
    return one, two, three


def transposed(rows: Rows) -> Rows:
    """The columns of a matrix (3, 3) that is given by its rows."""
    (a, b, c), (d, e, f), (g, h, i) = rows
    return (a, d, g), (b, e, h), (c, f, i)
