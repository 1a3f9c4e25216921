"""What every result file is read into: sides, each one policy's episodes."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.seen import Seen


@dataclasses.dataclass(frozen=True)
class Trial:
    """One episode.

    Attributes:
        group: what is compared apart from others: an object set, a suite of tasks, a benchmark.
        item: the object, or the task, that other episodes share; "" where the file does not say.
        start: what fixes its start, whatever the policy; None where the file does not say.
        success: whether it succeeded.
        failure: why not, in the file's words; "" where it does not say.
        shift: distance from the training distribution, as "factor=level"; "" for none.
        base: `start` without the shift: what an episode shares with the one that begins alike and has none.
        number: which of its item's episodes it is, where the file says so; it is no start without a seed.
    """

    group: str
    item: str
    start: Hashable | None
    success: bool
    failure: str = ""
    shift: str = ""
    base: Hashable | None = None
    number: Hashable | None = None

    @property
    def cluster(self) -> tuple[str, str]:
        """What makes episodes alike."""
        return self.group, self.item


@dataclasses.dataclass(frozen=True)
class Side:
    """One policy, as a file shows it.

    Attributes:
        name: what it is called.
        origin: format of its file, in words.
        episodes: what it played; each start once.
        starts: how the file tells starts, or that it does not, in words.
        notes: what was left out or assumed, for people.
        terms: group -> what else than starts two sides must share to be paired, in words, as far as the file says it.
        seen: group -> which of its objects the policy was trained on, where it is known.
        trained_on: object sets of its demonstrations; none where the file does not say.
    """

    name: str
    origin: str
    episodes: tuple[Trial, ...]
    starts: str
    notes: tuple[str, ...] = ()
    terms: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    seen: Mapping[str, Seen] = dataclasses.field(default_factory=dict)
    trained_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.episodes:
            raise ConfigError(f"{self.name} ({self.origin}) has no episode")
        told = [e for e in self.episodes if e.start is not None or e.number is not None]
        if doubled := twice([(*e.cluster, e.number) if e.start is None else e.start for e in told]):
            example = " ".join(map(str, doubled[0])) if isinstance(doubled[0], tuple) else str(doubled[0])
            raise ConfigError(
                f"{self.name} ({self.origin}) has {len(doubled)} of its episodes more than once, e.g. {example}; give "
                f"one evaluation of one policy, and each of its files once"
            )


def twice(keys: Sequence[Hashable]) -> list[Hashable]:
    """Returns the keys that occur more than once, each once."""
    seen: dict[Hashable, int] = {}
    for key in keys:
        seen[key] = seen.get(key, 0) + 1
    return [key for key, count in seen.items() if count > 1]
