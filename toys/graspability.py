"""Reads the table of graspability: the share of sampled grasps of a toy that succeed in simulation, by toy id.

data/grasping/graspability.py computes it, `toyshift toys graspability SET` fills it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from toyshift.core.errors import FileError
from toyshift.core.files import cache_dir

TRIES = 8  # grasps per toy that `?select=top-graspable` relies on
PROTOCOL = 2  # change it when the same grasps would end otherwise


def table_path(tries: int = TRIES, seed: int = 0) -> Path:
    """The table of one protocol: one JSON object {"id", "successes", "tries"} a line, in the cache folder."""
    return cache_dir("graspability") / f"v{PROTOCOL}-tries{tries}-seed{seed}.jsonl"


def read_table(path: Path) -> dict[str, float]:
    """Share of successful grasps by toy id; lines that a kill cut short are left out: their toys are unmeasured."""
    shares: dict[str, float] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                shares[row["id"]] = row["successes"] / row["tries"]
            except (ValueError, KeyError, TypeError, ZeroDivisionError):
                continue
    return shares


def most_graspable(ids: Sequence[str], n: int, pool: str) -> list[int]:
    """Places of the n ids with the largest shares, best first; of equals the first.

    Args:
        ids: of the pool.
        n: how many.
        pool: the spec of the pool, for the message.

    Raises:
        FileError: the table lacks some of the ids.
    """
    shares = read_table(table_path())
    missing = sum(name not in shares for name in ids)
    if missing:
        what = f"the graspability of {missing} of {len(ids)} toys is not known yet"
        raise FileError(f"{what}; run `toyshift toys graspability '{pool}'` first")
    return sorted(range(len(ids)), key=lambda i: -shares[ids[i]])[:n]
