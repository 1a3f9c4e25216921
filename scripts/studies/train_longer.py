"""What does training longer, in other batches, with more decay or on partly wrong demonstrations do to new objects?

Policies learn for 1, 4 and 16 times as many steps, on demonstrations that are right and on those of which a tenth got
another episode's actions. Others take batches a quarter or four times as large, with as many updates or as many
samples, at a rate that goes with the square root of the batch. The first outcome is the loss on held-out episodes with
right labels, the second is success. What happens inside is kept as `train --monitor` tells.

toyshift study train-longer --dry-run                      what would be run, and how long it takes
toyshift study train-longer --only "x1-*"                  the short ones alone
toyshift study train-longer --budget paper                 three seeds, and x16 on partly wrong demonstrations too
toyshift study train-longer --results results/train_longer --docs docs --tabulate     committed rows and their page
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from toyshift.core.errors import ConfigError
from toyshift.core.files import write_json
from toyshift.policies.parts import Pooling
from toyshift.policies.training.config import TrainConfig
from toyshift.scripts.recipe import KINDS, quickstart_recipe
from toyshift.scripts.studies.budgets import Practice, PracticeConfig
from toyshift.scripts.studies.cells import TEST_SEED, made_once, training_speed, write_page
from toyshift.scripts.studies.figures import markdown_table
from toyshift.scripts.studies.learners import (
    CHANGE,
    SUCCESS,
    Compared,
    LearnerStudy,
    Lesson,
    Taught,
    by_test,
    change_cells,
    draw_success,
    is_complete,
    paired_lines,
    success_cells,
    success_lines,
)
from toyshift.scripts.studies.loss_looks import (
    FRAMES,
    losses_of,
    paired_losses,
    settled_at,
    steps_to_look,
)
from toyshift.scripts.studies.remade import corrupt, donors
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.data.collecting.config import CollectConfig
    from toyshift.diagnostics import EvaluateConfig, Row

TRAINED_ON, NEW = "toys:train", "toys:test"
TITLES = {TRAINED_ON: "toys as in training", NEW: "new toys"}
TIMES, BATCHES, DECAYS = (1, 4, 16), (0.25, 4.0), (1e-4, 1e-2)  # the first decay is the usual one
FELL = 0.2  # of the held-out loss, after the training loss has settled: what would be called grokking
SETTLED = 0.9  # of the training loss's whole fall, from the untrained network on: then it has settled
HELD_OUT = 0.2  # of the episodes
WARMUP = 0.1  # of the steps; the usual 200, cut to a fifth, would be another share of each length
JUDGED = 3.0  # frames that are judged in the time in which one is trained on, for estimates
RANKED = ("pathway_distance", "consistency")  # of what a monitor tells, set beside success
INSIDE = ("weight_distance", "pathway_between", *RANKED)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(PracticeConfig, corrupted=(0, 1)):
    """Options of `toyshift study train-longer`."""

    budgets: ClassVar = {"small": Practice(1, 200, 250, 128, 30), "paper": Practice(3, 500, 1950, 128, 200)}
    pooling: Pooling = "detpool"
    """Of the policies."""
    corrupted: float = 0.1
    """Share of the demonstrations that get another episode's actions, where some do."""
    out: Path = Path("runs/train-longer")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.corrupted:
            raise ConfigError("--corrupted is 0, but policies on right demonstrations are trained in any case: above 0")
        if self.sizes().batch < 4 or self.sizes().steps < 4:
            raise ConfigError("--batch and --steps must be 4 at least: a quarter of each is trained with")


def main(cfg: Config) -> dict[str, Any]:
    """Trains policies 1, 4 and 16 times as long, in other batches, on partly wrong data (docs/train_longer.md).

    Example: toyshift study train-longer --budget small --out runs/train-longer
    """
    return TrainLonger(cfg).conduct(cfg, cfg.only)


class Regime(NamedTuple):
    """How a policy is trained.

    Attributes:
        steps: optimiser steps, in units of the study's.
        batch: samples per step, likewise.
        decay: weight decay.
        corrupted: share of the demonstrations whose actions are another episode's.
    """

    steps: float = 1.0
    batch: float = 1.0
    decay: float = DECAYS[0]
    corrupted: float = 0.0

    @property
    def name(self) -> str:
        size = f"-b{self.batch:g}" * (self.batch != 1)
        return f"x{self.steps:g}{size}{'-decay' * (self.decay != DECAYS[0])}{'-corrupt' * bool(self.corrupted)}"

    @property
    def text(self) -> str:
        """What it is, for tables."""
        size = f", batch x{self.batch:g}" * (self.batch != 1)
        decay = f", decay {self.decay:g}" * (self.decay != DECAYS[0])
        return f"steps x{self.steps:g}{size}{decay}{f', {100 * self.corrupted:g} % corrupted' * bool(self.corrupted)}"


def regimes(corrupted: float, longest_wrong: bool = True) -> list[Regime]:
    """Returns all regimes: long trainings on right and partly wrong data; batches at equal updates and samples; decay.

    Args:
        corrupted: share of the demonstrations that are wrong where some are.
        longest_wrong: the longest training is on partly wrong data too.
    """
    long = [Regime(float(times), corrupted=share) for times in TIMES for share in (0.0, corrupted)
            if longest_wrong or times < TIMES[-1] or not share]  # fmt: skip
    batches = [Regime(steps, batch) for batch in BATCHES for steps in (1.0, 1.0 / batch)]
    return [*long, *batches, Regime(4.0, decay=DECAYS[1])]


class TrainLonger(LearnerStudy):
    """For each seed a policy of each regime."""

    name = "train-longer"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg = cfg
        self.lessons = {
            f"{regime.name}-s{seed}": Lesson(regime._asdict(), seed)
            for seed in range(self.practice.seeds) for regime in regimes(cfg.corrupted, cfg.budget == "paper")
        }  # fmt: skip

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"pooling": self.cfg.pooling, "corrupted": self.cfg.corrupted}

    def collected(self, lesson: Lesson) -> CollectConfig:
        from toyshift.data import CollectConfig

        out = self.cfg.work_dir / "demonstrations" / f"s{lesson.seed}"
        workers = self.cfg.processes if self.cfg.processes > 1 else 0
        return CollectConfig(TRAINED_ON, self.practice.demos, out, workers=workers, seed=self.seed_of(lesson))

    def cells(self) -> list[Cell]:
        """Adds to each the time in which the losses of the weights that it keeps are told."""
        looks = len(steps_to_look(self.practice.steps))
        more = looks * FRAMES / (JUDGED * training_speed(self.cfg.pooling))
        return [dataclasses.replace(cell, estimate=cell.estimate + more) for cell in super().cells()]

    def dataset(self, lesson: Lesson) -> Path:
        src, share = super().dataset(lesson), float(lesson.varied["corrupted"])
        if not share:
            return src
        out = src.with_name(f"{src.name}-corrupted-{share:g}")
        with made_once(out):
            return corrupt(src, out, share, self.seed_of(lesson))

    def recipe(self, lesson: Lesson, data: str, out: str) -> TrainConfig:
        regime, practice = regime_of(lesson), self.practice
        steps, batch = max(1, round(practice.steps * regime.steps)), max(1, round(practice.batch * regime.batch))
        kind = self.cfg.pooling if self.cfg.pooling in KINDS else "detpool"
        usual = quickstart_recipe(kind, (data,), out, steps, batch, self.seed_of(lesson))
        policy = dataclasses.replace(usual.policy, pooling=self.cfg.pooling)
        return dataclasses.replace(
            usual, policy=policy, lr=usual.lr * math.sqrt(regime.batch), weight_decay=regime.decay, monitor=True,
            warmup=max(1, round(WARMUP * steps)), validation=HELD_OUT, threads=self.cfg.processes,
            keep_steps=tuple(step for step in steps_to_look(steps) if 0 < step < steps),
        )  # fmt: skip

    def tests(self, lesson: Lesson, policy: str, called: str) -> dict[str, EvaluateConfig]:
        from toyshift.diagnostics import EvaluateConfig

        seed = TEST_SEED + self.seed_of(lesson)
        return {spec: EvaluateConfig(policy, spec, self.practice.trials, seed=seed, name=called) for spec in TITLES}

    def seen(self, lesson: Lesson, policy: Path, rows: Sequence[Row]) -> dict[str, Any]:
        from toyshift.data.store.dataset import open_dataset

        right, share = super().dataset(lesson), float(lesson.varied["corrupted"])
        wrong = donors(open_dataset(right).num_episodes, share, self.seed_of(lesson))
        config = self.recipe(lesson, str(self.dataset(lesson)), str(policy))
        return {"curve": curve_of(policy / "metrics.jsonl"), **losses_of(config, right, [*wrong])}

    def tabulate(self) -> dict[str, Any]:
        taught = self.read()
        table = tabulated(taught) | self.made_with()
        folder, docs = self.cfg.results_dir, self.cfg.docs_dir
        write_json(folder / "table.json", table)
        draw_success(docs / "train_longer.png", table["success"], lambda x: regime_in(x).name, TITLES)
        made = markdown(table)
        write_page(docs / "train_longer.md", self.name, folder, made)
        print(made)
        return table


def regime_of(lesson: Lesson) -> Regime:
    return regime_in(lesson.varied)


def regime_in(line: Mapping[str, Any]) -> Regime:
    """Returns the regime that a line of the table is of."""
    return Regime(**{name: float(line[name]) for name in Regime._fields})


def curve_of(metrics: Path) -> list[dict[str, float]]:
    """Returns what a training's metrics tell of what happened inside, a line for each validation."""
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    return [
        {"step": x["step"], **{name: x[name] for name in INSIDE if name in x}} for x in lines if "weight_distance" in x
    ]


# ---------------------------------------------------------------- figures from rows


class WeightGrowth(NamedTuple):
    """How far weights are from their start: distance = at_one + rate * ln(step), and distance ~ step ** power.

    Attributes:
        rate: of the logarithm.
        at_one: at step 1.
        log_r2: explained share of the variance of distances.
        power: 0.5 of a random walk, near 0 of what has stopped.
        power_r2: explained share of the variance of their logarithms.
    """

    rate: float
    at_one: float
    log_r2: float
    power: float
    power_r2: float


def growth(steps: Sequence[float], distances: Sequence[float]) -> WeightGrowth | None:
    """Returns both fits; None below three points, or where all distances are the same.

    "Train longer, generalize better" finds a logarithm, as of an ultra-slow diffusion.
    """
    import numpy as np

    t, d = np.log(np.asarray(steps, np.float64)), np.asarray(distances, np.float64)
    if len(t) < 3 or np.ptp(d) == 0 or np.ptp(t) == 0 or d.min() <= 0:
        return None

    def line(y: Any) -> tuple[float, float, float]:
        slope, start = np.polyfit(t, y, 1)
        return float(slope), float(start), float(1 - np.var(y - slope * t - start) / np.var(y))

    (rate, at_one, log_r2), (power, _, power_r2) = line(d), line(np.log(d))
    return WeightGrowth(rate, at_one, log_r2, power, power_r2)


def late_fall(train: Sequence[float], held_out: Sequence[float]) -> float | None:
    """Returns by which share the held-out loss fell after the training loss had made SETTLED of its whole fall.

    Args:
        train: training loss at each look, the first that of the untrained network.
        held_out: loss on held-out episodes then.

    Returns:
        from 0 to 1; None where the training loss never fell, or settled at the last look only, so that nothing came
        after.
    """
    settled = settled_at(train, SETTLED)
    if settled is None or settled >= len(train) - 1 or held_out[settled] <= 0:
        return None
    return max(0.0, 1.0 - min(held_out[settled:]) / held_out[settled])


def tabulated(taught: Sequence[Taught]) -> dict[str, Any]:
    """Returns losses, success by regime and test, the comparisons of both, and what each training did inside."""
    there = every_regime(taught)
    order = {regime.text: i for i, regime in enumerate(there)}
    ordered = sorted(taught, key=lambda one: (order[regime_of(one.lesson).text], one.lesson.seed))
    inside = [_inside(one) for one in ordered]
    return {
        "success": success_lines(ordered), "comparisons": paired_lines(comparisons(ordered)), "inside": inside,
        "losses": loss_lines(ordered), "ranks": [ranks_of(inside, name) for name in RANKED],
    }  # fmt: skip


def _inside(one: Taught) -> dict[str, Any]:
    """Returns what a training did inside, and its losses."""
    lesson, rows, facts = one
    curve, looks = facts["curve"], facts["looks"]
    grown = growth([x["step"] for x in curve], [x["weight_distance"] for x in curve])
    train, held_out = ([x[name] for x in looks] for name in ("train", "held_out"))
    settled, fell = settled_at(train, SETTLED), late_fall(train, held_out)
    lowest = min(range(len(looks)), key=held_out.__getitem__)
    last, new = curve[-1] if curve else {}, [row.success for row in rows if row.object_set == NEW]
    return {
        "regime": regime_of(lesson).text, "seed": lesson.seed, "right": looks[-1]["right"], "held_out": held_out[-1],
        "lowest": held_out[lowest], "lowest_step": looks[lowest]["step"], "late_fall": fell,
        "settled_step": None if settled is None else looks[settled]["step"], "growth": grown and grown._asdict(),
        "grokked": None if fell is None else fell >= FELL, "distance": last.get("weight_distance"),
        "pathway_distance": last.get("pathway_distance"), "consistency": last.get("consistency"),
        "success_on_new": sum(new) / len(new) if new else None,
        "looks": looks if "wrong" in looks[-1] else [],
    }  # fmt: skip


def ranks_of(inside: Sequence[Mapping[str, Any]], name: str) -> dict[str, Any]:
    """Returns Spearman's correlation over trainings of what a monitor saw last with success on new toys."""
    from toyshift.diagnostics.measuring.predicted import rank_correlation

    both = [(x[name], x["success_on_new"]) for x in inside if None not in (x[name], x["success_on_new"])]
    one, other = ([pair[i] for pair in both] for i in (0, 1))
    return {"of": name, **rank_correlation(one, other).to_json()}


def loss_lines(taught: Sequence[Taught]) -> list[dict[str, Any]]:
    """Returns a line for each pair of regimes: the second's held-out loss minus the first's on the same episodes.

    p values are Wilcoxon's, corrected over all lines (Holm).
    """
    from toyshift.diagnostics.statistics import holm

    by_regime: dict[Regime, dict[str, float]] = {}
    for lesson, _, facts in taught:
        own = {f"{lesson.seed}:{name}": loss for name, loss in facts["episodes"].items()}
        by_regime.setdefault(regime_of(lesson), {}).update(own)
    lines = []
    for first, second in pairs_of(every_regime(taught)):
        if (found := paired_losses(by_regime.get(first, {}), by_regime.get(second, {}))) is not None:
            lines.append({"second": second.text, "first": first.text, **found})
    corrected = holm([x["p_value"] for x in lines])
    return [x | {"holm_p": p} for x, p in zip(lines, corrected, strict=True)]


def every_regime(taught: Sequence[Taught]) -> list[Regime]:
    """Returns the regimes that are there, in the study's order."""
    there = dict.fromkeys(regime_of(lesson) for lesson, _, _ in taught)
    return sorted(there, key=lambda r: (r.batch != 1, r.decay, r.batch, r.steps, r.corrupted))


def pairs_of(there: Sequence[Regime]) -> list[tuple[Regime, Regime]]:
    """Returns longer beside shorter trainings, partly wrong beside right data, other batches and decay beside none."""
    pairs: list[tuple[Regime, Regime]] = []
    for one in there:
        if one.batch != 1:
            pairs.append((Regime(), one))
        elif one.decay != DECAYS[0]:
            pairs.append((one._replace(decay=DECAYS[0]), one))
        else:
            shorter = [r for r in there if r == one._replace(steps=r.steps) and r.steps < one.steps]
            pairs += [(shorter[-1], one)] if shorter else []
            pairs += [(one._replace(corrupted=0.0), one)] if one.corrupted else []
    return pairs


def comparisons(taught: Sequence[Taught]) -> Iterator[Compared]:
    """Yields the pairs of regimes in each test."""
    groups = by_test(taught)
    for (first, second), test in ((pair, test) for pair in pairs_of(every_regime(taught)) for test in TITLES):
        head = {"test": test, "second": second.text, "first": first.text}
        yield head, groups.get((tuple(first), test), []), groups.get((tuple(second), test), [])


def markdown(table: Mapping[str, Any]) -> str:
    """Returns the made part of the page."""

    def number(value: float | None, form: str) -> str:
        return "-" if value is None else format(value, form)

    made = [is_complete(table), markdown_table(LOSS_HEAD, [
        (x["regime"], x["seed"], f"{x['right']:.3f}", f"{x['held_out']:.3f}", f"{x['lowest']:.3f}", x["lowest_step"],
         number(x["settled_step"], "d"), "-" if x["late_fall"] is None else f"{100 * x['late_fall']:.0f} %")
        for x in table["inside"]
    ])]  # fmt: skip
    known = [x for x in table["inside"] if x["grokked"] is not None]
    made.append(
        f"A late fall of the held-out loss by {100 * FELL:.0f} % or more, which would be called grokking, is seen in "
        f"{sum(x['grokked'] for x in known)} of the {len(known)} trainings in which it is defined, of "
        f"{len(table['inside'])} in all."
    )
    if table["losses"]:
        made.append(markdown_table("| regime | minus | held-out loss, difference (95 % new episodes) | p | Holm p |", [
            (x["second"], x["first"], loss_text(x["difference"]), f"{x['p_value']:.2g}", f"{x['holm_p']:.2g}")
            for x in table["losses"]
        ]))  # fmt: skip
    for x in table["inside"]:
        if x["looks"]:
            made.append(f"{x['regime'].capitalize()}, seed {x['seed']}: losses along the training.")
            made.append(markdown_table(LOOKS_HEAD, [
                (look["step"], *(f"{look[name]:.3f}" for name in ("right", "wrong", "rule", "held_out")))
                for look in x["looks"]
            ]))  # fmt: skip
    made.append(markdown_table(f"| regime | on | {SUCCESS} |", [
        (regime_in(x).text, TITLES[x["test"]], *success_cells(x)) for x in table["success"]
    ]))  # fmt: skip
    if table["comparisons"]:
        made.append(markdown_table(f"| regime | minus | on | {CHANGE} |", [
            (x["second"], x["first"], TITLES[x["test"]], *change_cells(x)) for x in table["comparisons"]
        ]))  # fmt: skip
    made.append(markdown_table(INSIDE_HEAD, [
        (x["regime"], x["seed"], number(x["distance"], ".2f"),
         *(number((x["growth"] or {}).get(k), ".2f") for k in ("rate", "log_r2", "power", "power_r2")),
         number(x["pathway_distance"], ".3f"), number(x["consistency"], ".3f"))
        for x in table["inside"]
    ]))  # fmt: skip
    return "\n\n".join([*made, *map(rank_text, table["ranks"])])


LOSS_HEAD = (
    "| regime | seed | training loss, right labels | held-out loss | its lowest | at step | "
    "training loss settled at step | held-out loss fell after that |"
)
LOOKS_HEAD = "| step | right labels | wrong labels | the same frames by the right ones | held out |"
INSIDE_HEAD = (
    "| regime | seed | weights moved by | per ln(step) | R2 | power of step | R2 | pathway distance | consistency |"
)


def loss_text(found: Mapping[str, Any]) -> str:
    """Returns a difference of losses as "+0.012 (-0.003 to +0.020)"."""
    return f"{found['value']:+.3f} ({found['low']:+.3f} to {found['high']:+.3f})"


def rank_text(x: Mapping[str, Any]) -> str:
    """Returns what is said of a rank correlation."""
    name = str(x["of"]).replace("_", " ").capitalize()
    if x["value"] is None:
        return f"{name}: undefined; {x['n']} trainings tell it, or it or success never varies."
    return (
        f"{name} at the end and success on new toys, Spearman over {x['n']} trainings: {x['value']:+.2f} "
        f"({x['low']:+.2f} to {x['high']:+.2f})."
    )
