"""Policies that learn from sub-datasets in which one cue tells the target's place, and the test that swaps the cue.

All policies of a seed learn from the same demonstrations, rendered again with another cue each: one factor of the look
at two values, one for targets on the left and one for those on the right.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from toyshift.core.seeds import episode_rng
from toyshift.policies.config import PolicyConfig
from toyshift.policies.parts import Pooling
from toyshift.policies.training.config import TrainConfig
from toyshift.scripts.options import Common
from toyshift.scripts.recipe import STATE
from toyshift.scripts.studies.cells import made_once, training_speed

if TYPE_CHECKING:
    from toyshift.core.workers import Pool
    from toyshift.data.collecting.dials import Fragmentation, SubDataset
    from toyshift.diagnostics import EnvSpec, PairedDifference, Row
    from toyshift.diagnostics.measuring.implied import Implied
    from toyshift.diagnostics.swapped_cells import CueCell, SwapCell
AnyCell = TypeVar("AnyCell", bound="CueCell")

# where targets lie: two strips across the table, at least 12.5 cm apart (docs/dsl.md says why so far)
PLACES: dict[str, Any] = {"relevant": "position", "relevant_diversity": 0.25, "relevant_disparity": 1.5}
# for estimates, of one core: seconds for a demonstration, the frames of one, frames of two cameras that are rendered
# again per second, and samples per second of attention pooling
COLLECTING, FRAMES, RENDERED, TRAINED = 0.42, 35, 142.0, training_speed("attention")
TURNED = 200.0  # likewise, where the viewpoint alone changes: the wrist camera's frames are copied
ALPHA = 0.05  # of p after Holm's correction
REACH = 0.06  # within which a place counts as approached; also docs/dsl.md [m]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lessons(Common, demos=2, steps=1, batch=1):
    """What every policy of a study learns from, and how long."""

    demos: int = 200
    """Demonstrations, as many of each place."""
    steps: int = 1100
    """Optimiser steps of each policy."""
    batch: int = 128
    """Samples per step."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Learning(Lessons):
    """What a study takes whose policies learn from planted cues."""

    pooling: Pooling = "attention"
    """Of the policies; they get no masks as an input."""
    lr: float = 0.005
    """Peak learning rate."""


@dataclasses.dataclass(frozen=True)
class PlantedCue:
    """A cue for the target's place, as `dials.fragment` understands its fields."""

    factor: str
    disparity: float
    correlation: float
    diversity: float = 0.0

    def design(self) -> Fragmentation:
        """Returns the sub-datasets."""
        from toyshift.data.collecting.dials import fragment

        return fragment(2, **dataclasses.asdict(self), **PLACES)

    def cells(self) -> tuple[SwapCell, ...]:
        """Returns the cells that swap the cue; of a cue that tells nothing, those of one of the same values."""
        return _cells_of(dataclasses.replace(self, correlation=1.0))

    def believed(self) -> Implied:
        """Returns what the cue implies at correlation 1: of a clean policy, what is believed of it to try the measure.
        """
        from toyshift.diagnostics.measuring.implied import Implied
        from toyshift.envs.config import EnvConfig

        x, y = EnvConfig().centre
        one, other = (
            (int(cell.cue[0]) if cell.whole else sum(cell.cue) / 2, (x, y + sum(cell.place) / 2))
            for cell in self.cells() if not cell.swapped
        )  # fmt: skip
        return Implied(self.factor, (one[0], other[0]), (one[1], other[1]), 0, 1.0, 0.0)


@functools.cache  # a study's estimate asks for the same few hundreds of times
def _cells_of(cue: PlantedCue) -> tuple[SwapCell, ...]:
    from toyshift.diagnostics.swapped_cells import cells_of_design

    return cells_of_design(cue.design(), f"{cue.factor} at disparity {cue.disparity:g}", REACH)


def collect_places(
    out: Path, objects: str, demos: int, seed: int, workers: int, design: Fragmentation | None = None
) -> Path:
    """Collects demonstrations in both strips, or those of a design, under the ordinary look; finished ones are kept."""
    from toyshift.data.collecting.config import CollectConfig
    from toyshift.data.collecting.fragment_folder import collect_fragments

    plain = design or PlantedCue("light", 0.0, 0.0).design()
    with made_once(out):
        collect_fragments(plain, CollectConfig(objects, demos, out, workers=workers, seed=seed))
    return out


def dress(cue: PlantedCue, places: Path, out: Path, seed: int, workers: int) -> tuple[str, ...]:
    """Renders demonstrations again with a cue; returns the folders of the sub-datasets."""
    from toyshift.augment import augment_cue

    with made_once(out):
        made = augment_cue(places, out, **dataclasses.asdict(cue), seed=seed, workers=workers)
    return tuple(part["out"] for part in made["parts"])


def dress_parts(
    parts: Sequence[SubDataset], factors: Sequence[str], places: Path, out: Path, seed: int, workers: int
) -> tuple[str, ...]:
    """Renders demonstrations of places again, those in each folder of `places` with the cues of the part of its name.

    For sub-datasets that no dials make, as where each has several places, or several factors vary. Returns the folders.
    """
    from toyshift.augment.cue import Cue
    from toyshift.augment.rerender import Rerendering, rerender

    seeds = [int(episode_rng(seed, i, "cue").integers(2**31)) for i in range(len(parts))]  # they share no draws
    works = [
        Rerendering(places / part.name, out / part.name, Cue(part, factors[0], tuple(factors[1:])), own, workers)
        for part, own in zip(parts, seeds, strict=True)
    ]
    return tuple(rerender(work)["out"] for work in works)


def recipe(
    pooling: str, data: Sequence[str], out: Path, *, steps: int, batch: int, lr: float, seed: int, threads: int,
    state: Sequence[str] = STATE, instruction: str = "none", mask_input: bool = False,
) -> TrainConfig:
    """Returns how a policy is trained on a planted cue: as the quickstart's, without what would break the cue.

    That is mirroring, which puts targets on the other side. Jitter of brightness, contrast and colours stays on, at
    `TrainConfig`'s defaults, which are weaker than the quickstart's: it blurs the cue `light`, whose two values it
    partly covers, and leaves places and textures where they are.
    """
    parts: dict[str, Any] = {"pooling": pooling, "instruction": instruction, "state_keep": tuple(state)}
    parts["mask_input"] = mask_input
    sizes: dict[str, Any] = {"steps": steps, "batch_size": batch, "lr": lr, "seed": seed, "threads": threads}
    policy = PolicyConfig(chunk=8, execute=4, **parts)
    return TrainConfig(data=tuple(data), out=str(out), policy=policy, state_noise=0.05, **sizes)


def play_cells(
    policy: str, cells: Sequence[CueCell], objects: str, trials: int, seed: int, name: str, rows: Path,
    pool: Pool | None, env: EnvSpec | None = None,
) -> list[Row]:
    """Plays a policy in cells, `trials` episodes each; rows lie in a folder until all are there."""
    from toyshift.diagnostics import EnvSpec, EvaluateConfig, evaluate

    found: list[Row] = []
    for cell in cells:
        config = EvaluateConfig(policy, objects, trials, seed=seed, env=env or EnvSpec(), name=name, cell=cell)
        path = rows / f"{cell.name.replace(' ', '-')}.parquet"
        found += evaluate(config, path, 0, pool=pool)
    return found


def play_swapped(
    policy: str, cue: PlantedCue, objects: str, trials: int, seed: int, name: str, rows: Path, pool: Pool | None
) -> list[Row]:
    """Plays a policy in the cells that swap a cue; as `play_cells`."""
    return play_cells(policy, cue.cells(), objects, trials, seed, name, rows, pool)


def swapped_cells(cue: PlantedCue, rows: Sequence[Row]) -> list[tuple[SwapCell, list[Row]]]:
    """Returns a cue's cells, each with those of the rows that were played in it."""
    return in_cells(cue.cells(), rows)


def in_cells(cells: Sequence[AnyCell], rows: Sequence[Row]) -> list[tuple[AnyCell, list[Row]]]:
    """Returns cells, each with those of the rows that were played in it."""
    return [(cell, [row for row in rows if row.look == cell.label]) for cell in cells]


def as_one(seeds: Sequence[Sequence[Row]]) -> list[Row]:
    """Returns the rows of the policies of several seeds as those of one policy, whose starts are all different."""
    from toyshift.diagnostics.evaluation import MOST_TRIALS

    return [
        dataclasses.replace(row, policy="all", episode=row.episode + i * MOST_TRIALS)
        for i, rows in enumerate(seeds) for row in rows
    ]  # fmt: skip


def swapped_rows(cells: Sequence[CueCell], rows: Sequence[Row]) -> list[Row]:
    """Returns the rows that were played with the cue swapped."""
    return [row for cell, played in in_cells(cells, rows) if cell.swapped for row in played]


class SharedStarts(NamedTuple):
    """Outcomes of two policies on the starts that both played, (n,) each: their own, objects, numbers of seeds."""

    first: list[bool]
    second: list[bool]
    objects: list[str]
    seeds: list[int]


def matched(first: Sequence[Row], second: Sequence[Row], what: str) -> SharedStarts:
    """Returns what two policies came to on the starts that both played.

    Args:
        first, second: rows of swapped cells; of several seeds, in one order for both and as `as_one` makes them.
        what: "dsl", whether the cue was followed, where that is defined for both; or "success".
    """
    from toyshift.diagnostics.dsl import CUE, UNDEFINED
    from toyshift.diagnostics.evaluation import MOST_TRIALS

    def start(row: Row) -> tuple[str, str, int, int]:
        return row.look.partition("=")[0], row.look.rpartition("place=")[2], row.seed, row.episode

    def met(rows: Sequence[Row]) -> dict[tuple[str, str, int, int], Row]:
        return {start(row): row for row in rows if what == "success" or row.approached != UNDEFINED}

    one, other = met(first), met(second)
    shared = sorted(one.keys() & other.keys())
    first_hits, second_hits = (
        [r[k].success if what == "success" else r[k].approached == CUE for k in shared] for r in (one, other)
    )
    objects, seeds = [one[k].object_id for k in shared], [episode // MOST_TRIALS for *_, episode in shared]
    return SharedStarts(first_hits, second_hits, objects, seeds)


def on_same_starts(first: Sequence[Row], second: Sequence[Row], what: str) -> PairedDifference | None:
    """Returns one policy minus another; arguments as of `matched`. None where no start is left."""
    from toyshift.diagnostics import paired_difference

    found = matched(first, second, what)
    return paired_difference(*found[:3]) if found.first else None


def shares_of(cells: Sequence[CueCell], seeds: Sequence[Sequence[Row]]) -> dict[str, Any]:
    """Returns what all seeds say of one kind of policy; the policies of seeds are one here, their objects the clusters.

    Args:
        cells: in which they were played.
        seeds: rows of each seed's policy.
    """
    from toyshift.diagnostics.swapped import swapped_of

    single = [swapped_of(in_cells(cells, rows)).to_json() for rows in seeds]
    together = swapped_of(in_cells(cells, as_one(seeds))).to_json()
    shares = {"dsl": together["degree"]["dsl"], "by_chance": together["by_chance"]["dsl"]}
    shares |= {k: together[k] for k in ("id_success", "ood_success")}
    made = {k: {"value_low_high": [v["value"], v["low"], v["high"]]} for k, v in shares.items()}
    return {
        **made, "counts": together["degree"]["counts"], "excess": together["excess"],
        "by_seed": {
            "dsl": [one["degree"]["dsl"]["value"] for one in single],
            "ood_success": [one["ood_success"]["value"] for one in single],
            "verdict": [one["verdict"] for one in single],
        },
    }  # fmt: skip


def share_text(x: dict[str, Any]) -> str:
    """Returns a share of `shares_of` as "0.50 (0.40 to 0.60)"; "-" where there is none."""
    value, low, high = x["value_low_high"]
    return "-" if value is None else f"{value:.2f} ({low:.2f} to {high:.2f})"


def gap_text(x: dict[str, Any] | None) -> str:
    """Returns a paired difference, as its JSON has it, as "+0.50 (+0.40 to +0.60)"; "-" where there is none."""
    gap = x and x["difference"]
    return f"{gap['value']:+.2f} ({gap['low']:+.2f} to {gap['high']:+.2f})" if gap else "-"


def with_holm(found: Sequence[PairedDifference | None]) -> list[dict[str, Any] | None]:
    """Returns the JSON of differences, with p values corrected for all that there are."""
    from toyshift.diagnostics.statistics import holm

    there = [x for x in found if x is not None]
    corrected = iter(holm([x.p_value for x in there]))
    return [None if x is None else x.to_json() | {"holm_p": next(corrected)} for x in found]
