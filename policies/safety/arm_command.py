"""What an action of each mode makes of the joints that were sent last, and which action leads from some to others."""

from __future__ import annotations

import functools

import numpy as np

from toyshift.core.arrays import Array, Float32
from toyshift.core.contract import ActionContract
from toyshift.core.errors import ContractError
from toyshift.policies.runtime.arm_chain import ArmChain
from toyshift.policies.runtime.turns import Rows, Triple, product, rotvec_of, rows_of, transposed
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

    @functools.cached_property
    def _points(self) -> list[Triple]:
        """Points of the hand's frame that stay in the box, in plain numbers."""
        points: list[Triple] = self._allowed.points.tolist()
        return points

    @functools.cached_property
    def _box(self) -> list[tuple[float, float]]:
        """Where the box begins and ends, by axis of the base frame."""
        return list(zip(self._allowed.box_low.tolist(), self._allowed.box_high.tolist(), strict=True))

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
        x, y, z, *turn = values.tolist()
        position, rotation = (x, y, z), rows_of(*turn)
        if self.mode == "eef_delta":
            _, (a, b, c), before = self._chain.frames(joints)
            position, rotation = (a + x, b + y, c + z), product(rotation, transposed(before))
        inside = self._inside(position, rotation)
        kept = any(abs(one - other) > NEAR for one, other in zip(inside, position, strict=True))
        return np.array(self._chain.solved(joints.tolist(), inside, rotation)), kept

    def action(self, before: Array, after: Array, gripper: float) -> Float32:
        """Returns the action (A,) that leads from joints (n,) to others, with the gripper's entry."""
        if self.mode == "joint_pos":
            values = after
        elif self.mode == "joint_delta":
            values = after - before
        else:
            _, position, rotation = self._chain.frames(after)
            if self.mode == "eef_delta":
                _, start, turned = self._chain.frames(before)
                (a, b, c), (x, y, z) = position, start
                position, rotation = (a - x, b - y, c - z), product(rotation, turned)  # whose inverse has these columns
            return np.array([*position, *rotvec_of(rotation), gripper], np.float32)
        return np.append(values, gripper).astype(np.float32)

    def outside(self, joints: Array) -> bool:
        """Whether the hand or a finger tip would be outside the box."""
        _, position, rotation = self._chain.frames(joints)
        for (low, high), place, (a, b, c) in zip(self._box, position, rotation, strict=True):
            for x, y, z in self._points:
                if not low <= place + a * x + b * y + c * z <= high:
                    return True
        return False

    def _inside(self, position: Triple, rotation: Rows) -> Triple:
        """Returns the nearest position of the hand at which it and the finger tips are in the box."""
        nearest = []
        for (low, high), place, (a, b, c) in zip(self._box, position, rotation, strict=True):
            away = [a * x + b * y + c * z for x, y, z in self._points]
            nearest.append(min(max(place, low - min(away)), high - max(away)))
        x, y, z = nearest
        return x, y, z
