"""Bodies of objects in a scene: slots that any toy can be written into, or the geoms of one mesh object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np

from toyshift.core.arrays import Array, Indices
from toyshift.envs.rotations import matrix_to_quat
from toyshift.envs.scene.scene import Body, Scene
from toyshift.envs.scene.spec import DRAWN, HIDDEN, SOLID, VISIBLE, add_material, add_mesh
from toyshift.toys.model import Geom, GraspObject

SLOTS = 104  # collision primitives of one toy: five hoops of twenty segments fit
DISTRACTOR_SLOTS = 24  # of one distractor: a hoop and some more
GEOM_TYPES = {
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
}


def uses_slots(obj: GraspObject) -> bool:
    """Whether an object is written into the slots of the shared model instead of getting a model of its own."""
    return obj.visual is None and not obj.parts and len(obj.geoms) <= SLOTS


def add_slots(body: Any, prefix: str = "", count: int = SLOTS) -> None:
    box = {"type": mujoco.mjtGeom.mjGEOM_BOX, "size": (0.01, 0.01, 0.01), "group": HIDDEN, "density": 400}
    for i in range(count):
        # off-centre, so that the compiled body is not "simple": MuJoCo ignores a new inertia frame of a simple body
        body.add_geom(name=f"{prefix}slot{i}", pos=(0.001 * (i + 1), 0.002, 0.003), **box, **SOLID)


def add_mesh_object(spec: Any, body: Any, obj: GraspObject, prefix: str = "") -> None:
    values, vectors = principal(obj.inertia)
    body.explicitinertial = True
    body.mass, body.ipos, body.inertia, body.iquat = obj.mass, obj.com, values, matrix_to_quat(vectors)
    solid = SOLID | {"friction": obj.friction, "mass": 0}
    for i, part in enumerate(obj.parts):
        add_mesh(spec, body, f"{prefix}part{i}", part, group=HIDDEN, **solid)
    group = HIDDEN if obj.visual is not None else VISIBLE
    for i, geom in enumerate(obj.geoms):
        place = {"size": geom.size, "pos": geom.pos, "quat": geom.quat, "rgba": geom.rgba}
        body.add_geom(name=f"{prefix}geom{i}", type=GEOM_TYPES[geom.kind], group=group, **place, **solid)
    if (visual := obj.visual) is None:
        return
    skin: dict[str, Any] = {}
    paint: dict[str, Any] = {"rgba": visual.rgba}
    if visual.uv is not None and visual.texture is not None:
        uv = np.array(visual.uv, np.float32)
        uv[:, 1] = 1.0 - uv[:, 1]  # MuJoCo's v runs down the image
        skin = {"usertexcoord": uv.ravel().tolist(), "userfacetexcoord": visual.faces.ravel().tolist()}
        add_material(spec, f"{prefix}skin", visual.texture, specular=0.2, shininess=0.3)
        paint = {"material": f"{prefix}skin"}
    add_mesh(spec, body, f"{prefix}shape", visual.vertices, visual.faces, skin, **DRAWN, **paint)


def principal(inertia: Array) -> tuple[Array, Array]:
    """Returns principal moments (3,) and a right-handed rotation (3, 3) whose columns are the principal axes."""
    values, vectors = np.linalg.eigh(inertia)
    if np.linalg.det(vectors) < 0:
        vectors[:, 0] *= -1
    return values, vectors


def fill_slots(model: Any, slots: Indices, body: int, obj: GraspObject) -> None:
    """Writes a toy into slots and their body; `refresh_constants` must follow."""
    model.geom_group[slots] = HIDDEN
    model.geom_contype[slots] = model.geom_conaffinity[slots] = 0
    model.geom_matid[slots] = -1
    for slot, geom in zip(slots, obj.geoms, strict=False):
        model.geom_type[slot] = GEOM_TYPES[geom.kind]
        model.geom_size[slot], model.geom_pos[slot], model.geom_quat[slot] = geom.size, geom.pos, geom.quat
        model.geom_rbound[slot] = _bound(geom)
        model.geom_aabb[slot] = (0, 0, 0, *_half_extents(geom))
        model.geom_rgba[slot] = geom.rgba
        model.geom_group[slot] = VISIBLE
        model.geom_contype[slot] = model.geom_conaffinity[slot] = 1
        model.geom_friction[slot] = obj.friction
        model.geom_sameframe[slot] = mujoco.mjtSameFrame.mjSAMEFRAME_NONE
    values, vectors = principal(obj.inertia)
    model.body_mass[body], model.body_inertia[body] = obj.mass, values
    model.body_ipos[body], model.body_iquat[body] = obj.com, matrix_to_quat(vectors)
    model.body_contype[body] = model.body_conaffinity[body] = 1
    # collision detection looks no further: the empty slots would cost a sixth of a physics step
    model.body_geomnum[body] = len(obj.geoms)


def refresh_constants(model: Any, data: Any) -> None:
    """Brings up to date what MuJoCo derives from sizes and masses, after slots were written.

    All but the scene's extent, which `mj_setConst` takes from the slots: the near plane of cameras is a share of it,
    and would cut the hand out of the wrist camera's images of toys, but not of scans.
    """
    extent, centre = float(model.stat.extent), model.stat.center.copy()
    mujoco.mj_setConst(model, data)
    model.stat.extent, model.stat.center[:] = extent, centre


def write_toy(scene: Scene, obj: GraspObject, name: str = "") -> None:
    """Writes a toy into the target's slots: the model then behaves as if it had been compiled for this toy.

    Args:
        scene: a scene with slots.
        obj: the toy.
        name: of this variant of it; its id by default.
    """
    fill_slots(scene.model, scene.target.geoms, scene.target.body, obj)
    refresh_constants(scene.model, scene.data)
    scene.looks.read_target(scene.model, scene.target.geoms[: len(obj.geoms)])
    scene.loaded = (name or obj.id, *scene.loaded[1:])


def write_toys(scene: Scene, bodies: Sequence[Body], objects: Sequence[GraspObject]) -> None:
    """Writes toys into slots beside the target."""
    for body, obj in zip(bodies, objects, strict=True):
        fill_slots(scene.model, body.geoms, body.body, obj)
    refresh_constants(scene.model, scene.data)


def _half_extents(geom: Geom) -> tuple[float, float, float]:
    a, b, c = geom.size
    match geom.kind:
        case "sphere":
            return a, a, a
        case "capsule":
            return a, a, a + b
        case "cylinder":
            return a, a, b
        case _:
            return a, b, c


def _bound(geom: Geom) -> float:
    a, b, c = geom.size
    match geom.kind:
        case "sphere":
            return a
        case "capsule":
            return a + b
        case "cylinder":
            return float(np.hypot(a, b))
        case "ellipsoid":
            return max(a, b, c)
        case _:
            return float(np.linalg.norm(geom.size))
