"""Builds what an episode is played with: the objects and their scene, of which few are compiled and kept."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import mujoco
import numpy as np
from scipy.spatial import ConvexHull

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, UnknownNameError, shown
from toyshift.envs.config import EnvConfig
from toyshift.envs.control.gripper import write_robot
from toyshift.envs.render.renderer import Renderer
from toyshift.envs.robots import get_robot
from toyshift.envs.scene.bodies import uses_slots, write_toy, write_toys
from toyshift.envs.scene.build import NO_EXTRAS, Extras, build_scene
from toyshift.envs.scene.scene import Scene
from toyshift.envs.scene.surroundings import TABLE
from toyshift.envs.shifted.distractors import POOL, choose_distractors
from toyshift.envs.shifted.varied_object import varied_key, varied_object
from toyshift.envs.shifts import TRAINING, Variation
from toyshift.envs.tasks.pick import choose_others, phrase
from toyshift.envs.tasks.success import Thing
from toyshift.toys import load_objects
from toyshift.toys.model import GraspObject

SETTLE_TIME, SETTLE_ROUND = 0.4, 0.04  # at most, and between two looks at whether it has come to rest [s]
STILL = np.array([0.002] * 3 + [0.02] * 3)  # an object that moves less is at rest [m/s], [rad/s]
KEPT = 2000  # objects whose hull, and rest poses and starts whose end, are remembered
PICTURE_SIZE = 512  # largest image that a renderer can make [pixels]


@dataclasses.dataclass(frozen=True)
class Setting:
    """What an episode is played with.

    Attributes:
        scene: the scene that all is in.
        object: the target, as shifts make it; `key` tells its variants apart.
        others: objects beside it that belong to the task, in the order of `scene.others`.
        distractors: those that a shift asks for, in the order of `scene.distractors`.
        things: all of them, the target first.
    """

    scene: Scene
    object: GraspObject
    key: str
    others: list[GraspObject]
    distractors: list[GraspObject]
    things: list[Thing]


class Stage:
    """Loads objects into scenes and keeps those, their renderers, and what it finds out about objects; no episode."""

    def __init__(self, config: EnvConfig) -> None:
        self.config = config
        self.robot = get_robot(config.robot)
        self.objects = load_objects(config.objects)
        if len(self.objects) <= config.others[1]:
            raise ConfigError(
                f"{config.objects} has {len(self.objects)} objects; a target and {config.others[1]} others are to lie "
                "on the table: choose a larger set, or less clutter"
            )
        self._toys: Scene | None = None
        # of mesh objects, clutter and shifts
        self._scenes: OrderedDict[tuple[str, Extras, tuple[str, ...]], Scene] = OrderedDict()
        self._renderers: dict[int, Renderer] = {}
        self._settled: dict[tuple[str, int], tuple[Array, float]] = {}
        self._together: dict[tuple[Any, ...], list[Array]] = {}
        self._hulls: dict[str, Array] = {}

    # ---------------------------------------------------------------- objects

    def find(self, which: int | str) -> GraspObject:
        """Returns an object of the set by index or id, or raises UnknownNameError."""
        if not isinstance(which, str | int | np.integer) or isinstance(which, bool):
            raise ConfigError(f"object is {shown(which)}; it must be an id or an index of {self.config.objects}")
        if isinstance(which, str):
            if which not in self.objects.ids:
                raise UnknownNameError(f"object of {self.config.objects}", which, self.objects.ids)
            return self.objects.by_id(which)
        if not 0 <= which < len(self.objects):
            indices = f"0..{len(self.objects) - 1}"
            raise UnknownNameError(f"object index of {self.config.objects}", str(which), (indices,))
        return self.objects[which]

    def draw_others(self, target: GraspObject, rng: np.random.Generator) -> list[GraspObject]:
        """Draws as many other objects of the set as the configuration has lie beside the target; for Pick, none by
        another's name.
        """
        if not self.config.others[1]:
            return []
        name = phrase if self.config.task == "pick" else lambda obj: obj.id
        return choose_others(self.objects, target, self.config.draw_others(rng), rng, name)

    def draw_distractors(
        self, target: GraspObject, others: Sequence[GraspObject], variation: Variation, rng: np.random.Generator
    ) -> list[GraspObject]:
        """Draws as many toys as a variation puts on the table besides; for Pick, none by the name of what is there."""
        count = self._extras(variation).distractors
        if not count:
            return []
        present, name = [target, *others], phrase if self.config.task == "pick" else None
        pool = self.objects if uses_slots(target) else load_objects(POOL)
        chosen = choose_distractors(pool, present, count, rng, name)
        return chosen if len(chosen) == count else choose_distractors(load_objects(POOL), present, count, rng, name)

    def _hull(self, key: str, obj: GraspObject) -> Array:
        """Returns the vertices (n, 3) of an object's convex hull, object frame [m]."""
        if key not in self._hulls:
            vertices = np.asarray(obj.mesh.vertices, dtype=np.float64)
            hull = self._hulls[key] = vertices[ConvexHull(vertices).vertices]
            if (widest := float(np.ptp(hull, axis=0).max())) > 2 * min(TABLE):
                del self._hulls[key]
                table = " x ".join(f"{2 * side:.1f} m" for side in TABLE)
                raise ConfigError(
                    f"{obj.id} is {widest:.2f} m long: larger than the table ({table}); is its mesh in m?"
                )
            _forget(self._hulls)
        return self._hulls[key]

    # ---------------------------------------------------------------- scenes

    def load(
        self, obj: GraspObject, variation: Variation = TRAINING, others: Sequence[GraspObject] = (),
        distractors: Sequence[GraspObject] = (),
    ) -> Setting:
        """Puts an object of the set, as a variation makes it, and what lies beside it into a scene.

        Args:
            obj: the target.
            variation: what shifts come to.
            others: objects beside it that belong to the task.
            distractors: what `draw_distractors` gave for the variation.

        Raises:
            ConfigError: an object is larger than the table.
        """
        target, key = varied_object(obj, variation), varied_key(obj, variation)
        toys, meshes = ([other for other in others if uses_slots(other) == slots] for slots in (True, False))
        beside = [*toys, *meshes, *distractors]
        hulls = [self._hull(name, one) for name, one in ((key, target), *((one.id, one) for one in beside))]
        scene = self._scene(key, target, dataclasses.replace(self._extras(variation), others=len(toys)), meshes)
        if uses_slots(target) and scene.loaded[0] != key:
            write_toy(scene, target, key)
        loaded = (key, *(one.id for one in beside))
        if beside and scene.loaded != loaded:
            write_toys(scene, (*scene.others[: len(toys)], *scene.distractors), [*toys, *distractors])
        scene.loaded = loaded
        # of two surfaces the rougher counts, unless one has priority
        scene.model.geom_priority[scene.is_object] = int(target.friction != obj.friction)
        placed = zip((target, *beside), (scene.target, *scene.beside), hulls, strict=True)
        things = [Thing(one.id, body.body, hull) for one, body, hull in placed]
        return Setting(scene, target, key, [*toys, *meshes], list(distractors), things)

    def _extras(self, variation: Variation) -> Extras:
        extras = NO_EXTRAS
        for apply, drawn in variation.at("scene"):
            extras = apply(extras, drawn.value)
        return extras

    def _scene(self, key: str, target: GraspObject, extras: Extras, meshes: Sequence[GraspObject]) -> Scene:
        if (slots := uses_slots(target)) and extras == NO_EXTRAS and not meshes:
            self._toys = self._toys or build_scene(self.config)
            return self._toys
        name = "" if slots else key, extras, tuple(mesh.id for mesh in meshes)
        if name in self._scenes:
            self._scenes.move_to_end(name)
            return self._scenes[name]
        scene = self._scenes[name] = build_scene(self.config, None if slots else target, extras, meshes)
        if len(self._scenes) > self.config.max_models:
            _, oldest = self._scenes.popitem(last=False)
            renderer = self._renderers.pop(id(oldest), None)
            if renderer is not None:
                renderer.close()
        return scene

    def settled(self, setting: Setting, pose: int) -> tuple[Array, float]:
        """Returns quaternion (wxyz) and height [m] of the target after it has come to rest from a rest pose.

        Settled alone, once per object and pose, so that it does not depend on what was played before. Where other
        objects belong to the task it is the rest pose itself: all settle together in `place_others`.
        """
        scene, rest = setting.scene, setting.object.rest_poses[pose]
        if setting.others:
            return np.asarray(rest.quat), rest.height
        key = (f"{setting.key} {len(setting.distractors)}", pose)
        if key not in self._settled:
            mujoco.mj_resetData(scene.model, scene.data)
            write_robot(scene, np.asarray(self.robot.home))
            scene.data.qpos[scene.target.qpos] = [*self.config.centre, rest.height + 0.001, *rest.quat]
            for _ in range(round(SETTLE_TIME / SETTLE_ROUND)):
                mujoco.mj_step(scene.model, scene.data, nstep=round(SETTLE_ROUND / self.config.physics_dt))
                if (np.abs(scene.data.qvel[scene.target.qvel]) < STILL).all():
                    break
            qpos = scene.data.qpos[scene.target.qpos]
            self._settled[key] = (qpos[3:].copy(), float(qpos[2]))
            _forget(self._settled)
        return self._settled[key]

    def remembered(self, key: tuple[Any, ...], settle: Callable[[], list[Array]]) -> list[Array]:
        """Returns the poses (7,) in which the task's objects have come to rest together.

        Args:
            key: all that they depend on, beside the configuration.
            settle: finds them.
        """
        if key not in self._together:
            self._together[key] = settle()
            _forget(self._together)
        return self._together[key]

    # ---------------------------------------------------------------- renderers

    def renderer(self, scene: Scene) -> Renderer:
        """Returns a scene's renderer, made on first use."""
        if id(scene) not in self._renderers:
            size = max([PICTURE_SIZE, *map(max, self.config.image_sizes.values())])
            self._renderers[id(scene)] = Renderer(scene, self.config.quality, size)
        return self._renderers[id(scene)]

    def close(self) -> None:
        """Frees every renderer."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()


def _forget(kept: dict[Any, Any]) -> None:
    """Drops the oldest where there are too many."""
    if len(kept) > KEPT:
        del kept[next(iter(kept))]
