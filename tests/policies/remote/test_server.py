"""The server of policies: what it answers to clients that mean well, that do not, and that are too many."""

from __future__ import annotations

import contextlib
import hmac
import re
import socket
import ssl
import threading
import tracemalloc
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, FileError, RemoteError
from toyshift.policies import ActingPolicy, Policy, PolicyConfig, load_policy
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.remote.access import Access, Limits, read_key
from toyshift.policies.remote.client import RemotePolicy
from toyshift.policies.remote.server import PolicyServer, PolicySession, longest_message, policy_metadata
from toyshift.policies.remote.turns import Turns
from toyshift.policies.remote.wire import MAX_BYTES, pack, unpack

pytest.importorskip("msgpack")
exceptions = pytest.importorskip("websockets.exceptions")
ConnectionClosed, InvalidStatus = exceptions.ConnectionClosed, exceptions.InvalidStatus
InvalidHandshake = exceptions.InvalidHandshake
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

    def __init__(self, server: PolicyServer, scheme: str = "ws", **options: Any) -> None:
        self._open = contextlib.ExitStack()
        url = f"{scheme}://127.0.0.1:{server.port}"
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
        (b"\x81\xa1a" + b"\x91" * 32 + b"\xc0", "nested too deep"),
        (b"\x81\xa1a" * 33 + b"\xc0", "nested too deep"),
        (b"\x81\xa1a\xc7\x08\x05" + b"x" * 8, "max_ext_len"),
    ],
    ids=["nils", "lists", "maps", "map", "nested", "wide and nested", "lists inside", "maps inside", "extension"],
)
def test_what_would_take_memory_is_refused_before_it_does(data, what):
    tracemalloc.start()
    try:
        with pytest.raises(RemoteError, match=what):
            unpack(data, "the client")
        assert tracemalloc.get_traced_memory()[1] < 48 * 2**20
    finally:
        tracemalloc.stop()


def test_messages_may_be_nested_as_deep_as_is_said():
    value = unpack(b"\x81\xa1a" + b"\x92\x90" * 30 + b"\xc0", "the client")["a"]
    for _ in range(30):
        assert value[0] == []
        value = value[1]
    assert value is None


def test_whatever_arrives_is_a_message_or_an_error(benchmark_file):
    fuzz = benchmark_file("wire_fuzz")  # 100,000 by itself
    taken = []
    fuzz.draw_frames(200, lambda frame: taken.extend(fuzz.check(one) for one in fuzz.variants(frame, 10)))
    assert len(taken) >= 2000
    assert set(taken) == {True, False}  # messages and errors: both are drawn


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


# ---------------------------------------------------------------- who may ask

TLS = Path(__file__).parent / "tls"  # made for these tests; known to everyone


def get(server: PolicyServer, path: str, **headers: str) -> tuple[int, str, str]:
    """Returns status, content type and text of a page."""
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as page:
            return page.status, page.headers["Content-Type"], page.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, "", error.read().decode()


def settle(server: PolicyServer, clients: int) -> str:
    """Waits until the server has noticed who has left; returns its metrics."""
    for _ in range(2000):
        if f"toyshift_clients {clients}\n" in (text := get(server, "/metrics")[2]):
            return text
        threading.Event().wait(0.01)
    raise AssertionError(text)


@pytest.mark.parametrize(
    "header", [None, "Api-Key", "Api-Key wrong", "Api-Key sesamE", "Bearer sesame", "Api-Key  sesame", "Api-Key sésame"]
)
def test_a_wrong_key_is_turned_away(header):
    headers = {} if header is None else {"Authorization": header}
    with running(Counting, access=Access("sesame")) as server:
        with pytest.raises(InvalidStatus) as refused:
            Client(server, additional_headers=headers)
        assert refused.value.response.status_code == 401
        assert get(server, "/metrics")[0] == 401
        assert get(server, "/healthz")[2] == "OK\n"
        with Client(server, additional_headers={"Authorization": "Api-Key sesame"}) as client:
            assert seen(client.ask({})) == 1
        assert 'toyshift_refused_total{reason="key"} 2' in get(server, "/metrics", Authorization="Api-Key sesame")[2]


def test_our_client_sends_its_key_and_is_told_why_it_is_turned_away(monkeypatch, trained):
    policy = load_policy(trained)
    with running(lambda: PolicySession(policy), policy_metadata(policy, "f"), access=Access("sesame")) as server:
        monkeypatch.delenv("TOYSHIFT_API_KEY", raising=False)
        with pytest.raises(RemoteError, match=r"wants a key .*401.*Authorization: Api-Key KEY\); set TOYSHIFT_API_KEY"):
            RemotePolicy(f"ws://127.0.0.1:{server.port}")
        monkeypatch.setenv("TOYSHIFT_API_KEY", "sesame")
        RemotePolicy(f"ws://127.0.0.1:{server.port}").close()


def test_keys_are_compared_in_constant_time(monkeypatch):
    compared = []
    monkeypatch.setattr(hmac, "compare_digest", lambda *pair: compared.append(pair) or False)
    assert not Access("sesame").admits(["Api-Key open"])
    assert not Access("sesame").admits(["Api-Key sesame", "Api-Key sesame"])
    assert compared == [(b"Api-Key open", b"Api-Key sesame"), (b"", b"Api-Key sesame")]
    assert "sesame" not in repr(Access("sesame"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.1", "robot.example"])
def test_off_loopback_a_key_is_needed(host):
    with pytest.raises(ConfigError, match=r"--api-key-file or TOYSHIFT_API_KEY, or --open"):
        PolicyServer(Counting, {}, host=host, port=0)
    for access in (Access("sesame"), Access(open_to_all=True)):
        access.check(host)
    for near in ("127.0.0.1", "127.8.0.1", "::1", "localhost"):
        Access().check(near)


def test_keys_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("TOYSHIFT_API_KEY", "from-outside")
    (tmp_path / "key").write_text("sesame\n")
    assert read_key(tmp_path / "key") == "sesame"
    assert read_key(None) == "from-outside"
    (tmp_path / "empty").write_text("\n")
    for file, what in (("empty", "is empty"), ("missing", "cannot read the API key")):
        with pytest.raises(FileError, match=what):
            read_key(tmp_path / file)
    for key in ("two words", "ümlaut", "line\nbreak"):
        with pytest.raises(ConfigError, match="printable ASCII"):
            Access(key)
    with pytest.raises(ConfigError, match="leave one of them out"):
        Access("sesame", open_to_all=True)


def test_connections_are_encrypted(tmp_path):
    access = Access(tls_cert=TLS / "cert.pem", tls_key=TLS / "key.pem")
    knows, strange = ssl.create_default_context(cafile=TLS / "cert.pem"), ssl.create_default_context()
    with running(Counting, access=access) as server:
        with Client(server, "wss", ssl=knows) as client:
            assert seen(client.ask({})) == 1
        with pytest.raises(ssl.SSLCertVerificationError):
            Client(server, "wss", ssl=strange)
        with pytest.raises((OSError, InvalidHandshake)):
            Client(server)
    (tmp_path / "text.pem").write_text("no certificate")
    for cert, key in (("text.pem", TLS / "key.pem"), (TLS / "cert.pem", "missing.pem"), (TLS / "key.pem", "text.pem")):
        with pytest.raises(FileError, match="no certificate and its private key"):
            PolicyServer(Counting, {}, port=0, access=Access(tls_cert=tmp_path / cert, tls_key=tmp_path / key))
    with pytest.raises(ConfigError, match="go together"):
        Access(tls_cert=TLS / "cert.pem")


# ---------------------------------------------------------------- limits


def refusal(client: Client) -> tuple[str, int]:
    """Returns what a client is told, and the code its connection is closed with."""
    text = client.answer()
    with pytest.raises(ConnectionClosed) as closed:
        client.answer()
    return text, closed.value.rcvd.code


def test_one_client_too_many_is_told_so_and_finds_a_place_when_another_has_left():
    with running(Counting, limits=Limits(clients=2)) as server:
        with Client(server) as first, Client(server):
            third = connect(f"ws://127.0.0.1:{server.port}", proxy=None)
            with third as socket:
                assert "2 clients already" in socket.recv(timeout=20)
                with pytest.raises(ConnectionClosed) as closed:
                    socket.recv(timeout=20)
                assert closed.value.rcvd.code == 1008
            assert seen(first.ask({})) == 1
        settle(server, 0)
        with Client(server) as client:
            assert seen(client.ask({})) == 1
        assert 'toyshift_refused_total{reason="clients"} 1' in get(server, "/metrics")[2]


def test_a_client_keeps_to_the_rate():
    clock = Clock()
    with running(Counting, clock=clock, limits=Limits(rate=4)) as server:
        with Client(server) as client:
            assert [seen(client.ask({})) for _ in range(4)] == [1, 2, 3, 4]
            clock.now += 0.5
            assert [seen(client.ask({})) for _ in range(2)] == [5, 6]
            clock.now -= 1000.0  # time that jumps back gives nothing, and takes nothing
            clock.now += 0.25
            client.socket.send(pack({}))
            text, code = refusal(client)
            assert "more than 4 messages a second" in text
            assert code == 1008
        with Client(server) as client:  # another client has a rate of its own
            assert seen(client.ask({})) == 1


def test_a_client_that_says_nothing_is_said_goodbye():
    with running(Counting, limits=Limits(idle=0.05)) as server, Client(server) as client:
        text, code = refusal(client)
        assert "nothing was asked for 0.05 s" in text
        assert code == 1008


def test_strangers_and_clients_that_leave_in_the_middle_leave_nothing_behind():
    before = threading.active_count()
    with running(Counting, limits=Limits(clients=2, handshake=0.1)) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
        for one in silent:
            one.settimeout(20)
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(1) == b""  # hung up on, most at once: there are places for 18
            one.close()
        for part in (b"\x82", b"\x82\xfe", b"\x82\xfe\x10\x00" + b"x" * 100, b"\xff" * 10):
            with Client(server) as client:
                client.socket.socket.sendall(part)  # the beginning of a frame, or none
                with contextlib.suppress(OSError):  # the server was quicker: it does not take the last
                    client.socket.socket.shutdown(socket.SHUT_RDWR)
            settle(server, 0)
        for _ in range(20):
            with Client(server) as client:
                assert seen(client.ask({})) == 1
            settle(server, 0)
    for _ in range(2000):
        if threading.active_count() <= before:
            break
        threading.Event().wait(0.01)
    assert threading.active_count() <= before


# ---------------------------------------------------------------- turns


def test_of_a_clients_waiting_observations_the_newest_is_answered():
    session = Gated()
    with running(lambda: session) as server, Client(server) as client:
        client.socket.send(pack({"x": 0}))
        assert session.asked.wait(20)
        for x in range(1, 9):
            client.socket.send(pack({"x": x}))
        client.socket.ping().wait(20)  # they have arrived
        session.gate.set()
        assert "skipped" not in client.answer()["server_timing"]
        newest = client.answer()
        assert seen(newest) == 2
        assert newest["server_timing"]["skipped"] == 7
        assert seen(client.ask({"x": 9})) == 3  # nothing else is answered
        text = get(server, "/metrics")[2]
    assert "toyshift_observations_total 10" in text
    assert "toyshift_superseded_total 7" in text
    assert "toyshift_answers_total 3" in text


def test_what_begins_an_episode_counts_though_a_newer_observation_is_there():
    session = Gated()
    with running(lambda: session) as server, Client(server) as client:
        client.socket.send(pack({}))
        assert session.asked.wait(20)
        for message in ({}, {"episode_start": True}, {}, {"__ctrl__": "episode_start"}, {}, {}):
            client.socket.send(pack(message))
        client.socket.ping().wait(20)
        session.gate.set()
        assert seen(client.answer()) == 1
        assert client.answer() == {"__ack__": "episode_start"}
        assert seen(client.answer()) == 1
        client.socket.send(pack({"episode_start": True}))
        assert seen(client.answer()) == 1


def test_a_thousand_observations_at_once_end_in_few_answers_and_hold_nobody_up():
    with running(Counting) as server, Client(server) as flood, Client(server) as other:
        sender = threading.Thread(target=lambda: [flood.socket.send(pack({"x": x})) for x in range(999)])
        sender.start()
        for expected in range(1, 21):
            assert seen(other.ask({})) == expected
        sender.join(20)
        assert seen(flood.ask({"x": 999})) >= 1
        text = get(server, "/metrics")[2]
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    answered, skipped = int(counts["toyshift_answers_total"]), int(counts["toyshift_superseded_total"])
    assert int(counts["toyshift_observations_total"]) == answered + skipped


def test_turns_are_taken_in_the_order_in_which_they_were_asked_for():
    turns, order, waiting = Turns(), [], []
    with turns.turn():
        for name in range(6):

            def take(name: int = name) -> None:
                with turns.turn():
                    order.append(name)

            waiting.append(threading.Thread(target=take))
            waiting[-1].start()
            while len(turns._waiting) <= name:  # the next one asks when this one waits
                pass
    for thread in waiting:
        thread.join(20)
    assert order == [*range(6)]
    with pytest.raises(ZeroDivisionError), turns.turn():
        raise ZeroDivisionError
    with turns.turn():  # given back
        pass


# ---------------------------------------------------------------- what is answered and told


def test_metrics_are_in_prometheus_text_format():
    clock = Clock()
    with running(Counting, clock=clock) as server, Client(server) as client:
        client.ask({"episode_start": True})
        client.ask({})
        with Client(server) as other:
            other.ask({"__ctrl__": "dance"})
        settle(server, 1)
        status, kind, text = get(server, "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"\})? [0-9.e+-]+')
    described = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    for line in text.splitlines():
        assert line.startswith(("# HELP", "# TYPE")) or sample.fullmatch(line), line
        name = re.sub(r"_(bucket|sum|count)$", "", re.split(r"[{ ]", line)[0])
        assert line.startswith("#") or name in described, line
    for line in (
        "toyshift_clients 1", "toyshift_connections_total 2", "toyshift_answers_total 2", "toyshift_episodes_total 1",
        'toyshift_errors_total{whose="client"} 1', "toyshift_refused_total 0", "toyshift_infer_seconds_count 2",
        'toyshift_infer_seconds_bucket{le="+Inf"} 2', "toyshift_infer_seconds_sum 0.0",
    ):  # fmt: skip
        assert line in text.splitlines(), text


@pytest.mark.parametrize("extra", [np.zeros(3), np.array(1.0), np.zeros((0, 2))])
def test_answers_hold_scalars_and_arrays_with_a_row_for_each_action_only(extra):
    session = Counting()
    good = {"actions": np.zeros((2, 3)), "more": np.ones((2, 5, 4)), "number": 1.5, "scalar": np.float32(1), "s": "x"}
    session.infer = lambda observation: good | ({"extra": extra} if observation else {})
    with running(lambda: session) as server, Client(server) as client:
        answer = client.ask({})
        assert all(len(value) == 2 for value in answer.values() if isinstance(value, np.ndarray))
        assert client.ask({"x": 1}).startswith("TypeError, error 1")


class Finder:
    """Finds that everything is the target, from an episode's second image on."""

    def __init__(self) -> None:
        self.episodes = 0

    def reset(self, seed: int, episode: int) -> None:
        self.episodes, self.images = self.episodes + 1, 0

    def shown(self, observation: Any) -> Any:
        self.images += 1
        found = {c: np.full(i.shape[:2], int(self.images > 1), np.uint8) for c, i in observation["pixels"].items()}
        return {**observation, "masks": found}


def test_masks_are_found_at_the_server(trained):
    policy = load_policy(trained)
    assert policy_metadata(policy, "f")["toyshift"]["needs_masks"]
    metadata = policy_metadata(policy, "f", "detector")
    assert (metadata["toyshift"]["needs_masks"], metadata["toyshift"]["masks"]) == (False, "detector")
    whole = message(policy)
    sent = {key: value for key, value in whole.items() if not key.startswith("masks.")}
    blank, full = ({f"masks.{c}": np.full((32, 32), v, np.uint8) for c in policy.cameras} for v in (0, 1))
    with running(lambda: PolicySession(policy)) as server, Client(server) as client:
        expected = [client.ask(whole | masks)["actions"] for masks in (blank, full)]
    assert (expected[0] != expected[1]).any()
    with running(lambda: PolicySession(policy, Finder()), metadata) as server:
        with Client(server) as client:
            for _ in range(2):
                found = [client.ask(sent)["actions"], client.ask(whole)["actions"]]  # those sent are not looked at
                np.testing.assert_array_equal(found, expected)
                client.ask({"__ctrl__": "episode_start"})  # a new episode, a new detector
            assert "observation.images.front are (8, 8)" in client.ask(
                sent | {"observation.images.front": np.zeros((8, 8), np.uint8)}
            )
        asked = RemotePolicy(f"ws://127.0.0.1:{server.port}")
        assert not asked.needs_masks
        asked.close()
