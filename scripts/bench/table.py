"""Makes a page of benchmark results, to sort and filter, with pairwise verdicts.

toyshift bench table runs/bench --out bench.html
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import write_text
from toyshift.scripts.options import Common


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift bench table`."""

    results: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DIR|FILE")]
    """Result files of `toyshift bench`, or folders with some."""
    out: Path = Path("bench.html")
    """The page: one file, without a network."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.results:
            raise ConfigError("DIR|FILE is missing: name at least one result file, or a folder with some")


def main(cfg: Config) -> dict[str, Any]:
    """Makes a page of benchmark results; a file that was changed since it was written is refused.

    Example: toyshift bench table runs/bench --out bench.html
    """
    from toyshift.diagnostics.bench.page import bench_page
    from toyshift.diagnostics.bench.result_file import SUFFIX, read_result
    from toyshift.diagnostics.bench.score_card import score

    files: list[Path] = []
    for place in cfg.results:
        found = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else [place]
        if not found:
            raise FileError(f"{place} holds no *{SUFFIX}; `toyshift bench --policy P --out {place}` writes a result")
        files += found
    results = [read_result(file) for file in {file.resolve(): file for file in files}.values()]
    write_text(cfg.out, bench_page(results))
    print(f"{len(results)} result{'s' * (len(results) > 1)} of {results[0].facts.name}: {cfg.out}")
    return {"out": cfg.out, "policies": [score(result).to_json() for result in results]}
