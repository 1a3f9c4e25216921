"""The scripted power grasp of a hand with fingers: comes down over the object, wraps around it, lifts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import GraspError
from toyshift.data.grasping.expert import GraspExpert
from toyshift.data.grasping.top_down import PALM_CLEARANCE, TABLE_CLEARANCE, Grasp, nearest_turn
from toyshift.envs.robots import Gripper

Array = NDArray[np.float64]

YAWS = 24  # closing directions that are tried between 0 and 180 degrees
SLACK = 0.004  # between the object and open fingers on either side [m]
TURN = 0.02  # width that a radian of turn from home is worth [m/rad]


def plan_power_grasps(points: Array, com: Array, gripper: Gripper, hand_yaw: float, obstacles: Array | None = None) -> list[Grasp]:
    """Returns ways to take an object between thumb and fingers from above, best first: across its narrow side, with little turn.

    Args:
        points: (n, 3) surface of the object, base frame [m].
        com: (3,) centre of mass, base frame [m].
        gripper: the hand's geometry.
        hand_yaw: angle of the closing axis about the vertical [rad].
        obstacles: points (m, 3) of other objects, base frame [m], which the open hand must not meet.

    Raises:
        GraspError: the object is wider than the mouth of the hand, or others are in the way, in every direction.
    """
    top = float(points[:, 2].max())
    # as deep in the hand as palm and table allow: fingers then close below the widest place
    height = max(gripper.tip_offset + TABLE_CLEARANCE, top + gripper.palm_offset + PALM_CLEARANCE)
    reached = points[points[:, 2] > height - gripper.tip_offset]
    grasps = []
    for yaw in np.arange(YAWS) * np.pi / YAWS:
        x, y = np.array([np.cos(yaw), np.sin(yaw), 0.0]), np.array([np.sin(yaw), -np.cos(yaw), 0.0])
        across = reached @ x
        width = float(np.ptp(across))
        if width > gripper.opening - 2 * SLACK:
            continue
        middle = 0.5 * (across.max() + across.min())
        rotation, turn = nearest_turn(np.stack([x, y, np.array([0.0, 0.0, -1.0])], axis=1), hand_yaw)
        position = middle * x + (com @ y) * y + np.array([0.0, 0.0, height])
        if obstacles is not None and _in_the_way((obstacles - position) @ rotation, gripper):
            continue
        grasps.append(Grasp(position, rotation, width, -width - TURN * abs(turn)))
    if not grasps:
        raise GraspError(f"the object is wider than the hand's mouth ({1000 * gripper.opening:.0f} mm), or others are in the way, in every direction")
    return sorted(grasps, key=lambda grasp: -grasp.score)


def _in_the_way(points: Array, gripper: Gripper) -> bool:
    """Whether points (m, 3) in the grasp frame lie where the open hand is, or comes through on its way down."""
    half_width, thickness = gripper.finger
    reach = np.array([gripper.opening / 2 + thickness, half_width])
    return bool(((np.abs(points[:, :2]) < reach).all(axis=1) & (points[:, 2] < gripper.tip_offset + TABLE_CLEARANCE)).any())


class PowerGraspExpert(GraspExpert):
    """Moves as the expert of parallel jaws does, to grasps that wrap around the object."""

    def _plan(self) -> Grasp:
        position, rotation = self.env.object_pose()
        self._planned_for = position, rotation
        points = self.env.object.mesh.vertices @ rotation.T + position
        grasps = plan_power_grasps(points, self.env.object_position(), self.env.robot.gripper, self._home_yaw, self._obstacles())
        return grasps[min(len(grasps) - 1, 0 if self.attempts == 1 else int(self._rng.integers(min(5, len(grasps)))))]
