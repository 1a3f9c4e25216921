"""What breaks a cue in datasets, of what this project can do: each with its command and with what it changes.

Two levers (docs/fragments.md). *Overlap*: where each dataset shows what the others show of one of two factors, a
dependence that comes from the mixture is gone. *Diversity* within datasets lowers it, but never to nothing. What is
tied within a dataset needs the same cue dealt out anew.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from toyshift.core.arrays import Array, Indices
from toyshift.core.information import normalised_mutual_information
from toyshift.data.collecting.dials import Fragmentation
from toyshift.data.collecting.fragment_folder import is_fragmented, read_plan
from toyshift.data.formats.outline import Outline
from toyshift.diagnostics.dependence import DATASET, Pair, encode, factors_of
from toyshift.envs.shift_table import SHIFT_FACTORS
from toyshift.envs.shifts import FACTORS as LOOK_FACTORS

OFTENER = 3.0  # times that one dataset is drawn in a mixture that is tried
WORTH = 0.8  # what a mixture must leave of the dependence to be recommended
APART = 0.5  # share of a factor's values that two datasets have in common, below which copies bring them together
PLACES = ("position", "position.x", "position.y")


def repairs_of(pair: Pair, given: Sequence[Path], outlines: Mapping[str, Outline]) -> tuple[str, ...]:
    """Returns what breaks the dependence of a pair of factors in datasets, the surest first.

    Args:
        pair: of the cue.
        given: datasets, or a folder of them, as they were named.
        outlines: all of them, opened.
    """
    every = list(outlines.values())
    if not all(outline.ours for outline in every):
        some = "these" if not any(outline.ours for outline in every) else "some of these"
        return (
            f"ToyShift did not record {some} and can neither render nor collect them again. What helps is overlap: "
            f"record what has to be done under every look, and not under one of its own",
        )
    found = [*_rendered(pair, given, every), *_collected(pair, given, every), *_mixed(pair, every)]
    return tuple(found) or ("nothing that ToyShift does breaks this one",)


def _rendered(pair: Pair, given: Sequence[Path], every: Sequence[Outline]) -> list[str]:
    """Returns repairs that keep the episodes and change what is seen of them."""
    if not all(outline.states for outline in every):
        return []
    lines = []
    design = _plan(given)
    if design and pair.irrelevant == design.factor in LOOK_FACTORS and design.relevant == "position":
        dials = f"--factor {design.factor} --diversity {design.diversity:g} --disparity {design.disparity:g}"
        command = f"toyshift augment cue {_told(given[0])} {_told(given[0], '-clean')} {dials} --correlation 0"
        what = f"render the same episodes with {design.factor} drawn from all datasets' ranges in each"
        lines.append(f"{what} (overlap: the dependence is gone)\n{command}")
    elif pair.irrelevant in LOOK_FACTORS and pair.overlap and pair.overlap[1] < APART:
        spec = shlex.quote(f"toward-other?factor={pair.irrelevant}&side=recorded")
        what = f"add to each as many copies that show {pair.irrelevant} as the others do (overlap)"
        named = list(given) or [outline.path for outline in every]
        command = f"toyshift augment {spec} {' '.join(map(_told, named))} {_told(named[0], '-overlapping')}"
        lines.append(f"{what}\n{command}")
    if pair.irrelevant == "azimuth" and all("front" in outline.cameras for outline in every):
        angles = [meta["factors"]["look"]["azimuth"] for outline in every for meta in outline.metas]
        turn = f"--azimuth {min(angles):g} {max(angles):g}"
        moved = "toyshift augment viewpoint"
        commands = "\n".join(f"{moved} {_told(o.path)} {_told(o.path, '-views')} {turn}" for o in every)
        what = "render the same episodes from front cameras drawn from one range, under the ordinary light and textures"
        lines.append(f"{what} (overlap: the front camera then tells nothing)\n{commands}")
    return lines


def _collected(pair: Pair, given: Sequence[Path], every: Sequence[Outline]) -> list[str]:
    """Returns repairs that collect anew."""
    u, v = pair.relevant, pair.irrelevant
    episodes = sum(len(outline.metas) for outline in every)
    if v in LOOK_FACTORS and (u in PLACES or u == "object"):
        design = _plan(given)
        m = max(2, len(every))
        diversity, disparity = (design.diversity, design.disparity) if design else (2, 0)
        dials = f"--factor {v} --relevant {'object' if u == 'object' else 'position'}"
        width = f"--diversity {diversity:g} --disparity {disparity:g} --correlation 0"
        size = f"--episodes {-(-episodes // m) * m}"
        command = f"toyshift data fragment --m {m} {dials} {width} {size} --out runs/independent"
        what = "overlap" if design else "overlap and diversity"
        return [f"collect anew, with {v} drawn alike whatever has to be done ({what})\n{command}"]
    if v in SHIFT_FACTORS:
        return [
            f"collect with and without the shift, the same --objects from the same --seed (overlap), for example\n"
            f"toyshift collect --shift {v}=3 --seed 0 --out runs/with\ntoyshift collect --seed 0 --out runs/without"
        ]
    if v == "robot":
        names = sorted({outline.robot for outline in every})
        commands = "\n".join(f"toyshift collect --robot {name} --seed 0 --out runs/{name}" for name in names)
        return [f"collect the same objects from the same starts with each robot (overlap)\n{commands}"]
    if v == DATASET and u == "object":
        commands = "\n".join(f"toyshift collect --objects toys:train --seed {i} --out runs/all-{i}" for i in range(2))
        return [f"collect the same objects in every dataset (overlap), for example\n{commands}"]
    return []


def _mixed(pair: Pair, every: Sequence[Outline]) -> list[str]:
    """Returns the weights of a mixture in which the dependence is weaker, if those are worth it."""
    alike = len({(outline.robot, outline.cameras) for outline in every}) == 1
    if len(every) < 2 or pair.irrelevant == DATASET or not alike:
        return []
    sides = [factors_of(outline.metas, outline.robot) for outline in every]
    u, v = (
        encode(name, [value for factors in sides for value in factors[side][name]])
        for side, name in enumerate((pair.relevant, pair.irrelevant))
    )
    dataset = np.repeat(np.arange(len(every)), [len(outline.metas) for outline in every])
    before, after, often = lighter(u, v, dataset)
    if not after < WORTH * before:
        return []
    weights = " ".join(f"{OFTENER if i == often else 1:g}" for i in range(len(every)))
    names = " ".join(_told(outline.path) for outline in every)
    what = f"draw {every[often].path} {OFTENER:g} times as often, where it holds less"
    command = f"toyshift data mix {names} --weights {weights} --out runs/mix.json"
    return [f"{what}: NMI {before:.2f} to {after:.2f}\n{command}"]


def lighter(u: Indices, v: Indices, dataset: Indices) -> tuple[float, float, int]:
    """Returns the dependence (N,) of a mixture in equal shares, the least with one dataset drawn oftener, and which."""
    m = int(dataset.max()) + 1
    joint = np.zeros((m, int(u.max()) + 1, int(v.max()) + 1))
    np.add.at(joint, (dataset, u, v), 1.0)
    joint /= joint.sum(axis=(1, 2), keepdims=True)

    def mixed(weights: Array) -> float:
        return float(normalised_mutual_information(np.tensordot(weights / weights.sum(), joint, axes=1)))

    tried = [mixed(1 + (OFTENER - 1) * np.eye(m)[i]) for i in range(m)]
    often = int(np.argmin(tried))
    return mixed(np.ones(m)), tried[often], often


def _plan(given: Sequence[Path]) -> Fragmentation | None:
    """Returns the design of the folder of sub-datasets that was named, alone."""
    return read_plan(given[0])[0] if len(given) == 1 and is_fragmented(given[0]) else None


def _told(path: Path, more: str = "") -> str:
    return shlex.quote(f"{path}{more}")
