"""Which episode of one side belongs to which of the other: shared starts, or the reason why there are none."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable, Hashable, Sequence

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.comparing.trials import Side, Trial


@dataclasses.dataclass(frozen=True)
class Matched:
    """Episodes of two sides that are compared.

    Attributes:
        first, second: the episodes; where `paired`, the i-th of both have one start.
        paired: whether starts are shared.
        why: what makes them paired or not, in words.
    """

    first: tuple[Trial, ...]
    second: tuple[Trial, ...]
    paired: bool
    why: str

    def only(self, wanted: Callable[[Trial], bool]) -> Matched:
        """Returns the part with the episodes that are wanted; a start is wanted by what the first side says of it."""
        if self.paired:
            kept = [(a, b) for a, b in zip(self.first, self.second, strict=True) if wanted(a)]
            return dataclasses.replace(self, first=tuple(a for a, _ in kept), second=tuple(b for _, b in kept))
        return Matched(tuple(filter(wanted, self.first)), tuple(filter(wanted, self.second)), self.paired, self.why)


def match(
    sides: tuple[Side, Side], episodes: tuple[Sequence[Trial], Sequence[Trial]], pairing: str = "auto"
) -> Matched:
    """Pairs episodes of two sides where their starts are shared.

    Args:
        sides: whose they are.
        episodes: of each side, those that are compared.
        pairing: auto (starts that files tell), paired (where a file tells none, the i-th episodes of an object count
            as one start) or unpaired.

    Raises:
        ConfigError: they are to be paired, and share nothing, or were played on other terms.
    """
    if pairing == "unpaired":
        return _apart(episodes, "as asked for")
    if unlike := _unlike(sides, episodes):
        if pairing == "paired":
            raise ConfigError(f"{sides[0].name} and {sides[1].name} cannot be paired: {unlike}")
        return _apart(episodes, unlike)
    silent = [side for side, own in zip(sides, episodes, strict=True) if any(e.start is None for e in own)]
    if silent and pairing == "auto":
        if len({side.starts for side in silent}) == 1:
            return _apart(episodes, f"{' and '.join(side.name for side in silent)}: {silent[0].starts}")
        return _apart(episodes, "; ".join(f"{side.name}: {side.starts}" for side in silent))
    keyed = [_numbered(own) if silent else {e.start: e for e in own} for own in episodes]
    shared = [key for key in keyed[0] if key in keyed[1]]
    if not shared and pairing == "paired":
        raise ConfigError(f"{sides[0].name} and {sides[1].name} share no start, so they cannot be paired")
    if not shared:
        return _apart(episodes, "no start is shared")
    why = "equal episode numbers of an object, as asked for" if silent else sides[0].starts
    alone = [len(own) - len(shared) for own in keyed]
    if any(alone):
        why += f"; without a match, and left out: {alone[0]} and {alone[1]} episodes"
    first, second = (tuple(own[key] for key in shared) for own in keyed)
    return Matched(first, second, True, why)


def _unlike(sides: tuple[Side, Side], episodes: tuple[Sequence[Trial], Sequence[Trial]]) -> str:
    """Says by what one start is not the same for both sides, as far as both files tell; "" for nothing."""
    groups = [dict.fromkeys(e.group for e in own) for own in episodes]
    found: dict[str, None] = {}
    for group in (group for group in groups[0] if group in groups[1]):
        one, other = (side.terms.get(group, {}) for side in sides)
        found |= {f"{k} {one[k]} and {other[k]}": None for k in one if k in other and one[k] != other[k]}
    return f"they were played with {', '.join(found)}" if found else ""


def _apart(episodes: tuple[Sequence[Trial], Sequence[Trial]], why: str) -> Matched:
    items = [{e.cluster for e in own} for own in episodes]
    shared = items[0] & items[1]
    if not shared:
        return Matched(tuple(episodes[0]), tuple(episodes[1]), False, f"{why}; no object is shared")
    first, second = (tuple(e for e in own if e.cluster in shared) for own in episodes)
    if alone := len(episodes[0]) + len(episodes[1]) - len(first) - len(second):
        why += f"; {alone} episodes with objects that only one side met are left out"
    return Matched(first, second, False, why)


def _numbered(episodes: Sequence[Trial]) -> dict[Hashable, Trial]:
    """Returns episodes by object, shift and their number among those, the file's own where it says one."""
    count: collections.Counter[Hashable] = collections.Counter()
    found: dict[Hashable, Trial] = {}
    for one in episodes:
        key = (one.cluster, one.shift)
        found[key, count[key] if one.number is None else one.number] = one
        count[key] += 1
    return found
