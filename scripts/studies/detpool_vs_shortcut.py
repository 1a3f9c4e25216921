"""Whether detection pooling takes away the reliance on a planted cue with no change to the data, and what it buys.

Policies of several poolings learn from the same demonstrations, rendered again (`planted`): told ones with one cue each
(correlation 1), clean ones with all cues at once, none of which tells anything. Each is tested with the cue swapped and
under a value of the factor that it has never seen, clean ones on other objects (retention) and beside other toys too.

toyshift study detpool-vs-shortcut --dry-run                        what would be run, and how long
toyshift study detpool-vs-shortcut --only "table-*"                 one factor
toyshift study detpool-vs-shortcut --objects "ycb:DIR?graspable"    retention on real objects
toyshift study detpool-vs-shortcut --results results/detpool_vs_shortcut --docs docs --tabulate     the rows and page
"""

from __future__ import annotations

import collections
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.scripts.studies.cells import (
    PLAY,
    TEST_SEED,
    Study,
    made_once,
    no_rows,
    pool_of,
    training_speed,
    write_page,
)
from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig
from toyshift.scripts.studies.planted import (
    COLLECTING,
    FRAMES,
    RENDERED,
    TURNED,
    Lessons,
    collect_places,
    dress,
    dress_parts,
    play_cells,
    recipe,
)
from toyshift.scripts.studies.planted_policies import (
    ALL,
    FACTORS,
    POOLED,
    TOYS,
    Factor,
    PlantedPolicy,
    cue_of,
    unseen_cells,
    varied_parts,
)
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

NEIGHBOURS = "distractors=3"  # three other toys beside the target


class PoolingBudget(NamedTuple):
    """How large the study is: names of POOLED, and the number of seeds."""

    poolings: tuple[str, ...]
    seeds: int


BUDGETS = {
    "small": PoolingBudget(("detpool", "attention", "attention-mask"), 2), "paper": PoolingBudget(tuple(POOLED), 3),
}

@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, Lessons, trials=1, seeds=(0, MOST_SEEDS)):
    """Options of `toyshift study detpool-vs-shortcut`."""

    budget: Literal["small", "paper"] = "small"
    """small: detpool, attention and attention told the mask, two seeds; paper: mask-channel too, three seeds."""
    factors: tuple[Factor, ...] = FACTORS
    """Cues of told policies, each in policies of its own; clean ones always see all of them vary."""
    objects: str = "ycb-like?graspable"
    """New objects for retention, such as ycb:DIR?graspable."""
    seeds: int = 0
    """Seeds of demonstrations, cues, training and test together; 0 = the budget's."""
    only: tuple[str, ...] = ()
    """Cells to run, by pattern: "table-*"."""
    trials: int = 20
    """Episodes in each cell of the test: of a cue two controls, two with it swapped and two with an unseen value; of
    clean policies those of all three cues, the controls with new objects too, and twice as many episodes beside other
    toys and without."""
    out: Path = Path("runs/detpool-vs-shortcut")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.factors:
            raise ConfigError(f"--factors names no factor; choose from {', '.join(FACTORS)}")
        if self.objects == TOYS:
            raise ConfigError(f"--objects {self.objects}: those are trained on; give others, such as toys:test")

    def settings(self) -> dict[str, Any]:
        """What decides a policy's result, but for its cell."""
        return {k: getattr(self, k) for k in ("demos", "steps", "batch", "trials", "objects", "seed")}


def main(cfg: Config) -> dict[str, Any]:
    """Compares poolings on planted cues: who goes where the cue points, and who retains (docs/detpool_vs_shortcut.md).

    Example: toyshift study detpool-vs-shortcut --budget small --out runs/detpool-vs-shortcut
    """
    return DetpoolVsShortcut(cfg).conduct(cfg, cfg.only)


class DetpoolVsShortcut(Study):
    """One cell a policy."""

    name = "detpool-vs-shortcut"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg, budget = cfg, BUDGETS[cfg.budget]
        data = [(ALL, "clean"), *((factor, "told") for factor in dict.fromkeys(cfg.factors))]
        self.kinds = {
            f"{kind.name}-s{number}": (kind, number) for number in range(cfg.seeds or budget.seeds)
            for kind in (PlantedPolicy(*one, pooling) for one in data for pooling in budget.poolings)
        }  # fmt: skip

    def cells(self) -> list[Cell]:
        cfg, found = self.cfg, []
        rendered: set[tuple[object, ...]] = set()
        for name, (kind, number) in self.kinds.items():
            seconds = PLAY * cfg.trials * (6 if kind.data == "told" else 8 * len(FACTORS) + 4)  # of one core
            speed = TURNED if kind.factor == "azimuth" else RENDERED
            for once, work in (((number,), COLLECTING), ((number, *kind[:2]), FRAMES / speed)):
                seconds += 0.0 if once in rendered else work * cfg.demos
                rendered.add(once)
            told = f"{kind.factor} tells the place" if kind.data == "told" else f"{', '.join(FACTORS)} tell nothing"
            training = cfg.steps * cfg.batch / training_speed(POOLED[kind.pooling].pooling)
            found.append(Cell(name, f"{kind.pooling}; {told}, seed {number}", seconds / cfg.processes + training))
        return found

    def settings(self) -> dict[str, Any]:
        return self.cfg.settings()

    def check(self) -> None:
        self.prepare(TOYS, self.cfg.objects)

    def run(self, cell: Cell) -> None:
        """Dresses, trains and tests one policy."""
        from toyshift.diagnostics import write_rows
        from toyshift.envs.render.renderer import gl_renderer_name
        from toyshift.policies import train

        cfg, (kind, number) = self.cfg, self.kinds[cell.name]
        seed, workers, folder = cfg.seed + number, cfg.processes if cfg.processes > 1 else 0, cfg.work_dir / cell.name
        places = collect_places(cfg.work_dir / f"places-s{number}", TOYS, cfg.demos, seed, workers)
        out, how = cfg.work_dir / f"{kind.factor}-{kind.data}-data-s{number}", POOLED[kind.pooling]
        if kind.data == "told":
            data = dress(cue_of(kind.factor), places, out, seed, workers)
        else:
            with made_once(out):
                data = dress_parts(varied_parts(), FACTORS, places, out, seed, workers)
        sizes: dict[str, Any] = {"steps": cfg.steps, "batch": cfg.batch, "lr": how.lr, "seed": seed}
        sizes |= {"mask_input": how.mask_input, "threads": cfg.processes}
        done = train(recipe(how.pooling, data, folder / "policy", **sizes))
        rows = self.played(kind, TEST_SEED + seed, str(folder / "policy"), cell.name, folder)
        facts = {"kind": kind._asdict(), "number": number, "gl_renderer": gl_renderer_name()}
        facts |= {k: done[k] for k in ("loss", "validation_loss", "samples")}
        write_rows(self.path(cell.name), rows, manifest(cfg.settings(), seed, **facts))

    def played(self, kind: PlantedPolicy, seed: int, policy: str, name: str, folder: Path) -> list[Row]:
        """Plays a policy's cells with training toys; a clean one's controls with new objects, and beside other toys."""
        from toyshift.diagnostics import EvaluateConfig, evaluate

        cfg, cells = self.cfg, [cell for cue in kind.cues for cell in cue.cells()]
        own = [*cells, *(cell for cue in kind.cues for cell in unseen_cells(cue))]
        with pool_of(cfg.processes) as pool:
            rows = play_cells(policy, own, TOYS, cfg.trials, seed, name, folder / "rows", pool)
            if kind.data == "told":
                return rows
            new = [cell for cell in cells if not cell.swapped]
            rows += play_cells(policy, new, cfg.objects, cfg.trials, seed, name, folder / "rows-new", pool)
            for shift in ("", NEIGHBOURS):
                config = EvaluateConfig(policy, TOYS, 2 * cfg.trials, seed=seed, name=name, shift=shift)
                rows += evaluate(config, folder / "rows-neighbours" / f"{shift or 'none'}.parquet", 0, pool=pool)
        return rows

    def tabulate(self) -> dict[str, Any]:
        from toyshift.diagnostics import read_rows, read_rows_manifest
        from toyshift.scripts.studies.detpool_results import draw, markdown, tabulated

        folder, docs = self.cfg.results_dir, self.cfg.docs_dir
        paths = whole_files(folder / "rows", "*-s*.parquet")
        if not paths:
            raise no_rows(folder, self.name)
        played: dict[PlantedPolicy, dict[int, list[Row]]] = collections.defaultdict(dict)
        for path in paths:
            facts = read_rows_manifest(path)
            played[PlantedPolicy(**facts["kind"])][facts["number"]] = read_rows(path)
        missing = [cell.name for cell in self.cells() if not self.is_done(cell)]
        table = tabulated(played) | {"settings": read_json(folder / "settings.json")["settings"], "missing": missing}
        write_json(folder / "table.json", table)
        made = markdown(table)
        draw(docs / "detpool_vs_shortcut.png", table["policies"])
        write_page(docs / "detpool_vs_shortcut.md", self.name, folder, made)
        print(made)
        return table
