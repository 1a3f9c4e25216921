"""The gripper: its commanded opening, and what that is for the fingers."""

from __future__ import annotations

import numpy as np

from toyshift.core.arrays import Array
from toyshift.envs.robots import Gripper
from toyshift.envs.scene.scene import Scene


class GripperController:
    """Keeps the commanded opening of an episode, and moves it no faster than the gripper can.

    Args:
        gripper: of the robot.

    Attributes:
        opening: commanded, 1 open, 0 closed.
    """

    def __init__(self, gripper: Gripper) -> None:
        self._speed = gripper.speed
        self._closed, self._shut = np.asarray(gripper.closed_ctrl), np.asarray(gripper.shut)  # commanded, measured
        self._travel, self._span = (np.asarray(gripper.open_ctrl) - least for least in (self._closed, self._shut))
        self.opening = 1.0

    def command(self, opening: float, seconds: float) -> None:
        """Commands an opening; it is reached as far as the gripper's speed allows in `seconds`."""
        reach = self._speed * seconds
        self.opening = min(max(float(opening), self.opening - reach), self.opening + reach)

    def targets(self) -> Array:
        """Returns the driven fingers' targets (k,)."""
        return np.asarray(self._closed + self.opening * self._travel)

    def measured(self, scene: Scene) -> float:
        """Returns the measured opening."""
        return self._opening(scene.data.qpos[scene.arm.finger_qpos])

    def told(self, scene: Scene) -> float:
        """Returns the opening at which the driven fingers would come to rest; below 0 where they are to press when
        shut.
        """
        return self._opening(scene.data.ctrl[scene.arm.finger_ctrl])

    def _opening(self, joints: Array) -> float:
        shares = (joints - self._shut) / self._span
        return float(shares.sum() / len(shares))

    def read(self, scene: Scene) -> None:
        """Takes the commanded opening from the controls, after a simulator state has been loaded."""
        self.opening = float((scene.data.ctrl[scene.arm.finger_ctrl[0]] - self._closed[0]) / self._travel[0])


def write_robot(scene: Scene, joints: Array, opening: float = 1.0) -> None:
    """Puts the arm at joint angles (n,) [rad] and the gripper at an opening (0..1), commanded and measured."""
    data, arm, gripper = scene.data, scene.arm, scene.robot.gripper
    closed, shut, opened = (np.asarray(side) for side in (gripper.closed_ctrl, gripper.shut, gripper.open_ctrl))
    data.qpos[arm.qpos] = data.ctrl[arm.ctrl] = joints
    fingers = shut + opening * (opened - shut)
    data.qpos[arm.finger_qpos] = fingers
    drivers = [fingers[gripper.joints.index(driver)] for _, driver, _ in gripper.follow]
    data.qpos[arm.follower_qpos] = [ratio * angle for (_, _, ratio), angle in zip(gripper.follow, drivers, strict=True)]
    data.ctrl[arm.finger_ctrl] = closed + opening * (opened - closed)
