"""A policy server that speaks openpi's websocket protocol; needs neither torch nor a simulator itself.

On connection the server sends its metadata; then every binary frame is an observation, answered with {"actions": (K,
A), "server_timing": {"infer_ms", "prev_total_ms"}}. Of a client's observations that wait, the newest is answered
("server_timing" then says how many were "skipped"), and clients take turns. An error is a text frame, after which the
server closes the connection (1011; 1008 where a limit is exceeded); of one that nobody foresaw, the text is its class
and a number, and the log has the rest. The episode so far is forgotten at {"__ctrl__": "episode_start"}, which is
answered with {"__ack__": "episode_start"}, at an observation with "episode_start": true, and, as openpi's `reset()`
says nothing to its server, after a pause, if the client has done neither. `GET /healthz` answers "OK", `GET /metrics`
what happened so far, in Prometheus' format.
"""

from __future__ import annotations

import http
import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from toyshift.core.contract import ObservationContract
from toyshift.core.errors import ConfigError, RemoteError, ToyShiftError
from toyshift.policies.remote.access import Access, Limits, Pace
from toyshift.policies.remote.session import CONTROL, Episodes
from toyshift.policies.remote.session import PolicySession as PolicySession
from toyshift.policies.remote.session import Session as Session
from toyshift.policies.remote.session import policy_metadata as policy_metadata
from toyshift.policies.remote.traffic import CONTENT_TYPE, Traffic
from toyshift.policies.remote.turns import Turns
from toyshift.policies.remote.wire import MAX_BYTES, pack, unpack, websockets_package

logger = logging.getLogger(__name__)

LEAST_BYTES = 2**20  # that a message may always have
GOODBYE = 1001, "the server ends"
GRACE = 60.0  # for the answer in work when the server ends [s]
CLOSING = 2.0  # for a client to answer a goodbye [s]
TOGETHER = 1024  # messages of a client that are looked at before its turn comes
LATE = 16  # and those that arrived while it was waiting: as many as the connection keeps
STRANGERS = 16  # connections beyond the clients that may be saying what they want


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


class LimitError(RemoteError):
    """A client that asks for more than the server's limits allow."""

    def __init__(self, label: str, text: str) -> None:
        super().__init__(text)
        self.label = label


class PolicyServer:
    """Listens from its construction on; every client has a thread, one of them computes at a time.

    Args:
        open_session: called once per client.
        metadata: sent to every client first.
        host: address to listen at; "0.0.0.0" lets other machines in.
        port: 0 takes a free one.
        access: who may ask.
        limits: how much.
        clock: tells the time [s].

    Attributes:
        port: where it listens.
        traffic: what has happened so far.

    Raises:
        ConfigError: the address cannot be listened at, or other machines reach it and nobody would be asked for a key.
        FileError: the certificate or its key cannot be read.
        MissingDependencyError: websockets or msgpack is not installed.
    """

    def __init__(
        self, open_session: Callable[[], Session], metadata: dict[str, Any], host: str = "127.0.0.1", port: int = 8000,
        access: Access | None = None, limits: Limits | None = None, clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._websockets = websockets_package()
        self._open_session, self._greeting, self._clock = open_session, pack(metadata), clock
        self._access, self._limits = access or Access(), limits or Limits()
        self._access.check(host)
        self.traffic = Traffic()
        self._turns = Turns()
        self._faults = itertools.count(1)
        self._ending = threading.Event()
        self._lock = threading.Lock()  # of what follows
        self._working: dict[Any, threading.Lock] = {}  # of every client
        try:
            self._server = self._websockets.sync.server.serve(
                self._talk, host, port, ssl=self._access.tls(), compression=None, process_request=self._request,
                ping_interval=None, open_timeout=self._limits.handshake, close_timeout=CLOSING,
                max_size=self._limits.max_bytes or longest_message(metadata),
            )  # fmt: skip
        except (OSError, OverflowError) as error:
            what = f"cannot listen at {host}:{port} ({error})"
            raise ConfigError(f"{what}; choose another --port, 0 for any that is free") from error
        self._handle, self._server.handler = self._server.handler, self._accept
        self._places = threading.Semaphore(self._limits.clients + STRANGERS)
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

    # ---------------------------------------------------------------- connections

    def _accept(self, sock: Any, address: Any) -> None:
        """Gives a connection a place before it has said a word; runs in a thread of its own, as all that follows."""
        if not self._places.acquire(blocking=False):
            self.traffic.count("refused", 'reason="connections"')
            sock.close()
            if hasattr(self._server, "handler_threads"):  # websockets from 16 on waits for these
                with self._server.lock:
                    self._server.handler_threads.discard(threading.current_thread())
            return
        try:
            self._handle(sock, address)
        finally:
            self._places.release()

    def _request(self, connection: Any, request: Any) -> Any:
        """Answers requests that are none for a websocket, and those of strangers."""
        if request.path == "/healthz":
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if not self._access.admits(request.headers.get_all("Authorization")):
            self.traffic.count("refused", 'reason="key"')
            refused = connection.respond(http.HTTPStatus.UNAUTHORIZED, "send the header Authorization: Api-Key KEY\n")
            refused.headers["WWW-Authenticate"] = "Api-Key"
            return refused
        if request.path == "/metrics":
            with self._lock:
                clients = len(self._working)
            told = connection.respond(http.HTTPStatus.OK, self.traffic.text(clients))
            del told.headers["Content-Type"]
            told.headers["Content-Type"] = CONTENT_TYPE
            return told
        return None

    def _talk(self, connection: Any) -> None:
        """Serves one client."""
        work = threading.Lock()  # held from an observation's arrival until its answer is sent
        with self._lock:
            fits = len(self._working) < self._limits.clients
            if fits:
                self._working[connection] = work
        if not fits:
            told = f"this server has {self._limits.clients} clients already, which is its limit (--clients)"
            self._refuse(connection, LimitError("clients", told))
            return
        try:
            self._converse(connection, work)
        except self._websockets.exceptions.ConnectionClosed:
            return  # the client has gone, politely or not
        except Exception as error:
            self._refuse(connection, error)
        finally:
            with self._lock:
                del self._working[connection]

    def _refuse(self, connection: Any, error: Exception) -> None:
        """Tells a client of an error, and closes the connection."""
        if isinstance(error, ToyShiftError):
            text = f"{type(error).__name__}: {error}"
        else:
            number = next(self._faults)
            logger.error("error %d", number, exc_info=error)
            text = f"{type(error).__name__}, error {number} of this server: its log says more"
        if isinstance(error, LimitError):
            self.traffic.count("refused", f'reason="{error.label}"')
        else:
            self.traffic.count("errors", f'whose="{"client" if isinstance(error, ToyShiftError) else "server"}"')
        try:
            connection.send(text)
            connection.close(1008 if isinstance(error, LimitError) else 1011, "the frame before says why")
        except self._websockets.exceptions.ConnectionClosed:
            return

    # ---------------------------------------------------------------- messages

    def _converse(self, connection: Any, work: threading.Lock) -> None:
        connection.send(self._greeting)
        self.traffic.count("connections")
        episodes = Episodes(self._open_session(), self._clock, lambda: self.traffic.count("episodes"))
        pace = Pace(self._limits.rate, self._clock)
        total_ms: dict[str, float] = {}
        while True:
            first = self._receive(connection, pace, self._limits.idle or None)
            with work:
                start = self._clock()
                waiting = [first, *self._arrived(connection, pace, TOGETHER)]
                with self._turns.turn():
                    if self._ending.is_set():
                        connection.close(*GOODBYE)
                        return
                    waiting += self._arrived(connection, pace, LATE)
                    begin = self._clock()
                    answers = self._answers(episodes, waiting)
                    now = self._clock()
                for answer in answers:
                    if "server_timing" in answer:
                        answer["server_timing"] |= {"infer_ms": 1e3 * (now - start), **total_ms}
                        self.traffic.time("wait_seconds", begin - start)
                        self.traffic.time("infer_seconds", now - begin)
                        self.traffic.count("answers")
                    connection.send(pack(answer))
            total_ms = {"prev_total_ms": 1e3 * (self._clock() - start)}

    def _receive(self, connection: Any, pace: Pace, timeout: float | None) -> dict[str, Any]:
        """Returns the next message.

        Raises:
            LimitError: none within the timeout, or too many.
        """
        try:
            frame = connection.recv(timeout=timeout)
        except TimeoutError as error:
            raise LimitError("idle", f"nothing was asked for {timeout:g} s, which is the limit (--idle)") from error
        if not pace.keeps():
            raise LimitError("rate", f"more than {self._limits.rate:g} messages a second, which is the limit (--rate)")
        if isinstance(frame, str):
            raise RemoteError("the client sent text; observations are msgpack in binary frames")
        message = unpack(frame, "the client")
        if CONTROL not in message:
            self.traffic.count("observations")
        return message

    def _arrived(self, connection: Any, pace: Pace, most: int) -> list[dict[str, Any]]:
        """Returns messages that are there already."""
        found: list[dict[str, Any]] = []
        while len(found) < most:
            try:
                found.append(self._receive(connection, pace, 0))
            except LimitError as error:
                if error.label != "idle":
                    raise
                break
        return found

    def _answers(self, episodes: Episodes, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the answers to messages of one client that waited together: of observations, to the newest."""
        newest = max((i for i, message in enumerate(messages) if CONTROL not in message), default=-1)
        answers, skipped = [], 0
        for i, message in enumerate(messages):
            if CONTROL not in message and i < newest:
                episodes.skip(message)
                skipped += 1
                continue
            answer = dict(episodes.answer(message))
            if i == newest:
                _check_answer(answer)
                answer["server_timing"] = {"skipped": skipped} if skipped else {}
            answers.append(answer)
        if skipped:
            self.traffic.count("superseded", by=skipped)
        return answers


def _check_answer(answer: Mapping[str, Any]) -> None:
    """Refuses answers that openpi's `ActionChunkBroker` could not take apart: it takes row i of every array."""
    arrays = {key: value for key, value in answer.items() if isinstance(value, np.ndarray)}
    rows = len(arrays["actions"]) if "actions" in arrays and arrays["actions"].ndim else None
    for key, value in arrays.items():
        if rows is not None and (not value.ndim or len(value) != rows):
            raise TypeError(f"{key} of an answer has shape {value.shape}; its actions have {rows} rows")
