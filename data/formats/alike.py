"""Episodes that were recorded once and are there twice: whole, in part, or moved a little."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array

WINDOW = 5  # frames: so many in a row, in which something moves, are not alike by chance
SHARED = 0.5  # of the shorter episode's windows that the other one has as well
POINTS = 16  # in time, at which paths are compared
CLOSE = 0.02  # root mean square difference of two paths [standard deviations of the dataset]
_MOST = 8  # episodes that one window is counted for
SAME, PART, CLOSE_BY = "same", "part", "close"


@dataclasses.dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is compared of an episode's motion.

    Attributes:
        digest: hash of all values.
        windows: (K,) uint64 hashes of WINDOW frames in a row, of those in which something moves.
        path: (POINTS, D) values at times spread evenly over the episode.
    """

    digest: str
    windows: NDArray[np.uint64]
    path: Array


@dataclasses.dataclass(frozen=True)
class Alike:
    """Two episodes that are not independent of each other.

    Attributes:
        first: number of the one.
        second: number of the other, larger.
        how: SAME values, a PART of them, or a path CLOSE_BY.
        amount: of PART the share of the shorter one that the other one has; of CLOSE_BY the difference [standard
            deviations].
    """

    first: int
    second: int
    how: str
    amount: float

    def told(self, other: str) -> str:
        """Returns what the second has to do with the first, which is named in words."""
        match self.how:
            case "same":
                return f"the same actions and states as {other}"
            case "part":
                return f"{self.amount:.0%} of the moving frames of the shorter one are in both, it and {other}"
            case _:
                return f"moves as {other}, but for {self.amount:.1%} of the usual spread"


def fingerprint(motion: Array) -> Fingerprint:
    """Returns the fingerprint of an episode's actions and states, (T, D) float32 or float64, T >= 1."""
    rows = np.ascontiguousarray(motion)
    count = max(0, len(rows) - WINDOW + 1)
    moves = [bool((rows[t : t + WINDOW] != rows[t]).any()) for t in range(count)]
    hashes = [hashlib.blake2b(rows[t : t + WINDOW].tobytes(), digest_size=8).digest() for t in np.flatnonzero(moves)]
    windows = np.unique(np.frombuffer(b"".join(hashes), np.uint64))
    at = np.linspace(0, len(rows) - 1, POINTS)
    before = np.floor(at).astype(np.int64)
    after = np.minimum(before + 1, len(rows) - 1)
    weight = (at - before)[:, None]
    path = rows[before] * (1 - weight) + rows[after] * weight  # (POINTS, D)
    return Fingerprint(hashlib.sha256(str(rows.shape).encode() + rows.tobytes()).hexdigest(), windows, path)


def alike(episodes: Sequence[Fingerprint]) -> list[Alike]:
    """Returns all pairs of episodes that are alike, each once, in order; values are compared that are not constant."""
    found: dict[tuple[int, int], Alike] = {}
    for pair, amount in _close(episodes).items():
        found[pair] = Alike(*pair, CLOSE_BY, amount)
    for pair, amount in _shared(episodes).items():
        found[pair] = Alike(*pair, PART, amount)
    seen: dict[str, list[int]] = {}
    for i, one in enumerate(episodes):
        for before in seen.setdefault(one.digest, []):
            found[before, i] = Alike(before, i, SAME, 1.0)
        seen[one.digest].append(i)
    return [found[pair] for pair in sorted(found, key=lambda pair: pair[::-1])]


def _shared(episodes: Sequence[Fingerprint]) -> dict[tuple[int, int], float]:
    """Returns the pairs that have windows in common, and what share of the shorter one's."""
    sizes = np.array([len(one.windows) for one in episodes], np.int64)
    hashes = np.concatenate([one.windows for one in episodes]) if len(episodes) else np.zeros(0, np.uint64)
    owners = np.repeat(np.arange(len(episodes)), sizes)
    order = np.lexsort((owners, hashes))
    hashes, owners = hashes[order], owners[order]
    codes = []
    for lag in range(1, min(_MOST, len(hashes))):
        same = np.flatnonzero(hashes[lag:] == hashes[:-lag])
        codes.append(owners[same] * len(episodes) + owners[same + lag])
    pairs, counts = np.unique(np.concatenate(codes), return_counts=True) if codes else ((), ())
    out = {}
    for code, count in zip(pairs, counts, strict=True):
        i, j = divmod(int(code), len(episodes))
        if (share := count / min(sizes[i], sizes[j])) >= SHARED:
            out[i, j] = float(share)
    return out


def _close(episodes: Sequence[Fingerprint]) -> dict[tuple[int, int], float]:
    """Returns the pairs whose paths are close, and their difference [standard deviations]."""
    from scipy.spatial import cKDTree

    if len(episodes) < 3:  # two episodes tell of no spread but their difference
        return {}
    paths = np.stack([one.path for one in episodes]).astype(np.float64)  # (N, POINTS, D)
    spread = paths.std(axis=(0, 1))
    told = np.isfinite(paths).all(axis=(0, 1)) & (spread > 1e-9 * np.abs(paths).max(axis=(0, 1)))
    if not told.any():
        return {}
    vectors = (paths[:, :, told] / spread[told]).reshape(len(paths), -1)
    unit = np.sqrt(vectors.shape[1])
    pairs = cKDTree(vectors).query_pairs(CLOSE * unit)
    return {(i, j): float(np.linalg.norm(vectors[i] - vectors[j]) / unit) for i, j in pairs}
