"""What an action of each mode makes of the joints that were sent last, and which action leads from some to others."""

from __future__ import annotations

import numpy as np

from toyshift.core.arrays import Array, Float32
from toyshift.core.contract import ActionContract
from toyshift.core.errors import ContractError
from toyshift.policies.runtime.arm_chain import ArmChain
from toyshift.policies.runtime.turns import matrix_to_rotvec, rotvec_to_matrix
from toyshift.policies.safety.limits import Allowed

NEAR = 1e-6  # [m]
POSE = 6  # joints that any pose of a hand takes


class ArmCommand:
    """Joints from actions and actions from joints; as the simulator's controllers have them, but for the box.

    Args:
        arm: its chain.
        contract: what actions mean.
        allowed: the box that hand poses are kept in.
    """

    def __init__(self, arm: ArmChain, contract: ActionContract, allowed: Allowed) -> None:
        self._chain, self.mode, self._allowed = arm.kinematics, contract.mode, allowed
        if self.mode.startswith("eef") and len(arm.joints) < POSE:
            told = f"arm {arm.robot} has {len(arm.joints)} joints, too few for any pose"
            remedy = "train it on demonstrations of `toyshift collect --action-mode joint_pos`"
            raise ContractError(f"{told}, and hand motions ({self.mode}) are simulated for it only: {remedy}")

    def target(self, values: Array, joints: Array) -> tuple[Array, bool]:
        """Returns the joint positions (n,) that an action asks for, and whether its pose was kept in the box for that.

        Args:
            values: the action without its last entry, the gripper's.
            joints: that were sent last (n,).
        """
        if self.mode == "joint_pos":
            return values, False
        if self.mode == "joint_delta":
            return joints + values, False
        turn = rotvec_to_matrix(values[3:])
        if self.mode == "eef_pose":
            position, rotation = values[:3], turn
        else:
            position, rotation = self._chain.forward(joints)
            position, rotation = position + values[:3], turn.dot(rotation)
        inside = self._inside(position, rotation)
        kept = not np.allclose(inside, position, rtol=0, atol=NEAR) if inside is not position else False
        return self._chain.solve(joints, inside, rotation), kept

    def action(self, before: Array, after: Array, gripper: float) -> Float32:
        """Returns the action (A,) that leads from joints (n,) to others, with the gripper's entry."""
        if self.mode == "joint_pos":
            values = after
        elif self.mode == "joint_delta":
            values = after - before
        else:
            position, rotation = self._chain.forward(after)
            if self.mode == "eef_delta":
                start, turned = self._chain.forward(before)
                position, rotation = position - start, rotation @ turned.T
            values = np.concatenate([position, matrix_to_rotvec(rotation)])
        return np.append(values, gripper).astype(np.float32)

    def outside(self, joints: Array) -> bool:
        """Whether the hand or a finger tip would be outside the box."""
        position, rotation = self._chain.forward(joints)
        places = self._allowed.points.dot(rotation.T) + position
        return not bool(((places >= self._allowed.box_low) & (places <= self._allowed.box_high)).all())

    def _inside(self, position: Array, rotation: Array) -> Array:
        """Returns the nearest position of the hand at which it and the finger tips are in the box."""
        away = self._allowed.points.dot(rotation.T)  # (k, 3)
        low, high = self._allowed.box_low - away.min(axis=0), self._allowed.box_high - away.max(axis=0)
        if ((low <= position) & (position <= high)).all():
            return position
        return np.minimum(np.maximum(position, low), high)
