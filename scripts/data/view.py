"""Makes an HTML page with sampled episodes of a dataset.

toyshift data view runs/demos --out demos.html
toyshift data view runs/demos --only 3 17 --out two.html
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from toyshift.core.files import write_text
from toyshift.scripts.data.options import DatasetConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(DatasetConfig, episodes=1):
    """Options of `toyshift data view`."""

    out: Path
    """HTML file to write; it needs nothing else, not even a network."""
    episodes: int = 8
    """How many episodes, evenly spread over the dataset."""
    only: tuple[int, ...] = ()
    """Numbers of the episodes to show instead."""
    rerun: Path | None = None
    """Also write the episodes as a Rerun recording (.rrd; needs the extra rerun)."""


def main(cfg: Config) -> dict[str, Any]:
    """Makes one HTML page: pictures to play and scrub through, masks over them, actions as curves, and problems found.

    Example: toyshift data view runs/demos --out demos.html
    """
    import numpy as np

    from toyshift.data import open_dataset
    from toyshift.data.store.checks import check_episode
    from toyshift.data.store.episodes_page import viewer_page

    dataset = open_dataset(cfg.data)
    count = min(cfg.episodes, dataset.num_episodes)
    chosen = list(cfg.only) or np.linspace(0, dataset.num_episodes - 1, count).round().astype(int).tolist()
    problems = {i: [f"{p.kind}: {p.detail}" for p in check_episode(dataset, i)[1]] for i in chosen}
    page = viewer_page(dataset, chosen, problems)
    write_text(cfg.out, page)
    print(f"{len(chosen)} of {dataset.num_episodes} episodes, {len(page) / 1e6:.1f} MB: {cfg.out}")
    result = {"episodes": chosen, "bytes": len(page.encode()), "out": cfg.out}
    if cfg.rerun is not None:
        from toyshift.data.formats.rerun_export import write_rerun

        write_rerun(cfg.rerun, dataset, chosen)
        print(f"Rerun recording: {cfg.rerun}   (rerun {cfg.rerun})")
        result["rerun"] = cfg.rerun
    return result
