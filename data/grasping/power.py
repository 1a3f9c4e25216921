"""The grasp search of a hand with fingers: it comes down over the object and wraps around it."""

from __future__ import annotations

import numpy as np

from toyshift.data.grasping.hand import PALM_CLEARANCE, TABLE_CLEARANCE, nearest_turn
from toyshift.data.grasping.situation import Grasp, Situation, best_first

YAWS = 24  # closing directions that are tried between 0 and 180 degrees
SLACK = 0.004  # between the object and open fingers on either side [m]
TURN = 0.02  # width that a radian of turn from home is worth [m/rad]


def search_power(situation: Situation) -> list[Grasp]:
    """Returns ways to take an object between thumb and fingers, best first: across its narrow side, with little turn.

    Raises:
        GraspError: the object is wider than the mouth of the hand, or others are in the way, in every direction.
    """
    gripper = situation.gripper
    points = situation.object.mesh.vertices @ situation.rotation.T + situation.position
    top = float(points[:, 2].max())
    # as deep in the hand as palm and table allow: fingers then close below the widest place
    height = max(gripper.tip_offset + TABLE_CLEARANCE, top + gripper.palm_offset + PALM_CLEARANCE)
    reached = points[points[:, 2] > height - gripper.tip_offset]
    half = [gripper.opening / 2 + gripper.finger[1], gripper.finger[0]]
    grasps = []
    for yaw in np.arange(YAWS) * np.pi / YAWS:
        x, y = np.array([np.cos(yaw), np.sin(yaw), 0.0]), np.array([np.sin(yaw), -np.cos(yaw), 0.0])
        across = reached @ x
        width = float(np.ptp(across))
        if width > gripper.opening - 2 * SLACK:
            continue
        middle = 0.5 * (across.max() + across.min())
        rotation, turn = nearest_turn(np.stack([x, y, np.array([0.0, 0.0, -1.0])], axis=1), situation.yaw)
        position = middle * x + (situation.com @ y) * y + np.array([0.0, 0.0, height])
        beside = (situation.obstacles - position) @ rotation
        inside = (np.abs(beside[:, :2]) < half).all(axis=1)
        # where the open hand is, or comes through on its way down
        if not (inside & (beside[:, 2] < gripper.tip_offset + TABLE_CLEARANCE)).any():
            grasps.append(Grasp(position, rotation, width, -width - TURN * abs(turn)))
    mouth = f"the hand's mouth ({1000 * gripper.opening:.0f} mm)"
    return best_first(grasps, f"the object is wider than {mouth}, or others are in the way, in every direction")
