"""May a grasp be improved by the gradient of a network that learnt from other grasps, without a simulator at hand?

Grasps that the searches plan, and copies of them that were moved and turned, are tried in simulation. A network learns
the outcome of those of four starts in five. Of the other starts' grasps, of which it has seen none, the 128 that it
believes in most climb it for 50 steps, and the 64 that it then believes in most are tried. Ways of training are
compared by success, and by optimism: what was believed minus what came out.

toyshift study offline-grasp --dry-run                     what would be run, and how long it takes
toyshift study offline-grasp --budget paper                60 toys, 5 seeds, twice as many grasps
toyshift study offline-grasp --results results/offline_grasp --docs docs --tabulate     committed rows and their page
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from toyshift.core.errors import ConfigError
from toyshift.core.files import atomic_path, json_hash, read_json, whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.core.seeds import episode_rng
from toyshift.core.workers import Job, Pool, play
from toyshift.scripts.studies.budgets import MOST, Budgeted
from toyshift.scripts.studies.cells import Study, found_in, keep_found, no_rows, pool_of, write_page
from toyshift.scripts.studies.figures import markdown_table, percents, points
from toyshift.scripts.studies.grasp_surrogates import (
    MEMBERS,
    METHODS,
    POSE,
    ascend,
    drops_of,
    fit_surrogate,
    inputs_of,
    moved_pose,
    pose_of,
)
from toyshift.scripts.studies.options import MOST_SEEDS
from toyshift.scripts.studies.schedule import Cell
from toyshift.scripts.studies.weight_probes import auc

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from toyshift.core.arrays import Array
    from toyshift.data.grasping.annotations import AnnotateConfig
    from toyshift.envs.tasks.grasp import GraspEnv

NONE = "no ascent"  # a control: the held-out grasps that the plain network believes in most, as they are
HELD_OUT = 5  # of so many starts one: networks learn from no grasp of it, and climb from its grasps
CLIMBERS, CLIMB_STEPS, CLIMB_RATE = 128, 50, 0.01  # the rate in standard deviations of the data
# one core's seconds of a simulated grasp, of a start, of a toy that is chosen, of a network: for estimates
TRY, START, TOY, FIT = 0.1, 0.4, 0.2, 15.0
ANGLED = 2  # searches, each of which gives so many grasps


@dataclasses.dataclass(frozen=True)
class GraspSizes:
    """How large the study is.

    Attributes:
        seeds: of toys, data and networks together.
        toys: toys.
        drops: times that each is put on the table.
        grasps: most planned grasps per drop and search, each with a copy that is moved.
        tried: grasps that each way of training tries in the end; fewer where fewer are held out.
    """

    seeds: int
    toys: int
    drops: int
    grasps: int
    tried: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Budgeted, seeds=(0, MOST_SEEDS), toys=(0, MOST), drops=(0, MOST), grasps=(0, MOST), tried=(0, CLIMBERS)):
    """Options of `toyshift study offline-grasp`."""

    budgets: ClassVar = {"small": GraspSizes(1, 24, 8, 4, 64), "paper": GraspSizes(5, 60, 8, 8, 64)}
    seeds: int = 0
    """Another number of seeds; 0 = the budget's."""
    toys: int = 0
    """Another number of toys; 0 = the budget's."""
    drops: int = 0
    """Other times that each is put on the table; 0 = the budget's."""
    grasps: int = 0
    """Other most planned grasps per drop and search; 0 = the budget's."""
    tried: int = 0
    """Another number of grasps that each way of training tries in the end; 0 = the budget's."""
    out: Path = Path("runs/offline-grasp")

    def settings(self) -> dict[str, Any]:
        """What decides a cell's result."""
        return {"seed": self.seed, **{k: v for k, v in dataclasses.asdict(self.sizes()).items() if k != "seeds"}}


def main(cfg: Config) -> dict[str, Any]:
    """Learns grasps' outcomes, improves grasps by the network's gradient and tries them (docs/offline_grasp.md).

    Example: toyshift study offline-grasp --budget small --out runs/offline-grasp
    """
    return OfflineGrasp(cfg).conduct(cfg, cfg.only)


@dataclasses.dataclass(frozen=True, eq=False)
class TriedGrasps:
    """Grasps (n) with their outcome.

    Attributes:
        inputs: (n, 13) pose in the base frame's axes, origin at the object's; width [m]; extents as it lies [m].
        lifted: (n,) bool.
        planned: (n,) bool, False of copies that were moved.
        toy, drop: (n,) int, which start each is of.
    """

    inputs: Array
    lifted: Any
    planned: Any
    toy: Any
    drop: Any


class OfflineGrasp(Study):
    """For each seed the grasps that are learnt from, and a cell for each way of training."""

    name = "offline-grasp"

    def __init__(self, cfg: Config) -> None:
        super().__init__(cfg)
        self.cfg, self.asked = cfg, cfg.sizes()
        names = ("data", NONE.replace(" ", "-"), *METHODS)
        self.parts = {f"s{seed}-{name}": (seed, name) for seed in range(self.asked.seeds) for name in names}

    def cells(self) -> list[Cell]:
        asked, processes = self.asked, self.cfg.processes
        grasps = asked.toys * asked.drops * asked.grasps * ANGLED
        cells = []
        for cell, (seed, name) in self.parts.items():
            if name == "data":
                seconds = asked.toys * TOY + (2 * TRY * grasps + START * asked.toys * asked.drops) / processes
                cells.append(Cell(cell, f"{2 * grasps} grasps at most, seed {seed}", seconds))
            else:
                seconds = FIT * (MEMBERS if name == "ensemble" else 1)
                seconds += (TRY + START) * asked.tried * (name in METHODS) / processes
                cells.append(Cell(cell, f"{name}, seed {seed}", seconds, (f"s{seed}-data",)))
        return cells

    def settings(self) -> dict[str, Any]:
        return self.cfg.settings()

    def objects(self, seed: int) -> str:
        return f"toys:train?n={self.asked.toys}&seed={self.cfg.seed + seed}"

    def check(self) -> None:
        self.prepare(*(self.objects(seed) for seed in range(self.asked.seeds)))

    def run(self, cell: Cell) -> None:
        """Tries the grasps that are learnt from; or trains, climbs and tries."""
        seed, name = self.parts[cell.name]
        with pool_of(self.cfg.processes) as pool:
            found = self.learnt_from(seed, pool) if name == "data" else self.improved(seed, name, pool)
        keep_found(self.path(cell.name), found, manifest(self.settings(), self.cfg.seed + seed, number=seed))

    def learnt_from(self, seed: int, pool: Pool | None) -> dict[str, Any]:
        """Tries all grasps, and returns how many there are and which share lifts."""
        known = self.known(seed, pool)
        shares = {what: float(known.lifted[known.planned == p].mean()) if (known.planned == p).any() else None
                  for what, p in (("planned", True), ("moved", False))}  # fmt: skip
        return {"grasps": len(known.lifted), **shares}

    def known(self, seed: int, pool: Pool | None = None) -> TriedGrasps:
        """Returns all grasps with their outcome; those that were tried before an interruption are not tried again."""
        import numpy as np

        from toyshift.data.grasping.annotations import AnnotateConfig, annotate
        from toyshift.toys import load_objects

        asked, folder = self.asked, self.cfg.work_dir / f"s{seed}"
        planned = AnnotateConfig(self.objects(seed), folder / "annotations", drops=asked.drops, grasps=asked.grasps,
                                 simulate=True, seed=self.cfg.seed + seed)  # fmt: skip
        annotate(planned, pool)
        ids = load_objects(planned.objects).ids
        paths = {(number, name): folder / "tried" / f"{name}.npz" for number, name in enumerate(ids)}
        missing = [item for item, path in paths.items() if not path.exists()]
        work = functools.partial(_try_toy, planned, folder / "tried")
        for _ in play(missing, self.job(seed, work), pool=pool):
            pass
        parts: list[dict[str, Array]] = []
        for path in paths.values():
            with np.load(path, allow_pickle=False) as file:
                parts.append({field: file[field] for field in file.files})
        return TriedGrasps(**{field: np.concatenate([part[field] for part in parts]) for field in parts[0]})

    def job(self, seed: int, work: Any) -> Job[Any, Any, Any]:
        """Returns work with an environment that holds a seed's toys, for several processes."""
        objects = self.objects(seed)
        key = json_hash({"study": self.name, "objects": objects})
        return Job(key, functools.partial(_opened, objects), work, f"trying grasps of {objects}")

    def improved(self, seed: int, name: str, pool: Pool | None = None) -> dict[str, Any]:
        """Trains, climbs from the best grasps of starts that were held out, and tries the best of what came of them."""
        import numpy as np

        from toyshift.diagnostics import wilson

        method = name if name in METHODS else NONE
        known, asked, root = self.known(seed, pool), self.asked, self.cfg.seed + seed
        out = held_out(known, asked.drops, root)
        learnt = known.lifted[~out]
        if not len(learnt) or learnt.all() or not learnt.any():
            told = "no grasp lifted" if not learnt.any() else "all grasps lifted"
            raise ConfigError(f"{told} of {len(learnt)}: there is nothing to learn; give more --toys or --grasps")
        own = fit_surrogate(known.inputs[~out], learnt, "plain" if method == NONE else method, root)
        ranked = np.flatnonzero(out)
        told_before = own.predict(known.inputs[ranked])
        area = auc(told_before, known.lifted[ranked]) if 0 < known.lifted[ranked].sum() < len(ranked) else None
        start = ranked[np.argsort(-told_before, kind="stable")][:CLIMBERS]
        made = ascend(own, known.inputs[start], 0 if method == NONE else CLIMB_STEPS, CLIMB_RATE)
        best = np.argsort(-made.predicted, kind="stable")[: asked.tried]
        chosen, inputs = start[best], made.inputs[best]
        before = known.lifted[chosen]
        lifted = before if method == NONE else self.outcomes(seed, known, chosen, inputs, pool)
        low, high = wilson(int(lifted.sum()), len(lifted))
        far = np.linalg.norm(inputs[:, :3] - known.inputs[chosen, :3], axis=1)
        return {
            "method": method, "n": len(lifted), "k": int(lifted.sum()), "low": low, "high": high,
            "believed": float(made.predicted[best].mean()), "moved_m": float(far.mean()), "held_out_auc": area,
            "held_out": len(ranked), "lifted": [bool(x) for x in lifted], "before": [bool(x) for x in before],
            "toys": [f"{seed}:{toy}" for toy in known.toy[chosen]],
        }  # fmt: skip

    def outcomes(
        self, seed: int, known: TriedGrasps, chosen: NDArray[np.int64], inputs: Array, pool: Pool | None
    ) -> NDArray[np.bool_]:
        """Returns which poses lift (n,), each tried from the very start of the grasp that it was made of.

        Args:
            seed: number of the seed.
            known: all grasps.
            chosen: (n,) those that the poses were made of.
            inputs: (n, 13) the poses.
            pool: who tries them.
        """
        import numpy as np

        order = sorted(range(len(chosen)), key=lambda i: (known.toy[chosen[i]], known.drop[chosen[i]]))
        items = [(i, int(known.toy[chosen[i]]), int(known.drop[chosen[i]]), inputs[i]) for i in order]
        work = functools.partial(_try_pose, self.cfg.seed + seed)
        lifted = np.zeros(len(chosen), np.bool_)
        for i, hit in play(items, self.job(seed, work), pool=pool):
            lifted[i] = hit
        return lifted

    def tabulate(self) -> dict[str, Any]:
        folder, page = self.cfg.results_dir, self.cfg.docs_dir / "offline_grasp.md"
        paths = whole_files(folder / "rows", "s*-*.parquet")
        if not paths:
            raise no_rows(folder, self.name)
        found = [(int(path.stem[1:].split("-")[0]), found_in(path)) for path in paths]
        lines = summed([x for _, x in found if "method" in x])
        table = {
            "methods": lines, "data": [{"seed": seed, **x} for seed, x in found if "method" not in x],
            "missing": [cell.name for cell in self.cells() if not self.is_done(cell)],
            "settings": read_json(folder / "settings.json")["settings"],
        }  # fmt: skip
        write_json(folder / "table.json", table)
        made = markdown(table)
        if lines:
            draw(self.cfg.docs_dir / "offline_grasp.png", lines)
        write_page(page, self.name, folder, made)
        print(made)
        return table


def held_out(known: TriedGrasps, drops: int, root: int) -> NDArray[np.bool_]:
    """Returns which grasps (n,) are of a start that is held out: one in HELD_OUT of those with a grasp.

    Args:
        known: grasps.
        drops: starts of each toy.
        root: seed of the choice.
    """
    import numpy as np

    starts = known.toy * drops + known.drop
    drawn = episode_rng(root, 0, "held out").permutation(np.unique(starts))
    return np.isin(starts, drawn[: max(1, len(drawn) // HELD_OUT)])


# ---------------------------------------------------------------- what processes do


def _opened(objects: str) -> contextlib.AbstractContextManager[GraspEnv]:
    from toyshift.envs.tasks.grasp import GraspEnv

    return contextlib.closing(GraspEnv(objects=objects, cameras=()))


def _try_toy(planned: AnnotateConfig, folder: Path, env: GraspEnv, item: tuple[int, str]) -> None:
    """Tries a moved copy of each planned grasp of a toy, and writes all with their outcome."""
    import numpy as np

    from toyshift.data.grasping.annotations import lifts

    number, name = item
    with np.load(planned.out / f"{name}.npz", allow_pickle=False) as file:
        made = {field: file[field] for field in ("pose", "width", "object_pose", "outcome")}
    starts = np.array([pose_at(env, name, drop, planned.seed) for drop in range(planned.drops)])
    drops = drops_of(made["object_pose"], starts)
    rng = episode_rng(planned.seed, number, "moved grasps")
    copies = np.array([moved_pose(pose, rng) for pose in made["pose"]]).reshape(-1, 4, 4)
    outcome = [lifts(env, name, pose, int(d), planned.seed) for pose, d in zip(copies, drops, strict=True)]
    vertices = np.asarray(env.objects.by_id(name).mesh.vertices)
    inputs = [
        inputs_of(pose, there, width, vertices)
        for poses in (made["pose"], copies)
        for pose, there, width in zip(poses, made["object_pose"], made["width"], strict=True)
    ]
    with atomic_path(folder / f"{name}.npz") as temporary, open(temporary, "wb") as out:
        np.savez_compressed(
            out, inputs=np.array(inputs).reshape(-1, POSE + 4),
            lifted=np.concatenate([made["outcome"] == 1, np.array(outcome, bool)]),
            planned=np.repeat([True, False], len(drops)), toy=np.full(2 * len(drops), number), drop=np.tile(drops, 2),
        )  # fmt: skip


def _try_pose(root: int, env: GraspEnv, item: tuple[int, int, int, Array]) -> tuple[int, bool]:
    """Tries what inputs stand for, at the start that they are of."""
    from toyshift.data.grasping.annotations import lifts

    which, toy, drop, inputs = item
    name = env.objects.ids[toy]
    pose = pose_of(inputs, pose_at(env, name, drop, root)[:3, :3])
    return which, lifts(env, name, pose, drop, root)


def pose_at(env: GraspEnv, name: str, drop: int, root: int) -> Array:
    """Returns an object's pose (4, 4) in the base frame at the start of a drop [m]."""
    import numpy as np

    env.reset(seed=root, options={"episode": drop, "object": name})
    found = np.eye(4)
    found[:3, 3], found[:3, :3] = env.object_pose()
    return found


# ---------------------------------------------------------------- figures from rows


def summed(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns a line for each way of training, all seeds together; p values are corrected over all of them (Holm)."""
    import numpy as np

    from toyshift.diagnostics import clustered, paired_difference, wilson
    from toyshift.diagnostics.statistics import holm

    lines: list[dict[str, Any]] = []
    changes = []
    for method in (NONE, *METHODS):
        if some := [x for x in found if x["method"] == method]:
            k, n = sum(x["k"] for x in some), sum(x["n"] for x in some)
            areas = [x["held_out_auc"] for x in some if x["held_out_auc"] is not None]
            believed = sum(x["believed"] * x["n"] for x in some) / n
            lifted, before, toys = ([value for x in some for value in x[name]] for name in ("lifted", "before", "toys"))
            by_toy = clustered(lifted, toys)
            if method != NONE:
                changes.append((len(lines), paired_difference(lifted, before, toys)))
            lines.append({
                "method": method, "k": k, "n": n, "rate": k / n, "wilson_95": list(wilson(k, n)),
                "clustered_toys_95": [by_toy.low, by_toy.high], "toys": len(set(toys)), "believed": believed,
                "optimism": believed - k / n, "moved_m": float(np.mean([x["moved_m"] for x in some])),
                "lifted_before": sum(before) / n, "held_out": sum(x["held_out"] for x in some),
                "held_out_auc": float(np.mean(areas)) if areas else None, "by_seed": [x["k"] / x["n"] for x in some],
            })  # fmt: skip
    corrected = holm([change.p_value for _, change in changes])
    for (i, change), p in zip(changes, corrected, strict=True):
        lines[i] |= {"change": change.to_json(), "holm_p": p}
    return lines


HEAD = (
    "| training | lifted | success % | 95 % new toys | believed % | optimism, points | moved, mm | "
    "lifted before ascent % | change, points (95 % new toys) | Holm p | AUC, held-out starts |"
)


def markdown(table: Mapping[str, Any]) -> str:
    """Returns the made part of the page."""
    missing = len(table["missing"])
    made = [f"**Not complete:** {missing} cells have not been run yet." if missing else "All cells have been run."]
    if table["methods"]:
        made.append(markdown_table(HEAD, [
            (x["method"], f"{x['k']} of {x['n']}", f"{100 * x['rate']:.0f}", percents(*x["clustered_toys_95"]),
             f"{100 * x['believed']:.0f}", f"{100 * x['optimism']:+.0f}", f"{1000 * x['moved_m']:.1f}",
             f"{100 * x['lifted_before']:.0f}", *_change_cells(x),
             "-" if x["held_out_auc"] is None else f"{x['held_out_auc']:.2f}")
            for x in table["methods"]
        ]))  # fmt: skip
        fewest, most = (f(x["held_out"] for x in table["methods"]) for f in (min, max))
        told = f"{most}" if fewest == most else f"{fewest} to {most}"
        made.append(f"Climbed from, or chosen from, were {told} grasps of starts that were held out.")
    for x in table["data"]:
        planned, moved = ("-" if x[k] is None else f"{100 * x[k]:.0f} %" for k in ("planned", "moved"))
        made.append(
            f"Seed {x['seed']} has {x['grasps']} grasps, learnt from or held out; of the planned ones {planned} "
            f"lifted, of the moved copies {moved}."
        )
    return "\n\n".join(made)


def _change_cells(x: Mapping[str, Any]) -> tuple[str, str]:
    """Returns what ascent did to the very grasps that were tried, and its p; the control did nothing."""
    if "change" not in x:
        return "-", "-"
    found = x["change"]["difference"]
    return f"{100 * found['value']:+.0f} ({points(found)})", f"{x['holm_p']:.2g}"


def draw(out: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Draws success of each way of training with its interval for new toys."""
    from toyshift.scripts.studies.charts import Group, success_chart

    rows = [(str(x["method"]), 0, {**x, "clustered_objects_95": x["clustered_toys_95"]}) for x in lines]
    success_chart(out, [Group("grasps after ascent", rows)], more="line: interval for new toys")
