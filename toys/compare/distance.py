"""How far two object sets are apart in shape: each object's nearest object of the other set, by four measures."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, FileError, MeshError
from toyshift.core.files import atomic_path, cache_dir, json_hash, locked, read_json, write_json
from toyshift.core.progress import track
from toyshift.core.workers import Job, Pool, core_count, play, worker_pool
from toyshift.toys.compare.alignment import coarse_distance, fit, overlap_where
from toyshift.toys.compare.descriptor import Shape, sample_shape
from toyshift.toys.objectset import ObjectSet

MEASURES: dict[str, str] = {
    "chamfer": "symmetric Chamfer distance of the surfaces after rigid alignment [m]",
    "chamfer_scaled": "the same with both scaled to a root-mean-square radius of 1 [radii]",
    "descriptor": "Wasserstein-1 distance of the D2 shape distributions, in metres, without alignment [m]",
    "iou": "volume of the intersection over the union, where the metric surfaces were aligned (1 = same)",
}
RULE = 1  # change it when the same sets give other numbers
CANDIDATES = 32  # nearest by descriptor, tried on coarse distance fields; all where the set has no more
FITTED = 3  # best of them, aligned by ICP and measured
REFERENCE = 100  # most objects of a that are searched in b, and in the rest of a

Shapes = tuple[Shape, ...]
Found = dict[str, tuple[int, float]]  # measure -> index of the nearest, and how far it is


def prefilter_distances(query: Shape, targets: Sequence[Shape], metric: bool) -> Array:
    """Pose-invariant distances (n,) that choose candidates: of D2 distributions and of radii along principal axes."""
    unit = np.array([t.radius if metric else 1.0 for t in targets])
    own = query.radius if metric else 1.0
    d2 = np.abs(np.array([t.descriptor for t in targets]) * unit[:, None] - query.descriptor * own).mean(axis=1)
    radii = np.abs(np.array([t.radii for t in targets]) * unit[:, None] - query.radii * own).mean(axis=1)
    return np.asarray(d2 + 2 * radii)


def nearest(query: Shape, targets: Sequence[Shape], candidates: int = CANDIDATES, fitted: int = FITTED) -> Found:
    """The nearest of some shapes by each measure.

    For either kind of Chamfer distance, `candidates` targets are chosen by prefilter_distances, ranked on coarse
    distance fields, and the best `fitted` aligned and measured; the IoU is the largest among those aligned in metres.
    With both numbers as large as the set, every pair is measured.

    Returns:
        per measure the index of the nearest and its distance; "iou" is left out where no pair consists of two solids.
    """
    same = next((i for i, t in enumerate(targets) if t.key == query.key), None)
    if same is not None:  # nothing is nearer than the thing itself
        return {"chamfer": (same, 0.0), "chamfer_scaled": (same, 0.0), "descriptor": (same, 0.0), "iou": (same, 1.0)}
    d2 = np.abs(np.array([t.descriptor * t.radius for t in targets]) - query.descriptor * query.radius).mean(axis=1)
    found: Found = {"descriptor": (int(d2.argmin()), float(d2.min()))}
    for name, metric in (("chamfer", True), ("chamfer_scaled", False)):
        chosen = np.argsort(prefilter_distances(query, targets, metric), kind="stable")[:candidates]
        if len(chosen) > fitted:
            coarse = [coarse_distance(query, targets[i], metric) for i in chosen]
            chosen = chosen[np.argsort(coarse, kind="stable")[:fitted]]
        fits = {int(i): fit(query, targets[i], metric) for i in chosen}
        best = min(fits, key=lambda i: fits[i].distance)
        found[name] = (best, fits[best].distance)
        if metric:
            overlaps = {i: value for i, one in fits.items() if (value := _overlap(query, targets[i], one)) is not None}
            if overlaps:
                winner = max(overlaps, key=lambda i: overlaps[i])
                found["iou"] = (winner, overlaps[winner])
    return found


def _overlap(query: Shape, target: Shape, found: Any) -> float | None:
    """IoU of two solids; None where one has holes and so no inside."""
    try:
        return overlap_where(query, target, found)
    except MeshError:
        return None


def surfaces_file(objects: ObjectSet) -> Path:
    """An NPZ with the surfaces of a set, in the cache by the set's fingerprint, written by the first who asks."""
    path = cache_dir("surfaces") / f"{objects.fingerprint}.npz"
    with locked(path):
        if not path.exists():
            arrays = {}
            for i, found in enumerate(track(objects, f"surfaces of {objects.spec}", total=len(objects), unit="object")):
                arrays[f"v{i}"] = np.asarray(found.mesh.vertices)
                arrays[f"f{i}"] = np.asarray(found.mesh.faces, dtype=np.int32)
            with atomic_path(path) as temporary, temporary.open("wb") as handle:
                np.savez(handle, **arrays)
    return path


@functools.lru_cache(maxsize=4)
def read_shapes(path: Path) -> Shapes:
    """The shapes of a file of surfaces."""
    try:
        with np.load(path) as data:
            surfaces = ((data[f"v{i}"], data[f"f{i}"]) for i in range(len(data.files) // 2))
            return tuple(sample_shape(trimesh.Trimesh(*surface, process=False)) for surface in surfaces)
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"{path} cannot be read ({error}); delete it, it is made again") from error


@contextlib.contextmanager
def _opened(queries: Path, targets: Path) -> Iterator[tuple[Shapes, Shapes]]:
    yield read_shapes(queries), read_shapes(targets)


def _nearest_of(opened: tuple[Shapes, Shapes], item: tuple[int, bool]) -> tuple[int, Found]:
    """An index and the nearest targets of that query, which is a target to be left out itself where asked."""
    (queries, targets), (i, leave_out) = opened, item
    kept = [j for j in range(len(targets)) if not (leave_out and j == i)]
    found = nearest(queries[i], [targets[j] for j in kept])
    return i, {name: (kept[j], value) for name, (j, value) in found.items()}


def _search(
    queries: ObjectSet, targets: ObjectSet, indices: list[int], leave_out: bool, pool: Pool | None
) -> list[Found]:
    """The nearest targets of some queries, from the cache where they were searched before."""
    key = json_hash([RULE, CANDIDATES, FITTED, queries.fingerprint, targets.fingerprint, indices, leave_out])
    path = cache_dir("distances") / f"{key}.json"
    if path.exists():
        return [{name: (int(i), float(value)) for name, (i, value) in row.items()} for row in read_json(path)]
    label = f"{queries.spec}: {'leaving one out' if leave_out else f'nearest in {targets.spec}'}"
    opened = functools.partial(_opened, surfaces_file(queries), surfaces_file(targets))
    job = Job(key, opened, _nearest_of, f"searching {label}")
    items = [(i, leave_out) for i in indices]
    found = dict(track(play(items, job, pool=pool), label, len(indices), "object"))
    rows = [found[i] for i in indices]
    write_json(path, rows)
    return rows


def _sample(n: int) -> list[int]:
    """Up to REFERENCE indices of a set of n, always the same."""
    if n <= REFERENCE:
        return list(range(n))
    rng = np.random.default_rng(0)
    return sorted(int(i) for i in rng.choice(n, REFERENCE, replace=False))


def _quantiles(rows: list[Found], name: str) -> dict[str, float] | None:
    values = np.array([row[name][1] for row in rows if name in row])
    if not len(values):
        return None
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
    extremes = {"max": float(values.max()), "min": float(values.min())}
    return {"mean": float(values.mean()), "q05": low, "median": middle, "q95": high, **extremes}


def set_distance(a: ObjectSet, b: ObjectSet, workers: int | None = None) -> dict[str, Any]:
    """The nearest object of `a` (say, a policy's training toys) of every object of `b`, and what is usual inside `a`.

    The reference is leave-one-out: how far objects of `a` are from the nearest other object of `a`. An object of b is
    "farther" by a measure when it is beyond the reference's 95th percentile (for the IoU: below the 5th).
    Results are cached by the sets' fingerprints.

    Args:
        a, b: the sets; of more than 100 objects, 100 of `a` are searched (always the same ones), all of `b`.
        workers: processes, which start by `spawn`: guard scripts with `if __name__ == "__main__"`. None takes one per
            core.

    Returns:
        a JSON-able dict: "objects", one row per object of b with {"nearest", "distance"} by measure (MEASURES says what
        each is); "summary", per measure the quantiles of b_to_a, a_to_b and leave_one_out, and how many of b are
        farther.

    Raises:
        ConfigError: `a` has fewer than two objects.
        MeshError: a surface cannot be sampled.
    """
    if len(a) < 2:
        why = "distances are judged by those inside the first set, so it needs at least 2"
        raise ConfigError(f"{a.spec!r} has {len(a)} object; {why}")
    workers = workers or core_count()
    sampled = _sample(len(a))
    # A pool starts no process before its first job.
    with worker_pool(workers) if workers > 1 else contextlib.nullcontext() as pool:
        forward = _search(b, a, list(range(len(b))), False, pool)
        backward = _search(a, b, sampled, False, pool)
        inside = _search(a, a, sampled, True, pool)
    summary: dict[str, Any] = {}
    for name, meaning in MEASURES.items():
        reference = _quantiles(inside, name)
        found = {"b_to_a": _quantiles(forward, name), "a_to_b": _quantiles(backward, name), "leave_one_out": reference}
        entry: dict[str, Any] = {"meaning": meaning, **found}
        if reference is not None:
            values = [row[name][1] for row in forward if name in row]
            far = [value < reference["q05"] if name == "iou" else value > reference["q95"] for value in values]
            entry |= {"farther": sum(far), "of": len(far)}
        summary[name] = entry
    rows = [
        {"id": name, **{measure: {"nearest": a.ids[i], "distance": value} for measure, (i, value) in row.items()}}
        for name, row in zip(b.ids, forward, strict=True)
    ]
    return {
        "a": a.spec, "b": b.spec, "fingerprint_a": a.fingerprint, "fingerprint_b": b.fingerprint,
        "searched_of_a": len(sampled), "summary": summary, "objects": rows,
    }
