"""Rotations through MuJoCo's C functions: scipy's Rotation costs more per call than a physics step."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from toyshift.core.arrays import Array


def norm(vector: Array) -> float:
    """Length of a vector (n,); the bits of `np.linalg.norm`, at a quarter of its cost."""
    return math.sqrt(vector.dot(vector))


def matrix_to_quat(matrix: Array) -> Array:
    """Rotation matrix (3, 3) to quaternion wxyz (4,)."""
    quat = np.zeros(4)
    mujoco.mju_mat2Quat(quat, np.ascontiguousarray(matrix, dtype=np.float64).ravel())
    return quat


def quat_to_matrix(quat: Array) -> Array:
    """Quaternion wxyz (4,) to rotation matrix (3, 3)."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.asarray(quat, dtype=np.float64))
    return matrix.reshape(3, 3)


def matrix_to_rotvec(matrix: Array) -> Array:
    """Rotation matrix (3, 3) to axis times angle (3,) [rad], angle at most pi."""
    rotvec = np.zeros(3)
    mujoco.mju_quat2Vel(rotvec, matrix_to_quat(matrix), 1.0)
    return rotvec


def rotvec_to_matrix(rotvec: Array) -> Array:
    """Axis times angle (3,) [rad] to rotation matrix (3, 3)."""
    angle = norm(np.asarray(rotvec))
    quat = np.array([1.0, 0.0, 0.0, 0.0])
    if angle > 0:
        mujoco.mju_axisAngle2Quat(quat, np.asarray(rotvec, dtype=np.float64) / angle, angle)
    return quat_to_matrix(quat)


def facing(back: Array) -> Array:
    """Rotation (3, 3) of a camera that is level, columns right, up and backward, whose backward axis is `back` (3,), a
    unit vector.
    """
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back], axis=1)


def yaw_to_matrix(yaw: float) -> Array:
    """Turn about z [rad] to rotation matrix (3, 3)."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
