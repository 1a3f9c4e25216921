"""Degree of shortcut learning against the distance of two sub-datasets in a cue: the paper's curve, on planted cues.

Policies of a seed learn from the same demonstrations; only how far apart the two values of the cue lie differs, and in
the control the same two values tell nothing.

toyshift study dsl                                 6 distances and a control, 3 seeds
toyshift study dsl --factor table --pooling mean
toyshift study dsl --results results/dsl --docs docs --tabulate     the committed rows and their page
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.choices import SeenFactor
from toyshift.core.files import read_json, whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.core.workers import core_count
from toyshift.scripts.studies.cells import TEST_SEED, Study, no_rows, pool_of, write_page
from toyshift.scripts.studies.figures import markdown_table
from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig
from toyshift.scripts.studies.planted import (
    Learning,
    PlantedCue,
    collect_places,
    dress,
    gap_text,
    play_swapped,
    recipe,
    share_text,
    shares_of,
)
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

TOYS = "toys:train"
# DSL and OOD success by distance [60 degrees] at radius 0, read off the paper's figure (MiniVLA, viewpoint)
CLEAN = 1.0  # distance of the control that is called just "clean"
PAPER = {1 / 6: (0.0, 0.33), 1 / 3: (0.0, 0.15), 2 / 3: (0.05, 0.02), 1.0: (1.0, 0.0)}
# 1 and 3 degrees: the paper's least distance, 10 degrees, is still told from the other value by a policy
DISPARITIES = (1 / 60, 1 / 20, *PAPER)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, Learning, seeds=(1, MOST_SEEDS), trials=1):
    """Options of `toyshift study dsl`."""

    only: tuple[str, ...] = ()
    """Cells to run, with * for anything, e.g. "*-s1"."""
    factor: SeenFactor = "azimuth"
    """What the cue is."""
    disparities: tuple[float, ...] = DISPARITIES
    """Distances of its two values, in half spans (60 degrees of azimuth)."""
    seeds: int = 3
    """Seeds of demonstrations, cues, training and test together."""
    trials: int = 50
    """Episodes per cell of the test: two controls and two with the cue swapped."""
    out: Path = Path("runs/dsl")

    def __post_init__(self) -> None:
        super().__post_init__()
        for distance in self.disparities:
            PlantedCue(self.factor, distance, 1.0).cells()

    def settings(self) -> dict[str, Any]:
        """What decides a policy's result, but for its cell."""
        return {k: getattr(self, k) for k in ("factor", "pooling", "lr", "demos", "steps", "batch", "trials", "seed")}


def main(cfg: Config) -> dict[str, Any]:
    """Trains policies on a cue that tells the target's place, at several distances, and swaps the cue (docs/dsl.md).

    Example: toyshift study dsl --factor azimuth --out runs/dsl
    """
    return DslStudy(cfg).conduct(cfg, cfg.only)


class DslStudy(Study):
    """One cell a policy."""

    name = "dsl"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg = cfg
        furthest = max(cfg.disparities)
        cues = [PlantedCue(cfg.factor, distance, 1.0) for distance in cfg.disparities]
        self.cues = {_name(cue): cue for cue in [*cues, PlantedCue(cfg.factor, furthest, 0.0)]}

    def cells(self) -> list[Cell]:
        cfg = self.cfg
        seconds = 0.2 * cfg.demos + cfg.steps * cfg.batch / 900.0 + 1.4 * cfg.trials
        return [
            Cell(f"{name}-s{seed}", f"{cfg.factor} at {cue.disparity:g}, rho {cue.correlation:g}, seed {seed}", seconds)
            for seed in range(cfg.seeds) for name, cue in self.cues.items()
        ]  # fmt: skip

    def settings(self) -> dict[str, Any]:
        return self.cfg.settings()

    def check(self) -> None:
        self.prepare(TOYS)

    def run(self, cell: Cell) -> None:
        """Dresses, trains and tests one policy."""
        from toyshift.diagnostics import write_rows
        from toyshift.envs.render.renderer import gl_renderer_name
        from toyshift.policies import train

        cfg, (name, _, number) = self.cfg, cell.name.rpartition("-s")
        cue, seed = self.cues[name], cfg.seed + int(number)
        workers = cfg.processes if cfg.processes > 1 else 0
        folder = cfg.work_dir / cell.name
        places = collect_places(cfg.work_dir / f"places-s{number}", TOYS, cfg.demos, seed, workers)
        data = dress(cue, places, folder / "data", seed, workers)
        sizes: dict[str, Any] = {"steps": cfg.steps, "batch": cfg.batch, "lr": cfg.lr, "seed": seed}
        done = train(recipe(cfg.pooling, data, folder / "policy", threads=core_count(), **sizes))
        with pool_of(cfg.processes) as pool:
            test = TEST_SEED + seed
            rows = play_swapped(str(folder / "policy"), cue, TOYS, cfg.trials, test, cell.name, folder / "rows", pool)
        facts = {"cue": dataclasses.asdict(cue), "gl_renderer": gl_renderer_name()}
        facts |= {k: done[k] for k in ("loss", "validation_loss", "samples")}
        write_rows(self.path(cell.name), rows, manifest(cfg.settings(), seed, **facts))

    def tabulate(self) -> dict[str, Any]:
        from toyshift.diagnostics import read_rows, read_rows_manifest
        from toyshift.scripts.studies.charts import curve_chart

        folder, page = self.cfg.results_dir, self.cfg.docs_dir / "dsl.md"
        paths = whole_files(folder / "rows", "*-s*.parquet")
        if not paths:
            raise no_rows(folder, "dsl")
        by_cue: dict[PlantedCue, list[list[Row]]] = {}
        for path in paths:
            by_cue.setdefault(PlantedCue(**read_rows_manifest(path)["cue"]), []).append(read_rows(path))
        lines = [_line(cue, by_cue[cue]) for cue in sorted(by_cue, key=lambda c: (-c.correlation, c.disparity))]
        table = {"settings": read_json(folder / "settings.json")["settings"], "cues": lines}
        write_json(folder / "table.json", table)
        made = _markdown(table)
        curves = [
            (label, [(x["disparity"], *x[key]["value_low_high"]) for x in lines if x["correlation"]])
            for label, key in (("DSL", "dsl"), ("DSL by chance", "by_chance"), ("success, cue swapped", "ood_success"))
        ]
        distances = [x["disparity"] for x in lines if x["correlation"]]
        if len(distances) > 1:
            title = f"cue: {self.cfg.factor}"
            axis = "distance of the two values (logarithmic)"
            curve_chart(self.cfg.docs_dir / "dsl.png", title, axis, curves, distances, log=True)
        write_page(page, self.name, folder, made)
        print(made)
        return table


def _name(cue: PlantedCue) -> str:
    if cue.correlation:
        return f"d{cue.disparity:.3f}"
    return "clean" if cue.disparity == CLEAN else f"clean-d{cue.disparity:.3f}"


def _line(cue: PlantedCue, seeds: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """Returns what all seeds say of a cue."""
    return {**dataclasses.asdict(cue), **shares_of(cue.cells(), seeds)}


HEAD = (
    "| distance | correlation | seeds | DSL (interval: these policies, new objects, not new seeds) | by chance | "
    "excess | success, cue swapped | success, own cue | each seed's DSL | paper's DSL, success |"
)


def _markdown(table: dict[str, Any]) -> str:
    lines = []
    for x in table["cues"]:
        near = next((v for k, v in PAPER.items() if abs(k - x["disparity"]) < 1e-6), None)
        known = near and x["correlation"] and table["settings"]["factor"] == "azimuth"
        lines.append((
            f"{x['disparity']:.2f}", f"{x['correlation']:g}", len(x["by_seed"]["dsl"]), share_text(x["dsl"]),
            share_text(x["by_chance"]),
            gap_text(x["excess"]),
            share_text(x["ood_success"]), share_text(x["id_success"]),
            ", ".join(f"{v:.2f}" for v in x["by_seed"]["dsl"]),
            f"{near[0]:.2f}, {near[1]:.2f}" if near and known else "-",
        ))  # fmt: skip
    return markdown_table(HEAD, lines)

