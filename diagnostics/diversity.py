"""Diversity within and disparity between sub-datasets: how far a mixture falls apart into separate look-alike islands.

Pretrained encoders cannot be had offline, so the default feature is stated here and is no learned one: an 8 x 8 RGB
thumbnail (colour and layout) and an 8-bin histogram of gradient directions in each of 4 x 4 cells (edges), reduced to
its leading principal components over all sub-datasets together, whitened, and scaled to unit length. Pass another
`features` function (images -> vectors) to use an encoder. One frame per episode: near-duplicate frames of one episode
would swamp the estimates.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Indices
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.diagnostics.statistics import Estimate, bootstrap_mean

if TYPE_CHECKING:
    from toyshift.diagnostics.measures import Asked

Features = Callable[[NDArray[np.uint8]], Array]
ESTIMATES = ("diversity", "disparity", "fragmentation", "purity", "probe")
TEMPERATURE = 2.0  # Wang and Isola's t
COMPONENTS = 24
NEIGHBOURS = 20


@dataclasses.dataclass(frozen=True)
class Diversity:
    """Measures of a set of sub-datasets; intervals are bootstrapped over episodes within each sub-dataset.

    Attributes:
        names: sub-datasets.
        episodes: episodes of each.
        within: diversity of each sub-dataset: 1 / mean potential of its pairs (larger is more diverse, 1 is a point).
        diversity: S_div = 1 / mean over sub-datasets of the mean potential of pairs within one.
        disparity: S_disp = 1 / mean over ordered pairs of sub-datasets of the mean potential across; None for one.
        fragmentation: S_disp / S_div; 1 when all sub-datasets are alike, larger the further apart they lie.
        purity: share of the nearest neighbours that come from a point's own sub-dataset; 1 is fully fragmented.
        purity_mixed: what that share would be if sub-datasets were alike.
        neighbours: k of the purity.
        probe: balanced accuracy of a cross-validated linear guess of the sub-dataset; chance is 1 / sub-datasets.
        features: the features in words.
    """

    names: tuple[str, ...]
    episodes: tuple[int, ...]
    within: dict[str, float]
    diversity: Estimate
    disparity: Estimate | None
    fragmentation: Estimate | None
    purity: Estimate | None
    purity_mixed: float | None
    neighbours: int
    probe: Estimate | None
    features: str

    def to_json(self) -> dict[str, Any]:
        estimates = {name: value and value.to_json() for name, value in self.estimates().items()}
        return dataclasses.asdict(self) | estimates

    def estimates(self) -> dict[str, Estimate | None]:
        """Returns the measures that have an interval, by name."""
        return {name: getattr(self, name) for name in ESTIMATES}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Diversity:
        """Returns the measures that `to_json` wrote."""
        read = {name: value[name] and Estimate.from_json(value[name]) for name in ESTIMATES}
        return cls(**{**value, **read, "names": tuple(value["names"]), "episodes": tuple(value["episodes"])})


def image_features(images: NDArray[np.uint8]) -> Array:
    """Returns colour and edge statistics of images: (N, H, W, 3) uint8 -> (N, 320).

    The 192 colour values and the 128 edge values each have unit mean square over the images, so that neither drowns
    the other.
    """
    if images.ndim != 4 or images.shape[-1] != 3 or min(images.shape[1:3]) < 8:
        raise ConfigError(f"features need images (N, H, W, 3), at least 8 pixels high and wide, got {images.shape}")
    out = []
    for image in images:
        pixels = image.astype(np.float64) / 255.0
        grey = pixels.mean(axis=2)
        dy, dx = np.gradient(grey)
        strength, direction = np.hypot(dx, dy), np.mod(np.arctan2(dy, dx), np.pi)
        bins = np.minimum((direction / np.pi * 8).astype(int), 7)
        edges = [
            np.bincount(b.ravel(), weights=s.ravel(), minlength=8) / s.size
            for b, s in zip(_cells(bins, 4), _cells(strength, 4), strict=True)
        ]
        colours = [cell.mean(axis=(0, 1)) for cell in _cells(pixels, 8)]
        out.append((np.concatenate(colours), np.concatenate(edges)))
    colour, edge = (np.stack([pair[i] for pair in out]) for i in range(2))
    spreads = (max(float(np.sqrt(np.mean((part - part.mean(0)) ** 2))), 1e-9) for part in (colour, edge))
    return np.concatenate([part / spread for part, spread in zip((colour, edge), spreads, strict=True)], axis=1)


def _cells(image: NDArray[Any], count: int) -> list[NDArray[Any]]:
    """Cuts an image into count x count cells, row by row."""
    return [cell for row in np.array_split(image, count, axis=0) for cell in np.array_split(row, count, axis=1)]


def whiten(vectors: Array, components: int = COMPONENTS) -> Array:
    """Returns unit vectors of the leading whitened principal components: (N, D) -> (N, <= components)."""
    centred = vectors - vectors.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    varying = int(np.sum(singular > 1e-6 * max(float(singular[0]), 1e-12)))
    keep = min(components, varying, max(1, len(vectors) // 4))
    scores = left[:, : max(1, keep)] * np.sqrt(len(vectors))
    return np.asarray(scores / np.maximum(np.linalg.norm(scores, axis=1, keepdims=True), 1e-12))


def _potentials(kernel: Array, weights: list[Array], slices: list[slice]) -> tuple[Array, Array]:
    """Returns mean potentials under bootstrap weights: within (R, m), across (R, m, m); a point never pairs with itself."""
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
    groups: Mapping[str, Array], described: str = "given vectors", seed: int = 0, resamples: int = 1000
) -> Diversity:
    """Measures unit vectors, one per episode, grouped by sub-dataset.

    Args:
        groups: name -> (n_i, D) unit vectors, n_i at least 3.
        described: what the vectors are.
        seed: of the bootstrap and of the probe's folds.
        resamples: bootstrap samples.
    """
    if not groups:
        raise ConfigError("no sub-dataset to measure")
    for name, group in groups.items():
        if len(group) < 3:
            raise ConfigError(f"sub-dataset {name!r} has {len(group)} episodes; diversity needs at least 3")
    sizes = [len(g) for g in groups.values()]
    ends = np.cumsum(sizes)
    slices = [slice(int(end - size), int(end)) for end, size in zip(ends, sizes, strict=True)]
    vectors = np.concatenate(list(groups.values()))
    distance = np.maximum(0.0, 2.0 - 2.0 * vectors @ vectors.T)  # squared, unit vectors
    kernel = np.exp(-TEMPERATURE * distance)
    rng = np.random.default_rng(seed)
    within, across = _potentials(kernel, [np.ones((1, size)) for size in sizes], slices)
    weights = [rng.multinomial(size, np.full(size, 1.0 / size), size=resamples).astype(np.float64) for size in sizes]
    for w, size in zip(weights, sizes, strict=True):
        w[(w > 0).sum(axis=1) < 2] = np.ones(size)  # tiny sets only: a resample of one point has no pair
    within_r, across_r = _potentials(kernel, weights, slices)
    m, n = len(sizes), int(sum(sizes))
    diversity, diversity_r = 1.0 / float(within.mean()), 1.0 / within_r.mean(axis=1)
    alone = Diversity(
        names=tuple(groups), episodes=tuple(sizes), features=described,
        within={name: 1.0 / float(v) for name, v in zip(groups, within[0], strict=True)},
        diversity=_interval(diversity, diversity_r, n),
        disparity=None, fragmentation=None, purity=None, purity_mixed=None, neighbours=0, probe=None,
    )
    if m == 1:
        return alone
    off = ~np.eye(m, dtype=bool)
    disparity, disparity_r = 1.0 / float(across[0][off].mean()), 1.0 / across_r[:, off].mean(axis=1)
    labels = np.repeat(np.arange(m), sizes)
    k = min(NEIGHBOURS, min(sizes) - 1)
    to_others = distance + np.where(np.eye(n, dtype=bool), np.inf, 0.0)
    nearest = np.argsort(to_others, axis=1, kind="stable")[:, :k]
    share = (labels[nearest] == labels[:, None]).mean(axis=1)
    own = np.asarray(sizes)[labels]
    correct = probe_correct(vectors, labels, seed=seed) * (n / m / own)  # balanced
    return dataclasses.replace(
        alone, disparity=_interval(disparity, disparity_r, n), neighbours=k,
        fragmentation=_interval(disparity / diversity, disparity_r / diversity_r, n),
        purity=bootstrap_mean(share, seed=seed), purity_mixed=float(np.mean((own - 1) / (n - 1))),
        probe=bootstrap_mean(correct, seed=seed),
    )


def measure_diversity(
    datasets: Mapping[str, NDArray[np.uint8]], features: Features = image_features, seed: int = 0, resamples: int = 1000
) -> Diversity:
    """Measures sub-datasets given as images, one per episode.

    Args:
        datasets: name -> (n, H, W, 3) uint8.
        features: images -> (n, D) vectors, called once on all images; whitened and scaled to unit length afterwards.
        seed: of bootstrap and probe.
        resamples: bootstrap samples.
    """
    if not datasets:
        raise ConfigError("no sub-dataset to measure")
    shapes = {images.shape[1:] for images in datasets.values()}
    if len(shapes) != 1:
        told = f"sub-datasets have images of different shapes ({sorted(shapes)})"
        raise ConfigError(f"{told}; collect or re-render them at one size")
    vectors = whiten(np.asarray(features(np.concatenate(list(datasets.values()))), dtype=np.float64))
    ends = np.cumsum([len(images) for images in datasets.values()])[:-1]
    what = getattr(features, "__name__", "features")
    described = f"{what}, {vectors.shape[1]} whitened principal components, unit length"
    return measure_vectors(dict(zip(datasets, np.split(vectors, ends), strict=True)), described, seed, resamples)


def episode_frames(folder: Path, camera: str = "front", limit: int = 500) -> NDArray[np.uint8]:
    """Returns the first frame of each episode of a dataset folder: (n, H, W, 3) uint8, at most `limit`, spread evenly.

    Raises:
        UnknownNameError: the dataset has no such camera.
        FileError: it holds no episode, or is damaged.
    """
    from toyshift.core.contract import image_key
    from toyshift.data import open_dataset

    dataset = open_dataset(Path(folder))
    dataset.require_episodes()
    cameras = dataset.observation_contract.camera_names
    if camera not in cameras:
        raise UnknownNameError(f"camera of {folder}", camera, cameras)
    count = int(dataset.num_episodes)
    chosen = np.unique(np.linspace(0, count - 1, min(limit, count)).round().astype(int))
    firsts = (dataset.episode(int(i)).frames[image_key(camera)][0] for i in chosen)
    return np.stack([np.asarray(first, dtype=np.uint8) for first in firsts])


def diversity_of(asked: Asked) -> Diversity:
    """Measures datasets by the first image of each episode."""
    images = {str(folder): episode_frames(folder, asked.camera) for folder in asked.datasets}
    return measure_diversity(images, seed=asked.seed)


def diversity_table(result: Diversity) -> str:
    """Returns the measures as text for terminals, each with what it means."""
    from toyshift.diagnostics.tables import interval, render_table

    each = zip(result.within.items(), result.episodes, strict=True)
    lines = [[f"diversity of {name}", f"{value:.2f}", "", f"{n} episodes"] for (name, value), n in each]
    meanings = {
        "diversity": "pairs within a sub-dataset; larger is more diverse",
        "disparity": "pairs across sub-datasets; larger is further apart",
        "fragmentation": "disparity / diversity; 1 = alike",
        "purity": f"neighbours from the own sub-dataset; mixed would be {result.purity_mixed or 0:.2f}, fragmented 1",
        "probe": f"a linear guess of the sub-dataset is right; chance {1 / len(result.names):.2f}",
    }
    for name, value in result.estimates().items():
        if value is not None:
            lines.append([name, f"{value.value:.2f}", interval(value.low, value.high), meanings[name]])
    return render_table(["measure", "value", "95 %", "meaning"], lines)
