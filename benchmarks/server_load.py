"""A policy server under load: what it adds, many clients, the worst messages it takes, and what is left behind.

The server is a process of its own (`toyshift serve`), the clients are threads of this one. Times are of the clock, so
this wants an idle machine; counts of errors, threads, files and memory do not.

python benchmarks/server_load.py --policy runs/quickstart/policies/detpool
python benchmarks/server_load.py --policy DIR --clients 8 --seconds 5 --requests 500 --connections 50     a quick look
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from websockets.sync.client import connect

from toyshift.core.contract import IMAGE_PREFIX, MASK_PREFIX, STATE, ObservationContract
from toyshift.policies import load_policy
from toyshift.policies.remote.server import longest_message
from toyshift.policies.remote.wire import LONGEST, MOST, pack, unpack

ADDED_MS, P99_MS, DELAY_MS, GROWTH = 1.0, 100.0, 50.0, 0.02  # asked for: at the median, 64 clients, others, memory


class Served:
    """`toyshift serve` in a process of its own."""

    def __init__(self, policy: str) -> None:
        command = [sys.executable, "-m", "toyshift.scripts", "serve", "--policy", policy, "--port", "0", "--rate", "0"]
        self._process = subprocess.Popen([*command, "--handshake", "2"], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        found = re.search(r":(\d+),", self._process.stdout.readline())
        assert found is not None
        self.port = int(found[1])
        self.place = Path(f"/proc/{self._process.pid}")

    def memory(self) -> int:
        """Returns its resident set [bytes]."""
        return int((self.place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def left(self) -> tuple[int, int]:
        """Returns how many threads and open files it has."""
        return len(os.listdir(self.place / "task")), len(os.listdir(self.place / "fd"))

    def end(self) -> int:
        """Tells it to end, and returns its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)


@contextlib.contextmanager
def client(port: int) -> Iterator[Any]:
    """Connects; gives what sends a message and returns seconds and answer."""
    with connect(f"ws://127.0.0.1:{port}", compression=None, max_size=None, proxy=None) as socket:
        metadata = unpack(socket.recv(), "the server")

        def ask(frame: bytes) -> tuple[float, Any]:
            start = time.perf_counter()
            socket.send(frame)
            answer = socket.recv()
            return time.perf_counter() - start, answer

        ask.metadata = metadata  # type: ignore[attr-defined]
        yield ask


def observation(metadata: dict[str, Any]) -> dict[str, Any]:
    """Returns an observation for the policy that the server describes, as a client sends it."""
    seen, rng = ObservationContract.from_json(metadata["toyshift"]["observation_contract"]), np.random.default_rng(0)
    images = {IMAGE_PREFIX + c: rng.integers(0, 256, (*size, 3), dtype=np.uint8) for c, size in seen.cameras}
    masks = {MASK_PREFIX + c: np.ones(size, np.uint8) for c, size in seen.cameras}
    return {**images, **masks, STATE: np.zeros(len(seen.state_names), np.float32)}


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Returns median, 99 % quantile and largest [ms]."""
    return {f"p{q}": round(1e3 * float(np.quantile(seconds, q / 100)), 2) for q in (50, 99, 100)}


def added(served: Served, policy: str, requests: int) -> dict[str, Any]:
    """Times one client beside the same policy in this process, in turns."""
    acting, there, here = load_policy(policy), [], []
    with client(served.port) as ask:
        message = observation(ask.metadata)
        frame = pack(message)
        views = {"pixels": IMAGE_PREFIX, "masks": MASK_PREFIX}
        seen: dict[str, Any] = {
            kind: {c: message[prefix + c] for c in acting.cameras} for kind, prefix in views.items()
        } | {"agent_pos": message[STATE], "task": ""}
        for _ in range(requests):
            there.append(ask(frame)[0])
            start = time.perf_counter()
            acting.act(seen)
            here.append(time.perf_counter() - start)
    difference = float(np.median(np.subtract(there, here)))
    return {"server": quantiles(there), "here": quantiles(here), "added_p50": round(1e3 * difference, 2)}


def many(served: Served, clients: int, rate: float, seconds: float) -> dict[str, Any]:
    """Times so many clients, each at its rate, which do not wait for each other."""
    times: list[float] = []
    errors: list[str] = []

    def run(number: int) -> None:
        with client(served.port) as ask:
            frame = pack(observation(ask.metadata))
            begin = time.perf_counter() + number / clients / rate
            for i in range(int(seconds * rate)):
                time.sleep(max(0.0, begin + i / rate - time.perf_counter()))
                took, answer = ask(frame)
                times.append(took)
                errors.extend([answer] if isinstance(answer, str) else [])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = clients * int(seconds * rate)
    return {"requests": len(times), "missing": expected - len(times), "errors": errors[:3], **quantiles(times)}


def worst(served: Served, requests: int) -> dict[str, Any]:
    """Times one client while another sends the worst that is taken: as long, and with as many entries, as may be."""
    with client(served.port) as ask, client(served.port) as other:
        frame, stop = pack(observation(ask.metadata)), threading.Event()
        alone = [ask(frame)[0] for _ in range(requests)]
        entries = [[None] * (LONGEST - 1)] * (MOST // LONGEST - 1)
        filled = pack(observation(ask.metadata) | {"entries": entries})
        rest = longest_message(ask.metadata) - len(filled) - 100
        heavy = pack(observation(ask.metadata) | {"entries": entries, "rest": np.zeros(max(0, rest), np.uint8)})

        def flood() -> None:
            while not stop.is_set():
                answer = other(heavy)[1]
                assert isinstance(answer, bytes), answer

        thread = threading.Thread(target=flood)
        thread.start()
        beside = [ask(frame)[0] for _ in range(requests)]
        stop.set()
        thread.join()
    delay = quantiles(beside)["p100"] - quantiles(alone)["p50"]
    return {"bytes": len(heavy), "alone": quantiles(alone), "beside": quantiles(beside), "worst_delay": round(delay, 2)}


def endurance(served: Served, requests: int, connections: int) -> dict[str, Any]:
    """Counts what requests, connections and clients that say nothing leave behind."""
    with client(served.port) as ask:
        frame = pack(observation(ask.metadata))
        for _ in range(requests // 10):
            ask(frame)
        before, left = served.memory(), served.left()
        for _ in range(requests):
            ask(frame)
        for _ in range(connections):
            with client(served.port) as one:
                one(frame)
        after = served.memory()
        silent = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(40)]
        time.sleep(4.0)  # twice the handshake's
        for one_socket in silent:
            one_socket.close()
        threads, files = np.subtract(served.left(), left)
    return {"memory_grew": round(after / before - 1, 4), "threads_left": int(threads), "files_left": int(files)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", required=True)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--rate", type=float, default=5.0, help="questions of each client [1/s]")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=1_000)
    args = parser.parse_args()
    served = Served(args.policy)
    try:
        found = {
            "added": added(served, args.policy, min(1000, args.requests)),
            "many": many(served, args.clients, args.rate, args.seconds),
            "worst": worst(served, min(200, args.requests)),
            "left": endurance(served, args.requests, args.connections),
        }
    finally:
        code = served.end()
    print(json.dumps(found | {"exit_code": code}, indent=1))
    left = found["left"]
    faults = found["many"]["errors"], found["many"]["missing"], left["threads_left"], left["files_left"], code
    sound = not any(faults)
    fast = found["added"]["added_p50"] <= ADDED_MS and found["many"]["p99"] <= P99_MS
    return int(not (sound and fast and found["worst"]["worst_delay"] <= DELAY_MS and left["memory_grew"] <= GROWTH))


if __name__ == "__main__":
    sys.exit(main())
