"""Sends 100,000 messages into `unpack`: each must end in a message or `RemoteError`, and memory must not grow.

Bytes of all kinds, messages with arrays that are none, and sound messages that were cut, changed or lengthened.

python benchmarks/wire_fuzz.py                 100,000 messages; exit code 1 where one ends otherwise, or memory grows
python benchmarks/wire_fuzz.py --cases 2000    fewer
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import msgpack
import numpy as np
from hypothesis import strategies as st

from toyshift.core.errors import RemoteError
from toyshift.policies.remote.wire import pack, unpack

VARIANTS = 50  # messages that are made of one that Hypothesis draws
LONGEST_ERROR = 2000  # characters
GROWTH = 0.02  # of resident memory, from a tenth of the messages to the last
DTYPES = st.sampled_from(
    ["|u1", "<f4", "<f8", ">i2", "|b1", "|O", "<U3", "V8", "i4,f4", "(2,3)f4", "f3", "?", "float32", "x" * 400]
)


def sound() -> st.SearchStrategy[dict[str, Any]]:
    """Messages as clients send them."""
    shapes = st.lists(st.integers(0, 5), max_size=3)
    kinds = st.sampled_from(["u1", "f4", "f8", "i8", "?"])
    arrays = st.builds(lambda shape, kind: np.ones(shape, kind), shapes, kinds)
    plain = st.none() | st.booleans() | st.floats() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=20)
    values = st.recursive(plain | arrays, lambda inner: st.lists(inner, max_size=4), max_leaves=10)
    return st.dictionaries(st.text(max_size=30), values, max_size=6)


def odd() -> st.SearchStrategy[Any]:
    """What msgpack can write, arrays and numbers that are none among it."""
    sizes = st.integers(-3, 2**64 - 1) | st.integers(0, 4)
    parts = st.fixed_dictionaries(
        {},
        optional={
            b"__ndarray__": st.booleans(), b"__npgeneric__": st.booleans(),
            b"dtype": DTYPES | st.binary(max_size=8) | st.integers(0, 9), b"data": st.binary(max_size=40) | sizes,
            b"shape": st.lists(sizes, max_size=40) | st.text(max_size=3) | sizes,
        },
    )  # fmt: skip
    plain = st.none() | sizes | st.floats() | st.binary(max_size=20) | st.text(max_size=20) | parts
    plain |= st.just(msgpack.ExtType(1, b"x"))
    return st.recursive(plain, lambda one: st.lists(one, max_size=4) | st.dictionaries(st.text(), one), max_leaves=8)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Returns one binary frame."""
    match draw(st.sampled_from(("bytes", "odd", "sound", "changed", "nested", "long"))):
        case "bytes":
            return draw(st.binary(max_size=200))
        case "odd":
            return bytes(msgpack.packb(draw(st.dictionaries(st.text(max_size=5), odd(), max_size=4) | odd())))
        case "nested":
            depth = draw(st.integers(1, 3000))
            return b"\x81\xa1a" + draw(st.sampled_from([b"\x91", b"\x81\xa1b", b"\xdc\x00\x01"])) * depth + b"\xc0"
        case "long":
            head = draw(st.sampled_from([b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"]))
            length = draw(st.integers(0, 2**32 - 1)).to_bytes(4, "big")
            return b"\x81\xa1a" + head + length + draw(st.binary(max_size=99))
    frame = pack(draw(sound()))
    if not draw(st.booleans()):
        return frame
    at = draw(st.integers(0, len(frame)))
    return frame[:at] + draw(st.binary(max_size=4)) + frame[at + draw(st.integers(0, 4)) :]


def held(value: Any) -> int:
    """Returns the bytes of all arrays in a message."""
    if isinstance(value, np.ndarray):
        return int(value.nbytes)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(held, parts))


def check(frame: bytes) -> bool:
    """Returns whether a frame is a message; anything but a message or `RemoteError` is raised."""
    try:
        message = unpack(frame, "the client")
    except RemoteError as error:
        if len(str(error)) > LONGEST_ERROR:
            raise ValueError(f"an error of {len(str(error))} characters") from error
        return False
    assert isinstance(message, dict)
    assert held(message) <= len(frame)
    return True


def variants(frame: bytes, count: int) -> Iterator[bytes]:
    """Yields a frame, and others that are like it but for a place where they were cut, changed or lengthened."""
    yield frame
    rng = np.random.default_rng(list(frame[:64]))
    for _ in range(count - 1):
        start = int(rng.integers(len(frame) + 1))
        match rng.integers(4):
            case 0:  # what follows is missing, or a part of it
                yield frame[:start] + frame[int(rng.integers(start, len(frame) + 1)) :]
            case 1:
                yield frame[:start] + rng.bytes(int(rng.integers(1, 4))) + frame[start:]
            case _:
                yield frame[:start] + rng.bytes(1) + frame[start + 1 :]


def draw_frames(examples: int, take: Callable[[bytes], None]) -> None:
    """Draws so many frames."""

    @hypothesis.settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck)
    )
    @hypothesis.given(frames())
    def each(frame: bytes) -> None:
        take(frame)

    each()


def resident() -> int:
    """Returns the memory of this process [bytes]."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def write(frame: bytes) -> None:
    """Sends a frame to the process that asked for it."""
    sys.stdout.buffer.write(len(frame).to_bytes(4, "big") + frame)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--generate", type=int, default=0, help="write so many frames to stdout and do nothing else")
    args = parser.parse_args()
    if args.generate:
        draw_frames(args.generate, write)
        return 0
    counts = {True: 0, False: 0}
    memory = 0
    # Hypothesis remembers what it has drawn: that is not the memory that is measured
    command = [sys.executable, __file__, "--generate", str(-(-args.cases // VARIANTS))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as drawing:
        assert drawing.stdout is not None
        while length := drawing.stdout.read(4):
            for frame in variants(drawing.stdout.read(int.from_bytes(length, "big")), VARIANTS):
                counts[check(frame)] += 1
            if not memory and sum(counts.values()) >= args.cases // 10:
                memory = resident()
    grown = resident() / memory - 1
    print(f"{counts[True]} messages, {counts[False]} RemoteErrors, nothing else; memory grew by {100 * grown:.2f} %")
    return int(grown > GROWTH or sum(counts.values()) < 0.9 * args.cases)


if __name__ == "__main__":
    sys.exit(main())
