"""The table of augmentations, and how a spec of them is read. To add one: a file like `duplicate.py`, and a row here.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from toyshift.augment.augmentation import Augmentation
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.lazy import imported
from toyshift.core.terms import read_options, split_spec
from toyshift.policies.repairs import TRAINING_REPAIRS

if TYPE_CHECKING:
    from toyshift.core.truths import Truth

STATES, SEVERAL, NOTHING = "simulator states", "simulator states, several sub-datasets", "nothing"


@dataclasses.dataclass(frozen=True)
class AugmentationRow:
    """One row.

    Attributes:
        name: how a spec calls it.
        place: "module:class" of this room; imported when it is first used.
        what: what it makes, in words.
        needs: what datasets must have.
        control: whether it is there to be beaten.
        outside: why it takes no part in `toyshift study repair`; "" where it does.
        tried: "module:function" of this room: () -> planted truths and what is measured of them; "" where `suite` says
            why `toyshift diagnose --self-test` cannot try it.
        suite: what its planted truth needs, that only the tests have; "" where `tried` tries it.
        truth: what the tests plant and find, where only they can; elsewhere the docstring of `tried` says it.
        paper: whose idea it is.
        cost: what a copy takes.
    """

    name: str
    place: str
    what: str
    needs: str = STATES
    control: bool = False
    outside: str = ""
    tried: str = ""
    suite: str = ""
    truth: str = ""
    paper: str = ""
    cost: str = ""

    @property
    def planted(self) -> str:
        """What its planted truths are, in words."""
        told = str(imported("toyshift.augment", self.tried).__doc__) if self.tried else self.truth
        return " ".join(told.partition("\n\n")[0].split())

    @property
    def kind(self) -> type[Augmentation]:
        found: type[Augmentation] = imported("toyshift.augment", self.place)
        return found

    def truths(self) -> list[Truth]:
        """Returns what it does with data whose answer is known; nothing where only the tests can."""
        found: list[Truth] = imported("toyshift.augment", self.tried)() if self.tried else []
        return found

    def keys(self) -> dict[str, str]:
        """Returns its keys, and what each is by default."""
        own = [field for field in dataclasses.fields(self.kind) if field.name not in ("copies", "keep")]
        return {field.name: "" if field.default is None else str(field.default) for field in own}


_SIMULATOR = "the simulator, and demonstrations of it"
_SHORTCUTS = "Shortcut Learning in Generalist Robot Policies"
_RENDERED, _COPIED = "every frame is rendered again", "pixels are computed, nothing is rendered"
_ROWS = (
    AugmentationRow("viewpoint", "viewpoint:NewViewpoint", "copies seen from new front cameras",
                    suite=_SIMULATOR, truth="A turn of zero gives every pixel again; otherwise the front camera alone "
                    "moves, by the angle drawn.", paper=_SHORTCUTS, cost=_RENDERED),
    AugmentationRow("appearance", "appearance:NewAppearance", "copies under other tables, backgrounds, lights, paint",
                    suite=_SIMULATOR, truth="The look that was recorded gives every pixel again, and frames that stay "
                    "are what rendering gives.", paper=_SHORTCUTS, cost=_RENDERED),
    AugmentationRow("toward-other", "toward:TowardOther", "copies with looks of another sub-dataset's side", SEVERAL,
                    tried="truths:toward_other_truths", paper=_SHORTCUTS, cost=_RENDERED),
    AugmentationRow("bridge", "bridge:Bridge", "one more sub-dataset: all tasks under all looks", SEVERAL,
                    tried="truths:bridge_truths", paper=_SHORTCUTS, cost=_RENDERED),
    AugmentationRow("object-swap", "object_swap:ObjectSwap", "copies with objects of the others, graspable alike, "
                    "acted out and kept if they succeed", SEVERAL, suite=_SIMULATOR, truth="Where an object's own "
                    "grasp is the hand's, the same actions lift it.", paper=_SHORTCUTS,
                    cost="every episode is simulated and rendered, up to `tries` times"),
    AugmentationRow("reskin", "reskin:Reskin", "copies with toys' colours permuted, and the instruction's words alike",
                    tried="truths:reskin_truths", paper="Data Factors (AugZero)", cost=_RENDERED),
    AugmentationRow("instructions", "instructions:OtherWords", "copies that are told otherwise (by name, attributes, "
                    "place, synonyms, or your sentences), and questions beside (qa.jsonl)",
                    outside="the study's policies are told nothing", tried="truths:instructions_truths",
                    paper="Promptagator; RS-GPT4V", cost="sentences are compared (MiniLM), images are copied"),
    AugmentationRow("crop", "crop:Crop", "copies of which a part of each image is shown", NOTHING,
                    tried="truths:crop_truths", paper="common practice", cost=_COPIED),
    AugmentationRow("jitter", "jitter:ColourJitter", "copies with other brightness, contrast, colours", NOTHING,
                    tried="truths:jitter_truths", paper="common practice", cost=_COPIED),
    AugmentationRow("duplicate", "duplicate:Duplicate", "plain copies", NOTHING, control=True,
                    tried="truths:duplicate_truths", paper="ours: a control", cost="files are copied"),
    AugmentationRow("toward-own", "toward:TowardOwn", "copies with new looks of the sub-dataset's own side", SEVERAL,
                    control=True, tried="truths:toward_own_truths", paper="ours: a control", cost=_RENDERED),
)  # fmt: skip
AUGMENTATIONS = {row.name: row for row in _ROWS}
WITHOUT_STATES = tuple(row.name for row in _ROWS if row.needs == NOTHING)


def read_spec(spec: str) -> tuple[Augmentation, ...]:
    """Reads a spec such as "viewpoint?azimuth=-30:30&copies=2+jitter": what changes each copy, in order.

    Raises:
        UnknownNameError: there is no such augmentation, or it has no such key; names the nearest.
        ConfigError: the spec is malformed, a value is wrong, two terms do not go together, or one is a repair of the
            training.
    """
    steps: list[Augmentation] = []
    for term in split_spec(spec, "augmentation", "viewpoint or 'viewpoint?azimuth=-30:30+jitter'"):
        if term.head in {row.name for row in TRAINING_REPAIRS}:
            told = f"{term.head} changes the training and no dataset: toyshift train --repair {term.text!r}"
            raise ConfigError(f"augmentation {spec!r}: {told}")
        if term.head not in AUGMENTATIONS:
            raise UnknownNameError("augmentation", term.head, AUGMENTATIONS)
        steps.append(read_options(AUGMENTATIONS[term.head].kind, term.options, f"augmentation {term.head}"))
    for what in ("replays", "apart"):
        if len(several := [step for step in steps if getattr(step, what)]) > 1:
            raise ConfigError(f"augmentation {spec!r}: {name_of(several[0])} stands once")
    if any(step.tells for step in steps) and (other := [step for step in steps if step.replays]):
        told = f"{name_of(other[0])} shows other objects than were recorded, of which the words would not tell"
        raise ConfigError(f"augmentation {spec!r}: {told}; augment twice")
    if any(step.apart for step in steps) and (any(step.copies > 1 or not step.keep for step in steps)):
        raise ConfigError(f"augmentation {spec!r}: bridge makes episodes=, not copies=, and keeps what there is")
    return tuple(steps)


def name_of(step: Augmentation) -> str:
    """Returns how a spec calls an augmentation."""
    return next(name for name, row in AUGMENTATIONS.items() if row.kind is type(step))


def listed() -> list[dict[str, Any]]:
    """Returns the table for readers: name, what it makes, needs, keys with their defaults, control."""
    return [
        {"name": row.name, "what": row.what, "needs": row.needs, "keys": row.keys(), "control": row.control}
        for row in AUGMENTATIONS.values()
    ]
