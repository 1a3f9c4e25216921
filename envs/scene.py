"""Builds the MuJoCo scene: table, robot, cameras, lights and one object, which is slots for toys or meshes for scans."""

from __future__ import annotations

import copy
import dataclasses
import functools
import threading
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import ConfigError
from toyshift.core.files import content_hash
from toyshift.envs.config import EnvConfig
from toyshift.envs.robots import Robot, asset_path, get_robot
from toyshift.envs.rotations import matrix_to_quat
from toyshift.envs.textures import BACKGROUNDS, TABLES, texture
from toyshift.envs.visuals import robot_visuals
from toyshift.toys.model import Geom, GraspObject

SLOTS = 104  # collision primitives of one toy: five hoops of twenty segments fit
DISTRACTOR_SLOTS = 24  # of one distractor: a hoop and some more
VISIBLE, HIDDEN = 1, 4  # geom groups: only group 1 is drawn
OBJECT = "object"
SCENE_VERSION = "1"
# twice the usual 4 ms step: MuJoCo scales contact stiffness with mass, and a gripper sinks into light toys otherwise
STIFF = (0.008, 1.0)
GEOM_TYPES = {
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
}
TABLE = (0.45, 0.6)  # half sides of the table [m]
PRINT_SIDE = 64  # [pixels]
FRONT_TARGET = (0.5, 0.0, 0.05)  # what the front camera looks at [m]
FRONT_DISTANCE, FRONT_ELEVATION, FRONT_FOVY = 0.8, 45.0, 40.0  # [m], [deg], [deg]


@dataclasses.dataclass(frozen=True)
class Extras:
    """What a scene has that the training scene does not: compiled only where a shift asks for it.

    Attributes:
        distractors: bodies for other toys.
        print: whether there is a material with a pattern for primitives.
    """

    distractors: int = 0
    print: bool = False


NO_EXTRAS = Extras()


@dataclasses.dataclass(frozen=True)
class Slots:
    """A distractor's body: its id, its free joint's addresses in qpos (7), and the geom ids of its slots."""

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
        arm_qpos, finger_qpos: addresses in qpos; arm_ctrl, finger_ctrl: addresses in ctrl.
        label: per geom, the value in masks (0 background, 1 target, 3 robot).
        is_object, is_gripper: per geom, used to classify contacts.
        table_materials, background_materials: material ids of the looks.
        object_visuals: geom ids that draw the object; own_colours are their material ids and colours.
        light_diffuse, headlight_ambient: the lights as compiled.
        loaded: id of the object that is in the scene.
        others, distractors: ids of the other toys in the scene, and their bodies.
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


def front_camera_pose(azimuth: float = 0.0, raised: float = 0.0, distance: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns position (3,) [m] and rotation (3, 3), columns right, up and backward, of the front camera.

    Args:
        azimuth: turn about the vertical through FRONT_TARGET [deg]; 0 faces the robot.
        raised: added to the elevation [deg].
        distance: factor on the distance.
    """
    elevation, turn = np.radians(FRONT_ELEVATION + raised), np.radians(azimuth)
    back = np.array([np.cos(elevation) * np.cos(turn), np.cos(elevation) * np.sin(turn), np.sin(elevation)])
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    return np.asarray(FRONT_TARGET) + FRONT_DISTANCE * distance * back, np.stack([right, np.cross(back, right), back], axis=1)


@functools.cache
def _robot_xml(robot: Robot) -> tuple[Any, Any, list[Any]]:
    """Reads arm and gripper, and their decimated visuals; the specs are templates and are copied by their users."""
    arm_path, gripper_path = asset_path(robot.file), asset_path(robot.gripper.file)
    arm, gripper = mujoco.MjSpec.from_file(str(arm_path)), mujoco.MjSpec.from_file(str(gripper_path))
    pieces = robot_visuals(arm, arm_path.parent) + robot_visuals(gripper, gripper_path.parent)
    for spec in (arm, gripper):
        for geom in list(spec.geoms):
            if geom.group == VISIBLE:
                spec.delete(geom)
        used = {geom.meshname for geom in spec.geoms if geom.meshname}
        for mesh in list(spec.meshes):
            if mesh.name not in used:
                spec.delete(mesh)
        for material in list(spec.materials):
            spec.delete(material)
        for actuator in list(spec.actuators):
            spec.delete(actuator)
        for sensor in list(spec.sensors):
            spec.delete(sensor)
        for camera in list(spec.cameras):
            spec.delete(camera)
        for site in list(spec.sites):
            if site.name != robot.gripper.site:
                spec.delete(site)
    return arm, gripper, pieces


def _add_robot(spec: Any, robot: Robot) -> None:
    arm, gripper, pieces = _robot_xml(robot)
    arm, gripper = arm.copy(), gripper.copy()
    mount = arm.body(robot.mount)
    arm.attach(gripper, frame=mount.add_frame(), prefix="")
    position, quat, fovy = robot.wrist_camera
    arm.body(robot.mount).add_camera(name="wrist", pos=position, quat=quat, fovy=fovy)
    for i, piece in enumerate(pieces):
        arm.add_mesh(name=f"visual{i}", uservert=piece.vertices.ravel().tolist(), userface=piece.faces.ravel().tolist(), inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL)
        arm.body(piece.body).add_geom(
            name=f"robot_visual{i}", type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"visual{i}", rgba=piece.rgba,
            group=VISIBLE, contype=0, conaffinity=0, mass=0,
        )
    for body in arm.bodies:
        body.gravcomp = 1.0
    spec.attach(arm, frame=spec.worldbody.add_frame(), prefix="")
    grip = robot.gripper
    for geom in spec.geoms:
        if geom.name.startswith("finger"):
            geom.solref = STIFF
    for name in grip.joints:
        joint = spec.joint(name)
        joint.armature, joint.frictionloss = grip.armature, 0.0
        # a number up to MuJoCo 3.8, the coefficients of a polynomial from 3.9 on
        joint.damping = np.array([grip.damping, 0.0, 0.0]) if np.ndim(joint.damping) else grip.damping
    for name, kp, force in zip(robot.joints, robot.kp, robot.force, strict=True):
        actuator = spec.add_actuator(name=f"arm_{name}", target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=kp, dampratio=1.0)
        actuator.forcelimited, actuator.forcerange = True, (-force, force)
    for name in grip.joints:
        actuator = spec.add_actuator(name=f"grip_{name}", target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
        actuator.set_to_position(kp=grip.kp)
        actuator.forcelimited, actuator.forcerange = True, (-grip.force, grip.force)


def _add_texture(spec: Any, name: str, image: NDArray[np.uint8]) -> None:
    added = spec.add_texture(name=name, type=mujoco.mjtTexture.mjTEXTURE_2D, width=image.shape[1], height=image.shape[0], nchannel=3)
    added.data = image.tobytes()


def _add_surroundings(spec: Any) -> None:
    for kind, looks in (("table", TABLES), ("background", BACKGROUNDS)):
        for i, (pattern, first, second) in enumerate(looks):
            image = texture(pattern, first, second, seed=i)
            _add_texture(spec, f"{kind}{i}", image)
            material = spec.add_material(name=f"{kind}{i}", texrepeat=(2, 2) if kind == "table" else (6, 6), specular=0.1, shininess=0.1, reflectance=0.0)
            material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = f"{kind}{i}"
    world = spec.worldbody
    # the table collides as an infinite plane: the most stable contact MuJoCo has, and nothing can fall off
    # (a plane's third size is the spacing of the grid it is drawn with: small spacings cost thousands of triangles)
    world.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(*TABLE, 5), pos=(0.45, 0, 0), material="table0", group=VISIBLE, friction=(1.0, 0.005, 0.0001), solref=STIFF)
    still = {"contype": 0, "conaffinity": 0, "group": VISIBLE, "material": "background0"}
    world.add_geom(name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(3, 3, 5), pos=(0, 0, -0.75), **still)
    world.add_geom(name="wall", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.02, 3, 2), pos=(-1.2, 0, 0.5), **still)
    world.add_light(name="key", pos=(0.9, 0.5, 1.8), dir=(-0.3, -0.35, -1), diffuse=(0.55, 0.55, 0.55), specular=(0.15, 0.15, 0.15), type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    world.add_light(name="fill", pos=(0.2, -0.9, 1.6), dir=(0.2, 0.5, -1), diffuse=(0.3, 0.3, 0.3), specular=(0, 0, 0), castshadow=False, type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    position, rotation = front_camera_pose()
    world.add_camera(name="front", pos=position, quat=matrix_to_quat(rotation), fovy=FRONT_FOVY)
    # for people: from the side and far enough to show a lifted object
    film = np.array([0.78, -0.45, 0.44]) / np.linalg.norm([0.78, -0.45, 0.44])
    right = np.cross([0.0, 0.0, 1.0], film)
    right /= np.linalg.norm(right)
    world.add_camera(name="film", pos=np.array([0.45, 0.0, 0.2]) + 1.35 * film, quat=matrix_to_quat(np.stack([right, np.cross(film, right), film], axis=1)), fovy=40)


def _add_slots(body: Any, prefix: str = "", count: int = SLOTS) -> None:
    for i in range(count):
        # off-centre, so that the compiled body is not "simple": MuJoCo ignores a new inertia frame of a simple body
        body.add_geom(name=f"{prefix}slot{i}", type=mujoco.mjtGeom.mjGEOM_BOX, size=(0.01, 0.01, 0.01), pos=(0.001 * (i + 1), 0.002, 0.003), group=HIDDEN, condim=4, solref=STIFF, density=400)


def _add_extras(spec: Any, extras: Extras) -> None:
    for i in range(extras.distractors):
        # far from the table's middle: an object that settles must not meet them
        body = spec.worldbody.add_body(name=f"distractor{i}", pos=(3.0 + 0.5 * i, 0.0, 0.3))
        body.add_freejoint(name=f"distractor{i}")
        _add_slots(body, f"distractor{i}_", DISTRACTOR_SLOTS)
    if extras.print:
        cube = spec.add_texture(name="print", type=mujoco.mjtTexture.mjTEXTURE_CUBE, width=PRINT_SIDE, height=6 * PRINT_SIDE, nchannel=3)
        cube.data = bytes([255]) * (18 * PRINT_SIDE**2)
        spec.add_material(name="print", specular=0.5, shininess=0.5).textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "print"


def _add_mesh_object(spec: Any, body: Any, obj: GraspObject) -> None:
    values, vectors = _principal(obj.inertia)
    body.explicitinertial = True
    body.mass, body.ipos, body.inertia, body.iquat = obj.mass, obj.com, values, matrix_to_quat(vectors)
    for i, part in enumerate(obj.parts):
        spec.add_mesh(name=f"part{i}", uservert=np.asarray(part, np.float32).ravel().tolist(), inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_CONVEX)
        body.add_geom(name=f"part{i}", type=mujoco.mjtGeom.mjGEOM_MESH, meshname=f"part{i}", group=HIDDEN, condim=4, solref=STIFF, friction=obj.friction, mass=0)
    for i, geom in enumerate(obj.geoms):
        group = HIDDEN if obj.visual is not None else VISIBLE
        body.add_geom(
            name=f"geom{i}", type=GEOM_TYPES[geom.kind], size=geom.size, pos=geom.pos, quat=geom.quat, rgba=geom.rgba,
            group=group, condim=4, solref=STIFF, friction=obj.friction, mass=0,
        )
    if obj.visual is None:
        return
    visual = obj.visual
    extra: dict[str, Any] = {}
    if visual.uv is not None and visual.texture is not None:
        uv = np.array(visual.uv, np.float32)
        uv[:, 1] = 1.0 - uv[:, 1]  # MuJoCo's v runs down the image
        extra = {"usertexcoord": uv.ravel().tolist(), "userfacetexcoord": visual.faces.ravel().tolist()}
        _add_texture(spec, "skin", visual.texture)
        spec.add_material(name="skin", specular=0.2, shininess=0.3).textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "skin"
    spec.add_mesh(name="shape", uservert=visual.vertices.ravel().tolist(), userface=visual.faces.ravel().tolist(), inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL, **extra)
    geom = body.add_geom(name="shape", type=mujoco.mjtGeom.mjGEOM_MESH, meshname="shape", group=VISIBLE, contype=0, conaffinity=0, mass=0)
    if extra:
        geom.material = "skin"
    else:
        geom.rgba = visual.rgba


def _principal(inertia: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns principal moments (3,) and a right-handed rotation (3, 3) whose columns are the principal axes."""
    values, vectors = np.linalg.eigh(inertia)
    if np.linalg.det(vectors) < 0:
        vectors[:, 0] *= -1
    return values, vectors


def uses_slots(obj: GraspObject) -> bool:
    """Whether an object is written into the slots of the shared model instead of getting a model of its own."""
    return obj.visual is None and not obj.parts and len(obj.geoms) <= SLOTS


def build_scene(config: EnvConfig, obj: GraspObject | None = None, extras: Extras = NO_EXTRAS) -> Scene:
    """Makes a scene with slots for toys (obj=None; compiled once per process and copied), or compiles one for a mesh object."""
    template = config.robot, config.physics_dt, config.centre, extras
    with _compiling:
        model = copy.copy(_toy_model(*template)) if obj is None else _compiled(*template, obj)
    return _resolved(model, get_robot(config.robot), obj, extras)


_compiling = threading.Lock()  # the robots' specs are shared between threads


@functools.lru_cache(maxsize=4)
def _toy_model(robot: str, physics_dt: float, centre: tuple[float, float], extras: Extras) -> Any:
    """Compiles a template; a copy of it costs a tenth of compiling it again, and is the same to the last bit."""
    return _compiled(robot, physics_dt, centre, extras, None)


def _compiled(robot: str, physics_dt: float, centre: tuple[float, float], extras: Extras, obj: GraspObject | None) -> Any:
    spec = mujoco.MjSpec()
    spec.option.timestep = physics_dt
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
    spec.option.impratio = 10
    spec.option.disableflags |= mujoco.mjtDisableBit.mjDSBL_MIDPHASE  # its tree is built when compiling, slots move later
    spec.visual.global_.offwidth = spec.visual.global_.offheight = 1024
    spec.visual.map.znear, spec.visual.map.zfar = 0.01, 20.0
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse, spec.visual.headlight.specular = (0.35,) * 3, (0.15,) * 3, (0.0,) * 3
    spec.stat.extent, spec.stat.center = 1.0, (0.5, 0.0, 0.2)
    _add_surroundings(spec)
    _add_robot(spec, get_robot(robot))
    body = spec.worldbody.add_body(name=OBJECT, pos=(centre[0], centre[1], 0.3))
    body.add_freejoint(name=OBJECT)
    if obj is None:
        _add_slots(body)
    else:
        _add_mesh_object(spec, body, obj)
    _add_extras(spec, extras)
    try:
        return spec.compile()
    except ValueError as error:
        raise ConfigError(f"MuJoCo cannot compile the scene{f' with {obj.id}' if obj else ''}: {error}") from error


def build_object_scene(obj: GraspObject) -> Scene:
    """Compiles a bright scene with one object, no robot, and the camera "portrait", for pictures."""
    spec = mujoco.MjSpec()
    spec.visual.map.znear, spec.visual.map.zfar = 0.005, 20.0
    spec.visual.headlight.ambient, spec.visual.headlight.diffuse = (0.5,) * 3, (0.35,) * 3
    spec.stat.extent, spec.stat.center = 1.0, (0.0, 0.0, 0.0)
    world = spec.worldbody
    world.add_geom(name="ground", type=mujoco.mjtGeom.mjGEOM_PLANE, size=(3, 3, 5), rgba=(0.93, 0.93, 0.95, 1), group=VISIBLE)
    world.add_light(name="key", pos=(0.6, -0.4, 1.0), dir=(-0.5, 0.35, -0.9), diffuse=(0.5,) * 3, type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL)
    turn, lift = np.radians(-55.0), np.radians(35.0)
    back = np.array([np.cos(lift) * np.cos(turn), np.cos(lift) * np.sin(turn), np.sin(lift)])
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    world.add_camera(name="portrait", pos=back, quat=matrix_to_quat(np.stack([right, np.cross(back, right), back], axis=1)), fovy=30)
    body = world.add_body(name=OBJECT)
    body.add_freejoint(name=OBJECT)
    _add_mesh_object(spec, body, obj)
    model = spec.compile()
    index = model.body(OBJECT).id
    nothing = np.zeros(0, np.int64)
    is_object = model.geom_bodyid == index
    visuals = np.flatnonzero(is_object & (model.geom_group == VISIBLE))
    return Scene(
        model=model, data=mujoco.MjData(model), robot=get_robot("panda"), slots=nothing, object_body=index, object_qpos=slice(0, 7), object_qvel=slice(0, 6),
        arm_qpos=nothing, finger_qpos=nothing, arm_ctrl=nothing, finger_ctrl=nothing, site=-1, label=is_object.astype(np.uint8), is_object=is_object,
        is_gripper=np.zeros(model.ngeom, bool), table_materials=(), background_materials=(), table_geom=0, background_geoms=(), object_visuals=visuals,
        own_colours=(model.geom_matid[visuals].copy(), model.geom_rgba[visuals].copy()), light_diffuse=model.light_diffuse.copy(),
        headlight_ambient=model.vis.headlight.ambient.copy(), loaded=obj.id,
    )


def _resolved(model: Any, robot: Robot, obj: GraspObject | None, extras: Extras) -> Scene:
    def names(prefix: str, count: int) -> tuple[int, ...]:
        return tuple(model.material(f"{prefix}{i}").id for i in range(count))

    body = model.body(OBJECT).id
    joint = model.joint(OBJECT)
    is_object = model.geom_bodyid == body
    hand = model.body("right_gripper").id
    under_hand = np.zeros(model.nbody, bool)
    for i in range(model.nbody):
        under_hand[i] = i == hand or under_hand[model.body_parentid[i]]
    is_gripper = under_hand[model.geom_bodyid]
    visuals = np.flatnonzero(is_object & (model.geom_group == VISIBLE))
    label = np.where(is_object, 1, np.where(model.geom_bodyid == 0, 0, 3)).astype(np.uint8)
    distractors = tuple(_distractor(model, i) for i in range(extras.distractors))
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


def _distractor(model: Any, index: int) -> Slots:
    name = f"distractor{index}"
    start = int(model.joint(name).qposadr[0])
    geoms = np.array([model.geom(f"{name}_slot{i}").id for i in range(DISTRACTOR_SLOTS)])
    return Slots(model.body(name).id, slice(start, start + 7), geoms)


def write_toy(scene: Scene, obj: GraspObject) -> None:
    """Writes a toy into the slots: the model then behaves as if it had been compiled for this toy."""
    model = scene.model
    fill_slots(model, scene.slots, scene.object_body, obj)
    mujoco.mj_setConst(model, scene.data)
    scene.object_visuals = scene.slots[: len(obj.geoms)]
    scene.own_colours = (model.geom_matid[scene.object_visuals].copy(), model.geom_rgba[scene.object_visuals].copy())
    scene.loaded = obj.id


def fill_slots(model: Any, slots: NDArray[np.int64], body: int, obj: GraspObject) -> None:
    """Writes a toy into slots and their body; `mj_setConst` must follow."""
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
    values, vectors = _principal(obj.inertia)
    model.body_mass[body], model.body_inertia[body] = obj.mass, values
    model.body_ipos[body], model.body_iquat[body] = obj.com, matrix_to_quat(vectors)
    model.body_contype[body] = model.body_conaffinity[body] = 1


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


def scene_hash(config: EnvConfig, obj: GraspObject, others: tuple[str, ...] = ()) -> str:
    """Returns the hash of everything that the meaning of a stored simulator state depends on.

    Args:
        config: environment configuration.
        obj: the object.
        others: ids of the distractors.
    """
    geoms = "".join(f"{g.kind}{g.size}{g.pos}{g.quat}" for g in obj.geoms)
    parts = np.concatenate([np.zeros((1, 3)), *obj.parts]).astype(np.float32).tobytes()
    return content_hash(SCENE_VERSION, config.robot, str(config.physics_dt), obj.id, geoms, parts, f"{obj.mass:.6f}", *others)
