"""Changes of training that may repair a shortcut: one row here and one file each. Importing this needs no torch.

`toyshift train --repair NAME[?key=value&...]`, several joined by `+`; `docs/toolbox.md` is made from this table.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.lazy import imported
from toyshift.core.terms import read_options, split_spec

if TYPE_CHECKING:
    from toyshift.core.truths import Truth
    from toyshift.policies.repairs.repair import RunRepair


@dataclasses.dataclass(frozen=True)
class TrainingRepair:
    """One row.

    Attributes:
        name: as it is asked for.
        does: what it changes, in words.
        paper: whose idea it is.
        place: "module:class" of this room; the class is a dataclass whose fields are the keys.
        cost: beside a training without it.
        truth: what its test plants and finds.
        tried: "module:function" of this room: () -> planted truths and what is measured of them; "" where `suite` says
            why `toyshift diagnose --self-test` cannot try it.
        also: another option that it needs; "" for none.
        privileged: what it is told that a training has no right to know; "" for nothing.
        whole: why it needs the whole batch in one pass of one process; "" where it does not.
        passes: batches that a step passes forward and backward, for comparisons at equal gradient samples.
        control: it is there to be beaten.
        outside: why it takes no part in `toyshift study repair`; "" where it does.
        suite: what its planted truth needs, that only the tests have; "" where `tried` tries it.
    """

    name: str
    does: str
    paper: str
    place: str
    cost: str
    truth: str
    tried: str = ""
    also: str = ""
    privileged: str = ""
    whole: str = ""
    passes: int = 1
    control: bool = False
    outside: str = ""
    suite: str = ""

    def truths(self) -> list[Truth]:
        """Returns what it does with data whose answer is known; nothing where only the tests can. Imports torch."""
        found: list[Truth] = imported(__name__, self.tried)() if self.tried else []
        return found


TRAINING_REPAIRS: tuple[TrainingRepair, ...] = (
    TrainingRepair(
        "blind", "a control: no image is seen, in training and acting; what proprioception achieves alone",
        "What Does My QA Model Know?", "views:Blind", "less than none: no encoder runs",
        "answers stay equal to the bit whatever the images show",
        "truths:blind_truths", control=True,
    ),
    TrainingRepair(
        "hint",
        "the features must also tell a hint (`of=place`, `turn`, `grasp`, `pixel`; controls `azimuth`, `noise`); with "
        "`feed` the head reads it, with `proposals` one of several, and after closing on nothing the next",
        "Task Hinting; RLAD", "hint:Hint", "a linear layer",
        "y = x1 x2 with x1 for a hint: a probe of x1 reads more and errors outside fall; noise for a hint: neither; "
        "y = x or -x: two proposals answer both, one hint neither",
        "learnt_truths:hint_truths",
        privileged="in training: where the target lay, which grasp was planned",
    ),
    TrainingRepair(
        "useful", "what a short first training finds hard is shown twice", "USEFUL", "useful:Useful",
        "a share of the steps more (`share=0.08`), and each frame once",
        "a fast feature in 85 %: the points without it are found, and their accuracy rises",
        "truths:useful_truths",
        whole="its first training, and what that finds, are of one process",
    ),
    TrainingRepair(
        "sam", "the gradient is that of the steepest place within `rho`", "USEFUL", "sam:Sam",
        "two passes a step",
        "of a flat and a sharp minimum it leaves the sharp one; the gradient is that a way of rho up the gradient",
        "truths:sam_truths",
        passes=2,
    ),
    TrainingRepair(
        "m3", "the median of the gradients of three thirds of a batch", "The Generalization Mystery", "median:M3",
        "three smaller passes a step", "of a common part and one of each third, the median is the common part exactly",
        "truths:m3_truths",
        whole="its thirds are those of the whole batch",
    ),
    TrainingRepair(
        "rm3", "the median of the gradients of this step and the two before", "The Generalization Mystery",
        "median:Rm3", "memory of two gradients",
        "of a common part and one of each step, the median is the common part exactly; no update before the third",
        "truths:rm3_truths",
    ),
    TrainingRepair(
        "winsor", "the mean of the gradients of 8 parts, whose `c` lowest and highest entries are clipped",
        "The Generalization Mystery", "median:Winsor", "eight smaller passes a step",
        "one part of eight that is far off moves the mean no further than the next one",
        "truths:winsor_truths",
        whole="its parts are those of the whole batch",
    ),
    TrainingRepair(
        "ivl", "residuals are made small above all where augmentation and dataset explain them",
        "An Analysis of Causal Effect Estimation using Outcome Invariant Data Augmentation", "ivl:Ivl",
        "the head twice a step",
        "a cue with noise g: its coefficient is c / (1 + g^2 + g^2 / alpha)",
        "truths:ivl_truths",
        whole="it projects on the span of the whole batch's augmentation",
    ),
    TrainingRepair(
        "divdis", "two heads that disagree on other data (`unlabelled=DIR[,DIR]`), of which the better one acts",
        "DivDis", "divdis:DivDis", "a second batch a step",
        "two cues that agree in training: one of two heads takes the weaker one where unlabelled data hold both apart, "
        "and not where they agree there too",
        "learnt_truths:divdis_truths",
        privileged="images of the shifted kind, and the actions of 16 episodes",
        whole="disagreement is measured on means of a batch", passes=2,
    ),
    TrainingRepair(
        "dbat", "a second policy that disagrees with a first on other data (`unlabelled=DIR[,DIR]`); the better acts",
        "Agree to Disagree (D-BAT)", "dbat:DBat", "a second training, and a second batch a step",
        "as divdis, of two members one after the other",
        "learnt_truths:dbat_truths",
        privileged="images of the shifted kind, and the actions of 16 episodes",
        whole="its first training is of one process", passes=2,
    ),
    TrainingRepair(
        "erase",
        "a fixed layer that erases `factor` from a trained policy's views (LEACE), as the data show it or the pairs "
        "of `toyshift diagnose --measure steer` do (`pairs=FILE`); its head is trained on",
        "Steering (G-ACT)", "erase:Erase", "2,048 frames once",
        "features and factor do not covary afterwards; fitted where factor and place go together it erases both, "
        "fitted on pairs the factor alone",
        "truths:erase_truths",
        also="--init-from POLICY", privileged="in training: the factor's values",
    ),
    TrainingRepair(
        "latent",
        "one vector that a trained policy is told is found anew on 2 to 8 demonstrations of a new setup, and nothing "
        "else is trained; it stops by the episodes that it leaves out",
        "Latent Program Spaces", "latent:Latent", "two passes a step, of few steps; no gradient of the encoders",
        "a = W x + B z: the vector found is the least-squares z; with actions that z does not explain it stays where "
        "it started",
        also="--init-from POLICY --instruction setup --steps 100 --lr 0.05",
        privileged="a few demonstrations of the setup in which it acts",
        whole="each vector sees its own share of the whole batch", passes=2,
        outside="it needs a policy that is told its setup, and the study's are told nothing",
        suite="a policy that was trained on several setups, and a training of it",
    ),
    TrainingRepair(
        "fallback",
        "a name that is unlike all that was said in training is told as \"object\" as well, and the mean of both "
        "answers acts (`share`: how many known ones would count as unknown)",
        "GenCLIP", "fallback:Fallback", "none; two answers in the place of one to unknown names",
        "of sentences around known directions the others are told apart, and the mean acts for these alone",
        "truths:fallback_truths",
        also="--instruction minilm",
        outside="it needs a policy that is told sentences, and the study's are told nothing",
    ),
    TrainingRepair(
        "prototype", "the picture of the masks in the place of the image (`share` below 1: of some samples)",
        "ProtoReasoning", "views:Prototype", "none",
        "answers stay equal to the bit under any table, background, light and colour: only masks act",
        "truths:prototype_truths",
        privileged="masks, in training and acting",
    ),
)


def row_of(name: str) -> TrainingRepair:
    """Returns the row of a repair.

    Raises:
        UnknownNameError: there is none.
    """
    rows = {row.name: row for row in TRAINING_REPAIRS}
    if name not in rows:
        elsewhere = "changes of datasets: toyshift augment --list"
        raise UnknownNameError("repair of training", name, rows, elsewhere)
    return rows[name]


def kind_of(row: TrainingRepair) -> type[RunRepair]:
    """Returns the class of a repair; imports torch."""
    kind: type[RunRepair] = imported(__name__, row.place)
    return kind


def keys_of(row: TrainingRepair) -> dict[str, str]:
    """Returns the keys of a repair and their values when they are not given; "..." of one that must be."""
    defaults = {field.name: field.default for field in dataclasses.fields(kind_of(row))}
    flags = {True: "yes", False: "no"}
    return {k: flags[v] if isinstance(v, bool) else str(v) or "..." for k, v in defaults.items()}


def repairs_of(spec: str) -> tuple[RunRepair, ...]:
    """Returns the repairs that a spec names, new ones every time: they keep the state of a run. None for "".

    Raises:
        UnknownNameError: no repair, key or choice has that name.
        ConfigError: the spec is malformed, a value is wrong, or two of the repairs exclude each other.
    """
    if not spec:
        return ()
    terms = split_spec(spec, "repair", "hint?of=place or sam+prototype")
    found = tuple(read_options(kind_of(row_of(term.head)), term.options, f"repair {term.head!r}") for term in terms)
    for a, b in itertools.combinations(range(len(found)), 2):
        names = f"{terms[a].text!r} and {terms[b].text!r}"
        if found[a] == found[b]:
            raise ConfigError(f"the repairs {names} are the same; name it once")
        if both := found[a].own_hooks & found[b].own_hooks:
            raise ConfigError(f"the repairs {names} exclude each other: both {' and '.join(sorted(both))}; drop one")
    return found


def require_whole_batch(repairs: Sequence[RunRepair], accumulate: int, processes: int) -> None:
    """Raises ConfigError where a repair needs the whole batch at once, and it is cut into passes or processes."""
    for repair in repairs:
        if repair.row.whole and (accumulate > 1 or processes > 1):
            cut = f"--accumulate {accumulate}" if accumulate > 1 else f"{processes} processes"
            told = f"repair {repair.row.name!r} needs the whole batch at once: {repair.row.whole}"
            raise ConfigError(f"{told}; {cut} cut{'s' * (accumulate > 1)} it: train in one process with accumulate 1")
