"""vla-eval's protocol against a stand-in that writes and reads the published format by itself; the real package:
tests/interop/test_vla_eval.py.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError, MissingDependencyError, RemoteError
from toyshift.core.vla_eval_terms import observation_parts, require_vla_eval
from toyshift.policies.remote.client import RemotePolicy
from toyshift.policies.remote.options import RemoteOptions, is_remote
from toyshift.policies.remote.vla_eval_line import nested, packed_message, unpacked_message
from toyshift.scripts.serve import Config, main

msgpack = pytest.importorskip("msgpack")
serve = pytest.importorskip("websockets.sync.server").serve
ACTIONS = ActionContract("eef_delta", ("dx", "gripper"), ("m", "1"), (-0.05, 0.0), (0.05, 1.0), 10.0, ("j1",))
OBSERVATIONS = ObservationContract((("front", (8, 12)),), ("j1", "x"))
SEEN = {
    "pixels": {"front": np.arange(288, dtype=np.uint8).reshape(8, 12, 3)},
    "masks": {"front": np.eye(8, 12, dtype=np.uint8)},
    "agent_pos": np.array([0.5, -1.5], np.float32), "task": "pick up the mug",
}  # fmt: skip
HELLO = {"harness_version": "0.8.0", "protocol_version": 1, "model_server": "Fake", "capabilities": {}}
CONTRACTS = {
    "protocol": 1, "name": "detpool", "action_contract": ACTIONS.to_json(), "needs_masks": True, "execute": 1,
    "observation_contract": OBSERVATIONS.to_json(),
}  # fmt: skip


def plain(array: np.ndarray) -> dict[str, Any]:
    """An array as it travels, by vla-eval's format."""
    return {"__ndarray__": True, "data": array.tobytes(), "dtype": array.dtype.str, "shape": list(array.shape)}


class Stand:
    """A model server: answers hello, and observations with what `answer` makes of them."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any], hello: dict[str, Any]) -> None:
        self.answer, self.hello, self.heard = answer, hello, []

    def __call__(self, socket: Any) -> None:
        for frame in socket:
            message = msgpack.unpackb(frame)
            assert set(message) == {"type", "payload", "seq", "timestamp"}
            assert abs(message["timestamp"] - time.time()) < 60
            self.heard.append((message["type"], message["payload"]))
            if message["type"] == "hello":
                self.send(socket, "hello", self.hello, message["seq"])
            elif message["type"] == "observation":
                told = self.answer(message["payload"])
                if isinstance(told, bytes | str):
                    socket.send(told)
                elif told is not None:
                    kind, payload, late = told if isinstance(told, tuple) else ("action", {"actions": told}, 0)
                    self.send(socket, kind, payload, message["seq"] - late)

    @staticmethod
    def send(socket: Any, kind: str, payload: Any, seq: int) -> None:
        told = {"type": kind, "payload": payload, "seq": seq, "timestamp": time.time()}
        socket.send(msgpack.packb(told, default=plain))


@contextlib.contextmanager
def standing(answer: Callable[[dict[str, Any]], Any], hello: dict[str, Any] = HELLO) -> Iterator[tuple[Stand, str]]:
    stand = Stand(answer, hello)
    server = serve(stand, "127.0.0.1", 0, compression=None)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield stand, f"vla-eval:127.0.0.1:{server.socket.getsockname()[1]}"
    finally:
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def asked(address: str, **options: Any) -> Iterator[RemotePolicy]:
    policy = RemotePolicy(address, RemoteOptions(**{"timeout": 5.0} | options))
    policy.bind(ACTIONS, OBSERVATIONS)
    try:
        yield policy
    finally:
        policy.close()


STATED = {"keys": "vla-eval", "actions": "eef_delta"}


def test_an_episode_is_told_and_observations_have_vla_evals_shape():
    with standing(lambda _: np.array([0.01, 0.5], np.float32)) as (stand, address), asked(address, **STATED) as policy:
        for _ in range(2):
            policy.reset()
            for _ in range(2):
                np.testing.assert_array_equal(policy.act(SEEN), np.array([[0.01, 0.5]], np.float32))
    kinds = [kind for kind, _ in stand.heard]
    episode = ["episode_start", "observation", "observation"]
    assert kinds == ["hello", *episode, "episode_end", *episode]
    assert stand.heard[0][1]["protocol_version"] == 1
    assert stand.heard[1][1]["task"]["name"] == "pick up the mug"
    seen = stand.heard[2][1]
    assert seen == {
        "images": {"front": plain(SEEN["pixels"]["front"])}, "masks": {"front": plain(SEEN["masks"]["front"])},
        "state": plain(SEEN["agent_pos"]), "task_description": "pick up the mug",
    }  # fmt: skip


def test_a_server_with_our_contracts_needs_nothing_stated():
    said = HELLO | {"observation_params": {"cameras": ["front"], "contracts": CONTRACTS}}
    with standing(lambda _: [0.02, 1.0], said) as (stand, address):
        with asked(address) as policy:
            assert (policy.name, policy.execute, policy.needs_masks) == ("detpool", 1, True)
            assert policy.action_contract == ACTIONS
            policy.reset()
            np.testing.assert_array_equal(policy.act(SEEN), np.array([[0.02, 1.0]], np.float32))
        assert "masks" in stand.heard[2][1]
        with pytest.raises(ConfigError, match="says what its actions mean"):
            RemotePolicy(address, RemoteOptions(actions="joint_pos"))
    other = said | {"observation_params": {"contracts": CONTRACTS | {"needs_masks": False}}}
    with standing(lambda _: [0.02, 1.0], other) as (stand, address), asked(address) as policy:
        policy.reset()
        policy.act(SEEN)
        assert "masks" not in stand.heard[2][1]


def test_of_a_chunk_the_first_action_is_executed_or_as_many_as_are_asked_for():
    chunk = np.linspace(0, 0.05, 8, dtype=np.float32).reshape(4, 2)
    with standing(lambda _: chunk) as (_, address):
        for options, rows in (({}, 1), ({"execute": 3}, 3)):
            with asked(address, **STATED, **options) as policy:
                policy.reset()
                np.testing.assert_array_equal(policy.act(SEEN), chunk[:rows])


def test_liberos_preset_sends_what_vla_evals_benchmark_does():
    hand = ("eef.x", "eef.y", "eef.z", *(f"eef.r{row}{column}" for column in (1, 2) for row in (1, 2, 3)))
    arm = ActionContract(
        "eef_delta", ("dx", "dy", "dz", "rx", "ry", "rz", "gripper"), ("m",) * 3 + ("rad",) * 3 + ("1",),
        (-0.05,) * 3 + (-0.3,) * 3 + (0.0,), (0.05,) * 3 + (0.3,) * 3 + (1.0,), 20.0, ("j1",),
    )  # fmt: skip
    views = ObservationContract((("front", (256, 256)), ("wrist", (256, 256))), ("gripper.opening", *hand))
    seen = {
        "pixels": {camera: np.full((256, 256, 3), 7, np.uint8) for camera in ("front", "wrist")}, "task": "lift",
        "agent_pos": np.array([1.0, 0.4, 0.1, 0.2, 1, 0, 0, 0, 1, 0], np.float32),
    }  # fmt: skip
    closed = np.array([1, 0, 0, 0, 0, 0, 1], np.float32)
    with standing(lambda _: closed) as (stand, address):
        policy = RemotePolicy(address, RemoteOptions(keys="vla-eval-libero", actions="libero", timeout=5.0))
        policy.bind(arm, views)
        policy.reset()
        np.testing.assert_allclose(policy.act(seen), [[0.05, 0, 0, 0, 0, 0, 0]], atol=1e-7)
        policy.close()
    sent = stand.heard[2][1]
    assert set(sent) == {"images", "states", "task_description"}
    assert set(sent["images"]) == {"agentview", "wrist"}
    states = np.frombuffer(sent["states"]["data"], np.float32)
    np.testing.assert_allclose(states, [0.4, 0.1, 0.2, 0, 0, np.pi / 2, 0.04, -0.04], atol=1e-6)


@pytest.mark.parametrize(
    ("answer", "error", "what"),
    [
        (np.zeros(3, np.float32), ContractError, r"shape \(1, 3\).*eef_delta takes \(K, 2\): dx, gripper"),
        (np.zeros((1, 2, 2), np.float32), ContractError, r"shape \(1, 2, 2\)"),
        (np.array([np.nan, 0]), ContractError, "nan in action 0, entry dx"),
        ([[0.1], [0.1, 0.2]], ContractError, "its actions are no array"),
        (("action", {"poses": 1}, 0), ContractError, "answered without 'actions'; it sent: poses"),
        (("action", {}, 0), ContractError, "it sent: nothing"),
        (("error", {"error": "observation_failed: KeyError: 'wrist'"}, 0), RemoteError, "observation_failed: KeyError"),
        (("action", {"actions": [0.0, 1.0]}, 1), RemoteError, "sent 'action' of message 2 where 'action' of 3 is due"),
        (("hello", HELLO, 0), RemoteError, "sent 'hello' of message 3"),
        (("action", [0.0, 1.0], 0), RemoteError, r"with payload \[0.0, 1.0\]"),
        (b"\xc1", RemoteError, "no message of vla-eval's protocol"),
        (msgpack.packb({"actions": [0.0, 1.0]}), RemoteError, "without 'type'"),
        ("Traceback: out of memory", RemoteError, "answered with an error: Traceback: out of memory"),
        (
            msgpack.packb({"type": "action", "seq": 3, "payload": {"actions": plain(np.zeros(2)) | {"dtype": "|O"}}}),
            RemoteError, "is refused; numbers are taken",
        ),
    ],
)  # fmt: skip
def test_wrong_answers_are_named(answer, error, what):
    with standing(lambda _: answer) as (_, address), asked(address, **STATED) as policy:
        policy.reset()
        with pytest.raises(error, match=what):
            policy.act(SEEN)


def test_a_server_that_is_slow_or_gone_is_named_and_the_next_episode_connects_again():
    answers: list[Any] = [None, [0.0, 1.0]]
    with standing(lambda _: answers.pop(0)) as (_, address), asked(address, **STATED, timeout=0.2) as policy:
        policy.reset()
        with pytest.raises(RemoteError, match=r"has not answered within 0.2 s; --remote-timeout"):
            policy.act(SEEN)
        policy.reset()
        assert policy.act(SEEN).shape == (1, 2)
    with pytest.raises(RemoteError, match=r"no policy server answers at 127.0.0.1:\d+ .*correct --policy vla-eval:127"):
        RemotePolicy(address)


@pytest.mark.parametrize(
    ("hello", "what"),
    [
        (HELLO | {"protocol_version": 2, "harness_version": "0.9.1"}, r"version 2 .*is '0.9.1'.*knows version 1"),
        ({"model_server": "old"}, "version None of vla-eval's protocol"),
        (HELLO | {"observation_params": {"contracts": CONTRACTS | {"protocol": 9}}}, "toyshift's protocol 9"),
        (HELLO, "does not say what its actions mean"),
    ],
)  # fmt: skip
def test_servers_of_another_version_or_without_a_word_of_their_actions_are_refused(hello, what):
    wrong = pytest.raises((RemoteError, ConfigError), match=what)
    with standing(lambda _: [0.0, 1.0], hello) as (_, address), wrong:
        RemotePolicy(address)


@pytest.mark.parametrize("rest", ["", "host:port", "http://host:1", "host:99999"])
def test_what_is_no_address_is_refused(rest):
    address = f"vla-eval:{rest}"
    assert is_remote(address)
    with pytest.raises(ConfigError, match="write vla-eval:HOST:PORT"):
        RemotePolicy(address)


def test_messages_come_back_and_dots_make_maps():
    value = {"a": np.arange(6, dtype=np.int16).reshape(2, 3), "s": np.float32(0.5), "flag": np.bool_(True)}
    kind, back, seq = unpacked_message(packed_message("action", value, 7), "somebody")
    assert (kind, seq, back["s"], back["flag"]) == ("action", 7, 0.5, True)
    np.testing.assert_array_equal(back["a"], value["a"])
    assert nested({"images.a.b": 1, "images.c": 2, "state": 3}) == {"images": {"a.b": 1, "c": 2}, "state": 3}
    for bad in (object(), np.array([1j])):
        with pytest.raises(RemoteError, match="cannot be sent"):
            packed_message("observation", {"x": bad}, 1)


def test_parts_are_those_that_are_shown():
    assert "masks.front" not in observation_parts(OBSERVATIONS, masks=False)
    parts = observation_parts(OBSERVATIONS, masks=True)
    assert list(parts) == ["images.front", "masks.front", "state", "language"]
    assert parts["state"]["dims"] == 2


def test_another_version_of_the_package_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "vla_eval", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "vla_eval.py").write_text("__version__ = '0.7.3'")
    with pytest.raises(MissingDependencyError, match=r"vla-eval 0.7.3; ToyShift supports 0.8: .*vla-eval==0.8"):
        require_vla_eval()
    monkeypatch.setitem(sys.modules, "vla_eval", None)  # not importable
    with pytest.raises(MissingDependencyError, match=r"needs vla-eval 0.8.*pip install"):
        require_vla_eval()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"tls_cert": Path("a.pem"), "tls_key": Path("b.pem")}, "neither keys nor certificates"),
        ({"rate": 3.0}, "knows no such limits"),
        ({"max_message": 3}, "knows no such limits"),
        ({"robot": "panda"}, "goes with --dialect droid"),
    ],
)
def test_what_vla_evals_server_does_not_know_is_refused(options, what):
    with pytest.raises(ConfigError, match=what):
        main(Config(policy=Path("runs/none"), dialect="vla-eval", **options))
