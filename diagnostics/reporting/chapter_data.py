"""What the chapters on shifts, studies and several runs are drawn from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from toyshift.diagnostics.comparing.versus import Versus
from toyshift.diagnostics.reporting.numbers import Numbers
from toyshift.diagnostics.shift_matrix import Condition, Interaction, Ranked
from toyshift.diagnostics.summaries import Summary


@dataclasses.dataclass(frozen=True)
class ShiftPanel:
    """What one policy loses on one set under every shift, see `shift_matrix`.

    Attributes:
        policy, object_set: whose, and on what.
        control: success without a shift.
        conditions: every factor and level, with Holm's p for all panels of the report.
        rates: success under each of them.
        ranked: the factors, the worst first.
        pairs: two shifts together, intervals at Bonferroni's level.
        left_out: factor -> why it cannot reach the policy.
        commands: that played it.
    """

    policy: str
    object_set: str
    control: Summary
    conditions: Sequence[tuple[Condition, float]]
    rates: Sequence[Summary]
    ranked: Sequence[Ranked]
    pairs: Sequence[Interaction]
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    commands: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class ClipPair:
    """An episode of a dataset before and after an augmentation, or one start that two policies played.

    Attributes:
        title: the new dataset, and what changed it; or the policies.
        caption: which episode, by which camera; or which start, and why it is shown.
        before, after: MP4 files.
        names: what stands below them.
    """

    title: str
    caption: str
    before: bytes
    after: bytes
    names: tuple[str, str] = ("before", "after")


@dataclasses.dataclass(frozen=True)
class StudyFigure:
    """One table of a study, and what of it can be drawn.

    Attributes:
        title: its name in table.json, in words.
        numbers: all of it.
        bars: label, rate, low and high of each line, where lines have a rate with an interval; else empty.
        of: what that rate is.
    """

    title: str
    numbers: Numbers
    bars: Sequence[tuple[str, float, float, float]] = ()
    of: str = ""


@dataclasses.dataclass(frozen=True)
class StudyPanel:
    """The results of a study as they are in its folder.

    Attributes:
        name: its word behind `toyshift study`, or its folder's name.
        title: heading.
        asked, read: what was asked, and how to read it, in plain words.
        figures: its tables.
        facts: what is said beside them.
        commands: that made them.
    """

    name: str
    title: str
    asked: str
    read: str
    figures: Sequence[StudyFigure]
    facts: Sequence[str] = ()
    commands: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class RunCell:
    """What one run did on one set.

    Attributes:
        policy: its policy.
        summary: its success.
        versus: that of the line's first run minus this one's; None in that run itself.
    """

    policy: str
    summary: Summary
    versus: Versus | None = None


@dataclasses.dataclass(frozen=True)
class RunLine:
    """One condition that several runs may have played.

    Attributes:
        policy: that all of them played; "" where each run has its own.
        condition: object set, scene and shift.
        cells: one per run; None where it did not play it.
    """

    policy: str
    condition: str
    cells: Sequence[RunCell | None]


@dataclasses.dataclass(frozen=True)
class RunsPanel:
    """Several runs beside each other.

    Attributes:
        runs: their names.
        lines: conditions.
        facts: run -> what its manifest says of versions and machine, where runs differ.
    """

    runs: Sequence[str]
    lines: Sequence[RunLine]
    facts: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)
