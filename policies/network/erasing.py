"""Erasing a concept from features by LEACE: no linear reader finds it in what is left, and no less is changed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from toyshift.core.arrays import Array, Indices

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
    return _without(x, (x - x.mean(axis=0)).T @ (z - z.mean(axis=0)) / len(x))


def paired_leace(base: Array, changed: Array, levels: Indices) -> tuple[Array, Array]:
    """Returns projection and mean as `leace` does, of pairs that differ in nothing but the concept.

    What else is in the features is equal within a pair, and so has no part in the covariance: it stays, however closely
    the concept goes with it in other data.

    Args:
        base: (N, F) features.
        changed: (N, F) of the same, with the concept changed.
        levels: (N,) to what.
    """
    base, changed = np.asarray(base, np.float64), np.asarray(changed, np.float64)
    gone = [(changed - base)[levels == level].mean(axis=0) for level in np.unique(levels)]
    return _without(np.concatenate([base, changed]), np.stack(gone, axis=1))


def _without(x: Array, covariance: Array) -> tuple[Array, Array]:
    """Returns the projection (F, F) that takes the covariance with a concept (F, c) out of x (N, F), and x's mean."""
    mean = x.mean(axis=0)
    x = x - mean
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    kept = values > SMALLEST * max(values.max(), np.finfo(np.float64).tiny)
    values, vectors = values[kept], vectors[:, kept]
    whiten, colour = (vectors / np.sqrt(values)) @ vectors.T, (vectors * np.sqrt(values)) @ vectors.T
    told = whiten @ covariance  # (F, c)
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

    def fit(self, projection: Array, mean: Array) -> None:
        """Takes what `leace` or `paired_leace` found."""
        for buffer, value in zip((self.projection, self.mean), (projection, mean), strict=True):
            buffer.copy_(torch.from_numpy(np.asarray(value, np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        return x - (x - self.mean).to(self.projection.dtype) @ self.projection.T
