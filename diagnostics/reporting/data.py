"""The one value the report is drawn from; whatever a run does not have stays empty and is named as left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toyshift.core.arrays import Image
from toyshift.diagnostics.actors import BUILTIN
from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.changes import ChangedSuccess
from toyshift.diagnostics.diversity import Diversity
from toyshift.diagnostics.reporting.chapter_data import ClipPair, RunsPanel, ShiftPanel, StudyPanel
from toyshift.diagnostics.seen import ON_THESE, Seen
from toyshift.diagnostics.sensitivity import SensitivityResult
from toyshift.diagnostics.statistics import PairedDifference
from toyshift.diagnostics.summaries import Comparison, Summary


@dataclasses.dataclass(frozen=True)
class Headline:
    """A big number.

    Attributes:
        value: as it is shown, e.g. "61 %".
        label: what it is.
        detail: interval and comparison.
    """

    value: str
    label: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class SensitivityPanel:
    """What one policy is sensitive to, beside its success under each change.

    Attributes:
        result: measured shifts and ratios, with labels.
        success: success with each factor changed and with none; None where it was not measured.
    """

    result: SensitivityResult
    success: ChangedSuccess | None = None


@dataclasses.dataclass(frozen=True)
class RepairLine:
    """One condition in which repaired and control policies were compared.

    Attributes:
        title: e.g. "camera turned by 20 degrees".
        repaired: success after training on the repaired data.
        control: success of the control that was trained as long on plain copies.
        difference: repaired minus control on the same episodes.
        before: success before either fine-tune, or None.
    """

    title: str
    repaired: Summary
    control: Summary
    difference: PairedDifference
    before: Summary | None = None


@dataclasses.dataclass(frozen=True)
class Repair:
    """What a dataset change repaired.

    Attributes:
        title: e.g. "Viewpoint augmentation".
        text: plain sentences: what was changed, for how long it was trained, what the control was.
        lines: one per condition; the one that the repair was made for first.
        control: what it is compared with, inside a sentence.
        policies: names of the control and of the repaired policy, for films of both; empty where nobody knows.
    """

    title: str
    text: str
    lines: Sequence[RepairLine]
    control: str = "a control trained as long on plain copies"
    policies: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class ObjectBar:
    """Success on one object.

    Attributes:
        object_id: its id.
        name: what to call it.
        counts: policy -> (successes, episodes).
        thumbnail: picture, or None.
    """

    object_id: str
    name: str
    counts: Mapping[str, tuple[int, int]]
    thumbnail: Image | None = None


@dataclasses.dataclass(frozen=True)
class ObjectPanel:
    """Per-object success on one set, best first.

    Attributes:
        object_set: the set's string.
        bars: one per object.
    """

    object_set: str
    bars: Sequence[ObjectBar]

    @property
    def policies(self) -> list[str]:
        """Names of the policies that have bars, in order of appearance."""
        return list(dict.fromkeys(policy for bar in self.bars for policy in bar.counts))


@dataclasses.dataclass(frozen=True)
class Curve:
    """One training curve.

    Attributes:
        metric: the panel it is drawn in, e.g. "loss".
        policy: whose it is.
        steps: (n,) optimizer steps.
        values: (n,) of the metric.
    """

    metric: str
    policy: str
    steps: Sequence[float]
    values: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Sheet:
    """A contact sheet.

    Attributes:
        title: e.g. "Training toys".
        caption: a sentence.
        images: (label, picture) pairs.
    """

    title: str
    caption: str
    images: Sequence[tuple[str, Image]]


@dataclasses.dataclass(frozen=True)
class Video:
    """A rollout film.

    Attributes:
        path: MP4 file; it is embedded.
        success: outcome.
        title: e.g. "detpool, 055 baseball".
        caption: e.g. failure kind and episode.
        start: what tells its start; films of one start are shown side by side. "" for one that nobody knows.
        policy: whose it is.
    """

    path: Path
    success: bool
    title: str
    caption: str = ""
    start: str = ""
    policy: str = ""


@dataclasses.dataclass(frozen=True)
class ReportData:
    """Everything a report shows.

    Attributes:
        title: heading.
        subtitle: one sentence under it.
        ran: plain sentences that say what was run.
        success: summaries of all policies on all sets with the training look, oracle and random rows among them.
        comparisons: a policy against others on the same episodes.
        headlines: big numbers; empty derives them from `success` and `repair`.
        trained_on: policy -> the tested set that it was trained on: retention is over success there.
        seen: (policy, object set) -> which of the objects that it met there with the training look it was trained on;
            absent where nobody knows, and then nothing is said.
        set_titles: object set -> title.
        policy_titles: policy -> title.
        runs: several runs beside each other; None in the report of one.
        cards: what diagnoses of policies and datasets ended in.
        sensitivity: one panel per policy.
        shifts: one panel per policy and set.
        studies: results of studies.
        repair: what a dataset change repaired.
        clips: episodes of datasets before and after an augmentation.
        played: starts of a study, played without a repair and with it.
        objects: per-object panels.
        curves: training curves.
        sheets: contact sheets.
        videos: rollout films.
        diversity: measures of the training sub-datasets.
        manifest: `toyshift.core.manifest.manifest(...)` of the run.
        commands: commands that make this report again, in order.
        made_by: chapter -> the commands that made what it shows.
        left_out: sentences on what was found and is not shown.
    """

    title: str
    subtitle: str = ""
    ran: Sequence[str] = ()
    success: Sequence[Summary] = ()
    comparisons: Sequence[Comparison] = ()
    headlines: Sequence[Headline] = ()
    trained_on: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seen: Mapping[tuple[str, str], Seen] = dataclasses.field(default_factory=dict)
    set_titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    policy_titles: Mapping[str, str] = dataclasses.field(default_factory=dict)
    runs: RunsPanel | None = None
    cards: Sequence[Card] = ()
    sensitivity: Sequence[SensitivityPanel] = ()
    shifts: Sequence[ShiftPanel] = ()
    studies: Sequence[StudyPanel] = ()
    repair: Sequence[Repair] = ()
    clips: Sequence[ClipPair] = ()
    played: Sequence[ClipPair] = ()
    objects: Sequence[ObjectPanel] = ()
    curves: Sequence[Curve] = ()
    sheets: Sequence[Sheet] = ()
    videos: Sequence[Video] = ()
    diversity: Diversity | None = None
    manifest: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    commands: Sequence[str] = ()
    made_by: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    left_out: Sequence[str] = ()

    def label(self, summary: Summary) -> str:
        """Returns what is known of a policy and the objects that it met, see `Seen.label`; "" for nothing."""
        there = summary.policy, summary.object_set
        if summary.policy in BUILTIN:  # trained on nothing
            return ""
        if there in self.seen:
            return self.seen[there].label(summary.objects)
        return ON_THESE if self.trained_on.get(summary.policy) == summary.object_set else ""
