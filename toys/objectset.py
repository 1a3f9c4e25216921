"""An ObjectSet: named objects in a fixed order, loaded when they are asked for and kept in a bounded cache."""

from __future__ import annotations

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import json_hash
from toyshift.toys.model import GraspObject
from toyshift.toys.ycb_table import twin_id

PANDA_OPENING = 0.08  # [m] between the Panda hand's fingers
# [kg/m^3] Less than the YCB sponge (54) weighs, but for foams, a placeholder in a table of masses, such as 1 g for a
# net of marbles (9): fingers sink into it as they do not into the real thing. Of the solid, not of its hull, by which
# cups (74) and pitchers (52) would come near.
LEAST_DENSITY = 50.0
CACHED_OBJECTS = 256  # a toy takes ~50 kB, a textured scan ~0.5 MB

# What `only_graspable` dropped from sets, by their fingerprint, the opening and whether light objects are kept: why, by
# id, and the ids of those that weigh too little.
_DROPPED: dict[tuple[str, float, bool], tuple[dict[str, str], list[str]]] = {}


class ObjectSet:
    """Objects addressed by one string.

    Args:
        spec: the string that made the set.
        ids: one per object, unique, in order.
        fingerprint: content hash over ids and parameters; two sets with the same one hold the same objects.
        load: makes the object of an id; the same id must give an equal object every time.
        left_out: id -> why, of the objects that a filter dropped.
        prepare: does what the objects of some ids need before any is loaded, faster than one after the other; called
            when a set is gone through.

    Attributes:
        spec, ids, fingerprint, left_out, prepare: as above.
    """

    def __init__(
        self, spec: str, ids: tuple[str, ...], fingerprint: str, load: Callable[[str], GraspObject],
        left_out: Mapping[str, str] | None = None, prepare: Callable[[Iterable[str]], None] = lambda ids: None,
    ) -> None:
        if len(set(ids)) != len(ids):
            twice = sorted({i for i in ids if ids.count(i) > 1})[:5]
            what = f"object set {spec!r} holds the same object twice: {', '.join(twice)}"
            raise ConfigError(f"{what}. Leave one of its sources out")
        self.spec = spec
        self.ids = ids
        self.fingerprint = fingerprint
        self.left_out = dict(left_out or {})
        self._index = {name: i for i, name in enumerate(ids)}
        self._load = load
        self.prepare = prepare
        self._cache: OrderedDict[str, GraspObject] = OrderedDict()
        self._lock = threading.Lock()  # the environments of several threads share a set

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> GraspObject:
        if not -len(self.ids) <= index < len(self.ids):
            raise IndexError(f"object {index} of {self.spec!r}, which holds {len(self.ids)}")
        return self.by_id(self.ids[index])

    def __iter__(self) -> Iterator[GraspObject]:
        self.prepare(self.ids)
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
            if name in self.left_out:
                raise ConfigError(f"object {name!r} was left out of {self.spec!r}: {self.left_out[name]}")
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


def too_light(found: GraspObject) -> bool:
    """Whether an object weighs so little for its volume that its mass is likely to be a placeholder."""
    return found.density < LEAST_DENSITY * (1 - 1e-6)  # what is given as 50 is not less for being rounded


def why_ungraspable(found: GraspObject, opening: float, light: bool = False) -> str:
    """Why `?graspable` leaves an object out, "" for what it keeps.

    Args:
        found: the object.
        opening: of the gripper [m].
        light: whether objects of less than LEAST_DENSITY are kept.
    """
    if not found.graspable(opening):
        return f"its smallest width is {found.width * 1000:.0f} mm"
    if too_light(found) and not light:
        return f"it weighs {found.density:.0f} kg/m^3, less than {LEAST_DENSITY:g}; `?graspable&light` keeps it"
    return ""


def in_narrow_poses(found: GraspObject, opening: float) -> GraspObject:
    """The same object with only the rest poses narrower than `opening` [m], renormalised; there must be one."""
    poses = [pose for pose in found.rest_poses if pose.width < opening]
    total = sum(pose.probability for pose in poses)
    kept = tuple(dataclasses.replace(pose, probability=pose.probability / total) for pose in poses)
    return dataclasses.replace(found, rest_poses=kept)


def only_graspable(objects: ObjectSet, opening: float, spec: str, light: bool = False) -> ObjectSet:
    """Keeps the objects with a rest pose narrower than `opening` [m], and of those only such poses (renormalised).

    Objects of less than LEAST_DENSITY are dropped as well, unless `light` keeps them.
    """
    key = objects.fingerprint, opening, light
    if key not in _DROPPED:  # of all objects, which takes long, but not anew for each environment
        dropped: dict[str, str] = {}
        placeholders = []
        for found in objects:
            if why := why_ungraspable(found, opening, light):
                dropped[found.id] = why
                placeholders += [found.id] if found.graspable(opening) else []
        _DROPPED[key] = dropped, placeholders
    dropped, placeholders = _DROPPED[key]
    kept = tuple(name for name in objects.ids if name not in dropped)

    def load(name: str) -> GraspObject:
        return in_narrow_poses(objects.by_id(name), opening)

    identity = [objects.fingerprint, "graspable", round(opening * 1e6), *placeholders]
    return ObjectSet(spec, kept, json_hash(identity), load, dropped)


def half_of(name: str) -> str:
    """The half, "a" or "b", that an object belongs to: by its id alone, whatever else its set holds.

    What stands for a YCB object, scanned or built here, scaled or not, goes by the real object's id (`twin_id`): who
    tunes on half a of one set has seen nothing of half b of another.
    """
    return "ab"[int(json_hash(["half", twin_id(name)]), 16) % 2]


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
    left_out = {name: why for name, why in objects.left_out.items() if half_of(name) == half}
    fingerprint = json_hash([objects.fingerprint, "half", *kept])
    return ObjectSet(spec, kept, fingerprint, objects.by_id, left_out, objects.prepare)


def joined(sets: list[ObjectSet], spec: str) -> ObjectSet:
    """Several sets behind each other.

    Raises:
        ConfigError: two of them hold an object with the same id.
    """
    owner = {name: one for one in sets for name in one.ids}

    def load(name: str) -> GraspObject:
        return owner[name].by_id(name)

    def prepare(names: Iterable[str]) -> None:
        wanted = set(names)
        for one in sets:
            one.prepare([name for name in one.ids if name in wanted])

    ids = tuple(name for one in sets for name in one.ids)
    left_out = {name: why for one in sets for name, why in one.left_out.items() if name not in owner}
    return ObjectSet(spec, ids, json_hash([one.fingerprint for one in sets]), load, left_out, prepare)
