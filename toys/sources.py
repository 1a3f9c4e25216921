"""The registry of object sources, and load_objects, which turns a string into an ObjectSet.

A new source is one file with a function Term -> ObjectSet, and one row of SOURCES.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.lazy import imported
from toyshift.toys.grammar import Term, number, parse
from toyshift.toys.objectset import LEAST_DENSITY, PANDA_OPENING, ObjectSet, joined, only_graspable, only_half


@dataclasses.dataclass(frozen=True)
class Source:
    """One row of the registry.

    Attributes:
        place: "module:function" of this room that makes the set, imported on first use.
        needs_argument: what must follow the colon; "" where nothing may.
        options: keys it understands beside FILTERS.
        example: a spec that works.
    """

    place: str
    needs_argument: str
    options: tuple[str, ...]
    example: str


SOURCES: dict[str, Source] = {
    "toys": Source(
        "random_toys.toy_set:toy_set", "train, test or a distribution", ("n", "seed", "of", "select", "pool", "scale"),
        "toys:train?n=250",
    ),
    "ycb-like": Source("ycb_like.ycb_like_set:ycb_like_set", "", (), "ycb-like@maniskill"),
    "ycb": Source("meshes.ycb:ycb_set", "a folder", (), "ycb:DIR?graspable"),
    "meshes": Source(
        "meshes.mesh_folder:meshes_set", "a folder", ("unit", "scale", "density", "mass", "masses"),
        "meshes:DIR?unit=mm",
    ),
    "rgb-stacking": Source(
        "meshes.rgb_stacking:rgb_stacking_set", "a wheel or folder", ("density",), "rgb-stacking:WHEEL@heldout"
    ),
    "random-urdfs": Source("meshes.random_urdfs:random_urdfs_set", "all, train or test", (), "random-urdfs:test"),
    "robosuite": Source("meshes.robosuite_objects:robosuite_set", "", (), "robosuite?graspable"),
}


FILTERS = ("graspable", "light", "half")  # options of every source

# Sets that are in use, by spec and content: the environments of one process share them, and so load every object once.
_IN_USE: weakref.WeakValueDictionary[tuple[str, str], ObjectSet] = weakref.WeakValueDictionary()


def load_objects(spec: str) -> ObjectSet:
    """Makes the object set that a string names, or returns the one with the same objects that is in use already.

    See design.md's grammar and SOURCES for the choices.

    These options work with every source. `?graspable[=opening]` keeps what a gripper opening that wide [m] can close
    around (bare: 0.08, the Panda's), and each object in those rest poses only in which it is as narrow; it leaves out
    what weighs less than LEAST_DENSITY too, unless `&light` asks for it. `ObjectSet.left_out` says what and why.
    `?half=a` and `?half=b` keep one or the other half of the objects, by a hash of their ids, of all that stands for a
    YCB object by the real one's: tune on one, report the other.

    Raises:
        UnknownNameError: an unknown source, argument, variant or option; names the choices and the nearest.
        ConfigError: a malformed spec or value, or a filter that leaves nothing.
        FileError: a folder or mesh that cannot be used.
    """
    sets = [_load_term(term) for term in parse(spec)]
    made = sets[0] if len(sets) == 1 else joined(sets, spec)
    return _IN_USE.setdefault((spec, made.fingerprint), made)


def _load_term(term: Term) -> ObjectSet:
    if term.source not in SOURCES:
        raise UnknownNameError("object source", term.source, SOURCES)
    source = SOURCES[term.source]
    if bool(source.needs_argument) != bool(term.argument):
        what = f"needs {source.needs_argument}" if source.needs_argument else "takes nothing"
        raise ConfigError(f"object set {term.text!r}: {term.source} {what} behind a colon, e.g. {source.example!r}")
    for key, _ in term.options:
        if key not in (*source.options, *FILTERS):
            raise UnknownNameError(f"option of {term.source}", key, (*source.options, *FILTERS))
    make: Callable[[Term], ObjectSet] = imported("toyshift.toys", source.place)
    opening = number(term, "graspable", PANDA_OPENING)
    if opening > 1.0:
        what = "graspable is the gripper's opening in metres, e.g. graspable=0.08"
        raise ConfigError(f"object set {term.text!r}: {what}; got {opening:g}")
    objects, options = make(term), dict(term.options)
    if options.get("light") or ("light" in options and "graspable" not in options):
        what = "light takes no value and goes with graspable, e.g. 'ycb-like?graspable&light'"
        raise ConfigError(f"object set {term.text!r}: {what}")
    if "graspable" in options:
        count = len(objects)
        objects = only_graspable(objects, opening, term.text, light="light" in options)
        if not len(objects):
            heavy = "" if "light" in options else f" and weighs at least {LEAST_DENSITY:g} kg/m^3"
            what = f"none of its {count} objects is narrower than {opening:g} m{heavy}"
            raise ConfigError(f"object set {term.text!r}: {what}")
    return only_half(objects, options["half"], term.text) if "half" in options else objects
