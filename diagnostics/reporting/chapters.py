"""The report's chapters in their order: what each asked and how it is read, for someone who has read no paper."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Chapter:
    """A chapter.

    Attributes:
        name: its anchor, and the file of its template.
        link: in the navigation.
        title: above it.
        asked: one sentence: what was asked.
        read: one sentence: how to read the answer.
        without: what is said at the end of a report that lacks it; "" says nothing.
    """

    name: str
    link: str
    title: str
    asked: str
    read: str
    without: str


CHAPTERS = (
    Chapter(
        "runs", "Runs", "Runs beside each other",
        "Did the runs end with the same success, and where not, is the difference more than chance?",
        "Each line is one condition; a difference is the first run minus another, in percentage points, and is taken "
        "start by start where both runs began their episodes from the same starts.",
        "",
    ),
    Chapter(
        "success", "Success", "Success by set and pooling",
        "How often does each policy lift an object, by the set that the object comes from?",
        "The dot is the share of episodes that ended with the object lifted; the thick bar says how far chance alone "
        "could have moved it (95 %), the thin line how far other objects of the same kind could.",
        "Success by set and pooling: no evaluation rows with the training look were given.",
    ),
    Chapter(
        "policy-cards", "Policy cards", "Policy cards",
        "Does a policy do its task by looking at the target, or does it follow something else in the picture that "
        "happened to go along with it in training, a shortcut?",
        "Each card is one verdict with what speaks for it and against it; <em>shortcut</em> is said only where "
        "swapping that one thing, all else equal, sends the policy to where the training data had the target, and "
        "<em>nothing found</em> is no proof of absence.",
        "Policy cards: no diagnosis of a policy ended in one.",
    ),
    Chapter(
        "dataset-cards", "Dataset cards", "Dataset cards",
        "Could a policy learn a shortcut from these demonstrations: does anything in the picture give away what has to "
        "be done?",
        "The big number says how much one thing tells of another, from 0 (nothing) to 1 (everything), beside what "
        "chance alone would give; a cue that is there need not be taken by a policy.",
        "Dataset cards: no diagnosis of datasets ended in one.",
    ),
    Chapter(
        "sensitivity", "Sensitivity", "What each policy is sensitive to",
        "If exactly one thing in the scene changes its look, how far do the policy's actions move?",
        "The longer the bar, the further they move; the dashed line is how far they move when the target itself moves "
        "by 1 cm, so a bar beyond it means: this change of looks matters more than a centimetre of the target.",
        "What each policy is sensitive to: no diagnosis was run.",
    ),
    Chapter(
        "shifts", "Shifts", "What every shift costs",
        "How much success is lost when camera, light, textures, objects or physics move away from those of training?",
        "A row is a thing that was changed, a column how strongly; the number is the change of success in percentage "
        "points from the same starts (minus: lost), and a frame marks those that stay significant (p at most 0.05) "
        "after Holm's correction.",
        "What every shift costs: no episodes under a shift were given.",
    ),
    Chapter(
        "repair", "Repairs", "What the repairs changed",
        "Does a change to the data, or to training, repair a weakness, or does training without it do as well?",
        "Each repaired policy stands beside its control, trained as long without the repair, on the same starts; "
        "better is a difference whose whole interval lies above 0 and that stays significant (p at most 0.05) after "
        "Holm's correction: without it, one of many repairs that do nothing would look like one by chance.",
        "What repairs changed: no repaired policy was evaluated against a control (--control names one).",
    ),
    Chapter(
        "studies", "Studies", "Studies",
        "What came out of the studies that were run, each a whole series of trainings and tests under one plan?",
        "Each study says its own question first; a line of its tables is one condition with its number of episodes, "
        "and conditions that failed or are missing are shown like all others.",
        "Studies: no results of a study were given.",
    ),
    Chapter(
        "videos", "Films", "Films",
        "What does it look like when a policy succeeds or fails?",
        "Films of one start, played by different policies, stand side by side in the order in which the policies were "
        "asked for; the label says how each ended.",
        "Rollout films: none were recorded.",
    ),
    Chapter(
        "objects", "Objects", "Success by object",
        "Which objects are hard?",
        "Each object has a bar for each policy: the share of its episodes that ended with it lifted, the best first.",
        "Success by object: no per-object rows were given.",
    ),
    Chapter(
        "diversity", "Data", "Diversity of the training data",
        "How much do the pictures differ inside each part of the demonstrations, and how much between the parts?",
        "Parts that differ much from each other and little inside invite shortcuts: a policy can tell from the picture "
        "which part it is in.",
        "Diversity of the training data: it was not measured.",
    ),
    Chapter(
        "curves", "Training", "Training curves",
        "Did training come to an end?",
        "The lower the loss the closer the policy is to its demonstrations; a line that still falls at its end was "
        "stopped early.",
        "Training curves: no metrics.jsonl was given.",
    ),
    Chapter(
        "sheets", "Toys", "Toys and test objects",
        "What do the objects look like?",
        "One picture for each object of the test.",
        "Contact sheets: no pictures of toys or test objects were given.",
    ),
    Chapter(
        "words", "Words", "Words of this report",
        "What do the words above mean?",
        "Those that someone new to this may not know.",
        "",
    ),
    Chapter(
        "provenance", "Versions", "Versions, seeds and how to reproduce",
        "What is needed to make these numbers again?",
        "The commands, and the versions, machine and seed that they ran with.",
        "Versions and seeds: no manifest was given.",
    ),
)  # fmt: skip
WITHOUT_RAN = "What was run: no description was given."
