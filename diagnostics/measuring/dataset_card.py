"""The card of datasets: which cue a policy could learn there, how strongly, how it came about, and what breaks it.

A cue is a factor that is seen and that tells, beyond chance, of what has to be done (`dependence`). Datasets of others
tell no factors; of these the card says what their tasks and images tell, and what cannot be known.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.dataset_repairs import repairs_of
from toyshift.diagnostics.datasets import first_vectors, spread_evenly
from toyshift.diagnostics.dependence import DATASET, Dependences, Pair
from toyshift.diagnostics.diversity import Diversity, episodes_of_each, probe_correct, whiten
from toyshift.diagnostics.features import features_of
from toyshift.diagnostics.measuring.finding import listed, percent
from toyshift.diagnostics.statistics import Estimate, bootstrap_mean

if TYPE_CHECKING:
    from toyshift.core.truths import Truth
    from toyshift.diagnostics.measures import Asked

FAINT = 0.01  # NMI beyond chance below which nothing is named, however many episodes show it; ours
EPISODES_A_TASK = 5  # fewest for a guess of the task from the image
UNIT = "NMI"
SEEN = {
    "azimuth": "the viewpoint", "light": "the light", "table": "the table's texture", "background": "the background",
    "object_colour": "the target's colour", "robot": "the robot", DATASET: "which dataset it is",
}
DONE = {
    "object": "which object is the target", "instruction": "what is asked for", "position.x": "how far off it lies",
    "position": "where the target lies", "position.y": "where the target lies", "object-size": "the target's size",
    "object-pose": "how the target lies", "object-mass": "the target's mass",
    "object-friction": "the target's friction",
}


def seen(name: str) -> str:
    """Returns a task-irrelevant factor in words."""
    return SEEN.get(name, f"the shift {name}")


def done(name: str) -> str:
    """Returns a task-relevant factor in words."""
    return DONE.get(name, name)


@dataclasses.dataclass(frozen=True)
class TaskFromImage:
    """How well the first image tells what is asked for.

    Attributes:
        right: balanced accuracy of a cross-validated linear guess.
        tasks: how many there are to choose from.
    """

    right: Estimate
    tasks: int

    @property
    def told(self) -> bool:
        return self.right.low > 1 / self.tasks


def dataset_card(asked: Asked, answers: Mapping[str, Any]) -> Card:
    """Makes the card of datasets from the answers of the measures of datasets, by their name."""
    outlines, found, images = asked.outlines, answers["dependence"], answers.get("diversity")
    card = judge(found, images, task_from_image(asked) if images else None)
    several = f"{len(outlines)} datasets, " if len(outlines) > 1 else ""
    subject = f"{listed(outlines)} ({several}{found.episodes} episodes)"
    unknown = list(card.unknown)
    if bare := [name for name, outline in outlines.items() if not any("factors" in meta for meta in outline.metas)]:
        tell = "tells" if len(bare) == 1 else "tell"
        left = "tasks, robot and images are all there is to compare"
        unknown.insert(0, f"{listed(bare)} {tell} no factors (viewpoint, light, textures, places): {left}")
    if len(robots := {outline.robot for outline in outlines.values() if outline.robot}) > 1:
        names = ", ".join(sorted(robots))
        unknown.append(f"robots differ ({names}): no policy of ToyShift is trained on more than one of them")
    pair = next((p for p in found.pairs if p.irrelevant == card.cue and p.dependent), None)
    advice = repairs_of(pair, asked.datasets, outlines) if pair else ()
    return dataclasses.replace(card, subject=subject, unknown=tuple(unknown), advice=advice)


def task_from_image(asked: Asked) -> TaskFromImage | None:
    """Guesses the task of an episode from its first image; None where there are not two with enough episodes."""
    features, limit = features_of(asked.encoder, asked.encoder_weights), episodes_of_each(len(asked.outlines))
    tasks: list[str] = []
    for outline in asked.outlines.values():
        tasks += [str(outline.metas[i].get("task", "")) for i in spread_evenly(outline, limit)]
    names, labels, counts = np.unique(tasks, return_inverse=True, return_counts=True)
    kept = [i for i, name in enumerate(names) if name and counts[i] >= EPISODES_A_TASK]
    if len(kept) < 2:
        return None
    there = np.isin(labels, kept)
    vectors = [first_vectors(outline, features, asked.camera, limit) for outline in asked.outlines.values()]
    labels = np.searchsorted(kept, labels[there])
    correct = probe_correct(whiten(np.concatenate(vectors)[there]), labels, seed=asked.seed)
    balance = len(labels) / len(kept) / np.bincount(labels)[labels]
    return TaskFromImage(bootstrap_mean(correct * balance, seed=asked.seed), len(kept))


def judge(found: Dependences, images: Diversity | None = None, task: TaskFromImage | None = None) -> Card:
    """Returns the card that these measures give, without subject and advice.

    Args:
        found: dependences of factors.
        images: how the datasets' images differ; None where that could not be measured.
        task: how well images tell the task; None likewise.
    """
    cues = [p for p in found.pairs if named(p) and p.irrelevant != DATASET]
    own = next((p for p in found.pairs if named(p) and p.irrelevant == DATASET), None)
    looks = {*found.constant, *(p.irrelevant for p in found.pairs)} & (SEEN.keys() - {DATASET, "robot"})
    apart = images.probe if images else None
    told_apart = apart is not None and images is not None and apart.low > 1 / len(images.names)
    agree: list[str] = []
    disagree: list[str] = []
    unknown: list[str] = []
    pair = cues[0] if cues else own
    cue = ""
    if cues:
        cue, verdict = cues[0].irrelevant, f"{_capital(seen(cues[0].irrelevant))} tells {_told(cues[0])}."
        agree += [_guessed(cues[0], found.episodes), *_company(cues)]
    elif own and looks:
        verdict = f"No cue was found among what is recorded; but {seen(DATASET)} tells {_told(own)}."
        unknown.append("whether datasets differ in something else that is seen, and not recorded")
    elif own and told_apart:
        cue, verdict = DATASET, f"The images tell the datasets apart, and {seen(DATASET)} tells {_told(own)}."
        agree.append(_guessed(own, found.episodes))
        unknown.append("what in the images it is, and whether it is what has to be done itself that they rightly show")
    elif own and apart is not None:
        verdict = f"No cue is seen: {seen(DATASET)} tells {_told(own)}, but the images do not tell the datasets apart."
    elif own:
        verdict = f"{_capital(seen(DATASET))} tells {_told(own)}; whether that can be seen is not known."
    elif task and task.told and not looks:
        verdict = "The first image tells what is asked for: a policy can do without the words."
        unknown.append("what in the images it is: they may rightly show what is asked for")
    elif found.pairs:
        verdict = "No cue was found: nothing that is seen tells, beyond chance, of what has to be done."
        pair = found.pairs[0]
    elif told_apart:
        verdict = "The images tell the datasets apart: what differs between them besides could be told by the looks."
    else:
        verdict = "Nothing can be said: no factor of what is seen and none of what has to be done both vary."
    if pair and pair.overlap:
        (disagree if max(pair.overlap) >= 0.5 or not cue else agree).extend(_origin(pair))
    if images and apart is not None:
        told = f"by the first images ({images.features}) the dataset is guessed right in {percent(apart.value)}"
        chance = f"{percent(1 / len(images.names))} by chance"
        also = "; what has to be done may show itself" if own and looks and told_apart else ""
        (agree if told_apart and (cue or not looks) else disagree).append(f"{told} {_span(apart)}, {chance}{also}")
    if task and not looks:
        told = f"by the first image the task is guessed right in {percent(task.right.value)} {_span(task.right)}"
        (agree if task.told else disagree).append(f"{told}, {percent(1 / task.tasks)} by chance")
    unknown += _limits(found, images)
    figures = (pair.nmi, pair.low, pair.high) if pair else (math.nan,) * 3
    return Card(
        kind="dataset", subject="", cue=cue, verdict=verdict, strength=Estimate(*figures, found.episodes),
        null=pair.chance if pair else math.nan,
        unit=f"{UNIT}({pair.relevant}, {pair.irrelevant})" if pair else UNIT, agree=tuple(agree),
        disagree=tuple(disagree), unknown=tuple(unknown), table=tuple(map(_line, found.pairs)),
    )  # fmt: skip


def named(pair: Pair) -> bool:
    """Whether a dependence is more than chance among all that were measured, and enough to be called a cue."""
    return pair.dependent and pair.nmi - pair.chance >= FAINT


def _told(pair: Pair) -> str:
    beyond = (pair.nmi - pair.chance) / (1 - pair.chance) if pair.chance < 1 else 0.0
    degree = "almost wholly" if beyond >= 0.9 else "in part" if beyond >= 0.05 else "a little of"
    return f"{degree} {done(pair.relevant)}"


def _guessed(pair: Pair, episodes: int) -> str:
    what = f"{done(pair.relevant)} (of {pair.values[0]} values or ranges)"
    right = f"is guessed right in {percent(pair.guess)} of the {episodes} episodes"
    return f"by {seen(pair.irrelevant)} alone {what} {right}, {percent(pair.blind)} if it told nothing"


def _company(cues: Sequence[Pair]) -> list[str]:
    """Returns what else is told by the first cue, and by what else the same is told."""
    first = cues[0]
    same = [_named_figure(seen(p.irrelevant), p) for p in cues[1:] if p.relevant == first.relevant]
    more = [_named_figure(done(p.relevant), p) for p in cues[1:] if p.irrelevant == first.irrelevant]
    lines = [f"{done(first.relevant)} is told by {listed(same)} as well"] if same else []
    return lines + ([f"{seen(first.irrelevant)} tells {listed(more)} as well"] if more else [])


def _named_figure(words: str, pair: Pair) -> str:
    return f"{words} (NMI {pair.nmi:.2f}, by chance {pair.chance:.2f})"


def _origin(pair: Pair) -> list[str]:
    """Returns whether the datasets share what is tied, and whether it is tied within them as well."""
    assert pair.overlap is not None, "asked of several datasets"
    u, v = map(percent, pair.overlap)
    if pair.irrelevant == DATASET:
        return [f"two datasets have {u} of {done(pair.relevant)} in common"]
    lines = [f"two datasets have {u} of {done(pair.relevant)} and {v} of {seen(pair.irrelevant)} in common"]
    inside = pair.inside
    if inside is None or math.isnan(inside.nmi):
        lines.append("it comes from the mixture: inside each dataset one of the two does not vary")
    elif inside.p_value > 0.05:
        lines.append(f"it comes from the mixture: inside datasets NMI {inside.nmi:.2f}, by chance {inside.chance:.2f}")
    else:
        lines.append(f"it holds inside datasets as well: NMI {inside.nmi:.2f}, by chance {inside.chance:.2f}")
    return lines


def _limits(found: Dependences, images: Diversity | None) -> list[str]:
    """Returns what these episodes cannot tell."""
    lines = []
    if found.pairs:
        best, worst = (end(found.pairs, key=lambda pair: pair.seen_from) for end in (min, max))
        span = " to ".join(f"{p.seen_from:.2f} ({p.relevant}, {p.irrelevant})" for p in dict.fromkeys((best, worst)))
        lines.append(f"weaker dependence: {found.episodes} episodes show it where it measures from NMI {span} on")
    if found.constant:
        lines.append(f"the same in all episodes, and so neither cue nor tested: {listed(found.constant, 8)}")
    if found.untold:
        lines.append(f"told by some datasets only, and left out: {listed(found.untold, 8)}")
    if images is None:
        lines.append("what the images tell: they could not be measured")
    lines.append("whether a policy takes such a cue: ask the policy (toyshift diagnose --policy)")
    return lines


def _span(value: Estimate) -> str:
    return f"[{100 * value.low:.0f}, {100 * min(value.high, 1.0):.0f}]"  # balanced accuracies may end beyond


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _line(pair: Pair) -> dict[str, Any]:
    names = ("relevant", "irrelevant", "nmi", "low", "high", "chance", "p_holm", "guess", "blind")
    return {name: getattr(pair, name) for name in names}


def card_truths() -> list[Truth]:
    """A planted cue, factors that are independent, and factors of the look that are tied to one another alone."""
    from toyshift.core.seeds import episode_rng
    from toyshift.core.truths import Truth
    from toyshift.data.collecting.dials import fragment
    from toyshift.diagnostics.dependence import measure_dependence

    def card(design: Any, seed: int, tied: bool = False) -> Card:
        rng = episode_rng(seed, 0, "card truths")
        drawn = {part.name: [part.draw(rng) for _ in range(100)] for part in design.parts}
        factors = {}
        for name, rows in drawn.items():
            u, v = ([row[factor] for row in rows] for factor in ("position", "table"))
            light = [int(x) for x in rng.integers(3, size=len(rows))]
            factors[name] = {"position": u}, {"table": v, "light": light, "background": light if tied else v[::-1]}
        return judge(measure_dependence(factors, seed))

    planted = fragment(2, diversity=0.25, disparity=1.0, correlation=1.0, factor="table")
    clean = fragment(2, diversity=0.25, disparity=1.0, correlation=0.0, factor="table", relevant_disparity=0.0)
    found = [card(planted, seed, tied=True) for seed in range(10)]
    alarms = [bool(card(clean, seed).cue) for seed in range(100)]
    tied = [bool(card(clean, 100 + seed, tied=True).cue) for seed in range(100)]
    truth = planted.planted()
    assert truth is not None, "both vary"
    return [
        Truth("the table tells the place: named", 1.0, float(np.mean([c.cue == "table" for c in found])), 1e-9),
        Truth("as strongly as planted", truth, float(np.mean([c.strength.value for c in found])), 0.02),
        Truth("independent: named beyond 5 %", 0.0, max(0.0, float(np.mean(alarms)) - 0.05), 0.04),
        Truth("light tied to background alone: beyond 5 %", 0.0, max(0.0, float(np.mean(tied)) - 0.05), 0.04),
    ]
