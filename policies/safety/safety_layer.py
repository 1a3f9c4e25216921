"""The layer between policy and robot: whatever is asked, what it returns lies within all limits.

    safety = SafetyLayer(arm, contract, SafetyLimits(), robot.limits, journal)
    safety.begin(measured_joints, measured_opening, now)
    command = safety.command(action, now)    # or safety.hold(why, now), safety.stop(why, now)
    safety.sent(command, now)                # once the robot was given it

A hold is the last command once more. It is always allowed, as no joint goes faster than it can stop in one period.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from toyshift.core.arrays import Array, Float32
from toyshift.core.contract import ActionContract
from toyshift.core.errors import ContractError
from toyshift.policies.runtime.arm_chain import ArmChain
from toyshift.policies.safety.arm_command import ArmCommand
from toyshift.policies.safety.journal import Journal
from toyshift.policies.safety.limits import Allowed, RobotLimits, SafetyLimits

AT_REST = 1.5  # periods without a command after which the arm has come to where it was sent
SHARES = (1.0, 0.5, 0.25, 0.125)  # of a step that are tried where the whole of it leaves the box
TINY = 1e-6  # what is cut off by less is no intervention: actions are float32


@dataclasses.dataclass(frozen=True, eq=False)
class SafeCommand:
    """What a robot may be given.

    Attributes:
        joints: positions to go to within one period (n,) [rad, slides m].
        opening: of the gripper after this period, no faster than it can; 1 open, 0 closed.
        gripper: opening that it is on its way to, for grippers that are told where to go and not how far per step.
        force: of the gripper [N].
        action: (A,) as the action contract has it; what was asked where nothing was changed.
        held: it is the last command once more.
        why: what was changed, and why; () where nothing was.
    """

    joints: Array
    opening: float
    gripper: float
    force: float
    action: Float32
    held: bool = False
    why: tuple[str, ...] = ()


class SafetyLayer:
    """Turns actions into commands within all limits, and holds or stops where there is none.

    Args:
        arm: of the bundle.
        contract: what actions mean.
        limits: what is allowed.
        robot: what its driver says; None takes the bundle's word.
        journal: gets a line for every intervention.

    Attributes:
        allowed: the limits of this pair, as numbers.
        stopped: why it was stopped; "" while it is not. A stop stays until `release`.

    Raises:
        ConfigError: limits that leave a joint no way.
    """

    def __init__(
        self, arm: ArmChain, contract: ActionContract, limits: SafetyLimits | None = None,
        robot: RobotLimits | None = None, journal: Journal | None = None,
    ) -> None:
        self.allowed = Allowed.of(arm, contract, limits or SafetyLimits(), robot)
        self.journal = journal or Journal()
        self.stopped = ""
        self._arm, self._contract = arm, contract
        self._command = ArmCommand(arm, contract, self.allowed)
        self._low, self._high = (np.asarray(side, np.float64) for side in (contract.low, contract.high))
        self._joints: Array | None = None
        self._opening = self._gripper = 1.0
        self._moved = np.zeros(len(arm.joints))  # in the last period
        self._time = -np.inf

    @property
    def joints(self) -> Array | None:
        """Positions that were sent last (n,); None before `begin`."""
        return self._joints

    def begin(self, joints: Array, opening: float, now: float) -> None:
        """Takes the arm as it stands for what was sent last: at the start, and after it was moved by others.

        Args:
            joints: measured (n,).
            opening: measured, of the gripper.
            now: [s].

        Raises:
            ContractError: it stands where it could not be sent.
        """
        joints = np.asarray(joints, dtype=np.float64)
        if joints.shape != self._moved.shape or not np.isfinite(joints).all():
            raise ContractError(f"joints of shape {joints.shape}, finite {self._moved.shape} are needed")
        out = (joints < self.allowed.low) | (joints > self.allowed.high)
        if out.any():
            i = int(np.argmax(out))
            span = f"{self.allowed.low[i]:.4g} to {self.allowed.high[i]:.4g}"
            told = f"joint {self._arm.joints[i].name} stands at {joints[i]:.4g}, allowed are {span}"
            raise ContractError(f"{told}: move the arm there by other means, then begin again")
        if self._command.outside(joints):
            place = ", ".join(f"{value:.3f}" for value in self._arm.forward(joints)[0])
            box = f"{self.allowed.box_low.tolist()} to {self.allowed.box_high.tolist()}"
            raise ContractError(f"the hand at ({place}) m or a finger tip is outside the box {box}: move it inside")
        self._joints, self._moved = joints.copy(), np.zeros_like(joints)
        self._opening = self._gripper = min(max(float(opening), 0.0), 1.0)
        self._time = now - self.allowed.period  # it has stood there

    def forget(self) -> None:
        """Forgets where the arm was sent: before the next episode, it has to `begin` again. A stop stays."""
        self._joints = None

    # ---------------------------------------------------------------- commands

    def command(self, asked: Float32, now: float) -> SafeCommand:
        """Returns what may be sent in the place of an action (A,); what differs has its line in the journal.

        Raises:
            ContractError: it has not begun.
        """
        joints = self._require_begun()
        if self.stopped:
            return self.hold(f"stopped: {self.stopped}", now, asked)
        if not now >= self._time:
            return self.stop(f"the clock went back, from {self._time:.3f} to {now:.3f} s", now, asked)
        values = np.asarray(asked, dtype=np.float64)
        if values.shape != self._low.shape or not all(map(math.isfinite, values.tolist())):
            return self.hold(f"an action of shape {values.shape} that is not finite {self._low.shape}", now, asked)
        why = []
        bounded = np.minimum(np.maximum(values, self._low), self._high)
        cut, i = _most(bounded - values)
        if cut > TINY:
            why.append(f"bounds of {self._contract.names[i]}")
        target, kept = self._command.target(bounded[:-1], joints)
        far = np.abs(target - joints)
        if not far.max() <= self.allowed.jump:
            name = self._arm.joints[int(np.argmax(far))].name
            return self.hold(f"joint {name} is asked to jump by {far.max():.3g}", now, asked)
        after, reasons = self._limited(target, joints, now)
        why += [*(["box"] if kept else []), *reasons]
        gripper = float(bounded[-1])
        reach = self.allowed.opening_step * self._share(now)
        opening = min(max(gripper, self._opening - reach), self._opening + reach)
        if not why:
            return SafeCommand(after, opening, gripper, self.allowed.force, np.asarray(asked, np.float32))
        action = self._command.action(joints, after, gripper)
        safe = SafeCommand(after, opening, gripper, self.allowed.force, action, why=tuple(why))
        self.journal.write("limit", now, ", ".join(why), asked=asked, sent=action, joints=after)
        return safe

    def _share(self, now: float) -> float:
        """Share of a period that has passed since the last command."""
        return min(1.0, max(0.0, now - self._time) / self.allowed.period)

    def _limited(self, target: Array, joints: Array, now: float) -> tuple[Array, list[str]]:
        """Returns where the joints may go on their way to a target, and which limits cut it short."""
        allowed, why = self.allowed, []
        goal = np.minimum(np.maximum(target, allowed.low), allowed.high)
        cut, i = _most(goal - target)
        if cut > TINY:
            why.append(f"limit of {self._arm.joints[i].name}")
        step = goal - joints
        passed = self._share(now)
        most = allowed.step if passed == 1.0 else np.minimum(allowed.step, allowed.speed * (passed * allowed.period))
        over, _ = _most(step / (most + 1e-12))
        if over > 1.0:  # all joints slow down alike: the hand keeps its path
            step = step / over
            if over > 1.0 + TINY:
                why.append("speed")
        moved = self._moved if now - self._time <= AT_REST * allowed.period else np.zeros_like(joints)
        even = np.minimum(np.maximum(step, moved - allowed.change), moved + allowed.change)
        if _most(even - step)[0] > TINY:
            why.append("acceleration")
        for share in SHARES:
            after = np.minimum(np.maximum(joints + share * even, allowed.low), allowed.high)
            if not self._command.outside(after):
                break
        else:
            share, after = 0.0, joints.copy()
        if share < 1.0:
            why.append("box")
        return after, why

    def hold(self, why: str, now: float, asked: Float32 | None = None) -> SafeCommand:
        """Returns the last command once more, and says why in the journal.

        Raises:
            ContractError: it has not begun.
        """
        joints, action = self._require_begun(), self.still()
        self.journal.write("hold", now, why, asked=asked, sent=action, joints=joints)
        return SafeCommand(joints.copy(), self._opening, self._gripper, self.allowed.force, action, True, (why,))

    def still(self) -> Float32:
        """Returns the action (A,) that keeps the arm where it was sent."""
        joints = self._require_begun()
        return self._command.action(joints, joints, self._gripper)

    def stop(self, why: str, now: float, asked: Float32 | None = None) -> SafeCommand:
        """Stops, and returns a hold; from now on there are holds only, until `release`."""
        self.latch(why, now)
        return self.hold(f"stopped: {self.stopped}", now, asked)

    def latch(self, why: str, now: float, *, lasting: bool = True) -> None:
        """Stops, also before it has begun; the first reason stays, for the next run, too, where it is `lasting`."""
        if not self.stopped:
            self.stopped = why
            self.journal.write("stop", now, why, joints=self._joints)
            if lasting:
                self.journal.latch(now, why)

    def release(self, joints: Array, opening: float, now: float) -> None:
        """Ends a stop, from where the arm stands; arguments and errors as those of `begin`."""
        self.begin(joints, opening, now)
        self.stopped = ""
        self.journal.require_released(release=True)

    def sent(self, command: SafeCommand, now: float) -> None:
        """Notes that the robot was given a command, which may be one that its driver has cut further."""
        before = self._require_begun()
        moved = command.joints - before
        self._moved = np.minimum(np.maximum(moved, -self.allowed.step), self.allowed.step)
        self._joints, self._opening, self._gripper = command.joints.copy(), command.opening, command.gripper
        self._time = max(self._time, now)  # which keeps the time where `now` is none

    def _require_begun(self) -> Array:
        if self._joints is None:
            raise ContractError("the safety layer has not begun: begin() takes the arm as it stands")
        return self._joints


def _most(values: Array) -> tuple[float, int]:
    """Returns the largest magnitude among a few finite numbers (n,), and its place; four times as fast as NumPy."""
    sizes = list(map(abs, values.tolist()))
    largest = max(sizes)
    return largest, sizes.index(largest)
