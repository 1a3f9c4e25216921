"""Erasing a concept from features by LEACE: no linear reader finds it in what is left, and no less is changed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from toyshift.core.arrays import Array

SMALLEST = 1e-9  # variance of a direction, relative to the largest one, below which nothing is in it


def leace(x: Array, z: Array) -> tuple[Array, Array]:
    """Returns the projection (F, F) and the mean (F,) with which x - projection @ (x - mean) tells nothing of z.

    Of all affine maps after which x and z do not covary, this one moves x least (LEACE: in whitened space the span of
    the covariance with z is projected away).

    Args:
        x: (N, F) features.
        z: (N, c) the concept, e.g. one-hot.
    """
    x, z = np.asarray(x, np.float64), np.asarray(z, np.float64)
    mean = x.mean(axis=0)
    x, z = x - mean, z - z.mean(axis=0)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    kept = values > SMALLEST * max(values.max(), np.finfo(np.float64).tiny)
    values, vectors = values[kept], vectors[:, kept]
    whiten, colour = (vectors / np.sqrt(values)) @ vectors.T, (vectors * np.sqrt(values)) @ vectors.T
    told = whiten @ (x.T @ z / len(x))  # (F, c)
    left, size, _ = np.linalg.svd(told, full_matrices=False)
    span = left[:, size > 1e-6 * max(1e-6, size.max())]  # a one-hot concept has one direction fewer than values
    return colour @ span @ span.T @ whiten, mean


class Eraser(nn.Module):
    """A fixed layer that erases a concept from features (B, F); until `fit` it leaves them as they are."""

    projection: Tensor
    mean: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("projection", torch.zeros(size, size))
        self.register_buffer("mean", torch.zeros(size))

    def fit(self, x: Array, z: Array) -> None:
        """Makes it erase from features like x (N, F) what tells of z (N, c)."""
        for buffer, value in zip((self.projection, self.mean), leace(x, z), strict=True):
            buffer.copy_(torch.from_numpy(np.asarray(value, np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        return x - (x - self.mean).to(self.projection.dtype) @ self.projection.T
