"""Gradients, hypotheses, trainings and features whose answers are known: what measures of learning are tried on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from toyshift.core.arrays import Array, Indices
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.measuring.finding import Finding
from toyshift.diagnostics.measuring.novelty import novelty
from toyshift.diagnostics.measuring.sets import Thing
from toyshift.policies.training.monitor import pathway_distance


def aligned_gradients(n: int, share: float, size: int = 100, seed: int = 0) -> Array:
    """Returns (n, size) gradients of length 1, of whose squares this share is one common direction; exactly.

    The rest is orthogonal between them: the coherence alpha is the share.
    """
    rng = episode_rng(seed, 0, "aligned gradients")
    directions = np.linalg.qr(rng.normal(size=(size, n + 1)))[0].T  # n + 1 orthonormal ones
    return np.asarray(share**0.5 * directions[:1] + (1 - share) ** 0.5 * directions[1:])


def regression_gradients(n: int, wrong: Array, seed: int = 0) -> Array:
    """Returns (n, d) gradients of squared errors at points x ~ N(0, I) of a linear model whose weights are off by
    `wrong` (d,): x x'w. Their coherence alpha is 1 / (d + 2), and of two such sets A is the cosine of their w.
    """
    x = episode_rng(seed, 0, "regression gradients").normal(size=(n, len(wrong)))
    return np.asarray(x * (x @ wrong)[:, None])


def gaussian_hypotheses(nats: float, samples: int = 2000, seed: int = 0) -> tuple[Array, float]:
    """Returns squared errors (samples,) of hypotheses f ~ N(mu, s^2 I) in 12 dimensions, and the error that a share of
    exp(-nats) of them stays within.
    """
    from scipy.stats import ncx2

    mean, spread, k = 1.0, 0.7, 12
    f = mean + spread * episode_rng(seed, 0, "gaussian hypotheses").normal(size=(samples, k))
    return (f**2).sum(axis=1), float(spread**2 * ncx2.ppf(np.exp(-nats), k, k * mean**2 / spread**2))


@dataclasses.dataclass(frozen=True)
class Grown:
    """A network at one step: accuracy on its training data and on new data, and pathways' distances in and between
    clusters.
    """

    train: float
    test: float
    within: float
    between: float


def xor_clusters(seed: int = 0, n: int = 200, size: int = 60_000, units: int = 60) -> dict[int, Grown]:
    """Trains a ReLU network on clusters at +-mu1 (label 1) and +-mu2 (label -1), a tenth of whose labels are flipped.

    After "Benign Overfitting and Grokking in ReLU Networks for XOR Cluster Data". It fits all labels in one step, and
    finds the clusters in thirty. Noise N(0, I) of 60,000 dimensions enters through products only, so a triangular
    factor of their distribution (Bartlett's, of Wishart's) stands for it: exact, and 150 times as small.

    Returns:
        step -> what the network is then, for steps 1 and 30.
    """
    rng, count = episode_rng(seed, 0, "xor clusters"), 2 * n
    noise = np.tril(rng.normal(size=(count, count)), -1)
    noise[np.arange(count), np.arange(count)] = np.sqrt(rng.chisquare(size - 2 - np.arange(count)))
    cluster = rng.integers(0, 4, count)
    centre = 55.0 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])[cluster]
    x = np.concatenate([centre + rng.normal(size=(count, 2)), noise], axis=1)  # (2 n, 2 n + 2)
    clean = np.where(cluster < 2, 1.0, -1.0)
    label = clean[:n].copy()
    label[rng.permutation(n)[: n // 10]] *= -1
    weight = 1e-6 * rng.normal(size=(units, count + 2))
    out = np.where(np.arange(units) < units // 2, 1.0, -1.0) / units**0.5
    found = {}
    for step in range(1, 31):
        hidden = x[:n] @ weight.T
        slope = label / (1 + np.exp(label * (np.maximum(hidden, 0) @ out))) / n  # of the logistic loss
        weight += 4.4e-5 * ((slope[:, None] * (hidden > 0) * out).T @ x[:n])
        if step in (1, 30):
            hidden = x @ weight.T
            right = np.sign(np.maximum(hidden, 0) @ out) == np.concatenate([label, clean[n:]])
            apart = pathway_distance(hidden[:n] > 0, cluster[:n].tolist())
            found[step] = Grown(float(right[:n].mean()), float(right[n:].mean()), *apart)
    return found


def tuned(added: float, noise: float, seed: int = 0, scenes: int = 200, deals: int = 199) -> Finding:
    """Returns what `novelty` says of a tuning that moved actions by so much in scenes of one colour, beside noise; the
    base then learns what it is shown exactly.
    """
    rng = episode_rng(seed, 0, "tuned")
    objects, colour, table = np.arange(scenes) // 5, rng.integers(0, 5, scenes), rng.integers(0, 4, scenes)
    change = noise * rng.random(scenes) + added * (colour == 2)

    def learn(picked: Indices) -> Array:
        return np.asarray(np.where(np.isin(np.arange(scenes), picked), 0.0, change))

    values = {"colour": colour, "table": table, "size": objects % 3}
    told = {name: [str(v) for v in own.tolist()] for name, own in values.items()}
    return novelty(change, learn, told, [str(o) for o in objects.tolist()], deals=deals, seed=seed)


def dictionary(n: int = 2000, size: int = 16, atoms: int = 24, active: int = 2, seed: int = 0) -> Mapping[str, Array]:
    """Returns vectors (n, size) that are sums of a few of more directions than there are entries, and these."""
    rng = episode_rng(seed, 0, "dictionary")
    directions = rng.normal(size=(atoms, size))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    weights = np.zeros((n, atoms))
    for row in weights:
        row[rng.choice(atoms, active, replace=False)] = 1 + rng.random(active)
    return {"vectors": weights @ directions, "directions": directions, "weights": weights}


def several_objects(scenes: int = 60, counts: Sequence[int] = (2, 3), seed: int = 0) -> tuple[list[list[Thing]], Array]:
    """Returns sets of objects of six pairs of colour and kind at six places, and features (N, 40) that hold them as a
    linear code.
    """
    rng = episode_rng(seed, 0, "several objects")
    pairs = [(colour, kind) for colour in ("red", "green", "blue") for kind in ("ball", "box")]
    made: list[list[Thing]] = []
    held = np.zeros((scenes, 36))
    for row in held:
        count = int(rng.choice(counts))
        chosen, places = rng.permutation(6)[:count], rng.permutation(6)[:count]
        made.append([(*pairs[p], f"place {q}") for p, q in zip(chosen.tolist(), places.tolist(), strict=True)])
        row[6 * chosen + places] = 1
    mixing: Any = rng.normal(size=(36, 40))
    return made, held @ mixing
