"""Shortcut learning over radius and distance of two sub-datasets in the viewpoint: crossed, where the paper moves both.

Policies learn from the same demonstrations, seen from viewpoints that tell what to do. A sub-dataset's viewpoints reach
`radius` to either side of its centre, and the two centres lie `distance` apart. Beside them stand clean controls: the
same two ranges, furthest apart, which tell nothing.

toyshift study shortcut-grid --dry-run                     what would be run, and how long
toyshift study shortcut-grid --only "*-clean-*"            first whether controls learn their task
toyshift study shortcut-grid --only "plain-*"              the grid itself; then "state-*", "intertwined-*", "pick-*"
toyshift study shortcut-grid --budget paper                8 distances and 4 radii in each arm, 3 seeds
toyshift study shortcut-grid --results results/shortcut_grid --docs docs --tabulate    the committed rows and page
"""

from __future__ import annotations

import collections
import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.policies.config import NO_STATE
from toyshift.scripts.recipe import STATE
from toyshift.scripts.studies.cells import PLAY, TEST_SEED, Study, made_once, no_rows, pool_of, write_page
from toyshift.scripts.studies.grid_points import ARMS, CUE, SOURCES, Arm, GridPoint, strips_of_places
from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig
from toyshift.scripts.studies.planted import (
    COLLECTING,
    FRAMES,
    TRAINED,
    TURNED,
    Learning,
    collect_places,
    dress_parts,
    play_cells,
    recipe,
)
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.diagnostics import Row

TOYS = "toys:train"
# two toys each, which lie on the table together: the one that is not asked for is of the other half in every episode;
# no two of the eight have the same name
PICK_PAIRS = tuple(f"toys:train?n=2&seed={seed}" for seed in (0, 1, 2, 4))
STRIP_SEEDS = 10_000  # between the seeds of two strips, or pairs: no strip has another's objects
RADII, DISTANCES = (0.0, 0.25, 0.5, 0.75), (1 / 20, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1.0)


@dataclasses.dataclass(frozen=True)
class GridBudget:
    """How large a grid is.

    Attributes:
        radii: in each arm.
        distances: likewise, crossed with the radii.
        seeds: of each arm.
        every_control: whether each radius has a control of every seed; else each arm has one, of the widest.
    """

    radii: tuple[float, ...]
    distances: tuple[float, ...]
    seeds: Mapping[Arm, int]
    every_control: bool


GRIDS = {
    "small": GridBudget((0.0, 0.75), (1 / 20, 1.0), {"plain": 3, "state": 1, "intertwined": 3, "pick": 1}, False),
    "paper": GridBudget(RADII, DISTANCES, dict.fromkeys(ARMS, 3), True),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(StudyConfig, Learning, trials=1, seeds=(0, MOST_SEEDS), demos=4):
    """Options of `toyshift study shortcut-grid`."""

    budget: Literal["small", "paper"] = "small"
    """small: the corners, radii 0 and 0.75 by distances 0.05 and 1, in the arms plain and intertwined with three seeds,
    in the others with one, and one control an arm; paper: 4 radii by 8 distances in every arm, three seeds."""
    arms: tuple[Arm, ...] = tuple(ARMS)
    """Of them: plain, state (with proprioception), intertwined (positions), pick (instructions)."""
    radii: tuple[float, ...] = ()
    """Half widths of a sub-dataset's viewpoints, in 30 degrees; by default the budget's."""
    distances: tuple[float, ...] = ()
    """Distances of the two centres, in 60 degrees; by default the budget's."""
    seeds: int = 0
    """Seeds of demonstrations, cues, training and test together, in every arm; 0 = the budget's."""
    only: tuple[str, ...] = ()
    """Cells to run, by pattern: "plain-*"."""
    trials: int = 12
    """Episodes in each of 8 cells of the test: four strips of places, of pick four pairs of toys, under their own and
    under the other's cue."""
    out: Path = Path("runs/shortcut-grid")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.arms:
            raise ConfigError(f"--arms names no arm; choose from {', '.join(ARMS)}")
        if self.demos % 4:
            raise ConfigError(f"--demos is {self.demos}; four strips share them equally: take a multiple of 4")
        for point, _ in self.policies():
            point.cells()

    def policies(self) -> list[tuple[GridPoint, int]]:
        """Returns what each policy is and the number of its seed, in the order in which they are trained.

        First the controls of the widest radius, which tell whether the task is learnt; then seed by seed, those that
        learn from the same data one behind the other.
        """
        budget = GRIDS[self.budget]
        radii, distances = self.radii or budget.radii, self.distances or budget.distances
        found: dict[tuple[GridPoint, int], None] = {}
        for arm in dict.fromkeys(self.arms):
            for number in range(self.seeds or budget.seeds[arm]):
                found |= {(GridPoint(arm, r, d), number): None for r in radii for d in distances}
                if budget.every_control or not number:
                    clean = radii if budget.every_control else (max(radii),)
                    found |= {(GridPoint(arm, r, max(distances), 0.0), number): None for r in clean}

        def order(policy: tuple[GridPoint, int]) -> tuple[Any, ...]:
            point, number = policy
            gate = not point.correlation and not number and point.radius == max(radii)
            kind = (list(SOURCES).index(point.source), point.radius, -point.correlation, point.distance)
            return not gate, number, *kind, list(ARMS).index(point.arm)

        return sorted(found, key=order)

    def settings(self) -> dict[str, Any]:
        """What decides a policy's result, but for its cell."""
        return {k: getattr(self, k) for k in ("pooling", "lr", "demos", "steps", "batch", "trials", "seed")}


def main(cfg: Config) -> dict[str, Any]:
    """Trains policies on viewpoints that tell what to do, over radius and distance crossed (docs/shortcut_grid.md).

    Example: toyshift study shortcut-grid --budget small --out runs/shortcut-grid
    """
    return ShortcutGrid(cfg).conduct(cfg, cfg.only)


class ShortcutGrid(Study):
    """One cell a policy."""

    name = "shortcut-grid"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg = cfg
        self.points = {f"{point.name}-s{number}": (point, number) for point, number in cfg.policies()}

    def cells(self) -> list[Cell]:
        cfg, found = self.cfg, []
        begun: set[tuple[object, ...]] = set()
        for name, (point, number) in self.points.items():
            seconds = 8 * PLAY * cfg.trials  # of one core
            collected, rendered = (point.arm == "pick", number), (point.data, number)
            for once, work in ((collected, COLLECTING), (rendered, FRAMES / TURNED)):
                seconds += 0.0 if once in begun else work * cfg.demos
                begun.add(once)
            seconds = seconds / cfg.processes + cfg.steps * cfg.batch / TRAINED
            told = "tells what to do" if point.correlation else "tells nothing"
            text = f"{point.arm}: radius {point.radius:.3g}, distance {point.distance:.3g}, viewpoint {told}"
            found.append(Cell(name, f"{text}, seed {number}", seconds))
        return found

    def settings(self) -> dict[str, Any]:
        return self.cfg.settings()

    def check(self) -> None:
        self.prepare(TOYS)

    def run(self, cell: Cell) -> None:
        """Dresses, trains and tests one policy."""
        from toyshift.diagnostics import write_rows
        from toyshift.envs.render.renderer import gl_renderer_name
        from toyshift.policies import train

        cfg, (point, number) = self.cfg, self.points[cell.name]
        seed, folder = cfg.seed + number, cfg.work_dir / cell.name
        shared = cfg.work_dir / "data" / f"{point.data}-s{number}"
        with made_once(shared):
            data = self.dressed(point, number, shared)
        sizes: dict[str, Any] = {"steps": cfg.steps, "batch": cfg.batch, "lr": cfg.lr, "seed": seed}
        sizes |= {"state": STATE if point.arm == "state" else (NO_STATE,)}
        sizes |= {"instruction": "table" if point.arm == "pick" else "none"}
        done = train(recipe(cfg.pooling, data, folder / "policy", threads=cfg.processes, **sizes))
        rows = self.played(point, seed, str(folder / "policy"), cell.name, folder / "rows")
        facts = {"point": dataclasses.asdict(point), "number": number, "gl_renderer": gl_renderer_name()}
        facts |= {k: done[k] for k in ("loss", "validation_loss", "samples")}
        write_rows(self.path(cell.name), rows, manifest(cfg.settings(), seed, **facts))
        alike = [name for name, (p, n) in self.points.items() if (p.data, n) == (point.data, number)]
        if all(self.path(name).exists() for name in alike):
            shutil.rmtree(shared, ignore_errors=True)  # 150 MB, and rendered again in half a minute

    def dressed(self, point: GridPoint, number: int, out: Path) -> tuple[str, ...]:
        """Returns the folders of a policy's data: a seed's demonstrations under its viewpoints."""
        from toyshift.augment.cue import Cue, CueByTarget
        from toyshift.augment.rerender import Rerendering, rerender
        from toyshift.data.collecting.collection import collect
        from toyshift.data.collecting.config import CollectConfig
        from toyshift.diagnostics.swapped_cells import half_of
        from toyshift.toys import load_objects

        cfg = self.cfg
        seed, workers = cfg.seed + number, cfg.processes if cfg.processes > 1 else 0
        if point.arm != "pick":
            there = cfg.work_dir / f"strips-s{number}"
            places = collect_places(there, TOYS, cfg.demos, seed, workers, strips_of_places())
            return dress_parts(point.parts(), (CUE,), places, out, seed, workers)
        first, second = (Cue(view, CUE) for view in point.views())
        made = []
        for i, pair in enumerate(PICK_PAIRS):
            there, own = cfg.work_dir / f"pick-s{number}" / f"pair-{i}", seed + STRIP_SEEDS * i
            demos = cfg.demos // len(PICK_PAIRS)
            with made_once(there):
                collect(CollectConfig(pair, demos, there, workers=workers, seed=own, task="pick", clutter=1))
            ids = list(load_objects(pair).ids)
            looks = CueByTarget(first, second, tuple(name for name in ids if half_of(name, ids)))
            made.append(rerender(Rerendering(there, out / there.name, looks, own, workers))["out"])
        return tuple(made)

    def played(self, point: GridPoint, seed: int, policy: str, name: str, folder: Path) -> list[Row]:
        """Plays a policy in the cells of its point; each strip, or pair, has starts of its own, whatever the cue."""
        from toyshift.diagnostics import EnvSpec

        cfg, cells = self.cfg, point.cells()
        with pool_of(cfg.processes) as pool:
            found = []
            if point.arm == "pick":
                env = EnvSpec({"task": "pick", "clutter": 1})
                for i, pair in enumerate(PICK_PAIRS):
                    test, rows = TEST_SEED + seed + STRIP_SEEDS * i, folder / f"pair-{i}"
                    found += play_cells(policy, cells, pair, cfg.trials, test, name, rows, pool, env)
                return found
            for i, cell in enumerate(cells):
                test = TEST_SEED + seed + STRIP_SEEDS * (i // 2)
                found += play_cells(policy, [cell], TOYS, cfg.trials, test, name, folder, pool)
            return found

    def tabulate(self) -> dict[str, Any]:
        from toyshift.diagnostics import read_rows, read_rows_manifest
        from toyshift.scripts.studies.shortcut_grid_results import draw, markdown, tabulated

        folder, docs = self.cfg.results_dir, self.cfg.docs_dir
        paths = whole_files(folder / "rows", "*-s*.parquet")
        if not paths:
            raise no_rows(folder, self.name)
        played: dict[GridPoint, dict[int, list[Row]]] = collections.defaultdict(dict)
        for path in paths:
            facts = read_rows_manifest(path)
            played[GridPoint(**facts["point"])][facts["number"]] = read_rows(path)
        missing = [cell.name for cell in self.cells() if not self.is_done(cell)]
        table = tabulated(played) | {"settings": read_json(folder / "settings.json")["settings"], "missing": missing}
        write_json(folder / "table.json", table)
        made = markdown(table)
        draw(docs / "shortcut_grid.png", table["points"])
        write_page(docs / "shortcut_grid.md", self.name, folder, made)
        print(made)
        return table
