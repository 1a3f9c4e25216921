"""Our Panda as a robot of its own: its own process and time, behind a socket, with latency and jitter.

It is commanded as real arms are, by joint positions and the gripper's opening, and goes on whether or not anyone
commands it. `policies.robots.socket_robot` has its messages.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from toyshift.core.errors import ConfigError, RemoteError, RobotError, ToyShiftError
from toyshift.core.fields import check_fields, check_ranges
from toyshift.core.seeds import episode_rng
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.policies.robots.frames import receive_message, send_message
from toyshift.policies.safety.limits import RobotLimits

TICK = 50.0  # control steps of the simulated robot per second; targets are taken at each
HOLD_SECONDS = 0.5  # for which a lifted object is held, as in training: 5 steps at 10 Hz
SLIP = 0.25  # behind the clock by more than this, what was missed is not made up for [s]
PATIENCE = struct.pack("ll", 1, 0)  # with a driver that does not receive: seconds, and microseconds
PANDA_FORCE = 70.0  # largest continuous force of the Panda's hand [N] (Franka Hand datasheet)


@dataclasses.dataclass(frozen=True)
class SimOptions:
    """What robot is simulated, and how late it hears and is heard.

    Attributes:
        objects: set of which an episode's object is drawn.
        robot: name of the arm.
        shift: what differs from the training, as for environments.
        size: of its images [pixels].
        publish_hz: readings per second [Hz].
        latency: mean time that readings and commands take on their way, each [s].
        jitter: largest deviation from it, evenly distributed [s].
        seed: of objects, places and jitter.
        purpose: of its episodes' stream.
    """

    objects: str = "toys:test"
    robot: str = "panda"
    shift: str = ""
    size: int = 96
    publish_hz: float = 25.0
    latency: float = 0.0
    jitter: float = 0.0
    seed: int = 0
    purpose: str = "test"

    def __post_init__(self) -> None:
        check_fields(self)
        late = {"latency": (0, 5), "jitter": (0, 5)}
        check_ranges(self, {"size": (16, 1024), "publish_hz": (1, TICK), "seed": 0, **late})
        if self.jitter > self.latency:
            told = f"jitter is {self.jitter:g} s, latency {self.latency:g} s"
            raise ConfigError(f"{told}: nothing arrives before it left; jitter is at most the latency")

    def environment(self) -> GraspEnv:
        """Makes the world that the robot is in."""
        return GraspEnv(EnvConfig(
            objects=self.objects, robot=self.robot, shift=self.shift, image_size=self.size, action_mode="joint_pos",
            control_hz=TICK, hold_steps=round(HOLD_SECONDS * TICK), purpose=self.purpose,
        ))  # fmt: skip


def limits_of(env: GraspEnv) -> RobotLimits:
    """Returns what the simulated robot says of itself."""
    robot, contract = env.robot, env.action_contract
    low, high = (tuple(side[: len(robot.joints)]) for side in (contract.low, contract.high))
    sizes = dict(env.config.image_sizes)
    return RobotLimits(
        robot.joints, low, high, robot.velocity, robot.acceleration, robot.gripper.opening, PANDA_FORCE, (1.0, TICK),
        sizes, tuple(sizes),
    )  # fmt: skip


class RobotSim:
    """A simulated robot that one driver at a time is connected to.

    Physics, images and episodes are one thread's, which `run` is; connections are others'.

    Args:
        options: what is simulated.
        host, port: where it listens; port 0 takes a free one.
        clock: seconds.
        sleep: waits for seconds.

    Attributes:
        port: where it listens.
        late: ticks that began too late to be made up for.
        refused: messages of drivers that made no sense.
    """

    def __init__(
        self, options: SimOptions, host: str = "127.0.0.1", port: int = 0, *,
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self.options, self._clock, self._sleep = options, clock, sleep
        try:
            self._listener = socket.create_server((host, port))
        except (OSError, OverflowError) as error:
            what = f"cannot listen at {host}:{port} ({error})"
            raise ConfigError(f"{what}; choose another --port, 0 for any that is free") from error
        self.port = int(self._listener.getsockname()[1])
        self._rng = episode_rng(options.seed, 0, "robot-latency")
        self._lock = threading.Condition()
        self._incoming: list[tuple[float, int, dict[str, Any]]] = []  # by when they arrive
        self._outgoing: list[tuple[float, int, dict[str, Any]]] = []
        self._count = itertools.count()
        self._driver: socket.socket | None = None
        self._ended = threading.Event()
        self._limits: dict[str, Any] = {}
        self._stopped = False
        self._done = False
        self._episode = 0
        self.late = self.refused = 0

    # ---------------------------------------------------------------- the robot

    def run(self) -> None:
        """Simulates until `end`."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            env = self.options.environment()
            stack.callback(env.close)
            self._limits = limits_of(env).to_json()
            self._begin(env, 0)
            for work in (self._accept, self._deliver):
                threading.Thread(target=work, daemon=True).start()
            self._simulate(env)

    def end(self) -> None:
        """Ends `run`, and the connections."""
        self._ended.set()
        with self._lock:
            self._lock.notify_all()

    def _simulate(self, env: GraspEnv) -> None:
        every, due = max(1, round(TICK / self.options.publish_hz)), self._clock()
        for tick in itertools.count():
            if self._ended.is_set():
                return
            for message in self._arrived(self._clock()):
                self._obey(env, message)
            if tick % every == 0:
                self._publish(env)
            if not self._done:
                env.command(np.append(self._target, self._opening).astype(np.float32))
            env.simulate()
            if not self._done:
                _, self._done, info = env.outcome()
                self._succeeded = bool(info["is_success"])
            due += 1.0 / TICK
            if (wait := due - self._clock()) > 0:
                self._sleep(wait)
            elif wait < -SLIP:
                self.late, due = self.late + 1, self._clock()

    def _begin(self, env: GraspEnv, episode: int) -> None:
        env.reset(seed=self.options.seed, options={"episode": episode, "observe": False})
        self._target, self._opening = env.scene.data.ctrl[env.scene.arm.ctrl].copy(), 1.0
        self._episode, self._stopped, self._done, self._succeeded = episode, False, False, False

    def _obey(self, env: GraspEnv, message: dict[str, Any]) -> None:
        """Does what a driver says; what makes no sense is counted and left, as the arm must not fall over it."""
        try:
            self._do(env, message)
        except (ToyShiftError, TypeError, ValueError, AttributeError):
            self.refused += 1

    def _do(self, env: GraspEnv, message: dict[str, Any]) -> None:
        if "begin" in message:
            self._begin(env, int(message["begin"]))
        elif "stop" in message:
            self._target = env.scene.data.qpos[env.scene.arm.qpos].copy()
            self._stopped = True
        elif "command" in message and not self._stopped:
            joints = np.asarray(message["command"].get("joints"), dtype=np.float64)
            opening = float(message["command"].get("opening", np.nan))
            if joints.shape != self._target.shape or not np.isfinite([*joints, opening]).all():
                raise RobotError("no joints and opening to go to")
            self._target, self._opening = joints, opening

    def _publish(self, env: GraspEnv) -> None:
        if self._driver is None:
            return
        seen, now = env.observe(), self._clock()
        readings = {
            "joints": env.scene.data.qpos[env.scene.arm.qpos].copy(), "time": now, "image_time": now,
            "width": env.opening() * env.robot.gripper.opening, "images": seen["pixels"], "masks": seen["masks"],
            "episode": self._episode, "stopped": self._stopped, "succeeded": self._succeeded,
        }  # fmt: skip
        self._post(self._outgoing, {"readings": readings})

    # ---------------------------------------------------------------- messages under way

    def _post(self, way: list[tuple[float, int, dict[str, Any]]], message: dict[str, Any]) -> None:
        """Puts a message on its way; it arrives after the latency, and none overtakes another."""
        with self._lock:
            late = self.options.latency + self.options.jitter * (2.0 * float(self._rng.random()) - 1.0)
            arrives = max(self._clock() + late, max((entry[0] for entry in way), default=0.0))
            heapq.heappush(way, (arrives, next(self._count), message))
            self._lock.notify_all()

    def _arrived(self, now: float) -> list[dict[str, Any]]:
        with self._lock:
            found = []
            while self._incoming and self._incoming[0][0] <= now:
                found.append(heapq.heappop(self._incoming)[2])
            return found

    def _accept(self) -> None:
        while not self._ended.is_set():
            try:
                driver, _ = self._listener.accept()
                driver.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                driver.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, PATIENCE)
                send_message(driver, {"hello": self._limits})
            except OSError:
                continue  # the listener was closed, or the driver was gone at once
            with self._lock:
                before, self._driver = self._driver, driver
                self._outgoing.clear()
            _hang_up(before)
            threading.Thread(target=self._listen, args=(driver,), daemon=True).start()

    def _listen(self, driver: socket.socket) -> None:
        try:
            while not self._ended.is_set():
                message = receive_message(driver, "the driver")
                if "ping" in message:
                    with self._lock:
                        send_message(driver, {"pong": self._clock()})
                else:
                    self._post(self._incoming, message)
        except (OSError, RobotError, RemoteError):
            with self._lock:
                if self._driver is driver:
                    self._driver = None
            _hang_up(driver)

    def _deliver(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                wait = self._outgoing[0][0] - self._clock() if self._outgoing else None
                if wait is None or wait > 0:
                    self._lock.wait(wait)
                    continue
                message, driver = heapq.heappop(self._outgoing)[2], self._driver
                if driver is None:
                    continue
                try:
                    send_message(driver, message)
                except OSError:
                    self._driver = None
                    _hang_up(driver)

    def _close(self) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listener.close()
        with self._lock:
            _hang_up(self._driver)
            self._driver = None


def _hang_up(connection: socket.socket | None) -> None:
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
