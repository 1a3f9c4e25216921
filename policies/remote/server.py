"""A policy server that speaks openpi's websocket protocol; needs neither torch nor a simulator itself.

On connection the server sends its metadata; then every binary frame is an observation, answered with {"actions": (K,
A), "server_timing": {"infer_ms", "prev_total_ms"}}. An error is a text frame, after which the server closes the
connection (1011); of one that nobody foresaw, the text is its class and a number, and the log has the rest. The episode
so far is forgotten at {"__ctrl__": "episode_start"}, which is answered with {"__ack__": "episode_start"}, at an
observation with "episode_start": true, and, as openpi's `reset()` says nothing to its server, after a pause, if the
client has done neither. `GET /healthz` answers "OK".
"""

from __future__ import annotations

import copy
import http
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from toyshift.core.contract import (
    ENVIRONMENT_STATE,
    IMAGE_PREFIX,
    MASK_PREFIX,
    STATE,
    TASK,
    ObservationContract,
)
from toyshift.core.errors import ConfigError, ContractError, RemoteError, ToyShiftError, shown
from toyshift.policies.remote.wire import MAX_BYTES, pack, unpack, websockets_package

logger = logging.getLogger(__name__)

PROTOCOL = 1  # of what `metadata["toyshift"]` says
STATES = {STATE: "agent_pos", ENVIRONMENT_STATE: "environment_state"}  # our key -> the environment's
VIEWS = {IMAGE_PREFIX: "pixels", MASK_PREFIX: "masks"}  # the beginning of our keys -> the environment's
CONTROL, START, ACKNOWLEDGE = "__ctrl__", "episode_start", "__ack__"
LEAST_BYTES = 2**20  # that a message may always have
GOODBYE = 1001, "the server ends"
GRACE = 60.0  # for the answer in work when the server ends [s]
PAUSE = 10.0  # between an answer and the next observation, which then begins an episode [s]


class Session(Protocol):
    """What one client talks to: histories are its own, weights are shared."""

    def reset(self) -> None: ...

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        """Returns the answer to an observation; it has "actions", (K, A)."""
        ...


class PolicySession:
    """One client of an `ActingPolicy`; observations have the batch contract's keys, without batch and time.

    "prompt" may stand for "task".

    Args:
        policy: shared by all sessions; its `reset` replaces what belongs to an episode.
    """

    def __init__(self, policy: Any) -> None:
        self._policy = copy.copy(policy)
        self._policy.called = _called
        self._policy.reset()

    def reset(self) -> None:
        self._policy.reset()

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        named = {key: value for key, value in observation.items() if isinstance(key, str)}
        seen: dict[str, Any] = {STATES[key]: _state(key, named[key]) for key in STATES if key in named}
        for prefix, kind in VIEWS.items():
            views = {key: value for key, value in named.items() if key.startswith(prefix)}
            seen[kind] = {key.removeprefix(prefix): _array(key, value) for key, value in views.items()}
        seen[TASK] = named.get(TASK, named.get("prompt", ""))
        if not isinstance(seen[TASK], str):
            raise ContractError(f"{TASK} or prompt must be text, got {shown(seen[TASK])}")
        return {"actions": self._policy.act(seen)}


def _called(kind: str, camera: str = "") -> str:
    """Returns how a client calls a part of an observation."""
    names = {ours: key for key, ours in (STATES | VIEWS).items()}
    return names.get(kind, kind) + camera


def _array(key: str, value: Any) -> NDArray[Any]:
    try:
        return np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise ContractError(f"{key} must be an array, got {shown(value)}") from error


def _state(key: str, value: Any) -> NDArray[Any]:
    state = _array(key, value)
    if state.dtype.kind not in "iuf":
        raise ContractError(f"{key} must be finite numbers, got {state.dtype} {shown(value)}")
    return state


class _Episodes:
    """A client's session, which forgets when an episode begins.

    Args:
        session: answers observations.
        clock: tells the time [s].
    """

    def __init__(self, session: Session, clock: Callable[[], float]) -> None:
        self._session, self._clock = session, clock
        self._tells = False  # the client says where episodes begin
        self._answered = math.inf  # when the last answer was ready

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Returns the answer to an observation or control message."""
        if CONTROL in message:
            if message[CONTROL] != START:
                raise RemoteError(f"{CONTROL} is {shown(message[CONTROL])}; this server knows {START!r}")
            self._tells = True
            self._session.reset()
            return {ACKNOWLEDGE: START}
        if START in message:
            begins = message.pop(START)
            if not isinstance(begins, bool | np.bool_):
                raise RemoteError(f"{START} is {shown(begins)}; it must be true or false")
            self._tells |= bool(begins)
        else:
            begins = not self._tells and self._clock() - self._answered > PAUSE
        if begins:
            self._session.reset()
        answer = self._session.infer(message)
        self._answered = self._clock()
        return answer


def policy_metadata(policy: Any, fingerprint: str) -> dict[str, Any]:
    """Returns what the server of an `ActingPolicy` says about it.

    Args:
        policy: the policy.
        fingerprint: hash of its weights and configuration.
    """
    return {
        "toyshift": {
            "protocol": PROTOCOL,
            "name": policy.name,
            "pooling": str(getattr(policy.config, "pooling_label", "")),
            "fingerprint": fingerprint,
            "action_contract": policy.action_contract.to_json(),
            "observation_contract": policy.observation_contract.to_json(),
            "cameras": list(policy.cameras),
            "needs_masks": bool(policy.needs_masks),
            "execute": int(policy.execute),
            "episode_start": True,
        }
    }


def longest_message(metadata: Mapping[str, Any]) -> int:
    """Returns how long a client's messages may be: twice what an observation needs, at least 1 MiB [bytes].

    Args:
        metadata: what a server says; where it does not say what it must be shown, messages may have MAX_BYTES.
    """
    said = metadata.get("toyshift", {})
    if "observation_contract" not in said:
        return MAX_BYTES
    seen = ObservationContract.from_json(said["observation_contract"])
    channels = 3 + bool(said.get("needs_masks", True))
    pixels = sum(height * width for _, (height, width) in seen.cameras)
    entries = len(seen.state_names) + len(seen.environment_state_names)
    return max(LEAST_BYTES, 2 * (channels * pixels + 8 * entries))


class PolicyServer:
    """Listens from its construction on; every client has a thread, one of them computes at a time.

    Args:
        open_session: called once per client.
        metadata: sent to every client first.
        host: address to listen at; "0.0.0.0" lets other machines in, whom nothing here asks who they are.
        port: 0 takes a free one.
        clock: tells the time [s].
        max_bytes: longest message that is taken [bytes]; 0 is what `longest_message` says of the metadata.

    Attributes:
        port: where it listens.

    Raises:
        ConfigError: the address cannot be listened at.
        MissingDependencyError: websockets or msgpack is not installed.
    """

    def __init__(
        self, open_session: Callable[[], Session], metadata: dict[str, Any], host: str = "127.0.0.1", port: int = 8000,
        clock: Callable[[], float] = time.monotonic, max_bytes: int = 0,
    ) -> None:
        self._websockets = websockets_package()
        self._open_session = open_session
        self._greeting = pack(metadata)
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._faults = itertools.count(1)
        self._ending = threading.Event()
        self._lock = threading.Lock()  # of what follows
        self._working: dict[Any, threading.Lock] = {}  # of every connection
        try:
            self._server = self._websockets.sync.server.serve(
                self._talk, host, port,
                compression=None, process_request=_health, ping_interval=None,
                max_size=max_bytes or longest_message(metadata),
            )  # fmt: skip
        except (OSError, OverflowError) as error:
            what = f"cannot listen at {host}:{port} ({error})"
            raise ConfigError(f"{what}; choose another --port, 0 for any that is free") from error
        self.port = int(self._server.socket.getsockname()[1])

    def serve_forever(self) -> None:
        """Serves until `shutdown` is called from another thread."""
        self._server.serve_forever()

    def shutdown(self) -> None:
        """Finishes and sends the answer in work, says goodbye to all clients (1001), and listens no more."""
        self._ending.set()
        with self._lock:
            working = dict(self._working)
        with ThreadPoolExecutor(len(working) or 1) as together:
            for connection, work in working.items():
                together.submit(self._close, connection, work)
        self._server.shutdown()

    @staticmethod
    def _close(connection: Any, work: threading.Lock) -> None:
        if work.acquire(timeout=GRACE):
            work.release()
        connection.close(*GOODBYE)

    def _talk(self, connection: Any) -> None:
        """Serves one client; runs in a thread of its own."""
        work = threading.Lock()  # held from an observation's arrival until its answer is sent
        with self._lock:
            self._working[connection] = work
        try:
            self._converse(connection, work)
        finally:
            with self._lock:
                del self._working[connection]

    def _converse(self, connection: Any, work: threading.Lock) -> None:
        try:
            connection.send(self._greeting)
            session = _Episodes(self._open_session(), self._clock)
            total_ms: dict[str, float] = {}
            for frame in connection:
                with work:
                    start = time.perf_counter()
                    answer = self._answer(session, frame)
                    if answer is None:
                        connection.close(*GOODBYE)
                        return
                    if "actions" in answer:
                        answer["server_timing"] = {"infer_ms": 1e3 * (time.perf_counter() - start), **total_ms}
                    connection.send(pack(answer))
                total_ms = {"prev_total_ms": 1e3 * (time.perf_counter() - start)}
        except ToyShiftError as error:
            self._refuse(connection, f"{type(error).__name__}: {error}")
        except self._websockets.exceptions.ConnectionClosed:
            return  # the client has gone, politely or not
        except Exception as error:
            number = next(self._faults)
            logger.exception("error %d", number)
            self._refuse(connection, f"{type(error).__name__}, error {number} of this server: its log says more")

    def _answer(self, session: _Episodes, frame: bytes | str) -> dict[str, Any] | None:
        """Returns the answer to a frame, None where the server ends before it is the client's turn."""
        if isinstance(frame, str):
            raise RemoteError("the client sent text; observations are msgpack in binary frames")
        message = unpack(frame, "the client")
        with self._one_at_a_time:
            return None if self._ending.is_set() else session.answer(message)

    def _refuse(self, connection: Any, text: str) -> None:
        try:
            connection.send(text)
            connection.close(1011, "the frame before says why")
        except self._websockets.exceptions.ConnectionClosed:
            return


def _health(connection: Any, request: Any) -> Any:
    return connection.respond(http.HTTPStatus.OK, "OK\n") if request.path == "/healthz" else None
