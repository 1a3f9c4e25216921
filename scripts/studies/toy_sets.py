"""What the studies of toys share: a policy learns from demonstrations on one set of toys, and is tested on new objects.

Policies of a seed meet the same starts. Demonstrations are collected once where the axis allows it: those of few are
the first of those of many, and the toys of a small set the first of a large one. All policies see as many samples.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from toyshift.core.files import atomic_dir, read_json, whole_files
from toyshift.core.manifest import manifest
from toyshift.policies.training.config import TrainConfig
from toyshift.scripts.recipe import quickstart_recipe
from toyshift.scripts.studies.again import set_name
from toyshift.scripts.studies.cells import PLAY, TEST_SEED, Study, made_once, no_rows, pool_of, training_speed
from toyshift.scripts.studies.figures import figures, percents, points
from toyshift.scripts.studies.options import MOST_SEEDS, StudyConfig
from toyshift.scripts.studies.planted import COLLECTING
from toyshift.scripts.studies.same_starts import p_for_objects
from toyshift.scripts.studies.schedule import Cell

if TYPE_CHECKING:
    from toyshift.diagnostics import PairedDifference, Row

NEW_TOYS, YCB_LIKE = "toys:test", "ycb-like?graspable"
TITLES = {NEW_TOYS: "new toys", "ycb-like": "YCB-like objects", "ycb": "real YCB objects"}
LIKE_LEGOS = ("ycb-like", "ycb")  # sets beside which LEGO's numbers, on YCB objects, are set
ALL_KINDS = "lego"  # the distribution that others are compared with
POOLING = "detpool"
MOST_TOYS, MOST_DEMOS, MOST_TRIALS = 100_000, 1_000_000, 1_000_000  # a slip of the keyboard must not ask for all memory
SURE = 0.05  # corrected p up to which a difference is called one


class SizedNet(NamedTuple):
    """What turns the features of 16 steps into those that the head reads.

    Attributes:
        name: of `policies.parts.PolicyNet`.
        speed: of training, for estimates until cells have been measured [samples/s].
    """

    name: str
    speed: float


NETS = {"5.7M": SizedNet("transformer-tiny", 150.0), "22M": SizedNet("transformer-small", 70.0)}
SIZE_TOYS = 250  # toys that policies of these sizes learn from, as LEGO's
SLOWER = 4.0  # an episode of theirs, which encodes with a larger network, for estimates
if TYPE_CHECKING:  # for a type checker the choices are texts
    PolicySize = str
else:
    PolicySize = Literal[tuple(NETS)]


@dataclasses.dataclass(frozen=True)
class ToyBudget:
    """How large a study is.

    Attributes:
        demos: demonstrations that policies learn from.
        seeds: seeds of toys, demonstrations, training and test together.
        steps: optimiser steps of a policy.
        batch: samples per step.
        trials: episodes per object set and seed.
    """

    demos: tuple[int, ...]
    seeds: int
    steps: int
    batch: int
    trials: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToyStudyConfig(
    StudyConfig, demos=(1, MOST_DEMOS), seeds=(0, MOST_SEEDS), steps=0, batch=0, trials=(0, MOST_TRIALS)
):
    """Options that the studies of toys share."""

    budgets: ClassVar[Mapping[str, ToyBudget]] = {}
    budget: Literal["small", "paper"] = "small"
    """small (one to two hours of one core) or paper (the whole grid, days)."""
    ycb: Path | None = None
    """Folder with real YCB objects in the official layout; without it YCB-like ones are tested."""
    only: tuple[str, ...] = ()
    """Cells to run, with * for anything."""
    demos: tuple[int, ...] = ()
    """Other numbers of demonstrations than the budget's."""
    seeds: int = 0
    """Another number of seeds; 0 = the budget's."""
    steps: int = 0
    """Other optimiser steps of each policy; 0 = the budget's."""
    batch: int = 0
    """Another number of samples per step; 0 = the budget's."""
    trials: int = 0
    """Other episodes per object set and seed; 0 = the budget's."""

    @property
    def sets(self) -> tuple[str, ...]:
        """The object sets that success is measured on."""
        return (NEW_TOYS, f"ycb:{self.ycb}?graspable" if self.ycb else YCB_LIKE)

    def sizes_of(self) -> ToyBudget:
        """The budget with this command's changes."""
        changes = {f.name: v for f in dataclasses.fields(ToyBudget) if (v := getattr(self, f.name))}
        budget = dataclasses.replace(self.budgets[self.budget], **changes)
        return dataclasses.replace(budget, demos=tuple(sorted(set(budget.demos))))


@dataclasses.dataclass(frozen=True)
class ToyCell:
    """What a policy learns from.

    Attributes:
        distribution: of the toys, a name of `toys.random_toys.presets`.
        toys: how many there are.
        demos: demonstrations on them.
        seed: number of the seed.
        size: of the policy, a name of NETS; "" for the quickstart's.
    """

    distribution: str
    toys: int
    demos: int
    seed: int
    size: str = ""

    def objects(self, root: int) -> str:
        """Returns the object set; the toys of fewer are the first of those of more."""
        return f"toys:train?of={self.distribution}&n={self.toys}&seed={root + self.seed}"

    def anew(self, **changes: Any) -> ToyCell:
        return dataclasses.replace(self, **changes)


CellRows = list[tuple[ToyCell, list["Row"]]]


class ToyStudy(Study):
    """One cell a policy.

    Attributes:
        kinds: what each cell is, by its name, in the order in which they run.
    """

    def __init__(self, cfg: ToyStudyConfig) -> None:
        super().__init__(cfg)
        self.toy_cfg, self.grid = cfg, cfg.sizes_of()
        self.kinds: dict[str, ToyCell] = {}

    def cells(self) -> list[Cell]:
        grid, episodes = self.grid, self.grid.trials * len(self.toy_cfg.sets)
        there: dict[ToyCell, int] = {}  # demonstrations of a set that an earlier cell has collected
        cells = []
        for name, kind in self.kinds.items():
            new = max(0, kind.demos - there.get(collection := kind.anew(demos=0, size=""), 0))
            there[collection] = max(kind.demos, there.get(collection, 0))
            speed, play = (NETS[kind.size].speed, SLOWER * PLAY) if kind.size else (training_speed(POOLING), PLAY)
            seconds = (COLLECTING * new + play * episodes) / self.toy_cfg.processes + grid.steps * grid.batch / speed
            many = f"{kind.toys} toy{'s' * (kind.toys > 1)}"
            text = f"{many} ({kind.distribution}), {kind.demos} demonstrations, seed {kind.seed}"
            cells.append(Cell(name, f"{text}{', ' * bool(kind.size)}{kind.size}", seconds))
        return cells

    def settings(self) -> dict[str, Any]:
        """What decides a policy's result, but for its cell; how many cells and episodes there are does not."""
        return {"steps": self.grid.steps, "batch": self.grid.batch, "seed": self.toy_cfg.seed}

    def check(self) -> None:
        self.prepare(*self.toy_cfg.sets)

    def is_done(self, cell: Cell) -> bool:
        return self.path(cell.name).exists() and self.has_played(self.path(cell.name))

    def has_played(self, path: Path) -> bool:
        """Says whether rows hold all episodes of all sets; where real objects lie does not matter."""
        from toyshift.diagnostics import read_rows

        played = {(set_name(row.object_set), row.episode) for row in read_rows(path)}
        wanted = itertools.product(map(set_name, self.toy_cfg.sets), range(self.grid.trials))
        return played.issuperset(wanted)

    def run(self, cell: Cell) -> None:
        """Collects what is missing, trains and tests one policy."""
        from toyshift.diagnostics import EvaluateConfig, evaluate, read_rows, write_rows
        from toyshift.envs.render.renderer import gl_renderer_name
        from toyshift.policies import train

        cfg, kind = self.toy_cfg, self.kinds[cell.name]
        data, folder = self.demonstrations(kind), cfg.work_dir / "policies" / cell.name
        with made_once(data):  # policies of other sizes read the same frames
            done = train(self.recipe(kind, data, folder))
            shutil.rmtree(data / ".cache", ignore_errors=True)  # decoded frames, three times the size of the dataset
        called, path = cell.name.rpartition("-s")[0], self.path(cell.name)
        names = [set_name(spec) for spec in cfg.sets]
        # what was played on other sets before (YCB-like ones, when there were no real ones) stays
        rows = [row for row in read_rows(path) if set_name(row.object_set) not in names] if path.exists() else []
        with pool_of(cfg.processes) as pool:
            for name, spec in zip(names, cfg.sets, strict=True):
                asked = EvaluateConfig(
                    str(folder), spec, self.grid.trials, seed=TEST_SEED + cfg.seed + kind.seed, name=called
                )
                part = cfg.work_dir / "rows" / f"{cell.name}-{name.replace(':', '-')}.parquet"
                rows += evaluate(asked, part, 0, pool=pool)
        facts = {"cell": dataclasses.asdict(kind), "gl_renderer": gl_renderer_name()}
        facts |= {k: done[k] for k in ("loss", "validation_loss", "samples")}
        write_rows(path, rows, manifest(self.settings(), cfg.seed + kind.seed, **facts))

    def demonstrations(self, kind: ToyCell) -> Path:
        """Collects the demonstrations of a cell, once for policies of all sizes; returns their folder.

        A copy of fewer on the same toys is extended where the study has fewer: the same dataset as collected at once.
        """
        from toyshift.data import CollectConfig, collect

        cfg = self.toy_cfg
        name = f"{kind.distribution}-t{kind.toys}-d{kind.demos}-s{kind.seed}"
        folder = cfg.work_dir / "demonstrations" / name
        fewer = [k.demos for k in self.kinds.values() if k.anew(demos=kind.demos, size=kind.size) == kind]
        workers = cfg.processes if cfg.processes > 1 else 0
        root = cfg.seed + kind.seed
        with made_once(folder):
            if (smaller := max((d for d in fewer if d < kind.demos), default=0)) and not folder.exists():
                before = self.demonstrations(kind.anew(demos=smaller))
                with made_once(before), atomic_dir(folder) as temporary:
                    shutil.copytree(before, temporary, ignore=shutil.ignore_patterns(".cache"), dirs_exist_ok=True)
            collect(CollectConfig(kind.objects(cfg.seed), kind.demos, folder, workers=workers, seed=root))
        return folder

    def recipe(self, kind: ToyCell, data: Path, out: Path) -> TrainConfig:
        """Returns how a policy is trained: as the quickstart's with detection pooling.

        One of another size is a transformer over 16 steps of pooled tokens of a frozen encoder, read from a cache: so
        without mirroring and jitter, and with a lower rate, which was not searched.
        """
        grid, root = self.grid, self.toy_cfg.seed + kind.seed
        usual = quickstart_recipe(POOLING, (str(data),), str(out), grid.steps, grid.batch, root)
        usual = dataclasses.replace(usual, threads=self.toy_cfg.processes)  # a cell that is one of several has one core
        if not kind.size:
            return usual
        policy = dataclasses.replace(
            usual.policy, encoder="efficientnet-lite0", freeze_encoder=True, pool_first=True,
            policy_net=NETS[kind.size].name,
        )
        return dataclasses.replace(usual, policy=policy, mirror=False, lr=5e-4)

    def read(self) -> CellRows:
        """Returns every cell that is there with its rows; object sets go by their short names.

        Raises:
            FileError: there is none.
            ConfigError: they were made with other options.
        """
        from toyshift.diagnostics import read_rows, read_rows_manifest

        folder = self.toy_cfg.results_dir
        paths = whole_files(folder / "rows", "*-s*.parquet")
        if not paths:
            raise no_rows(folder, self.name)
        return [
            (
                ToyCell(**read_rows_manifest(path)["cell"]),
                [dataclasses.replace(row, object_set=set_name(row.object_set)) for row in read_rows(path)],
            )
            for path in paths
        ]  # fmt: skip

    def made_with(self) -> dict[str, Any]:
        """Returns what table.json says of how the rows were made, and of cells that are missing."""
        settings = read_json(self.toy_cfg.results_dir / "settings.json")["settings"]
        missing = [name for name in self.kinds if not self.path(name).exists()]
        return {"settings": settings, "missing": missing}


# ---------------------------------------------------------------- lines of tables


Groups = dict[tuple[ToyCell, str], list["Row"]]  # by cell, whatever its seed, and object set


def by_set(cells: CellRows) -> Groups:
    """Returns the rows of all seeds together, by cell (whose seed is 0) and object set, in the order of TITLES."""
    groups: Groups = {}
    for kind, rows in cells:
        for row in rows:
            groups.setdefault((kind.anew(seed=0), row.object_set), []).append(row)
    places = list(TITLES)
    order = sorted(groups, key=lambda x: (places.index(x[1]), x[0].size, x[0].distribution, x[0].toys, x[0].demos))
    return {key: groups[key] for key in order}


def success_of(kind: ToyCell, name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """Returns what table.json says of one policy, all seeds together, on one set."""
    from toyshift.diagnostics import per_seed, summarise

    cell = {k: v for k, v in dataclasses.asdict(kind).items() if k != "seed"}
    seeds = [k / n for k, n in per_seed(rows).values()]
    return {**cell, "set": name, **figures(summarise(rows)[0]), "by_seed": seeds}


def paired_of(first: Sequence[Row], second: Sequence[Row]) -> PairedDifference | None:
    """Returns the second minus the first, on the starts that both met; None where there is none."""
    from toyshift.diagnostics import compare

    starts = [{(r.object_id, r.seed, r.episode, r.purpose) for r in rows} for rows in (first, second)]
    return compare(second, first) if starts[0] & starts[1] else None


def _seed_differences(first: Sequence[Row], second: Sequence[Row]) -> list[float]:
    """Returns the second minus the first of each seed that both have."""
    seeds = sorted({row.seed for row in first} & {row.seed for row in second})
    sides = ([[row for row in rows if row.seed == seed] for rows in (first, second)] for seed in seeds)
    return [found.difference.value for found in (paired_of(*side) for side in sides) if found]


def _p_of(first: Sequence[Row], second: Sequence[Row]) -> float:
    """Returns p for "no difference on new objects" on the starts that both met."""
    one, other = (
        {(r.object_set, r.object_id, r.seed, r.episode, r.purpose): r.success for r in rows} for rows in (first, second)
    )
    shared = sorted(one.keys() & other.keys())
    return p_for_objects([other[k] for k in shared], [one[k] for k in shared], [k[1] for k in shared])


def differences(groups: Groups, pairs: Iterable[tuple[ToyCell, ToyCell, str]]) -> list[dict[str, Any]]:
    """Returns a line for each pair (from, to, set) with rows on both sides: to minus from, Holm over all of them."""
    from toyshift.diagnostics.statistics import holm

    lines = []
    for one, other, name in pairs:
        sides = groups.get((one, name), []), groups.get((other, name), [])
        found = paired_of(*sides)
        if found:
            lines.append({
                "set": name, "from": dataclasses.asdict(one), "to": dataclasses.asdict(other), "n": found.n,
                "paired": found.to_json(), "p_objects": _p_of(*sides), "by_seed": _seed_differences(*sides),
            })
    corrected = holm([x["p_objects"] for x in lines])
    return [x | {"holm_p": p} for x, p in zip(lines, corrected, strict=True)]


def direction(line: dict[str, Any]) -> int:
    """Returns 1 where a difference was shown to be a gain, -1 a loss, 0 where none was shown.

    Its interval for new objects lies on one side of 0, Holm's p is at most SURE, and every seed's difference, which
    says how far newly trained policies differ, lies on that side too.
    """
    found, seeds = line["paired"]["difference"], line["by_seed"]
    if line["holm_p"] > SURE:
        return 0
    if found["low"] > 0 and min(seeds) > 0:
        return 1
    return -1 if found["high"] < 0 and max(seeds) < 0 else 0


def told(line: dict[str, Any]) -> str:
    """Returns a difference in points with its interval, as "+50.1 (+31 to +66)"."""
    found = line["paired"]["difference"]
    return f"{100 * found['value']:+.1f} ({points(found)})"


def success_columns(x: dict[str, Any]) -> tuple[object, ...]:
    """Returns the entries under SUCCESS: seeds, n, success, its interval, each seed."""
    each = ", ".join(f"{100 * rate:.0f}" for rate in x["by_seed"])
    return (len(x["by_seed"]), x["n"], f"{100 * x['rate']:.1f}", percents(*x["clustered_objects_95"]), each)


def percent(rate: float | None) -> str:
    """Returns a rate of others as "56.6"; "-" for none."""
    return "-" if rate is None else f"{100 * rate:.1f}"


SUCCESS = "seeds | n | success % | 95 % new objects | each seed"
DIFFERENCE = "n | difference in points (95 % new objects) | each seed | p | Holm p"


def difference_columns(x: dict[str, Any]) -> tuple[object, ...]:
    """Returns the entries under DIFFERENCE."""
    each = ", ".join(f"{100 * value:+.0f}" for value in x["by_seed"])
    return (x["n"], told(x), each, f"{x['p_objects']:.2g}", f"{x['holm_p']:.2g}")


def about(table: dict[str, Any], what: str) -> str:
    """Returns the first lines of a page: how policies were trained, and whether cells are missing."""
    settings, seeds = table["settings"], max(len(x["by_seed"]) for x in table["success"])
    samples = f"{settings['steps']:,} steps of {settings['batch']} ({settings['steps'] * settings['batch']:,} samples)"
    seeded = "one seed" if seeds == 1 else f"up to {seeds} seeds"
    shown = f"every seed's difference lies on that side, and Holm's p is at most {SURE:g}"
    first = (
        f"Every policy learnt from {samples}; {seeded}. {what} Intervals and p are for new objects and these policies. "
        f"A difference is called *shown* where its interval lies on one side of 0, {shown}."
    )
    if not table["missing"]:
        return first
    return f"{first}\n\n**Not complete:** {len(table['missing'])} of the cells have not been run yet."

