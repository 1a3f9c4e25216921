"""Messages between a robot and its driver over TCP: length, then msgpack as policy servers speak it. No pickle."""

from __future__ import annotations

import socket
import struct
from typing import Any

from toyshift.core.errors import ConfigError, RobotError
from toyshift.policies.remote.wire import MAX_BYTES, pack, unpack

LENGTH = struct.Struct(">I")


def address_of(text: str) -> tuple[str, int]:
    """Returns host and port of HOST:PORT.

    Raises:
        ConfigError: it is something else.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ConfigError(f"{text!r} is no address; write HOST:PORT, such as 127.0.0.1:8123")
    return host, int(port)


def send_message(connection: socket.socket, message: dict[str, Any]) -> None:
    """Sends one message; OSError where the connection is lost."""
    data = pack(message)
    connection.sendall(LENGTH.pack(len(data)) + data)


def receive_message(connection: socket.socket, sender: str) -> dict[str, Any]:
    """Waits for one message.

    Raises:
        RobotError: the connection ended, or what came is too long.
        RemoteError: what came is no message.
        OSError: the connection was lost.
    """
    (length,) = LENGTH.unpack(_exactly(connection, LENGTH.size, sender))
    if length > MAX_BYTES:
        raise RobotError(f"{sender} announces {length} bytes, at most {MAX_BYTES} are taken")
    return unpack(_exactly(connection, length, sender), sender)


def _exactly(connection: socket.socket, count: int, sender: str) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = connection.recv(min(count - len(data), 1 << 20))
        if not part:
            raise RobotError(f"{sender} closed the connection")
        data += part
    return bytes(data)
