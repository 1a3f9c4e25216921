"""The words that a report uses and a reader may not know, each with the chapters that use it."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

RATES = ("runs", "success", "shifts", "repair", "studies")
DIFFERENCES = ("runs", "success", "shifts", "repair")


class Word(NamedTuple):
    """A word, what it means, and the names of the chapters (or of their columns) that use it."""

    word: str
    meaning: str
    chapters: tuple[str, ...]


WORDS = (
    Word(
        "Success", "The share of episodes in which the target was lifted as high as the task asks, and held.", RATES
    ),
    Word(
        "95\u00a0% interval",
        "Such intervals hold the true value in 95 of 100 measurements. That of episodes is for other starts of these "
        "objects, that of new objects for other objects of the same kind, and is mostly wider.",
        (*RATES, "sensitivity", "policy-cards", "dataset-cards", "diversity"),
    ),
    Word(
        "Points", "Percentage points: from 40 % to 55 % success are 15 points.",
        (*DIFFERENCES, "sensitivity", "studies"),
    ),
    Word(
        "Same starts, paired",
        "Two policies met the same object in the same place, and each start is compared with itself: that one of them "
        "was given easier starts cannot be the reason of a difference.",
        (*DIFFERENCES, "studies"),
    ),
    Word(
        "p, McNemar",
        "How often a difference at least as large would come out if there were none, counted from the starts that only "
        "one of the two lifted. It takes episodes as independent.",
        DIFFERENCES,
    ),
    Word(
        "Holm's correction",
        "Who compares twenty pairs of equals finds about one with p below 0.05. The correction raises p so that, of "
        "all comparisons of a table together, one is wrongly called a difference in 5 of 100 tables at most.",
        (*DIFFERENCES, "studies"),
    ),
    Word("Oracle, random", "The planner that knows where everything is, and random actions: the two ends.",
         ("success", "objects")),
    Word("Retention", "Success on a set over success on the toys that the policy was trained on.", ("retention",)),
    Word(
        "Pooling",
        "How the features of an image become the few numbers that the policy acts by. Detection pooling takes those "
        "that lie on the target, and has to be told where that is.",
        ("success",),
    ),
    Word(
        "Shift, level", "One thing of the test that differs from the training, and how much: from 1 (little) to 5.",
        ("shifts",),
    ),
    Word(
        "Sub-dataset, cue, shortcut",
        "Demonstrations come in parts. Where a part has its own places of the target and its own look, the look (a "
        "cue) tells the place; a policy that goes by the cue and not by the target took a shortcut.",
        ("policy-cards", "dataset-cards", "studies", "diversity"),
    ),
    Word(
        "DSL",
        "Degree of shortcut learning: how often a policy goes first to where the cue tells, when cue and target are "
        "set against each other. Some of it comes by chance, which is said beside it.",
        ("policy-cards", "studies"),
    ),
    Word(
        "NMI", "How much one thing tells of another in the data: 0 is nothing, 1 is everything.", ("dataset-cards",)
    ),
    Word(
        "Control", "What is changed as much and trained as long, but without what is thought to help.",
        ("repair", "studies"),
    ),
)


def words_of(chapters: Collection[str]) -> list[Word]:
    """Returns the words that some of these chapters (or columns) use."""
    return [word for word in WORDS if not set(word.chapters).isdisjoint(chapters)]
