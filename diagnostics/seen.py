"""Which of the objects that a policy meets in a test it was trained on, as far as it says so itself.

"Zero-shot" is said of objects that are known not to be among those of training, of nothing else. Toys are told by their
content: their ids are hashes of it. Other objects are told by name and set, since nobody compares their meshes: one
that is called as one of another training set (a scan and its stand-in, say) is neither called seen nor unseen.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from toyshift.diagnostics.actors import BUILTIN
from toyshift.diagnostics.rows import Row
from toyshift.policies.provenance import trained_on
from toyshift.toys.ycb_table import twin_id

ZERO_SHOT, ON_THESE = "zero-shot", "trained on these"
SEEN = "seen"  # in the manifest of rows: policy -> object set -> Seen as JSON, null where nobody knows
DEMONSTRATED = "demonstrated"  # in the manifest of rows: policy -> object sets of its demonstrations, if it says
_CONTENT = re.compile(r"[0-9a-f]{16}")  # a toy's id


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a policy says of the objects that a test met.

    Attributes:
        trained: ids of those that it was trained on, sorted.
        unclear: ids of those that it may have been trained on, sorted: called as one of another set, beside others in
            its demonstrations, or all, where one of its datasets does not say its objects.
    """

    trained: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()

    def label(self, objects: int) -> str:
        """Returns what may be said of so many objects; "" for nothing."""
        if len(self.trained) == objects:
            return ON_THESE
        if self.trained:
            return f"trained on {'at least ' if self.unclear else ''}{len(self.trained)} of these {objects}"
        return "" if self.unclear else ZERO_SHOT

    def of(self, met: Collection[str]) -> Seen:
        """Returns the same of some objects only."""
        return Seen(*(tuple(name for name in names if name in met) for names in (self.trained, self.unclear)))

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Seen:
        """Returns what `to_json` wrote."""
        return cls(tuple(value["trained"]), tuple(value["unclear"]))


def not_unseen(seen: Sequence[tuple[str, Seen | None, int]]) -> str:
    """Returns a note on what "new objects" are not, where policies were trained on what they met; "" where none was.

    Args:
        seen: policies, what each says of the objects that it met, and how many those are.
    """
    trained = [f"{name} was {one.label(objects)}" for name, one, objects in seen if one and one.trained]
    told = "what is said of new objects holds for others that are trained on likewise, not for unseen ones"
    return f"{', '.join(trained)}: {told}" if trained else ""


def _sources(spec: str) -> set[str]:
    """Returns the sets that an object set's string joins, without their options and sides."""
    return {re.split(r"[?@]", part)[0] for part in spec.split("+")}


def seen_objects(policy: str, object_set: str, met: Collection[str]) -> Seen | None:
    """Returns which objects of a set a policy was trained on; None where it does not say what it was trained on.

    Args:
        policy: as `open_actor` takes it.
        object_set: the set's string.
        met: ids of the objects that it meets.
    """
    known = None if policy in BUILTIN else trained_on(policy)
    if not known:
        return None
    trained: set[str] = set()
    near: set[str] = set()
    for one in known:
        same_set = bool(_sources(object_set) & {source for spec in one["object_sets"] for source in _sources(spec)})
        trained |= {name for name in one["object_ids"] if same_set or _CONTENT.fullmatch(name)}
        near |= {twin_id(name) for name in (*one["object_ids"], *one.get("other_ids", ()))}
    silent = not all(one["object_ids"] for one in known)
    unclear = [name for name in met if name not in trained and (silent or twin_id(name) in near)]
    return Seen(tuple(sorted(trained.intersection(met))), tuple(sorted(unclear)))


def objects_by_test(rows: Sequence[Row]) -> dict[tuple[str, str], set[str]]:
    """Returns (policy, object set) -> ids of the objects met, with any look and shift."""
    met: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        met.setdefault((row.policy, row.object_set), set()).add(row.object_id)
    return met


def seen_in_rows(rows: Sequence[Row], policies: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Returns what the manifest of rows says under `SEEN`.

    Args:
        rows: of any tests.
        policies: name in the rows -> policy as `open_actor` takes it.
    """
    found: dict[str, dict[str, Any]] = {}
    for (name, object_set), met in objects_by_test(rows).items():
        seen = seen_objects(policies[name], object_set, met)
        found.setdefault(name, {})[object_set] = seen and seen.to_json()
    return found


def demonstrated_sets(policies: Mapping[str, str]) -> dict[str, list[str]]:
    """Returns what the manifest of rows says under `DEMONSTRATED`.

    Args:
        policies: name in the rows -> policy as `open_actor` takes it.
    """
    known = {name: trained_on(policy) for name, policy in policies.items() if policy not in BUILTIN}
    sets = {name: sorted({spec for one in told or () for spec in one["object_sets"]}) for name, told in known.items()}
    return {name: found for name, found in sets.items() if found}


def seen_of_files(files: Sequence[tuple[Mapping[str, Any], Sequence[Row]]]) -> dict[tuple[str, str], Seen]:
    """Returns (policy, object set) -> what was seen, of the tests whose every file of rows says it.

    Args:
        files: manifest and rows of each. Those of before this was written down say nothing.
    """
    found: dict[tuple[str, str], Seen | None] = {}
    for facts, rows in files:
        for name, object_set in objects_by_test(rows):
            value, there = facts.get(SEEN, {}).get(name, {}).get(object_set), (name, object_set)
            one, before = Seen.from_json(value) if value else None, found.get(there, Seen())
            found[there] = one and before and Seen(
                tuple(sorted({*before.trained, *one.trained})), tuple(sorted({*before.unclear, *one.unclear}))
            )
    return {there: seen for there, seen in found.items() if seen is not None}
