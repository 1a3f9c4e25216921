"""What the policies of `toyshift study detpool-vs-shortcut` are: their data, how they pool, and how they are tested."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from toyshift.scripts.studies.planted import PLACES, PlantedCue

if TYPE_CHECKING:
    from toyshift.data.collecting.dials import SubDataset
    from toyshift.diagnostics.swapped_cells import SwapCell

TOYS = "toys:train"
Factor = Literal["azimuth", "table", "background"]
FACTORS: tuple[Factor, ...] = ("azimuth", "table", "background")
ALL = "all"  # in the place of a factor's name: of clean policies, which see all of them vary
DISPARITY = 1.0  # of the two values of a cue: half a factor's span, with azimuth 60 degrees
UNSEEN = "unseen"


class Pooled(NamedTuple):
    """How a policy pools, and what it is shown.

    Attributes:
        pooling: name of `policies.parts.POOLINGS`.
        lr: peak learning rate.
        mask_input: whether its encoder is shown the target's mask.
    """

    pooling: str
    lr: float
    mask_input: bool = False


# Best peak rates without LayerNorm of results/lego_fair (500 demonstrations, 70,400 samples). That of detpool was found
# with stronger jitter than `recipe` has, the others without any.
POOLED = {
    "detpool": Pooled("detpool", 5e-3), "attention": Pooled("attention", 5e-3),
    "attention-mask": Pooled("attention", 5e-3, mask_input=True), "mask-channel": Pooled("mask-channel", 1e-2),
}


class PlantedPolicy(NamedTuple):
    """What one policy is: the cue in its data, whether it tells the place ("told") or nothing ("clean"), how it pools.

    The cue of a clean one is ALL, its pooling a name of POOLED.
    """

    factor: str
    data: str
    pooling: str

    @property
    def cues(self) -> tuple[PlantedCue, ...]:
        """Those that it is tested with."""
        return tuple(map(cue_of, FACTORS if self.factor == ALL else (self.factor,)))

    @property
    def name(self) -> str:
        return "-".join(self)


def cue_of(factor: str) -> PlantedCue:
    """Returns the cue that told policies learn from."""
    return PlantedCue(factor, DISPARITY, 1.0)


def clean_of(pooling: str) -> PlantedPolicy:
    """Returns the clean policy of a pooling."""
    return PlantedPolicy(ALL, "clean", pooling)


def unseen_cells(cue: PlantedCue) -> list[SwapCell]:
    """Returns a cell for each sub-dataset's places, under a value that no policy has seen, the nearest seen its own.

    That is the end of the factor's span beyond the sub-dataset's value; of choices the next one towards the other's,
    since clean policies also see the ordinary one, which is an end.
    """
    from toyshift.data.collecting.factors import FACTORS as SPANS

    span, found = SPANS[cue.factor], []
    controls = [cell for cell in cue.cells() if not cell.swapped]
    values = [cell.cue[0] for cell in controls]
    for cell, end, towards in zip(controls, (span.low, span.high), (1, -1), strict=True):
        value = cell.cue[0] + towards if span.count else end
        assert value not in (*values, span.normal[0])
        found.append(dataclasses.replace(cell, cue_of=UNSEEN, cue=(value, value)))
    return found


def varied_parts() -> list[SubDataset]:
    """Returns sub-datasets of the same places in which each factor has its two values or the ordinary one, any of them.

    So each look in which a policy is tested with one cue, and the ordinary rest, is one that clean policies have seen.
    """
    from toyshift.data.collecting.dials import Range, fragment
    from toyshift.data.collecting.factors import FACTORS as SPANS

    ranges: dict[str, Any] = {}
    for factor in FACTORS:
        values = fragment(2, diversity=0.0, disparity=DISPARITY, correlation=1.0, factor=factor, **PLACES).parts
        spans = [(r.low, r.high) for part in values for r in part.ranges(factor)]
        ranges[factor] = tuple(Range(*span, 1 / 3) for span in (*spans, SPANS[factor].normal))
    return [dataclasses.replace(part, **ranges) for part in PlantedCue("light", 0.0, 0.0).design().parts]
