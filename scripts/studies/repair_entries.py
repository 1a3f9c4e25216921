"""What takes part in `toyshift study repair`: every row of the two tables of repairs that can, and controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import quote

from toyshift.core.errors import UnknownNameError

Kind = Literal["control", "data", "training"]
NONE, CLEAN, ORACLE, TWO_SEEDS, UPSAMPLE = "none", "clean", "oracle", "two-seeds", "random-upsample"
DUPLICATE, OWN, OTHER = "duplicate", "toward-own", "toward-other"
BASELINES = (NONE, DUPLICATE, OWN)  # that every entry is compared with: always in the study
LABELLED = 16  # demonstrations of the shifted kind by which one of two policies is picked, as divdis picks its head
ALL_STEPS = "-all-steps"
# Row -> arguments that are not its defaults. By default toward-other draws from all that lies nearer to the other side,
# and here each side has one value: at that value the cue would go on telling the place (of the viewpoint in 98 % of all
# episodes, of the colour in 74). toward-own stays with its default: what its own side's episodes show is no new look.
ARGUMENTS: Mapping[str, Mapping[str, str]] = {OTHER: {"side": "recorded"}}
# Fixed before any row of the study was looked at: where a budget has not all seeds for all rows, these have them, and
# Holm's family is of these alone.
FAMILY = frozenset({
    NONE, DUPLICATE, OWN, OTHER, "bridge", "viewpoint", "appearance", "hint", "prototype", "erase", "divdis", TWO_SEEDS,
    CLEAN,
})  # fmt: skip
NATURAL = "natural"  # the shortcut without a planted cue
# Row -> why it cannot touch the cue, and on which shortcuts; no names are all planted ones.
_COLOURS, _WINDOW = "it changes colours, and leaves where the camera stands", "it leaves the object's colour as it is"
NULLS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "object-swap": ("other objects come under each strip's own cue", ()),
    "viewpoint": ("it moves the camera, and leaves the object's colour", ("object_colour",)),
    "crop": (_WINDOW, ("object_colour",)),
    "appearance": (_COLOURS, ("azimuth",)),
    "jitter": (_COLOURS, ("azimuth",)),
    "reskin": (_COLOURS, ("azimuth",)),
    "ivl": ("its instruments are gains of pixels and the sub-dataset's number, which here is the place itself", ()),
}  # fmt: skip
# Row -> what is told beside its table: here its pairs are rendered from the simulator
TOLD = {"erase": "in training: the simulator renders the same looks with the factor changed"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row of the study, with default arguments but for `ARGUMENTS`; which cue there is, the study fills in.

    Attributes:
        name: of its cells and in tables.
        kind: whether it changes the data or the training; or is there to be beaten, or to be a bound.
        does: what it does, in words.
        privileged: what it is told, or needs, that a training on these data has no right to; "" for nothing.
        augmentation: row of `augment.registry.AUGMENTATIONS` that changes its data; "" for none.
        repair: row of `policies.repairs.TRAINING_REPAIRS` that changes its training; "" for none.
        several: it needs several sub-datasets.
        all_steps: it takes all steps although a step passes its samples more than once.
        clean: it learns from demonstrations in which the cue tells nothing.
    """

    name: str
    kind: Kind
    does: str
    privileged: str = ""
    augmentation: str = ""
    repair: str = ""
    several: bool = False
    all_steps: bool = False
    clean: bool = False

    @property
    def trained(self) -> bool:
        """Whether there is a policy to train."""
        return self.name != ORACLE

    def null(self, bed: str) -> str:
        """Returns why it cannot touch a shortcut's cue, so that no effect is expected by construction; "" if it can."""
        why, beds = NULLS.get(self.name, ("", ()))
        return why if bed in beds or (not beds and bed != NATURAL) else ""

    def keys(self) -> set[str]:
        """Returns the keys of its row."""
        if self.augmentation:
            from toyshift.augment.registry import AUGMENTATIONS

            return set(AUGMENTATIONS[self.augmentation].keys())
        if self.repair:
            from toyshift.policies.repairs import keys_of, row_of

            return set(keys_of(row_of(self.repair)))
        return set()

    def spec(self, filled: Mapping[str, str]) -> str:
        """Returns what `toyshift augment`, or `train --repair`, is asked for; "" where it is neither.

        Args:
            filled: values of keys that the study knows: `factor`, and the folders `unlabelled`; others are left out.
        """
        keys, given = self.keys(), ARGUMENTS.get(self.name, {})
        values = {**{key: value for key, value in filled.items() if key in keys}, **given}
        options = "&".join(f"{key}={quote(value, safe='/,:')}" for key, value in values.items())
        return (self.augmentation or self.repair) + (f"?{options}" if options else "")


def every_entry() -> dict[str, Entry]:
    """Returns all rows: what others are compared with first, then the two tables in their order, then the bounds."""
    from toyshift.augment.registry import AUGMENTATIONS, SEVERAL
    from toyshift.policies.repairs import TRAINING_REPAIRS

    entries = [Entry(NONE, "control", "the demonstrations as they are")]
    for row in (row for row in AUGMENTATIONS.values() if not row.outside):
        knows = ["which factor is the cue"] if "factor" in row.keys() else []  # noqa: SIM118  # a method of the row
        needs = "" if row.needs == "nothing" else row.needs
        told = "; ".join(filter(None, (needs, *knows)))
        kind: Kind = "control" if row.control else "data"
        entries.append(Entry(row.name, kind, row.what, told, augmentation=row.name, several=row.needs == SEVERAL))
    for repair in (row for row in TRAINING_REPAIRS if not row.outside):
        kind = "control" if repair.control else "training"
        privileged = TOLD.get(repair.name, repair.privileged)
        one = Entry(repair.name, kind, repair.does, privileged, repair=repair.name)
        entries.append(one)
        if repair.passes > 1 and not repair.privileged:  # what sees other data in further passes gets no more of them
            does = f"{repair.name} with as many steps as the others: {repair.passes} times the gradient samples"
            entries.append(dataclasses.replace(one, name=repair.name + ALL_STEPS, does=does, all_steps=True))
    closer = f"actions on {LABELLED} demonstrations without the cue are closer"
    entries += [
        Entry(UPSAMPLE, "control", "a random half of the frames is shown twice as often"),
        Entry(TWO_SEEDS, "control", f"two policies of half the steps; that one acts whose {closer}",
              f"the actions of {LABELLED} demonstrations without the cue"),
        Entry(CLEAN, "control", "the same demonstrations with cues that tell nothing: the ceiling",
              "demonstrations without the cue", clean=True),
        Entry(ORACLE, "control", "the scripted expert", "the simulator's state"),
    ]  # fmt: skip
    order = (*BASELINES, *(entry.name for entry in entries))
    by_name = {entry.name: entry for entry in entries}
    return {name: by_name[name] for name in dict.fromkeys(order)}


def chosen_entries(names: Sequence[str]) -> dict[str, Entry]:
    """Returns the entries that are named, and what they are compared with; all without a name.

    Raises:
        UnknownNameError: there is no such entry; names the nearest.
    """
    every = every_entry()
    for name in names:
        if name not in every:
            raise UnknownNameError("repair", name, every)
    return {name: entry for name, entry in every.items() if not names or name in (*BASELINES, *names)}
