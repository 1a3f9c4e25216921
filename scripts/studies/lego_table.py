"""LEGO's table: zero-shot success by pooling, each with its own learning rate, jitter and normalisation.

toyshift study lego-table --budget small --ycb DIR
toyshift study lego-table --ycb DIR --minutes 120             goes on where it was; starts no cell after two hours
toyshift study lego-table --only "mean-*" --cells 1
toyshift study lego-table --encoder vit-mini --encoder-size 64 --poolings detpool detpool-post --out runs/lego-vit
toyshift study lego-table --ycb DIR --results results/lego_fair --from-scratch     makes the committed rows again
toyshift study lego-table --budget paper --dry-run
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import json_hash
from toyshift.core.manifest import manifest
from toyshift.policies.config import VIT_NAMES, PolicyConfig
from toyshift.policies.parts import Encoder
from toyshift.policies.training.config import TrainConfig
from toyshift.scripts.recipe import quickstart_policy, quickstart_recipe
from toyshift.scripts.studies.again import set_name
from toyshift.scripts.studies.cells import PLAY, Study, made_once, pool_of
from toyshift.scripts.studies.lego_search import BEYOND_RATES, Choice, Try, next_choice, ranked
from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig
from toyshift.scripts.studies.schedule import Cell

TRAINING_TOYS, YCB_LIKE = "toys:train", "ycb-like?graspable"
REFERENCES = ("oracle", "random")
MASKED = "+mask"  # behind a pooling: the encoder gets the target's mask as an input channel
PLAIN, LONG = "plain", "long"
# samples/s of training on two cores, whole batches of 128: for estimates until cells have been measured
SPEED = {"conv-small": 650.0, "vit-mini": 350.0, "vit-tiny": 100.0}
NO_JITTER: dict[str, Any] = {"brightness": 0.0, "contrast": 0.0, "color": 0.0}


class StudyScene(NamedTuple):
    """Where demonstrations are collected, or policies tested.

    Attributes:
        shift: as of `toyshift collect --shift`.
        clutter: other objects on the table, as of `--clutter`; "" for none.
    """

    shift: str = ""
    clutter: str = ""


# "varied": in every episode a table, floor and wall of its own; those of a test are none of training
VARIED = "table-texture=5,background=5"
TRAINED_IN = {PLAIN: StudyScene(), "varied": StudyScene(shift=VARIED), "clutter": StudyScene(clutter="0-4")}
TESTED_IN = {PLAIN: StudyScene(), "table": StudyScene(shift="table-texture=5"), "clutter": StudyScene(clutter="4")}
OWN_TEST = {PLAIN: PLAIN, "varied": "table", "clutter": "clutter"}  # the test most like training


@dataclasses.dataclass(frozen=True)
class Budget:
    """How large the grid is.

    Attributes:
        poolings: in the order in which they run; "+mask" behind one gives its encoder the mask as an input channel.
        varied: those that are trained in the other scenes too.
        demos: demonstrations of each seed and scene.
        seeds: seeds of training and of demonstrations.
        policy: what is trained, whatever the pooling.
        steps: optimiser steps of a cell.
        long_steps: those of the long cells, one for each pooling, with the first seed; 0 = none.
        kept: steps of a long cell at which it is tested as well.
        batch: samples per step.
        trials: episodes per object set, scene and seed.
        rates: learning rates that each pooling begins its search with.
        tune_steps: optimiser steps of a try.
        tune_trials: its episodes on training toys.
    """

    poolings: tuple[str, ...]
    varied: tuple[str, ...]
    demos: int
    seeds: int
    policy: PolicyConfig
    steps: int
    long_steps: int
    kept: tuple[int, ...]
    batch: int
    trials: int
    rates: tuple[float, ...]
    tune_steps: int
    tune_trials: int


BUDGETS = {
    "small": Budget(
        (
            "detpool", "attention", "attention+mask", "mask-channel", "mean", "cls", "cls+mask", "crop", "box",
            "detpool+mask", "detpool-post",
        ),
        ("detpool", "attention", "mask-channel"), 500, 3, quickstart_policy("detpool"), 1100, 4400, (550, 1100, 2200),
        128, 56, (2.5e-3, 5e-3, 1e-2), 550, 56,
    ),
    # LEGO: ViT-L, history and chunk of 16, a transformer of 86M, 65 objects x 16; steps, batch and rates are not
    # published, the joint angles are seen
    "paper": Budget(
        ("detpool", "detpool-post", "mean", "cls", "attention", "mask-channel", "attention+mask", "crop", "box"),
        ("detpool", "attention", "mask-channel"), 2500, 3,
        dataclasses.replace(
            quickstart_policy("detpool"), encoder="vit-large", encoder_size=224, policy_net="transformer-base",
            chunk=16, execute=8
        ),
        10_000, 40_000, (5_000, 10_000, 20_000), 256, 1040, (3e-5, 1e-4, 3e-4), 2_500, 260,
    ),
}


if TYPE_CHECKING:  # for a type checker the choices are texts
    BudgetName = str
else:
    BudgetName = Literal[tuple(BUDGETS)]

# of a budget, changed by options
NUMBERS = ("demos", "seeds", "steps", "long_steps", "batch", "trials", "tune_steps", "tune_trials")
TUPLES = ("poolings", "varied", "rates", "kept")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    StudyConfig, demos=0, seeds=(0, MOST_SEEDS), steps=0, batch=0, trials=0, tune_steps=0, tune_trials=0, encoder_size=0
):
    """Options of `toyshift study lego-table`."""

    budget: BudgetName = "small"
    """small (two cores, hours) or paper (ViT-L, GPUs)."""
    ycb: Path | None = None
    """Folder with real YCB objects in the official layout; they are tested when it is given."""
    out: Path = Path("runs/lego-table")
    only: tuple[str, ...] = ()
    """Cells to run, with * for anything, e.g. "mean-plain-*"; the search for their settings is run first."""
    encoder: Encoder | None = None
    """Another encoder than the budget's."""
    encoder_size: int = 0
    """Another side of the images for the encoder [pixels]; 0 = the budget's."""
    encoder_weights: str = ""
    """Its start, as in `toyshift train`: FAMILY:FILE.safetensors."""
    freeze_encoder: bool = False
    """Train what follows the encoder only."""
    poolings: tuple[str, ...] = ()
    """Other poolings than the budget's; +mask behind one gives its encoder the mask as an input channel."""
    varied: tuple[str, ...] = ()
    """Other poolings to train in varied scenes and in clutter too; "none" for none."""
    demos: int = 0
    """Another number of demonstrations; 0 = the budget's."""
    seeds: int = 0
    """Another number of seeds of training and of demonstrations; 0 = the budget's."""
    steps: int = 0
    """Other optimiser steps of a cell; 0 = the budget's."""
    long_steps: int = 0
    """Other optimiser steps of the long cells; 0 = the budget's, -1 = no long cells."""
    kept: tuple[int, ...] = ()
    """Other steps at which long cells are tested on the way."""
    batch: int = 0
    """Another batch; 0 = the budget's."""
    trials: int = 0
    """Other episodes per object set, scene and seed; 0 = the budget's."""
    rates: tuple[float, ...] = ()
    """Other learning rates to begin the search with."""
    tune_steps: int = 0
    """Other optimiser steps of a try; 0 = the budget's."""
    tune_trials: int = 0
    """Other episodes of a try; 0 = the budget's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min((0, *self.kept, *self.rates)) < 0 or self.long_steps < -1:
            raise ConfigError("--kept and --rates must not be negative, --long-steps not below -1")
        if len(self.rates) == 1:
            raise ConfigError("a search needs at least two --rates")

    @property
    def sets(self) -> tuple[str, ...]:
        """The object sets that success is measured on, the training toys first."""
        return (TRAINING_TOYS, YCB_LIKE, *([f"ycb:{self.ycb}?graspable"] if self.ycb else []))

    def grid(self) -> Budget:
        """The budget with this command's changes."""
        budget = BUDGETS[self.budget]
        changes = {k: v for k in (*TUPLES, *NUMBERS) if (v := getattr(self, k))}
        keys = ("encoder", "encoder_size", "encoder_weights", "freeze_encoder")
        policy = {k: v for k in keys if (v := getattr(self, k))}
        grid = dataclasses.replace(budget, **changes, policy=dataclasses.replace(budget.policy, **policy))
        varied = tuple(name for name in grid.varied if name in grid.poolings)
        kept = tuple(step for step in grid.kept if step < grid.long_steps)
        return dataclasses.replace(grid, varied=varied, kept=kept, long_steps=max(0, grid.long_steps))


def main(cfg: Config) -> dict[str, Any]:
    """Trains and tests every pooling with every seed, and some in other scenes; rows are kept cell by cell.

    First each pooling searches its learning rate, jitter and normalisation at equal compute, judged by success on
    training toys from starts that are not reported. Killed and run again, it goes on.
    Example: toyshift study lego-table --budget small --ycb DIR --minutes 120
    """
    return LegoTable(cfg).conduct(cfg, cfg.only)


class CellKind(NamedTuple):
    """What a cell is: a pooling (or reference), the scene of its demonstrations, its seed, and its number as a try."""

    pooling: str
    scene: str = PLAIN
    seed: int = 0
    tried: int = 0


class LegoTable(Study):
    """The grid, and what is there of it."""

    name = "lego-table"

    def __init__(self, cfg: Config) -> None:
        self.cfg, self.grid = cfg, cfg.grid()
        # encoders without attention cannot tell detpool and detpool-post apart: one network, trained once
        self.same = {} if self.grid.policy.encoder in VIT_NAMES else {"detpool-post": "detpool"}
        self.poolings = [p for p in self.grid.poolings if p not in self.same]
        for pooling in self.poolings:  # refuses a pooling that the encoder cannot have before anything runs
            self.policy(pooling, Choice(1.0))
        self.tries = len(self.grid.rates) + BEYOND_RATES
        self.kinds = self._kinds()
        super().__init__(cfg, usual=1.0 if self.grid.policy.encoder in SPEED else math.nan)

    def _kinds(self) -> dict[str, CellKind]:
        """Returns what each cell is, by its name, in order: references, searches, seed by seed, long cells."""
        grid = self.grid
        kinds = {name: CellKind(name) for name in REFERENCES}
        kinds |= {try_name(p, i): CellKind(p, tried=i) for p in self.poolings for i in range(1, self.tries + 1)}
        for seed in range(grid.seeds):
            kinds |= {f"{p}-{PLAIN}-s{seed}": CellKind(p, PLAIN, seed) for p in self.poolings}
            others = [scene for scene in TRAINED_IN if scene != PLAIN]
            kinds |= {f"{p}-{scene}-s{seed}": CellKind(p, scene, seed) for scene in others for p in grid.varied}
        return kinds | {f"{p}-{LONG}-s0": CellKind(p, LONG) for p in self.poolings if grid.long_steps}

    def cells(self) -> list[Cell]:
        """Returns all cells in the order in which they run."""
        grid, cells = self.grid, []
        speed = SPEED.get(grid.policy.encoder, 1.0)
        for name, kind in self.kinds.items():
            episodes = sum(len(seeds) * n for _, _, seeds, n in self.wanted(name).values())
            if kind.pooling in REFERENCES:
                cells.append(Cell(name, f"the reference {name}", 0.5 * PLAY * episodes))
                continue
            seconds = self.steps(kind) * grid.batch / speed + PLAY * episodes
            if kind.tried:
                text = f"{kind.pooling}, try {kind.tried} of {self.tries}"
                needs = [try_name(kind.pooling, i) for i in range(1, kind.tried)]
            else:
                text = f"{kind.pooling}, {kind.scene}, seed {kind.seed}"
                needs = [try_name(kind.pooling, i) for i in range(1, self.tries + 1)]
            cells.append(Cell(name, text, seconds, tuple(needs)))
        return cells

    def steps(self, kind: CellKind) -> int:
        """Returns how long a cell trains."""
        if kind.tried:
            return self.grid.tune_steps
        return self.grid.long_steps if kind.scene == LONG else self.grid.steps

    # ---------------------------------------------------------------- what is there

    def settings(self) -> dict[str, Any]:
        """What decides a cell's result; how many cells, seeds and episodes there are does not."""
        grid, usual = self.grid, PolicyConfig().to_json()
        # what differs from the defaults: an option that is added later must not make an old study another one
        policy = grid.policy.to_json()
        changed = {k: v for k, v in policy.items() if k == "encoder" or (k != "pooling" and v != usual[k])}
        steps = {name: getattr(grid, name) for name in ("steps", "long_steps", "batch", "tune_steps", "tune_trials")}
        return {"policy": changed, **steps, "demos": grid.demos, "rates": list(grid.rates), "seed": self.cfg.seed}

    def check(self) -> None:
        self.prepare(*self.cfg.sets)

    def wanted(self, name: str) -> dict[str, tuple[str, StudyScene, tuple[int, ...], int]]:
        """Returns the tests that a cell consists of, by name: object set, scene, evaluation seeds, episodes for each.

        Toys are met in the scene most like training's, other objects in all; a long cell is tested in the plain one.
        """
        kind, grid = self.kinds[name], self.grid
        if kind.tried:
            return {"search": (TRAINING_TOYS, TESTED_IN[PLAIN], (self.cfg.seed,), grid.tune_trials)}
        reference = kind.pooling in REFERENCES
        seeds = tuple(self.cfg.seed + s for s in (range(grid.seeds) if reference else (kind.seed,)))
        tests: dict[str, tuple[str, StudyScene, tuple[int, ...], int]] = {}
        for spec in self.cfg.sets:
            scenes: Mapping[str, StudyScene] = TESTED_IN
            if spec == TRAINING_TOYS and not reference:
                own = OWN_TEST.get(kind.scene, PLAIN)
                scenes = {own: TESTED_IN[own]}
            elif kind.scene == LONG:
                scenes = {PLAIN: TESTED_IN[PLAIN]}
            tests |= {
                f"{set_name(spec)}, {scene}".replace(":", "-"): (spec, where, seeds, grid.trials)
                for scene, where in scenes.items()
            }
        return tests

    def is_done(self, cell: Cell) -> bool:
        """Says whether a cell's rows hold all episodes of all tests, trained with what is the best choice by now.

        Where real objects lie does not matter.
        """
        from toyshift.diagnostics import read_rows, read_rows_manifest

        path, kind = self.path(cell.name), self.kinds[cell.name]
        if not path.exists():
            return False
        if kind.pooling not in REFERENCES and not kind.tried:
            tries, trained_with = self.searched(kind.pooling), Choice(**read_rows_manifest(path)["choice"])
            if len(tries) < self.tries or trained_with != ranked(tries)[0]:
                return False
        rows = read_rows(path)
        played = {(set_name(r.object_set), r.shift, r.scene, r.seed, r.episode) for r in rows}
        return all(
            (set_name(spec), scene.shift, env_spec(scene).scene, s, i) in played
            for spec, scene, seeds, n in self.wanted(cell.name).values() for s in seeds for i in range(n)
        )

    # ---------------------------------------------------------------- running

    def run(self, cell: Cell) -> None:
        """Trains and evaluates one cell and keeps its rows; every part of it goes on where it was."""
        from toyshift.diagnostics import write_rows
        from toyshift.envs.render.renderer import gl_renderer_name
        from toyshift.policies.checkpoints import kept_folder

        kind = self.kinds[cell.name]
        facts: dict[str, Any] = {"cell": cell.name, "kind": kind._asdict()}
        if kind.pooling in REFERENCES:
            rows = self.play(cell.name, kind.pooling, kind.pooling)
        else:
            choice = self.choice(kind)
            folder = self.cfg.work_dir / "policies" / f"{cell.name}-{json_hash(dataclasses.asdict(choice))[:6]}"
            facts |= self.train(kind, choice, folder) | {"choice": dataclasses.asdict(choice)}
            name = f"{kind.pooling} {choice}" if kind.tried else f"{kind.pooling} {kind.scene}"
            rows = self.play(cell.name, str(folder), name)
            for step in self.grid.kept if kind.scene == LONG else ():
                rows += self.play(cell.name, str(kept_folder(folder, step)), f"{name} at {step}")
        made_by = manifest(self.settings(), self.cfg.seed, gl_renderer=gl_renderer_name(), **facts)
        write_rows(self.path(cell.name), rows, made_by)

    def play(self, cell: str, policy: str, name: str) -> list[Any]:
        """Returns the rows of all tests of a cell with one policy."""
        from toyshift.diagnostics import EvaluateConfig, evaluate

        rows = []
        purpose = "validation" if self.kinds[cell].tried else "test"
        with pool_of(self.cfg.processes) as pool:
            for test, (spec, scene, seeds, trials) in self.wanted(cell).items():
                for s in seeds:
                    path = self.cfg.work_dir / "rows" / f"{cell}_{name}_{test}_{s}.parquet".replace(" ", "")
                    config = EvaluateConfig(
                        policy, spec, trials, seed=s, name=name, env=env_spec(scene), shift=scene.shift, purpose=purpose
                    )
                    rows += evaluate(config, path, workers=0, pool=pool)  # without a pool, in this process
        return rows

    def demonstrations(self, scene: str, seed: int) -> str:
        """Collects the demonstrations of a scene and seed, once."""
        from toyshift.data import CollectConfig, collect

        where = TRAINED_IN[PLAIN if scene == LONG else scene]
        folder = self.cfg.work_dir / f"demos-{PLAIN if scene == LONG else scene}-s{seed}"
        asked = CollectConfig(
            TRAINING_TOYS, self.grid.demos, folder, workers=self.cfg.processes, seed=self.cfg.seed + seed,
            shift=where.shift, clutter=where.clutter or None,
        )
        with made_once(folder):
            collect(asked)
        return str(folder)

    def policy(self, pooling: str, choice: Choice) -> PolicyConfig:
        """Returns what a policy is made of."""
        name, masked = pooling.removesuffix(MASKED), pooling.endswith(MASKED)
        return dataclasses.replace(self.grid.policy, pooling=name, mask_input=masked, pooled_norm=choice.norm)

    def recipe(self, kind: CellKind, choice: Choice, data: str, out: str) -> TrainConfig:
        """Returns how a policy is trained: as the quickstart's, but for pooling and what was searched."""
        grid, steps = self.grid, self.steps(kind)
        recipe = quickstart_recipe("detpool", (data,), out, steps, grid.batch, self.cfg.seed + kind.seed)
        jitter = {} if choice.jitter else NO_JITTER
        kept = grid.kept if kind.scene == LONG else ()
        policy = self.policy(kind.pooling, choice)
        return dataclasses.replace(recipe, policy=policy, lr=choice.lr, keep_steps=kept, **jitter)

    def train(self, kind: CellKind, choice: Choice, folder: Path) -> dict[str, Any]:
        from toyshift.policies import train

        done = train(self.recipe(kind, choice, self.demonstrations(kind.scene, kind.seed), str(folder)))
        return {k: done[k] for k in ("loss", "validation_loss", "samples", "samples_per_second")}

    # ---------------------------------------------------------------- the search

    def choice(self, kind: CellKind) -> Choice:
        """Returns what a cell is trained with."""
        if kind.tried:
            return next_choice(self.searched(kind.pooling)[: kind.tried - 1], self.grid.rates)
        return self.best(kind.pooling)

    def searched(self, pooling: str) -> list[Try]:
        """Returns what came of a pooling's tries, in order, up to the first that is missing."""
        from toyshift.diagnostics import read_rows, read_rows_manifest

        tries: list[Try] = []
        for i in range(1, self.tries + 1):
            if not (path := self.path(try_name(pooling, i))).exists():
                break
            facts, rows = read_rows_manifest(path), read_rows(path)
            tries.append(Try(Choice(**facts["choice"]), sum(row.success for row in rows), facts["validation_loss"]))
        return tries

    def best(self, pooling: str) -> Choice:
        """Returns the choice with the most successes on training toys; ties go to the lower validation loss."""
        tries = self.searched(pooling)
        if len(tries) < self.tries:
            raise FileError(
                f"{self.cfg.results_dir} holds {len(tries)} of {self.tries} tries of {pooling}; "
                f"the cells {try_name(pooling, 1)[:-1]}* make them"
            )
        return ranked(tries)[0]

    def tabulate(self) -> dict[str, Any]:
        """Makes table and figure of the rows that are there.

        Raises:
            ConfigError: they are of a study with other settings; add the options that it was run with.
        """
        from toyshift.scripts.studies.lego_results import write_results

        self.require_settings(self.cfg.results_dir)
        missing = [cell.name for cell in self.cells() if not self.is_done(cell)]
        return write_results(self.cfg.results_dir, self.cfg.docs_dir, self.same, missing)


def try_name(pooling: str, i: int) -> str:
    return f"try-{pooling}-{i}"


def env_spec(scene: StudyScene) -> Any:
    """Returns how the environment of a test is made."""
    from toyshift.diagnostics.actors import EnvSpec

    return EnvSpec({"clutter": scene.clutter} if scene.clutter else {})
