"""openpi's messages: msgpack in which NumPy arrays are tagged maps; written and read without pickle.

An array is {b"__ndarray__": True, b"data": bytes, b"dtype": str, b"shape": [...]}, a NumPy scalar
{b"__npgeneric__": True, b"data": number, b"dtype": str}. Only numbers and truth values travel.
What is not an array's data is small: long lists and many of them are refused before they take memory.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import MissingDependencyError, RemoteError

KINDS = "biuf"  # dtype.kind: bool, int, uint, float
MAX_BYTES = 64 * 2**20  # of one message; three cameras of 1024 x 1024 pixels take 9 MiB
LONGEST = 4096  # entries of one list or map
MOST = 65_536  # entries of all lists and maps of a message together


def _missing(package: str, error: ImportError) -> MissingDependencyError:
    what = f"policies behind a server need {package} ({error})"
    return MissingDependencyError(f'{what}; run: pip install "toyshift[serve]"')


def msgpack_package() -> Any:
    """Returns msgpack, or raises MissingDependencyError."""
    try:
        import msgpack
    except ImportError as error:
        raise _missing("msgpack", error) from error
    return msgpack


def websockets_package() -> Any:
    """Returns websockets with its threaded client and server, or raises MissingDependencyError."""
    try:
        import websockets.exceptions
        import websockets.sync.client
        import websockets.sync.server
    except ImportError as error:
        raise _missing("websockets", error) from error
    return websockets


def pack(message: dict[str, Any]) -> bytes:
    """Returns the bytes of a message.

    Raises:
        RemoteError: it holds something that is no number, text, list, map or array of numbers.
    """
    try:
        packed: bytes = msgpack_package().packb(message, default=_tag)
    except (TypeError, ValueError, OverflowError) as error:
        raise RemoteError(f"this message cannot be sent: {error}") from error
    return packed


def unpack(data: bytes, sender: str) -> dict[str, Any]:
    """Returns the message in these bytes; arrays in it are copies.

    Args:
        data: one binary frame.
        sender: who sent it, for the error.

    Raises:
        RemoteError: the bytes are truncated or no msgpack, the message is no map, nested too deep or of too many
            entries, or an array is no array of numbers of that shape.
    """
    msgpack = msgpack_package()
    count = _Count()
    try:
        message = msgpack.unpackb(
            data, object_hook=count.untagged, list_hook=count.counted, max_array_len=LONGEST, max_map_len=LONGEST,
            max_ext_len=0,
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, OverflowError, msgpack.exceptions.UnpackException) as error:
        what = f"{len(data)} bytes that are no message of openpi's protocol"
        reason = "nested too deep" if isinstance(error, msgpack.exceptions.StackError) else error
        raise RemoteError(f"{sender} sent {what}: {reason}") from error
    if not isinstance(message, dict):
        raise RemoteError(f"{sender} sent a {type(message).__name__} where the protocol has a map")
    return message


def _tag(value: Any) -> dict[bytes, Any]:
    if not isinstance(value, np.ndarray | np.generic):
        raise TypeError(f"a {type(value).__name__} is neither number, text, list, map nor array")
    if value.dtype.kind not in KINDS:
        raise TypeError(f"arrays of dtype {value.dtype} do not travel; numbers do")
    if isinstance(value, np.generic):
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    return {b"__ndarray__": True, b"data": value.tobytes(), b"dtype": value.dtype.str, b"shape": value.shape}


class _Count:
    """Counts the entries of a message's lists and maps while it is read."""

    def __init__(self) -> None:
        self._entries = 0

    def counted(self, value: Any) -> Any:
        """Returns a list or map as it is; raises ValueError where there are too many entries."""
        self._entries += 1 + len(value)
        if self._entries > MOST:
            raise ValueError(f"lists and maps of more than {MOST} entries")
        return value

    def untagged(self, value: dict[Any, Any]) -> Any:
        """Returns a map, or the array or number that it stands for."""
        return _untag(self.counted(value))


def _dtype(name: Any) -> np.dtype[Any]:
    text = name.decode("ascii") if isinstance(name, bytes) else str(name)
    dtype = np.dtype(text)
    if dtype.kind not in KINDS:  # objects are pickles; structures and text have no place in an observation
        raise ValueError(f"an array of dtype {text!r} is refused; numbers are taken")
    return dtype


def _untag(value: dict[Any, Any]) -> Any:
    if b"__npgeneric__" in value:
        return _dtype(value[b"dtype"]).type(value[b"data"])
    if b"__ndarray__" not in value:
        return value
    dtype, shape, data = _dtype(value[b"dtype"]), tuple(value[b"shape"]), value[b"data"]
    if not isinstance(data, bytes) or any(not isinstance(side, int) or side < 0 for side in shape):
        raise ValueError(f"an array of shape {shape} with {type(data).__name__} for its data")
    if (size := math.prod(shape) * dtype.itemsize) != len(data):
        raise ValueError(f"an array of shape {shape} and dtype {dtype} has {len(data)} bytes instead of {size}")
    array: NDArray[Any] = np.ndarray(shape, dtype, buffer=data).copy()
    return array
