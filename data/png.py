"""PNG bytes of images and masks: lossless, small, and encoded fast enough to be written while collecting."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import FileError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NO_FILTER, _SUB = 0, 1


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Encodes one (H, W, 3) sRGB image or one (H, W) mask as a PNG file.

    Written by hand because Pillow tries every filter on every row: on a rendered 96x96 image, differences to the left
    pixel with zlib's run-length strategy took 0.34 ms and 12.7 kB, Pillow at its fastest level 1.7 ms and 13.1 kB.
    Masks are flat: unfiltered is best.

    Args:
        image: uint8.
    """
    height, width = image.shape[:2]
    channels = 3 if image.ndim == 3 else 1
    pixels = image.reshape(height, width * channels)
    rows = np.empty((height, width * channels + 1), np.uint8)  # each row begins with its filter
    rows[:, 0] = _SUB if channels == 3 else _NO_FILTER
    rows[:, 1:] = pixels
    if channels == 3:
        rows[:, 1 + channels :] -= pixels[:, :-channels]
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS, 9, zlib.Z_RLE)
    data = packer.compress(rows.data) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def decode_png(data: bytes, shape: Sequence[int], where: str) -> NDArray[np.uint8]:
    """Decodes PNG bytes to a uint8 array of the expected shape.

    Args:
        data: bytes of a PNG file.
        shape: (H, W, 3) or (H, W).
        where: what to call the image in an error: file, episode and frame.

    Raises:
        FileError: the bytes are no PNG file, or one of another size or kind.
    """
    fast = _decode_own(data, tuple(shape))
    if fast is not None:
        return fast
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
            array: NDArray[Any] = np.asarray(picture)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        remedy = "restore the file from a copy or collect again"
        raise FileError(f"{where}: the stored image cannot be decoded ({error}); {remedy}") from error
    if array.dtype != np.uint8 or array.shape != tuple(shape):
        found = f"the stored image is {array.dtype} {array.shape}"
        raise FileError(f"{where}: {found}, but {tuple(shape)} uint8 was announced")
    return array


def _decode_own(data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """Decodes what `encode_png` wrote; None for any other file, and for a damaged one.

    Measured beside Pillow: 0.26 against 0.37 ms for a 96x96 image, 0.05 against 0.12 ms for a mask.
    """
    height, width = shape[:2]
    channels = 3 if len(shape) == 3 else 1
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    start = len(_SIGNATURE) + 25  # IHDR takes 25 bytes
    if data[:start] != _SIGNATURE + _chunk(b"IHDR", header) or data[start + 4 : start + 8] != b"IDAT":
        return None
    end = start + 8 + int.from_bytes(data[start : start + 4], "big")
    if len(data) != end + 16 or zlib.crc32(data[start + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
        return None
    try:
        raw = np.frombuffer(zlib.decompress(data[start + 8 : end], bufsize=height * (width * channels + 1)), np.uint8)
    except zlib.error:
        return None
    if raw.size != height * (width * channels + 1):
        return None
    rows = raw.reshape(height, -1)
    pixels = rows[:, 1:].reshape(height, width, channels)
    if (rows[:, 0] == _NO_FILTER).all():
        return pixels.reshape(shape)
    if (rows[:, 0] == _SUB).all():
        return np.cumsum(pixels, axis=1, dtype=np.uint8).reshape(shape)
    return None


def to_text(data: bytes) -> str:
    """Returns PNG bytes as base64, for columns that LeRobot must take for text."""
    return base64.b64encode(data).decode("ascii")


def from_text(text: str) -> bytes:
    """Returns the PNG bytes behind `to_text`; wrong text gives bytes that `decode_png` refuses."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
