"""The best recipe: 500 demonstrations on LEGO's toys, 500 on toys shaped like household things, and a longer training.

Beside it on the same starts: the quickstart's policy, trained on the former, the expert and the random policy.

toyshift study recipe --ycb DIR
toyshift study recipe --ycb DIR --cells 1            one seed; the same command goes on with the next
toyshift study recipe --results results/recipe --docs docs --tabulate     the committed rows and their page
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.files import read_json, whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.scripts.recipe import best_recipe, quickstart_recipe
from toyshift.scripts.studies.cells import Study, no_rows, pool_of, write_page
from toyshift.scripts.studies.figures import figures, markdown_table, percents, points
from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

TOYS = "toys:train"
# object set and first root seed of the demonstrations in each folder
PLAYED = {"toys": (TOYS, 0), "household": ("toys:train?of=household&n=500", 1000)}
QUICKSTART_STEPS = 1100  # of the policy that the recipe is compared with
POLICIES = ("recipe", "quickstart", "oracle", "random")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, seeds=(1, MOST_SEEDS), demos=1, steps=1, batch=1, trials=1):
    """Options of `toyshift study recipe`."""

    ycb: Path | None = None
    """Folder with real YCB objects in the official layout. Half a of the graspable ones was tuned on, half b counts."""
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
    made = RecipeStudy(cfg).conduct(cfg)
    return {"table": made} if cfg.tabulate and not cfg.from_scratch else made


class RecipeStudy(Study):
    """One cell a seed."""

    name = "recipe"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg = cfg

    def cells(self) -> list[Cell]:
        cfg = self.cfg
        steps = cfg.steps + min(cfg.steps, QUICKSTART_STEPS)
        seconds = cfg.demos / 2.0 + steps * cfg.batch / 900.0 + 110.0 * len(cfg.sets)
        return [Cell(f"s{seed}", f"seed {seed}", seconds) for seed in range(cfg.seeds)]

    def settings(self) -> dict[str, Any]:
        return self.cfg.settings()

    def is_done(self, cell: Cell) -> bool:
        """Says whether a seed's rows hold all policies on all sets, from starts of the test."""
        from toyshift.diagnostics import read_rows

        if not self.path(cell.name).exists():
            return False
        played = {(r.policy, r.object_set) for r in read_rows(self.path(cell.name)) if r.purpose == "test"}
        return played >= set(itertools.product(POLICIES, self.cfg.sets))

    def check(self) -> None:
        self.prepare(*self.cfg.sets.values())

    def run(self, cell: Cell) -> None:
        """Collects, trains and evaluates one seed."""
        from toyshift.data import CollectConfig, collect
        from toyshift.diagnostics import EvaluateConfig, evaluate, write_rows
        from toyshift.envs.render.renderer import gl_renderer_name
        from toyshift.policies import train

        cfg = self.cfg
        folder, seed = cfg.work_dir / cell.name, cfg.seed + int(cell.name[1:])
        clock = folder / "seconds.json"
        workers = cfg.processes if cfg.processes > 1 else 0
        data = []
        for name, (objects, first) in PLAYED.items():
            played = CollectConfig(objects, cfg.demos, folder / name, workers=workers, seed=first + seed)
            with timed(clock, f"demonstrations {name}"):
                collect(played)
            data.append(str(played.out))
        policies = {name: name for name in POLICIES} | {"recipe": str(folder / "policy")}
        with timed(clock, "training"):
            done = train(best_recipe(tuple(data), policies["recipe"], cfg.steps, cfg.batch, seed))
        policies["quickstart"], steps = str(folder / "quickstart"), min(cfg.steps, QUICKSTART_STEPS)
        train(quickstart_recipe("detpool", tuple(data[:1]), policies["quickstart"], steps, cfg.batch, seed))
        rows: list[Row] = []
        with pool_of(cfg.processes) as pool:
            for (policy, where), (name, spec) in itertools.product(policies.items(), cfg.sets.items()):
                config = EvaluateConfig(where, spec, cfg.trials, seed=seed, name=policy)
                path = folder / "rows" / f"{policy}-{name.replace(' ', '-').replace(',', '')}.parquet"
                rows += [dataclasses.replace(row, object_set=name) for row in evaluate(config, path, 0, pool=pool)]
        facts = {k: done[k] for k in ("loss", "validation_loss", "samples")}
        facts |= {"seconds": read_json(clock), "gl_renderer": gl_renderer_name()}
        write_rows(self.path(cell.name), rows, manifest(cfg.settings(), seed, **facts))

    def tabulate(self) -> dict[str, Any]:
        from toyshift.diagnostics import per_seed, read_rows, read_rows_manifest, summarise

        folder, page = self.cfg.results_dir, self.cfg.docs_dir / "recipe.md"
        paths = whole_files(folder / "rows", "s*.parquet")
        if not paths:
            raise no_rows(folder, "recipe --ycb DIR")
        rows = [row for path in paths for row in read_rows(path)]
        minutes = [round(sum(read_rows_manifest(path)["seconds"].values()) / 60, 1) for path in paths]
        lines = []
        for found in summarise(rows):
            by_seed = per_seed(row for row in rows if (row.policy, row.object_set) == (found.policy, found.object_set))
            lines.append({
                "policy": found.policy, "set": found.object_set, **figures(found),
                "by_seed": [k / n for k, n in by_seed.values()], "failures": found.failures,
            })
        table = {
            "success": lines, "gains": gains(rows), "minutes": minutes,
            "settings": read_json(folder / "settings.json")["settings"],
        }
        write_json(folder / "table.json", table)
        made = _markdown(table)
        write_page(page, self.name, folder, made)
        print(made)
        return table


def gains(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Returns the recipe minus the quickstart's policy on the same starts, by object set, with Holm's correction."""
    from toyshift.diagnostics import compare
    from toyshift.diagnostics.statistics import holm

    lines = []
    for name in dict.fromkeys(row.object_set for row in rows):
        sides = [[r for r in rows if (r.policy, r.object_set) == (p, name)] for p in ("recipe", "quickstart")]
        if all(sides):
            lines.append({"set": name, "paired": compare(*sides).to_json()})
    corrected = holm([x["paired"]["p_value"] for x in lines])
    return [x | {"holm_p": p} for x, p in zip(lines, corrected, strict=True)]


@contextlib.contextmanager
def timed(clock: Path, part: str) -> Iterator[None]:
    """Adds how long a part takes to a file of seconds; an interrupted part's calls add up."""
    start = time.monotonic()
    yield
    before = read_json(clock) if clock.exists() else {}
    write_json(clock, before | {part: round(before.get(part, 0.0) + time.monotonic() - start, 1)})


GAINS = "| on | n | difference | 95 % new objects | McNemar p | Holm p |"
HEAD = "| policy | on | n | success | 95 % episodes | 95 % new objects | each seed | failures |"


def _markdown(table: dict[str, Any]) -> str:
    minutes = ", ".join(f"{m:g}" for m in table["minutes"])
    made = markdown_table(HEAD, map(_line, table["success"]))
    made = f"{len(table['minutes'])} seeds, {minutes} minutes each for collecting and training.\n\n{made}"
    if table["gains"]:
        paired = markdown_table(GAINS, map(_gain, table["gains"]))
        made += f"\n\nThe recipe minus the quickstart's policy, in points, on the same starts:\n\n{paired}"
    return made


def _gain(x: dict[str, Any]) -> tuple[object, ...]:
    found = x["paired"]["difference"]
    p_values = f"{x['paired']['p_value']:.2g}", f"{x['holm_p']:.2g}"
    n = sum(x["paired"][k] for k in ("only_a", "only_b", "both", "neither"))
    return (x["set"], n, f"{100 * found['value']:+.1f}", points(found), *p_values)


def _line(x: dict[str, Any]) -> tuple[object, ...]:
    failures = ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in x["failures"].items()) or "-"
    spans = percents(*x["wilson_95"]), percents(*x["clustered_objects_95"])
    each = ", ".join(f"{100 * r:.0f}" for r in x["by_seed"])
    return (x["policy"], x["set"], x["n"], f"{100 * x['rate']:.1f} %", *spans, each, failures)
