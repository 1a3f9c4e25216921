"""openpi's messages: msgpack in which NumPy arrays are tagged maps; written and read without pickle.

An array is {b"__ndarray__": True, b"data": bytes, b"dtype": str, b"shape": [...]}, a NumPy scalar
{b"__npgeneric__": True, b"data": number, b"dtype": str}. Only numbers and truth values travel.
What is not an array's data is small: long lists and many of them are refused before they take memory.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import MissingDependencyError, RemoteError, shown

KINDS = "biuf"  # dtype.kind: bool, int, uint, float
NUMBERS = re.compile(r"[<>=|]?([biuf][0-9]{1,2}|\?)|bool|u?int[0-9]{1,2}|float[0-9]{2,3}")  # their dtypes, as text
MAX_BYTES = 64 * 2**20  # of one message; three cameras of 1024 x 1024 pixels take 9 MiB
LONGEST = 4096  # entries of one list or map
DEEPEST = 32  # lists and maps inside each other
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


def pack(message: dict[str, Any], tag: Callable[[Any], Any] | None = None) -> bytes:
    """Returns the bytes of a message.

    Args:
        message: what is sent.
        tag: what stands for an array or a NumPy scalar; by default openpi's tagged maps.

    Raises:
        RemoteError: it holds something that is no number, text, list, map or array of numbers.
    """
    try:
        packed: bytes = msgpack_package().packb(message, default=tag or _tag)
    except (TypeError, ValueError, OverflowError) as error:
        raise RemoteError(f"this message cannot be sent: {error}") from error
    return packed


def unpack(
    data: bytes, sender: str, untag: Callable[[dict[Any, Any]], Any] | None = None, protocol: str = "openpi's protocol"
) -> dict[str, Any]:
    """Returns the message in these bytes; arrays in it are copies.

    Args:
        data: one binary frame.
        sender: who sent it, for the error.
        untag: the array or number that a map stands for, or the map; by default of openpi's tagged maps.
        protocol: likewise, for the error.

    Raises:
        RemoteError: the bytes are truncated or no msgpack, the message is no map, nested too deep or of too many
            entries, or an array is no array of numbers of that shape.
    """
    msgpack = msgpack_package()
    count = _Count(untag or _untag)
    try:
        message = msgpack.unpackb(
            data, object_hook=count.mapped, list_hook=count.listed, max_array_len=LONGEST, max_map_len=LONGEST,
            max_str_len=MOST, max_ext_len=0,
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, OverflowError, msgpack.exceptions.UnpackException) as error:
        what = f"{len(data)} bytes that are no message of {protocol}"
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
    """Counts the entries of a message's lists and maps while it is read, and how deep they are nested."""

    def __init__(self, untag: Callable[[dict[Any, Any]], Any]) -> None:
        self._untag, self._entries = untag, 0
        self._depths: dict[int, int] = {}  # of those whose parent is not there yet, by id

    def _count(self, value: Any, inside: Any) -> None:
        self._entries += 1 + len(value)
        if self._entries > MOST:
            raise ValueError(f"lists and maps of more than {MOST} entries")
        depths = [self._depths.pop(id(one), 1) for one in inside if isinstance(one, list | dict)]
        self._depths[id(value)] = depth = 1 + max(depths, default=0)
        if depth > DEEPEST:
            raise ValueError(f"nested too deep: {DEEPEST} lists and maps inside each other are the most")

    def listed(self, value: list[Any]) -> list[Any]:
        """Returns a list as it is."""
        self._count(value, value)
        return value

    def mapped(self, value: dict[Any, Any]) -> Any:
        """Returns a map, or the array or number that it stands for."""
        self._count(value, value.values())
        out = self._untag(value)
        if out is not value:
            del self._depths[id(value)]
        return out


def _dtype(name: Any) -> np.dtype[Any]:
    text = name.decode("ascii") if isinstance(name, bytes) else name
    # objects are pickles; structures and text have no place in an observation
    if not isinstance(text, str) or not NUMBERS.fullmatch(text):
        raise ValueError(f"an array of dtype {shown(text)} is refused; numbers are taken")
    return np.dtype(text)


def _number(dtype: np.dtype[Any], value: Any) -> np.generic:
    fits = isinstance(value, int | float) and (dtype.kind in "bf" or isinstance(value, int))
    if not fits or (dtype.kind in "iu" and not np.iinfo(dtype).min <= value <= np.iinfo(dtype).max):
        raise ValueError(f"{shown(value)} is no {dtype}")
    number: np.generic = dtype.type(value)
    return number


def _untag(value: dict[Any, Any]) -> Any:
    if b"__npgeneric__" in value:
        return _number(_dtype(value[b"dtype"]), value[b"data"])
    if b"__ndarray__" not in value:
        return value
    return array_of(value[b"dtype"], value[b"shape"], value[b"data"])


def array_of(dtype_name: Any, sides: Any, data: Any) -> NDArray[Any]:
    """Returns an array, a copy, by what travels for it; raises ValueError where it is no array of numbers."""
    dtype, shape = _dtype(dtype_name), tuple(sides)
    if not isinstance(data, bytes) or any(not isinstance(side, int) or side < 0 for side in shape):
        raise ValueError(f"an array of shape {shown(shape)} with {type(data).__name__} for its data")
    if (size := math.prod(shape) * dtype.itemsize) != len(data):
        wanted = f"{len(data)} bytes instead of {shown(size)}"
        raise ValueError(f"an array of shape {shown(shape)} and dtype {dtype} has {wanted}")
    array: NDArray[Any] = np.ndarray(shape, dtype, buffer=data).copy()
    return array
