"""Builds the MuJoCo scene: table, robot, cameras, lights and one object, which is slots for toys or meshes for scans."""

from __future__ import annotations

import copy
import dataclasses
import functools
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import ConfigError
from toyshift.core.files import content_hash
from toyshift.envs.cameras import Camera, add_camera
from toyshift.envs.config import EnvConfig
from toyshift.envs.robots import Robot, get_robot
from toyshift.envs.scene.bodies import (
    DISTRACTOR_SLOTS,
    SLOTS,
    add_mesh_object,
    add_slots,
    fill_slots,
    refresh_constants,
)
from toyshift.envs.scene.robot_body import add_robot
from toyshift.envs.scene.surroundings import VISIBLE, add_surroundings
from toyshift.envs.textures import BACKGROUNDS, TABLES
from toyshift.toys.model import GraspObject

OBJECT = "object"
PRINT_SIDE = 64  # [pixels]
SCENE_VERSION = "1"


@dataclasses.dataclass(frozen=True)
class Extras:
    """What a scene has that the training scene does not: compiled only where a shift asks for it.

    Attributes:
        distractors: bodies for other toys, which a shift asks for.
        print: whether there is a material with a pattern for primitives.
        others: bodies for the other toys that belong to the task; as many slots as the target's.
    """

    distractors: int = 0
    print: bool = False
    others: int = 0


NO_EXTRAS = Extras()


class Template(NamedTuple):
    """Everything of a configuration that its compiled scenes depend on."""

    robot: str
    physics_dt: float
    centre: tuple[float, float]
    extras: Extras
    cameras: tuple[Camera, ...]
    full_meshes: bool


@dataclasses.dataclass(frozen=True)
class Slots:
    """The body of an object beside the target: its id, its free joint's addresses in qpos (7), and the geom ids of its slots or parts."""

    body: int
    qpos: slice
    geoms: NDArray[np.int64]


@dataclasses.dataclass
class Scene:
    """A compiled scene with the ids that the environment needs, resolved once.

    Attributes:
        model, data: MuJoCo's.
        slots: geom ids of the object's slots; empty for a mesh object.
        object_body: body id; its free joint's addresses are object_qpos (7) and object_qvel (6).
        arm_qpos, finger_qpos, follower_qpos: addresses in qpos; arm_ctrl, finger_ctrl: addresses in ctrl.
        label: per geom, the value in masks (0 background, 1 target, 3 robot).
        is_object, is_gripper: per geom, used to classify contacts.
        table_materials, background_materials: material ids of the looks.
        object_visuals: geom ids that draw the object; own_colours are their material ids and colours.
        light_diffuse, headlight_ambient: the lights as compiled.
        loaded: id of the object that is in the scene.
        others: ids of the objects beside the target.
        distractors: their bodies: toys that belong to the task, mesh objects that do, toys that a shift asks for.
        print_material: material id of the pattern for primitives, -1 where there is none.
        robot_visuals, robot_rgba: geom ids that draw the robot, and their colours as compiled.
        light_dir: directions of the lights as compiled.
        painted: original image of every texture that a shift has painted over; paint_version counts the changes.
    """

    model: Any
    data: Any
    robot: Robot
    slots: NDArray[np.int64]
    object_body: int
    object_qpos: slice
    object_qvel: slice
    arm_qpos: NDArray[np.int64]
    finger_qpos: NDArray[np.int64]
    follower_qpos: NDArray[np.int64]
    arm_ctrl: NDArray[np.int64]
    finger_ctrl: NDArray[np.int64]
    site: int
    label: NDArray[np.uint8]
    is_object: NDArray[np.bool_]
    is_gripper: NDArray[np.bool_]
    table_materials: tuple[int, ...]
    background_materials: tuple[int, ...]
    table_geom: int
    background_geoms: tuple[int, ...]
    object_visuals: NDArray[np.int64]
    own_colours: tuple[NDArray[np.int32], NDArray[np.float32]]
    light_diffuse: NDArray[np.float32]
    headlight_ambient: NDArray[np.float32]
    loaded: str = ""
    others: tuple[str, ...] = ()
    distractors: tuple[Slots, ...] = ()
    print_material: int = -1
    robot_visuals: NDArray[np.int64] = dataclasses.field(default_factory=lambda: np.zeros(0, np.int64))
    robot_rgba: NDArray[np.float32] = dataclasses.field(default_factory=lambda: np.zeros((0, 4), np.float32))
    light_dir: NDArray[np.float64] = dataclasses.field(default_factory=lambda: np.zeros((0, 3)))
    painted: dict[int, NDArray[np.uint8]] = dataclasses.field(default_factory=dict)
    paint_version: dict[int, int] = dataclasses.field(default_factory=dict)


def _names(extras: Extras, meshes: Sequence[GraspObject]) -> list[str]:
    """Names of the bodies beside the target, in order."""
    counts = {"other": extras.others, "mesh": len(meshes), "distractor": extras.distractors}
    return [f"{kind}{i}" for kind, count in counts.items() for i in range(count)]


def _add_extras(spec: Any, extras: Extras, meshes: Sequence[GraspObject]) -> None:
    for place, name in enumerate(_names(extras, meshes)):
        # far from the table's middle: an object that settles must not meet them
        body = spec.worldbody.add_body(name=name, pos=(3.0 + 0.5 * place, 0.0, 0.3))
        body.add_freejoint(name=name)
        if name.startswith("mesh"):
            add_mesh_object(spec, body, meshes[place - extras.others], f"{name}_")
        else:
            add_slots(body, f"{name}_", SLOTS if name.startswith("other") else DISTRACTOR_SLOTS)
    if extras.print:
        cube = spec.add_texture(name="print", type=mujoco.mjtTexture.mjTEXTURE_CUBE, width=PRINT_SIDE, height=6 * PRINT_SIDE, nchannel=3)
        cube.data = bytes([255]) * (18 * PRINT_SIDE**2)
        spec.add_material(name="print", specular=0.5, shininess=0.5).textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "print"


def uses_slots(obj: GraspObject) -> bool:
    """Whether an object is written into the slots of the shared model instead of getting a model of its own."""
    return obj.visual is None and not obj.parts and len(obj.geoms) <= SLOTS


def build_scene(config: EnvConfig, obj: GraspObject | None = None, extras: Extras = NO_EXTRAS, meshes: Sequence[GraspObject] = ()) -> Scene:
    """Makes a scene with slots for toys (obj=None; compiled once per process and copied), or compiles one for mesh objects.

    Args:
        config: environment configuration.
        obj: the target where it is a mesh object, None for a toy.
        extras: what the scene has besides.
        meshes: mesh objects beside the target.
    """
    template = Template(config.robot, config.physics_dt, config.centre, extras, config.added_cameras, config.quality == "high")
    with _compiling:
        model = copy.copy(_toy_model(template)) if obj is None and not meshes else _compiled(template, obj, meshes)
    return _resolved(model, get_robot(config.robot), obj, extras, meshes)


_compiling = threading.Lock()  # the robots' specs are shared between threads


@functools.lru_cache(maxsize=16)
def _toy_model(template: Template) -> Any:
    """Compiles a template; a copy of it costs a tenth of compiling it again, and is the same to the last bit."""
    return _compiled(template, None, ())


def _compiled(template: Template, obj: GraspObject | None, meshes: Sequence[GraspObject]) -> Any:
    spec, robot = mujoco.MjSpec(), get_robot(template.robot)
    spec.option.timestep = template.physics_dt
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE  # its tree is built when compiling, slots move later
    spec.visual.global_.offwidth = spec.visual.global_.offheight = 1024
    spec.visual.map.znear, spec.visual.map.zfar = 0.01, 20.0
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse, spec.visual.headlight.specular = (0.35,) * 3, (0.15,) * 3, (0.0,) * 3
    spec.stat.extent, spec.stat.center = 1.0, (0.5, 0.0, 0.2)
    add_surroundings(spec)
    add_robot(spec, robot, template.full_meshes)
    body = spec.worldbody.add_body(name=OBJECT, pos=(*template.centre, 0.3))
    body.add_freejoint(name=OBJECT)
    if obj is None:
        add_slots(body)
    else:
        add_mesh_object(spec, body, obj)
    _add_extras(spec, template.extras, meshes)
    for camera in template.cameras:
        add_camera(spec, camera, robot.mount)
    try:
        return spec.compile()
    except ValueError as error:
        raise ConfigError(f"MuJoCo cannot compile the scene{f' with {obj.id}' if obj else ''}: {error}") from error


def _resolved(model: Any, robot: Robot, obj: GraspObject | None, extras: Extras, meshes: Sequence[GraspObject]) -> Scene:
    def names(prefix: str, count: int) -> tuple[int, ...]:
        return tuple(model.material(f"{prefix}{i}").id for i in range(count))

    body = model.body(OBJECT).id
    joint = model.joint(OBJECT)
    is_object = model.geom_bodyid == body
    hand = model.body(robot.gripper.body).id
    under_hand = np.zeros(model.nbody, bool)
    for i in range(model.nbody):
        under_hand[i] = i == hand or under_hand[model.body_parentid[i]]
    is_gripper = under_hand[model.geom_bodyid]
    visuals = np.flatnonzero(is_object & (model.geom_group == VISIBLE))
    label = np.where(is_object, 1, np.where(model.geom_bodyid == 0, 0, 3)).astype(np.uint8)
    distractors = tuple(_beside(model, name) for name in _names(extras, meshes))
    for slots in distractors:
        label[slots.geoms] = 2
    robot_visuals = np.flatnonzero((label == 3) & (model.geom_group == VISIBLE))
    return Scene(
        model=model,
        data=mujoco.MjData(model),
        robot=robot,
        slots=np.array([model.geom(f"slot{i}").id for i in range(SLOTS)]) if obj is None else np.zeros(0, int),
        object_body=body,
        object_qpos=slice(int(joint.qposadr[0]), int(joint.qposadr[0]) + 7),
        object_qvel=slice(int(joint.dofadr[0]), int(joint.dofadr[0]) + 6),
        arm_qpos=np.array([model.joint(n).qposadr[0] for n in robot.joints]),
        finger_qpos=np.array([model.joint(n).qposadr[0] for n in robot.gripper.joints]),
        follower_qpos=np.array([model.joint(n).qposadr[0] for n, _, _ in robot.gripper.follow], int),
        arm_ctrl=np.array([model.actuator(f"arm_{n}").id for n in robot.joints]),
        finger_ctrl=np.array([model.actuator(f"grip_{n}").id for n in robot.gripper.joints]),
        site=model.site(robot.gripper.site).id,
        label=label,
        is_object=is_object,
        is_gripper=is_gripper,
        table_materials=names("table", len(TABLES)),
        background_materials=names("background", len(BACKGROUNDS)),
        table_geom=model.geom("table").id,
        background_geoms=(model.geom("floor").id, model.geom("wall").id),
        object_visuals=visuals,
        own_colours=(model.geom_matid[visuals].copy(), model.geom_rgba[visuals].copy()),
        light_diffuse=model.light_diffuse.copy(),
        headlight_ambient=model.vis.headlight.ambient.copy(),
        loaded=obj.id if obj is not None else "",
        distractors=distractors,
        print_material=model.material("print").id if extras.print else -1,
        robot_visuals=robot_visuals,
        robot_rgba=model.geom_rgba[robot_visuals].copy(),
        light_dir=model.light_dir.copy(),
    )


def _beside(model: Any, name: str) -> Slots:
    start, body = int(model.joint(name).qposadr[0]), model.body(name).id
    return Slots(body, slice(start, start + 7), np.flatnonzero(model.geom_bodyid == body))


def write_toy(scene: Scene, obj: GraspObject) -> None:
    """Writes a toy into the slots: the model then behaves as if it had been compiled for this toy."""
    model = scene.model
    fill_slots(model, scene.slots, scene.object_body, obj)
    refresh_constants(model, scene.data)
    scene.object_visuals = scene.slots[: len(obj.geoms)]
    scene.own_colours = (model.geom_matid[scene.object_visuals].copy(), model.geom_rgba[scene.object_visuals].copy())
    scene.loaded = obj.id


def scene_hash(config: EnvConfig, obj: GraspObject, others: tuple[str, ...] = ()) -> str:
    """Returns the hash of everything that the meaning of a stored simulator state depends on.

    Args:
        config: environment configuration.
        obj: the object.
        others: ids of the objects beside it.
    """
    geoms = "".join(f"{g.kind}{g.size}{g.pos}{g.quat}" for g in obj.geoms)
    parts = np.concatenate([np.zeros((1, 3)), *obj.parts]).astype(np.float32).tobytes()
    return content_hash(SCENE_VERSION, config.robot, str(config.physics_dt), obj.id, geoms, parts, f"{obj.mass:.6f}", *others)
