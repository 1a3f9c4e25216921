"""A Franka Panda or FR3 by libfranka, through `franky-control`: joint impedance tracking, a thread for the gripper.

Cameras are somebody else's: `toyshift robot run ... --cameras module:name`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from toyshift.core.arrays import Array
from toyshift.core.errors import ConfigError, MissingDependencyError, RobotError
from toyshift.policies.robots.robot_driver import RobotDriver
from toyshift.policies.runtime.robot_runtime import Readings
from toyshift.policies.safety.limits import RobotLimits
from toyshift.policies.safety.safety_layer import SafeCommand

JOINTS = tuple(f"joint{i}" for i in range(1, 8))
# The narrower of Panda's and FR3's limits (Franka Control Interface documentation, "Robot limits").
LOW = (-2.7437, -1.7628, -2.8973, -3.0421, -2.8065, 0.5445, -2.8973)
HIGH = (2.7437, 1.7628, 2.8973, -0.1518, 2.8065, 3.7525, 2.8973)
VELOCITY = (2.175, 2.175, 2.175, 2.175, 2.61, 2.61, 2.61)
ACCELERATION = (10.0, 7.5, 10.0, 10.0, 10.0, 10.0, 10.0)
WIDTH, FORCE, SPEED = 0.08, 70.0, 0.1  # of the Franka Hand [m, N, m/s]
STIFFNESS = (600.0, 600.0, 600.0, 600.0, 250.0, 150.0, 50.0)  # of the joints [N m/rad], as in libfranka's examples
SOFT = 0.25  # share of them without a realtime kernel: where torques come late, a stiff arm shakes itself loose
TRACK_HZ = 100.0  # how often the way between two commands is given to the tracker
PERIOD = 0.1  # of commands where there is none to measure yet [s]
LONGEST = 0.25  # that a command's way may take [s]
NEWS = 0.01  # by which the gripper's goal must differ to be told again [m]: it cannot be led step by step
LAST_WAIT = 2.0  # for the fingers' last command, when the driver is closed [s]
STOP_WAIT = 0.5  # for the fingers' stop to be taken [s]
OLD = 1.0  # age at which a gripper's reading is none [s]; one takes 0.1


def franky_package() -> Any:
    """Returns franky, or raises MissingDependencyError."""
    try:
        import franky
    except ImportError as error:
        told = f"a Franka needs franky-control ({error}), which wants NumPy 2"
        raise MissingDependencyError(
            f"{told}: pip install franky-control, in an environment of its own (docs/robot.md)"
        ) from error
    return franky


class FrankyRobot(RobotDriver):
    """Reads at once from libfranka's state; the first command takes control of the arm.

    Args:
        address: of the control box; "HOST?realtime=ignore" does without a realtime kernel, for simulations only.
        clock: seconds.

    Raises:
        MissingDependencyError: franky is not installed.
        RobotError: no robot answers there.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._franky, self._clock = franky_package(), clock
        self._host, _, option = address.partition("?")
        if option not in ("", "realtime=ignore"):
            raise ConfigError(f"--robot franky:{address}: {option!r} is no option; realtime=ignore is")
        config = self._franky.RealtimeConfig
        kind = config.Ignore if option else config.Enforce
        self._stiffness = [(SOFT if option else 1.0) * one for one in STIFFNESS]
        try:
            self._robot = self._franky.Robot(self._host, realtime_config=kind)
            self._gripper = self._franky.Gripper(self._host)
            self._width, self._width_time = float(self._gripper.width), clock()
        except Exception as error:  # franky's errors have no common public base
            raise RobotError(f"no Franka answers at {self._host} ({error})") from error
        self.limits = RobotLimits(JOINTS, LOW, HIGH, VELOCITY, ACCELERATION, WIDTH, FORCE, (1.0, TRACK_HZ), {})
        self._lock = threading.Lock()
        self._tracker: Any = None
        self._stopped = False
        self._way: tuple[Array, Array, float, float] | None = None  # from, to, begun, seconds
        self._goal: tuple[float, float] | None = None  # width and force that the gripper is told
        self._gripper_error = ""
        self._closed = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._track, self._grip)]
        for thread in self._threads:
            thread.start()

    def read(self) -> Readings:
        try:
            joints = np.asarray(self._robot.current_joint_positions, dtype=np.float64)
            broken = bool(self._robot.has_errors)
        except Exception as error:
            raise RobotError(f"the Franka at {self._host} cannot be read: {error}") from error
        now = self._clock()
        if broken:
            raise RobotError(f"the Franka at {self._host} is in an error; look at it, then begin again")
        if now - self._width_time > OLD:
            why = self._gripper_error or "it has not answered"
            raise RobotError(f"the gripper's last reading is {now - self._width_time:.1f} s old: {why}")
        return Readings(joints, self._width, {}, now, {})

    def send(self, command: SafeCommand) -> SafeCommand:
        if self._stopped:
            raise RobotError(f"the Franka at {self._host} is stopped; begin again")
        try:
            if self._tracker is None:
                self._tracker = self._franky.JointImpedanceTracker(self._robot, stiffness=self._stiffness)
            elif not self._tracker.is_running:
                self._tracker = None
                raise RobotError("the tracker is no longer in control: the robot has reflexed, or was stopped")
            now = self._clock()
            with self._lock:
                at, _ = self._along(now)
                begun = now if self._way is None else self._way[2]
                seconds = now - begun if 0.0 < now - begun < LONGEST else PERIOD
                start = np.asarray(self._robot.current_joint_positions, np.float64) if at is None else at
                self._way = (start, np.array(command.joints, dtype=np.float64), now, seconds)
                width = command.gripper * WIDTH
                if self._goal is None or abs(width - self._goal[0]) > NEWS:
                    self._goal = (width, command.force)
        except RobotError:
            raise
        except Exception as error:
            self._tracker = None
            raise RobotError(f"the Franka at {self._host} does not take commands: {error}") from error
        return command

    def stop(self) -> None:
        """Ramps the torques into damping only, and waits until the arm is at rest."""
        self._stopped = True
        with self._lock:
            self._way = self._goal = None
        failed: list[str] = []
        # the fingers in a thread of their own: the stop waits for their present command where that cannot be broken off
        fingers = threading.Thread(target=self._stop_gripper, args=(failed,), daemon=True)
        fingers.start()
        try:
            self._stop_arm()
        except Exception as error:
            failed.append(f"arm: {error}")
        fingers.join(STOP_WAIT)
        if failed:
            raise RobotError(f"the Franka at {self._host} could not be stopped ({'; '.join(failed)})")

    def begin(self, episode: int) -> None:
        """Takes commands again, after errors were looked at and a stop was released."""
        try:
            if self._robot.has_errors:
                self._robot.recover_from_errors()
        except Exception as error:
            raise RobotError(f"the Franka at {self._host} does not recover: {error}") from error
        self._tracker, self._way, self._goal, self._stopped = None, None, None, False

    def close(self) -> None:
        self._closed.set()
        for thread in self._threads:
            thread.join(LAST_WAIT + 1.0)
        if self._tracker is not None:
            self.stop()

    def _stop_gripper(self, failed: list[str]) -> None:
        try:
            self._gripper.stop()
        except Exception as error:
            failed.append(f"gripper: {error}")

    def _stop_arm(self) -> None:
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            tracker.stop()
        else:
            self._robot.stop()

    # ---------------------------------------------------------------- threads

    def _along(self, now: float) -> tuple[Array | None, Array]:
        """Returns where the arm should be now on the way to its command, None where there is none, and how fast."""
        if self._way is None:
            return None, np.zeros(len(JOINTS))
        start, end, begun, seconds = self._way
        share = max(0.0, now - begun) / seconds
        if share >= 1.0:
            return end, np.zeros(len(JOINTS))
        return np.asarray(start + share * (end - start)), np.asarray((end - start) / seconds)

    def _track(self) -> None:
        """Leads the tracker along the way from one command to the next: steps would shake the arm."""
        while not self._closed.wait(1.0 / TRACK_HZ):
            tracker = self._tracker
            with self._lock:
                at, speed = self._along(self._clock())
            if tracker is not None and at is not None and tracker.is_running:
                tracker.set_target(at, speed)  # without the speed, damping would hold the arm back

    def _grip(self) -> None:
        """Reads the gripper's width, which takes 0.1 s, and tells it where to go when that has changed."""
        told: tuple[float, float] | None = None
        under_way: Any = None  # a command that is being executed; it is waited for where it is let go
        while not self._closed.is_set():
            try:
                self._width, self._width_time = float(self._gripper.width), self._clock()
                self._gripper_error = ""
                with self._lock:
                    goal = self._goal
                free = under_way is None or under_way.wait(0.0)  # a second command would wait for the first
                if goal is not None and goal != told and free:
                    width, force = goal
                    if width < self._width:  # what stops the fingers is grasped, however wide
                        under_way = self._gripper.grasp_async(width, SPEED, force, WIDTH, WIDTH)
                    else:
                        under_way = self._gripper.move_async(width, SPEED)
                    told = goal
            except Exception as error:  # told by `read`, when its readings are old
                self._gripper_error = str(error)
                self._closed.wait(0.1)
        if under_way is not None:
            under_way.wait(LAST_WAIT)
