"""What of the success on training toys is left on new objects, and which policies have not learnt their own task.

*Retention* is the success on new objects divided by that on training toys, of the same policy. It keeps apart what a
success rate on new objects mixes: how well a policy has learnt its task, and how much of that it carries over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from toyshift.diagnostics.actors import BUILTIN
from toyshift.diagnostics.statistics import Estimate, rate_ratio
from toyshift.diagnostics.summaries import Summary
from toyshift.policies.provenance import trained_on

UNDERTRAINED = 0.2  # success on training toys; a policy below it has not learnt its own task
FLAG = "undertrained"
SAYS_NOTHING = f"below {100 * UNDERTRAINED:.0f} % on the toys it was trained on, which says nothing about new objects"


def is_undertrained(rate: float) -> bool:
    """Says whether a success rate on training toys is so low that the policy's success on others says nothing."""
    return rate < UNDERTRAINED


@dataclasses.dataclass(frozen=True)
class Retention:
    """Success on new objects over success on training toys.

    Attributes:
        policy, object_set, look, shift: of the new objects' summary.
        training_set: the set that was trained on, tested under the same look and shift.
        ratio: with a 95 % interval for new objects and new toys; undefined (nan) with no success on training toys.
    """

    policy: str
    object_set: str
    training_set: str
    ratio: Estimate
    look: str = ""
    shift: str = ""

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"ratio": self.ratio.to_json()}


def retention(new: Summary, training: Summary) -> Retention:
    """Returns a policy's retention from its success on new objects and on those it was trained on."""
    top, bottom = (Estimate(s.rate, *s.clustered, s.objects) for s in (new, training))
    return Retention(new.policy, new.object_set, training.object_set, rate_ratio(top, bottom), new.look, new.shift)


def retentions(summaries: Sequence[Summary], trained_on: Mapping[str, str]) -> list[Retention]:
    """Returns the retention of every policy on every set but its training set, where both were tested.

    Args:
        summaries: of any policies and sets.
        trained_on: policy -> the set that its training toys are tested as.
    """
    training = {(s.policy, s.look, s.shift): s for s in summaries if s.object_set == trained_on.get(s.policy)}
    new = (s for s in summaries if s.object_set != trained_on.get(s.policy))
    return [retention(s, training[key]) for s in new if (key := (s.policy, s.look, s.shift)) in training]


def undertrained(summaries: Sequence[Summary], trained_on: Mapping[str, str]) -> list[str]:
    """Returns the trained policies that fail on their own training toys; arguments as of `retentions`."""
    own = (s for s in summaries if s.object_set == trained_on.get(s.policy) and not s.look and not s.shift)
    return list(dict.fromkeys(s.policy for s in own if s.policy not in BUILTIN and is_undertrained(s.rate)))


def training_sets(policies: Sequence[str], tested: Sequence[str], given: str = "") -> dict[str, str]:
    """Returns policy -> the tested set that it was trained on; "" where none is, or nobody tells.

    Args:
        policies: as `open_actor` takes them. The oracle and the random policy, which were trained on nothing, go with
            the others where those agree.
        tested: object sets.
        given: the one that all were trained on; "" asks the folders.
    """
    found = {policy: given or _set_of_demonstrations(policy, tested) for policy in policies}
    own = {spec for policy, spec in found.items() if policy not in BUILTIN}
    common = own.pop() if len(own) == 1 else ""
    return {policy: given or common if policy in BUILTIN else spec for policy, spec in found.items()}


def _set_of_demonstrations(policy: str, tested: Sequence[str]) -> str:
    """Returns the first of the tested sets that a policy was trained on."""
    played = {name for one in trained_on(policy) or () for name in one["object_sets"]}
    return next((spec for spec in tested if spec in played), "")
