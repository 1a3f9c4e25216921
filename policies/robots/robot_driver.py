"""What every robot's driver does: read, send, stop, and say its limits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType

from toyshift.policies.runtime.robot_runtime import Readings
from toyshift.policies.safety.limits import RobotLimits
from toyshift.policies.safety.safety_layer import SafeCommand


class RobotDriver(ABC):
    """One robot. Calls return at once: what takes longer is done in threads of the driver's own.

    Attributes:
        limits: what the robot says of itself.
        succeeded: whether its task is done; None where nobody can tell, as on every robot that is not simulated.
    """

    limits: RobotLimits
    succeeded: bool | None = None

    @abstractmethod
    def read(self) -> Readings:
        """Returns the newest readings, with stamps by `time.monotonic` of this machine.

        Raises:
            RobotError: there are none, or the connection is lost. Asking again may help.
        """

    @abstractmethod
    def send(self, command: SafeCommand) -> SafeCommand:
        """Gives the robot a command; returns what was sent, which the driver may have cut further.

        Raises:
            RobotError: the robot did not take it.
        """

    @abstractmethod
    def stop(self) -> None:
        """Brings the robot to a stop by the quickest means that it has, and has it take no command until `begin`.

        Raises:
            RobotError: it could not be told.
        """

    def begin(self, episode: int) -> None:  # noqa: B027  most robots have nothing to do
        """Prepares an episode; a simulated robot puts the next object there."""

    def close(self) -> None:  # noqa: B027
        """Lets go of the robot, which stays where it is."""

    def __enter__(self) -> RobotDriver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
