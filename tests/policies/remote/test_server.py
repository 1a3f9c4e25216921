"""The server of policies: what it answers to clients that mean well, that do not, and that are too many."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from toyshift.policies import load_policy
from toyshift.policies.remote.server import PolicyServer, PolicySession
from toyshift.policies.remote.wire import pack, unpack

pytest.importorskip("msgpack")
connect = pytest.importorskip("websockets.sync.client").connect


@contextlib.contextmanager
def running(open_session: Any, metadata: dict[str, Any] | None = None, **settings: Any) -> Iterator[PolicyServer]:
    server = PolicyServer(open_session, metadata or {}, port=0, **settings)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()


class Client:
    """One connection, spoken to in messages."""

    def __init__(self, server: PolicyServer, **options: Any) -> None:
        self._open = contextlib.ExitStack()
        url = f"ws://127.0.0.1:{server.port}"
        self.socket = self._open.enter_context(connect(url, compression=None, proxy=None, **options))
        self.metadata = unpack(self.socket.recv(timeout=20), "the server")

    def ask(self, message: dict[str, Any]) -> Any:
        """Returns the answer to a message, text where it is an error."""
        self.socket.send(pack(message))
        return self.answer()

    def answer(self) -> Any:
        frame = self.socket.recv(timeout=20)
        return frame if isinstance(frame, str) else unpack(frame, "the server")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def message(policy: Any, seed: int = 0) -> dict[str, Any]:
    """An observation as a client of that policy sends it."""
    rng, seen = np.random.default_rng(seed), policy.observation_contract
    images = {f"observation.images.{c}": rng.integers(0, 256, (*size, 3), dtype=np.uint8) for c, size in seen.cameras}
    masks = {f"masks.{c}": rng.integers(0, 2, size, dtype=np.uint8) for c, size in seen.cameras}
    return {**images, **masks, "observation.state": rng.normal(size=len(seen.state_names)).astype(np.float32)}


# ---------------------------------------------------------------- observations


@pytest.mark.parametrize("value", [1e300, -1e39, np.inf, np.nan])
def test_a_state_that_float32_cannot_hold_is_refused(trained, value):
    policy = load_policy(trained)
    with running(lambda: PolicySession(policy)) as server, Client(server) as client:
        answer = client.ask(message(policy) | {"observation.state": np.array([0.0, value, 0.0])})
        assert isinstance(answer, str), answer["actions"]
        assert "must be finite" in answer
        assert policy.observation_contract.state_names[1] in answer
