"""The connection to a policy server, whatever it speaks, and openpi's way of asking over it."""

from __future__ import annotations

import abc
import contextlib
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from toyshift.core.errors import ConfigError, RefusalError, RemoteError
from toyshift.policies.remote.access import API_KEY
from toyshift.policies.remote.options import SOCKETS, VLA_EVAL
from toyshift.policies.remote.session import ACKNOWLEDGE, CONTROL, START
from toyshift.policies.remote.wire import MAX_BYTES, pack, unpack, websockets_package

CONNECT_SECONDS = 10.0
SHOWN = 600  # characters of a server's error text
RERUN = "finished episodes are kept: once it is there again, the same command goes on"


class Line(abc.ABC):
    """A websocket to a policy server; what is said over it, subclasses know.

    Args:
        policy: the address as the user wrote it.
        timeout: longest wait for an answer [s].

    Attributes:
        where: host and port, for messages.
        execute: actions of a chunk to execute where nobody says how many; 0 leaves it to what is stated of the actions.
        keys: preset of how observations are called, for a server that says our contracts.

    Raises:
        ConfigError: no such address.
        MissingDependencyError: websockets is not installed.
    """

    execute = 0
    keys = "toyshift"

    def __init__(self, policy: str, timeout: float) -> None:
        self._policy, self._timeout = policy, timeout
        self._url, self.where = _address(policy)
        self._websockets = websockets_package()
        self._socket: Any = None
        self._opened = contextlib.ExitStack()

    @abc.abstractmethod
    def connect(self) -> dict[str, Any]:
        """Opens the connection, anew if there was one, and returns what the server says about itself: "toyshift" has
        what `session.policy_metadata` says, if it does.
        """

    @abc.abstractmethod
    def begin(self, *, tells: bool) -> None:
        """Begins an episode; `tells` says whether the server said that it wants to be told."""

    @abc.abstractmethod
    def ask(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the answer to an observation; after an error the connection is closed.

        Raises:
            RemoteError: no answer in time, a lost connection, or the server's own error.
        """

    @property
    def is_open(self) -> bool:
        return self._socket is not None and self._socket.state.name == "OPEN"

    def close(self) -> None:
        self._socket = None
        self._opened.close()

    # ---------------------------------------------------------------- for subclasses

    def _open(self, hello: bytes | None = None) -> bytes:
        """Connects, says hello if there is something to say, and returns the first frame."""
        self.close()
        key = os.environ.get(API_KEY)
        errors = self._websockets.exceptions
        try:
            # No pings: a server that computes in its event loop does not answer them. No proxy: policies are near.
            self._socket = self._opened.enter_context(self._websockets.sync.client.connect(
                self._url, compression=None, max_size=MAX_BYTES, open_timeout=CONNECT_SECONDS, close_timeout=2,
                ping_interval=None, proxy=None,
                additional_headers={"Authorization": f"Api-Key {key}"} if key else None,
            ))  # fmt: skip
            if hello is not None:
                self._socket.send(hello)
            greeting = self._socket.recv(timeout=CONNECT_SECONDS)
        except (OSError, errors.WebSocketException) as error:
            silent = self._socket is not None and isinstance(error, TimeoutError)
            self.close()
            what, help_ = f"no policy server answers at {self.where}", f"start it, or correct --policy {self._policy}"
            if silent:
                help_ = "it listens and says nothing: ws:// is for openpi's protocol, vla-eval: for that of vla-eval"
            if getattr(getattr(error, "response", None), "status_code", 0) == 401:
                what, help_ = f"the policy server at {self.where} wants a key", f"set {API_KEY} to the one it knows"
            raise RemoteError(f"{what} ({_reason(error)}); {help_}; {RERUN}") from error
        if isinstance(greeting, str):
            self.close()
            raise RemoteError(f"{self.where} refuses: {greeting.strip()[-SHOWN:]}")
        return bytes(greeting)

    def _send(self, frame: bytes) -> None:
        if self._socket is None:
            raise RemoteError(f"the connection to {self.where} was lost; {RERUN}")
        try:
            self._socket.send(frame)
        except (OSError, self._websockets.exceptions.ConnectionClosed) as error:
            raise self._lost(error) from error

    def _receive(self) -> bytes:
        try:
            answer = self._socket.recv(timeout=self._timeout)
        except TimeoutError as error:
            self.close()  # the answer may still come, and would be taken for that of the next observation
            late = f"has not answered within {self._timeout:g} s; --remote-timeout waits longer"
            raise RemoteError(f"{self.where} {late}; {RERUN}") from error
        except (OSError, self._websockets.exceptions.ConnectionClosed) as error:
            raise self._lost(error) from error
        if isinstance(answer, str):
            raise self._refused(answer)
        return bytes(answer)

    def _lost(self, error: Exception) -> RemoteError:
        self.close()
        return RemoteError(f"{self.where} closed the connection ({_reason(error)}); {RERUN}")

    def _refused(self, words: str) -> RefusalError:
        self.close()
        return RefusalError(f"{self.where} answered with an error: {words.strip()[-SHOWN:]}")


class OpenpiLine(Line):
    """openpi's protocol: the server greets with its metadata; an observation is answered with {"actions": ...}."""

    def connect(self) -> dict[str, Any]:
        return unpack(self._open(), self.where)

    def begin(self, *, tells: bool) -> None:
        if tells and self.ask({CONTROL: START}).get(ACKNOWLEDGE) != START:
            raise RemoteError(f"{self.where} said that it knows {START!r} and does not acknowledge it")

    def ask(self, observation: Mapping[str, Any]) -> dict[str, Any]:
        self._send(pack(dict(observation)))
        return unpack(self._receive(), self.where)


def _reason(error: Exception) -> str:
    told = str(getattr(error, "strerror", None) or error) or type(error).__name__
    body = getattr(getattr(error, "response", None), "body", None) or b""  # of a server that refuses the handshake
    return f"{told}: {body[:SHOWN].decode(errors='replace').strip()}" if body else told


def _address(policy: str) -> tuple[str, str]:
    """Returns the address to connect to, and HOST:PORT, of ws://HOST:PORT, wss://HOST:PORT or vla-eval:HOST:PORT.

    Raises:
        ConfigError: there is no host, or the port is no number.
    """
    rest = policy.removeprefix(VLA_EVAL)
    url = rest if rest == policy or rest.startswith(SOCKETS) else f"{SOCKETS[0]}{rest}"
    wanted = "write vla-eval:HOST:PORT" if rest != policy else "write ws://HOST:PORT"
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
    except ValueError as error:
        raise ConfigError(f"{policy!r} is no address of a policy server ({error}); {wanted}") from error
    if not url.startswith(SOCKETS) or not parts.hostname or parts.path.startswith("//"):
        raise ConfigError(f"{policy!r} is no address of a policy server; {wanted}")
    return url, f"{parts.hostname}:{port}"
