"""Who may ask a policy server, and how much: its key, its certificate, and limits of clients, messages and time."""

from __future__ import annotations

import dataclasses
import hmac
import ipaddress
import os
import ssl
from collections.abc import Callable
from pathlib import Path

from toyshift.core import fields
from toyshift.core.errors import ConfigError, FileError

API_KEY = "TOYSHIFT_API_KEY"  # environment variable; sent as openpi's clients send theirs
LIMITS = {"clients": (1, 10_000), "rate": (0, 1e6), "handshake": (0.001, 3600.0), "idle": (0, 1e6)}


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one server does at most.

    Attributes:
        clients: connections at once.
        rate: messages of one client a second, on average; those of a second may come together. 0 is no limit.
        handshake: for a connection to say what it wants [s].
        idle: between a client's messages [s]; 0 is for ever.
        max_bytes: of one message; 0 is what `server.longest_message` says of the metadata.
    """

    clients: int = 64
    rate: float = 1000.0
    handshake: float = 10.0
    idle: float = 3600.0
    max_bytes: int = 0

    def __post_init__(self) -> None:
        fields.check_fields(self)
        fields.check_ranges(self, LIMITS | {"max_bytes": 0})


class Pace:
    """Says whether a client keeps to the rate; time that jumps back gives nothing.

    Args:
        rate: messages a second; 0 is no limit.
        clock: tells the time [s].
    """

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate, self._clock = rate, clock
        self._left, self._last = max(1.0, rate), clock()

    def keeps(self) -> bool:
        """Whether one more message, now, is within the rate."""
        now = self._clock()
        self._left = min(max(1.0, self._rate), self._left + max(0.0, now - self._last) * self._rate)
        self._last = now
        if self._rate and self._left < 1.0:
            return False
        self._left -= 1.0
        return True


@dataclasses.dataclass(frozen=True)
class Access:
    """Who may ask.

    Attributes:
        key: what clients must know; "" lets in everyone who reaches the server.
        open_to_all: whether that is meant where other machines reach it.
        tls_cert: certificate chain (PEM); connections are then encrypted, wss://.
        tls_key: its private key (PEM).
    """

    key: str = dataclasses.field(default="", repr=False)
    open_to_all: bool = False
    tls_cert: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        if not (self.key.isascii() and self.key.isprintable()) or " " in self.key:
            where = f"--api-key-file or {API_KEY}"
            raise ConfigError(f"{where}: the API key must be printable ASCII without spaces, as it travels in a header")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("--tls-cert and --tls-key go together: a certificate and its private key")
        if self.key and self.open_to_all:
            raise ConfigError("--open lets in everyone, a key only those who know it: leave one of them out")

    def check(self, host: str) -> None:
        """Raises ConfigError where other machines reach this address and nobody would be asked who they are."""
        if not (self.key or self.open_to_all or _is_loopback(host)):
            raise ConfigError(
                f"other machines reach {host}: give a key with --api-key-file or {API_KEY}, "
                "or --open to let in everyone who reaches it"
            )

    def admits(self, headers: list[str]) -> bool:
        """Whether a request with these Authorization headers comes from someone who knows the key."""
        if not self.key:
            return True
        given = headers[0].encode(errors="surrogateescape") if len(headers) == 1 else b""
        return hmac.compare_digest(given, f"Api-Key {self.key}".encode())  # takes as long however much of it is right

    def tls(self) -> ssl.SSLContext | None:
        """Returns what encrypts connections, None without a certificate.

        Raises:
            FileError: one of the two files cannot be read, or they are no certificate and its key.
        """
        if self.tls_cert is None or self.tls_key is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.tls_cert, self.tls_key, password=_no_password)
        except OSError as error:  # ssl's own errors are among them
            what = f"{self.tls_cert} and {self.tls_key} are no certificate and its private key in PEM"
            raise FileError(f"{what} ({error.strerror or error})") from error
        return context


def read_key(file: Path | None) -> str:
    """Returns the key in a file, or in the environment, "" where there is none.

    Raises:
        FileError: the file cannot be read or is empty.
    """
    if file is None:
        return os.environ.get(API_KEY, "").strip()
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"cannot read the API key in {file}: {error}") from error
    if not key:
        raise FileError(f"{file} is empty; it must hold the API key")
    return key


def _no_password() -> str:
    raise FileError("the private key is encrypted; nobody is there to be asked for its password: decrypt it first")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
