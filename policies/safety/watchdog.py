"""The watchdog: what a robot says is looked at before anything is made of it, and time itself is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from toyshift.core.arrays import Array
from toyshift.policies.runtime.arm_chain import ArmChain
from toyshift.policies.runtime.robot_runtime import MOST_AGE, WIDER, Readings
from toyshift.policies.safety.limits import Allowed

STEADY = 5  # readings of the very same joints while they were told to move, after which they count as frozen
AWAY = 0.02  # from where it was sent, from which on a joint should move [rad, slides m]
FASTER = 2.0  # factor of the largest velocity that a reading may show, and what noise may add to it
NOISE = 0.05  # [rad, slides m]
GAP = 5.0  # periods without a look, from which on time has jumped


class Verdict(NamedTuple):
    """What a watchdog says: kind "" (nothing), "hold" or "stop", why, and whether nobody knows where the arm is now."""

    kind: str = ""
    why: str = ""
    lost: bool = False


class Watchdog:
    """Looks at every reading; it remembers the last good one.

    Args:
        arm: the robot's.
        allowed: its limits.
        cameras: of which images are needed.
        most_age: how old joints and images may be [s]; by default two periods.
    """

    def __init__(
        self, arm: ArmChain, allowed: Allowed, cameras: tuple[str, ...], most_age: float | None = None
    ) -> None:
        self._arm, self._allowed, self._cameras = arm, allowed, cameras
        self._most_age = MOST_AGE * allowed.period if most_age is None else most_age
        self._now = -np.inf
        self.reset()

    def reset(self) -> None:
        """Forgets the readings so far; the clock still must not go back."""
        self._joints: Array | None = None
        self._stamp, self._same = -np.inf, 0

    def look(self, readings: Readings, now: float, sent: Array | None) -> Verdict:
        """Judges readings; `sent` are the joints that were sent last (n,), None before there are any."""
        if not now >= self._now:
            return Verdict("stop", f"the clock went back, from {self._now:.3f} to {now:.3f} s")
        before, self._now = self._now, now
        if np.isfinite(before) and now - before > GAP * self._allowed.period:
            usual = f"a step comes every {self._allowed.period:g}"
            return Verdict("hold", f"the clock jumped by {now - before:.3f} s, {usual}")
        if why := self._unusable(readings, now):
            return Verdict("hold", why)
        if why := self._old(readings, now):
            return Verdict("hold", why, lost=True)
        joints = np.asarray(readings.joints, dtype=np.float64)
        if why := self._jumped(joints, readings.time):
            return Verdict("hold", why)
        same = self._joints is not None and readings.time > self._stamp and bool((joints == self._joints).all())
        self._same = self._same + 1 if same else 0 if readings.time > self._stamp else self._same
        self._joints, self._stamp = joints, readings.time
        if sent is None:
            return Verdict()
        off = np.abs(joints - sent)
        if self._same >= STEADY and off.max() > AWAY:
            told = f"the joints read the very same {self._same + 1} times, {off.max():.3f} from where they were sent"
            return Verdict("hold", f"{told}: they are frozen")
        if off.max() > self._allowed.astray:
            name = self._arm.joints[int(np.argmax(off))].name
            told = f"joint {name} is {off.max():.3f} from where it was sent"
            return Verdict("stop", f"{told}, at most {self._allowed.astray:g}: something holds or moves the arm")
        return Verdict()

    def _unusable(self, readings: Readings, now: float) -> str:
        joints = np.asarray(readings.joints, dtype=np.float64)
        if joints.shape != (len(self._arm.joints),) or not np.isfinite(joints).all():
            return f"joints of shape {joints.shape} are not finite ({len(self._arm.joints)},)"
        width = float(readings.gripper_width) / self._arm.gripper_width
        if not -WIDER <= width <= 1.0 + WIDER:
            return f"the gripper's width is {readings.gripper_width:g} m, of {self._arm.gripper_width:g}"
        for camera in self._cameras:
            if camera not in readings.images or camera not in readings.image_times:
                return f"there are no images of camera {camera}"
        return ""

    def _old(self, readings: Readings, now: float) -> str:
        """Says which reading is too old, or from another time."""
        stamps = {"the joints": readings.time}
        stamps |= {f"images of camera {camera}": readings.image_times[camera] for camera in self._cameras}
        for what, stamp in stamps.items():
            if not now - self._most_age <= stamp <= now:
                age = f"{now - stamp:.3f} s old, at most {self._most_age:.3f}" if stamp <= now else "from the future"
                return f"{what} are {age}"
        if readings.time < self._stamp:
            return f"the stamp of the joints went back, from {self._stamp:.3f} to {readings.time:.3f} s"
        return ""

    def _jumped(self, joints: Array, stamp: float) -> str:
        """Says which joint has gone farther since the last good reading than it can."""
        if self._joints is None:
            return ""
        far = np.abs(joints - self._joints)
        over = far - (FASTER * self._allowed.speed * (stamp - self._stamp) + NOISE)
        if over.max() <= 0:
            return ""
        i = int(np.argmax(over))
        return f"joint {self._arm.joints[i].name} jumped by {far[i]:.3f} in {stamp - self._stamp:.3f} s"
