"""The scenes an environment plays on: one shared model for toys, a bounded cache of models for mesh objects."""

from __future__ import annotations

from collections import OrderedDict

import mujoco
import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import UnknownNameError
from toyshift.envs.config import EnvConfig
from toyshift.envs.render import Renderer
from toyshift.envs.robots import get_robot
from toyshift.envs.rotations import matrix_to_quat
from toyshift.envs.scene import Scene, build_scene, front_camera_pose, uses_slots, write_toy
from toyshift.envs.shifts import OBJECT_COLOURS, Look
from toyshift.toys import load_objects
from toyshift.toys.model import GraspObject

Array = NDArray[np.float64]

SETTLE_TIME = 0.4  # [s]
PICTURE_SIZE = 512  # largest image that a renderer can make [pixels]


class Stage:
    """Loads objects into scenes, keeps their renderers, and writes robot, gripper and looks into the present one."""

    def __init__(self, config: EnvConfig) -> None:
        self.config = config
        self.robot = get_robot(config.robot)
        self.objects = load_objects(config.objects)
        self._toys: Scene | None = None
        self._meshes: OrderedDict[str, Scene] = OrderedDict()
        self._renderers: dict[int, Renderer] = {}
        self._settled: dict[tuple[str, int], tuple[Array, float]] = {}
        self._hulls: dict[str, Array] = {}
        self.scene: Scene
        self.object: GraspObject
        self.commanded_opening = 1.0

    def load(self, which: int | str) -> Scene:
        """Makes an object of the set (by index or id) the present one and returns its scene."""
        if isinstance(which, str):
            if which not in self.objects.ids:
                raise UnknownNameError(f"object of {self.config.objects}", which, self.objects.ids)
            obj = self.objects.by_id(which)
        else:
            if not 0 <= which < len(self.objects):
                raise UnknownNameError(f"object index of {self.config.objects}", str(which), (f"0..{len(self.objects) - 1}",))
            obj = self.objects[which]
        self.object = obj
        if uses_slots(obj):
            if self._toys is None:
                self._toys = build_scene(self.config)
            self.scene = self._toys
            if self.scene.loaded != obj.id:
                write_toy(self.scene, obj)
        else:
            self.scene = self._mesh_scene(obj)
        return self.scene

    def _mesh_scene(self, obj: GraspObject) -> Scene:
        if obj.id in self._meshes:
            self._meshes.move_to_end(obj.id)
            return self._meshes[obj.id]
        scene = build_scene(self.config, obj)
        self._meshes[obj.id] = scene
        if len(self._meshes) > self.config.max_models:
            _, oldest = self._meshes.popitem(last=False)
            renderer = self._renderers.pop(id(oldest), None)
            if renderer is not None:
                renderer.close()
        return scene

    @property
    def hull(self) -> Array:
        """Vertices (n, 3) of the present object's convex hull, object frame [m]."""
        if self.object.id not in self._hulls:
            self._hulls[self.object.id] = np.asarray(self.object.mesh.convex_hull.vertices, dtype=np.float64)
        return self._hulls[self.object.id]

    def settled(self, pose: int) -> tuple[Array, float]:
        """Returns quaternion (wxyz) and height [m] of the present object after it has come to rest from a rest pose.

        Settled alone, once per object and pose, so that it does not depend on what was played before.
        """
        key = (self.object.id, pose)
        if key not in self._settled:
            scene, rest = self.scene, self.object.rest_poses[pose]
            mujoco.mj_resetData(scene.model, scene.data)
            self.write_robot(np.asarray(self.robot.home), opening=1.0)
            scene.data.qpos[scene.object_qpos] = [*self.config.centre, rest.height + 0.001, *rest.quat]
            mujoco.mj_step(scene.model, scene.data, nstep=round(SETTLE_TIME / self.config.physics_dt))
            qpos = scene.data.qpos[scene.object_qpos]
            self._settled[key] = (qpos[3:].copy(), float(qpos[2]))
        return self._settled[key]

    def write_robot(self, joints: Array, opening: float) -> None:
        """Puts the arm at joint angles (n,) [rad] and the gripper at an opening (0..1), commanded and measured."""
        scene, data = self.scene, self.scene.data
        data.qpos[scene.arm_qpos] = joints
        data.ctrl[scene.arm_ctrl] = joints
        data.qpos[scene.finger_qpos] = opening * np.asarray(self.robot.gripper.open_ctrl)
        self.command_gripper(opening)

    def command_gripper(self, opening: float, seconds: float = np.inf) -> None:
        """Commands the gripper: 1 open, 0 closed; the target moves no further than the gripper's speed allows in `seconds`."""
        gripper = self.robot.gripper
        reach = gripper.speed * seconds
        self.commanded_opening = float(np.clip(opening, self.commanded_opening - reach, self.commanded_opening + reach))
        opening = self.commanded_opening
        closed, opened = np.asarray(gripper.closed_ctrl), np.asarray(gripper.open_ctrl)
        self.scene.data.ctrl[self.scene.finger_ctrl] = closed + opening * (opened - closed)

    def read_command(self) -> None:
        """Takes the commanded opening from the controls, after a simulator state has been loaded."""
        gripper = self.robot.gripper
        closed, opened = gripper.closed_ctrl[0], gripper.open_ctrl[0]
        self.commanded_opening = float((self.scene.data.ctrl[self.scene.finger_ctrl[0]] - closed) / (opened - closed))

    def opening(self) -> float:
        """Measured gripper opening, 0 closed to 1 open."""
        return float(np.mean(self.scene.data.qpos[self.scene.finger_qpos] / np.asarray(self.robot.gripper.open_ctrl)))

    def apply(self, look: Look) -> None:
        """Writes a look into the present scene's model."""
        scene = self.scene
        model = scene.model
        model.geom_matid[scene.table_geom] = scene.table_materials[look.table]
        model.geom_matid[list(scene.background_geoms)] = scene.background_materials[look.background]
        model.light_diffuse[:] = scene.light_diffuse * look.light
        model.vis.headlight.ambient[:] = scene.headlight_ambient * look.light
        position, rotation = front_camera_pose(look.azimuth)
        front = model.camera("front").id
        model.cam_pos[front], model.cam_quat[front] = position, matrix_to_quat(rotation)
        visuals, (material, rgba) = scene.object_visuals, scene.own_colours
        if look.object_colour:
            model.geom_matid[visuals] = -1
            model.geom_rgba[visuals] = (*OBJECT_COLOURS[look.object_colour], 1.0)
        else:
            model.geom_matid[visuals], model.geom_rgba[visuals] = material, rgba

    def renderer(self) -> Renderer:
        """Returns the renderer of the present scene, made on first use."""
        key = id(self.scene)
        if key not in self._renderers:
            self._renderers[key] = Renderer(self.scene, self.config.quality, max(PICTURE_SIZE, self.config.image_size))
        return self._renderers[key]

    def close(self) -> None:
        """Frees every renderer."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
