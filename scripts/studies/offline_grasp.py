"""May a grasp be improved by the gradient of a network that learnt from other grasps, without a simulator at hand?

Grasps that the searches plan, and copies of them that were moved and turned, are tried in simulation. A network learns
their outcome, the best 128 grasps climb it for 50 steps, and the 16 that it then believes in most are tried. Ways of
training are compared by success, and by optimism: what was believed minus what came out.

toyshift study offline-grasp --dry-run                     what would be run, and how long it takes
toyshift study offline-grasp --budget paper                60 toys, 5 seeds, 64 grasps tried
toyshift study offline-grasp --results results/offline_grasp --docs docs --tabulate     committed rows and their page
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from toyshift.core.errors import ConfigError
from toyshift.core.files import atomic_path, read_json, whole_files, write_json
from toyshift.core.manifest import manifest
from toyshift.core.seeds import episode_rng
from toyshift.scripts.studies.budgets import MOST, Budgeted
from toyshift.scripts.studies.cells import Study, found_in, keep_found, no_rows, write_page
from toyshift.scripts.studies.figures import markdown_table, percents
from toyshift.scripts.studies.grasp_surrogates import (
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
    from toyshift.core.arrays import Array

NONE = "no ascent"  # a control: the grasps of the data that the plain network believes in most, as they are
CLIMBERS, CLIMB_STEPS, CLIMB_RATE = 128, 50, 0.01  # the rate in standard deviations of the data
TRY = 1.6  # [s] of a simulated grasp, for estimates
ANGLED = 2  # searches, each of which gives so many grasps


@dataclasses.dataclass(frozen=True)
class GraspSizes:
    """How large the study is.

    Attributes:
        seeds: of toys, data and networks together.
        toys: toys.
        drops: times that each is put on the table.
        grasps: most planned grasps per drop and search, each with a copy that is moved.
        tried: grasps that each way of training tries in the end.
    """

    seeds: int
    toys: int
    drops: int
    grasps: int
    tried: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Budgeted, seeds=(0, MOST_SEEDS), toys=(0, MOST), drops=(0, MOST), grasps=(0, MOST), tried=(0, CLIMBERS)):
    """Options of `toyshift study offline-grasp`."""

    budgets: ClassVar = {"small": GraspSizes(1, 12, 4, 4, 16), "paper": GraspSizes(5, 60, 8, 8, 64)}
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
        asked = self.asked
        grasps = asked.toys * asked.drops * asked.grasps * ANGLED
        cells = []
        for cell, (seed, name) in self.parts.items():
            if name == "data":
                cells.append(Cell(cell, f"{2 * grasps} grasps at most, seed {seed}", 2 * TRY * grasps))
            else:
                seconds = 10.0 + TRY * asked.tried * (name in METHODS)
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
        if name == "data":
            known = self.known(seed)
            shares = {what: float(known.lifted[known.planned == p].mean()) if (known.planned == p).any() else None
                      for what, p in (("planned", True), ("moved", False))}  # fmt: skip
            found: dict[str, Any] = {"grasps": len(known.lifted), **shares}
        else:
            found = self.improved(seed, name if name in METHODS else NONE)
        keep_found(self.path(cell.name), found, manifest(self.settings(), self.cfg.seed + seed, number=seed))

    def known(self, seed: int) -> TriedGrasps:
        """Returns the grasps that are learnt from; those that were tried before an interruption are not tried again."""
        import numpy as np

        from toyshift.data.grasping.annotations import AnnotateConfig, annotate, lifts
        from toyshift.envs.tasks.grasp import GraspEnv

        asked, root = self.asked, self.cfg.seed + seed
        folder = self.cfg.work_dir / f"s{seed}"
        planned = AnnotateConfig(self.objects(seed), folder / "annotations", drops=asked.drops, grasps=asked.grasps,
                                 simulate=True, seed=root)  # fmt: skip
        annotate(planned)
        parts: list[dict[str, Array]] = []
        with contextlib.closing(GraspEnv(objects=self.objects(seed), cameras=())) as env:
            for number, name in enumerate(env.objects.ids):
                path = folder / "tried" / f"{name}.npz"
                if not path.exists():
                    with np.load(planned.out / f"{name}.npz", allow_pickle=False) as file:
                        made = {field: file[field] for field in ("pose", "width", "object_pose", "outcome")}
                    starts = np.array([pose_at(env, name, drop, root) for drop in range(asked.drops)])
                    drops = drops_of(made["object_pose"], starts)
                    rng = episode_rng(root, number, "moved grasps")
                    copies = np.array([moved_pose(pose, rng) for pose in made["pose"]]).reshape(-1, 4, 4)
                    outcome = [lifts(env, name, pose, int(d), root) for pose, d in zip(copies, drops, strict=True)]
                    both = [(made["pose"], made["outcome"] == 1, True), (copies, np.array(outcome, bool), False)]
                    vertices = np.asarray(env.objects.by_id(name).mesh.vertices)
                    arrays = {
                        "inputs": np.concatenate([
                            [inputs_of(p, there, w, vertices)
                             for p, there, w in zip(poses, made["object_pose"], made["width"], strict=True)]
                            for poses, _, _ in both
                        ]).reshape(-1, POSE + 4),
                        "lifted": np.concatenate([lifted for _, lifted, _ in both]),
                        "planned": np.repeat([True, False], len(drops)),
                        "toy": np.full(2 * len(drops), number), "drop": np.tile(drops, 2),
                    }  # fmt: skip
                    with atomic_path(path) as temporary, open(temporary, "wb") as out:
                        np.savez_compressed(out, **arrays)
                with np.load(path, allow_pickle=False) as file:
                    parts.append({field: file[field] for field in file.files})
        return TriedGrasps(**{field: np.concatenate([part[field] for part in parts]) for field in parts[0]})

    def improved(self, seed: int, method: str) -> dict[str, Any]:
        """Trains, climbs from the best grasps and tries the best of what came of them."""
        import numpy as np

        from toyshift.data.grasping.annotations import lifts
        from toyshift.diagnostics import wilson
        from toyshift.envs.tasks.grasp import GraspEnv

        known, asked, root = self.known(seed), self.asked, self.cfg.seed + seed
        if known.lifted.all() or not known.lifted.any():
            told = "all grasps lifted" if known.lifted.all() else "no grasp lifted"
            raise ConfigError(f"{told} of {len(known.lifted)}: there is nothing to learn; give more --toys or --grasps")
        usual = "plain" if method == NONE else method
        own = fit_surrogate(known.inputs, known.lifted, usual, root)
        start = np.argsort(-own.predict(known.inputs), kind="stable")[:CLIMBERS]
        made = ascend(own, known.inputs[start], 0 if method == NONE else CLIMB_STEPS, CLIMB_RATE)
        best = np.argsort(-made.predicted, kind="stable")[: asked.tried]
        if method == NONE:
            lifted = known.lifted[start][best]
        else:
            with contextlib.closing(GraspEnv(objects=self.objects(seed), cameras=())) as env:
                lifted = np.array([
                    lifts(env, env.objects.ids[known.toy[k]], self.pose(env, known, int(k), made.inputs[i], root),
                          int(known.drop[k]), root)
                    for i, k in zip(best, start[best], strict=True)
                ])  # fmt: skip
        low, high = wilson(int(lifted.sum()), len(lifted))
        far = np.linalg.norm(made.inputs[best, :3] - known.inputs[start[best], :3], axis=1)
        return {
            "method": method, "n": len(lifted), "k": int(lifted.sum()), "low": low, "high": high,
            "believed": float(made.predicted[best].mean()), "moved_m": float(far.mean()),
            "started_lifting": float(known.lifted[start[best]].mean()),
            "held_out_auc": self.held_out(known, usual, root),
        }  # fmt: skip

    def held_out(self, known: TriedGrasps, method: str, root: int) -> float | None:
        """Returns the AUC on a fifth of the starts, by a network that saw none of them; None where all end alike."""
        import numpy as np

        starts = known.toy * self.asked.drops + known.drop
        drawn = episode_rng(root, 0, "held out").permutation(np.unique(starts))
        out = np.isin(starts, drawn[: max(1, len(drawn) // 5)])
        if out.all() or known.lifted[out].all() or not known.lifted[out].any() or not known.lifted[~out].any():
            return None
        made = fit_surrogate(known.inputs[~out], known.lifted[~out], method, root)
        return auc(made.predict(known.inputs[out]), known.lifted[out])

    def pose(self, env: Any, known: TriedGrasps, k: int, inputs: Array, root: int) -> Array:
        """Returns the pose (4, 4) in the object's frame that inputs stand for, at the start of grasp k."""
        return pose_of(inputs, pose_at(env, env.objects.ids[known.toy[k]], int(known.drop[k]), root)[:3, :3])

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


def pose_at(env: Any, name: str, drop: int, root: int) -> Array:
    """Returns an object's pose (4, 4) in the base frame at the start of a drop [m]."""
    import numpy as np

    env.reset(seed=root, options={"episode": drop, "object": name})
    found = np.eye(4)
    found[:3, 3], found[:3, :3] = env.object_pose()
    return found


# ---------------------------------------------------------------- figures from rows


def summed(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Returns a line for each way of training, all seeds together."""
    import numpy as np

    from toyshift.diagnostics import wilson

    lines = []
    for method in (NONE, *METHODS):
        if some := [x for x in found if x["method"] == method]:
            k, n = sum(x["k"] for x in some), sum(x["n"] for x in some)
            areas = [x["held_out_auc"] for x in some if x["held_out_auc"] is not None]
            believed = sum(x["believed"] * x["n"] for x in some) / n
            lines.append({
                "method": method, "k": k, "n": n, "rate": k / n, "wilson_95": list(wilson(k, n)), "believed": believed,
                "optimism": believed - k / n, "moved_m": float(np.mean([x["moved_m"] for x in some])),
                "started_lifting": sum(x["started_lifting"] * x["n"] for x in some) / n,
                "held_out_auc": float(np.mean(areas)) if areas else None, "by_seed": [x["k"] / x["n"] for x in some],
            })  # fmt: skip
    return lines


HEAD = (
    "| training | lifted | success % | 95 % grasps | believed % | optimism, points | moved, mm | "
    "lifted before ascent % | AUC, held-out starts |"
)


def markdown(table: Mapping[str, Any]) -> str:
    """Returns the made part of the page."""
    missing = len(table["missing"])
    made = [f"**Not complete:** {missing} cells have not been run yet." if missing else "All cells have been run."]
    if table["methods"]:
        made.append(markdown_table(HEAD, [
            (x["method"], f"{x['k']} of {x['n']}", f"{100 * x['rate']:.0f}", percents(*x["wilson_95"]),
             f"{100 * x['believed']:.0f}", f"{100 * x['optimism']:+.0f}", f"{1000 * x['moved_m']:.1f}",
             f"{100 * x['started_lifting']:.0f}",
             "-" if x["held_out_auc"] is None else f"{x['held_out_auc']:.2f}")
            for x in table["methods"]
        ]))  # fmt: skip
    for x in table["data"]:
        planned, moved = ("-" if x[k] is None else f"{100 * x[k]:.0f} %" for k in ("planned", "moved"))
        made.append(
            f"Seed {x['seed']} learnt from {x['grasps']} grasps; of the planned ones {planned} lifted, "
            f"of the moved copies {moved}."
        )
    return "\n\n".join(made)


def draw(out: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Draws success of each way of training with Wilson's interval."""
    from toyshift.scripts.studies.charts import Group, success_chart

    rows = [(str(x["method"]), 0, {**x, "clustered_objects_95": x["wilson_95"]}) for x in lines]
    success_chart(out, [Group("grasps after ascent", rows)], more="line: Wilson's interval over grasps")
