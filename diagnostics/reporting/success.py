"""What the report says of success: the big numbers, who was trained on what, and what must be known to read it."""

from __future__ import annotations

from toyshift.diagnostics.reporting.data import Headline, ReportData
from toyshift.diagnostics.reporting.formatting import percent, points, span
from toyshift.diagnostics.reporting.names import REFERENCES, Names, inside
from toyshift.diagnostics.reporting.wording import corrected, repaired
from toyshift.diagnostics.retention import FLAG, SAYS_NOTHING, retentions
from toyshift.diagnostics.seen import ON_THESE, ZERO_SHOT
from toyshift.diagnostics.summaries import Summary
from toyshift.policies.parts import sees_mask


def tested(data: ReportData, object_set: str) -> list[Summary]:
    """Returns the success of the trained policies on a set, in the order in which they were asked for."""
    order = list(dict.fromkeys(s.policy for s in data.success))
    mine = (s for s in data.success if s.object_set == object_set and s.policy not in REFERENCES)
    return sorted(mine, key=lambda s: order.index(s.policy))


def sets_in_order(data: ReportData) -> list[str]:
    """Returns the object sets, those that the first policy was trained on last."""

    def trained(object_set: str) -> bool:
        return any(data.label(s) == ON_THESE for s in tested(data, object_set)[:1])

    return sorted(dict.fromkeys(s.object_set for s in data.success), key=trained)


def labels(data: ReportData, names: Names) -> dict[str, list[tuple[str, str]]]:
    """Returns object set -> what is known of its objects, each with the policies of which it is; "" is nothing."""
    found: dict[str, list[tuple[str, str]]] = {}
    for object_set in sets_in_order(data):
        by_label: dict[str, list[str]] = {}
        for s in tested(data, object_set):
            by_label.setdefault(data.label(s), []).append(inside(names.policy(s.policy)))
        found[object_set] = [(label, ", ".join(who)) for label, who in by_label.items()]
    return found


def seen_by(data: ReportData, names: Names, object_set: str, object_id: str) -> str:
    """Says who was trained on an object, in sets of which policies were trained on some objects."""
    met = tested(data, object_set)
    seen = {s.policy: data.seen[s.policy, object_set] for s in met if (s.policy, object_set) in data.seen}
    who = [policy for policy, found in seen.items() if object_id in found.trained]
    if not who or {data.label(s) for s in met} <= {ON_THESE, ZERO_SHOT, ""}:
        return ""
    of_whom = "" if len(who) == len(met) else f" of {', '.join(inside(names.policy(policy)) for policy in who)}"
    return f"in the training{of_whom}"


def derive_headlines(data: ReportData) -> list[Headline]:
    """Returns big numbers from the results: the first policy on each set, the first line of the first repair.

    The first that was asked for, not the best, also where it is undertrained: choosing by outcome would flatter, and
    the others stand beside it. Of a repair, put the condition that it was made for first.
    """
    names, out = Names(data), []
    for object_set in sets_in_order(data):
        if not (mine := tested(data, object_set)):
            continue
        first, *others = mine
        label = data.label(first)
        kind = f"of {inside(names.set(object_set))} lifted{label and ', ' + label}"
        detail = f"{names.policy(first.policy)}, {first.k} of {first.n}, 95\u00a0% interval {span(first.clustered)}"
        beside = [f"{names.policy(s.policy)} {percent(s.rate)} of {s.n} ({span(s.clustered)})" for s in others]
        out.append(Headline(percent(first.rate), kind, "; ".join([detail, *beside])))
    out = out[:3]
    for repair in data.repair[:1]:
        for line in repair.lines[:1]:
            d = line.difference.difference
            against = f"{line.title}, against {repair.control}"
            worth, _ = repaired(line.difference, corrected(data.repair)[id(line)])
            detail = f"{against}; 95\u00a0% interval {points(d.low)} to {points(d.high)}: {worth}"
            out.append(Headline(points(d.value), f"points from {inside(repair.title)}", detail))
    return out


def notes(data: ReportData, names: Names) -> list[str]:
    """Returns what must be known to read the table: who is given masks, what retention is, who is flagged."""
    masked = {s.policy for s in data.success if sees_mask(s.pooling) and "[masks " not in s.policy}
    told = [inside(names.policy(name)) for name in dict.fromkeys(s.policy for s in data.success) if name in masked]
    found = []
    if told:
        found.append(
            f"Given the target's mask by the simulator, in every image and at test time too: {'; '.join(told)}. "
            "The other trained policies see images only."
        )
    if retentions(data.success, data.trained_on):
        found.append(
            "Retention: success on the set over success on the training toys, with a 95\u00a0% interval for new "
            "objects and new toys. It keeps learning and transfer apart; the oracle's says how much harder the set is."
        )
    if names.undertrained:
        found.append(f"{FLAG.capitalize()}: {SAYS_NOTHING}.")
    return found
