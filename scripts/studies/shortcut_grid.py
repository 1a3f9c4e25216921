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
import functools
import itertools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.policies.config import NO_STATE
from toyshift.scripts.recipe import STATE
from toyshift.scripts.studies.cells import PLAY, TEST_SEED, Study, made_once, no_rows, pool_of, write_page
from toyshift.scripts.studies.dsl import PAPER
from toyshift.scripts.studies.figures import markdown_table
from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig
from toyshift.scripts.studies.planted import (
    COLLECTING,
    FRAMES,
    TRAINED,
    TURNED,
    Learning,
    as_one,
    collect_places,
    dress_parts,
    gap_text,
    play_cells,
    recipe,
    share_text,
    shares_of,
    swapped_rows,
)
from toyshift.scripts.studies.same_starts import (
    LEAST_SEEDS,
    RULE,
    Paired,
    corrected,
    difference,
    each_text,
    sign_of,
    significant,
    trend,
)
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.data.collecting.dials import Fragmentation, SubDataset
    from toyshift.diagnostics import Row
    from toyshift.diagnostics.swapped_cells import CueCell

TOYS = "toys:train"
# two toys each, which lie on the table together: the one that is not asked for is of the other half in every episode;
# no two of the eight have the same name
PICK_PAIRS = tuple(f"toys:train?n=2&seed={seed}" for seed in (0, 1, 2, 4))
CUE, REACH = "azimuth", 0.04  # half an open hand [m]
STRIPS: dict[str, Any] = {"relevant": "position", "relevant_diversity": 0.1, "relevant_disparity": 1.9}  # 1 cm each
STRIP_SEEDS = 10_000  # between the seeds of two strips, or pairs: no strip has another's objects
SOURCES = ("separated", "intertwined", "pick")
Arm = Literal["plain", "state", "intertwined", "pick"]
ARMS: dict[Arm, str] = {
    "plain": "Grasp-v0, positions separated, no proprioception",
    "state": "Grasp-v0, positions separated, with proprioception",
    "intertwined": "Grasp-v0, positions intertwined, no proprioception",
    "pick": "Pick-v0, instructions, no proprioception",
}
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
# DSL and success with the cue swapped, read off the paper's figure. Radius: in units of 30 degrees (DP: 5); distance:
# of 60 degrees (DP: 12.5). Along the radius its distance is 1 - radius, along the distance its radius is 0 (DP: 1)
ALONG_RADIUS = {
    "MiniVLA": {0.0: (1.0, 0.0), 0.25: (1.0, 0.01), 0.5: (0.65, 0.05), 0.75: (0.0, 0.155)},
    "pi0": {0.0: (0.96, 0.0), 0.25: (0.6, 0.0), 0.5: (0.05, 0.23), 0.75: (0.0, 0.63)},
    "DP": {0.0: (0.8, 0.0), 0.5: (0.01, 0.35), 0.75: (0.0, 0.675)},
}
ALONG_DISTANCE = {
    "MiniVLA": PAPER,
    "pi0": {1 / 3: (0.01, 0.33), 2 / 3: (0.24, 0.0), 1.0: (0.96, 0.0)},
    "DP": {0.2: (0.0, 0.72), 0.4: (0.0, 0.65), 0.8: (0.09, 0.11), 1.2: (0.95, 0.0)},
}
EXPECTED = {("radius", "dsl"): -1, ("radius", "success"): 1, ("distance", "dsl"): 1, ("distance", "success"): -1}


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


@dataclasses.dataclass(frozen=True)
class GridPoint:
    """What one policy's data are.

    Attributes:
        arm: of ARMS.
        radius: half width of a sub-dataset's viewpoints [30 degrees].
        distance: of the centres of the two [60 degrees].
        correlation: 1 where the viewpoint tells what to do, 0 where it tells nothing.
    """

    arm: Arm
    radius: float
    distance: float
    correlation: float = 1.0

    @property
    def name(self) -> str:
        return f"{self.arm}-r{self.radius:g}-d{self.distance:g}{'' if self.correlation else '-clean'}"

    @property
    def source(self) -> str:
        """What its demonstrations are, of SOURCES."""
        return "separated" if self.arm in ("plain", "state") else self.arm

    @property
    def data(self) -> str:
        """Name of what it learns from, which arms of the same demonstrations and viewpoints share."""
        return dataclasses.replace(self, arm="plain").name.replace("plain", self.source, 1)

    @property
    def groups(self) -> tuple[int, ...]:
        """Which sub-dataset each strip of places belongs to, from one side of the table to the other."""
        return (0, 1, 0, 1) if self.arm == "intertwined" else (0, 0, 1, 1)

    def views(self, correlation: float | None = None) -> tuple[SubDataset, ...]:
        """Returns the two sub-datasets, of which the viewpoints count."""
        from toyshift.data.collecting.dials import fragment

        rho = self.correlation if correlation is None else correlation
        return fragment(2, diversity=self.radius, disparity=self.distance, correlation=rho, factor=CUE).parts

    def parts(self) -> list[SubDataset]:
        """Returns what each strip's episodes are drawn from."""
        views = self.views()
        strips = zip(strips_of_places().parts, self.groups, strict=True)
        return [dataclasses.replace(strip, azimuth=views[group].azimuth) for strip, group in strips]

    def cells(self) -> list[CueCell]:
        """Returns the cells of the test, the same for a control as for the policy that was told.

        Raises:
            ConfigError: radius and distance do not fit the span, or the swapped cue is a sub-dataset's own.
        """
        from toyshift.diagnostics.swapped_cells import StripCell, ToldCell

        if not (self.radius >= 0.0 and self.distance > 0.0 and self.radius + self.distance <= 2.0):  # NaN as well
            least = "a radius is at least 0, a distance above 0 (else one's viewpoints are the other's)"
            told = f"{least}, and together they are at most 2, the whole span"
            raise ConfigError(f"--radii {self.radius:g} with --distances {self.distance:g}: {told}")
        first, second = [(r.low, r.high) for view in self.views(1.0) for r in view.azimuth]
        if self.arm == "pick":
            return [ToldCell("asked", cue, CUE, (first, second), REACH) for cue in ("asked", "other")]
        own, edges = (first, second), (first[0], second[1])
        places = [(part.position[0].low, part.position[0].high) for part in strips_of_places().parts]
        cells: list[CueCell] = []
        for i, group in enumerate(self.groups):
            others = [k for k, g in enumerate(self.groups) if g != group]
            swapped, (implied, *beside) = (edges[1 - group],) * 2, [places[k] for k in others]
            for whose, cue in ((i, own[group]), (others[0], swapped)):
                names = f"strip-{i}", f"strip-{whose}"
                cells.append(StripCell(*names, CUE, places[i], cue, implied, False, REACH, tuple(beside)))
        return cells


@functools.cache
def strips_of_places() -> Fragmentation:
    """Returns four strips across the table, 1 cm wide with 5 cm between: both arrangements are made of them."""
    from toyshift.data.collecting.dials import fragment

    return fragment(4, diversity=0.0, disparity=0.0, correlation=0.0, factor="light", **STRIPS)


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
            return dress_parts(point.parts(), CUE, places, out, seed, workers)
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


# ---------------------------------------------------------------- figures from rows

Played = Mapping[GridPoint, Mapping[int, list["Row"]]]


def tabulated(played: Played) -> dict[str, Any]:
    """Returns a line for each point, and all comparisons, whose p values are corrected together.

    Args:
        played: rows by point and by the number of their seed.
    """
    order = sorted(played, key=lambda p: (list(ARMS).index(p.arm), p.radius, -p.correlation, p.distance))
    lines = {p: dataclasses.asdict(p) | shares_of(p.cells(), list(played[p].values())) for p in order}
    asked = [*_trends(order), *_against_controls(order), *_against_plain(order)]
    changes = corrected([compared(played, line, head["what"]) for head, line in asked])
    made = [head | {"change": x, "sign": sign_of(x)} for (head, _), x in zip(asked, changes, strict=True)]
    steps = [x for x in made if x["kind"] == "step"]
    for x, (_, line) in zip(made, asked, strict=True):
        own = [s["sign"] for s in steps if all(s[k] == x.get(k) for k in ("arm", "along", "at", "what"))]
        against = x["kind"] == "trend" and any(sign * x["sign"] < 0 for sign in own)
        x["why"] = _why(x["change"], [lines[line[0]], lines[line[-1]]], against)
        x["sign"] = 0 if against else x["sign"]
    return {"points": list(lines.values()), "comparisons": made}


def compared(played: Played, line: Sequence[GridPoint], what: str) -> Paired | None:
    """Returns how a line of points changes with the cue swapped, on the starts of the seeds that all of it has.

    Of two points it is the second minus the first; of more the mean of all pairs.
    """
    seeds = sorted(set.intersection(*(set(played[p]) for p in line)))
    rows = [swapped_rows(p.cells(), as_one([played[p][n] for n in seeds])) for p in line]
    return trend(rows, what) if len(rows) > 2 else difference(rows[1], rows[0], what)


Asked = tuple[dict[str, Any], Sequence[GridPoint]]


def _trends(points: Sequence[GridPoint]) -> Iterator[Asked]:
    """Yields each row and column, from its nearest point to its furthest, and the steps between its points."""
    told = [p for p in points if p.correlation]
    for arm in dict.fromkeys(p.arm for p in told):
        for along, across in (("radius", "distance"), ("distance", "radius")):
            for at in sorted({getattr(p, across) for p in told if p.arm == arm}):
                line = [p for p in told if p.arm == arm and getattr(p, across) == at]
                line.sort(key=lambda p: getattr(p, along))
                if len(line) > 1:
                    ends = {"from": getattr(line[0], along), "to": getattr(line[-1], along)}
                    for what in ("dsl", "success"):
                        head = {"kind": "trend", "arm": arm, "along": along, "at": at, "what": what, **ends}
                        yield head | {"expected": EXPECTED[along, what]}, line
                        for step in itertools.pairwise(line) if len(line) > 2 else ():
                            near, far = (getattr(point, along) for point in step)
                            yield head | {"kind": "step", "from": near, "to": far}, step


def _against_controls(points: Sequence[GridPoint]) -> Iterator[Asked]:
    """Yields each told point against the control of its radius that is furthest apart."""
    for point in points:
        clean = [p for p in points if (p.arm, p.radius, p.correlation) == (point.arm, point.radius, 0.0)]
        if point.correlation and clean:
            for what in ("dsl", "success"):
                yield {"kind": "control", **_place(point), "what": what}, (clean[-1], point)


def _against_plain(points: Sequence[GridPoint]) -> Iterator[Asked]:
    """Yields points of the other arms on the same places against those of the arm plain."""
    for point in points:
        other = dataclasses.replace(point, arm="plain")
        if point.arm in ("state", "intertwined") and point.correlation and other in points:
            for what in ("dsl", "success"):
                yield {"kind": "arm", **_place(point), "what": what}, (other, point)


def _place(point: GridPoint) -> dict[str, Any]:
    return {"arm": point.arm, "radius": point.radius, "distance": point.distance}


def _why(change: dict[str, Any] | None, ends: Sequence[dict[str, Any]], against: bool) -> str:
    """Says what the two ends are like, for where no change is shown; `against`: a step between goes the other way."""
    from toyshift.diagnostics.retention import is_undertrained

    if any(is_undertrained(end["id_success"]["value_low_high"][0]) for end in ends):
        return "incapable with its own cue at one end or both"
    if change and len(change["by_seed"]) < LEAST_SEEDS:
        return "one seed alone, which shows no sign"
    if against:
        return "a step between the ends goes the other way"
    if significant(change):
        return "seeds do not agree"
    taken = [bool(end["excess"] and end["excess"]["difference"]["low"] > 0) for end in ends]
    return (
        "shortcut at both ends" if all(taken) else "no shortcut shown at either end" if not any(taken)
        else "shortcut shown at one end alone, the difference too small for so few starts"
    )  # fmt: skip


# ---------------------------------------------------------------- the page


POINTS = (
    "| radius | distance | viewpoint | seeds | swapped episodes, undefined "
    "| DSL (interval: these policies, new objects) | by chance | excess | DSL minus control's "
    "| success, cue swapped | minus control's | success, own cue | each seed's DSL | paper's DSL, success |"
)
TRENDS = (
    "| along | at | from, to | DSL changes by | each seed | Holm p | success changes by | each seed | Holm p "
    "| paper's signs |"
)
WORDS = {"dsl": "DSL", "success": "success with the cue swapped"}
VERBS = {1: "rises", -1: "falls"}


def markdown(table: dict[str, Any]) -> str:
    """Returns the page's made part."""
    every, points = table["comparisons"], table["points"]
    tests = sum(x["change"] is not None for x in every)
    out = [f"Holm's correction is over the {tests} tests of this page; {RULE}."]
    if table["missing"]:
        out.append(f"**Not complete:** {len(table['missing'])} policies of the plan have not been made yet.")
    for arm in dict.fromkeys(x["arm"] for x in points):
        own = [x for x in every if x["arm"] == arm]
        lines = [_point(x, own) for x in points if x["arm"] == arm]
        out.append(f"### {arm}: {ARMS[arm]}\n\n{markdown_table(POINTS, lines)}")
        if trends := [x for x in own if x["kind"] == "trend"]:
            rows = [_trend(*pair) for pair in zip(trends[::2], trends[1::2], strict=True)]
            out += [markdown_table(TRENDS, rows), " ".join(_signs(trends))]
        if others := [x for x in own if x["kind"] == "arm"]:
            out.append(_other_arm(arm, others))
    return "\n\n".join(out)


def _point(x: dict[str, Any], own: Sequence[dict[str, Any]]) -> tuple[object, ...]:
    against = {
        c["what"]: c["change"] for c in own
        if c["kind"] == "control" and x["correlation"] and (c["radius"], c["distance"]) == (x["radius"], x["distance"])
    }  # fmt: skip
    return (
        f"{x['radius']:.3g}", f"{x['distance']:.3g}", "tells" if x["correlation"] else "tells nothing",
        len(x["by_seed"]["dsl"]), f"{sum(x['counts'].values())}, {x['counts']['undefined']}", share_text(x["dsl"]),
        share_text(x["by_chance"]), gap_text(x["excess"]),
        gap_text(against.get("dsl")), share_text(x["ood_success"]), gap_text(against.get("success")),
        share_text(x["id_success"]), ", ".join("-" if v is None else f"{v:.2f}" for v in x["by_seed"]["dsl"]),
        _papers(x) if x["correlation"] and x["arm"] in ("plain", "state") else "-",
    )  # fmt: skip


def _papers(x: dict[str, Any]) -> str:
    """Returns what the paper measured at a point, of the models whose units are ours."""
    found = []
    for model in ("MiniVLA", "pi0"):
        near = [v for r, v in ALONG_RADIUS[model].items() if _near(r, x["radius"]) and _near(1 - r, x["distance"])]
        near += [v for d, v in ALONG_DISTANCE[model].items() if _near(0, x["radius"]) and _near(d, x["distance"])]
        found += [f"{model} {near[0][0]:.2f}, {near[0][1]:.2f}"] if near else []
    return "; ".join(found) or "-"


def _near(a: float, b: float) -> bool:
    return abs(a - b) < 1e-6


def _trend(dsl: dict[str, Any], success: dict[str, Any]) -> tuple[object, ...]:
    across = "distance" if dsl["along"] == "radius" else "radius"
    head = (dsl["along"], f"{across} {dsl['at']:.3g}", f"{dsl['from']:.3g}, {dsl['to']:.3g}")
    both, cells = (dsl, success), []
    for x in both:
        p = f"{x['change']['holm_p']:.2g}" if x["change"] else "-"
        cells += [gap_text(x["change"]), each_text(x["change"]), p]
    words = "; ".join(f"{name}: {_agrees(x)}" for name, x in zip(("DSL", "success"), both, strict=True))
    return (*head, *cells, words)


def _agrees(x: dict[str, Any]) -> str:
    if x["sign"] == x["expected"]:
        return "as in the paper"
    return "the reverse" if x["sign"] else f"not shown ({x['why']})"


def _signs(trends: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yields sentences on an arm's rows and columns."""
    for (along, what), expected in EXPECTED.items():
        own = [x["sign"] for x in trends if (x["along"], x["what"]) == (along, what)]
        if own:
            verb, other = VERBS[expected], VERBS[-expected]
            yield (
                f"With the {along}, {WORDS[what]} {verb} in {own.count(expected)} of {len(own)} lines, as in the "
                f"paper, {other} in {own.count(-expected)}, and no change is shown in {own.count(0)}."
            )
    agree = sum(x["sign"] == x["expected"] for x in trends)
    yield f"In all, the paper's sign is shown in {agree} of {len(trends)} comparisons."
    reasons = collections.Counter(x["why"] for x in trends if not x["sign"])
    if reasons:
        yield f"Where none is shown: {'; '.join(f'{why} ({n})' for why, n in reasons.most_common())}."


def _other_arm(arm: str, others: Sequence[dict[str, Any]]) -> str:
    """Returns how an arm differs from the arm plain on the same starts."""
    told = []
    for what, word in WORDS.items():
        own = [x for x in others if x["what"] == what]
        each = ", ".join(f"{x['radius']:.3g} by {x['distance']:.3g} {gap_text(x['change'])}" for x in own)
        count = collections.Counter(x["sign"] for x in own)
        told.append(
            f"{word} is higher in {count[1]} of {len(own)} points, lower in {count[-1]}, and no difference is shown in "
            f"{count[0]} (radius by distance: {each})"
        )
    note = ""
    if arm == "intertwined":
        note = " The paper's pi0 with 5 positions a sub-dataset: 1.00, 0.00 separated and 0.00, 0.41 intertwined."
    return f"Against *plain* on the same starts, {'; '.join(told)}.{note}"


def draw(out: Path, points: Sequence[dict[str, Any]]) -> None:
    """Draws DSL and success of the arm plain along radius and distance, the paper's curves beside; where there are two.
    """
    from toyshift.scripts.studies.charts import PAGE, CurvePanel, curve_sheet

    told = [x for x in points if x["arm"] == "plain" and x["correlation"]]
    panels = []
    for key, number, title in (("dsl", 0, "degree of shortcut learning"), ("ood_success", 1, "success, cue swapped")):
        for along, across, others in (("radius", "distance", ALONG_RADIUS), ("distance", "radius", ALONG_DISTANCE)):
            ticks = sorted({x[along] for x in told})
            if len(ticks) < 2:
                continue
            known = [x for x in told if x[key]["value_low_high"][0] is not None]
            curves = [
                (f"{across} {at:.3g}", [(x[along], *x[key]["value_low_high"]) for x in known if x[across] == at])
                for at in sorted({x[across] for x in known})
            ]
            beside = [
                (f"paper, {model}{' (its own units)' if model == 'DP' else ''}",
                 [(x, v[number], v[number], v[number]) for x, v in curve.items() if ticks[0] <= x <= ticks[-1]])
                for model, curve in others.items()
            ]  # fmt: skip
            panels.append(CurvePanel(title, along, curves, ticks, beside))
    if panels:
        columns = 2 if len(panels) > 2 else 1
        curve_sheet(out, panels, columns, PAGE // columns - 88)
