"""Cards: what a diagnosis ends in. One verdict in plain words, what speaks for and against it, and what to do."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping
from typing import Any

from toyshift.diagnostics.statistics import Estimate
from toyshift.diagnostics.tables import interval

WIDTH = 120  # of the text for terminals [columns]
LISTS = ("agree", "disagree", "beside", "unknown", "advice", "table")  # fields that are lists in JSON


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """What was found about a policy or about datasets.

    Attributes:
        kind: "policy" or "dataset".
        subject: what it is about: a policy, or datasets and their number of episodes.
        cue: the factor that is named, as factors are called elsewhere; "" where none is.
        verdict: in plain words.
        strength: how strongly, with its 95 % interval; nan where nothing was measured.
        unit: of the strength, in words.
        null: what the strength would be if nothing were there; nan where that is not known.
        agree: lines of evidence for the verdict.
        disagree: lines of evidence against it, or that bound it.
        beside: lines that speak neither for it nor against it, such as where inside a network it comes in.
        unknown: what this card cannot tell, and why.
        advice: what to do, with the commands that do it.
        error_rate: how often the exam's cards with such a verdict are wrong; None where that was not measured.
        table: figures behind it, lines of equal keys.
        word: the kind of verdict in a word or few, of cards of policies.
    """

    kind: str
    subject: str
    cue: str
    verdict: str
    strength: Estimate
    unit: str
    null: float
    agree: tuple[str, ...] = ()
    disagree: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    error_rate: Estimate | None = None
    table: tuple[dict[str, Any], ...] = ()
    word: str = ""

    def to_json(self) -> dict[str, Any]:
        """Returns JSON-able fields; what is undefined is null."""
        null = None if math.isnan(self.null) else self.null
        lists = {name: list(getattr(self, name)) for name in LISTS}
        rate = self.error_rate and self.error_rate.to_json()
        own = {"strength": self.strength.to_json(), "null": null, "error_rate": rate}
        return dataclasses.asdict(self) | lists | own

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Card:
        """Returns the card that `to_json` wrote; what a file says beside it is left aside."""
        lists = {name: tuple(value.get(name, ())) for name in LISTS}  # older files have nothing beside
        null = math.nan if value["null"] is None else float(value["null"])
        told = {field.name: value[field.name] for field in dataclasses.fields(cls) if field.name not in LISTS}
        rate = value["error_rate"] and Estimate.from_json(value["error_rate"])
        own = {"strength": Estimate.from_json(value["strength"]), "null": null, "error_rate": rate}
        return cls(**{**told, **lists, **own})


def card_text(card: Card) -> str:
    """Returns a card as text for terminals."""
    head = f"{card.kind} card: {card.subject}"
    lines = [head, "=" * min(len(head), WIDTH), card.verdict]
    if not math.isnan(card.strength.value):
        null = "" if math.isnan(card.null) else f", by chance {card.null:.2f}"
        found = card.strength
        lines += [f"{card.unit} {found.value:.2f} {interval(found.low, found.high)}{null}"]
    parts = {
        "for it": card.agree, "against it": card.disagree, "beside it": card.beside, "not known": card.unknown,
        "what to do": card.advice,
        "wrong in": ("not measured" if card.error_rate is None else _rate(card.error_rate),),
    }  # fmt: skip
    for title, entries in parts.items():
        lines += [_entry(title if i == 0 else "", entry) for i, entry in enumerate(entries)]
    return "\n".join("\n".join(textwrap.wrap(line, WIDTH)) if i < 3 else line for i, line in enumerate(lines))


def _rate(rate: Estimate) -> str:
    span = interval(100 * rate.low, 100 * rate.high, 0)
    return f"{100 * rate.value:.0f} % {span} of such cards, by the {rate.n} of the exam (docs/exam.md)"


def _entry(title: str, text: str) -> str:
    """Returns an entry behind its title; lines that are indented are commands, and not broken."""
    margin = 12
    first, *commands = text.splitlines()
    shown = textwrap.wrap(first, WIDTH - margin)
    indented = [" " * margin + line for line in [*shown, *commands]]
    return f"{title:<{margin}}" + "\n".join(indented)[margin:]
