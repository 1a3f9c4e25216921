"""A folder of sub-datasets: how it is collected, and whether the dependence measured in it is the one planted."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, FileError
from toyshift.core.files import read_json, write_json
from toyshift.core.information import estimated_mutual_information
from toyshift.core.runs import differences, refuse_foreign, refuse_other
from toyshift.core.seeds import episode_rng
from toyshift.data.collecting.collection import check, collect, finished
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.dials import Fragmentation, fragment, recorded
from toyshift.data.collecting.factors import bin_of
from toyshift.data.store.dataset import open_dataset

PLAN = "fragment.json"
VERSION = 1
_AGAIN = "restore it from a copy, or delete the folder and run `toyshift data fragment` again"
DIALS = (
    "diversity", "disparity", "correlation", "factor", "relevant", "relevant_diversity", "relevant_disparity", "bins"
)


@dataclasses.dataclass(frozen=True)
class Dependence:
    """The dependence between u and v in a mixture of sub-datasets, planted and measured.

    Attributes:
        planted: normalised mutual information of the design, exact; None where neither u nor v varies by more than a
            bin, for which it is not defined.
        measured: the same estimated from the recorded factors: counted, with Miller and Madow's correction, minus
            `bias`.
        bias: what the correction leaves: by how much datasets of this size, drawn from the design, measure more than
            `planted` on average.
        low: end of the 95 % interval of `measured` (1.96 standard errors, bootstrap within sub-datasets).
        high: the other end.
        expected_low: 2.5 % quantile of what datasets of this size, drawn from the design, measure.
        expected_high: 97.5 % quantile.
        agrees: whether `measured` lies between those two; with a faithful dataset it does in 95 % of all cases.
        episodes: episodes of each sub-dataset.
        bins: number of bins of u and of v.
    """

    planted: float | None
    measured: float | None
    low: float | None
    high: float | None
    expected_low: float | None
    expected_high: float | None
    bias: float | None
    agrees: bool
    episodes: tuple[int, ...]
    bins: tuple[int, ...]

    def told(self, relevant: str, factor: str) -> str:
        """Returns the planted and the measured dependence of two factors as a line for terminals."""
        what = f"NMI({relevant}, {factor})"
        if self.planted is None or self.measured is None:
            return f"{what} is not defined: neither varies by more than a bin"
        verdict = "they agree" if self.agrees else "THEY DISAGREE"
        there = f"{sum(self.episodes)} such episodes measure {self.expected_low:.3f} to {self.expected_high:.3f}"
        measured = f"{self.measured:.3f} [{self.low:.3f}, {self.high:.3f}]"
        return f"{what} planted {self.planted:.3f}, measured {measured}; {verdict}: {there} in 95 % of cases"


def measure(
    design: Fragmentation, values: Sequence[tuple[Array, Array]], objects: int = 0, samples: int = 2000, seed: int = 0
) -> Dependence:
    """Measures the dependence between u and v, and how far it may be off.

    Args:
        design: what was planted.
        values: u and v of the episodes of each sub-dataset, (n_i,) each.
        objects: size of the object set.
        samples: of the bootstrap and of the design.
        seed: of both.
    """
    sizes = [len(u) for u, _ in values]
    if len(values) != len(design.parts) or min(sizes) < 1 or len(set(sizes)) > 1:
        raise ConfigError(f"the design has {len(design.parts)} sub-datasets of equal size; got {sizes} episodes")
    edges = design.edges(objects)
    cells = design.cells(objects)
    counts = np.zeros(cells.shape, np.int64)
    for i, (u, v) in enumerate(values):
        np.add.at(counts[i], (bin_of(u, edges[0]), bin_of(v, edges[1])), 1)
    rng = episode_rng(seed, 0, "dependence")
    estimate = float(estimated_mutual_information(counts.sum(0)))
    planted, rest = design.planted(objects), (tuple(sizes), cells.shape[1:])
    if planted is None or math.isnan(estimate):
        found = None if math.isnan(estimate) else estimate
        return Dependence(planted, found, None, None, None, None, None, (found is None) == (planted is None), *rest)
    expected = _drawn(cells, sizes[0], samples, rng)
    bias = float(np.nanmean(expected)) - planted
    error = 1.96 * float(np.nanstd(_drawn(counts / sizes[0], sizes[0], samples, rng)))
    low, high = (float(q) - bias for q in np.nanquantile(expected, [0.025, 0.975]))
    value = estimate - bias
    rounding = 1e-9  # where nothing varies but the sub-dataset, all samples measure the same
    agrees = low - rounding <= value <= high + rounding
    return Dependence(planted, value, value - error, value + error, low, high, bias, agrees, *rest)


def _drawn(cells: Array, size: int, samples: int, rng: np.random.Generator) -> Array:
    """Returns estimates (samples,) from datasets of `size` episodes of each sub-dataset, drawn from cells (m, A, B)."""
    counts = sum(rng.multinomial(size, part.ravel(), size=samples) for part in cells)
    return estimated_mutual_information(np.asarray(counts).reshape(samples, *cells.shape[1:]))


def collect_fragments(design: Fragmentation, config: CollectConfig) -> dict[str, Any]:
    """Collects the sub-datasets into `config.out`/part-0, part-1, ...; run again after a kill, it goes on.

    What the sub-datasets that are not finished need is tried once for each robot: they differ in little else that can
    be refused. Where all are finished, nothing is simulated or drawn.

    Args:
        design: see `dials.fragment`.
        config: of the collection; `episodes` is the number in all, and `sub_dataset` and `robot` are the design's.

    Returns:
        out, episodes, attempts, parts (what `collect` returned for each).

    Raises:
        ConfigError: the episodes cannot be shared equally, or the folder holds another design.
    """
    out, m = Path(config.out), len(design.parts)
    if rest := config.episodes % m:
        remedy = f"take {config.episodes + m - rest}"
        raise ConfigError(f"{config.episodes} episodes cannot be shared equally among {m} sub-datasets; {remedy}")
    plan = plan_of(design, config.objects, _count(config.objects), config.seed)
    seeds = [int(episode_rng(config.seed, i, "sub-dataset").integers(2**31)) for i in range(m)]  # they share no draws
    configs = [
        dataclasses.replace(
            config, out=out / part.name, episodes=config.episodes // m, seed=seed, robot=part.robot_name,
            sub_dataset=part,
        )
        for part, seed in zip(design.parts, seeds, strict=True)
    ]
    command = "toyshift data fragment"
    _refuse_other_plan(out, plan, command)
    before = [finished(part) for part in configs]
    missing = {part.robot: part for part, result in zip(configs, before, strict=True) if result is None}
    tried = {robot: check(part) for robot, part in missing.items()}
    claim_plan(out, plan, command)
    results = [
        result or collect(part, tried=tried[part.robot]) for part, result in zip(configs, before, strict=True)
    ]
    attempts = sum(result["attempts"] for result in results)
    return {"out": str(out), "episodes": config.episodes, "attempts": attempts, "parts": results}


def plan_of(design: Fragmentation, objects: str, count: int, seed: int) -> dict[str, Any]:
    """Returns what the plan of a folder says: the design, its object set and how many objects that has, the seed."""
    return {
        "version": VERSION, **{name: getattr(design, name) for name in DIALS}, "m": len(design.parts),
        "planted": design.planted(count), "parts": _plain(design), "objects": objects, "object_count": count,
        "seed": seed,
    }  # fmt: skip


def claim_plan(out: Path, plan: Mapping[str, Any], command: str) -> None:
    """Marks a folder as that of a plan's sub-datasets, made by a command.

    Raises:
        ConfigError: it holds something else; names what differs.
    """
    _refuse_other_plan(out, plan, command)
    write_json(out / PLAN, plan)


def _refuse_other_plan(out: Path, plan: Mapping[str, Any], command: str) -> None:
    if not is_fragmented(out):
        refuse_foreign(out, command)
    elif different := differences(plan, read_json(out / PLAN, _AGAIN), but=("parts", "planted")):
        raise refuse_other(out, "sub-datasets", different)


def _count(objects: str) -> int:
    from toyshift.toys import load_objects

    return len(load_objects(objects))


def is_fragmented(folder: Path) -> bool:
    """Whether a folder was made by `toyshift data fragment`."""
    return (Path(folder) / PLAN).exists()


def read_plan(folder: Path) -> tuple[Fragmentation, Mapping[str, Any]]:
    """Reads the design of a folder of sub-datasets, and all that its plan says.

    Raises:
        FileError: the plan is damaged or of another version.
    """
    path = Path(folder) / PLAN
    plan = read_json(path, _AGAIN)
    try:
        if plan["version"] != VERSION:
            raise FileError(f"{path}: version {plan['version']} of plans; this ToyShift reads {VERSION}")
        design = fragment(plan["m"], **{name: plan[name] for name in DIALS})
        same = _plain(design) == plan["parts"]
    except (KeyError, TypeError) as error:
        raise FileError(f"{path} is no plan ({error!r}); make it with `toyshift data fragment`") from error
    if not same:
        raise FileError(
            f"{path}: its sub-datasets are not those of its dials; restore it, or run `toyshift data fragment` again"
        )
    return design, plan


def _plain(design: Fragmentation) -> Any:
    """Returns the sub-datasets as they come back from a JSON file."""
    return json.loads(json.dumps([dataclasses.asdict(part) for part in design.parts]))


def dependence_of(folder: Path) -> tuple[Fragmentation, Dependence]:
    """Measures the dependence in a folder of collected sub-datasets.

    Raises:
        FileError: the plan or a sub-dataset is missing, not finished or damaged.
        ConfigError: a sub-dataset's episodes do not tell their factors.
    """
    design, plan = read_plan(folder)
    values = []
    for part in design.parts:
        dataset = open_dataset(Path(folder) / part.name)
        metas = [dataset.meta(i) for i in range(dataset.num_episodes)]
        u, v = (recorded(metas, factor, str(dataset.folder)) for factor in (design.relevant, design.factor))
        values.append((u, v))
    return design, measure(design, values, int(plan["object_count"]))
