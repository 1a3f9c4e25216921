"""The best recipe: 500 demonstrations on LEGO's toys, 500 on toys with the proportions of household things, and a longer training.

toyshift study recipe --ycb DIR
toyshift study recipe --ycb DIR --cells 1            one seed; the same command goes on with the next
toyshift study recipe --tabulate
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.errors import ConfigError
from toyshift.core.files import json_hash, locked, read_json, write_json
from toyshift.core.manifest import manifest
from toyshift.core.workers import core_count, worker_pool
from toyshift.scripts.options import Common
from toyshift.scripts.recipe import best_recipe
from toyshift.scripts.studies.cells import Cell, claim, plan, run_cells, write_page
from toyshift.scripts.studies.figures import figures, percents

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

TOYS = "toys:train"
PLAYED = {"toys": (TOYS, 0), "household": ("toys:train?of=household&n=500", 1000)}  # object set and first root seed of the demonstrations in each folder
TEST_SEED = 5000  # apart from the demonstrations' and the other studies'
BEGIN, END = "<!-- made by `toyshift study recipe --tabulate` -->", "<!-- end of what is made -->"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Common):
    """Options of `toyshift study recipe`."""

    ycb: Path | None = None
    """Folder with real YCB objects in the official layout. Half a of the graspable ones was tuned on, half b is what counts."""
    seeds: int = 3
    """Seeds; each collects, trains and is tested on its own."""
    demos: int = 500
    """Demonstrations on each of the two kinds of toys."""
    steps: int = 4000
    """Optimiser steps."""
    batch: int = 128
    """Samples per step."""
    trials: int = 100
    """Episodes per object set and seed."""
    out: Path = Path("runs/recipe")
    """Folder of demonstrations and policies."""
    results: Path = Path("results/recipe")
    """Folder of the rows and of table.json, small enough to commit."""
    docs: Path = Path("docs")
    """Folder of recipe.md, whose generated part is written."""
    cells: int = 0
    """Stop after so many seeds; 0 = all."""
    dry_run: bool = False
    """Print the plan with estimated times, run nothing."""
    tabulate: bool = False
    """Make the table of the rows that are there, run nothing."""
    workers: int = 0
    """Processes; 0 takes one per core, 1 plays in this one."""

    def __post_init__(self) -> None:
        if min(self.seeds, self.demos, self.steps, self.batch, self.trials) < 1 or min(self.cells, self.workers) < 0:
            raise ConfigError("seeds, demos, steps, batch and trials must be at least 1, cells and workers at least 0")

    @property
    def processes(self) -> int:
        return self.workers or core_count()

    @property
    def sets(self) -> dict[str, str]:
        """Object set by what it is called in tables."""
        real = {f"real YCB, half {half}": f"ycb:{self.ycb}?graspable&half={half}" for half in "ab"} if self.ycb else {}
        return {"training toys": TOYS, "new toys": "toys:test", "YCB-like": "ycb-like?graspable"} | real

    def settings(self) -> dict[str, Any]:
        """What decides a seed's result."""
        return {k: getattr(self, k) for k in ("demos", "steps", "batch", "seed")}


def main(cfg: Config) -> dict[str, Any]:
    """Collects, trains and tests the best recipe (docs/recipe.md), seed by seed.

    Example: toyshift study recipe --ycb DIR
    """
    cells = [Cell(f"s{seed}", f"seed {seed}", cfg.demos / 2.0 + cfg.steps * cfg.batch / 900.0 + 40.0 * len(cfg.sets)) for seed in range(cfg.seeds)]
    clock = cfg.out / "seconds.json"

    def is_done(cell: Cell) -> bool:
        return _rows(cfg, cell).exists()

    if cfg.dry_run:
        return plan(cells, is_done, clock)
    found: dict[str, Any] = {}
    if not cfg.tabulate:
        from toyshift.core.graphics import gl_backend

        gl_backend()
        for folder in (cfg.results, cfg.out):
            claim(folder, cfg.settings(), json_hash(cfg.settings()))
        with locked(cfg.out / "study"):
            found = run_cells(cells, lambda cell: _run(cfg, cell), is_done, clock, cfg.cells)
    return found | {"table": _tabulate(cfg)}


def _rows(cfg: Config, cell: Cell) -> Path:
    return cfg.results / "rows" / f"{cell.name}.parquet"


def _run(cfg: Config, cell: Cell) -> None:
    """Collects, trains and evaluates one seed; every part goes on where it was."""
    from toyshift.data import CollectConfig, collect
    from toyshift.diagnostics import EvaluateConfig, evaluate, write_rows
    from toyshift.policies import train

    folder, seed = cfg.out / cell.name, cfg.seed + int(cell.name[1:])
    seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(part: str) -> Any:
        start = time.monotonic()
        yield
        clock = folder / "seconds.json"
        before = read_json(clock) if clock.exists() else {}
        seconds.update(before | {part: round(before.get(part, 0.0) + time.monotonic() - start, 1)})  # of all calls that an interrupted part took
        write_json(clock, seconds)

    data = []
    for name, (objects, first) in PLAYED.items():
        played = CollectConfig(objects, cfg.demos, folder / name, workers=cfg.processes if cfg.processes > 1 else 0, seed=first + seed)
        with timed(f"demonstrations {name}"):
            collect(played)
        data.append(str(played.out))
    policy = folder / "policy"
    with timed("training"):
        done = train(best_recipe(tuple(data), str(policy), cfg.steps, cfg.batch, seed))
    rows: list[Row] = []
    with worker_pool(cfg.processes) if cfg.processes > 1 else contextlib.nullcontext() as pool:
        for name, spec in cfg.sets.items():
            config = EvaluateConfig(str(policy), spec, cfg.trials, seed=TEST_SEED + seed, name="recipe")
            found = evaluate(config, folder / "rows" / f"{name.replace(' ', '-').replace(',', '')}.parquet", pool=pool)
            rows += [dataclasses.replace(row, object_set=name) for row in found]
    facts = {k: done[k] for k in ("loss", "validation_loss", "samples")}
    write_rows(_rows(cfg, cell), rows, manifest(cfg.settings(), seed, seconds=seconds, **facts))


def _tabulate(cfg: Config) -> dict[str, Any]:
    """Makes table.json and the generated part of recipe.md of the rows that are there."""
    from toyshift.diagnostics import per_seed, read_rows, read_rows_manifest, summarise

    paths = sorted((cfg.results / "rows").glob("s*.parquet"))
    if not paths:
        raise ConfigError(f"{cfg.results / 'rows'} holds no rows yet; run `toyshift study recipe --ycb DIR` first")
    rows = [row for path in paths for row in read_rows(path)]
    minutes = [round(sum(read_rows_manifest(path)["seconds"].values()) / 60, 1) for path in paths]
    lines = []
    for found in summarise(rows):
        by_seed = per_seed(row for row in rows if (row.policy, row.object_set) == (found.policy, found.object_set))
        lines.append({
            "policy": found.policy, "set": found.object_set, **figures(found),
            "by_seed": [k / n for k, n in by_seed.values()], "failures": found.failures,
        })
    table = {"success": lines, "minutes": minutes, "settings": read_json(cfg.results / "settings.json")["settings"]}
    write_json(cfg.results / "table.json", table)
    made = _markdown(table)
    write_page(cfg.docs / "recipe.md", BEGIN, END, made)
    print(made)
    return table


def _markdown(table: dict[str, Any]) -> str:
    head = f"{len(table['minutes'])} seeds, {', '.join(f'{m:g}' for m in table['minutes'])} minutes each for collecting and training.\n\n"
    head += "| policy | on | n | success | 95 % episodes | 95 % new objects | each seed | failures |\n|---|---|---|---|---|---|---|---|\n"
    return head + "\n".join(_line(x) for x in table["success"])


def _line(x: dict[str, Any]) -> str:
    spans = [percents(*x[key]) for key in ("wilson_95", "clustered_objects_95")]
    failures = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in x["failures"].items()) or "-"
    return f"| {x['policy']} | {x['set']} | {x['n']} | {100 * x['rate']:.1f} % | {spans[0]} | {spans[1]} | {', '.join(f'{100 * r:.0f}' for r in x['by_seed'])} | {failures} |"
