"""Hypotheses that fit examples, and how likely one of them is right: Gaussian processes, tails of squared errors."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from toyshift.core.arrays import Array

NEIGHBOURS = 5


def chance_within(errors: Array, eps: float) -> float:
    """Returns ln P(error <= eps) [nats] of a scaled noncentral chi squared with the moments of errors (S,).

    e ~ s * ncx2(k, lam): m s^2 - v s + mu3 / 8 = 0, lam = v / (2 s^2) - m / s, k = 2 m / s - v / (2 s^2); where no root
    gives k > 0 and lam >= 0, a chi squared with two moments (Satterthwaite). Where the distribution function is 0 to
    the computer, Sankaran's normal approximation of its tail.
    """
    from scipy.special import chndtr
    from scipy.stats import norm

    m, v = float(errors.mean()), float(errors.var())
    if v <= 1e-24 * max(m * m, 1e-300):
        return 0.0 if m <= eps else -math.inf
    mu3 = float(((errors - m) ** 3).mean())
    s, k, lam = v / (2 * m), 2 * m * m / v, 0.0
    inside = v * v - m * mu3 / 2
    for sign in (1.0, -1.0) if inside >= 0 else ():
        root = (v + sign * math.sqrt(inside)) / (2 * m)
        if root > 0 and v / (2 * root**2) - m / root >= 0 and 2 * m / root - v / (2 * root**2) > 0:
            s, k, lam = root, 2 * m / root - v / (2 * root**2), v / (2 * root**2) - m / root
            break
    chance = float(chndtr(eps / s, k, lam))
    if chance > 1e-290:
        return math.log(min(chance, 1.0))
    h = 1 - 2 / 3 * (k + lam) * (k + 3 * lam) / (k + 2 * lam) ** 2
    p = (k + 2 * lam) / (k + lam) ** 2
    q = (h - 1) * (1 - 3 * h)
    z = ((eps / (s * (k + lam))) ** h - (1 + h * p * (h - 1 - 0.5 * (2 - h) * q * p))) / (
        h * math.sqrt(2 * p) * (1 + 0.5 * q * p)
    )
    return float(norm.logcdf(z))


def chance_of_sum(weight: Array, shift: Array, eps: float) -> float:
    """Returns ln P(sum_i weight_i (z_i + shift_i)^2 <= eps) [nats] of independent normal z, by a saddle point.

    Lugannani and Rice's approximation as Barndorff-Nielsen writes it, which errs by few percent of P however small P
    is, by up to a sixth where few weights are most of the sum.

    Args:
        weight: (n,) above 0.
        shift: (n,).
        eps: above 0.
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    lam = shift**2

    def cumulant(order: int, t: float) -> float:
        """Returns a derivative of the cumulant generating function, 1 and up."""
        left = weight / (1 - 2 * weight * t)
        terms = left**order + order * lam * left ** (order + 1) / weight
        return float(2 ** (order - 1) * math.factorial(order - 1) * terms.sum())

    if abs(eps - cumulant(1, 0.0)) < 1e-4 * math.sqrt(cumulant(2, 0.0)):  # at the mean the formula is 0 / 0
        return math.log(0.5 + cumulant(3, 0.0) / (6 * math.sqrt(2 * math.pi) * cumulant(2, 0.0) ** 1.5))
    low, high = -1.0 / float(weight.max()), 0.0
    if eps > cumulant(1, 0.0):
        low, high = 0.0, (1 - 1e-9) / (2 * float(weight.max()))
        if cumulant(1, high) < eps:
            return 0.0  # nearly certain
    else:
        while cumulant(1, low) > eps:
            low *= 2
    t = float(brentq(lambda s: cumulant(1, s) - eps, low, high, xtol=1e-13 * max(-low, high)))
    left = 1 - 2 * weight * t
    generating = float((-0.5 * np.log(left) + lam * weight * t / left).sum())
    r = math.copysign(math.sqrt(max(0.0, 2 * (t * eps - generating))), t)
    u = t * math.sqrt(cumulant(2, t))
    return float(norm.logcdf(r + math.log(u / r) / r))


def dimension(points: Array) -> float:
    """Returns the dimension of points (N, D) by maximum likelihood of distances to NEIGHBOURS neighbours (Levina and
    Bickel, inverses averaged as MacKay says); nan where neighbours coincide or there are too few.
    """
    from scipy.spatial import cKDTree

    if len(points) <= NEIGHBOURS:
        return math.nan
    far = cKDTree(points).query(points, NEIGHBOURS + 1)[0][:, 1:]
    far = far[far[:, 0] > 0]
    if not len(far):
        return math.nan
    inverse = np.log(far[:, -1:] / far[:, :-1]).sum(axis=1) / (NEIGHBOURS - 1)
    return float(1.0 / inverse.mean()) if inverse.mean() > 0 else math.nan


@dataclasses.dataclass(frozen=True)
class Components:
    """Principal components of vectors: x -> (x - mean) @ basis, of variances `spread`."""

    mean: Array
    basis: Array
    spread: Array

    @classmethod
    def of(cls, x: Array, most: int) -> Components:
        mean = x.mean(axis=0)
        _, size, turned = np.linalg.svd(x - mean, full_matrices=False)
        kept = [i for i in range(min(most, len(size))) if size[i] > 1e-9 * max(size[0], 1e-300)]
        return cls(mean, turned[kept].T, size[kept] ** 2 / len(x))

    def __call__(self, x: Array) -> Array:
        return np.asarray((x - self.mean) @ self.basis)


@dataclasses.dataclass(frozen=True)
class Hypotheses:
    """A Gaussian process over actions, given examples; all outputs share its kernel.

    Attributes:
        x: (N, P) examples' features, whitened.
        y: (N, Q) their actions' components, of unit variance.
        length: of the kernel.
        noise: variance of y that features do not tell.
    """

    x: Array
    y: Array
    length: float
    noise: float

    @classmethod
    def of(cls, x: Array, y: Array) -> Hypotheses:
        """Kernel length: the median distance; noise: what a ridge regression leaves."""
        apart = np.sqrt(_squares(x, x)[np.triu_indices(len(x), 1)])
        z = np.c_[x, np.ones(len(x))]
        hat = z @ np.linalg.solve(z.T @ z + np.eye(z.shape[1]), z.T)
        left = ((y - hat @ y) / (1 - np.diag(hat))[:, None]) ** 2  # left out one by one
        return cls(x, y, float(np.median(apart)) or 1.0, float(np.clip(left.mean(), 1e-3, 1.0)))

    def kernel(self, a: Array, b: Array) -> Array:
        return np.asarray(np.exp(-_squares(a, b) / (2 * self.length**2)))

    def at(self, at: Array) -> tuple[Array, Array]:
        """Returns mean (M, Q) and covariance (M, M) of functions given the examples, at places (M, P)."""
        given = np.linalg.cholesky(self.kernel(self.x, self.x) + self.noise * np.eye(len(self.x)))
        cross = np.linalg.solve(given, self.kernel(self.x, at))  # (N, M)
        mean = cross.T @ np.linalg.solve(given, self.y)
        return np.asarray(mean), np.asarray(self.kernel(at, at) - cross.T @ cross)


def _squares(a: Array, b: Array) -> Array:
    return np.asarray(((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T).clip(min=0.0))
