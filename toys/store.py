"""Built objects on disk: one NPZ without pickle per object, named by its content and by what built it, written once."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from toyshift.core.errors import FileError, with_remedy
from toyshift.core.files import atomic_path, cache_dir, json_hash, locked
from toyshift.toys.model import Geom, GraspObject, RestPose, VisualMesh

# on whose version an object's last bits depend
BUILDERS = ("coacd", "fast-simplification", "manifold3d", "mujoco", "numpy", "scipy", "trimesh")


def with_tuples(fields: Mapping[str, Any]) -> dict[str, Any]:
    """A dataclass's fields as they were before they became JSON."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def save_object(path: Path, value: GraspObject) -> None:
    """Writes an object atomically."""
    parts = value.parts
    arrays: dict[str, NDArray[Any]] = {
        "vertices": np.asarray(value.mesh.vertices, dtype=np.float64),
        "faces": np.asarray(value.mesh.faces, dtype=np.int32),
        "parts": np.concatenate(parts) if parts else np.zeros((0, 3)),
        "part_sizes": np.array([len(p) for p in parts], dtype=np.int64),
        "com": value.com,
        "inertia": value.inertia,
        "poses": np.array([[*p.quat, p.height, p.probability, p.width] for p in value.rest_poses]),
    }
    meta: dict[str, Any] = {
        "id": value.id, "name": value.name, "source": value.source, "mass": value.mass, "info": value.info,
        "friction": list(value.friction), "geoms": [dataclasses.asdict(g) for g in value.geoms],
    }
    if value.visual is not None:
        meta["rgba"] = list(value.visual.rgba)
        drawn = {name: array for name, array in vars(value.visual).items() if name != "rgba" and array is not None}
        arrays |= {f"visual_{name}": array for name, array in drawn.items()}
    arrays["meta"] = np.frombuffer(json.dumps(meta, allow_nan=False).encode(), dtype=np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, **arrays)


def read_object(path: Path) -> GraspObject:
    """Reads what save_object wrote.

    Raises:
        FileError: the file is missing, truncated or of another kind.
    """
    try:
        with np.load(path) as data:
            arrays = {name: data[name] for name in data.files}
        meta = json.loads(arrays["meta"].tobytes())
        seen = {name.removeprefix("visual_"): arrays[name] for name in arrays if name.startswith("visual_")}
        sizes = arrays["part_sizes"]
        return GraspObject(
            id=meta["id"], name=meta["name"], source=meta["source"],
            mesh=trimesh.Trimesh(arrays["vertices"], arrays["faces"], process=False),
            geoms=tuple(Geom(**with_tuples(g)) for g in meta["geoms"]),
            parts=tuple(np.split(arrays["parts"], np.cumsum(sizes)[:-1])) if len(sizes) else (),
            visual=VisualMesh(**seen, rgba=tuple(meta["rgba"])) if seen else None,
            mass=meta["mass"], com=arrays["com"], inertia=arrays["inertia"],
            rest_poses=tuple(RestPose((p[0], p[1], p[2], p[3]), p[4], p[5], p[6]) for p in arrays["poses"].tolist()),
            friction=tuple(meta["friction"]), info=meta["info"],
        )
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path} cannot be read ({error}); delete it, it is built again") from error


@functools.cache
def builders() -> str:
    """Hash of the installed versions of what builds objects: another one builds its own, and starts keep their bits."""
    return json_hash([importlib.metadata.version(name) for name in BUILDERS])


def store_path(key: str) -> Path:
    """Where the object with a content hash is kept, as built by the packages installed here."""
    return cache_dir("objects") / f"{key}-{builders()}.npz"


def cached(key: str, build: Callable[[], GraspObject]) -> GraspObject:
    """The object of a content hash, built by the first process that asks; a damaged file is built again.

    Two processes that ask at the same time build it once: the second waits and reads. What is in a cache that may only
    be read is read.

    Raises:
        FileError: the cache cannot be written to, because it is read-only or the disk is full; nothing is left behind.
    """
    path = store_path(key)
    try:
        if path.exists():
            try:
                return read_object(path)
            except FileError:
                path.unlink(missing_ok=True)
        with locked(path):
            if path.exists():
                return read_object(path)
            value = build()
            save_object(path, value)
    except OSError as error:
        told = f"cannot write to the cache folder {path.parent} ({error.strerror or error})"
        raise FileError(with_remedy(told, error, "set TOYSHIFT_CACHE to another folder")) from error
    return value
