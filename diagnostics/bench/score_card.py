"""The score card of one result: success on training toys and zero-shot, what shifts cost, what it is sensitive to."""

from __future__ import annotations

import dataclasses
from typing import Any

from toyshift.diagnostics.bench.result_file import BenchResult
from toyshift.diagnostics.bench.versions import BenchPart
from toyshift.diagnostics.retention import is_undertrained, retention
from toyshift.diagnostics.rows import Row
from toyshift.diagnostics.statistics import Estimate, holm
from toyshift.diagnostics.summaries import Summary, compare, summarise
from toyshift.diagnostics.tables import render_table

ALPHA = 0.05
NOT_ASKED = "not asked (--trained-on)"


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a shift costs, on the same starts.

    Attributes:
        name: of the part.
        rate: success under it.
        drop: success without it minus success under it, with an interval for new objects.
        p_holm: for no difference, corrected for all shifts of the benchmark.
    """

    name: str
    rate: float
    drop: Estimate
    p_holm: float

    @property
    def shown(self) -> bool:
        """Whether the policy is shown to be sensitive to it."""
        return self.p_holm <= ALPHA


@dataclasses.dataclass(frozen=True)
class ScoreCard:
    """What a result says.

    Attributes:
        policy: its name.
        benchmark: name of the version.
        digest: hash of the result.
        success: part -> summary, of training toys and of zero-shot sets.
        retention: zero-shot part -> its success over that on training toys.
        costs: of the shifts, dearest first.
        mean_drop: over all shifts, with an interval for new objects.
        shortcut: what a card says, or that none was asked for.
        trained_on: object sets that the policy says it was trained on.
    """

    policy: str
    benchmark: str
    digest: str
    success: dict[str, Summary]
    retention: dict[str, Estimate]
    costs: tuple[Cost, ...]
    mean_drop: Estimate
    shortcut: str
    trained_on: tuple[str, ...]

    @property
    def undertrained(self) -> bool:
        """Whether it fails on the training toys, so that its other figures say nothing."""
        return is_undertrained(next(iter(self.success.values())).rate)

    @property
    def sensitive_to(self) -> list[str]:
        return [cost.name for cost in self.costs if cost.shown and cost.drop.value > 0]

    def to_json(self) -> dict[str, Any]:
        return {
            "policy": self.policy, "benchmark": self.benchmark, "hash": self.digest,
            "success": {name: one.to_json() for name, one in self.success.items()},
            "retention": {name: one.to_json() for name, one in self.retention.items()},
            "costs": [
                {"name": c.name, "rate": c.rate, "drop": c.drop.to_json(), "p_holm": c.p_holm} for c in self.costs
            ],
            "mean_drop": self.mean_drop.to_json(), "sensitive_to": self.sensitive_to, "shortcut": self.shortcut,
            "undertrained": self.undertrained, "trained_on": list(self.trained_on),
        }  # fmt: skip


def score(result: BenchResult) -> ScoreCard:
    """Returns the score card of a result."""
    version = result.version
    plain = [*version.of_kind("training"), *version.of_kind("zero-shot")]
    own = {part.name: summarise(result.of_part(part.name))[0] for part in plain}
    training = own[plain[0].name]
    kept = {part.name: retention(own[part.name], training).ratio for part in plain[1:]}
    pairs = {
        part.name: (_alike(_controls(result, part), part.name), _alike(result.of_part(part.name), part.name))
        for part in version.of_kind("shifted")
    }
    found = {name: compare(without, under) for name, (without, under) in pairs.items()}
    p_holm = holm([one.p_value for one in found.values()])
    costs = [
        Cost(name, sum(row.success for row in pairs[name][1]) / len(pairs[name][1]), one.difference, p)
        for (name, one), p in zip(found.items(), p_holm, strict=True)
    ]
    without, under = ([row for pair in pairs.values() for row in pair[i]] for i in (0, 1))
    return ScoreCard(
        result.facts.policy, version.name, result.digest, own, kept,
        tuple(sorted(costs, key=lambda cost: -cost.drop.value)), compare(without, under).difference,
        result.facts.shortcut or NOT_ASKED, result.facts.trained_on,
    )  # fmt: skip


def _controls(result: BenchResult, part: BenchPart) -> list[Row]:
    """Returns the episodes without the shift of a part, from the same starts."""
    plain = next(other for other in result.version.of_kind("zero-shot") if other.objects == part.objects)
    return result.of_part(plain.name)[: part.episodes]


def _alike(rows: list[Row], name: str) -> list[Row]:
    """Returns rows of a part, or of its controls, told apart from those of other parts and not from each other."""
    return [dataclasses.replace(row, shift="", scene="", look=name) for row in rows]


def score_table(card: ScoreCard) -> str:
    """Returns a score card as text for terminals."""
    lines = [
        [name, f"{100 * one.rate:.0f} %", _span(one.clustered), f"{one.k}/{one.n}", _ratio(card.retention.get(name))]
        for name, one in card.success.items()
    ]
    of_success = render_table(["", "success", "95 % new objects", "episodes", "retention"], lines)
    drops = [
        [cost.name, f"{100 * cost.rate:.0f} %", f"{100 * cost.drop.value:+.0f}", _span((cost.drop.low, cost.drop.high)),
         "shown" if cost.shown else ""]
        for cost in card.costs
    ]  # fmt: skip
    of_shifts = render_table(["under", "success", "drop", "95 % new objects", ""], drops)
    mean = f"{100 * card.mean_drop.value:+.0f} ({_span((card.mean_drop.low, card.mean_drop.high))})"
    sensitive = ", ".join(card.sensitive_to) or "nothing that is shown"
    told = [f"mean drop under shifts: {mean} points", f"sensitive to: {sensitive}", f"shortcut: {card.shortcut}"]
    if card.undertrained:
        told.append("undertrained: below 20 % on training toys, so the rest says nothing")
    return "\n".join([f"{card.benchmark}: {card.policy} ({card.digest})", of_success, "", of_shifts, "", *told])


def _span(bounds: tuple[float, float]) -> str:
    return f"{100 * bounds[0]:.0f} to {100 * bounds[1]:.0f}"


def _ratio(found: Estimate | None) -> str:
    return "" if found is None else f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
