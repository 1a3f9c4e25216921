"""What a dataset is made of, in few words: the objects and the starts that a policy trained on it has seen."""

from __future__ import annotations

import collections
from typing import Any

from toyshift.core.choices import PURPOSES
from toyshift.data.store.dataset import Dataset


def provenance(dataset: Dataset) -> dict[str, Any]:
    """Returns folder, content_hash, object_sets, object_ids and starts of a dataset, as JSON.

    Where other objects lay beside those that were grasped, `other_ids` are theirs.
    `starts` is a list of [purpose, seed, first, last]: runs of episodes of a root seed that it holds. Data from
    elsewhere say neither objects nor seeds, and have none here.
    """
    metas = [dataset.meta(i) for i in range(dataset.num_episodes)]
    episodes: dict[int, set[int]] = collections.defaultdict(set)
    for meta in metas:
        if "seed" in meta and "attempt" in meta:
            episodes[int(meta["seed"])].add(int(meta["attempt"]))

    def named(key: str) -> list[str]:
        return sorted({str(meta[key]) for meta in metas if meta.get(key)})

    others = sorted({str(name) for meta in metas for name in meta.get("others") or ()})
    return {
        "folder": dataset.folder.name, "content_hash": dataset.content_hash(), "object_sets": named("object_set"),
        "object_ids": named("object_id"),
        "starts": [[PURPOSES[0], seed, *run] for seed in sorted(episodes) for run in runs(episodes[seed])],
    } | ({"other_ids": others} if others else {})


def runs(numbers: set[int]) -> list[tuple[int, int]]:
    """Returns (first, last) of each run of consecutive numbers, in order."""
    firsts = sorted(n for n in numbers if n - 1 not in numbers)
    lasts = sorted(n for n in numbers if n + 1 not in numbers)
    return list(zip(firsts, lasts, strict=True))
