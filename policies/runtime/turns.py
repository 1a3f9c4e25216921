"""Rotations in NumPy, for where there is no simulator."""

from __future__ import annotations

import math

import numpy as np

from toyshift.core.arrays import Array, Float32


def rotvec_to_matrix(rotvec: Array | Float32) -> Array:
    """Axis times angle (3,) [rad] to rotation matrix (3, 3)."""
    x, y, z = map(float, rotvec)
    angle = math.sqrt(x * x + y * y + z * z)
    # once: sine over angle; twice: one minus cosine, over its square
    once, twice = (math.sin(angle) / angle, (1.0 - math.cos(angle)) / angle**2) if angle >= 1e-8 else (1.0, 0.0)
    left = 1.0 - twice * angle * angle  # identity and the square of the cross product's matrix, on the diagonal
    xy, xz, yz = twice * x * y, twice * x * z, twice * y * z
    x, y, z, xx, yy, zz = once * x, once * y, once * z, twice * x * x, twice * y * y, twice * z * z
    return np.array([[left + xx, xy - z, xz + y], [xy + z, left + yy, yz - x], [xz - y, yz + x, left + zz]])


def matrix_to_rotvec(matrix: Array) -> Array:
    """Rotation matrix (3, 3) to axis times angle (3,) [rad], angle at most pi."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = np.asarray(matrix, dtype=np.float64).tolist()
    skew = 0.5 * (zy - yz), 0.5 * (xz - zx), 0.5 * (yx - xy)  # axis times sine
    sine, cosine = math.sqrt(skew[0] ** 2 + skew[1] ** 2 + skew[2] ** 2), 0.5 * (xx + yy + zz - 1.0)
    angle = math.atan2(sine, cosine)
    if sine > 1e-6:
        return np.array(skew) * (angle / sine)
    if cosine > 0:
        return np.array(skew)
    outer = 0.5 * (np.asarray(matrix, dtype=np.float64) + np.eye(3))  # half a turn: the axis times itself
    column = int(np.argmax(np.diag(outer)))
    return np.asarray(angle * outer[:, column] / math.sqrt(outer[column, column]))
