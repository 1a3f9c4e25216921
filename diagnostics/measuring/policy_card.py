"""The card of a policy: which shortcut it takes, if one can be shown, what speaks for and against it, and what to do.

*Shortcut* is said of one thing only: the data tied a factor to the target's place, and swapped in the same state it
sends the actions there (`counterfactual`, direction known). Everything else is less, and is said so: a side of which
nobody knows whether training taught it, or sensitivity. What other measures say is evidence beside it. `predicted` is
never quoted: its formula is not shown to work.
"""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toyshift.core.files import read_json
from toyshift.diagnostics.cards import Card
from toyshift.diagnostics.changes import ChangedSuccess
from toyshift.diagnostics.measuring.counterfactual import (
    ALPHA,
    BEGUN,
    LEAST,
    OTHERS,
    ROBOT_COLOUR,
    UNIT,
    WHOLLY,
)
from toyshift.diagnostics.measuring.dataset_card import seen
from toyshift.diagnostics.measuring.finding import Finding, Findings, listed, percent
from toyshift.diagnostics.measuring.implied import SAME, TIED_TO_NONE
from toyshift.diagnostics.measuring.own_success import CAPABLE_FROM
from toyshift.diagnostics.sensitivity import ROBUST, SENSITIVE, FactorEffect, SensitivityResult, check_label
from toyshift.diagnostics.statistics import Estimate, PairedDifference, holm, wilson
from toyshift.diagnostics.tables import interval
from toyshift.policies.remote.options import is_remote

if TYPE_CHECKING:
    from toyshift.core.truths import Truth
    from toyshift.diagnostics.measures import Asked

# kinds of verdicts, the strongest first; only the first says that a shortcut was shown
SHORTCUT, SIDE, MOVED, NOTHING = "shortcut", "goes to one side", "sensitive", "nothing found"
INCAPABLE, UNKNOWN = "incapable", "not known"
# Word -> {"wrong": k, "cards": n}: of n cards of policies whose truth was planted, k were wrong. Written by `toyshift
# study exam --tabulate --cards`; of a word that is not in it cards say that nobody knows.
EXAM = Path(__file__).parents[1] / "assets" / "exam.json"
AS_MUCH = "cm of the target's way that move its actions as much"
SAID = {"+": "changes", "-": "holds", "?": "with too few episodes to tell"}
INSIDE = ("patching", "probes", "steer")
MOST = 3  # factors whose evidence a card shows
POOLED = "detpool"  # a pooling that reads the image at the target alone
NEVER = Estimate(math.nan, math.nan, math.nan, 0)


def called(factor: str) -> str:
    """Returns a factor in words."""
    return {OTHERS: "other objects on the table", ROBOT_COLOUR: "the robot's colour"}.get(factor) or seen(factor)


@dataclasses.dataclass(frozen=True)
class Told:
    """What the measures say of one factor; None where they were not taken, or do not look at it.

    Attributes:
        factor: its name.
        swap: of counterfactual.
        effect: of sensitivity.
        change: paired success with it changed.
        p: McNemar's of that, corrected by Holm over factors.
        inside: measure that looks into the network -> its finding.
    """

    factor: str
    swap: Finding | None = None
    effect: FactorEffect | None = None
    change: PairedDifference | None = None
    p: float = 1.0
    inside: Mapping[str, Finding] = dataclasses.field(default_factory=dict)

    @property
    def line(self) -> Mapping[str, Any]:
        """Figures of the clearest swap; {} where it is undefined."""
        return self.swap.table[0] if self.swap and self.swap.table else {}

    @property
    def word(self) -> str:
        """Kind of verdict on this factor alone, of a policy that can do its task."""
        if self.line.get("named"):
            known, why = self.line["direction"] == "known", self.line["why unknown"]
            if known and self.line["response_cm"] > 0:
                return SHORTCUT
            # what never varied, or told of no place, cannot have been learnt as one
            return MOVED if known or why.startswith((SAME, TIED_TO_NONE)) else SIDE
        return MOVED if (self.effect and self.effect.label == SENSITIVE) or self.p <= ALPHA else NOTHING

    @property
    def strength(self) -> tuple[Estimate, str, float]:
        """Value, unit and null of what the verdict on this factor rests on."""
        if self.swap and self.line.get("named"):
            return self.swap.value, UNIT, 0.0
        if self.effect and self.effect.label == SENSITIVE:
            return self.effect.ratio, AS_MUCH, math.nan
        return (self.change.difference, "change of success", 0.0) if self.change else (NEVER, "", math.nan)

    def figures(self) -> dict[str, Any]:
        """Returns a line of the card's table."""
        names = ("from", "to", "response_cm", "low", "high", "p (Holm)", "beta", "direction", "named")
        swap = {name: _plain(self.line.get(name)) for name in names}
        ratio, label = (self.effect.ratio.value, self.effect.label) if self.effect else (None, "")
        success = self.change.difference.value if self.change else None
        return {"factor": self.factor, **swap, "as_cm_of_target": _plain(ratio), "label": label, "success": success}


def _plain(figure: Any) -> Any:
    return None if isinstance(figure, float) and not math.isfinite(figure) else figure


def read_answers(answers: Mapping[str, Any]) -> tuple[Told, ...]:
    """Returns what measures say of each factor, from their results by name."""
    swaps = _by_factor(answers.get("counterfactual"))
    swaps.pop("robot", None)  # never looked at
    inside = {name: _by_factor(answers.get(name)) for name in INSIDE}
    measured: SensitivityResult | None = answers.get("sensitivity")
    effects = {effect.factor: effect for effect in measured.factors} if measured else {}
    played: ChangedSuccess | None = answers.get("success")
    changes = dict(played.change) if played else {name: e.success for name, e in effects.items() if e.success}
    if _fails(_ordinary(answers)):  # a policy that fails without a change cannot fail because of one
        changes = {}
    corrected = dict(zip(changes, holm([change.p_value for change in changes.values()]), strict=True))
    return tuple(
        Told(
            factor, swaps.get(factor), effects.get(factor), changes.get(factor), corrected.get(factor, 1.0),
            {name: found[factor] for name, found in inside.items() if factor in found},
        )
        for factor in dict.fromkeys([*swaps, *effects, *changes])
    )  # fmt: skip


def _by_factor(result: Findings | None) -> dict[str, Finding]:
    return {one.subject.rpartition(", ")[2]: one for one in result.found} if result else {}


def _ordinary(answers: Mapping[str, Any]) -> tuple[int, int] | None:
    """Returns successes and episodes on its training objects under the usual look; None where nobody knows."""
    measured: SensitivityResult | None = answers.get("sensitivity")
    played: ChangedSuccess | None = answers.get("success")
    if measured and measured.training:
        return measured.training
    return (played.training.k, played.training.n) if played and played.training else None


def _fails(tried: tuple[int, int] | None) -> bool:
    return tried is not None and tried[0] < CAPABLE_FROM * tried[1]


def policy_card(asked: Asked, answers: Mapping[str, Any]) -> Card | None:
    """Makes the card of a policy from the results of its measures, by name; None where none says what moves it.

    Args:
        asked: which policy, and on what.
        answers: "counterfactual", "sensitivity", "success", "named", "rule", "patching", "probes", "steer", those that
            were taken.
    """
    told = read_answers(answers)
    if not told:
        return None
    swapped: Findings | None = answers.get("counterfactual")
    able = (swapped and swapped.training) or _ordinary(answers)  # the first under the looks of its data, if named
    said = tuple(_instructed(answers.get("named")))
    if able is None or _fails(able):
        return dataclasses.replace(_silent(asked, able), beside=said)
    ranked = sorted(told, key=_rank)
    word = ranked[0].word
    if word == NOTHING and all(math.isnan(one.swap.value.value) for one in told if one.swap) and not any(
        one.effect for one in told
    ):
        word = UNKNOWN
    first = ranked[0] if word not in (NOTHING, UNKNOWN) else None
    named = [one for one in ranked if one.word == word] if first else []
    agree, disagree, unknown = (_nothing(told) if word == NOTHING else ([], [], []))
    outside: Findings | None = answers.get("rule")
    beside = [*said, *(f"rule, {name}: {_why(one)}" for name, one in _by_factor(outside).items())]
    for one in named[:MOST]:
        for side, line in _evidence(one):
            {"+": agree, "-": disagree, "=": beside, "?": unknown}[side].append(line)
    if rest := named[MOST:]:
        unknown.append(f"evidence on {listed([called(one.factor) for one in rest])}: in the measures' figures")
    agree.append(f"it can do its task: {able[0]} of {able[1]} episodes as in training succeed")
    measured = answers.get("sensitivity")
    value, unit, null = first.strength if first else (NEVER, "", math.nan)
    return Card(
        kind="policy", subject=asked.policy, cue=first.factor if first and word in (SHORTCUT, SIDE) else "",
        verdict=_verdict(word, named, [one for one in ranked if one not in named], told), strength=value, unit=unit,
        null=null, agree=tuple(agree), disagree=tuple(disagree), beside=tuple(beside),
        unknown=(*unknown, *_near(able), *_limits(asked, answers, told, word)),
        advice=tuple(_advice(asked, word, first, measured.pooling if measured else "")), error_rate=error_rate(word),
        table=tuple(one.figures() for one in told), word=word,
    )  # fmt: skip


def _rank(told: Told) -> tuple[float, ...]:
    """Orders factors: the strongest kind of verdict first, and of one kind the one that moves it furthest."""
    kinds = (SHORTCUT, SIDE, MOVED, NOTHING)
    ratio = told.effect.ratio.value if told.effect else 0.0
    return (kinds.index(told.word), -abs(told.line["response_cm"]) if told.line.get("named") else 0.0, -ratio)


def error_rate(word: str) -> Estimate | None:
    """Returns which part of cards with such a verdict the exam found wrong; None while that has not been measured."""
    if not EXAM.is_file() or word not in (counted := read_json(EXAM)):
        return None
    wrong, cards = counted[word]["wrong"], counted[word]["cards"]
    return Estimate(wrong / cards, *wilson(wrong, cards), cards) if cards else None


# ---------------------------------------------------------------- verdicts


def _silent(asked: Asked, able: tuple[int, int] | None) -> Card:
    """Returns the card of a policy of which nothing can be said."""
    if able:
        word, tried = INCAPABLE, f"it succeeds in {able[0]} of {able[1]} episodes as in training"
        verdict = f"Incapable: {tried}. What moves a policy that cannot do its task is no shortcut: nothing is said."
        advice = ["train it longer, or on more demonstrations, and ask again (docs/training.md)"]
        if not asked.trained_on:
            advice.append(
                "if it was trained under other looks than the ordinary one, name its data: success is then measured "
                f"under theirs\n{_again(asked, '--trained-on DATA')}"
            )
    else:
        word, verdict = UNKNOWN, "Nothing is said: whether it can do its task at all is not known."
        more = "" if asked.trials else "--trials 20"
        known = "--training-set toys:train" if not asked.training_set and not asked.trained_on else ""
        advice = [f"say what it was trained on, and have it tried\n{_again(asked, known, more)}"]
    return Card(
        kind="policy", subject=asked.policy, cue="", verdict=verdict, strength=NEVER, unit="", null=math.nan,
        unknown=(*(_near(able) if able else ()), "what moves it: the measures' figures have no labels", *_exam(word)),
        advice=tuple(advice), error_rate=error_rate(word), word=word,
    )  # fmt: skip


def _verdict(word: str, named: Sequence[Told], others: Sequence[Told], told: Sequence[Told]) -> str:
    """Returns a card's verdict.

    Args:
        word: its kind.
        named: factors of that kind, the strongest first.
        others: the others, likewise.
        told: all of them.
    """
    if word == UNKNOWN:
        return f"Nothing can be said: {'; '.join(dict.fromkeys(_why(one.swap) for one in told if one.swap))}."
    if word == NOTHING:
        many = listed([called(one.factor) for one in told], 8)
        return f"Nothing was found; that is no proof of absence. Looked at: {many}."
    first, *more = named
    what = called(first.factor)
    company = f" So it does with {listed([called(one.factor) for one in more])}." if more else ""
    if word == SHORTCUT:
        part = f"{100 * first.line['beta']:.0f} % of the way to where the data had the target under the other"
        whole = "" if first.line["beta high"] >= 1 else ", in part"
        does = "takes" if first.line["beta"] >= WHOLLY else "leans on"
        said = f"It {does} {what} for the target's place{whole}: swapped in the same state, it goes {part}."
    elif word == SIDE:
        why = first.line["why unknown"]
        told_by = f"whether training taught it is not known ({why})"
        said = f"It goes to one side with {what}, by {first.line['response_cm']:.1f} cm; {told_by}."
    else:
        many = listed([called(one.factor) for one in named], 6)
        return f"Sensitive to {many}; no shortcut is shown."
    weaker = [called(one.factor) for one in others if one.word in (SIDE, MOVED)]
    return said + company + (f" It is sensitive to {listed(weaker, 6)}, too." if weaker else "")


def _nothing(told: Sequence[Told]) -> tuple[list[str], list[str], list[str]]:
    """Returns what speaks for, against and neither way where no factor is named."""
    agree: list[str] = []
    disagree: list[str] = []
    unknown: list[str] = []
    if swapped := [one for one in told if one.line]:
        for little, words in ((False, "is shown to send it to one side"), (True, f"sends it {LEAST:g} cm or more")):
            some = [one for one in swapped if (one.line["p (Holm)"] <= ALPHA) == little]
            sizes = [f"{one.factor} {one.line['response_cm']:+.1f} cm (p {one.line['p (Holm)']:.2g})" for one in some]
            agree += [f"swapped in the same state, none {words}: {listed(sizes, 8)}"] if some else []
    if robust := [one.factor for one in told if one.effect and one.effect.label == ROBUST]:
        agree.append(f"its actions hardly move with {listed(map(called, robust), 6)} (robust)")
    if restless := [one for one in swapped if math.hypot(one.line["rest_cm"], one.line["response_cm"]) >= LEAST]:
        sizes = [f"{one.factor} {one.line['rest_cm']:.1f} cm" for one in restless]
        disagree.append(f"its actions do move either way: {listed(sizes, 8)}")
    for side, lines in (("+", disagree), ("-", agree), ("?", unknown)):
        if moved := [one for one in told if one.change and _side(one.change) == side]:
            sizes = [f"{one.factor} {_points(one.change)}" for one in moved if one.change]
            lines.append(f"success, changed minus unchanged from the same starts, {SAID[side]}: {listed(sizes, 8)}")
    if loose := [one.factor for one in told if one.effect and one.effect.label not in (ROBUST, SENSITIVE)]:
        unknown.append(f"whether it is robust to {listed(map(called, loose), 6)}: not shown")
    return agree, disagree, unknown


# ---------------------------------------------------------------- evidence


def _evidence(told: Told) -> Iterator[tuple[str, str]]:
    """Yields what measures say of a factor that is named: "+" for it, "-" against it or bounding it, "=" beside it, "?"
    what they cannot tell.
    """
    line, what = told.line, called(told.factor)
    if told.swap is None:
        yield "?", f"which way its actions go with {what}: counterfactual was not taken"
    elif not line:
        yield "?", f"which way its actions go with {what}: {_why(told.swap)}"
    else:
        yield from _swapped(told)
    if told.effect and told.effect.label:
        ratio, label = told.effect.ratio, told.effect.label
        much = f"{ratio.value:.1f} cm {interval(ratio.low, ratio.high, 1)} of the target's way"
        side = {SENSITIVE: "+", ROBUST: "-"}.get(label, "?")
        yield side, f"sensitivity: {what} moves its actions as much as {much} ({label})"
    yield from _success(told)
    yield from _inside(told)


def _swapped(told: Told) -> Iterator[tuple[str, str]]:
    line, what, found = told.line, called(told.factor), told.swap
    assert found is not None, "it has a line"
    swap = f"{line['from']:g} -> {line['to']:g}"
    size = f"{line['response_cm']:+.1f} cm {interval(line['low'], line['high'], 1)} of the target's place"
    chance = f"p {line['p (Holm)']:.2g} where signs of whole objects are dealt out"
    if not line["named"]:
        shows = f"moves it by less than {LEAST:g} cm" if line["p (Holm)"] <= ALPHA else "shows no side"
        yield "-", f"counterfactual: {told.factor} {swap} in the same state {shows}: {size}, {chance}"
        return
    known = line["direction"] == "known"
    if known:
        whose = "the expert's" if line["along"] == "expert" else "its own"
        beta = f"beta {line['beta']:.2f} {interval(line['beta low'], line['beta high'])} of {whose} way there"
        yield "+", f"counterfactual: {told.factor} {swap} in the same state moves it by {size} ({beta}), {chance}"
    else:
        toward = f"towards x {line['x']:+.1f}, y {line['y']:+.1f}"
        yield "+", f"counterfactual: {told.factor} {swap} in the same state is worth {size}, {toward}, {chance}"
    if known and line["response_cm"] < 0:
        yield "-", f"it goes away from the place that the data tie {what} to: no shortcut on it"
    if known and line["response_cm"] > 0 and line["beta high"] < 1:
        yield "-", f"{100 * (1 - line['beta']):.0f} % of the way there is not taken at a look"
    if not known and line["why unknown"].startswith((SAME, TIED_TO_NONE)):
        yield "-", f"training cannot have taught {what} as a place: {line['why unknown']}"
    side, share = "+" if line["consistent share"] >= 0.5 else "-", percent(line["consistent share"])
    yield side, f"counterfactual, {what}: {share} of the squared responses is the same everywhere, the rest either way"
    if line["along place"] < 0.5:
        part = percent(line["along place"])
        yield "-", f"counterfactual, {what}: {part} of the change of its actions could be a change of place, not more"
    yield from (("?", f"counterfactual, {what}: {note}") for note in found.caveats if " are the units" in note)


def _success(told: Told) -> Iterator[tuple[str, str]]:
    """Yields what success says of a factor: whether it changes with it."""
    if told.change is None:
        return
    side = _side(told.change)
    what = f"success with {called(told.factor)} changed, from the same starts, {SAID[side]}"
    yield side, f"{what}: {_points(told.change)} in {told.change.n} episodes"


def _side(change: PairedDifference) -> str:
    """Returns whether a change of success speaks for an effect, against one, or neither way."""
    said = check_label("", change.difference)
    return "?" if said.startswith("too few") else "-" if said.endswith("holds") else "+"


def _points(change: PairedDifference) -> str:
    d = change.difference
    return f"{100 * d.value:+.0f} points {interval(100 * d.low, 100 * d.high, 0)}"


def _inside(told: Told) -> Iterator[tuple[str, str]]:
    """Yields what measures inside the network say: where a change comes in, or that nothing moves in there.

    Where actions move with a factor, some path must carry it, so that one does is no evidence of a shortcut.
    """
    for name, found in told.inside.items():
        if found.card:
            yield "=", f"{name}: {found.card}"
        elif name == "patching" and "nothing to carry" in found.verdict:
            yield "-", f"{name}: {_why(found)}"
        elif name != "probes":  # those that are not admitted say nothing
            yield "?", f"{name}: {_why(found)}"


def _why(found: Finding) -> str:
    return found.verdict.removeprefix("undefined: ")


def _instructed(result: Findings | None) -> Iterator[str]:
    """Yields what is known of whether it heeds its instruction; it is of the policy, not of a factor."""
    for one in result.found if result else ():
        yield f"instruction: {one.card or _why(one)}"


# ---------------------------------------------------------------- limits and advice


def _limits(asked: Asked, answers: Mapping[str, Any], told: Sequence[Told], word: str) -> Iterator[str]:
    """Yields what a card cannot tell, and why."""
    if not asked.trained_on:
        yield "what training taught: without its data (--trained-on) no factor can be called a shortcut"
    elif untold := [one for one in told if one.line.get("direction") == "unknown"]:
        reasons: dict[str, list[str]] = {}
        for one in untold:
            reasons.setdefault(str(one.line["why unknown"]), []).append(one.factor)
        for why, factors in reasons.items():
            some = listed(factors, 8)
            if why == SAME:
                yield f"what {some} would teach if varied in training: the same in all episodes, so no cue there"
            else:
                yield f"a shortcut on {some} is neither shown nor ruled out: {why}"
    lost: dict[str, list[str]] = {}
    for one in told:
        if one.swap and not one.line and one.word != word:
            lost.setdefault(_why(one.swap), []).append(one.factor)
    yield from (f"which way its actions go with {listed(factors, 8)}: {why}" for why, factors in lost.items())
    if (tried := _ordinary(answers)) and _fails(tried):
        k, n = tried
        yield f"labels and changes of success: of its training objects with nothing changed it lifts {k} of {n}"
    if begun := next((note for one in told if one.swap for note in one.swap.caveats if BEGUN in note), None):
        yield f"what it does under the other looks of its data: {begun}"
    far = is_remote(asked.policy)
    if far:
        yield "what is inside its network: it only tells its actions (patching, probes and steer are not taken)"
    looked = [answers[name].found[0] for name in INSIDE if name in answers]
    whole = [one for one in looked if one.subject == asked.policy and math.isnan(one.value.value)]
    yield from dict.fromkeys(f"what is inside its network: {_why(one)}" for one in whole)  # of a bundle, say
    if left := [name for name in ("counterfactual", "sensitivity", *(() if far else INSIDE)) if name not in answers]:
        yield f"what was not measured: {', '.join(left)}"
    yield "cues on values that were not shown, on another robot, and on what cannot be seen"
    yield from _exam(word)


def _near(able: tuple[int, int]) -> tuple[str, ...]:
    """Says so where too few episodes were played to tell whether a policy can do its task."""
    low, high = wilson(*able)
    if not low < CAPABLE_FROM < high:
        return ()
    span = f"{able[0]} of {able[1]} episodes leave {percent(low)} to {percent(high)}"
    return (f"on which side of {percent(CAPABLE_FROM)}, where verdicts begin, its success lies: {span}; more --trials",)


def _exam(word: str) -> tuple[str, ...]:
    told = "no exam has measured it"
    return () if error_rate(word) is not None else (f"how often such a verdict is wrong: {told}",)


def _again(asked: Asked, *more: str) -> str:
    data = " ".join(shlex.quote(str(path)) for path in asked.trained_on)
    given = ["--trained-on", data] if data else []
    given += [f"--training-set {shlex.quote(asked.training_set)}"] if asked.training_set else []
    given += [f"--objects {shlex.quote(asked.objects)}"] if asked.objects != "toys:test" else []  # what is taken else
    return " ".join(["toyshift diagnose --policy", shlex.quote(asked.policy), *given, *filter(None, more)])


def _advice(asked: Asked, word: str, first: Told | None, pooling: str) -> Iterator[str]:
    """Yields what to do, with the commands that do it."""
    if word in (NOTHING, UNKNOWN) or first is None:
        data = "" if asked.trained_on else "--trained-on DATA"
        more = f"--scenes {max(80, 2 * asked.scenes)} --trials {max(50, 2 * asked.trials)}"
        yield f"look harder where it matters\n{_again(asked, data, more)}"
        return
    if word == SIDE and not asked.trained_on:
        yield f"ask its data, which alone know whether training taught it\n{_again(asked, '--trained-on DATA')}"
    what = called(first.factor)
    yield from _episodes(asked, first.factor)
    yield from _repairs(asked, first.factor, what)
    if pooling and POOLED not in pooling and first.factor != "object_colour":
        command = "toyshift train --data DATA --pooling detpool --out runs/detpool"
        yield f"train with detection pooling, which reads the image at the target alone (it needs its mask)\n{command}"
    yield f"then diagnose what was trained on it: only a policy shows whether {what} has lost its hold"


def _episodes(asked: Asked, factor: str) -> Iterator[str]:
    """Yields how it is counted where whole episodes go: a small part of the way at every look may end at the cue."""
    from toyshift.data.collecting.fragment_folder import is_fragmented, read_plan

    folder = next((path for path in asked.trained_on if is_fragmented(path)), None)
    if folder is None:
        return
    design = read_plan(folder)[0]
    if design.factor == factor and design.correlation > 0:
        told = "count how many whole episodes go to the cue's place first: a look is one step"
        places = f"{shlex.quote(asked.policy)} --swapped {shlex.quote(str(folder))}"
        yield f"{told}\ntoyshift evaluate --policy {places} --reach 0.06 --trials 50"


def _repairs(asked: Asked, factor: str, what: str) -> Iterator[str]:
    """Yields how data are made in which a factor tells nothing of the place."""
    from toyshift.data.collecting.fragment_folder import is_fragmented, read_plan
    from toyshift.envs.shifts import FACTORS

    folder = next(iter(asked.trained_on), None)
    data = shlex.quote(str(folder)) if folder else "DATA"
    if factor == OTHERS:
        command = "toyshift collect --objects toys:train --shift distractors=3 --out runs/among-others"
        yield f"collect demonstrations among other objects as well, and train on both\n{command}"
        return
    if factor == ROBOT_COLOUR:
        command = "toyshift collect --objects toys:train --shift robot-colour=5 --out runs/other-colours"
        yield f"collect demonstrations with the robot in other colours as well, and train on both\n{command}"
        return
    if factor not in FACTORS:
        return
    again = "collect anew"
    if folder and is_fragmented(folder):
        design = read_plan(folder)[0]
        same = f" --diversity {design.diversity:g} --disparity {design.disparity:g}" if design.factor == factor else ""
        command = f"toyshift augment cue {data} {data}-clean --factor {factor}{same} --correlation 0"
        yield f"render the same episodes with {what} drawn alike wherever the target lies, and train on them\n{command}"
        again = "or collect anew"
    elif factor == "azimuth":
        command = f"toyshift augment viewpoint {data} {data}-views --azimuth -30 30"
        again = "or collect anew"
        yield f"render the same episodes from other viewpoints, and train on them\n{command}"
    dials = f"--factor {factor} --diversity 2 --disparity 0 --correlation 0"
    command = f"toyshift data fragment --m 2 {dials} --episodes 200 --out runs/independent"
    yield f"{again}, with {what} drawn alike wherever the target lies\n{command}"


# ---------------------------------------------------------------- planted truths


def card_truths() -> list[Truth]:
    """Scripted policies: takes the table for the place, goes to a side, is only jolted, does none of these."""
    from toyshift.core.truths import Truth
    from toyshift.diagnostics.measures import Asked
    from toyshift.diagnostics.measuring import planted
    from toyshift.diagnostics.measuring.counterfactual import Swaps, counterfactual
    from toyshift.diagnostics.measuring.implied import Implied

    told = Implied("table", (0, 3), ((0.0, -0.05), (0.0, 0.05)), 100, 1.0, 0.01)
    data = Path("DATA")

    def word(known: bool, able: tuple[int, int] = (20, 20), seed: int = 0, **script: Any) -> str:
        swaps = Swaps({"light": (0.5,)}, {"table": told}) if known else Swaps({"table": (3,), "light": (0.5,)})
        policy = planted.scripted(slope=10 / 3, seed=seed, **script)
        found = counterfactual(planted.looked_at(policy, swaps, looks=1, seed=seed), swaps, training=able)
        asked = Asked(
            policy="scripted", trained_on=(data,) if known else (), objects="planted", scenes=40, looks=1, trials=20,
            camera="", seed=seed, out=data,
        )  # fmt: skip
        card = policy_card(asked, {"counterfactual": found})
        return card.word if card else ""

    jolted = [word(True, jolt=3.0, seed=seed) == SHORTCUT for seed in range(20)]
    return [
        Truth("takes the table for half of the place: a shortcut", 1.0, float(word(True, rho=0.5) == SHORTCUT), 0.0),
        Truth("the same without data: one side", 1.0, float(word(False, rho=0.5) == SIDE), 0.0),
        Truth("the same in 4 of 20 episodes: incapable", 1.0, float(word(True, (4, 20), rho=0.5) == INCAPABLE), 0.0),
        Truth("follows the target alone: nothing found", 1.0, float(word(True) == NOTHING), 0.0),
        Truth("jolted to no side: at most 5 % shortcuts", 0.0, max(0.0, sum(jolted) / len(jolted) - 0.05), 0.1),
    ]
