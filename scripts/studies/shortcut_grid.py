"""Shortcut learning over radius and distance of two sub-datasets in the viewpoint: crossed, where the paper moves both.

Policies learn from the same demonstrations, seen from viewpoints that tell what to do. A sub-dataset's viewpoints reach
`radius` to either side of its centre, and the two centres lie `distance` apart. Beside every radius stands a clean
control: the same two ranges, furthest apart, which tell nothing.

toyshift study shortcut-grid --dry-run                     what would be run, and how long
toyshift study shortcut-grid --only "plain-*"              the grid itself; then "state-*", "intertwined-*", "pick-*"
toyshift study shortcut-grid --budget paper                8 distances and 4 radii in each arm, 3 seeds
toyshift study shortcut-grid --results results/shortcut_grid --docs docs --tabulate    the committed rows and page
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toyshift.core.errors import ConfigError
from toyshift.core.files import read_json, whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.policies.config import NO_STATE
from toyshift.scripts.recipe import STATE
from toyshift.scripts.studies.cells import TEST_SEED, Study, made_once, no_rows, pool_of, write_page
from toyshift.scripts.studies.dsl import PAPER
from toyshift.scripts.studies.figures import markdown_table
from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig
from toyshift.scripts.studies.planted import (
    ALPHA,
    COLLECTING,
    FRAMES,
    RENDERED,
    TRAINED,
    Learning,
    as_one,
    collect_places,
    dress_parts,
    gap_text,
    on_same_starts,
    play_cells,
    recipe,
    share_text,
    shares_of,
    shown,
    swapped_rows,
    with_holm,
)
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.data.collecting.dials import Fragmentation, SubDataset
    from toyshift.diagnostics import PairedDifference, Row
    from toyshift.diagnostics.swapped_cells import CueCell

TOYS, PICK_TOYS = "toys:train", "toys:train?n=8"
CUE, REACH = "azimuth", 0.04  # half an open hand [m]
STRIPS: dict[str, Any] = {"relevant": "position", "relevant_diversity": 0.1, "relevant_disparity": 1.9}  # 1 cm each
STRIP_SEEDS = 10_000  # between the test seeds of two strips: no strip has another's objects
Arm = Literal["plain", "state", "intertwined", "pick"]
ARMS: dict[Arm, str] = {
    "plain": "Grasp-v0, positions separated, no proprioception",
    "state": "Grasp-v0, positions separated, with proprioception",
    "intertwined": "Grasp-v0, positions intertwined, no proprioception",
    "pick": "Pick-v0, instructions, no proprioception",
}
RADII, DISTANCES = (0.0, 0.25, 0.5, 0.75), (1 / 20, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1.0)
CORNERS = ((0.0, 0.75), (1 / 20, 1.0))
GRIDS: dict[str, dict[Arm, tuple[tuple[float, ...], tuple[float, ...]]]] = {
    "small": dict.fromkeys(ARMS, CORNERS) | {"plain": ((0.0, 0.25, 0.75), (1 / 20, 1 / 4, 1.0))},
    "paper": dict.fromkeys(ARMS, (RADII, DISTANCES)),
}
SEEDS = {"small": 1, "paper": 3}
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
    """small: radii 0, 0.25, 0.75 by distances 0.05, 0.25, 1 in the arm plain, the corners in the others, one seed;
    paper: 4 radii by 8 distances in every arm, three seeds."""
    arms: tuple[Arm, ...] = tuple(ARMS)
    """Of them: plain, state (with proprioception), intertwined (positions), pick (instructions)."""
    radii: tuple[float, ...] = ()
    """Half widths of a sub-dataset's viewpoints, in 30 degrees; by default the budget's."""
    distances: tuple[float, ...] = ()
    """Distances of the two centres, in 60 degrees; by default the budget's."""
    seeds: int = 0
    """Seeds of demonstrations, cues, training and test together; 0 = the budget's."""
    only: tuple[str, ...] = ()
    """Cells to run, by pattern: "plain-*"."""
    trials: int = 12
    """Episodes in each of 8 cells of the test: four strips of places under their own and under the other's cue; of
    pick four times as many in each of 2."""
    out: Path = Path("runs/shortcut-grid")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.arms:
            raise ConfigError(f"--arms names no arm; choose from {', '.join(ARMS)}")
        if self.demos % 4:
            raise ConfigError(f"--demos is {self.demos}; four strips share them equally: take a multiple of 4")
        for point in self.points():
            point.cells()

    def points(self) -> Iterator[GridPoint]:
        """Yields what one seed's policies are: told ones, and behind those of a radius its control."""
        for arm in dict.fromkeys(self.arms):
            radii, distances = GRIDS[self.budget][arm]
            furthest = max(self.distances or distances)
            for radius in dict.fromkeys(self.radii or radii):
                for distance in dict.fromkeys(self.distances or distances):
                    yield GridPoint(arm, radius, distance)
                yield GridPoint(arm, radius, furthest, 0.0)

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
        numbers = range(cfg.seeds or SEEDS[cfg.budget])
        self.points = {f"{point.name}-s{number}": (point, number) for number in numbers for point in cfg.points()}

    def cells(self) -> list[Cell]:
        cfg = self.cfg
        shared = COLLECTING * cfg.demos, cfg.demos * FRAMES / RENDERED, 8.0 * cfg.trials  # s of one core
        found, begun = [], set()
        for name, (point, number) in self.points.items():
            first = (point.arm == "pick", number) not in begun
            begun.add((point.arm == "pick", number))
            seconds = sum(shared[0 if first else 1 :]) / cfg.processes + cfg.steps * cfg.batch / TRAINED
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
        data = self.dressed(point, number, folder / "data")
        sizes: dict[str, Any] = {"steps": cfg.steps, "batch": cfg.batch, "lr": cfg.lr, "seed": seed}
        sizes |= {"state": STATE if point.arm == "state" else (NO_STATE,)}
        sizes |= {"instruction": "table" if point.arm == "pick" else "none"}
        done = train(recipe(cfg.pooling, data, folder / "policy", threads=cfg.processes, **sizes))
        rows = self.played(point, seed, str(folder / "policy"), cell.name, folder / "rows")
        facts = {"point": dataclasses.asdict(point), "number": number, "gl_renderer": gl_renderer_name()}
        facts |= {k: done[k] for k in ("loss", "validation_loss", "samples")}
        write_rows(self.path(cell.name), rows, manifest(cfg.settings(), seed, **facts))
        shutil.rmtree(folder / "data")  # 150 MB a policy, and rendered again in half a minute

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
        there = cfg.work_dir / f"pick-s{number}"
        with made_once(there):
            collect(CollectConfig(PICK_TOYS, cfg.demos, there, workers=workers, seed=seed, task="pick", clutter=1))
        ids = list(load_objects(PICK_TOYS).ids)
        first, second = (Cue(view, CUE) for view in point.views())
        looks = CueByTarget(first, second, tuple(i for i in ids if half_of(i, ids)))
        return (rerender(Rerendering(there, out, looks, seed, workers))["out"],)

    def played(self, point: GridPoint, seed: int, policy: str, name: str, folder: Path) -> list[Row]:
        """Plays a policy in the cells of its point; each strip has starts of its own, whatever its sub-dataset."""
        from toyshift.diagnostics import EnvSpec

        cfg, cells = self.cfg, point.cells()
        with pool_of(cfg.processes) as pool:
            if point.arm == "pick":
                env = EnvSpec({"task": "pick", "clutter": 1})
                return play_cells(policy, cells, PICK_TOYS, 4 * cfg.trials, TEST_SEED + seed, name, folder, pool, env)
            found = []
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
    pairs = [(head, one, other, compared(played, one, other, head["what"])) for head, one, other in asked]
    corrected = with_holm([found for *_, found in pairs])
    made = [
        head | {"change": change, "sign": shown(change), "why": _why(lines[one], lines[other])}
        for (head, one, other, _), change in zip(pairs, corrected, strict=True)
    ]
    return {"points": list(lines.values()), "comparisons": made}


def compared(played: Played, one: GridPoint, other: GridPoint, what: str) -> PairedDifference | None:
    """Returns the first point minus the second with the cue swapped, on the starts of the seeds that both have."""
    seeds = sorted(played[one].keys() & played[other].keys())
    if not seeds:
        return None
    first, second = (swapped_rows(p.cells(), as_one([played[p][n] for n in seeds])) for p in (one, other))
    return on_same_starts(first, second, what)


Asked = tuple[dict[str, Any], GridPoint, GridPoint]


def _trends(points: Sequence[GridPoint]) -> Iterator[Asked]:
    """Yields for each row and column its furthest point against its nearest."""
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
                        yield head | {"expected": EXPECTED[along, what]}, line[-1], line[0]


def _against_controls(points: Sequence[GridPoint]) -> Iterator[Asked]:
    """Yields each told point against the control of its radius that is furthest apart."""
    for point in points:
        clean = [p for p in points if (p.arm, p.radius, p.correlation) == (point.arm, point.radius, 0.0)]
        if point.correlation and clean:
            for what in ("dsl", "success"):
                yield {"kind": "control", **_place(point), "what": what}, point, clean[-1]


def _against_plain(points: Sequence[GridPoint]) -> Iterator[Asked]:
    """Yields points of the other arms on the same places against those of the arm plain."""
    for point in points:
        other = dataclasses.replace(point, arm="plain")
        if point.arm in ("state", "intertwined") and point.correlation and other in points:
            for what in ("dsl", "success"):
                yield {"kind": "arm", **_place(point), "what": what}, point, other


def _place(point: GridPoint) -> dict[str, Any]:
    return {"arm": point.arm, "radius": point.radius, "distance": point.distance}


def _why(*ends: dict[str, Any]) -> str:
    """Says what the two points are like, for where no change is shown."""
    from toyshift.diagnostics.retention import is_undertrained

    if any(is_undertrained(end["id_success"]["value_low_high"][0]) for end in ends):
        return "incapable with its own cue at one end or both"
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
TRENDS = "| along | at | from, to | DSL changes by | Holm p | success changes by | Holm p | paper's signs |"
WORDS = {"dsl": "DSL", "success": "success with the cue swapped"}
VERBS = {1: "rises", -1: "falls"}


def markdown(table: dict[str, Any]) -> str:
    """Returns the page's made part."""
    every, points = table["comparisons"], table["points"]
    tests = sum(x["change"] is not None for x in every)
    rule = f"its p is at most {ALPHA:g} after that and its interval does not hold 0"
    out = [f"Holm's correction is over the {tests} tests of this page; a difference is *shown* where {rule}."]
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
        cells += [gap_text(x["change"]), f"{x['change']['holm_p']:.2g}" if x["change"] else "-"]
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
