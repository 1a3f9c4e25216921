"""An object set out of mesh files: built once in a few processes, kept in the cache, loaded when asked for."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence

from toyshift.core.errors import FileError, MeshError, ToyShiftError
from toyshift.core.files import json_hash
from toyshift.toys.building import FailedBuild, build_in_processes
from toyshift.toys.meshes.meshobject import MeshRecipe, build
from toyshift.toys.model import GraspObject
from toyshift.toys.objectset import ObjectSet
from toyshift.toys.store import cached, store_path, with_tuples


def hashed(names: Iterable[str], key: Callable[[str], str]) -> tuple[dict[str, str], dict[str, ToyShiftError]]:
    """id -> content hash, and id -> error of those whose files cannot be read."""
    keys, unreadable = {}, {}
    for name in names:
        try:
            keys[name] = key(name)
        except ToyShiftError as error:
            unreadable[name] = error
    return keys, unreadable


def ensure_built(text: str, key: str) -> None:
    """Builds an object into the cache; what a worker process runs. `text` is the recipe as JSON."""
    recipe = MeshRecipe(**with_tuples(json.loads(text)))
    cached(key, lambda: build(recipe))


def build_missing(recipes: Sequence[MeshRecipe], keys: Mapping[str, str], label: str) -> dict[str, FailedBuild]:
    """Builds what is not in the cache yet, and returns what went wrong by id."""
    missing = [r for r in recipes if not store_path(keys[r.id]).exists()]
    place = "toyshift.toys.meshes.meshset:ensure_built"
    jobs = [[place, json.dumps(dataclasses.asdict(r)), keys[r.id]] for r in missing]
    names = {key: name for name, key in keys.items()}
    return {names[p.job]: p for p in build_in_processes(jobs, label)} if jobs else {}


def mesh_set(
    spec: str, recipes: Sequence[MeshRecipe], keys: Mapping[str, str], identity: Sequence[str], label: str,
    finish: Callable[[GraspObject], GraspObject] = lambda found: found, leave_out: bool = False,
) -> ObjectSet:
    """The set of some recipes; a first use builds all of them in two processes.

    Args:
        spec: the string that names the set.
        recipes: one an object, in order.
        keys: id -> content hash.
        identity: what the fingerprint depends on beside the keys.
        label: of the progress bar.
        finish: what is done to a loaded object.
        leave_out: whether an object that cannot be used is left out with a warning instead of an error.

    Raises:
        FileError, MeshError: an object cannot be used; names the file and the remedy.
    """
    problems = build_missing(recipes, keys, label)
    if problems and not (leave_out and len(problems) < len(recipes)):
        raise as_error(list(problems.values()))
    if problems:
        why = "; ".join(p.message for p in problems.values())
        warnings.warn(f"{spec}: {len(problems)} of {len(recipes)} objects left out: {why}", stacklevel=2)
    by_id = {r.id: r for r in recipes if r.id not in problems}

    def load(name: str) -> GraspObject:
        return finish(cached(keys[name], lambda: build(by_id[name])))

    return ObjectSet(spec, tuple(by_id), json_hash([*identity, {name: keys[name] for name in by_id}]), load)


def as_error(problems: Sequence[FailedBuild]) -> ToyShiftError:
    """One error for all objects that could not be built."""
    first = problems[0]
    more = "" if len(problems) == 1 else f" ({len(problems) - 1} more: {'; '.join(p.message for p in problems[1:4])})"
    return (MeshError if first.kind == "MeshError" else FileError)(first.message + more)
