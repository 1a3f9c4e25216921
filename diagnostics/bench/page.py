"""A page of many results of one benchmark: tables to sort and filter, and who is better than whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.bench.result_file import BenchResult
from toyshift.diagnostics.bench.score_card import ScoreCard, score
from toyshift.diagnostics.comparing.evaluation_rows import sides_of
from toyshift.diagnostics.comparing.versus import NEW, Versus, compare_cells, couples, shared_cells
from toyshift.diagnostics.reporting.numbers import Numbers, TableColumn
from toyshift.diagnostics.reporting.page import page_templates

MARGIN = 0.05  # difference that does not matter, of verdicts


@dataclasses.dataclass(frozen=True)
class PagePart:
    """One chapter: a table and what it answers."""

    name: str
    link: str
    title: str
    asked: str
    read: str
    numbers: Numbers


def bench_page(results: Sequence[BenchResult]) -> str:
    """Returns the page as a string of HTML.

    Raises:
        ConfigError: no result, results of several benchmarks, or two of one policy's name.
    """
    if not results:
        raise ConfigError("a page needs at least one result; `toyshift bench --policy P` writes one")
    versions = {result.facts.name for result in results}
    if len(versions) > 1:
        raise ConfigError(f"results of {', '.join(sorted(versions))} cannot stand in one table; name those of one")
    files: dict[str, list[str]] = {}
    for result in results:
        files.setdefault(result.facts.policy, []).append(str(result.path))
    for name, alike in files.items():
        if len(alike) > 1:
            told = f"results of several policies called {name}: {', '.join(alike)}"
            raise ConfigError(f"{told}; leave all but one out, or play again with --name")
    first = results[0].version.of_kind("zero-shot")[0].name
    results = sorted(results, key=lambda one: -sum(row.success for row in one.of_part(first)))  # equal ones as given
    cards = [score(result) for result in results]
    parts = [_scores(cards), _words(cards, results), _costs(cards)]
    if len(results) > 1:
        parts.append(_verdicts(pairwise(results)))
    own = results[0].version
    lede = f"{own.episodes:,} episodes a policy, the same starts for all; 95 % intervals for new objects."
    page = page_templates().get_template("bench.html.j2")
    return page.render(title=own.name, lede=lede, parts=parts, notes=_notes(cards, results))


def pairwise(results: Sequence[BenchResult]) -> list[Versus]:
    """Returns every pair of policies on every zero-shot part, by its name, corrected together."""
    asked = {part.objects: part.name for part in results[0].version.of_kind("zero-shot")}
    cells = []
    for name in asked.values():
        sides = [side for result in results for side in sides_of([({}, result.of_part(name))])]
        cells += [(pair, *cell) for pair in couples(sides, all_pairs=True) for cell in shared_cells(pair)]
    return [dataclasses.replace(one, group=asked[one.group]) for one in compare_cells(cells, MARGIN)]


def _scores(cards: Sequence[ScoreCard]) -> PagePart:
    columns = [TableColumn("policy", "text", ("policy",))]
    columns += [TableColumn(name, "rate", _keys(name)) for name in cards[0].success]
    columns += [TableColumn(f"retention, {name}", "ratio", _keys(f"retention {name}")) for name in cards[0].retention]
    columns.append(TableColumn("mean drop", "change", _keys("mean drop")))
    lines = []
    for card in cards:
        line: dict[str, Any] = {
            "policy": card.policy + (" (undertrained)" if card.undertrained else ""),
            **_values("mean drop", card.mean_drop.value, card.mean_drop.low, card.mean_drop.high),
        }  # fmt: skip
        for name, one in card.success.items():
            line |= _values(name, one.rate, *one.clustered)
        for name, kept in card.retention.items():
            line |= _values(f"retention {name}", kept.value, kept.low, kept.high)
        lines.append(line)
    asked = "How much of its success does a policy keep on objects that it has never seen, and under shifts?"
    read = (
        f"In order of success on {list(cards[0].success)[1]}; a click on a heading sorts. Retention is success on new "
        "objects over success on training toys. The mean drop is that of all shifts, in points."
    )
    return PagePart("scores", "Scores", "Scores", asked, read, Numbers("scores", columns, lines))


def _keys(name: str) -> tuple[str, str, str]:
    """Returns what an estimate and its interval are called in the CSV."""
    key = name.replace(" ", "_")
    return key, f"{key}_low", f"{key}_high"


def _values(name: str, *values: float) -> dict[str, float]:
    return dict(zip(_keys(name), values, strict=True))


def _words(cards: Sequence[ScoreCard], results: Sequence[BenchResult]) -> PagePart:
    columns = [
        TableColumn("policy", "text", ("policy",)), TableColumn("sensitive to", "text", ("sensitive",)),
        TableColumn("shortcut", "text", ("shortcut",)), TableColumn("masks", "text", ("masks",)),
        TableColumn("hash", "text", ("hash",)),
    ]  # fmt: skip
    lines = [
        {
            "policy": card.policy, "sensitive": ", ".join(card.sensitive_to) or "nothing that is shown",
            "shortcut": card.shortcut, "masks": result.facts.masks, "hash": card.digest,
        }
        for card, result in zip(cards, results, strict=True)
    ]  # fmt: skip
    asked = "In words: what costs a policy success, and which shortcut did it take?"
    read = "A shortcut is named by the card of a diagnosis only, which needs the training data."
    return PagePart("words", "In words", "In words", asked, read, Numbers("words", columns, lines))


def _costs(cards: Sequence[ScoreCard]) -> PagePart:
    columns = [
        TableColumn("policy", "text", ("policy",)), TableColumn("under", "text", ("under",)),
        TableColumn("success", "percent", ("rate",)), TableColumn("drop", "change", ("drop", "low", "high")),
        TableColumn("p (Holm)", "p", ("p",)), TableColumn("shown", "text", ("shown",)),
    ]  # fmt: skip
    lines = [
        {
            "policy": card.policy, "under": cost.name, "rate": cost.rate, "drop": cost.drop.value, "low": cost.drop.low,
            "high": cost.drop.high, "p": cost.p_holm, "shown": "shown" if cost.shown else "not shown",
        }
        for card in cards
        for cost in card.costs
    ]  # fmt: skip
    asked = "What is each policy sensitive to?"
    read = (
        "A drop is success without the shift minus success under it, on the same starts, in points. "
        "Sensitive is not shortcut."
    )
    return PagePart("shifts", "Shifts", "Under shifts", asked, read, Numbers("shifts", columns, lines))


def _verdicts(found: Sequence[Versus]) -> PagePart:
    columns = [
        TableColumn("policy", "text", ("first",)), TableColumn("against", "text", ("second",)),
        TableColumn("on", "text", ("group",)),
        TableColumn("difference", "change", ("difference", "low", "high")), TableColumn("p (Holm)", "p", ("p",)),
        TableColumn("for new objects", "text", ("verdict",)),
    ]  # fmt: skip
    lines = []
    for one in found:
        new = next(holds for holds in one.holds if holds.of == NEW)
        lines.append({
            "first": one.first, "second": one.second, "group": one.group, "difference": one.difference,
            "low": new.low, "high": new.high, "p": new.p_holm, "verdict": new.words,
        })  # fmt: skip
    asked = "Which policy is better on objects that none of them has seen?"
    read = (
        f"The same starts for both, in points; equivalent means within {100 * MARGIN:g} points. p and the verdicts are "
        "corrected for all lines, intervals are not."
    )
    return PagePart("verdicts", "Verdicts", "One against another", asked, read, Numbers("verdicts", columns, lines))


def _notes(cards: Sequence[ScoreCard], results: Sequence[BenchResult]) -> list[str]:
    notes = []
    if bad := [card.policy for card in cards if card.undertrained]:
        notes.append(f"Undertrained, below 20 % on training toys, so that the rest says nothing: {', '.join(bad)}.")
    for result in results:
        taught = set(result.facts.trained_on)
        if seen := [p.name for p in result.version.of_kind("zero-shot") if p.objects.split("?")[0] in taught]:
            told = f"{result.facts.policy} says that it was trained on {', '.join(sorted(taught))}"
            notes.append(f"{told}: its success on {', '.join(seen)} is not zero-shot.")
    drawn = {result.facts.renderer for result in results}
    if len(drawn) > 1:
        notes.append(f"Images were drawn by {', '.join(sorted(drawn))}: they differ slightly.")
    return notes
