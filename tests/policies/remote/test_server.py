"""The server of policies: what it answers to clients that mean well, that do not, and that are too many."""

from __future__ import annotations

import contextlib
import re
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import RemoteError
from toyshift.policies import ActingPolicy, Policy, PolicyConfig, load_policy
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.remote.access import Limits
from toyshift.policies.remote.server import PolicyServer, PolicySession, longest_message, policy_metadata
from toyshift.policies.remote.wire import MAX_BYTES, pack, unpack

pytest.importorskip("msgpack")
ConnectionClosed = pytest.importorskip("websockets.exceptions").ConnectionClosed
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


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counting:
    """A policy with a memory: says how many observations of this episode it has seen."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.seen = 0

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        self.seen += 1
        return {"actions": np.full((2, 3), self.seen, np.float32)}


class Blind(ActingPolicy):
    """Answers zeros, whatever it sees."""

    def __init__(self, contracts: Any, **config: Any) -> None:
        super().__init__("blind", PolicyConfig(**{"pooling": "mean", "chunk": 4, "execute": 2} | config), *contracts)

    def predict(self, images: Any, masks: Any, state: Any, instruction: Any = None) -> Any:
        return np.zeros((len(state), self.config.chunk, self.action_contract.size), np.float32)


def seen(answer: Any) -> int:
    return int(answer["actions"][0, 0])


# ---------------------------------------------------------------- observations


@pytest.mark.parametrize("value", [1e300, -1e39, np.inf, np.nan])
def test_a_state_that_float32_cannot_hold_is_refused(trained, value):
    policy = load_policy(trained)
    with running(lambda: PolicySession(policy)) as server, Client(server) as client:
        answer = client.ask(message(policy) | {"observation.state": np.array([0.0, value, 0.0])})
        assert isinstance(answer, str), answer["actions"]
        assert "must be finite" in answer
        assert policy.observation_contract.state_names[1] in answer


@pytest.mark.parametrize("label", [4, 85, 255])
def test_labels_of_masks_that_there_are_none_of_are_refused(trained, label):
    policy = load_policy(trained)
    mask = np.zeros((32, 32), np.uint8)
    with running(lambda: PolicySession(policy)) as server:
        mask[-1, -1] = 3
        with Client(server) as client:
            assert "actions" in client.ask(message(policy) | {"masks.wrist": mask})
        mask[-1, -1] = label
        with Client(server) as client:
            answer = client.ask(message(policy) | {"masks.wrist": mask})
    assert isinstance(answer, str)
    assert "wrist" in answer
    assert f"hold {label}; labels are 0 to 3" in answer


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"observation.state": np.zeros(2, np.float32)}, r"observation.state has shape \(2,\)"),
        ({"observation.state": np.full(3, np.nan)}, "observation.state must be finite"),
        ({"observation.state": "text"}, "observation.state must be finite numbers, got <U4 'text'"),
        ({"observation.state": [[1.0], [1.0, 2.0]]}, "observation.state must be an array"),
        ({"observation.state": ...}, "needs observation.state; the observation has: masks.front, masks.wrist, obs"),
        ({"observation.images.front": np.zeros((8, 8, 3), np.uint8)}, r"observation.images.front are \(8, 8, 3\)"),
        ({"observation.images.wrist": ...}, "needs observation.images.wrist; the observation has: masks.front"),
        ({"observation.images.wrist": [[1], [1, 2]]}, "observation.images.wrist must be an array"),
        ({"masks.front": np.full((32, 32), 9, np.uint8)}, "masks.front hold 9"),
        ({"masks.front": ...}, "needs masks.front"),
        ({"task": 7}, "task or prompt must be text, got 7"),
    ],
)
def test_errors_call_things_as_the_client_does(trained, change, what):
    policy = load_policy(trained)
    whole = message(policy) | change
    sent = {key: value for key, value in whole.items() if value is not ...}
    with running(lambda: PolicySession(policy)) as server, Client(server) as client:
        answer = client.ask(sent)
    assert re.search(what, answer), answer
    assert not re.search("agent_pos|pixels", answer), answer


class Broken(Counting):
    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("the password is 1234")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_of_an_error_that_nobody_foresaw_the_client_learns_class_and_number(caplog):
    with running(Broken) as server:
        for number in (1, 2):
            with Client(server) as client:
                answer = client.ask({})
            assert answer == f"ZeroDivisionError, error {number} of this server: its log says more"
    logged = [record for record in caplog.records if record.name.endswith("remote.server")]
    assert [record.getMessage() for record in logged] == ["error 1", "error 2"]
    assert all("the password is 1234" in str(record.exc_info) for record in logged)


# ---------------------------------------------------------------- the end


class Gated(Counting):
    """Answers when the gate is opened; says when it has been asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked, self.gate = threading.Event(), threading.Event()

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        self.asked.set()
        assert self.gate.wait(20)
        return super().infer(observation)


def test_the_answer_in_work_is_finished_and_all_are_told_of_the_end():
    session = Gated()
    server = PolicyServer(lambda: session, {}, port=0)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    with Client(server) as working, Client(server) as waiting, Client(server) as silent:
        working.socket.send(pack({}))
        assert session.asked.wait(20)
        waiting.socket.send(pack({}))
        waiting.socket.ping().wait(20)  # its observation has arrived
        ending = threading.Thread(target=server.shutdown)
        ending.start()
        with pytest.raises(ConnectionClosed) as closed:
            silent.answer()
        assert closed.value.rcvd.code == 1001
        session.gate.set()
        assert seen(working.answer()) == 1
        for client in (working, waiting):
            with pytest.raises(ConnectionClosed) as closed:
                client.answer()
            assert closed.value.rcvd.code == 1001
    ending.join(20)
    serving.join(20)
    assert not ending.is_alive()
    assert session.seen == 1  # whose turn had not come was told of the end instead


# ---------------------------------------------------------------- episodes


def test_an_observation_may_say_that_it_begins_an_episode():
    with running(Counting) as server, Client(server) as client:
        answers = [client.ask({"episode_start": start}) for start in (True, False, False, np.bool_(True), False)]
        assert [seen(answer) for answer in answers] == [1, 2, 3, 1, 2]
        assert "episode_start is 'yes'" in client.ask({"episode_start": "yes"})


def test_a_pause_begins_an_episode_of_a_client_that_never_tells():
    clock = Clock()
    with running(Counting, clock=clock) as server:
        with Client(server) as client:
            assert seen(client.ask({})) == 1
            for pause, expected in ((9.9, 2), (10.1, 1), (0.0, 2), (-100.0, 3), (9.0, 4)):
                clock.now += pause
                assert seen(client.ask({})) == expected
        for telling in ({"__ctrl__": "episode_start"}, {"episode_start": True}):
            with Client(server) as client:
                client.ask(telling)
                before = seen(client.ask({}))
                clock.now += 60.0  # a client that tells may take its time
                assert seen(client.ask({})) == before + 1


def test_openpis_reset_leaves_no_history_in_the_next_episode(fake_contracts):
    config = PolicyConfig(
        width=32, stem=16, hidden=64, chunk=4, execute=2, policy_net="transformer-tiny", history=3, ensemble=0.1
    )
    policy, clock = TorchPolicy("history", Policy(config, *fake_contracts())), Clock()
    with running(lambda: PolicySession(policy), clock=clock) as server, Client(server) as client:
        first = client.ask(message(policy))["actions"]
        client.ask(message(policy, 1))
        clock.now += 11.0  # the robot is set up again; openpi's client has been reset and sends nothing
        np.testing.assert_array_equal(client.ask(message(policy))["actions"], first)
        client.ask(message(policy, 1))
        assert (client.ask(message(policy))["actions"] != first).any()  # what must not leak is there


# ---------------------------------------------------------------- messages that are too much

NILS = b"\x81\xa1a\xdd" + (50 * 2**20).to_bytes(4, "big") + b"\xc0" * (50 * 2**20)  # {"a": [None] * 52428800}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (NILS, "max_array_len"),
        (b"\x81\xa1a\xdc\x10\x00" + (b"\xdc\x10\x00" + b"\xc0" * 4096) * 4096, "more than 65536 entries"),
        (b"\x81\xa1a\xdc\x10\x00" + (b"\xdc\x10\x00" + b"\x80" * 4096) * 4096, "more than 65536 entries"),
        (b"\x81\xa1a\xde\x20\x00", "max_map_len"),
        (b"\x81\xa1a" + b"\x91" * 100_000 + b"\xc0", "nested too deep"),
        (b"\x81\xa1a" + b"\xdc\x10\x00" * 100_000, "nested too deep"),
        (b"\x81\xa1a\xc7\x08\x05" + b"x" * 8, "max_ext_len"),
    ],
    ids=["nils", "lists", "maps", "map", "nested", "wide and nested", "extension"],
)
def test_what_would_take_memory_is_refused_before_it_does(data, what):
    tracemalloc.start()
    try:
        with pytest.raises(RemoteError, match=what):
            unpack(data, "the client")
        assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
    finally:
        tracemalloc.stop()


def test_a_message_may_be_twice_as_long_as_an_observation(fake_contracts):
    small, large = (policy_metadata(Blind(fake_contracts(size=size)), "f") for size in (32, 1024))
    assert longest_message(small) == 2**20
    assert longest_message(large) == 2 * (2 * 1024 * 1024 * 3 + 3 * 8)  # two cameras, no masks, three entries
    assert longest_message({}) == MAX_BYTES
    with running(Counting, small) as server:
        with Client(server) as client:
            assert seen(client.ask({"observation.state": np.zeros(2**20 - 100, np.uint8)})) == 1
        with Client(server) as client:
            client.socket.send(pack({"observation.state": np.zeros(2**20 + 1, np.uint8)}))
            with pytest.raises(ConnectionClosed) as closed:
                client.answer()
            assert closed.value.rcvd.code == 1009
    with running(Counting, small, limits=Limits(max_bytes=2**22)) as server, Client(server) as client:
        assert seen(client.ask({"observation.state": np.zeros(2**20 + 1, np.uint8)})) == 1
