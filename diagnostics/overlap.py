"""What a test shares with a policy's training: objects that it was trained on, and starts of its demonstrations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from toyshift.core.seeds import object_of_episode
from toyshift.diagnostics.evaluation import EvaluateConfig
from toyshift.diagnostics.seen import seen_objects
from toyshift.policies.provenance import trained_on


@dataclasses.dataclass(frozen=True)
class Overlap:
    """What is shared; nothing, in a zero-shot test.

    Attributes:
        policy, object_set, purpose: of the test.
        tested: objects that the test meets.
        objects: those among them that the policy was trained on, by id.
        trials: episodes of the test.
        unclear: those of which it is not known, see `seen.Seen`.
        starts: those among them that begin as a demonstration did: same purpose, root seed and episode.
    """

    policy: str
    object_set: str
    purpose: str
    tested: int
    objects: int
    trials: int
    starts: int
    unclear: int = 0

    def __bool__(self) -> bool:
        return bool(self.objects or self.starts or self.unclear)

    def __str__(self) -> str:
        told = []
        if self.objects:
            told.append(f"trained on {self.objects} of the {self.tested} objects of {self.object_set} that are tested")
        if self.starts:
            told.append(f"shown the very starts of {self.starts} of the {self.trials} episodes ({self.purpose}'s)")
        if not told:
            perhaps = f"{self.unclear} of the {self.tested} objects of {self.object_set} that are tested"
            return f"{self.policy} was perhaps trained on {perhaps}: what follows is not known to be zero-shot success"
        return f"{self.policy} was {' and '.join(told)}: what follows is no zero-shot success"

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def overlap(config: EvaluateConfig, ids: Sequence[str]) -> Overlap | None:
    """Returns what an evaluation shares with its policy's training; None where nobody knows what it was trained on.

    Args:
        config: of the evaluation.
        ids: of the object set's objects.
    """
    known = trained_on(config.policy)
    if known is None:
        return None
    tested = {object_of_episode(ids, config.seed, episode)[0] for episode in range(config.trials)}
    seen = seen_objects(config.policy, config.objects, tested)
    shown = {
        episode
        for one in known for purpose, seed, first, last in one["starts"]
        if (purpose, seed) == (config.purpose, config.seed)
        for episode in range(first, min(last + 1, config.trials))
    }
    trained, unclear = (len(seen.trained), len(seen.unclear)) if seen else (0, 0)
    counts = len(tested), trained, config.trials, len(shown), unclear
    return Overlap(config.name or config.policy, config.objects, config.purpose, *counts)
