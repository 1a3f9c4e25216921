"""The arm's controllers: what an action of each mode makes of the commanded joint angles."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from toyshift.core.arrays import Array
from toyshift.envs.control.kinematics import InverseKinematics
from toyshift.envs.rotations import matrix_to_rotvec, norm, rotvec_to_matrix
from toyshift.envs.scene.scene import Scene
from toyshift.envs.spaces import MAX_DELTA, MAX_TURN, WORKSPACE

LOWEST, HIGHEST = map(np.array, WORKSPACE)  # (3,) [m]


class ArmController:
    """Keeps the commanded joint angles and hand pose of an episode, and moves them by actions.

    Args:
        mode: a name of MODES.
        scene: the scene whose arm is commanded.

    Attributes:
        joints: commanded joint angles (n,) [rad].
        position, rotation: commanded pose of the hand, (3,) [m] and (3, 3), base frame.
    """

    def __init__(self, mode: str, scene: Scene) -> None:
        self._apply = MODES[mode]
        self.ik = InverseKinematics(scene)
        self.limits = np.array([scene.model.joint(name).range for name in scene.robot.joints])  # (n, 2)
        self.mode = mode
        self.set_joints(np.asarray(scene.robot.home))

    def bind(self, scene: Scene) -> None:
        """Works on another scene of the same robot from now on."""
        self.ik.bind(scene)

    def set_joints(self, joints: Array) -> None:
        """Commands joint angles (n,) [rad]."""
        self.joints = np.array(joints)
        self.position, self.rotation = self.ik.forward(self.joints)

    def move_to(self, position: Array, rotation: Array) -> None:
        """Commands a hand pose, as far as the workspace and the arm reach."""
        self.joints = self.ik.solve(self.joints, np.minimum(np.maximum(position, LOWEST), HIGHEST), rotation)
        # what the arm cannot reach is not commanded: an unreachable target must not wind up
        self.position, self.rotation = self.ik.forward(self.joints)

    def apply(self, values: Array) -> None:
        """Executes an action without its last entry, the gripper's; clipped to the action space before."""
        self._apply(self, values)

    def rest(self) -> Array:
        """Returns the action (without the gripper) that keeps the present command."""
        match self.mode:
            case "joint_pos":
                return self.joints.copy()
            case "eef_pose":
                return np.concatenate([self.position, matrix_to_rotvec(self.rotation)])
            case "joint_delta":
                return np.zeros(len(self.joints))
            case _:
                return np.zeros(6)

    def action_for(self, step: Array, turn: Array) -> Array:
        """Returns the action (without the gripper) that moves the commanded hand.

        Args:
            step: translation (3,), base frame [m].
            turn: rotation vector (3,), base frame [rad].
        """
        if self.mode == "eef_delta":
            return np.concatenate([step, turn])
        rotation = rotvec_to_matrix(turn) @ self.rotation
        if self.mode == "eef_pose":
            return np.concatenate([self.position + step, matrix_to_rotvec(rotation)])
        joints = self.ik.solve(self.joints, self.position + step, rotation)
        return joints if self.mode == "joint_pos" else joints - self.joints


def _joint_pos(controller: ArmController, values: Array) -> None:
    controller.set_joints(values)


def _joint_delta(controller: ArmController, values: Array) -> None:
    controller.set_joints(np.clip(controller.joints + values, controller.limits[:, 0], controller.limits[:, 1]))


def _eef_delta(controller: ArmController, values: Array) -> None:
    controller.move_to(controller.position + values[:3], rotvec_to_matrix(values[3:]) @ controller.rotation)


def _eef_pose(controller: ArmController, values: Array) -> None:
    """Goes to a pose as fast as eef_delta may: a target far away is reached over several steps."""
    step = np.clip(values[:3] - controller.position, -MAX_DELTA, MAX_DELTA)
    turn = matrix_to_rotvec(rotvec_to_matrix(values[3:]) @ controller.rotation.T)
    turn *= min(1.0, MAX_TURN / max(norm(turn), 1e-9))
    controller.move_to(controller.position + step, rotvec_to_matrix(turn) @ controller.rotation)


MODES: dict[str, Callable[[ArmController, Array], None]] = {
    "joint_pos": _joint_pos,
    "joint_delta": _joint_delta,
    "eef_delta": _eef_delta,
    "eef_pose": _eef_pose,
}
