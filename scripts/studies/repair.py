"""Which repair repairs a shortcut: all of them, and controls, at equal gradient samples on the same demonstrations.

A cue is planted (`planted`): on the table, where choices may be made, and on the object's colour and the viewpoint,
which are reported. Of every entry the learning rate is chosen on the table's own cue alone. There is a natural shortcut
too: policies that learn on one table, and are tested on others.

toyshift study repair --dry-run                             what would be run, and how long it takes
toyshift study repair --repairs hint toward-other           these, beside none, duplicate and toward-own
toyshift study repair --cells-at-once 2                     cells side by side, with one thread each
toyshift study repair --budget paper --minutes 600          goes on where it was; starts no cell after ten hours
toyshift study repair --results results/repair --docs docs --tabulate     the committed rows and their page
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from toyshift.core.errors import ConfigError, ContractError
from toyshift.core.files import read_json
from toyshift.core.manifest import manifest
from toyshift.core.seeds import episode_rng
from toyshift.scripts.studies.cells import TEST_SEED, Study, made_once, pool_of
from toyshift.scripts.studies.lego_search import Choice, Try, ranked
from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig
from toyshift.scripts.studies.planted import PlantedCue, collect_places, dress, recipe
from toyshift.scripts.studies.recipe import timed
from toyshift.scripts.studies.repair_entries import (
    CLEAN,
    FAMILY,
    LABELLED,
    NATURAL,
    NONE,
    ORACLE,
    TWO_SEEDS,
    UPSAMPLE,
    Entry,
    chosen_entries,
)
from toyshift.scripts.studies.repair_gate import closed_by
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.diagnostics import EvaluateConfig, Row
    from toyshift.policies.training.config import TrainConfig

TOYS = "toys:train"
DISPARITY = 1.0  # of the two values of a cue: half a factor's span, with azimuth 60 degrees
TUNED = "table"  # the cue on which choices are made; it is not reported
OTHER_TABLES = "table-texture=5"  # the shift that a natural shortcut fails under
# For estimates until cells have been measured, of one core: samples/s with images of 48 pixels (those of 96 take 2.3
# times as long), and seconds per control step, per episode that is rendered again, and per one that is collected.
TRAINING_SPEED, AT, LARGER = 1200.0, 48, 2.3
STEP, RENDERING, COLLECTING = 0.0035, 0.25, 0.7
PAIRING = 40.0  # seconds for the pairs of looks of `erase`
SCENES, LOOKS = 40, 5  # of those, as `toyshift diagnose --measure steer` has them

Bed = Literal["object_colour", "azimuth", "natural"]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How large the study is.

    Attributes:
        beds: what is reported, in the order in which it runs.
        demos: demonstrations of each seed.
        seeds: of demonstrations, cues, training and test together.
        steps: optimiser steps at one pass a step: their samples are everyone's gradient samples.
        batch: samples per step.
        trials: episodes in each of the four cells of a test.
        search_steps: likewise `steps`, of a try.
        size: side to which the policies' images are resized [pixels].
        max_steps: control steps after which an episode of a test ends.
        family: only rows of `FAMILY` have all seeds; others one, outside Holm's family.
    """

    beds: tuple[Bed, ...]
    demos: int
    seeds: int
    steps: int
    batch: int
    trials: int
    search_steps: int
    size: int
    max_steps: int
    family: bool


BUDGETS = {
    "small": Sizes(("object_colour", "azimuth"), 200, 3, 600, 128, 25, 300, 48, 60, True),
    "paper": Sizes(("object_colour", "azimuth", "natural"), 500, 5, 2200, 128, 50, 1100, 96, 100, False),
}
NUMBERS = ("demos", "seeds", "steps", "batch", "trials", "search_steps", "size", "max_steps")  # of a budget, by options


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(
    StudyConfig, demos=0, seeds=(0, MOST_SEEDS), steps=0, batch=0, trials=0, search_steps=0, size=(0, 1024),
    max_steps=0,
):
    """Options of `toyshift study repair`."""

    budget: Literal["small", "paper"] = "small"
    """small: planted cues, images of 48 pixels, three seeds of a family of rows and one of the others; paper: more of
    everything, all seeds of all rows, and a natural shortcut."""
    repairs: tuple[str, ...] = ()
    """Rows of the study to run; none, duplicate and toward-own, with which all are compared, are run in any case. By
    default all: every augmentation, every repair of a training, every control."""
    beds: tuple[Bed, ...] = ()
    """Other shortcuts than the budget's."""
    pooling: str = "attention"
    """Of the policies; they get no masks as an input."""
    rates: tuple[float, ...] = (2.5e-3, 5e-3, 1e-2)
    """Learning rates that every row tries."""
    demos: int = 0
    """Another number of demonstrations of each seed; 0 = the budget's."""
    seeds: int = 0
    """Another number of seeds; 0 = the budget's."""
    steps: int = 0
    """Other optimiser steps; 0 = the budget's. What passes a sample more than once takes fewer."""
    batch: int = 0
    """Another number of samples per step; 0 = the budget's."""
    trials: int = 0
    """Other episodes in each of the four cells of a test; 0 = the budget's."""
    search_steps: int = 0
    """Other optimiser steps of a try; 0 = the budget's."""
    size: int = 0
    """Another side to which the policies' images are resized [pixels]; 0 = the budget's."""
    max_steps: int = 0
    """Other control steps after which an episode ends; 0 = the budget's."""
    anyway: bool = False
    """Run the other cells of a shortcut although policies without a repair do not take it, or lift too little."""
    out: Path = Path("runs/repair")
    only: tuple[str, ...] = ()
    """Cells to run, by pattern, e.g. "azimuth-*-s0"; the search of their learning rates, and the shortcut's first
    policy without a repair, are run first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.rates)) != len(self.rates) or not self.rates or min(self.rates) <= 0:
            raise ConfigError(f"--rates must be different numbers above 0, got {', '.join(map(str, self.rates))}")
        if 0 < self.demos < LEAST_DEMOS:
            raise ConfigError(f"--demos is {self.demos}; a study with two sides takes {LEAST_DEMOS} at least")
        chosen_entries(self.repairs)

    def sizes(self) -> Sizes:
        """The budget with this command's changes."""
        changes: dict[str, Any] = {name: value for name in NUMBERS if (value := getattr(self, name))}
        beds = tuple(dict.fromkeys(self.beds)) or BUDGETS[self.budget].beds
        return dataclasses.replace(BUDGETS[self.budget], beds=beds, **changes)

    def settings(self) -> dict[str, Any]:
        """What decides a cell's result; how many there are does not."""
        sizes = dataclasses.asdict(self.sizes())
        own = {"pooling": self.pooling, "rates": list(self.rates), "seed": self.seed}
        return own | {name: sizes[name] for name in NUMBERS if name != "seeds"}


LEAST_DEMOS = 4  # of each side some are learnt from, and some held out


def main(cfg: Config) -> dict[str, Any]:
    """Trains policies with every repair and every control, and swaps the cue that they learnt with (docs/repair.md).

    All see the same demonstrations, have the same number of gradient samples and the same search of a learning rate,
    and are tested from the same starts. Killed and run again, it goes on.
    Example: toyshift study repair --budget small --repairs hint toward-other --out runs/repair
    """
    return RepairStudy(cfg).conduct(cfg, cfg.only)


class RepairCell(NamedTuple):
    """What a cell is: an entry, the shortcut in its data, its seed, and its number as a try of the search."""

    entry: str
    bed: str
    seed: int = 0
    tried: int = 0

    @property
    def factor(self) -> str:
        """The factor of the look that the shortcut is on."""
        return TUNED if self.bed == NATURAL else self.bed


def played_by(part: RepairCell, trials: int) -> dict[str, dict[str, Any]]:
    """Returns what a cell plays, by name, as arguments of `EvaluateConfig`; a try plays nothing.

    Args:
        part: the cell.
        trials: episodes of each cell of a planted cue; a natural shortcut's test has as many as two.
    """
    from toyshift.envs.textures import TABLES

    if part.tried:
        return {}
    if part.bed == NATURAL:
        tables = tuple(range(1, len(TABLES)))
        looks: dict[str, dict[str, Any]] = {
            "plain": {}, OTHER_TABLES: {"shift": OTHER_TABLES}, "other tables": {"look": {"table": tables}},
        }  # fmt: skip
        return {name: {"trials": 2 * trials, **look} for name, look in looks.items()}
    cells = PlantedCue(part.bed, DISPARITY, 1.0).cells()
    return {cell.name: {"trials": trials, "cell": cell} for cell in cells}


def steps_within(samples: int, cost: Callable[[int], int]) -> int:
    """Returns the largest number of steps, at least 1, whose cost is at most `samples`; both in passes of a batch.

    Args:
        samples: of everyone.
        cost: steps -> passes of a batch forward and backward, those of trainings before it among them; increasing.
    """
    return max(1, bisect.bisect_right(range(1, samples + 1), samples, key=cost))


class RepairStudy(Study):
    """Entries times shortcuts times seeds, with the search of each entry's learning rate before its first."""

    name = "repair"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg, self.sizes = cfg, cfg.sizes()
        self.entries = chosen_entries(cfg.repairs)
        self.parts = self._parts()

    def _parts(self) -> dict[str, RepairCell]:
        """Returns what each cell is, by its name, in order: with each further seed the table is complete once more.

        What decides whether a shortcut is worth the others comes first.
        """
        parts: dict[str, RepairCell] = {}
        tries = range(1, len(self.cfg.rates) + 1)
        ordered = sorted(self.entries.items(), key=lambda item: item[0] not in (NONE, CLEAN))
        for seed in range(self.sizes.seeds):
            for name, entry in ordered:
                beds = [bed for bed in self.sizes.beds if bed != NATURAL or plays_natural(entry)]
                if not seed and beds and entry.trained:
                    parts |= {try_name(name, i): RepairCell(name, TUNED, 0, i) for i in tries}
                named = {f"{bed}-{name}-s{seed}": RepairCell(name, bed, seed) for bed in beds}
                parts |= {cell: part for cell, part in named.items() if not seed or self.in_family(part)}
        return parts

    def in_family(self, part: RepairCell) -> bool:
        """Whether an entry has all seeds on a shortcut, and a place in Holm's family; others have one, and none."""
        entry = self.entries[part.entry]
        return not entry.null(part.bed) and (not self.sizes.family or entry.name in FAMILY)

    def cells(self) -> list[Cell]:
        return [self._cell(name, part) for name, part in self.parts.items()]

    def _cell(self, name: str, part: RepairCell) -> Cell:
        sizes, entry = self.sizes, self.entries[part.entry]
        episodes = sum(test["trials"] for test in played_by(part, sizes.trials).values())
        seconds = STEP * sizes.max_steps * episodes / self.cfg.processes
        needs = tuple(dict.fromkeys(need for who in self._first(part) for need in self._tries(who)))
        gate = (self.gate(part.bed),) if len(self._first(part)) > 1 else ()
        text = f"{part.entry}, {part.bed}, seed {part.seed}"
        if not entry.trained:
            return Cell(name, text, seconds, (*needs, *gate))
        times = 1 + entry.all_steps  # of what passes more than once
        slower = LARGER ** (math.log2(sizes.size / AT)) if sizes.size else LARGER
        seconds += times * self.steps(part) * sizes.batch / TRAINING_SPEED * slower
        seconds += PAIRING * starts_from_another(entry)
        if part.tried < 2:  # further tries find the data there
            first = entry.clean or entry.name == NONE  # who asks first for the demonstrations
            made = RENDERING * bool(entry.augmentation) + (COLLECTING + RENDERING) * first
            seconds += sizes.demos * made / self.cfg.processes
        if part.tried:
            return Cell(name, f"{part.entry}, learning rate {self.cfg.rates[part.tried - 1]:g}", seconds)
        return Cell(name, text, seconds, (*needs, *gate))

    def _first(self, part: RepairCell) -> tuple[str, ...]:
        """Returns whose searches come before a cell: its own, and that of what its shortcut is asked by."""
        if part.tried:
            return ()
        asks = self.cfg.anyway or (part.entry in (NONE, CLEAN) and not part.seed)
        return (part.entry,) if asks else (part.entry, NONE)

    def _tries(self, name: str) -> list[str]:
        if not self.entries[name].trained:
            return []
        return [try_name(name, i) for i in range(1, len(self.cfg.rates) + 1)]

    def gate(self, bed: str) -> str:
        """Returns the cell by which a shortcut is asked whether it is there to be repaired."""
        return f"{bed}-{NONE}-s0"

    def closed(self, bed: str) -> str:
        """Says why the other cells of a shortcut are not run; "" where they are."""
        return "" if self.cfg.anyway else closed_by(self.path(self.gate(bed)))

    def steps(self, part: RepairCell) -> int:
        return self.sizes.search_steps if part.tried else self.sizes.steps

    def settings(self) -> dict[str, Any]:
        return self.cfg.settings()

    def is_done(self, cell: Cell) -> bool:
        """Says whether a cell's rows are there; of a policy, whether it learnt at what is the best rate by now.

        Where a shortcut is not there to be repaired, there is nothing more to do.
        """
        from toyshift.diagnostics import read_rows_manifest

        path, part = self.path(cell.name), self.parts[cell.name]
        if len(self._first(part)) > 1 and self.closed(part.bed):
            return True
        if not path.exists():
            return False
        if part.tried or not self.entries[part.entry].trained:
            return True
        tries = self.searched(part.entry)
        return len(tries) == len(self.cfg.rates) and read_rows_manifest(path)["lr"] == ranked(tries)[0].lr

    def check(self) -> None:
        self.prepare(TOYS)

    # ---------------------------------------------------------------- running

    def conduct(self, cfg: StudyConfig, only: Sequence[str] = ()) -> dict[str, Any]:
        made = super().conduct(cfg, only)
        for bed in self.sizes.beds:
            if why := self.closed(bed):
                print(f"{bed}: {why}; its other cells count as done (--anyway runs them)")
        if made.get("table", {}).get("missing") == []:
            from toyshift.scripts.studies.repair_films import film_repairs

            made["films"] = film_repairs(self, made["table"])
        return made

    def run(self, cell: Cell) -> None:
        """Repairs, trains and tests one policy and keeps its rows; every part of it goes on where it was."""
        from toyshift.diagnostics import write_rows
        from toyshift.envs.render.renderer import gl_renderer_name

        part = self.parts[cell.name]
        entry, seed = self.entries[part.entry], self.cfg.seed + part.seed
        facts: dict[str, Any] = {"part": part._asdict(), "entry": dataclasses.asdict(entry), "disparity": DISPARITY}
        facts |= {"family": self.in_family(part), "null": entry.null(part.bed)}
        policy, folder = ORACLE, self.folder_of(part)
        if entry.trained:
            rate = self.rate(part)
            policy, made = self.policy(part, rate, folder)
            facts |= {"lr": rate, **made}
        rows = [] if facts.get("refused") or part.tried else self.play(part, policy, folder / "rows")
        made_by = manifest(self.settings(), seed, gl_renderer=gl_renderer_name(), **facts)
        write_rows(self.path(cell.name), rows, made_by)
        if all(self.is_done(other) for other in self.cells() if self._shares_data(self.parts[other.name], part)):
            shutil.rmtree(self._repaired(part), ignore_errors=True)  # hundreds of megabytes each

    def _shares_data(self, one: RepairCell, other: RepairCell) -> bool:
        return one._replace(tried=0) == other._replace(tried=0)

    def rate(self, part: RepairCell) -> float:
        """Returns the learning rate of a cell: of a try its own, else the best of the tries."""
        return self.cfg.rates[part.tried - 1] if part.tried else ranked(self.searched(part.entry))[0].lr

    def folder_of(self, part: RepairCell) -> Path:
        """Returns the folder of a cell's trainings and unfinished rows; one that learns at another rate has another."""
        name = try_name(part.entry, part.tried) if part.tried else f"{part.bed}-{part.entry}-s{part.seed}"
        folder = self.cfg.work_dir / "cells" / name
        return folder / f"{self.rate(part):g}" if self.entries[part.entry].trained else folder

    def searched(self, name: str) -> list[Try]:
        """Returns what came of an entry's tries: the loss on held-out demonstrations. No episodes are played."""
        from toyshift.diagnostics import read_rows_manifest

        tries = []
        for i, rate in enumerate(self.cfg.rates, 1):
            if (path := self.path(try_name(name, i))).exists():
                tries.append(Try(Choice(rate), 0, read_rows_manifest(path).get("validation_loss")))
        return tries

    def play(self, part: RepairCell, policy: str, folder: Path) -> list[Row]:
        """Returns the rows of a cell's tests."""
        from toyshift.diagnostics import evaluate

        rows: list[Row] = []
        with pool_of(self.cfg.processes) as pool:
            for name, config in self.tests(part, policy).items():
                rows += evaluate(config, folder / f"{name.replace(' ', '-')}.parquet", 0, pool=pool)
        return rows

    def tests(self, part: RepairCell, policy: str) -> dict[str, EvaluateConfig]:
        """Returns what a cell plays, by name."""
        from toyshift.diagnostics import EvaluateConfig

        given: dict[str, Any] = {"seed": TEST_SEED + self.cfg.seed + part.seed, "max_steps": self.sizes.max_steps}
        return {
            name: EvaluateConfig(policy, TOYS, name=part.entry, **given, **test)
            for name, test in played_by(part, self.sizes.trials).items()
        }

    # ---------------------------------------------------------------- data

    def shown(self, part: RepairCell, clean: bool) -> Path:
        """Makes the demonstrations of a shortcut and seed once, or the same ones with nothing to learn a shortcut from.

        Those of a natural one are collected on a table of their own each instead.
        """
        seed, workers = self.cfg.seed + part.seed, self.cfg.processes if self.cfg.processes > 1 else 0
        folder, demos = self.cfg.work_dir / "demos", self.sizes.demos
        out = folder / f"{part.bed}{'-clean' if clean else ''}-s{part.seed}"
        if part.bed == NATURAL:
            from toyshift.data import CollectConfig, collect

            shift = OTHER_TABLES if clean else ""
            with made_once(out):
                collect(CollectConfig(TOYS, demos, out, workers=workers, seed=seed, shift=shift))
        else:
            places = collect_places(folder / f"places-s{part.seed}", TOYS, demos, seed, workers)
            dress(PlantedCue(part.bed, DISPARITY, 0.0 if clean else 1.0), places, out, seed, workers)
        return out

    def _repaired(self, part: RepairCell) -> Path:
        """The folder of an entry's augmented data, which the tries of its search share."""
        return self.cfg.work_dir / "data" / f"{part.bed}-{part.entry}-s{part.seed}"

    def data(self, part: RepairCell) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Returns the dataset folders that an entry learns from, and what was done for them.

        Where its augmentation cannot be had of such data, there are no folders, and "refused" says why.
        """
        from toyshift.augment import augment

        entry = self.entries[part.entry]
        source = self.shown(part, entry.clean)
        if not entry.augmentation:
            return datasets_in(source), {}
        spec, out = entry.spec({"factor": part.factor}), self._repaired(part)
        if why := refusal_of_data(spec, source):
            return (), {"spec": spec, "refused": why}
        clock = out.with_name(f"{out.name}.json")
        with made_once(out), timed(clock, "data"):
            made = augment(spec, source, out, self.cfg.seed + part.seed, self.cfg.processes)
        facts = {"spec": spec, "data_seconds": read_json(clock)["data"], "episodes": made["episodes"]}
        return tuple(one["out"] for one in made["parts"]), facts

    # ---------------------------------------------------------------- training

    def policy(self, part: RepairCell, rate: float, folder: Path) -> tuple[str, dict[str, Any]]:
        """Returns the folder of a cell's trained policy, and how it was made; "refused" says why there is none."""
        entry = self.entries[part.entry]
        data, facts = self.data(part)
        if facts.get("refused"):
            return "", facts
        known = told = {"factor": part.factor}
        if "unlabelled" in entry.keys():  # noqa: SIM118  # a method of the entry
            known = told | {"unlabelled": ",".join(datasets_in(self.shown(part, clean=True)))}
            told = told | {"unlabelled": CLEAN}  # wherever that lies
        pairs = folder / "pairs" / "start.npz"
        if "pairs" in entry.keys():  # noqa: SIM118  # a method of the entry
            known, told = known | {"pairs": str(pairs)}, told | {"pairs": "steer"}
        spec = entry.spec(known) if entry.repair else ""
        facts |= {"spec": entry.spec(told)} if spec else {}
        sizes, cores = self.sizes, self.cfg.processes
        ask = Training(self.cfg.pooling, data, rate, sizes.batch, self.cfg.seed + part.seed, cores, sizes.size)
        try:
            planned = ask.plan(entry, spec, self.steps(part), folder)
        except ConfigError as error:
            return "", facts | {"refused": str(error)}
        clock, best = folder / "seconds.json", -1
        with timed(clock, "training"):
            done = []
            for config in planned.configs:
                if config.init_from and "pairs" in known:
                    save_pairs(planned.configs[0], pairs, cores)
                done.append(run_training(config, upsampled=entry.name == UPSAMPLE))
        if entry.name == TWO_SEEDS:
            losses = [shifted_loss(config, self.shown(part, clean=True)) for config in planned.configs]
            best = losses.index(min(losses))
            facts["shifted_losses"] = losses
        facts |= {"train_seconds": read_json(clock)["training"], "passes": planned.passes}
        facts |= {"steps": [config.steps for config in planned.configs]}
        facts |= {k: done[best][k] for k in ("loss", "validation_loss")}
        return planned.configs[best].out, facts

    def tabulate(self) -> dict[str, Any]:
        """Makes table, page and figure of the rows that are there.

        Raises:
            ConfigError: they are of a study with other settings; add the options that it was run with.
        """
        from toyshift.scripts.studies.repair_results import write_results

        self.require_settings(self.cfg.results_dir)
        missing = [cell.name for cell in self.cells() if not self.is_done(cell)]
        return write_results(self.cfg.results_dir, self.cfg.docs_dir, missing)


def try_name(entry: str, i: int) -> str:
    return f"try-{entry}-{i}"


def starts_from_another(entry: Entry) -> bool:
    """Whether an entry's training goes on from a policy that is trained first."""
    from toyshift.policies.repairs import row_of

    return bool(entry.repair) and row_of(entry.repair).also.startswith("--init-from")


def plays_natural(entry: Entry) -> bool:
    """Whether an entry can be had of one dataset in which the shortcut's factor has one value."""
    return not entry.several and "factor" not in entry.keys()  # noqa: SIM118  # a method of the entry


def datasets_in(folder: Path) -> tuple[str, ...]:
    """Returns the dataset that a folder is, or the sub-datasets that it holds."""
    from toyshift.augment import sub_datasets

    given = sub_datasets(folder)
    return tuple(map(str, given.parts.values() if given else [folder]))


def refusal_of_data(spec: str, source: Path) -> str:
    """Says why an augmentation cannot be had of sub-datasets; "" where it can."""
    from toyshift.augment.augmenting import check
    from toyshift.augment.registry import read_spec
    from toyshift.augment.sources import Sources, given_by

    with contextlib.closing(Sources(given_by([source]))) as opened:
        try:
            check(read_spec(spec), opened)
        except (ConfigError, ContractError) as error:
            return str(error)
    return ""


class Planned(NamedTuple):
    """Trainings of a cell, one after the other, and how many batches they pass forward and backward together."""

    configs: list[TrainConfig]
    passes: int


@dataclasses.dataclass(frozen=True)
class Training:
    """How everyone trains, but for the repair."""

    pooling: str
    data: tuple[str, ...]
    lr: float
    batch: int
    seed: int
    threads: int
    size: int = 0

    def config(self, out: Path, steps: int, seed: int = 0, **more: Any) -> TrainConfig:
        sizes: dict[str, Any] = {"steps": steps, "batch": self.batch, "lr": self.lr, "threads": self.threads}
        config = recipe(self.pooling, self.data, out, seed=self.seed + seed, **sizes)
        return dataclasses.replace(config, policy=dataclasses.replace(config.policy, encoder_size=self.size), **more)

    def plan(self, entry: Entry, spec: str, steps: int, folder: Path) -> Planned:
        """Returns the trainings of an entry, which together pass no more batches than `steps`.

        Args:
            entry: which one.
            spec: of `toyshift train --repair`; "" for none.
            steps: passes of a batch that everyone has.
            folder: of the cell.

        Raises:
            ConfigError: the repair cannot be had of such a training.
        """
        from toyshift.policies.repairs import repairs_of, row_of

        if entry.name == TWO_SEEDS:
            half = max(1, steps // 2)
            apart = [(folder / "policy", 0), (folder / "second", MOST_SEEDS)]  # no study has so many seeds
            return Planned([self.config(out, half, seed) for out, seed in apart], 2 * half)
        before: list[TrainConfig] = []
        more: dict[str, Any] = {"repair": spec} if spec else {}
        row = row_of(entry.repair) if entry.repair else None
        if starts_from_another(entry):
            before = [self.config(folder / "start", max(1, steps // 2))]
            more["init_from"] = before[0].out
        spent, passes = sum(config.steps for config in before), row.passes if row else 1

        def cost(count: int) -> int:
            config = self.config(folder / "policy", count, **more)
            firsts = [first for repair in repairs_of(spec) if (first := repair.first(config)) is not None]
            return spent + passes * count + sum(first.steps for first in firsts)

        count = steps - spent if entry.all_steps else steps_within(steps, cost)
        return Planned([*before, self.config(folder / "policy", count, **more)], cost(count))


def run_training(config: TrainConfig, upsampled: bool = False) -> dict[str, Any]:
    """Trains a policy; with `upsampled` a random half of the frames is shown twice as often."""
    from toyshift.policies import train
    from toyshift.policies.training.training_data import open_source

    if not upsampled:
        return train(config)
    source = open_source(config)
    frames = len(source.windows)
    twice = episode_rng(config.seed, 0, UPSAMPLE).permutation(frames) < frames // 2
    return train(config, dataclasses.replace(source, repeats=1 + twice))


def save_pairs(start: TrainConfig, path: Path, workers: int) -> None:
    """Saves what a trained policy sees of looks of which one factor is changed, as `diagnose --measure steer` does.

    Looks begin from the commonest of its data. Pairs that are there are kept.
    """
    from toyshift.diagnostics.measures import Asked
    from toyshift.diagnostics.measuring.inside import inside_of
    from toyshift.diagnostics.measuring.steer import pairs_of
    from toyshift.policies.repairs.pairs import weights_of, write_pairs

    if path.exists():
        return
    data = tuple(map(Path, start.data))
    asked = Asked(
        policy=start.out, trained_on=data, objects=TOYS, scenes=SCENES, looks=LOOKS, trials=0, camera="",
        seed=start.seed, out=path.parent, workers=workers,
    )  # fmt: skip
    inside = inside_of(asked)
    if isinstance(inside, str):
        raise ConfigError(inside)
    write_pairs(path, pairs_of(inside, weights_of(Path(start.out))))


def shifted_loss(config: TrainConfig, folder: Path) -> float:
    """Returns a trained policy's mean loss on some demonstrations of another folder, the same ones for all policies."""
    import torch

    from toyshift.data.store.dataset import open_dataset
    from toyshift.policies.network.weights import load_network
    from toyshift.policies.training.training_data import open_source

    data = datasets_in(folder)
    share = min(0.5, LABELLED / sum(open_dataset(Path(path)).num_episodes for path in data))
    source = open_source(dataclasses.replace(config, data=data, validation=share, seed=config.seed % MOST_SEEDS))
    network = load_network(Path(config.out))
    with torch.no_grad():
        losses = [
            network.losses({k: torch.from_numpy(v) for k, v in batch.items()})
            for batch in source.validation_batches(count=8)
        ]
    return float(torch.cat(losses).mean())


