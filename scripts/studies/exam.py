"""An exam for the verdict on shortcuts: policies with one planted cue, and policies that the same cue told nothing.

Each learns from the same demonstrations, rendered again (`planted`). `toyshift diagnose`'s counterfactual measure is
given the policy and its data, and says which factor the policy takes for the target's place. What it says is compared
with what was planted, and with what the policy does when the cue is swapped in whole episodes. Success there is
predicted from the looks alone before it is played.

toyshift study exam --only "a-*"     the factors on which thresholds are set; then "b-*", the others
toyshift study exam --results results/exam --docs docs --tabulate     the committed rows and their page
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from toyshift.core.files import read_json, whole_files, write_json
from toyshift.core.graphics import gl_backend
from toyshift.core.manifest import manifest
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import core_count
from toyshift.scripts.studies.cells import TEST_SEED, Cell, Study, no_rows, pool_of, write_page
from toyshift.scripts.studies.figures import markdown_table, percents
from toyshift.scripts.studies.options import StudyConfig
from toyshift.scripts.studies.planted import PlantedCue, collect_places, dress, play_swapped, recipe, swapped_cells

if TYPE_CHECKING:
    from toyshift.diagnostics import Row
    from toyshift.diagnostics.measuring.finding import Findings
    from toyshift.diagnostics.statistics import Estimate

TOYS = "toys:train"
# on the first thresholds may be set; the others are looked at once they stand
GROUPS = {"a": ("table", "azimuth", "light"), "b": ("background", "object_colour")}
STRENGTHS = (1.0, 0.85, 0.7, 0.5)
DISPARITY = 1.0  # of the two values of a cue: half a factor's span, with azimuth 60 degrees
SIZES = {"small": 24, "paper": 200}  # policies with a planted cue, and as many without


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, demos=2, steps=1, batch=1, trials=1, scenes=1, looks=1):
    """Options of `toyshift study exam`."""

    budget: Literal["small", "paper"] = "small"
    """small: 24 policies with a planted cue and 24 without; paper: 200 and 200."""
    only: tuple[str, ...] = ()
    """Cells to run, by pattern: "a-*" are those of table, azimuth and light, "b-*" the others."""
    pooling: str = "attention"
    """Of the policies; they get no masks as an input."""
    lr: float = 0.005
    """Peak learning rate."""
    demos: int = 200
    """Demonstrations, half of them on each side; there are three sets of them, and policies take turns."""
    steps: int = 1100
    """Optimiser steps of each policy."""
    batch: int = 128
    """Samples per step."""
    trials: int = 25
    """Episodes per cell of the test: two controls and two with the cue swapped."""
    scenes: int = 40
    """Scenes that the measure looks at."""
    looks: int = 5
    """Looks at each of them, along an episode of the expert."""
    out: Path = Path("runs/exam")

    def settings(self) -> dict[str, Any]:
        """What decides a cell's result."""
        names = ("pooling", "lr", "demos", "steps", "batch", "trials", "scenes", "looks", "seed")
        return {k: getattr(self, k) for k in names}


def main(cfg: Config) -> dict[str, Any]:
    """Examines the verdict on shortcuts with policies whose shortcut, or its absence, is planted (docs/exam.md).

    Example: toyshift study exam --only "a-*" --out runs/exam
    """
    return Exam(cfg).conduct(cfg, cfg.only)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One policy of the exam: what its data hold, and which of three sets of demonstrations they are of."""

    cue: PlantedCue
    demonstrations: int


def candidates(count: int, group: str, seed: int) -> list[Candidate]:
    """Returns a group's policies, half of them clean, in an order that tells nothing of which.

    Args:
        count: policies with a planted cue in both groups together.
        group: "a" or "b".
        seed: of the order.
    """
    every = [factor for factors in GROUPS.values() for factor in factors]
    found = []
    for i in range(count):
        factor, strength = every[i % len(every)], STRENGTHS[i // len(every) % len(STRENGTHS)]
        if factor in GROUPS[group]:
            found += [Candidate(PlantedCue(factor, DISPARITY, rho), i % 3) for rho in (strength, 0.0)]
    return [found[i] for i in episode_rng(seed, 0, f"exam {group}").permutation(len(found))]


class Exam(Study):
    """One cell a policy."""

    name = "exam"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg = cfg
        self.candidates = {
            f"{group}-{number:03d}": candidate
            for group in GROUPS for number, candidate in enumerate(candidates(SIZES[cfg.budget], group, cfg.seed))
        }  # fmt: skip

    def cells(self) -> list[Cell]:
        cfg = self.cfg
        seconds = 0.2 * cfg.demos + cfg.steps * cfg.batch / 900.0 + 1.4 * cfg.trials + 0.3 * cfg.scenes * cfg.looks
        return [Cell(name, "a policy whose cue is not told here", seconds) for name in self.candidates]

    def settings(self) -> dict[str, Any]:
        return self.cfg.settings()

    def is_done(self, cell: Cell) -> bool:
        return self.path(cell.name).exists()

    def check(self) -> None:
        """Finds what is missing before hours are spent: GL, the objects, folders of another study."""
        from toyshift.toys import load_objects

        gl_backend()
        load_objects(TOYS)
        self.claim()

    def run(self, cell: Cell) -> None:
        """Makes a policy, asks the measure, foretells, and then plays the cells in which its cue is swapped."""
        from toyshift.diagnostics import write_rows
        from toyshift.envs.render.renderer import gl_renderer_name
        from toyshift.policies import train

        cfg, candidate = self.cfg, self.candidates[cell.name]
        cue, seed = candidate.cue, cfg.seed + list(self.candidates).index(cell.name)
        workers = cfg.processes if cfg.processes > 1 else 0
        folder = cfg.work_dir / cell.name
        shared = cfg.work_dir / f"places-{candidate.demonstrations}"
        places = collect_places(shared, TOYS, cfg.demos, cfg.seed + candidate.demonstrations, workers)
        data = dress(cue, places, folder / "data", seed, workers)
        sizes: dict[str, Any] = {"steps": cfg.steps, "batch": cfg.batch, "lr": cfg.lr, "seed": seed}
        done = train(recipe(cfg.pooling, data, folder / "policy", threads=core_count(), **sizes))
        begun = time.monotonic()
        found = self.asked(folder, seed)
        seconds = round(time.monotonic() - begun, 1)
        with pool_of(cfg.processes) as pool:
            test = TEST_SEED + seed
            rows = play_swapped(str(folder / "policy"), cue, TOYS, cfg.trials, test, cell.name, folder / "rows", pool)
        facts = {"candidate": dataclasses.asdict(candidate), "findings": found.to_json(), "card_seconds": seconds}
        facts |= {"foretold": self.foretold(folder, cue, rows, seed).to_json(), "gl_renderer": gl_renderer_name()}
        facts |= {k: done[k] for k in ("loss", "validation_loss", "samples")}
        write_rows(self.path(cell.name), rows, manifest(cfg.settings(), seed, **facts))

    def asked(self, folder: Path, seed: int) -> Findings:
        """Returns what the measure says of a policy and its data; of the cue it is told nothing."""
        from toyshift.diagnostics.measures import Asked
        from toyshift.diagnostics.measuring.counterfactual import counterfactual_of

        cfg = self.cfg
        asked = Asked(
            policy=str(folder / "policy"), trained_on=(folder / "data",), objects=TOYS, scenes=cfg.scenes,
            looks=cfg.looks, trials=2 * cfg.trials, camera="front", seed=seed, out=folder / "asked",
        )
        return counterfactual_of(asked)

    def foretold(self, folder: Path, cue: PlantedCue, rows: Sequence[Row], seed: int) -> Estimate:
        """Returns the change of success that looks foretell of a swap; of episodes it is told those with nothing
        swapped.
        """
        from toyshift.diagnostics import EvaluateConfig
        from toyshift.diagnostics.measuring.predicted import UnderSwap, swap_foretold

        cfg = self.cfg
        own = [row for cell, some in swapped_cells(cue, rows) if not cell.swapped for row in some]
        config = EvaluateConfig(str(folder / "policy"), TOYS, trials=cfg.scenes, seed=seed)
        one, other = (cell for cell in cue.cells() if not cell.swapped)
        whole = (int(cell.cue[0]) if cell.whole else cell.cue[0] for cell in (one, other))
        swap = UnderSwap(cue.factor, (next(whole), next(whole)), (sum(one.place) / 2, sum(other.place) / 2))
        return swap_foretold(config, cfg.looks, swap, [row.success for row in own])

    def tabulate(self) -> dict[str, Any]:
        from toyshift.diagnostics import read_rows, read_rows_manifest

        folder, page = self.cfg.results_dir, self.cfg.docs_dir / "exam.md"
        paths = whole_files(folder / "rows", "[ab]-*.parquet")
        if not paths:
            raise no_rows(folder, "exam")
        lines = [_line(path.stem, read_rows_manifest(path), read_rows(path)) for path in paths]
        table = {
            "settings": read_json(folder / "settings.json")["settings"], "thresholds": thresholds(), "policies": lines,
            "verdicts": {name: verdicts(some) for name, some in splits(lines).items() if some},
        }  # fmt: skip
        write_json(folder / "table.json", table)
        made = _markdown(table)
        write_page(page, self.name, folder, made)
        print(made)
        return table


def thresholds() -> dict[str, Any]:
    """Returns what decides a verdict, and a hash of it, so that a page says with which it was made."""
    from toyshift.core.files import json_hash
    from toyshift.diagnostics.measuring import counterfactual, own_success

    decided = {
        "p, corrected": counterfactual.ALPHA, "response [cm]": counterfactual.LEAST,
        "success as in training": own_success.CAPABLE_FROM,
    }  # fmt: skip
    return decided | {"hash": json_hash(decided)}


def _line(name: str, facts: dict[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """Returns what is known of one policy: planted, said, foretold and done."""
    from toyshift.diagnostics.swapped import swapped_of

    cue = PlantedCue(**facts["candidate"]["cue"])
    done = swapped_of(swapped_cells(cue, rows))
    said = [finding["table"][0] for finding in facts["findings"] if finding["table"]]
    known = [x for x in said if x["direction"] == "known"]
    named = [x["factor"] for x in known if x["named"] and x["response_cm"] > 0]
    own = next((x for x in known if x["factor"] == cue.factor), None)
    measured = done.ood_success.value - done.id_success.value
    return {
        "policy": name, "group": name[0], "factor": cue.factor, "strength": cue.correlation, "named": named,
        "silent": all(x["named"] is None for x in said), "response_cm": own and own["response_cm"],
        "p": own and own["p (Holm)"], "dsl": done.degree.dsl.value, "by_chance": done.by_chance.dsl.value,
        "excess": done.excess and done.excess.difference.to_json(), "id_success": done.id_success.value,
        "ood_success": done.ood_success.value, "measured change": measured, "foretold": facts["foretold"],
        "took it": bool(done.excess and done.excess.difference.low > 0), "card_seconds": facts["card_seconds"],
    }  # fmt: skip


def splits(lines: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Returns the policies of all, of each factor and of each strength; clean ones stand beside every strength."""
    found = {"all": [*lines]}
    for group, factors in GROUPS.items():
        found |= {f"{factor} ({group})": [x for x in lines if x["factor"] == factor] for factor in factors}
    return found | {f"strength {s:g}": [x for x in lines if x["strength"] in (s, 0.0)] for s in STRENGTHS}


def verdicts(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Counts what was said of policies, by whether a cue was planted and whether the policy took it."""
    from toyshift.diagnostics.measuring.predicted import rank_correlation
    from toyshift.diagnostics.statistics import wilson

    spoken = [x for x in lines if not x["silent"]]
    planted, clean = [x for x in spoken if x["strength"]], [x for x in spoken if not x["strength"]]
    took = [x for x in planted if x["took it"]]

    def share(hits: Sequence[bool]) -> dict[str, Any]:
        low, high = wilson(sum(hits), len(hits)) if hits else (0.0, 1.0)
        return {"k": sum(hits), "n": len(hits), "low": low, "high": high}

    foretold, measured = ([x["foretold"]["value"] for x in lines], [x["measured change"] for x in lines])
    pairs = [(f, m) for f, m in zip(foretold, measured, strict=True) if f is not None and not math.isnan(m)]
    ranks = rank_correlation(*np.array(pairs).T) if len(pairs) > 3 else None
    return {
        "policies": len(lines), "silent": len(lines) - len(spoken),
        "named, of planted": share([x["named"] == [x["factor"]] for x in planted]),
        "named, of those that took it": share([x["named"] == [x["factor"]] for x in took]),
        "alarms, of clean": share([bool(x["named"]) for x in clean]),
        "spearman": ranks and ranks.to_json(),
        "points off": 100 * float(np.mean([abs(f - m) for f, m in pairs])) if pairs else None,
    }  # fmt: skip


HEAD = (
    "| policies | how many | incapable | cue named, of all planted | of those that took it | false alarms, of clean | "
    "Spearman of foretold and measured change | off on average |"
)


def _markdown(table: dict[str, Any]) -> str:
    def text(x: dict[str, Any]) -> str:
        return f"{x['k']} of {x['n']} ({percents(x['low'], x['high'])} %)" if x["n"] else "-"

    lines = []
    for name, x in table["verdicts"].items():
        ranks, off = x["spearman"], x["points off"]
        known = ranks and ranks["value"] is not None
        spearman = f"{ranks['value']:.2f} ({ranks['low']:.2f} to {ranks['high']:.2f})" if known else "-"
        shares = (text(x[k]) for k in ("named, of planted", "named, of those that took it", "alarms, of clean"))
        lines.append((name, x["policies"], x["silent"], *shares, spearman, "-" if off is None else f"{off:.0f} points"))
    seconds = [x["card_seconds"] for x in table["policies"]]
    decided = ", ".join(f"{k} {v:g}" for k, v in table["thresholds"].items() if k != "hash")
    took = f"Asking one policy took {statistics.median(seconds):.0f} s (median; {max(seconds):.0f} at most)"
    return f"Thresholds: {decided}; hash `{table['thresholds']['hash']}`. {took}.\n\n{markdown_table(HEAD, lines)}"
