"""Lossy storage of large images: one H.264 clip per episode, joined into files and cut out of them as they are."""

from __future__ import annotations

import io
import itertools
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from toyshift.core.errors import FileError

LARGEST_PNG = 160  # [pixels]; larger images are stored as video
QUALITY = 18  # x264's constant rate factor; smaller is better and larger in bytes
KEY_EVERY = 2  # frames; as LeRobot has it: what trains from the file looks at single frames
CODEC, PIXELS = "h264", "yuv420p"
_NOMINAL_RATE = 10  # of a clip on its own; files have the dataset's


def is_video_size(shape: Sequence[int]) -> bool:
    """Whether images (H, W, 3) are stored as video: larger than 160 pixels, and both sides even, as yuv420p needs."""
    height, width = shape[:2]
    return max(height, width) > LARGEST_PNG and height % 2 == 0 and width % 2 == 0


def encode_clip(frames: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """Encodes (T, H, W, 3) sRGB images as an MP4 file that begins with a key frame and has no frames out of order.

    The same images give the same bytes.
    """
    buffer = io.BytesIO()
    # one thread: with several, x264's decisions depend on their timing
    options = {"crf": str(quality), "preset": "medium", "g": str(KEY_EVERY)}
    options |= {"bf": "0", "threads": "1", "sc_threshold": "0"}
    options["x264-params"] = "mbtree=0"  # x264's macroblock tree reads memory that was never written
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=_NOMINAL_RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], PIXELS
        # BT.601 in limited range, which players assume where nothing is said
        stream.codec_context.colorspace, stream.codec_context.color_range = 5, 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_yuv(frame), format=PIXELS)))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def decode_clip(clip: bytes, shape: Sequence[int], where: str, most: int | None = None) -> NDArray[np.uint8]:
    """Decodes a clip to (T, *shape) uint8, the same on every machine; at most the first `most` frames.

    Raises:
        FileError: it is damaged, or of another size.
    """
    images: list[NDArray[np.uint8]] = []
    try:
        with av.open(io.BytesIO(clip)) as container:
            container.streams.video[0].thread_count = 1
            images.extend(_rgb(frame) for frame in itertools.islice(container.decode(video=0), most))
    except (av.FFmpegError, IndexError, ValueError) as error:
        remedy = "restore the file from a copy or collect again"
        raise FileError(f"{where}: the video cannot be decoded ({error}); {remedy}") from error
    if not images or images[0].shape != tuple(shape):
        shown = images[0].shape if images else "nothing"
        raise FileError(f"{where}: the video shows {shown}, but {tuple(shape)} was announced")
    return np.stack(images)


def read_video(path: Path, most: int | None = None) -> tuple[list[NDArray[np.uint8]], float]:
    """Returns the images (H, W, 3) sRGB of a video file of anybody's, at most the first `most`, and frames per second.

    Raises:
        FileError: it is missing, no video, damaged, or cut off: it holds fewer frames than it announces.
    """
    remedy = "give a whole video file, such as MP4"
    if not path.is_file():
        raise FileError(f"video {path} does not exist; {remedy}")
    images: list[NDArray[np.uint8]] = []
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            announced, fps = stream.frames, float(stream.average_rate or _NOMINAL_RATE)
            frames = itertools.islice(container.decode(video=0), most)
            images.extend(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8) for frame in frames)
    except (av.FFmpegError, IndexError, ValueError, OSError) as error:
        there = f" after {len(images)} frames" if images else ""
        raise FileError(f"video {path} cannot be read{there} ({error}): cut off, or no video; {remedy}") from error
    wanted = min(announced, most or announced)
    if not images or len(images) < wanted:
        raise FileError(f"video {path} holds {len(images)} of {announced} frames: it was cut off; {remedy}")
    return images, fps


def _yuv(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Converts (H, W, 3) sRGB to yuv420p (H * 3 / 2, W), BT.601 in limited range, in whole numbers.

    FFmpeg's own conversion reads beyond a row's end where the width is no multiple of 16: its bytes are those of the
    memory there.
    """
    height, width = image.shape[:2]
    colours = np.moveaxis(image.astype(np.int32), -1, 0)
    red, green, blue = colours.reshape(3, height // 2, 2, width // 2, 2).sum((2, 4))  # of four pixels
    u = ((-38 * red - 74 * green + 112 * blue + 512) >> 10) + 128
    v = ((112 * red - 94 * green - 18 * blue + 512) >> 10) + 128
    red, green, blue = colours
    y = ((66 * red + 129 * green + 25 * blue + 128) >> 8) + 16
    planes = np.concatenate([plane.reshape(-1) for plane in (y, u, v)])
    return np.asarray(planes.reshape(height * 3 // 2, width), dtype=np.uint8)


def _rgb(frame: Any) -> NDArray[np.uint8]:
    """Converts yuv420p, BT.601 in limited range, in whole numbers: libraries' own conversions differ by version."""
    height, width = frame.height, frame.width
    planes = frame.to_ndarray(format=PIXELS).reshape(-1)
    luma = planes[: height * width].reshape(height, width).astype(np.int32)
    chroma = planes[height * width :].reshape(2, height // 2, width // 2).astype(np.int32) - 128
    u, v = np.repeat(np.repeat(chroma, 2, axis=1), 2, axis=2)
    y = 298 * (luma - 16) + 128
    out = np.stack([y + 409 * v, y - 100 * u - 208 * v, y + 516 * u], axis=-1) >> 8
    return np.asarray(np.clip(out, 0, 255), dtype=np.uint8)


def clip_length(clip: bytes) -> int:
    """Returns the number of frames of a clip."""
    with av.open(io.BytesIO(clip)) as container:
        return sum(1 for _ in _packets(container))


def clip_crc(clip: bytes) -> int:
    """Returns the CRC-32 of a clip's compressed frames, which stays the same wherever the clip is joined into."""
    crc = 0
    with av.open(io.BytesIO(clip)) as container:
        for packet in _packets(container):
            crc = zlib.crc32(bytes(packet), crc)
    return crc


def _packets(container: Any) -> Iterator[Any]:
    return (packet for packet in container.demux(video=0) if packet.size)


class VideoFile:
    """An MP4 file that clips are appended to."""

    def __init__(self, path: Path, fps: float) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.frames = 0
        self.bytes = 0
        self._fps = Fraction(fps).limit_denominator(1000)
        self._container: Any = av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})
        self._stream: Any = None
        self._header = b""

    def takes(self, clip: bytes) -> bool:
        """Whether a clip was encoded the same way as those before it."""
        with av.open(io.BytesIO(clip)) as container:
            return self._stream is None or container.streams.video[0].codec_context.extradata == self._header

    def add(self, clip: bytes) -> tuple[float, float]:
        """Appends a clip; returns when it begins and ends [s]."""
        begin = self.frames
        with av.open(io.BytesIO(clip)) as container:
            source = container.streams.video[0]
            if self._stream is None:
                self._header = source.codec_context.extradata
                self._stream = self._container.add_stream_from_template(source)
                self._stream.time_base = 1 / self._fps
            for packet in _packets(container):
                self.bytes += packet.size
                _put(self._container, self._stream, packet, self.frames, 1 / self._fps)
                self.frames += 1
        return float(begin / self._fps), float(self.frames / self._fps)

    def close(self) -> None:
        self._container.close()


def cut_clip(path: Path, fps: float, begin: float, length: int, where: str) -> bytes:
    """Returns the clip of `length` frames that begins at `begin` [s] in a file.

    Raises:
        FileError: the file is missing, truncated or damaged, or holds fewer frames.
    """
    rate = Fraction(fps).limit_denominator(1000)
    first, found = round(begin * rate), 0
    buffer = io.BytesIO()
    try:
        with av.open(str(path)) as container, av.open(buffer, "w", format="mp4") as out:
            source = container.streams.video[0]
            stream = out.add_stream_from_template(source)
            container.seek(int(first / rate / source.time_base), stream=source)
            for packet in _packets(container):
                number = round(packet.pts * packet.time_base * rate)
                if number >= first + length:
                    break
                if number >= first:
                    _put(out, stream, packet, found, Fraction(1, _NOMINAL_RATE))
                    found += 1
    except FileNotFoundError as error:
        remedy = "restore it from a copy, or delete the folder and run the command that made it again"
        raise FileError(f"{where}: the file is missing; {remedy}") from error
    except (av.FFmpegError, IndexError, OSError, ValueError, TypeError) as error:
        why = f"the video file is truncated or damaged ({error})"
        raise FileError(f"{where}: unreadable, {why}; restore it from a copy") from error
    if found != length:
        raise FileError(f"{where}: the video holds {found} of the episode's {length} frames; restore it from a copy")
    return buffer.getvalue()


def _put(container: Any, stream: Any, packet: Any, number: int, time_base: Fraction) -> None:
    packet.stream = stream
    packet.time_base = time_base
    packet.pts = packet.dts = number
    packet.duration = 1
    container.mux(packet)
