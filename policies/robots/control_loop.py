"""The loop that moves a robot: read, watch, ask the policy, limit, send; every fault ends in hold or stop.

    with ControlLoop(runtime, safety, robot, policy, execute=True) as loop:
        loop.run(seconds=20.0)
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Literal

from toyshift.core.arrays import Float32
from toyshift.core.errors import ContractError, RemoteError, RobotError
from toyshift.policies.robots.robot_driver import RobotDriver
from toyshift.policies.runtime.robot_runtime import Readings, Runtime
from toyshift.policies.safety.feature_alarm import WatchedPolicy
from toyshift.policies.safety.safety_layer import SafeCommand, SafetyLayer
from toyshift.policies.safety.watchdog import Verdict, Watchdog

AGAIN = 0.5  # seconds of a fault after which the arm is taken as it stands, and the policy begins anew
OnAlarm = Literal["log", "hold", "stop"]
Seen = Callable[[dict[str, Any], SafeCommand], None]


@dataclasses.dataclass
class Tally:
    """What a run was like.

    Attributes:
        steps: control steps.
        sent: commands that the robot was given, holds among them.
        acted: commands of the policy, changed or not.
        held: steps in which the last command was kept.
        late: steps that began more than half a period late.
    """

    steps: int = 0
    sent: int = 0
    acted: int = 0
    held: int = 0
    late: int = 0


class ControlLoop:
    """Moves one robot by one policy.

    Args:
        runtime: of a `WatchedPolicy`.
        safety: of the same bundle and this robot.
        robot: its driver.
        policy: what `runtime` acts by.
        execute: whether commands are sent; without, the robot is only read, and what would be sent is in the journal.
        instruction: that the policy is told.
        on_alarm: what happens where what the policy reads is unlike its training.
        seen: called with what the policy was shown and what was sent, every step in which there was both.
        clock: seconds, as the readings' stamps have them.
        sleep: waits for seconds.
        background: where a server is connected to again, which may take a while; by default a thread of its own.
    """

    def __init__(
        self, runtime: Runtime, safety: SafetyLayer, robot: RobotDriver, policy: WatchedPolicy, *,
        execute: bool = False, instruction: str = "", on_alarm: OnAlarm = "hold", seen: Seen | None = None,
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
        background: Callable[[Callable[[], None]], Future[None]] | None = None,
    ) -> None:  # fmt: skip
        self._runtime, self._safety, self._robot, self._policy = runtime, safety, robot, policy
        self._execute, self._instruction, self._on_alarm, self._seen = execute, instruction, on_alarm, seen
        self._clock, self._sleep = clock, sleep
        self._watchdog = Watchdog(runtime.arm, safety.allowed, runtime.policy.cameras)
        self._own = ThreadPoolExecutor(1, "toyshift-begin") if background is None else None
        self._background = background or self._own.submit  # type: ignore[union-attr]
        self._beginning: Future[None] | None = None
        self._since: float | None = None  # when the present fault began
        self._lost = False  # whether the arm may stand elsewhere since: it was not heard of for a while
        self.tally = Tally()

    def __enter__(self) -> ControlLoop:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own is not None:
            self._own.shutdown()

    # ---------------------------------------------------------------- an episode

    def begin(self) -> None:
        """Begins an episode: the policy forgets, and the arm is taken as it stands with the first good readings."""
        self._watchdog.reset()
        self._safety.forget()
        self._runtime.reset(self._instruction)
        self._beginning, self._since, self._lost = None, None, False

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> Tally:
        """Steps at the contract's rate for a while, or until something is true, or until it is stopped.

        Ctrl-C stops the robot, and is then passed on.
        """
        period = 1.0 / self._runtime.control_hz
        due = end = self._clock()
        end += seconds
        try:
            while due < end - 1e-6 and not self._safety.stopped and not until():
                if (wait := due - self._clock()) > 0:
                    self._sleep(wait)
                elif wait < -period / 2:
                    self.tally.late += 1
                    due = self._clock()  # what was missed is not made up for
                self.step()
                due += period
        except BaseException as error:  # whatever it is, nobody moves the robot any more
            if not self._safety.stopped:
                self.stop("Ctrl-C" if isinstance(error, KeyboardInterrupt) else _told(error))
            raise
        return self.tally

    def stop(self, why: str) -> None:
        """Emergency stop: the robot is told at once, and takes nothing until the stop is released.

        Raises:
            RobotError: it could not be told; the stop is latched all the same.
        """
        now = self._clock()
        told = ""
        try:
            if self._execute:
                self._robot.stop()
        except Exception as error:
            told = f"the robot could not be told to stop ({_told(error)}): use its own button"
            raise RobotError(told) from error
        finally:
            if told:
                self._safety.journal.write("fault", now, told)
            self._safety.latch(why, now, lasting=self._execute)

    # ---------------------------------------------------------------- one control step

    def step(self) -> SafeCommand | None:
        """Makes one control step.

        Returns:
            What was sent, or would be; None where nothing was: before the first chunk is there, or after a stop.
        """
        if self._safety.stopped:
            return None
        now = self._clock()
        self.tally.steps += 1
        asked: Float32 | None = None
        shown: dict[str, Any] = {}
        readings, verdict = self._read(now)
        if readings is not None and not verdict.kind:
            verdict = self._ready(readings, now)
        if readings is not None and not verdict.kind:
            verdict, asked = self._decide(readings)
            shown = self._runtime.shown(readings) if self._seen is not None and asked is not None else {}
        if verdict.kind == "stop":
            self.stop(verdict.why)
            return None
        if self._safety.joints is None:
            self._safety.journal.write("hold", now, verdict.why)
            self.tally.held += 1
            return None
        if verdict.kind:
            command = self._safety.hold(verdict.why, now, asked)
        elif asked is not None:
            command = self._safety.command(asked, now)
        else:
            return None  # the first chunk is waited for
        if self._safety.stopped:  # by the layer itself
            self.stop(self._safety.stopped)
            return None
        command = self._send(command, now)
        self._note(command)
        if self._seen is not None and shown:
            self._seen(shown, command)
        return command

    def _read(self, now: float) -> tuple[Readings | None, Verdict]:
        """Returns readings and what the watchdog says of them; None where the driver fails."""
        try:
            readings = self._robot.read()
        except Exception as error:  # whatever a driver raises: the robot holds meanwhile, and the journal says why
            self._lost = True
            return None, self._fault(Verdict("hold", f"the robot cannot be read: {_told(error)}"), now)
        sent = self._safety.joints if self._execute and not self._lost else None
        verdict = self._watchdog.look(readings, self._clock(), sent)
        self._lost |= verdict.lost
        return readings, self._fault(verdict, now) if verdict.kind else verdict

    def _fault(self, verdict: Verdict, now: float) -> Verdict:
        """Notes when the present fault began."""
        if verdict.kind == "hold" and self._since is None:
            self._since = now
        return verdict

    def _ready(self, readings: Readings, now: float) -> Verdict:
        """After a fault, or at the start: takes the arm as it stands, and has the policy begin anew."""
        if self._beginning is not None:
            if not self._beginning.done():
                return Verdict("hold", "the policy begins anew")
            beginning, self._beginning = self._beginning, None
            if (error := beginning.exception()) is not None:
                self._begin_policy()
                return Verdict("hold", f"the policy cannot begin: {_told(error)}")
            self._since, self._lost = None, False
        lasted = 0.0 if self._since is None else now - self._since
        if lasted > AGAIN:
            self._watchdog.reset()
            self._begin_policy()
            return self._take_arm(readings, now) if self._execute else Verdict("hold", "the policy begins anew")
        self._since, self._lost = None, False
        return self._take_arm(readings, now) if self._safety.joints is None or not self._execute else Verdict()

    def _begin_policy(self) -> None:
        self._beginning = self._background(lambda: self._runtime.reset(self._instruction))

    def _take_arm(self, readings: Readings, now: float) -> Verdict:
        opening = readings.gripper_width / self._runtime.arm.gripper_width
        first = self._safety.joints is None
        try:
            self._safety.begin(readings.joints, opening, now)
        except ContractError as error:
            return Verdict("stop", _told(error)) if self._execute else Verdict("hold", _told(error))
        if self._execute or first:
            self._safety.journal.write("begin", now, "the arm is taken as it stands", joints=readings.joints)
        return Verdict() if self._beginning is None else Verdict("hold", "the policy begins anew")

    def _decide(self, readings: Readings) -> tuple[Verdict, Float32 | None]:
        """Asks the policy; returns why its action is not to be executed, and the action."""
        try:
            command = self._runtime.step(readings)
        except (ContractError, RemoteError) as error:
            if isinstance(error, RemoteError):
                self._begin_policy()
            return Verdict("hold", f"the policy cannot act: {_told(error)}"), None
        asked = None if command is None else command.action
        if self._policy.sounds:
            threshold = self._policy.alarm.threshold if self._policy.alarm else 0.0
            told = f"unlike the training: score {self._policy.score:.3f}, threshold {threshold:.3f}"
            self._safety.journal.write("alarm", self._clock(), told)
            if self._on_alarm != "log":
                return Verdict(self._on_alarm, told), asked
        late = command is not None and command.held
        return Verdict("hold", "the next chunk is late") if late else Verdict(), asked

    def _send(self, command: SafeCommand, now: float) -> SafeCommand:
        """Gives the robot a command, unless this is a dry run; returns what was sent."""
        if not self._execute:
            if not command.held:
                about = {"sent": command.action, "joints": command.joints}
                self._safety.journal.write("dry", now, "not sent: a dry run", **about)
            return command
        try:
            sent = self._robot.send(command)
        except Exception as error:  # whatever a driver raises
            told = f"the robot did not take the command: {_told(error)}"
            self._fault(Verdict("hold", told), now)
            return self._safety.hold(told, now, command.action)
        self._safety.sent(sent, now)
        self.tally.sent += 1
        return sent

    def _note(self, command: SafeCommand) -> None:
        """Tells the runtime what the robot was given."""
        self.tally.held += command.held
        self.tally.acted += not command.held
        if not self._runtime.pending:
            return
        if self._execute:
            self._runtime.sent(command.action, command.joints)
        else:  # the arm stands where it stood
            self._runtime.sent(self._safety.still(), self._safety.joints)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if not isinstance(error, ContractError | RobotError) else str(error)
