"""What a dataset holds, as one JSON-able summary."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.data.store.dataset import Dataset

SHOWN = 12  # values of a factor that are listed; of more there are only counts


def summarise(dataset: Dataset) -> dict[str, Any]:
    """Returns episodes, frames, hours, success, contracts, cameras, features, objects, tasks, factors, sizes and hash.

    Raises:
        FileError: it holds no episode.
    """
    dataset.require_episodes()
    metas = [dataset.meta(i) for i in range(dataset.num_episodes)]
    known = [bool(m["success"]) for m in metas if "success" in m]
    objects = collections.Counter(str(m["object_id"]) for m in metas if "object_id" in m)
    lengths = np.asarray(dataset.lengths)
    return {
        "folder": str(dataset.folder),
        "episodes": dataset.num_episodes,
        "frames": dataset.num_frames,
        "hours": dataset.num_frames / dataset.action_contract.control_hz / 3600.0,
        "episode_frames": {"min": int(lengths.min()), "median": float(np.median(lengths)), "max": int(lengths.max())},
        "success": {"known": len(known), "rate": sum(known) / len(known) if known else None},
        "action_contract": dataset.action_contract.to_json(),
        "observation_contract": dataset.observation_contract.to_json(),
        "cameras": {name: list(size) for name, size in dataset.observation_contract.cameras},
        "features": {key: {"dtype": c.dtype, "shape": list(c.shape)} for key, c in dataset.columns.items()},
        "object_sets": sorted({str(m["object_set"]) for m in metas if "object_set" in m}),
        "objects": {"count": len(objects), "ids": dict(objects.most_common())},
        "tasks": dict(collections.Counter(str(m.get("task", "")) for m in metas).most_common()),
        "factors": factor_values([m.get("factors", {}) for m in metas]),
        "seeds": sorted({int(m["seed"]) for m in metas if "seed" in m}),
        "bytes": _sizes(dataset.folder),
        "content_hash": dataset.content_hash(),
    }


def factor_values(factors: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns, for each factor of the episodes, its range (numbers) or its values and how often each comes.

    Nested factors get dotted names: {"look": {"azimuth": 3.0}} is "look.azimuth".
    """
    columns: dict[str, list[Any]] = {}
    for row in factors:
        for name, value in _flat(row).items():
            columns.setdefault(name, []).append(value)
    out: dict[str, Any] = {}
    for name, values in sorted(columns.items()):
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        counts = collections.Counter(str(v) for v in values)
        out[name] = {"episodes": len(values), "distinct": len(counts)}
        if len(numbers) == len(values):
            out[name] |= {"min": min(numbers), "mean": float(np.mean(numbers)), "max": max(numbers)}
        if len(counts) <= SHOWN:
            out[name]["values"] = dict(counts.most_common())
    return out


def _flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in row.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return out


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes on disk, by part; the cache can be made again."""
    parts = {
        name: sum(p.stat().st_size for p in (folder / name).rglob("*") if p.is_file())
        for name in ("data", "meta", "videos", ".cache")
    }
    return {k: v for k, v in parts.items() if v} | {"total": sum(parts.values())}
