"""A robot at the other end of a socket: `toyshift robot sim`, or any program that speaks its few messages.

    robot -> driver   {"hello": limits}, then {"pong": its time} for every ping
                      {"readings": {joints, width, time, images, image_time, masks, episode, stopped, succeeded}}
    driver -> robot   {"ping": 0}, {"command": {joints, opening, force}}, {"stop": true}, {"begin": episode}
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from toyshift.core.errors import ContractError, RemoteError, RobotError
from toyshift.policies.robots.frames import address_of, receive_message, send_message
from toyshift.policies.robots.robot_driver import RobotDriver
from toyshift.policies.runtime.robot_runtime import Readings
from toyshift.policies.safety.limits import RobotLimits
from toyshift.policies.safety.safety_layer import SafeCommand

CONNECT, BEGIN = 5.0, 30.0  # longest waits for a connection, and for an episode to be prepared [s]
PINGS = 5  # of which the quickest tells how far apart the clocks are
RETRY = 0.2  # between tries to connect again [s]
LOST = (OSError, RobotError, RemoteError)


class SocketRobot(RobotDriver):
    """Keeps the newest readings, which a thread receives; connects again by itself.

    Args:
        address: HOST:PORT.
        clock: of this machine; the robot's stamps are brought to it.

    Raises:
        RobotError: nobody answers there, or it is no robot.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.address, self._clock = address, clock
        self._place = address_of(address)
        self._newest: dict[str, Any] | None = None
        self._why = ""  # there is no connection
        self._socket: Any = None
        self._news = threading.Condition()
        self._closed = threading.Event()
        self.limits = self._connect()
        self._thread = threading.Thread(target=self._receive, name="toyshift-robot", daemon=True)
        self._thread.start()

    def read(self) -> Readings:
        with self._news:
            if self._why or self._newest is None:
                raise RobotError(self._why or f"the robot at {self.address} has not said anything yet")
            told = self._newest
        images = told["images"]
        stamps = dict.fromkeys(images, told["image_time"] - self._offset)
        return Readings(
            np.asarray(told["joints"], np.float64), float(told["width"]), images, told["time"] - self._offset, stamps,
            told.get("masks", {}),
        )  # fmt: skip

    def send(self, command: SafeCommand) -> SafeCommand:
        with self._news:
            if self._newest is not None and self._newest.get("stopped"):
                raise RobotError(f"the robot at {self.address} is stopped")
        self._tell({"command": {"joints": command.joints, "opening": command.opening, "force": command.force}})
        return command

    def stop(self) -> None:
        self._tell({"stop": True})

    def begin(self, episode: int) -> None:
        """Has the robot prepare an episode, and waits for it.

        Raises:
            RobotError: it does not, in time.
        """
        self._tell({"begin": int(episode)})

        def there() -> bool:
            told = self._newest or {}
            return bool(told.get("episode") == episode and not told.get("stopped")) or bool(self._why)

        with self._news:
            if not self._news.wait_for(there, BEGIN) or self._why:
                raise RobotError(self._why or f"the robot at {self.address} has not prepared episode {episode}")

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(CONNECT)

    @property
    def succeeded(self) -> bool | None:  # type: ignore[override]
        """Whether a simulated robot's task is done."""
        told = self._newest
        return None if told is None or "succeeded" not in told else bool(told["succeeded"])

    # ---------------------------------------------------------------- the connection

    def _connect(self) -> RobotLimits:
        try:
            self._socket = socket.create_connection(self._place, timeout=CONNECT)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            hello = receive_message(self._socket, self.address)
            if "hello" not in hello:
                raise RobotError(f"{self.address} does not say what robot it is")
            limits = RobotLimits.from_json(hello["hello"])
            self._offset = self._clocks_apart()
        except (*LOST, ContractError) as error:
            if self._socket is not None:
                self._socket.close()
            raise RobotError(f"no robot answers at {self.address} ({error}); start it, or correct --robot") from error
        self._socket.settimeout(None)
        return limits

    def _clocks_apart(self) -> float:
        """Returns how far the robot's clock is ahead of ours [s], to half the time of a message and its answer."""
        found = []
        for _ in range(PINGS):
            before = self._clock()
            send_message(self._socket, {"ping": 0})
            while "pong" not in (answer := receive_message(self._socket, self.address)):
                pass  # readings that were under way
            after = self._clock()
            found.append((after - before, float(answer["pong"]) - (before + after) / 2))
        return min(found)[1]

    def _receive(self) -> None:
        while not self._closed.is_set():
            try:
                message = receive_message(self._socket, self.address)
                if "readings" in message:
                    self._take(message["readings"])
            except LOST as error:
                if not self._closed.is_set():
                    self._again(str(error))

    def _take(self, readings: Any) -> None:
        needed = {"joints", "width", "time", "images", "image_time"}
        if not isinstance(readings, dict) or not needed <= readings.keys():
            raise RobotError(f"readings without {', '.join(sorted(needed))}")
        with self._news:
            self._newest = readings
            self._news.notify_all()

    def _again(self, why: str) -> None:
        """Connects again, until it works or the driver is closed."""
        with self._news:
            self._why, self._newest = f"the connection to {self.address} was lost ({why})", None
            self._news.notify_all()
        self._socket.close()
        while not self._closed.wait(RETRY):
            try:
                limits = self._connect()
            except RobotError:
                continue
            if limits != self.limits:
                self._why = f"another robot answers at {self.address} than before"
                self._socket.close()
                return self._closed.set()
            with self._news:
                self._why = ""
            return None

    def _tell(self, message: dict[str, Any]) -> None:
        if self._why:
            raise RobotError(self._why)
        try:
            send_message(self._socket, message)
        except OSError as error:
            raise RobotError(f"the robot at {self.address} cannot be told anything ({error})") from error
