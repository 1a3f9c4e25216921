"""An ObjectSet: named objects in a fixed order, loaded when they are asked for and kept in a bounded cache."""

from __future__ import annotations

import dataclasses
import functools
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import json_hash
from toyshift.toys.model import GraspObject

PANDA_OPENING = 0.08  # [m] between the Panda hand's fingers
CACHED_OBJECTS = 256  # a toy takes ~50 kB, a textured scan ~0.5 MB


class ObjectSet:
    """Objects addressed by one string.

    Args:
        spec: the string that made the set.
        ids: one per object, unique, in order.
        fingerprint: content hash over ids and parameters; two sets with the same one hold the same objects.
        load: makes the object of an id; the same id must give an equal object every time.
        ungraspable: id -> smallest width [m] of the objects that a filter dropped, or None: found when it is asked for.

    Attributes:
        spec, ids, fingerprint: as above.
    """

    def __init__(
        self, spec: str, ids: tuple[str, ...], fingerprint: str, load: Callable[[str], GraspObject],
        ungraspable: dict[str, float] | None = None,
    ) -> None:
        if len(set(ids)) != len(ids):
            twice = sorted({i for i in ids if ids.count(i) > 1})[:5]
            what = f"object set {spec!r} holds the same object twice: {', '.join(twice)}"
            raise ConfigError(f"{what}. Leave one of its sources out")
        self.spec = spec
        self.ids = ids
        self.fingerprint = fingerprint
        self._index = {name: i for i, name in enumerate(ids)}
        self._load = load
        self._cache: OrderedDict[str, GraspObject] = OrderedDict()
        self._lock = threading.Lock()  # the environments of several threads share a set
        self._dropped = ungraspable

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> GraspObject:
        if not -len(self.ids) <= index < len(self.ids):
            raise IndexError(f"object {index} of {self.spec!r}, which holds {len(self.ids)}")
        return self.by_id(self.ids[index])

    def __iter__(self) -> Iterator[GraspObject]:
        return (self.by_id(name) for name in self.ids)

    def __contains__(self, name: object) -> bool:
        return name in self._index

    def __repr__(self) -> str:
        return f"ObjectSet({self.spec!r}, {len(self)} objects, {self.fingerprint})"

    def index(self, name: str) -> int:
        """Position of an id.

        Raises:
            UnknownNameError: no object has it.
        """
        if name not in self._index:
            dropped = (self._dropped or {}).get(name)
            if dropped is not None:
                width = f"its smallest width is {dropped * 1000:.0f} mm"
                raise ConfigError(f"object {name!r} was left out of {self.spec!r}: {width}")
            some = self.ids if len(self.ids) <= 100 else self.ids[:20]
            raise UnknownNameError(f"object of {self.spec!r}", name, some)
        return self._index[name]

    def by_id(self, name: str) -> GraspObject:
        """The object with an id; see index for the errors."""
        self.index(name)
        with self._lock:
            if name in self._cache:
                self._cache.move_to_end(name)
                return self._cache[name]
            found = self._load(name)
            self._cache[name] = found
            if len(self._cache) > CACHED_OBJECTS:
                self._cache.popitem(last=False)
        return found

    @functools.cached_property
    def ungraspable(self) -> dict[str, float]:
        """id -> smallest width [m] of what a graspable filter dropped; without one, of what no Panda hand can hold."""
        if self._dropped is not None:
            return dict(self._dropped)
        return {found.id: found.width for found in self if not found.graspable(PANDA_OPENING)}


def in_narrow_poses(found: GraspObject, opening: float) -> GraspObject:
    """The same object with only the rest poses narrower than `opening` [m], renormalised; there must be one."""
    poses = [pose for pose in found.rest_poses if pose.width < opening]
    total = sum(pose.probability for pose in poses)
    kept = tuple(dataclasses.replace(pose, probability=pose.probability / total) for pose in poses)
    return dataclasses.replace(found, rest_poses=kept)


def only_graspable(objects: ObjectSet, opening: float, spec: str) -> ObjectSet:
    """Keeps the objects with a rest pose narrower than `opening` [m], and of those only such poses (renormalised)."""
    dropped = {found.id: found.width for found in objects if not found.graspable(opening)}
    kept = tuple(name for name in objects.ids if name not in dropped)

    def load(name: str) -> GraspObject:
        return in_narrow_poses(objects.by_id(name), opening)

    return ObjectSet(spec, kept, json_hash([objects.fingerprint, "graspable", round(opening * 1e6)]), load, dropped)


def half_of(name: str) -> str:
    """The half, "a" or "b", that an object belongs to: by its id alone, whatever else its set holds."""
    return "ab"[int(json_hash(["half", name]), 16) % 2]


def only_half(objects: ObjectSet, half: str, spec: str) -> ObjectSet:
    """Keeps the objects of one half.

    Raises:
        ConfigError: the half is neither "a" nor "b", or holds none of the objects.
    """
    if half not in ("a", "b"):
        raise ConfigError(f"object set {spec!r}: half is 'a' or 'b', got {half!r}")
    kept = tuple(name for name in objects.ids if half_of(name) == half)
    if not kept:
        raise ConfigError(f"object set {spec!r}: none of its {len(objects)} objects belongs to half {half!r}")
    return ObjectSet(spec, kept, json_hash([objects.fingerprint, "half", half]), objects.by_id, objects._dropped)


def joined(sets: list[ObjectSet], spec: str) -> ObjectSet:
    """Several sets behind each other.

    Raises:
        ConfigError: two of them hold an object with the same id.
    """
    owner = {name: one for one in sets for name in one.ids}

    def load(name: str) -> GraspObject:
        return owner[name].by_id(name)

    ids = tuple(name for one in sets for name in one.ids)
    result = ObjectSet(spec, ids, json_hash([one.fingerprint for one in sets]), load)
    if any(one._dropped is not None for one in sets):
        result._dropped = {k: v for one in sets for k, v in one.ungraspable.items()}
    return result
