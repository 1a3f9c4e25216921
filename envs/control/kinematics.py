"""Inverse kinematics: damped least squares on the commanded joint angles, with limits and a null-space posture.

An arm of five joints (`Robot.bends`) bends in a vertical plane: it can lean its hand in that plane and turn it about
its approach, and no more. It goes to the position that it is told, with the rotation of these that is nearest to the
one it is told, and where it cannot have both, the position comes first.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from toyshift.core.arrays import Array
from toyshift.envs.rotations import matrix_to_rotvec
from toyshift.envs.scene.scene import Scene

ITERATIONS = 3  # per control step; each costs about 40 us
DAMPING = 1e-4
MAX_STEP = 0.3  # [rad] per iteration
POSTURE_GAIN = 0.05
# of an arm of five joints: what a radian of rotation counts for beside a metre of position
ROTATION_WEIGHT = 0.02
SMALL_DAMPING = 2e-6


def turns_in_plane(approach: Array, normal: Array) -> Array:
    """Returns what keeps of a small rotation (3,) the part that an arm in a plane can do at a fixed position (3, 3).

    That is a lean in the plane, about its normal, and a turn about the approach. What it takes out is the turn about
    the axis in the plane across the approach, which would lean the hand out of the plane.

    Args:
        approach: (3,) where the hand points, a unit vector in the plane.
        normal: (3,) of the plane, a unit vector.
    """
    sideways = np.cross(approach, normal)
    sideways /= np.linalg.norm(sideways)
    return np.eye(3) - np.outer(sideways, sideways)


class InverseKinematics:
    """Turns hand poses into joint angles on a scratch MjData, so that the simulation is not touched.

    Args:
        scene: the scene whose arm and site are used.
    """

    def __init__(self, scene: Scene) -> None:
        self.bind(scene)

    def bind(self, scene: Scene) -> None:
        """Works on another scene from now on; nothing is done when it is the present one."""
        if getattr(self, "_model", None) is scene.model:
            return
        self._model: Any = scene.model
        self._data = mujoco.MjData(scene.model)
        self._arm = scene.arm.qpos
        self._dofs = np.array([scene.model.joint(name).dofadr[0] for name in scene.robot.joints])
        self._site = scene.arm.site
        self._home = np.asarray(scene.robot.home)
        self._lowest, self._highest = np.array([scene.model.joint(name).range for name in scene.robot.joints]).T
        self._jacobian = np.zeros((6, scene.model.nv))
        self._bends = scene.model.joint(scene.robot.bends).id if scene.robot.bends else None
        self._damping = (DAMPING if self._bends is None else SMALL_DAMPING) * np.eye(6)

    def forward(self, joints: Array) -> tuple[Array, Array]:
        """Returns the hand's position (3,) [m] and rotation (3, 3) in the robot's base frame."""
        self._data.qpos[self._arm] = joints
        mujoco.mj_kinematics(self._model, self._data)
        return self._data.site_xpos[self._site].copy(), self._data.site_xmat[self._site].reshape(3, 3).copy()

    def solve(self, joints: Array, position: Array, rotation: Array, iterations: int = ITERATIONS) -> Array:
        """Returns joint angles (n,) [rad] that bring the hand towards a pose, starting from `joints`.

        Args:
            joints: where to start [rad].
            position: target position (3,), base frame [m].
            rotation: target rotation (3, 3), hand to base frame.
            iterations: how many damped Newton steps to make.
        """
        solution = np.array(joints, dtype=np.float64)
        jacobian = self._jacobian
        error = np.empty(6)
        for _ in range(iterations):
            self._data.qpos[self._arm] = solution
            # the minimal calls: kinematics for the pose, comPos for the Jacobian
            mujoco.mj_kinematics(self._model, self._data)
            mujoco.mj_comPos(self._model, self._data)
            mujoco.mj_jacSite(self._model, self._data, jacobian[:3], jacobian[3:], self._site)
            j = jacobian.T.take(self._dofs, axis=0).T  # (6, n)
            current = self._data.site_xmat[self._site].reshape(3, 3)
            error[:3] = position - self._data.site_xpos[self._site]
            error[3:] = matrix_to_rotvec(rotation @ current.T)
            if self._bends is not None:
                approach, normal = current[:, 2], self._data.xaxis[self._bends]
                feasible = ROTATION_WEIGHT * turns_in_plane(approach, normal)
                j[3:], error[3:] = feasible @ j[3:], feasible @ error[3:]
            posture = POSTURE_GAIN * (self._home - solution)
            step = self._step(j, error, posture)
            if self._bends is not None:
                # what a joint at its limit cannot do, the others must: there is no joint to spare
                stuck = ((solution >= self._highest) & (step > 0)) | ((solution <= self._lowest) & (step < 0))
                if stuck.any():
                    step = self._step(j * ~stuck, error, posture * ~stuck)
            largest = max(np.abs(step).tolist())
            if largest > MAX_STEP:
                step *= MAX_STEP / largest
            solution += step
            np.maximum(solution, self._lowest, out=solution)
            np.minimum(solution, self._highest, out=solution)
        return solution

    def _step(self, jacobian: Array, error: Array, posture: Array) -> Array:
        """Returns the damped Newton step (n,) of a Jacobian (6, n) for an error (6,), with a wish (n,) where free.

        MuJoCo's Cholesky: LAPACK wakes OpenBLAS' threads for six equations, which costs 30 us, and milliseconds on a
        busy machine.
        """
        weights = np.empty(6)
        square = jacobian @ jacobian.T + self._damping  # (6, 6)
        mujoco.mju_cholFactor(square, 0.0)
        mujoco.mju_cholSolve(weights, square, error - jacobian @ posture)
        return np.asarray(posture + jacobian.T @ weights)
