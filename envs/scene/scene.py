"""A compiled scene: MuJoCo's model and data with the ids that the environment needs, by what they belong to."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.arrays import Array, Float32, Image, Indices, Mask
from toyshift.envs.robots import Robot


@dataclasses.dataclass(frozen=True)
class Arm:
    """Where the robot is in MuJoCo's arrays.

    Attributes:
        qpos, finger_qpos, follower_qpos: addresses in qpos, of the arm's joints, the driven fingers' and those that
            follow.
        ctrl, finger_ctrl: addresses in ctrl.
        site: id of the grasp site.
    """

    qpos: Indices
    finger_qpos: Indices
    follower_qpos: Indices
    ctrl: Indices
    finger_ctrl: Indices
    site: int


@dataclasses.dataclass(frozen=True)
class Body:
    """Where an object is: its body's id, its free joint's addresses in qpos (7) and qvel (6), its geoms' ids."""

    body: int
    qpos: slice
    qvel: slice
    geoms: Indices


@dataclasses.dataclass
class Looks:
    """Looks as compiled, and where they are in the model.

    Attributes:
        table_materials, background_materials: ids of the materials that a Look chooses from.
        table_geom, background_geoms: ids of what carries them.
        light_diffuse, light_dir, headlight_ambient: the lights.
        robot_visuals, robot_rgba: geoms that draw the robot, and their colours.
        target_visuals, target_materials, target_rgba: those that draw the target; of toys, of the one that was written.
        print_material: id of the pattern for primitives, -1 where there is none.
    """

    table_materials: tuple[int, ...]
    background_materials: tuple[int, ...]
    table_geom: int
    background_geoms: tuple[int, ...]
    light_diffuse: Float32
    light_dir: Array
    headlight_ambient: Float32
    robot_visuals: Indices
    robot_rgba: Float32
    print_material: int
    target_visuals: Indices = dataclasses.field(init=False)
    target_materials: NDArray[np.int32] = dataclasses.field(init=False)
    target_rgba: Float32 = dataclasses.field(init=False)

    def read_target(self, model: Any, visuals: Indices) -> None:
        """Takes the target's looks from the model."""
        self.target_visuals = visuals
        self.target_materials, self.target_rgba = model.geom_matid[visuals].copy(), model.geom_rgba[visuals].copy()


@dataclasses.dataclass(kw_only=True)
class Drawable:
    """A compiled model with what a renderer needs.

    Attributes:
        model, data: MuJoCo's.
        label: per geom, the value in masks.
        number: per geom, which object beside the target it belongs to: 1, 2, ...; 0 elsewhere.
        loaded: what was written into slots: the target's name (see `varied_key`), then the ids of the objects beside
            it.
        painted: original image of every texture that a shift has painted over; paint_version counts the changes.
    """

    model: Any
    data: Any
    label: Mask
    number: Mask
    loaded: tuple[str, ...] = ()
    painted: dict[int, Image] = dataclasses.field(default_factory=dict)
    paint_version: dict[int, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(kw_only=True)
class Scene(Drawable):
    """A compiled scene with the ids that the environment needs, resolved once.

    Attributes:
        robot, arm: the robot, and where it is.
        target: the object that counts.
        others: bodies of the task's other objects: first toys, then meshes.
        distractors: bodies of the toys that a shift asks for.
        looks: looks as compiled.
        is_object, is_gripper: per geom, used to classify contacts; the target's, and the hand's with all that hangs on
            it.
    """

    robot: Robot
    arm: Arm
    target: Body
    others: tuple[Body, ...]
    distractors: tuple[Body, ...]
    looks: Looks
    is_object: NDArray[np.bool_]
    is_gripper: NDArray[np.bool_]

    @property
    def beside(self) -> tuple[Body, ...]:
        """All bodies beside the target: the others, then the distractors."""
        return self.others + self.distractors
