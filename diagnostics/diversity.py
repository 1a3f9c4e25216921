"""Diversity within and disparity between sub-datasets: how far a mixture falls apart into separate look-alike islands.

The measures are the paper's (arXiv 2508.06426, as far as it is known: docs/diversity.md): the inverse of Wang and
Isola's mean potential exp(-2 |f(x) - f(y)|^2) of pairs of images. `features` makes vectors of images, each of its own,
and `reference_scale` says how far apart two vectors are, in units that do not depend on the data: so the diversity of
a dataset moves with how far its images vary, and is the same whatever else is measured beside it. One frame per
episode: near-duplicate frames of one episode would swamp the estimates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import ConfigError, UndefinedError
from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.datasets import first_frames, first_vectors
from toyshift.diagnostics.features import Features, features_of, vectors_of
from toyshift.diagnostics.reference_scale import COMPONENTS, Scale, UnitScale, make_scale, read_scale, shipped_scale
from toyshift.diagnostics.statistics import Estimate, bootstrap_mean

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

ESTIMATES = ("diversity", "disparity", "fragmentation", "purity", "probe")
NEIGHBOURS = 20
FEWEST, MOST, MOST_IN_ALL = 3, 500, 4000  # episodes of a dataset, and of all: every pair of images is compared
SHIPPED, UNIT = "shipped", "unit"  # scales, beside a dataset's folder and a file


@dataclasses.dataclass(frozen=True)
class Between:
    """How far apart two sub-datasets are, whatever else is measured.

    Attributes:
        first: one of them.
        second: the other.
        disparity: 1 / mean potential of pairs across.
        apart: distance of their mean features; two reference pictures are 1 apart (root mean square).
    """

    first: str
    second: str
    disparity: Estimate
    apart: float


@dataclasses.dataclass(frozen=True)
class Diversity:
    """Measures of a set of sub-datasets; intervals are bootstrapped over episodes within each sub-dataset.

    Attributes:
        names: sub-datasets.
        episodes: episodes of each.
        within: diversity of each sub-dataset: 1 / mean potential of its pairs (larger is more diverse, 1 is a point).
        spread: how far apart its pairs are (root mean square); two reference pictures are 1 apart.
        between: each pair of sub-datasets.
        diversity: S_div = 1 / mean over sub-datasets of the mean potential of pairs within one.
        disparity: S_disp = 1 / mean over pairs of sub-datasets of the mean potential across; None for one.
        fragmentation: S_disp / S_div; 1 when all sub-datasets are alike, larger the further apart they lie.
        purity: share of the nearest neighbours that come from a point's own sub-dataset; 1 is fully fragmented.
        purity_mixed: what that share would be if sub-datasets were alike.
        neighbours: k of the purity.
        probe: balanced accuracy of a cross-validated linear guess of the sub-dataset; chance is 1 / sub-datasets.
        features: the encoder of the images, in words.
        scale: what distances are in units of, in words.
    """

    names: tuple[str, ...]
    episodes: tuple[int, ...]
    within: dict[str, Estimate]
    spread: dict[str, float]
    between: tuple[Between, ...]
    diversity: Estimate
    disparity: Estimate | None
    fragmentation: Estimate | None
    purity: Estimate | None
    purity_mixed: float | None
    neighbours: int
    probe: Estimate | None
    features: str
    scale: str

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def estimates(self) -> dict[str, Estimate | None]:
        """Returns the measures that have an interval, by name."""
        return {name: getattr(self, name) for name in ESTIMATES}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Diversity:
        """Returns the measures that `to_json` wrote."""
        read: dict[str, Any] = {name: value[name] and Estimate.from_json(value[name]) for name in ESTIMATES}
        read["within"] = {name: Estimate.from_json(found) for name, found in value["within"].items()}
        pairs = ({**pair, "disparity": Estimate.from_json(pair["disparity"])} for pair in value["between"])
        read |= {"between": tuple(Between(**pair) for pair in pairs)}
        return cls(**{**value, **read, "names": tuple(value["names"]), "episodes": tuple(value["episodes"])})


def whiten(vectors: Array, components: int = COMPONENTS) -> Array:
    """Returns unit vectors of the leading whitened principal components: (N, D) -> (N, <= components)."""
    centred = vectors - vectors.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    varying = int(np.sum(singular > 1e-6 * max(float(singular[0]), 1e-12)))
    keep = min(components, varying, max(1, len(vectors) // 4))
    scores = left[:, : max(1, keep)] * np.sqrt(len(vectors))
    return np.asarray(scores / np.maximum(np.linalg.norm(scores, axis=1, keepdims=True), 1e-12))


def _potentials(kernel: Array, weights: list[Array], slices: list[slice]) -> tuple[Array, Array]:
    """Returns mean potentials under bootstrap weights, within (R, m), across (R, m, m); no point meets itself."""
    m, resamples = len(slices), len(weights[0])
    within, across = np.empty((resamples, m)), np.full((resamples, m, m), np.nan)
    for i, a in enumerate(slices):
        w = weights[i]
        diagonal = np.diag(kernel[a, a])
        total, square = w.sum(axis=1), (w**2).sum(axis=1)
        within[:, i] = (np.einsum("rn,rn->r", w @ kernel[a, a], w) - w**2 @ diagonal) / (total**2 - square)
        for j, b in enumerate(slices):
            if i != j:
                across[:, i, j] = np.einsum("rn,rn->r", w @ kernel[a, b], weights[j]) / (total * weights[j].sum(axis=1))
    return within, across


def _interval(value: float, samples: Array, n: int) -> Estimate:
    low, high = np.quantile(samples, [0.025, 0.975])
    return Estimate(value, float(low), float(high), n)


def probe_correct(vectors: Array, labels: Indices, folds: int = 5, ridge: float = 1e-2, seed: int = 0) -> Array:
    """Returns 1 where a linear classifier that has not seen the point names its sub-dataset, else 0.

    It is a class-balanced ridge regression on one-hot targets.
    """
    n, m = len(vectors), int(labels.max()) + 1
    inputs = np.concatenate([vectors, np.ones((n, 1))], axis=1)
    balance = 1.0 / np.bincount(labels, minlength=m)[labels]
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    fold = np.empty(n, dtype=np.int64)
    for label in range(m):  # stratified, so that every fold has seen every sub-dataset
        mine = order[labels[order] == label]
        fold[mine] = np.arange(len(mine)) % folds
    correct = np.zeros(n)
    for f in range(folds):
        train, test = fold != f, fold == f
        if not test.any():
            continue
        weighted = inputs[train] * balance[train, None]
        targets = 2.0 * np.eye(m)[labels[train]] - 1.0
        normal = weighted.T @ inputs[train] + ridge * m / n * np.eye(inputs.shape[1])
        solution = np.linalg.solve(normal, weighted.T @ targets)
        correct[test] = np.argmax(inputs[test] @ solution, axis=1) == labels[test]
    return correct


def measure_vectors(
    groups: Mapping[str, Array], scale: Scale | None = None, described: str = "given vectors", seed: int = 0,
    resamples: int = 1000,
) -> Diversity:
    """Measures feature vectors, one per episode, grouped by sub-dataset.

    Args:
        groups: name -> (n_i, D) vectors, n_i at least 3.
        scale: how far apart two vectors are; None scales them to unit length.
        described: what the vectors are.
        seed: of the bootstrap and of the probe's folds.
        resamples: bootstrap samples.
    """
    if not groups:
        raise ConfigError("no sub-dataset to measure")
    for name, group in groups.items():
        _require_enough(name, len(group))
    scale = scale or UnitScale()
    names, sizes = tuple(groups), [len(g) for g in groups.values()]
    ends = np.cumsum(sizes)
    slices = [slice(int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True)]
    vectors = np.concatenate(list(groups.values()))
    squared = scale.squared(vectors)
    kernel = scale.potential(squared)
    weights = [_resamples(seed, name, size, resamples) for name, size in zip(names, sizes, strict=True)]
    once = [np.ones((1, size)) for size in sizes]
    (within, across), (within_r, across_r) = _potentials(kernel, once, slices), _potentials(kernel, weights, slices)
    mean_within, mean_across = _potentials(squared, once, slices)  # of squared distances
    m, n = len(sizes), int(sum(sizes))
    diversity, diversity_r = 1.0 / float(within.mean()), 1.0 / within_r.mean(axis=1)

    def between(i: int, j: int) -> Between:
        disparity = _interval(1.0 / float(across[0, i, j]), 1.0 / across_r[:, i, j], sizes[i] + sizes[j])
        moved = float(mean_across[0, i, j] - (mean_within[0, i] + mean_within[0, j]) / 2)
        return Between(names[i], names[j], disparity, float(np.sqrt(max(0.0, moved) / 2)))

    alone = Diversity(
        names=names, episodes=tuple(sizes), features=described, scale=scale.told,
        within={
            name: _interval(1.0 / float(within[0, i]), 1.0 / within_r[:, i], sizes[i]) for i, name in enumerate(names)
        },
        spread={name: float(np.sqrt(value / 2)) for name, value in zip(names, mean_within[0], strict=True)},
        between=tuple(between(i, j) for i in range(m) for j in range(i + 1, m)),
        diversity=_interval(diversity, diversity_r, n),
        disparity=None, fragmentation=None, purity=None, purity_mixed=None, neighbours=0, probe=None,
    )  # fmt: skip
    if m == 1:
        return alone
    off = ~np.eye(m, dtype=bool)
    disparity, disparity_r = 1.0 / float(across[0][off].mean()), 1.0 / across_r[:, off].mean(axis=1)
    labels = np.repeat(np.arange(m), sizes)
    k = min(NEIGHBOURS, min(sizes) - 1)
    to_others = squared + np.where(np.eye(n, dtype=bool), np.inf, 0.0)
    nearest = np.argsort(to_others, axis=1, kind="stable")[:, :k]
    share = (labels[nearest] == labels[:, None]).mean(axis=1)
    own = np.asarray(sizes)[labels]
    correct = probe_correct(whiten(vectors), labels, seed=seed) * (n / m / own)  # balanced
    return dataclasses.replace(
        alone, disparity=_interval(disparity, disparity_r, n), neighbours=k,
        fragmentation=_interval(disparity / diversity, disparity_r / diversity_r, n),
        purity=bootstrap_mean(share, seed=seed), purity_mixed=float(np.mean((own - 1) / (n - 1))),
        probe=bootstrap_mean(correct, seed=seed),
    )


def _require_enough(name: str, episodes: int) -> None:
    if episodes < FEWEST:
        raise UndefinedError(f"sub-dataset {name!r} has {episodes} episodes; diversity needs at least {FEWEST}")


def _resamples(seed: int, name: str, size: int, resamples: int) -> Array:
    """Returns how often each of a sub-dataset's points is in each bootstrap sample, (R, n); the same in company."""
    rng = episode_rng(seed, 0, f"diversity {name}")
    weights = rng.multinomial(size, np.full(size, 1.0 / size), size=resamples).astype(np.float64)
    weights[(weights > 0).sum(axis=1) < 2] = np.ones(size)  # tiny sets only: a resample of one point has no pair
    return weights


def measure_diversity(
    datasets: Mapping[str, NDArray[np.uint8]], features: Features | None = None, scale: Scale | None = None,
    seed: int = 0, resamples: int = 1000,
) -> Diversity:
    """Measures sub-datasets given as images, one per episode.

    Args:
        datasets: name -> (n, H, W, 3) uint8.
        features: of images; None is the thumbnail.
        scale: how far apart two of them are; None is the one shipped for these features.
        seed: of bootstrap and probe.
        resamples: bootstrap samples.
    """
    if not datasets:
        raise ConfigError("no sub-dataset to measure")
    shapes = {images.shape[1:] for images in datasets.values()}
    if len(shapes) != 1:
        told = f"sub-datasets have images of different shapes ({sorted(shapes)})"
        raise UndefinedError(f"{told}; collect or re-render them at one size")
    features = features or features_of()
    scale = scale or shipped_scale(features)
    vectors = {name: vectors_of(features, images) for name, images in datasets.items()}
    return measure_vectors(vectors, scale, features.name, seed, resamples)


def scale_of(text: str, features: Features, camera: str = "") -> Scale:
    """Returns the scale of a word: shipped, unit, the folder of a dataset to measure against, or a file of a scale.

    Raises:
        ConfigError: none is shipped for these features, it is of others, or the dataset's images are too few.
        FileError: there is no such dataset or file.
    """
    if text == SHIPPED:
        return shipped_scale(features)
    if text == UNIT:
        return UnitScale()
    if not text:
        raise ConfigError(f"scale is ''; it must be {SHIPPED}, {UNIT}, the folder of a dataset or a file of a scale")
    if Path(text).suffix == ".npz":
        return read_scale(Path(text), features)
    from toyshift.data.formats.outline import outline_of

    images = first_frames(outline_of(Path(text)), camera, MOST)
    return make_scale(vectors_of(features, images), features, f"first frames of {text}")


def episodes_of_each(datasets: int) -> int:
    """Returns how many episodes of each of several datasets are looked at."""
    return max(FEWEST, min(MOST, MOST_IN_ALL // datasets))


def diversity_of(asked: Asked) -> Diversity:
    """Measures datasets by the first image of each episode, at most 500 of each and 4,000 in all."""
    features = features_of(asked.encoder, asked.encoder_weights)
    scale = scale_of(asked.scale, features, asked.camera)
    limit = episodes_of_each(len(asked.outlines))
    for name, outline in asked.outlines.items():
        _require_enough(name, len(outline.metas))
    vectors = {name: first_vectors(one, features, asked.camera, limit) for name, one in asked.outlines.items()}
    return measure_vectors(vectors, scale, features.name, asked.seed)


def diversity_table(result: Diversity) -> str:
    """Returns the measures as text for terminals, each with what it means."""
    from toyshift.diagnostics.tables import interval, render_table

    def line(name: str, value: Estimate, meaning: str) -> list[str]:
        return [name, f"{value.value:.2f}", interval(value.low, value.high), meaning]

    lines = [
        line(f"diversity of {name}", value, f"{value.n} episodes, spread {result.spread[name]:.3f}")
        for name, value in result.within.items()
    ]
    lines += [
        line(f"disparity of {pair.first} and {pair.second}", pair.disparity, f"means {pair.apart:.3f} apart")
        for pair in result.between
    ]
    meanings = {
        "diversity": "pairs within a sub-dataset; 1 is one image, larger is more diverse",
        "disparity": "pairs across sub-datasets; larger is further apart",
        "fragmentation": "disparity / diversity; 1 = alike",
        "purity": f"neighbours from the own sub-dataset; mixed would be {result.purity_mixed or 0:.2f}, fragmented 1",
        "probe": f"a linear guess of the sub-dataset is right; chance {1 / len(result.names):.2f}",
    }
    overall = result.estimates().items() if len(result.names) > 1 else ()
    lines += [line(name, value, meanings[name]) for name, value in overall if value is not None]
    told = f"images by {result.features}, {result.scale}"
    return render_table(["measure", "value", "95 %", "meaning"], lines) + f"\n{told}"
