"""Picking what is named: whether a policy is told what that is, and whether what it lifts is it more often than chance.

In Pick several objects lie on the table, and the instruction names one. A policy that is told nothing of it, or does
not heed what it is told, lifts one of n: where all objects are targets equally often and none shares its name, any of
those on the table is the named one equally often (`docs/evaluation.md`). So of the episodes in which an object was
lifted the share with the named one is set beside the mean of 1 / n.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from toyshift.core.seeds import episode_rng
from toyshift.diagnostics.actors import BUILTIN
from toyshift.diagnostics.clusters import FEW
from toyshift.diagnostics.mask_sources import TRUTH
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.statistics import Estimate, clustered
from toyshift.diagnostics.tables import interval, render_table
from toyshift.policies.provenance import policy_config
from toyshift.policies.remote.options import is_remote

PICK = "pick"  # the task
WORDS = ("table", "minilm")  # kinds of `PolicyConfig.told` that say what is named
NOTHING = "nothing"
OTHER = "wrong_object"  # of core.failures


def told_of(policy: str, masks: str = TRUTH) -> str:
    """Returns by what a policy is told which object is meant, in words: NOTHING, or "" where nobody knows.

    Args:
        policy: as `open_actor` takes it; a server does not say.
        masks: where the masks come from that it is shown.
    """
    if policy in BUILTIN:
        return {"oracle": "the simulator", "random": NOTHING}[policy]
    config = None if is_remote(policy) else policy_config(policy)
    if config is None:
        return ""
    ways = {
        "the instruction": config.told in WORDS, "the target's pose": config.privileged,
        f"masks ({masks})": config.needs_masks,
    }  # fmt: skip
    return " and ".join(way for way, told in ways.items() if told) or NOTHING


def on_the_table(row: Row) -> int:
    """Returns how many objects lay on the table in an episode of Pick, distractors of a shift among them."""
    from toyshift.envs.config import EnvConfig
    from toyshift.envs.shift_table import SHIFT_FACTORS
    from toyshift.envs.shifts import Shifts

    scene = dict(part.split("=", 1) for part in row.scene.split(","))
    config = EnvConfig(objects=row.object_set, task=PICK, clutter=scene.get("clutter"))
    levels = {shift.factor: shift.level for shift in Shifts.parse(row.shift).items}
    more = round(SHIFT_FACTORS["distractors"].at(levels.get("distractors", 0)))
    return 1 + config.draw_others(episode_rng(row.seed, row.episode, "others", row.purpose)) + more


@dataclasses.dataclass(frozen=True)
class Named:
    """What one policy lifted of several objects.

    Attributes:
        policy, object_set, look, shift: of its episodes.
        told: see `told_of`.
        n: episodes.
        named: in which it lifted the named object, as success asks.
        other: in which the last object that it lifted was another one.
        share: named / (named + other), with an interval for new objects; nan where nothing was lifted.
        chance: the share of a policy that does not heed what is named; nan likewise.
    """

    policy: str
    object_set: str
    look: str
    shift: str
    told: str
    n: int
    named: int
    other: int
    share: Estimate
    chance: float

    @property
    def verdict(self) -> str:
        """In plain words."""
        nothing = self.told == NOTHING
        if math.isnan(self.share.value):
            return "is told nothing of what is named, and lifted nothing" if nothing else "not known: it lifted nothing"
        few = self.share.n < FEW
        if not few and self.share.low > self.chance:
            beyond = "though it is told nothing of it" if nothing else ""
            return ", ".join(filter(None, ("lifts the named object more often than chance", beyond)))
        if nothing:
            return "is told neither the instruction nor where the target is: what it lifts is the named one by chance"
        if few:
            return f"not told: what was lifted had fewer than {FEW} different targets"
        if self.share.high < self.chance:
            return "lifts the named object less often than chance"
        return "not shown to heed what is named: chance would do as well"

    def to_json(self) -> dict[str, Any]:
        chance = None if math.isnan(self.chance) else self.chance
        own = {"share": self.share.to_json(), "chance": chance, "verdict": self.verdict}
        return dataclasses.asdict(self) | own


def picked(rows: Iterable[Row], told: Mapping[str, str]) -> list[Named]:
    """Returns what each policy lifted in Pick, by object set, look and shift; [] where it was not played.

    Args:
        rows: of any evaluations.
        told: name in the rows -> see `told_of`.
    """
    groups: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in rows:
        if f"task={PICK}" in row.scene.split(","):
            groups.setdefault((row.policy, row.object_set, row.look, row.shift), []).append(row)
    found = []
    for key, group in groups.items():
        lifted = [row for row in group if row.success or row.failure == OTHER]
        share = clustered([row.success for row in lifted], [row.object_id for row in lifted])
        chance = float(np.mean([1 / on_the_table(row) for row in lifted])) if lifted else math.nan
        named = sum(row.success for row in group)
        found.append(Named(*key, told.get(key[0], ""), len(group), named, len(lifted) - named, share, chance))
    return found


def named_table(found: Iterable[Named]) -> str:
    """Returns what was lifted as text for terminals; "" for nothing."""
    lines = []
    for one in found:
        known = not math.isnan(one.share.value)
        share = f"{100 * one.share.value:.0f}" if known else "-"
        span = interval(100 * one.share.low, 100 * one.share.high, 0) if known else "-"
        chance = f"{100 * one.chance:.0f}" if known else "-"
        figures = [str(one.n), str(one.named), str(one.other), share, span, chance]
        lines.append([one.policy, one.object_set, one.shift or "-", *figures, one.told or "not known", one.verdict])
    figures = ["n", "named", "another", "named %", "95 % objects", "chance %"]
    return render_table(["policy", "objects of", "shift", *figures, "told by", ""], lines) if lines else ""
