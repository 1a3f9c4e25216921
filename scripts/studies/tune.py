"""Does a tuned training generalize better? Bayesian optimisation of eight settings, beside a random search.

Each search tries 30 settings for a quarter of the steps and the best third of them for all. What counts is success
under shifts that are tuned on. The winner is trained anew with other seeds and tested from fresh starts, also under
shifts that nobody tuned on, beside the recipe that was not searched.

pip install 'toyshift[tune]'
toyshift study tune
toyshift study tune --cells 10                       the same command goes on
toyshift study tune --results results/tune --docs docs --tabulate
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.files import whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.scripts.recipe import best_recipe
from toyshift.scripts.studies.cells import PLAY, TEST_SEED, Study, made_once, no_rows, pool_of, write_page
from toyshift.scripts.studies.figures import figures, markdown_table, percents, points
from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig
from toyshift.scripts.studies.schedule import Cell
from toyshift.scripts.studies.tune_search import (
    ARMS,
    DATASETS,
    DIMENSIONS,
    START,
    USUAL,
    Arm,
    Point,
    TriedPoint,
    at_random,
    best,
    by_process,
    optuna_package,
    settings_of,
)

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

TOYS, HOUSEHOLD = "toys:train", "toys:train?of=household&n=500"
COPIES = {
    "views": "viewpoint?azimuth=-45:45&elevation=-15:15&keep=no",
    "textures": "appearance?table_texture=0:1&background_texture=0:1&keep=no",
}
NEW, LIKE = "toys:test", "ycb-like?graspable"
# (object set, shift): those that searches see, and those that nothing was chosen on
TUNED_ON = ((NEW, ""), (NEW, "table-colour=5"), (NEW, "camera-elevation=5"), (NEW, "light-intensity=5"))
REPORTED = ((NEW, "table-texture=5"), (NEW, "camera-azimuth=5"), (LIKE, ""))
RECIPE = "recipe"
FRAMES, RENDERED, TRAINED, COLLECTED = 35, 150.0, 900.0, 0.5  # for estimates, as in `planted`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    StudyConfig, demos=2, tries=(START + 1, 1000), seeds=(1, MOST_SEEDS), steps=4, batch=1, episodes=4, trials=1,
):
    """Options of `toyshift study tune`."""

    demos: int = 100
    """Demonstrations on each of the two kinds of toys."""
    tries: int = 30
    """Settings that each search tries; the first ten are drawn at random and are the same in both."""
    steps: int = 640
    """Optimiser steps of a whole training; a try has a quarter of them."""
    batch: int = 128
    """Samples per step."""
    episodes: int = 40
    """Episodes that a try is judged by, over all that is tuned on."""
    seeds: int = 2
    """Seeds with which each winner, and the recipe, is trained anew."""
    trials: int = 30
    """Episodes of each winner on each thing that is reported."""
    out: Path = Path("runs/tune")

    def settings(self) -> dict[str, Any]:
        """What decides a cell's result."""
        names = ("demos", "tries", "steps", "batch", "episodes", "trials", "seed")
        return {name: getattr(self, name) for name in names}


def main(cfg: Config) -> dict[str, Any]:
    """Searches settings of a training by Optuna and at random with equal compute, and tests both winners.

    Example: toyshift study tune --cells 10
    """
    return TuneStudy(cfg).conduct(cfg)


class TuneStudy(Study):
    """A cell for each try, for each of the best third with all steps, and for each winner's seed."""

    name = "tune"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg = cfg
        self.thirds = cfg.tries // 3

    def tries(self, arm: Arm) -> list[str]:
        """Returns the names of a search's cells, in order; those that are drawn at random are of the random one."""
        return [f"{arm if k >= START else 'random'}-t{k:02d}" for k in range(self.cfg.tries)]

    def wholes(self, arm: Arm) -> list[str]:
        """Returns the names of the cells of a search's best third."""
        return [f"{arm}-whole{rank}" for rank in range(self.thirds)]

    def cells(self) -> list[Cell]:
        cfg = self.cfg
        train, play = cfg.steps * cfg.batch / TRAINED, cfg.episodes * PLAY
        test = (len(TUNED_ON) * (cfg.episodes // len(TUNED_ON)) + len(REPORTED) * cfg.trials) * PLAY
        data = 2 * cfg.demos * COLLECTED + 2 * cfg.demos * FRAMES / RENDERED
        cells = []
        for arm in ARMS:
            names = self.tries(arm)
            for k, name in enumerate(names):
                if name.startswith(arm):
                    needs = tuple(names[:k]) if arm == "gp" else ()
                    first = data * (name == names[0])
                    cells.append(Cell(name, f"{arm} search, try {k}, a quarter of the steps", train / 4 + play + first,
                                      needs))
            for rank, name in enumerate(self.wholes(arm)):
                text = f"{arm} search, its number {rank} with all steps"
                cells.append(Cell(name, text, train + play, tuple(names)))
        needed: dict[str, tuple[str, ...]] = {RECIPE: ()}
        for arm in ARMS:
            needed[arm] = (*self.tries(arm), *self.wholes(arm))
        for who, needs in needed.items():
            cells += [
                Cell(f"{who}-final-s{seed}", f"{who}: trained anew with seed {seed}, and tested", train + test, needs)
                for seed in range(cfg.seeds)
            ]
        return cells

    def settings(self) -> dict[str, Any]:
        return self.cfg.settings()

    def check(self) -> None:
        optuna_package()
        self.prepare(TOYS, HOUSEHOLD, NEW, LIKE)

    def tried(self, names: Sequence[str]) -> list[TriedPoint]:
        """Returns what cells found, in order."""
        from toyshift.diagnostics import read_rows, read_rows_manifest

        found = []
        for name in names:
            rows = read_rows(self.path(name))
            point = read_rows_manifest(self.path(name))["point"]
            found.append(TriedPoint(point, sum(row.success for row in rows), len(rows)))
        return found

    def winner(self, arm: Arm) -> Point:
        """Returns the point of a search that succeeded most with all steps."""
        wholes = self.tried(self.wholes(arm))
        return wholes[best(wholes, 1)[0]].point

    def run(self, cell: Cell) -> None:
        """Trains with one point, plays, and keeps the rows beside the point."""
        cfg = self.cfg
        who, part = cell.name.split("-", 1)
        arm: Arm = "gp" if who == "gp" else "random"
        if part.startswith("final"):
            seed = int(part.removeprefix("final-s")) + 1  # 0 is the searches'
            point = dict(USUAL) if who == RECIPE else self.winner(arm)
            rows = self._judged(cell, point, cfg.steps, cfg.seed + seed, True)
        elif part.startswith("whole"):
            tried = self.tried(self.tries(arm))
            point = tried[best(tried, self.thirds)[int(part.removeprefix("whole"))]].point
            rows = self._judged(cell, point, cfg.steps, cfg.seed, False)
        else:
            number = int(part[1:])
            before = self.tries(arm)[:number]
            point = by_process(self.tried(before), cfg.seed) if arm == "gp" else at_random(number, cfg.seed)
            rows = self._judged(cell, point, cfg.steps // 4, cfg.seed, False)
        from toyshift.diagnostics import write_rows

        write_rows(self.path(cell.name), rows, manifest(cfg.settings(), cfg.seed, point=point))

    def data(self) -> tuple[str, ...]:
        """Returns the folders of `DATASETS`, made where they are missing; all trainings share them."""
        from toyshift.augment import augment
        from toyshift.data import CollectConfig, collect

        cfg, folder = self.cfg, self.cfg.work_dir / "data"
        workers = cfg.processes if cfg.processes > 1 else 0
        with made_once(folder):
            for name, objects in zip(DATASETS, (TOYS, HOUSEHOLD), strict=False):
                collect(CollectConfig(objects, cfg.demos, folder / name, workers=workers, seed=cfg.seed))
            for name, spec in COPIES.items():
                augment(spec, folder / "toys", folder / name, seed=cfg.seed, workers=workers)
        return tuple(str(folder / name) for name in DATASETS)

    def _judged(self, cell: Cell, point: Point, steps: int, seed: int, final: bool) -> list[Row]:
        """Trains with a point, and returns rows: of what is tuned on, and at the end of fresh starts of everything."""
        from toyshift.diagnostics import EvaluateConfig, evaluate
        from toyshift.policies import train

        cfg, folder = self.cfg, self.cfg.work_dir / cell.name
        config = best_recipe(self.data(), str(folder / "policy"), steps, cfg.batch, seed)
        train(dataclasses.replace(config, **settings_of(point)))
        rows: list[Row] = []
        where = (*TUNED_ON, *REPORTED) if final else TUNED_ON
        with pool_of(cfg.processes) as pool:
            for number, (objects, shift) in enumerate(where):
                trials = cfg.trials if number >= len(TUNED_ON) else cfg.episodes // len(TUNED_ON)
                # a search is judged on other objects under each shift: a seed's first ten are the same
                starts = TEST_SEED + seed if final else cfg.seed + number
                played = EvaluateConfig(
                    str(folder / "policy"), objects, trials, seed=starts, shift=shift,
                    purpose="test" if final else "validation", name=cell.name.split("-")[0],
                )
                rows += evaluate(played, folder / f"played-{number}.parquet", 0, pool=pool)
        return rows

    def tabulate(self) -> dict[str, Any]:
        folder = self.cfg.results_dir
        finals = whole_files(folder / "rows", "*-final-s*.parquet")
        if not finals:
            raise no_rows(folder, "tune")
        table = tabulated(finals) | {"searches": self._searches(), "settings": self.cfg.settings()}
        write_json(folder / "table.json", table)
        made = markdown(table)
        write_page(self.cfg.docs_dir / "tune.md", self.name, folder, made)
        print(made)
        return table

    def _searches(self) -> dict[str, Any]:
        """Returns what each search that is finished found, as it believed itself."""
        found: dict[str, Any] = {}
        for arm in ARMS:
            names = [*self.tries(arm), *self.wholes(arm)]
            if all(self.path(name).exists() for name in names):
                tries, wholes = self.tried(self.tries(arm)), self.tried(self.wholes(arm))
                first = wholes[best(wholes, 1)[0]]
                rates = [one.rate for one in tries]
                found[arm] = {"tries": rates, "best_try": max(rates), "whole": first.rate, "point": first.point}
        return found


def tabulated(paths: Sequence[Path]) -> dict[str, Any]:
    """Returns success by who and where, and differences from the recipe and between the searches, Holm-corrected."""
    from toyshift.diagnostics import compare, read_rows, summarise
    from toyshift.diagnostics.statistics import holm

    rows = [row for path in paths for row in read_rows(path)]
    lines, pairs = [], []
    for where in (*TUNED_ON, *REPORTED):
        here = [r for r in rows if (r.object_set, r.shift) == where]
        own = {who: [r for r in here if r.policy == who] for who in (RECIPE, *ARMS)}
        tuned = where in TUNED_ON
        lines += [{"who": s.policy, "set": where[0], "shift": where[1], "tuned_on": tuned, **figures(s)}
                  for s in summarise(here)]
        for a, b in (("gp", "random"), ("gp", RECIPE), ("random", RECIPE)):
            if own[a] and own[b] and not tuned:
                pairs.append({"a": a, "b": b, "set": where[0], "shift": where[1],
                              "paired": compare(own[a], own[b]).to_json()})
    corrected = holm([x["paired"]["p_value"] for x in pairs])
    return {"success": lines, "differences": [x | {"holm_p": p} for x, p in zip(pairs, corrected, strict=True)]}


def markdown(table: dict[str, Any]) -> str:
    """Returns the page's made part."""
    lines = [
        (x["who"], f"{x['set']} {x['shift']}".strip(), "yes" if x["tuned_on"] else "no", x["n"],
         f"{100 * x['rate']:.0f} %", percents(*x["clustered_objects_95"]))
        for x in table["success"]
    ]  # fmt: skip
    made = markdown_table("| training | on | tuned on | n | success | 95 % new objects |", lines)
    if table["differences"]:
        differences = [
            (f"{x['a']} - {x['b']}", f"{x['set']} {x['shift']}".strip(),
             f"{100 * x['paired']['difference']['value']:+.0f}", points(x["paired"]["difference"]),
             f"{x['holm_p']:.2g}")
            for x in table["differences"]
        ]  # fmt: skip
        made += "\n\nIn points, on the same starts, where nobody tuned:\n\n"
        made += markdown_table("| difference | on | points | 95 % new objects | Holm p |", differences)
    for arm, x in table["searches"].items():
        found = ", ".join(f"{d.name} {x['point'][d.name]:.2g}" for d in DIMENSIONS)
        believed = f"{100 * x['best_try']:.0f} %, and its winner with all steps in {100 * x['whole']:.0f} %"
        made += f"\n\nThe {arm} search believed its best try to succeed in {believed}: {found}."
    return made
