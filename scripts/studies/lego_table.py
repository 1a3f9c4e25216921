"""LEGO's table: zero-shot success by pooling and number of demonstrations, each pooling with its own learning rate.

toyshift study lego-table --budget small --ycb DIR
toyshift study lego-table --ycb DIR --minutes 120             goes on where it was; starts no cell after two hours
toyshift study lego-table --only "mean-*" --cells 1
toyshift study lego-table --budget paper --dry-run
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

from toyshift.core.errors import ConfigError, FileError, UnknownNameError
from toyshift.core.files import json_hash
from toyshift.core.manifest import manifest
from toyshift.core.runs import found
from toyshift.policies.config import ENCODER_NAMES, VIT_NAMES, PolicyConfig
from toyshift.policies.training.config import TrainConfig
from toyshift.scripts.recipe import quickstart_policy, quickstart_recipe
from toyshift.scripts.studies.cells import PLAY, TEST_SEED, Cell, Study, pool_of, set_name
from toyshift.scripts.studies.options import StudyConfig

TRAINING_TOYS, YCB_LIKE = "toys:train", "ycb-like?graspable"
REFERENCES = ("oracle", "random")
MADE_BY = "toyshift study lego-table"
SEARCH_SEED = 3000  # apart from TEST_SEED: rates are not chosen on the starts that are reported
# samples/s of training on two cores, whole batches of 128: for estimates until cells have been measured
SPEED = {"conv-small": 650.0, "vit-tiny": 60.0}


@dataclasses.dataclass(frozen=True)
class Budget:
    """How large the grid is.

    Attributes:
        poolings: in the order in which they run.
        demos: numbers of demonstrations, the one that is run first in front.
        seeds: seeds of training.
        policy: what is trained, whatever the pooling.
        steps: optimiser steps of a cell.
        batch: samples per step.
        trials: episodes per object set and seed.
        rates: learning rates that are tried for each pooling.
        tune_steps: optimiser steps of a try.
        tune_trials: its episodes on training toys.
    """

    poolings: tuple[str, ...]
    demos: tuple[int, ...]
    seeds: int
    policy: PolicyConfig
    steps: int
    batch: int
    trials: int
    rates: tuple[float, ...]
    tune_steps: int
    tune_trials: int


BUDGETS = {
    "small": Budget(
        ("detpool", "mean", "mask-channel", "attention", "cls", "detpool-post"), (1000, 250), 3,
        quickstart_policy("detpool"), 1100, 128, 56,
        (1e-3, 2.5e-3, 5e-3, 1e-2), 550, 56,
    ),
    # LEGO: ViT-L, history and chunk of 16, a transformer of 86M, 65 objects x 16; steps, batch and rates are not
    # published, the joint angles are seen
    "paper": Budget(
        ("detpool", "detpool-post", "mean", "cls", "attention", "mask-channel", "crop", "box"),
        (2500, 1000, 250, 500, 1500, 2000), 3,
        dataclasses.replace(
            quickstart_policy("detpool"), encoder="vit-large", encoder_size=224, policy_net="transformer-base",
            chunk=16, execute=8
        ),
        10_000, 256, 1040, (3e-5, 1e-4, 3e-4), 2_500, 260,
    ),
}


NUMBERS = ("seeds", "steps", "batch", "trials", "tune_steps", "tune_trials")  # of a budget, changed by options


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, seeds=0, steps=0, batch=0, trials=0, tune_steps=0, tune_trials=0):
    """Options of `toyshift study lego-table`."""

    budget: str = "small"
    """small (two cores, hours) or paper (ViT-L, GPUs)."""
    ycb: Path | None = None
    """Folder with real YCB objects in the official layout; they are tested when it is given."""
    out: Path = Path("runs/lego-table")
    results: Path = Path("results/lego_table")
    only: tuple[str, ...] = ()
    """Cells to run, with * for anything, e.g. "mean-1000-*"; the search for their learning rate is run first."""
    encoder: str = ""
    """Another encoder than the budget's."""
    encoder_weights: str = ""
    """Its start, as in `toyshift train`: FAMILY:FILE.safetensors."""
    freeze_encoder: bool = False
    """Train what follows the encoder only."""
    poolings: tuple[str, ...] = ()
    """Other poolings than the budget's."""
    demos: tuple[int, ...] = ()
    """Other numbers of demonstrations than the budget's."""
    seeds: int = 0
    """Another number of training seeds; 0 = the budget's."""
    steps: int = 0
    """Other optimiser steps of a cell; 0 = the budget's."""
    batch: int = 0
    """Another batch; 0 = the budget's."""
    trials: int = 0
    """Other episodes per object set and seed; 0 = the budget's."""
    rates: tuple[float, ...] = ()
    """Other learning rates to try."""
    tune_steps: int = 0
    """Other optimiser steps of a try; 0 = the budget's."""
    tune_trials: int = 0
    """Other episodes of a try; 0 = the budget's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.budget not in BUDGETS:
            raise UnknownNameError("budget", self.budget, BUDGETS)
        if self.encoder and self.encoder not in ENCODER_NAMES:
            raise UnknownNameError("encoder", self.encoder, ENCODER_NAMES)
        if min((0, *self.demos, *self.rates)) < 0:
            raise ConfigError("--demos and --rates must not be negative")

    @property
    def sets(self) -> tuple[str, ...]:
        """The object sets that success is measured on, the training toys first."""
        return (TRAINING_TOYS, YCB_LIKE, *([f"ycb:{self.ycb}?graspable"] if self.ycb else []))

    def grid(self) -> Budget:
        """The budget with this command's changes."""
        budget = BUDGETS[self.budget]
        changes = {k: v for k in ("poolings", "demos", "rates", *NUMBERS) if (v := getattr(self, k))}
        policy = {k: v for k in ("encoder", "encoder_weights", "freeze_encoder") if (v := getattr(self, k))}
        return dataclasses.replace(budget, **changes, policy=dataclasses.replace(budget.policy, **policy))


def main(cfg: Config) -> dict[str, Any]:
    """Trains and tests every pooling on every number of demonstrations with every seed; rows are kept cell by cell.

    First some learning rates are tried for each pooling at equal compute, judged by success on training toys. Killed
    and run again, it goes on.
    Example: toyshift study lego-table --budget small --ycb DIR --minutes 120
    """
    return LegoTable(cfg).conduct(cfg, cfg.only)


class LegoTable(Study):
    """The grid, and what is there of it."""

    def __init__(self, cfg: Config) -> None:
        self.cfg, self.grid = cfg, cfg.grid()
        # encoders without attention cannot tell detpool and detpool-post apart: one network, trained once
        self.same = {} if self.grid.policy.encoder in VIT_NAMES else {"detpool-post": "detpool"}
        self.poolings = [p for p in self.grid.poolings if p not in self.same]
        for pooling in self.poolings:  # refuses a pooling that the encoder cannot have before anything runs
            dataclasses.replace(self.grid.policy, pooling=pooling)
        self.kinds = self._kinds()
        super().__init__(cfg, usual=1.0 if self.grid.policy.encoder in SPEED else math.nan)

    def _kinds(self) -> dict[str, tuple[str, int, int, float]]:
        """Returns pooling, demonstrations, seed and learning rate (0: the best of the search) by cell, in order."""
        grid, most = self.grid, max(self.grid.demos)
        kinds: dict[str, tuple[str, int, int, float]] = {name: (name, 0, 0, 0.0) for name in REFERENCES}
        kinds |= {search_name(p, rate): (p, most, 0, rate) for p in self.poolings for rate in grid.rates}
        for seed, demos in itertools.product(range(grid.seeds), grid.demos):
            kinds |= {f"{p}-{demos}-s{seed}": (p, demos, seed, 0.0) for p in self.poolings}
        return kinds

    def cells(self) -> list[Cell]:
        """Returns all cells: references, searches, then seed by seed."""
        grid, cells = self.grid, []
        speed = SPEED.get(grid.policy.encoder, 1.0)
        play = PLAY * grid.trials * len(self.cfg.sets)
        for name, (pooling, demos, seed, rate) in self.kinds.items():
            if pooling in REFERENCES:
                cells.append(Cell(name, f"the reference {name}", 0.5 * play * grid.seeds))
            elif rate:
                seconds = grid.tune_steps * grid.batch / speed + PLAY * grid.tune_trials
                cells.append(Cell(name, f"{pooling} with learning rate {rate:g}", seconds))
            else:
                needs = [search_name(pooling, tried) for tried in grid.rates]
                text = f"{pooling}, {demos} demonstrations, seed {seed}"
                cells.append(Cell(name, text, grid.steps * grid.batch / speed + play, tuple(needs)))
        return cells

    # ---------------------------------------------------------------- what is there

    def settings(self) -> dict[str, Any]:
        """What decides a cell's result; how many cells, tries and episodes there are does not."""
        grid, usual = self.grid, PolicyConfig().to_json()
        # what differs from the defaults: an option that is added later must not make an old study another one
        policy = grid.policy.to_json()
        changed = {k: v for k, v in policy.items() if k == "encoder" or (k != "pooling" and v != usual[k])}
        steps = {"steps": grid.steps, "batch": grid.batch, "tune_steps": grid.tune_steps}
        return {"policy": changed, **steps, "tune_demos": max(grid.demos), "seed": self.cfg.seed}

    def check(self) -> None:
        """Finds what is missing before hours are spent: GL, every object set, folders of another study."""
        from toyshift.core.graphics import gl_backend
        from toyshift.toys import load_objects

        gl_backend()
        for spec in self.cfg.sets:
            load_objects(spec)
        self.claim(self.settings(), MADE_BY)

    def path(self, name: str) -> Path:
        return self.cfg.results / "rows" / f"{name}.parquet"

    def wanted(self, name: str) -> dict[str, tuple[tuple[int, ...], int]]:
        """Returns the evaluation seeds and the episodes for each of them, by object set, that a cell consists of."""
        pooling, _, seed, rate = self.kinds[name]
        if rate:
            return {TRAINING_TOYS: ((self.cfg.seed + SEARCH_SEED,), self.grid.tune_trials)}
        seeds = tuple(range(self.grid.seeds)) if pooling in REFERENCES else (seed,)
        return {spec: (tuple(self.cfg.seed + TEST_SEED + s for s in seeds), self.grid.trials) for spec in self.cfg.sets}

    def is_done(self, cell: Cell) -> bool:
        """Says whether a cell's rows hold all episodes on all sets, trained with the rate that is the best by now.

        Where real objects lie does not matter.
        """
        from toyshift.diagnostics import read_rows, read_rows_manifest

        if not self.path(cell.name).exists():
            return False
        pooling, demos, _, rate = self.kinds[cell.name]
        if demos and not rate and read_rows_manifest(self.path(cell.name))["lr"] != self.best_rate(pooling):
            return False
        rows = read_rows(self.path(cell.name))
        played = {(set_name(r.object_set), r.seed, r.episode) for r in rows}
        wanted = self.wanted(cell.name).items()
        return all((set_name(spec), s, i) in played for spec, (seeds, n) in wanted for s in seeds for i in range(n))

    # ---------------------------------------------------------------- running

    def run(self, cell: Cell) -> None:
        """Trains and evaluates one cell and keeps its rows; every part of it goes on where it was."""
        from toyshift.diagnostics import EvaluateConfig, evaluate, write_rows

        pooling, demos, seed, rate = self.kinds[cell.name]
        folder, facts = pooling, {"cell": cell.name, "pooling": pooling, "demos": demos, "training_seed": seed}
        facts["searched"] = bool(rate)
        if pooling not in REFERENCES:
            rate_text = "" if rate else f"-lr{self.best_rate(pooling):g}"  # a longer search may find a better one
            folder = str(self.cfg.out / "policies" / f"{cell.name}{rate_text}")
            facts |= self.train(pooling, self.demonstrations(demos), folder, seed, rate)
        name = pooling if pooling in REFERENCES else f"{pooling} lr {rate:g}" if rate else f"{pooling}-{demos}"
        rows = []
        with pool_of(self.cfg.processes) as pool:
            for spec, (seeds, trials) in self.wanted(cell.name).items():
                for s in seeds:
                    path = self.cfg.out / "rows" / f"{cell.name}_{set_name(spec).replace(':', '-')}_{s}.parquet"
                    rows += evaluate(EvaluateConfig(folder, spec, trials, seed=s, name=name), path, pool=pool)
        write_rows(self.path(cell.name), rows, manifest(self.settings(), self.cfg.seed, **facts))

    def demonstrations(self, demos: int) -> str:
        """Collects demonstrations, once: fewer of them are the first of more, and the seeds of training share them."""
        from toyshift.data import CollectConfig, collect

        folder = self.cfg.out / f"demos-{demos}"
        collect(CollectConfig(TRAINING_TOYS, demos, folder, workers=self.cfg.processes, seed=self.cfg.seed))
        return str(folder)

    def recipe(self, pooling: str, data: str, out: str, seed: int, rate: float) -> TrainConfig:
        """Returns how a policy is trained: as the quickstart's, but for pooling and rate; a search has fewer steps."""
        grid, steps = self.grid, self.grid.tune_steps if rate else self.grid.steps
        recipe = quickstart_recipe("detpool", (data,), out, steps, grid.batch, self.cfg.seed + seed)
        policy = dataclasses.replace(grid.policy, pooling=pooling)
        return dataclasses.replace(recipe, policy=policy, lr=rate or self.best_rate(pooling))

    def train(self, pooling: str, data: str, out: str, seed: int, rate: float) -> dict[str, Any]:
        from toyshift.policies import train

        recipe = self.recipe(pooling, data, out, seed, rate)
        done = train(recipe)
        return {"lr": recipe.lr, **{k: done[k] for k in ("loss", "validation_loss", "samples", "samples_per_second")}}

    def best_rate(self, pooling: str) -> float:
        """Returns the learning rate with the most successes on training toys; ties go to the lower validation loss."""
        from toyshift.diagnostics import read_rows, read_rows_manifest

        tries = []
        for path in self.path("any").parent.glob(f"lr-{pooling}-*.parquet"):
            facts = read_rows_manifest(path)
            if facts["pooling"] == pooling:  # not detpool-post when detpool is meant
                tries.append(
                    (sum(row.success for row in read_rows(path)), -(facts["validation_loss"] or math.inf), facts["lr"])
                )
        if not tries:
            raise FileError(
                f"{self.cfg.results} holds no try of a learning rate for {pooling}; the cells lr-{pooling}-* make them"
            )
        return float(max(tries)[2])

    def tabulate(self) -> dict[str, Any]:
        """Makes table and figure of the rows that are there.

        Raises:
            ConfigError: they are of a study with other settings; add the options that it was run with.
        """
        from toyshift.scripts.studies.lego_results import write_results

        if (marker := self.cfg.results / "settings.json").exists():
            found(marker, json_hash(self.settings()), "a study", MADE_BY, self.settings())
        missing = [cell.name for cell in self.cells() if not self.is_done(cell)]
        return write_results(self.cfg.results, self.cfg.docs, self.same, missing)


def search_name(pooling: str, rate: float) -> str:
    return f"lr-{pooling}-{rate:g}"
