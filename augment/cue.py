"""Sub-datasets dressed with another cue: the same episodes, whose place on the table is told by another factor.

So a planted shortcut costs a rendering instead of a collection, and policies that differ in their cue alone have learnt
from the same episodes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from toyshift.augment.rerender import Rerendering, rerender
from toyshift.augment.seen import CAMERA
from toyshift.core.errors import ConfigError
from toyshift.core.seeds import episode_rng
from toyshift.data.collecting.dials import SubDataset, fragment
from toyshift.data.collecting.fragment_folder import claim_plan, plan_of, read_plan
from toyshift.envs.shifts import FACTORS, Look


@dataclasses.dataclass(frozen=True)
class Cue:
    """Looks drawn from a sub-dataset's ranges, and its other factors left as in an ordinary collection.

    Attributes:
        part: its ranges; they have to be the ordinary ones of all factors of the look that are not named.
        factor: what varies.
        more: further factors that vary as well.
    """

    part: SubDataset
    factor: str
    more: tuple[str, ...] = ()
    kind: ClassVar[str] = "cue"

    def settings(self) -> dict[str, Any]:
        first, *more = ([list(dataclasses.astuple(r)) for r in self.part.ranges(f)] for f in (self.factor, *self.more))
        further = {"more": dict(zip(self.more, more, strict=True))} if more else {}
        return {"factor": self.factor, "ranges": first, **further}

    def cameras(self, there: Sequence[str]) -> Sequence[str]:
        if not there or (self.factor == "azimuth" and CAMERA not in there):
            needed = f"camera {CAMERA!r}" if self.factor == "azimuth" else "camera"
            raise ConfigError(f"has no {needed} that would see {self.factor}; it has {', '.join(there) or 'none'}")
        return there

    def look(self, meta: Mapping[str, Any], rng: np.random.Generator) -> Look:
        drawn = self.part.draw(rng)
        return Look(**{name: drawn[name] for name in FACTORS})  # type: ignore[arg-type]  # choices are whole numbers


@dataclasses.dataclass(frozen=True)
class CueByTarget:
    """Of each episode the cue of what it asks for: objects of a second group have another one than all others."""

    one: Cue
    other: Cue
    second: tuple[str, ...]  # ids of the objects that have the other
    kind: ClassVar[str] = "cue"

    def settings(self) -> dict[str, Any]:
        return {"one": self.one.settings(), "other": self.other.settings(), "second": list(self.second)}

    def cameras(self, there: Sequence[str]) -> Sequence[str]:
        return self.one.cameras(there)

    def look(self, meta: Mapping[str, Any], rng: np.random.Generator) -> Look:
        return (self.other if meta["object_id"] in self.second else self.one).look(meta, rng)


def augment_cue(
    src: Path, dst: Path, factor: str, *, diversity: float = 0.0, disparity: float = 1.0, correlation: float = 1.0,
    seed: int = 0, workers: int = 2,
) -> dict[str, Any]:
    """Renders sub-datasets of places again with a cue of these dials (see `dials.fragment`); resumable.

    Args:
        src: made by `toyshift data fragment`, with any cue: it is replaced. Its frames hold the simulator's state.
        dst: folder of the new sub-datasets, as `toyshift data fragment` would have made it.
        factor: the cue, a factor of the look.
        diversity: how wide its ranges are.
        disparity: how far apart they lie.
        correlation: how often an episode shows the cue of its own sub-dataset; 0 shows any.
        seed: root seed of the cues.
        workers: processes; 0 works in this one.

    Returns:
        out, episodes, planted (normalised mutual information), parts (what `rerender` returned for each).

    Raises:
        FileError: src has no plan, or a damaged one.
        ConfigError: its sub-datasets differ in something else than places, the factor changes nothing that is seen,
            or dst holds something else.
        ContractError: as of `rerender`.
    """
    if factor not in FACTORS:
        raise ConfigError(f"{factor} cannot be rendered anew; choose from {', '.join(FACTORS)}")
    old, plan = read_plan(src)
    if old.relevant != "position" or old.factor not in FACTORS:
        differ = f"{old.relevant} and {old.factor}"
        raise ConfigError(f"{src}: its sub-datasets differ in {differ}; a new cue is given to sub-datasets of places")
    design = fragment(
        len(old.parts), diversity=diversity, disparity=disparity, correlation=correlation, factor=factor,
        relevant=old.relevant, relevant_diversity=old.relevant_diversity, relevant_disparity=old.relevant_disparity,
        bins=old.bins,
    )
    seeds = [int(episode_rng(seed, i, "cue").integers(2**31)) for i in range(len(design.parts))]  # they share no draws
    works = [
        Rerendering(Path(src) / part.name, Path(dst) / part.name, Cue(part, factor), part_seed, workers)
        for part, part_seed in zip(design.parts, seeds, strict=True)
    ]
    claim_plan(Path(dst), plan_of(design, plan["objects"], int(plan["object_count"]), seed), "toyshift augment cue")
    parts = [rerender(work) for work in works]
    planted = design.planted(int(plan["object_count"]))
    return {"out": str(dst), "episodes": sum(p["episodes"] for p in parts), "planted": planted, "parts": parts}
