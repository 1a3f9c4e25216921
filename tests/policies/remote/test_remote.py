"""Policies behind openpi's protocol: a served policy acts like the local one, and what is wrong is refused by name."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError, RemoteError, UnknownNameError
from toyshift.policies import Policy, PolicyConfig, load_policy
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.remote.actions import ActionMeaning, clipped
from toyshift.policies.remote.client import RemotePolicy
from toyshift.policies.remote.keys import Keys, Translator, resize_with_pad
from toyshift.policies.remote.options import RemoteOptions
from toyshift.policies.remote.server import PolicyServer, PolicySession, policy_metadata
from toyshift.policies.remote.session import PROTOCOL
from toyshift.policies.remote.wire import pack, unpack

msgpack = pytest.importorskip("msgpack")
connect = pytest.importorskip("websockets.sync.client").connect
HAND = ("eef.x", "eef.y", "eef.z", *(f"eef.r{row}{column}" for column in (1, 2) for row in (1, 2, 3)))
ACTIONS = ActionContract(
    "eef_delta", ("dx", "dy", "dz", "rx", "ry", "rz", "gripper"), ("m",) * 3 + ("rad",) * 3 + ("1",),
    (-0.05,) * 3 + (-0.3,) * 3 + (0.0,), (0.05,) * 3 + (0.3,) * 3 + (1.0,), 20.0, ("j1", "j2"),
)  # fmt: skip
OBSERVATIONS = ObservationContract((("front", (24, 32)), ("wrist", (24, 32))), ("j1", "j2", "gripper.opening", *HAND))


class Echo:
    """Answers what it was made with; remembers what it was asked."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, []

    def reset(self) -> None:
        self.asked = []

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(observation)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@contextlib.contextmanager
def served(open_session: Any, metadata: dict[str, Any] | None = None) -> Iterator[str]:
    server = PolicyServer(open_session, metadata or {}, port=0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"ws://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()


def observation(seed: int = 0, observations: ObservationContract = OBSERVATIONS) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    views = {camera: rng.integers(0, 256, (*size, 3), dtype=np.uint8) for camera, size in observations.cameras}
    masks = {camera: rng.integers(0, 2, size, dtype=np.uint8) for camera, size in observations.cameras}
    return {
        "pixels": views, "masks": masks, "agent_pos": rng.normal(size=len(observations.state_names)).astype(np.float32)
    }


def remote(url: str, **options: Any) -> RemotePolicy:
    policy = RemotePolicy(url, RemoteOptions(**{"keys": "lerobot", "actions": "eef_delta", "timeout": 5.0} | options))
    policy.bind(ACTIONS, OBSERVATIONS)
    return policy


# ---------------------------------------------------------------- messages


def test_messages_come_back_as_they_were_sent():
    message = {
        "a": np.arange(6, dtype=np.int16).reshape(2, 3)[:, ::-1], "f": np.float32(0.1),
        "empty": np.zeros((0, 7), np.float32), "scalar": np.array(True),
        "big": np.arange(3, dtype=">f8"), "text": "grün", "none": None, "nested": {"list": [1, 2.5, {"x": np.ones(2)}]},
    }  # fmt: skip
    back = unpack(pack(message), "test")
    for key in ("a", "empty", "scalar", "big"):
        np.testing.assert_array_equal(back[key], message[key])
        assert back[key].dtype == message[key].dtype
    assert (back["f"], back["text"], back["none"]) == (np.float32(0.1), "grün", None)
    np.testing.assert_array_equal(back["nested"]["list"][2]["x"], np.ones(2))
    back["a"][0, 0] = 9  # a copy of its own, not a view of the frame


def test_messages_have_openpis_layout():
    raw = msgpack.unpackb(pack({"actions": np.array([[1.5]], np.float32), "n": np.int64(3)}))
    assert raw["actions"] == {
        b"__ndarray__": True, b"data": np.float32(1.5).tobytes(), b"dtype": "<f4", b"shape": [1, 1]
    }
    assert raw["n"] == {b"__npgeneric__": True, b"data": 3, b"dtype": "<i8"}


@pytest.mark.parametrize(
    ("array", "what"),
    [
        ({b"data": b"x" * 8, b"dtype": "|O", b"shape": [1]}, "'|O' is refused"),
        ({b"data": b"\x80\x04N.", b"dtype": "object", b"shape": [1]}, "'object' is refused"),
        ({b"data": b"x" * 8, b"dtype": "i4,f4", b"shape": [1]}, "'i4,f4' is refused"),
        ({b"data": b"x" * 8, b"dtype": "c8", b"shape": [1]}, "'c8' is refused"),
        ({b"data": b"x" * 8, b"dtype": "nonsense", b"shape": [1]}, "nonsense"),
        ({b"data": b"x" * 7, b"dtype": "<f4", b"shape": [2]}, "7 bytes instead of 8"),
        ({b"data": b"", b"dtype": "<f4", b"shape": [2**62, 2**62]}, "0 bytes instead of"),
        ({b"data": b"x" * 4, b"dtype": "<f4", b"shape": [-1]}, r"shape \(-1,\)"),
        ({b"data": b"x" * 4, b"dtype": "<f4"}, "shape"),
    ],
)  # fmt: skip
def test_arrays_that_are_no_numbers_of_their_shape_are_refused(array, what):
    with pytest.raises(RemoteError, match=what.replace("|", r"\|")):
        unpack(msgpack.packb({"image": {b"__ndarray__": True, **array}}), "somebody")


def test_bytes_that_are_no_message_are_refused():
    whole = pack({"image": np.zeros((4, 4), np.uint8)})
    for data in (b"", whole[:-3], whole + b"\x00", b"\xc1", pack({})[:0] + msgpack.packb([1, 2])):
        with pytest.raises(RemoteError, match="somebody sent"):
            unpack(data, "somebody")


@pytest.mark.parametrize(
    "value", [np.array(["a", None], dtype=object), np.array([1j]), np.array(["a"]), object(), {1, 2}]
)
def test_only_numbers_are_sent(value):
    with pytest.raises(RemoteError, match="cannot be sent"):
        pack({"value": value})


# ---------------------------------------------------------------- what is asked and answered


def test_a_served_policy_acts_like_the_local_one_bit_for_bit(trained):
    local, shared = load_policy(trained), load_policy(trained)
    views = local.observation_contract
    with served(lambda: PolicySession(shared), policy_metadata(shared, "f00d")) as url:
        first, second = RemotePolicy(url), RemotePolicy(url)
        for policy in (first, second):
            policy.bind(local.action_contract, views)
        assert (first.name, first.pooling, first.execute) == (local.name, "detpool", local.execute)
        assert first.fingerprint == second.fingerprint
        local.reset()
        for policy in (first, second):
            policy.reset()
        for seed in range(3):
            seen = observation(seed, views)
            expected = local.act(seen)[: local.execute]
            np.testing.assert_array_equal(first.act(seen), expected)
            np.testing.assert_array_equal(second.act(seen), expected)
        first.close()
        second.close()


def test_a_history_belongs_to_its_client(fake_contracts):
    config = PolicyConfig(
        width=32, stem=16, hidden=64, chunk=4, execute=2, policy_net="transformer-tiny", history=3, head="flow",
        denoise=2, ensemble=0.1,
    )
    network = Policy(config, *fake_contracts())
    local, shared = TorchPolicy("local", network), TorchPolicy("shared", network)
    views = local.observation_contract
    with served(lambda: PolicySession(shared), policy_metadata(shared, "f00d")) as url:
        policies = [RemotePolicy(url) for _ in range(2)]
        for policy in policies:
            policy.bind(local.action_contract, views)
            policy.reset()
        policies[1].act(observation(99, views))  # another client in between
        expected = [local.act(observation(seed, views)) for seed in range(3)]
        for _ in range(2):  # an episode after a reset is the same as the first
            policies[0].reset()
            for seed in range(3):
                np.testing.assert_array_equal(
                    policies[0].act(observation(seed, views)), expected[seed][: local.execute]
                )
        for policy in policies:
            policy.close()


def test_a_policy_that_sees_the_targets_pose_is_sent_it(fake_contracts):
    action, seen = fake_contracts()
    views = dataclasses.replace(seen, environment_state_names=("object.dx", "object.dy"))
    policy = TorchPolicy(
        "privileged",
        Policy(
            PolicyConfig(pooling="mean", width=32, stem=16, hidden=64, chunk=4, execute=2, privileged=True), action,
            views,
        ),
    )
    with served(lambda: PolicySession(policy), policy_metadata(policy, "f00d")) as url:
        asked = RemotePolicy(url)
        asked.bind(action, views)
        asked.reset()
        chunks = []
        for pose in (0.0, 1.0):
            whole = observation(0, views) | {"environment_state": np.full(2, pose, np.float32)}
            chunks.append(asked.act(whole))
            np.testing.assert_array_equal(chunks[-1], policy.act(whole)[:2])
        assert (chunks[0] != chunks[1]).any()
        with pytest.raises(RemoteError, match=r"needs observation.environment_state"):
            asked.act(observation(0, views))
        asked.close()


def test_the_server_greets_like_openpis_and_answers_a_health_check(trained):
    policy = load_policy(trained)
    with served(lambda: PolicySession(policy), policy_metadata(policy, "f00d")) as url:
        assert urllib.request.urlopen(url.replace("ws", "http") + "/healthz").read() == b"OK\n"
        with connect(url) as socket:
            said = unpack(socket.recv(), "server")["toyshift"]
            assert ActionContract.from_json(said["action_contract"]) == policy.action_contract
            seen = observation(0, policy.observation_contract)
            message = {f"observation.images.{c}": v for c, v in seen["pixels"].items()} | {
                f"masks.{c}": v for c, v in seen["masks"].items()
            }
            for _ in range(2):
                socket.send(pack(message | {"observation.state": seen["agent_pos"]}))
                answer = unpack(socket.recv(), "server")
            assert answer["actions"].shape == (4, 3)
            np.testing.assert_array_equal(answer["actions"], policy.act(seen))
            assert set(answer["server_timing"]) == {"infer_ms", "prev_total_ms"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"observation.state": np.array([np.nan, 0, 0], np.float32)}, "must be finite"),
        ({"observation.state": np.zeros(2, np.float32)}, r"shape \(2,\)"),
        ({"observation.state": None}, "must be finite numbers"),
        (
            {"observation.images.front": np.zeros((8, 8, 3), np.uint8)},
            r"\(8, 8, 3\) uint8, the contract says \(32, 32, 3\)",
        ),
        ({"masks.front": np.zeros((32, 32), np.float32)}, "float32, the contract says"),
        ({"__ctrl__": "dance"}, "knows 'episode_start'"),
    ],
)
def test_a_wrong_observation_is_answered_with_the_reason_and_the_server_goes_on(trained, change, what):
    policy = load_policy(trained)
    seen = observation(0, policy.observation_contract)
    good = {f"observation.images.{c}": v for c, v in seen["pixels"].items()} | {
        f"masks.{c}": v for c, v in seen["masks"].items()
    }
    good |= {"observation.state": seen["agent_pos"]}
    with served(lambda: PolicySession(policy)) as url:
        with connect(url) as socket:
            socket.recv()
            socket.send(pack(good | change))
            text = socket.recv()
        assert isinstance(text, str)
        with pytest.raises(RemoteError, match=what):
            raise RemoteError(text)
        with connect(url) as socket:
            socket.recv()
            socket.send(pack(good))
            assert isinstance(socket.recv(), bytes)


def test_frames_that_are_no_messages_are_answered_with_the_reason():
    with served(lambda: Echo({"actions": np.zeros((1, 7))})) as url:
        for frame, what in (
            (b"\x93\x01", "no message of openpi's protocol"), ("hello", "binary frames"),
            (pack({"a": np.ones(3)})[:-1], "no message"),
        ):
            with connect(url) as socket:
                socket.recv()
                socket.send(frame)
                assert what in socket.recv()


# ---------------------------------------------------------------- the client


@pytest.mark.parametrize(
    ("answer", "what"),
    [
        (
            {"action": np.zeros((4, 7))},
            "without 'actions'; it sent: action, server_timing|without 'actions'; it sent: action",
        ),
        ({"actions": np.zeros((4, 8))}, r"shape \(4, 8\).*eef_delta takes \(K, 7\): dx, dy"),
        ({"actions": np.zeros(7)}, r"shape \(7,\)"),
        ({"actions": np.zeros((0, 7))}, r"shape \(0, 7\)"),
        ({"actions": "up"}, "dtype <U2"),
        ({"actions": np.full((4, 7), np.nan)}, "nan in action 0, entry dx"),
        ({"actions": np.zeros((2, 7))}, "2 actions; 3 are to be executed"),
    ],
)
def test_wrong_answers_are_named(answer, what):
    with served(lambda: Echo(answer)) as url:
        policy = remote(url, execute=3)
        with pytest.raises(ContractError, match=what):
            policy.act(observation())
        policy.close()


def test_the_first_actions_of_a_chunk_are_executed_and_the_prompt_is_sent():
    session = Echo({"actions": np.linspace(-0.01, 0.01, 70).reshape(10, 7)})
    with served(lambda: session) as url:
        policy = remote(url, execute=4)
        assert policy.act(observation() | {"task": "pick up the mug"}).shape == (4, 7)
        whole = remote(url)
        assert whole.act(observation()).shape == (10, 7)
        assert session.asked[0]["task"] == "pick up the mug"
        assert set(session.asked[0]) == {
            "task", "observation.state", "observation.images.front", "observation.images.wrist"
        }
        np.testing.assert_array_equal(session.asked[0]["observation.state"], observation()["agent_pos"])
        policy.close()
        whole.close()


def test_the_servers_own_error_is_shown():
    with served(lambda: Echo(ZeroDivisionError("no weights loaded"))) as url:
        policy = remote(url)
        with pytest.raises(RemoteError, match=r"127.0.0.1:\d+ answered with an error: ZeroDivisionError, error 1 of"):
            policy.act(observation())
        with pytest.raises(RemoteError, match="was lost"):
            policy.act(observation())
        policy.reset()  # the next episode connects again
        policy.close()


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"keys": 5}, "greets with keys that are none .*5 is no object"),
        ({"keys": {"cams": {}}}, "unknown field of keys 'cams'"),
        ({"keys": {"images": ["a"]}}, "images, state and masks are objects"),
        ({"keys": {"images": {"a": ["front"]}}}, r"'a' is \['front'\]; it must be the name of one of our cameras"),
        ({"keys": {"state": {"s": 5}}}, "state 's' is 5"),
        ({"images": ["front"]}, r"greets with images \['front'\]; they must be camera -> \[height, width\]"),
        ({"images": {"front": 5}}, "greets with images"), ({"images": {"front": ["a", "b"]}}, "greets with images"),
        ({"images": {"front": [-1, 0]}}, "greets with images"),
        ({"execute": "x"}, "greets with execute 'x'"), ({"execute": -3}, "greets with execute -3"),
        ({"execute": None}, "greets with execute None"),
        ({"action_contract": 5}, "greets with contracts that are none: not an action contract"),
        ({"action_contract": {**ACTIONS.to_json(), "mode": "fly"}}, "are none: unknown action mode 'fly'"),
    ],
)  # fmt: skip
def test_a_greeting_of_another_shape_is_named(said, what):
    options = RemoteOptions(keys="" if "keys" in said else "lerobot", actions="eef_delta", timeout=5.0)
    metadata = {"toyshift": {"protocol": PROTOCOL, **said}}
    with served(lambda: Echo({}), metadata) as url, pytest.raises(RemoteError, match=rf"127\.0\.0\.1:\d+ .*{what}"):
        RemotePolicy(url, options)


def test_a_slow_server_is_given_up_with_its_name():
    wait = threading.Event()

    class Slow(Echo):
        def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
            wait.wait(10)
            return {"actions": np.zeros((1, 7))}

    with served(lambda: Slow(None)) as url:
        policy = remote(url, timeout=0.1)
        with pytest.raises(RemoteError, match=r"127.0.0.1:\d+ has not answered within 0.1 s; --remote-timeout"):
            policy.act(observation())
        wait.set()


def test_a_server_that_is_gone_is_named():
    with served(lambda: Echo({"actions": np.zeros((1, 7))})) as url:
        policy = remote(url)
        policy.act(observation())
    with pytest.raises(RemoteError, match=r"127.0.0.1:\d+ closed the connection"):
        policy.act(observation())
    with pytest.raises(RemoteError, match=r"no policy server answers at 127.0.0.1:\d+ \(Connection refused\)"):
        policy.reset()


def test_another_policy_at_the_same_address_is_not_mistaken_for_the_first():
    replies = Echo({"actions": np.zeros((1, 7))})
    server = PolicyServer(lambda: replies, {"model": "a"}, port=0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    policy = remote(f"ws://127.0.0.1:{server.port}")
    server.shutdown()
    thread.join()
    other = PolicyServer(lambda: replies, {"model": "b"}, port=server.port)
    thread = threading.Thread(target=other.serve_forever)
    thread.start()
    try:
        with pytest.raises(RemoteError, match="another policy answers"):
            policy.reset()
    finally:
        policy.close()
        other.shutdown()
        thread.join()


@pytest.mark.parametrize("url", ["ws://", "ws://host:port", "ws://:8000", "http://host:1", "ws://host:99999"])
def test_addresses_that_are_none_are_refused(url):
    with pytest.raises(ConfigError, match="no address of a policy server"):
        RemotePolicy(url)


def test_a_taken_port_is_named():
    with served(lambda: Echo(None)) as url, pytest.raises(ConfigError, match=r"cannot listen at 127.0.0.1:.*--port"):
        PolicyServer(lambda: Echo(None), {}, port=int(url.rsplit(":", 1)[1]))


# ---------------------------------------------------------------- what things mean


def test_meanings_must_be_said_by_someone(trained):
    with served(lambda: Echo(None)) as url:
        with pytest.raises(ConfigError, match=r"does not say what its actions mean.*--remote-actions"):
            RemotePolicy(url, RemoteOptions(keys="libero"))
        with pytest.raises(ConfigError, match=r"does not say how it calls observations.*--remote-keys"):
            RemotePolicy(url, RemoteOptions(actions="libero"))
        with pytest.raises(UnknownNameError, match="Did you mean 'libero'"):
            RemotePolicy(url, RemoteOptions(keys="libro", actions="libero"))
    policy = load_policy(trained)
    with served(lambda: PolicySession(policy), policy_metadata(policy, "f00d")) as url:
        with pytest.raises(ConfigError, match="says what its actions mean"):
            RemotePolicy(url, RemoteOptions(actions="libero"))
        with pytest.raises(ConfigError, match="leave --remote-execute out"):
            RemotePolicy(url, RemoteOptions(execute=1))
        asked = RemotePolicy(url)
        with pytest.raises(ContractError, match="differ"):
            asked.bind(ACTIONS, OBSERVATIONS)
        asked.close()


def test_liberos_actions_become_metres_radians_and_openings():
    meaning = ActionMeaning.read("libero")
    ours = meaning.physical(
        np.array([[1, -1, 0, 0.5, 0, 0, -1], [0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0]], np.float32)
    )
    np.testing.assert_allclose(ours[0], [0.05, -0.05, 0, 0.25, 0, 0, 1], atol=1e-7)  # -1 is open
    assert ours[1, -1] == 0
    assert ours[2, -1] == 0.5
    assert (meaning.mode, meaning.control_hz, meaning.execute) == ("eef_delta", 20, 5)
    arguments = meaning.env_arguments()
    assert 1 / (arguments["control_hz"] * arguments["physics_dt"]) == pytest.approx(round(1 / (20 * 0.004)))


def test_relative_joints_binary_grippers_and_physical_actions(tmp_path):
    file = tmp_path / "actions.json"
    file.write_text(
        json.dumps(
            {"mode": "joint_pos", "relative": True, "gripper_open": 0, "gripper_closed": 1, "gripper_binary": True}
        )
    )
    meaning = ActionMeaning.read(str(file))
    ours = meaning.physical(np.array([[0.1, -0.1, 0.4], [0, 0, 0.6]], np.float32), np.array([1.0, 2.0], np.float32))
    np.testing.assert_allclose(ours, [[1.1, 1.9, 1], [1, 2, 0]], atol=1e-6)
    plain = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    assert ActionMeaning.read("eef_delta").physical(plain) is plain


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"scale": 1}, "state no mode"),
        ({"mode": "velocity"}, "unknown action mode 'velocity'"),
        ({"mode": "eef_delta", "gripper": 1}, "unknown field of actions 'gripper'"),
        ({"mode": "eef_delta", "relative": True}, "joint_pos"),
        ({"mode": "eef_delta", "scale": ["a"]}, "finite numbers"),
        ({"mode": "eef_delta", "gripper_open": 0}, "must differ"),
    ],
)
def test_statements_about_actions_are_checked(tmp_path, value, what):
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises((ConfigError, UnknownNameError), match=what):
        ActionMeaning.read(str(tmp_path / "a.json"))


def test_an_environment_that_acts_otherwise_than_stated_is_refused():
    for meaning, what in (
        (ActionMeaning("joint_pos"), "joint_pos"), (ActionMeaning("eef_delta", control_hz=15), "15 Hz"),
        (ActionMeaning("eef_delta", scale=(1, 2)), "2 scales"),
    ):
        with pytest.raises(ContractError, match=what):
            meaning.check(ACTIONS, "p")


def test_actions_beyond_the_bounds_are_clipped_and_the_first_is_told():
    chunk = np.zeros((2, 7), np.float32)
    chunk[1, 2] = -0.2
    with pytest.warns(UserWarning, match=r"dz = -0.2 m is beyond \[-0.05, 0.05\]"):
        out, outside = clipped(chunk, ACTIONS, "server", warn=True)
    assert outside
    assert out[1, 2] == np.float32(-0.05)
    assert not clipped(out, ACTIONS, "server", warn=True)[1]


def test_liberos_keys():
    translate = Translator(Keys.read("libero"), ACTIONS, OBSERVATIONS, "p")
    # a hand that points down, tilted a little to either side: no jump between the signs of half a turn
    for tilt in (-0.02, 0.02):
        turn = Rotation.from_rotvec([0, tilt, 0]) * Rotation.from_matrix([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
        columns = turn.as_matrix()[:, :2].T.reshape(-1)
        asked = translate(
            observation()
            | {"agent_pos": np.array([0.1, 0.2, 0.5, 0.4, 0.1, 0.3, *columns], np.float32), "task": "lift"}
        )
        np.testing.assert_allclose(asked["observation/state"], [0.4, 0.1, 0.3, np.pi, 0, 0, 0.02, -0.02], atol=0.035)
        back = Rotation.from_rotvec(asked["observation/state"][3:6]) * Rotation.from_rotvec([0, 0, -np.pi / 2])
        np.testing.assert_allclose(back.as_matrix(), turn.as_matrix(), atol=1e-5)
    assert asked["observation/image"].shape == asked["observation/wrist_image"].shape == (224, 224, 3)
    assert asked["prompt"] == "lift"


def test_droids_keys():
    asked = Translator(Keys.read("droid"), ACTIONS, OBSERVATIONS, "p")(
        observation() | {"agent_pos": np.array([0.1, 0.2, 0.25, *([0] * 9)], np.float32)}
    )
    np.testing.assert_allclose(asked["observation/joint_position"], [0.1, 0.2], atol=1e-7)
    np.testing.assert_allclose(asked["observation/gripper_position"], [0.75])  # 1 is closed


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        (Keys({"image": "top"}, {}), "wants camera 'top'; the environment has: front, wrist"),
        (Keys({}, {"state": ["observation"]}), "unknown entry of the state"),
        (Keys({}, {"state": ["eef.q"]}), "unknown entry of the state 'eef.q'"),
        (Keys({}, {"state": [["eef.x", 2]]}), "must be a name or"),
    ],
)
def test_keys_that_the_environment_has_not_are_named(keys, what):
    with pytest.raises((ContractError, ConfigError), match=what):
        Translator(keys, ACTIONS, OBSERVATIONS, "p")


def test_padding_keeps_shape_and_middle():
    image = np.full((24, 32, 3), 200, np.uint8)
    square = resize_with_pad(image, 64)
    assert square.shape == (64, 64, 3)
    assert (square[8:56] == 200).all()
    assert not square[:8].any()
    assert not square[56:].any()
    same = np.zeros((64, 64, 3), np.uint8)
    assert resize_with_pad(same, 64) is same
    labels = np.random.default_rng(0).integers(0, 4, (24, 32), dtype=np.uint8)
    assert set(np.unique(resize_with_pad(labels, 40))) <= {0, 1, 2, 3}
