"""The scenes an environment plays on: one shared model for toys, a bounded cache of models for mesh objects and shifts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.envs.config import EnvConfig
from toyshift.envs.render.renderer import Renderer
from toyshift.envs.robots import get_robot
from toyshift.envs.scene.scene import NO_EXTRAS, Extras, Scene, build_scene, uses_slots, write_toy
from toyshift.envs.scene.surroundings import TABLE
from toyshift.envs.shifted.appearance import write_appearance
from toyshift.envs.shifted.distractors import POOL, Circle, choose_distractors, place_distractors, radius_of, write_toys
from toyshift.envs.shifted.varied_object import varied_key, varied_object
from toyshift.envs.shifts import TRAINING, Look, Variation
from toyshift.envs.tasks.pick import Placed, choose_others, phrase, resting, spread_out
from toyshift.envs.tasks.success import Thing
from toyshift.toys import load_objects
from toyshift.toys.model import GraspObject

Array = NDArray[np.float64]

SETTLE_TIME, SETTLE_ROUND = 0.4, 0.04  # at most, and between two looks at whether it has come to rest [s]
TOGETHER_ROUNDS = 100  # at most, for several objects
STILL = np.array([0.002] * 3 + [0.02] * 3)  # an object that moves less is at rest [m/s], [rad/s]
KEPT = 2000  # objects whose hull, and rest poses whose end, are remembered
PICTURE_SIZE = 512  # largest image that a renderer can make [pixels]


class Stage:
    """Loads objects into scenes, keeps their renderers, and writes robot, gripper and looks into the present one."""

    def __init__(self, config: EnvConfig) -> None:
        self.config = config
        self.robot = get_robot(config.robot)
        gripper = self.robot.gripper
        self._closed, self._shut = np.asarray(gripper.closed_ctrl), np.asarray(gripper.shut)  # of every finger: commanded, measured
        self._travel, self._span = np.asarray(gripper.open_ctrl) - self._closed, np.asarray(gripper.open_ctrl) - self._shut
        self.objects = load_objects(config.objects)
        if len(self.objects) <= config.others[1]:
            raise ConfigError(f"{config.objects} has {len(self.objects)} objects; a target and {config.others[1]} others are to lie on the table: choose a larger set, or less clutter")
        self._toys: Scene | None = None
        self._scenes: OrderedDict[tuple[str, Extras, tuple[str, ...]], Scene] = OrderedDict()  # of mesh objects, clutter and shifts
        self._renderers: dict[int, Renderer] = {}
        self._settled: dict[tuple[str, int], tuple[Array, float]] = {}
        self._hulls: dict[str, Array] = {}
        self.scene: Scene
        self.object: GraspObject
        self.others: list[GraspObject] = []  # that belong to the task
        self.distractors: list[GraspObject] = []  # that a shift asks for
        self.variation = TRAINING
        self._footprints: list[Circle] = []  # what target and others cover of the table
        self._key = ""
        self.commanded_opening = 1.0

    def find(self, which: int | str) -> GraspObject:
        """Returns an object of the set by index or id, or raises UnknownNameError."""
        if isinstance(which, str):
            if which not in self.objects.ids:
                raise UnknownNameError(f"object of {self.config.objects}", which, self.objects.ids)
            return self.objects.by_id(which)
        if not 0 <= which < len(self.objects):
            raise UnknownNameError(f"object index of {self.config.objects}", str(which), (f"0..{len(self.objects) - 1}",))
        return self.objects[which]

    def draw_others(self, which: int | str, rng: np.random.Generator) -> list[GraspObject]:
        """Draws as many other objects of the set as the configuration has lie beside the target; for Pick, none by the name of another."""
        low, high = self.config.others
        if not high:
            return []
        return choose_others(self.objects, self.find(which), int(rng.integers(low, high + 1)), rng, self._name)

    def _name(self, obj: GraspObject) -> str:
        """What has to differ between the objects on the table."""
        return phrase(obj) if self.config.task == "pick" else obj.id

    def load(self, which: int | str, variation: Variation = TRAINING, others: Sequence[GraspObject] = ()) -> Scene:
        """Makes an object of the set (by index or id), as a variation makes it, the present one and returns its scene.

        Args:
            which: index or id of the target.
            variation: what shifts come to.
            others: objects beside it that belong to the task.

        Raises:
            UnknownNameError: no such object.
            ConfigError: an object is larger than the table.
        """
        obj = self.find(which)
        self.variation = variation
        self.object, self._key = varied_object(obj, variation), varied_key(obj, variation)
        meshes = [other for other in others if not uses_slots(other)]
        toys = [other for other in others if uses_slots(other)]
        self.others = [*toys, *meshes]
        for key, one in ((self._key, self.object), *((other.id, other) for other in self.others)):
            self._check_size(key, one)
        extras = Extras(round(variation["distractors"]), "object-texture" in variation, len(toys))
        if not uses_slots(obj):
            self.scene = self._cached_scene(self._key, self.object, extras, meshes)
        elif extras == NO_EXTRAS and not meshes:
            self._toys = self._toys or build_scene(self.config)
            self.scene = self._toys
        else:
            self.scene = self._cached_scene("", None, extras, meshes)
        if uses_slots(obj) and self.scene.loaded != self._key:
            write_toy(self.scene, self.object)
            self.scene.loaded = self._key
        if self.others:
            write_toys(self.scene, self.scene.distractors[: len(toys)], toys)
        self.scene.others = (*(other.id for other in self.others), *self.scene.others[len(self.others) :])
        # of two surfaces the rougher counts, unless one has priority
        self.scene.model.geom_priority[self.scene.is_object] = int("object-friction" in variation)
        return self.scene

    def _cached_scene(self, target: str, obj: GraspObject | None, extras: Extras, meshes: Sequence[GraspObject]) -> Scene:
        key = target, extras, tuple(mesh.id for mesh in meshes)
        if key in self._scenes:
            self._scenes.move_to_end(key)
            return self._scenes[key]
        scene = build_scene(self.config, obj, extras, meshes)
        self._scenes[key] = scene
        if len(self._scenes) > self.config.max_models:
            _, oldest = self._scenes.popitem(last=False)
            renderer = self._renderers.pop(id(oldest), None)
            if renderer is not None:
                renderer.close()
        return scene

    @property
    def hull(self) -> Array:
        """Vertices (n, 3) of the present object's convex hull, object frame [m]."""
        return self._hull(self._key, self.object)

    def _hull(self, key: str, obj: GraspObject) -> Array:
        if key not in self._hulls:
            vertices = np.asarray(obj.mesh.vertices, dtype=np.float64)
            self._hulls[key] = vertices[ConvexHull(vertices).vertices]
            if len(self._hulls) > KEPT:
                del self._hulls[next(iter(self._hulls))]  # the oldest
        return self._hulls[key]

    def _check_size(self, key: str, obj: GraspObject) -> None:
        widest = 0.0 if key in self._hulls else float(np.ptp(self._hull(key, obj), axis=0).max())
        if widest > 2 * min(TABLE):
            raise ConfigError(f"{obj.id} is {widest:.2f} m long: larger than the table ({2 * TABLE[0]:.1f} m x {2 * TABLE[1]:.1f} m); is its mesh in metres?")

    @property
    def things(self) -> list[Thing]:
        """The objects on the table, the target first."""
        beside = zip(self.scene.distractors, (*self.others, *self.distractors), strict=True)
        return [Thing(self.object.id, self.scene.object_body, self.hull), *(Thing(obj.id, slots.body, self._hull(obj.id, obj)) for slots, obj in beside)]

    def load_distractors(self, rng: np.random.Generator) -> None:
        """Draws the toys that a shift puts on the table, as many as the present variation says, and writes them into the scene."""
        slots = self.scene.distractors[len(self.others) :]
        pool = self.objects if uses_slots(self.object) else load_objects(POOL)
        present, name = [self.object, *self.others], phrase if self.config.task == "pick" else None
        self.distractors = choose_distractors(pool, present, len(slots), rng, name) if slots else []
        if len(self.distractors) < len(slots):
            self.distractors = choose_distractors(load_objects(POOL), present, len(slots), rng, name)
        if slots:
            write_toys(self.scene, slots, self.distractors)
        self.scene.others = tuple(obj.id for obj in (*self.others, *self.distractors))

    def place_others(self, half: float, rng: np.random.Generator) -> None:
        """Puts the task's other objects on the table, lets everything settle with the arm at home, and keeps where it came to rest.

        The target's orientation is the one it has in the present state. In Grasp so is its place; in Pick all are spread out.

        Args:
            half: half side of the square in which a lone target would start [m].
            rng: draws orientations and places.
        """
        scene, data = self.scene, self.scene.data
        start = data.qpos[scene.object_qpos].copy()
        target = Placed(self.object, self.hull, start[3:], start[2])
        things = [target, *(resting(obj, self._hull(obj.id, obj), rng) for obj in self.others)]
        fixed = None if self.config.task == "pick" else start[:2] + target.com
        bodies = [scene.object_qpos, *(slots.qpos for slots in scene.distractors[: len(self.others)])]
        mujoco.mj_resetData(scene.model, data)
        self.write_robot(np.asarray(self.robot.home), opening=1.0)
        for qpos, pose in zip(bodies, spread_out(things, self.config.centre, half, rng, fixed), strict=True):
            data.qpos[qpos] = pose
        self._come_to_rest([scene.object_body, *(slots.body for slots in scene.distractors[: len(self.others)])])
        settled = [data.qpos[qpos].copy() for qpos in bodies]
        self._footprints = [(pose[:2] + now.com, now.radius) for pose, now in ((p, t._replace(quat=p[3:])) for p, t in zip(settled, things, strict=True))]
        mujoco.mj_resetData(scene.model, data)
        for qpos, pose in zip(bodies, settled, strict=True):
            data.qpos[qpos] = pose

    def _come_to_rest(self, bodies: Sequence[int]) -> None:
        """Steps until all bodies lie still; each is stopped whenever it gets slower, which finds the bottom of what it rolls in."""
        model, data = self.scene.model, self.scene.data
        dofs = model.body_dofadr[bodies][:, None] + np.arange(6)  # (m, 6)
        fastest, still = np.zeros(len(bodies)), 0
        for _ in range(TOGETHER_ROUNDS):
            mujoco.mj_step(model, data, nstep=round(SETTLE_ROUND / self.config.physics_dt))
            speeds = (np.abs(data.qvel[dofs]) / STILL).max(axis=1)
            still = still + 1 if (speeds < 1 / 8).all() else 0  # in a row: what begins to roll is slow, too
            if still == 3:
                break
            slower = speeds < fastest
            data.qvel[dofs[slower]] = 0.0
            fastest = np.where(slower, 0.0, speeds)

    def place_distractors(self, rng: np.random.Generator) -> None:
        """Puts a shift's toys around the target."""
        scene = self.scene
        around = (scene.data.qpos[scene.object_qpos][:2].copy(), radius_of(self.object))
        taken = [around, *(self._footprints[1:] if self.others else [])]
        place_distractors(scene, scene.distractors[len(self.others) :], self.distractors, taken, rng)

    def check_cameras(self) -> None:
        """Raises ConfigError where one of the observed cameras is inside an object."""
        model, data = self.scene.model, self.scene.data
        beside = [*self.others, *self.distractors]
        bodies = [(self.scene.object_body, self.object), *((slots.body, obj) for slots, obj in zip(self.scene.distractors, beside, strict=True))]
        radii = [float(np.linalg.norm(self.hull, axis=1).max()), *map(radius_of, beside)]
        for camera in self.config.camera_names:
            position = data.cam_xpos[model.camera(camera).id]
            for (body, obj), radius in zip(bodies, radii, strict=True):
                local = (position - data.xpos[body]) @ data.xmat[body].reshape(3, 3)
                if np.linalg.norm(local) < radius:
                    hull = obj.mesh.convex_hull
                    if (np.einsum("ij,ij->i", local - hull.triangles[:, 0], hull.face_normals) < 0).all():
                        raise ConfigError(f"camera {camera!r} is inside {obj.id}: move it with a look or shift, or choose a smaller object")

    def settled(self, pose: int) -> tuple[Array, float]:
        """Returns quaternion (wxyz) and height [m] of the present object after it has come to rest from a rest pose.

        Settled alone, once per object and pose, so that it does not depend on what was played before. Where other objects belong
        to the task it is the rest pose itself: all settle together in `place_others`.
        """
        if self.others:
            rest = self.object.rest_poses[pose]
            return np.asarray(rest.quat), rest.height
        key = (f"{self._key} {len(self.scene.distractors)}", pose)
        if key not in self._settled:
            scene, rest = self.scene, self.object.rest_poses[pose]
            mujoco.mj_resetData(scene.model, scene.data)
            self.write_robot(np.asarray(self.robot.home), opening=1.0)
            scene.data.qpos[scene.object_qpos] = [*self.config.centre, rest.height + 0.001, *rest.quat]
            for _ in range(round(SETTLE_TIME / SETTLE_ROUND)):
                mujoco.mj_step(scene.model, scene.data, nstep=round(SETTLE_ROUND / self.config.physics_dt))
                if (np.abs(scene.data.qvel[scene.object_qvel]) < STILL).all():
                    break
            qpos = scene.data.qpos[scene.object_qpos]
            self._settled[key] = (qpos[3:].copy(), float(qpos[2]))
            if len(self._settled) > KEPT:
                del self._settled[next(iter(self._settled))]
        return self._settled[key]

    def write_robot(self, joints: Array, opening: float) -> None:
        """Puts the arm at joint angles (n,) [rad] and the gripper at an opening (0..1), commanded and measured."""
        scene, data = self.scene, self.scene.data
        data.qpos[scene.arm_qpos] = joints
        data.ctrl[scene.arm_ctrl] = joints
        gripper = self.robot.gripper
        shut, opened = np.asarray(gripper.shut), np.asarray(gripper.open_ctrl)
        fingers = shut + opening * (opened - shut)
        data.qpos[scene.finger_qpos] = fingers
        data.qpos[scene.follower_qpos] = [ratio * fingers[gripper.joints.index(driver)] for _, driver, ratio in gripper.follow]
        self.command_gripper(opening)

    def command_gripper(self, opening: float, seconds: float = np.inf) -> None:
        """Commands the gripper: 1 open, 0 closed; the target moves no further than the gripper's speed allows in `seconds`."""
        gripper = self.robot.gripper
        reach = gripper.speed * seconds
        self.commanded_opening = min(max(float(opening), self.commanded_opening - reach), self.commanded_opening + reach)
        opening = self.commanded_opening
        self.scene.data.ctrl[self.scene.finger_ctrl] = self._closed + opening * self._travel

    def read_command(self) -> None:
        """Takes the commanded opening from the controls, after a simulator state has been loaded."""
        gripper = self.robot.gripper
        closed, opened = gripper.closed_ctrl[0], gripper.open_ctrl[0]
        self.commanded_opening = float((self.scene.data.ctrl[self.scene.finger_ctrl[0]] - closed) / (opened - closed))

    def opening(self) -> float:
        """Measured gripper opening, 0 closed to 1 open."""
        shares = (self.scene.data.qpos[self.scene.finger_qpos] - self._shut) / self._span
        return float(shares.sum() / len(shares))

    def apply(self, look: Look) -> None:
        """Writes a look, and the present variation, into the present scene's model."""
        write_appearance(self.scene, look, self.variation)

    def renderer(self) -> Renderer:
        """Returns the renderer of the present scene, made on first use."""
        key = id(self.scene)
        if key not in self._renderers:
            self._renderers[key] = Renderer(self.scene, self.config.quality, max([PICTURE_SIZE, *map(max, self.config.image_sizes.values())]))
        return self._renderers[key]

    def close(self) -> None:
        """Frees every renderer."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
