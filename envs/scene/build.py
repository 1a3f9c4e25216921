"""Builds the MuJoCo scene: table, robot, cameras, lights and objects, which are slots for toys or meshes."""

from __future__ import annotations

import copy
import dataclasses
import functools
import threading
import warnings
import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np

from toyshift.core.arrays import Indices, Mask
from toyshift.core.contract import MASK_BACKGROUND, MASK_OTHER, MASK_ROBOT, MASK_TARGET
from toyshift.core.errors import ConfigError
from toyshift.core.files import content_hash
from toyshift.envs.cameras import Camera, add_camera
from toyshift.envs.config import EnvConfig
from toyshift.envs.robots import Robot, get_robot
from toyshift.envs.scene.bodies import DISTRACTOR_SLOTS, SLOTS, add_mesh_object, add_slots
from toyshift.envs.scene.robot_body import add_robot, damp_critically
from toyshift.envs.scene.scene import Arm, Body, Looks, Scene
from toyshift.envs.scene.spec import EMPTY_PREFIX, VISIBLE, add_material
from toyshift.envs.scene.surroundings import add_surroundings
from toyshift.envs.textures import BACKGROUNDS, TABLES
from toyshift.toys.model import GraspObject

OBJECT = "object"
PRINT_SIDE = 64  # [pixels]
SCENE_VERSION = "1"

# Of each object, what `scene_hash` makes of its shape.
_SHAPES: weakref.WeakKeyDictionary[GraspObject, tuple[str, bytes]] = weakref.WeakKeyDictionary()


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
        cube = np.full((6 * PRINT_SIDE, PRINT_SIDE, 3), 255, np.uint8)
        add_material(spec, "print", cube, cube=True, specular=0.5, shininess=0.5)


def build_scene(
    config: EnvConfig, obj: GraspObject | None = None, extras: Extras = NO_EXTRAS, meshes: Sequence[GraspObject] = ()
) -> Scene:
    """Makes a scene with slots for toys (obj=None; compiled once per process and copied), or compiles one for mesh
    objects.

    Args:
        config: environment configuration.
        obj: the target where it is a mesh object, None for a toy.
        extras: what the scene has besides.
        meshes: mesh objects beside the target.
    """
    full, added = config.quality == "high", config.added_cameras
    template = Template(config.robot, config.physics_dt, config.centre, extras, added, full)
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
    # its tree is built when compiling, slots move later
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE
    spec.visual.global_.offwidth = spec.visual.global_.offheight = 1024
    spec.visual.map.znear, spec.visual.map.zfar = 0.01, 20.0
    light = spec.visual.headlight
    light.ambient, light.diffuse, light.specular = (0.35,) * 3, (0.15,) * 3, (0.0,) * 3
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
        with warnings.catch_warnings():  # told when the robot was attached; see there
            warnings.filterwarnings("ignore", f".*{EMPTY_PREFIX}", UserWarning)
            model = spec.compile()
    except ValueError as error:
        raise ConfigError(f"MuJoCo cannot compile the scene{f' with {obj.id}' if obj else ''}: {error}") from error
    damp_critically(model, robot)
    return model


def _resolved(
    model: Any, robot: Robot, obj: GraspObject | None, extras: Extras, meshes: Sequence[GraspObject]
) -> Scene:
    grip = robot.gripper
    target, *beside = (_body(model, name) for name in (OBJECT, *_names(extras, meshes)))
    hand = model.body(grip.body).id
    under_hand = np.zeros(model.nbody, bool)
    for i in range(model.nbody):
        under_hand[i] = i == hand or under_hand[model.body_parentid[i]]
    label = np.where(model.geom_bodyid == 0, MASK_BACKGROUND, MASK_ROBOT).astype(np.uint8)
    label[target.geoms] = MASK_TARGET
    number = np.zeros_like(label)
    for i, body in enumerate(beside, 1):
        label[body.geoms], number[body.geoms] = MASK_OTHER, i
    others = extras.others + len(meshes)
    scene = Scene(
        model=model, data=mujoco.MjData(model), robot=robot,
        arm=Arm(
            qpos=_addresses(model, robot.joints), finger_qpos=_addresses(model, grip.joints),
            follower_qpos=_addresses(model, [name for name, _, _ in grip.follow]),
            ctrl=np.array([model.actuator(f"arm_{name}").id for name in robot.joints]),
            finger_ctrl=np.array([model.actuator(f"grip_{name}").id for name in grip.joints]),
            site=model.site(grip.site).id,
        ),
        target=target, others=tuple(beside[:others]), distractors=tuple(beside[others:]), looks=_looks(model, label),
        label=label, number=number, is_object=label == MASK_TARGET, is_gripper=under_hand[model.geom_bodyid],
        loaded=("" if obj is None else obj.id,),
    )
    scene.looks.read_target(model, target.geoms[model.geom_group[target.geoms] == VISIBLE])
    return scene


def _addresses(model: Any, joints: Sequence[str]) -> Indices:
    return np.array([model.joint(name).qposadr[0] for name in joints], np.int64)


def _body(model: Any, name: str) -> Body:
    joint, body = model.joint(name), model.body(name).id
    qpos, qvel = int(joint.qposadr[0]), int(joint.dofadr[0])
    return Body(body, slice(qpos, qpos + 7), slice(qvel, qvel + 6), np.flatnonzero(model.geom_bodyid == body))


def _looks(model: Any, label: Mask) -> Looks:
    def materials(prefix: str, looks: Sequence[Any]) -> tuple[int, ...]:
        return tuple(model.material(f"{prefix}{i}").id for i in range(len(looks)))

    robot = np.flatnonzero((label == MASK_ROBOT) & (model.geom_group == VISIBLE))
    return Looks(
        table_materials=materials("table", TABLES), background_materials=materials("background", BACKGROUNDS),
        table_geom=model.geom("table").id, background_geoms=(model.geom("floor").id, model.geom("wall").id),
        light_diffuse=model.light_diffuse.copy(), light_dir=model.light_dir.copy(),
        headlight_ambient=model.vis.headlight.ambient.copy(),
        robot_visuals=robot, robot_rgba=model.geom_rgba[robot].copy(),
        print_material=mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_MATERIAL, "print"),
    )


def scene_hash(config: EnvConfig, obj: GraspObject, others: tuple[str, ...] = ()) -> str:
    """Returns the hash of everything that the meaning of a stored simulator state depends on.

    Args:
        config: environment configuration.
        obj: the object.
        others: ids of the objects beside it.
    """
    if obj not in _SHAPES:  # every frame that is drawn again asks
        spelled = "".join(f"{g.kind}{g.size}{g.pos}{g.quat}" for g in obj.geoms)
        _SHAPES[obj] = spelled, np.concatenate([np.zeros((1, 3)), *obj.parts]).astype(np.float32).tobytes()
    geoms, parts = _SHAPES[obj]
    mass, physics_dt = f"{obj.mass:.6f}", str(config.physics_dt)
    return content_hash(SCENE_VERSION, config.robot, physics_dt, obj.id, geoms, parts, mass, *others)
