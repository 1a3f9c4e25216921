"""The serve command: a bundle behind a port, without torch, until it is told to end."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, ContractError, FileError
from toyshift.data import CollectConfig, collect
from toyshift.diagnostics.actors import EnvSpec, FolderActor, env_arguments, make_grasp_env
from toyshift.diagnostics.evaluation import EvaluateConfig, play_row
from toyshift.policies import Policy, PolicyConfig, TrainConfig, export, load_policy, train
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.remote.access import Limits
from toyshift.policies.remote.actions import ActionMeaning
from toyshift.policies.remote.server import PolicyServer, PolicySession, policy_metadata
from toyshift.policies.remote.wire import pack, unpack
from toyshift.scripts import serve

pytest.importorskip("msgpack")
connect = pytest.importorskip("websockets.sync.client").connect
ConnectionClosed = pytest.importorskip("websockets.exceptions").ConnectionClosed
OBJECTS = "toys:train?n=2"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learnt next to nothing, for the simulator, exported."""
    folder = tmp_path_factory.mktemp("served")
    collect(CollectConfig(OBJECTS, 2, folder / "demos", workers=0, image_size=32), progress=False)
    small = PolicyConfig(pooling="detpool", width=32, stem=16, hidden=64, ensemble=0.1)
    train(TrainConfig(data=(str(folder / "demos"),), out=str(folder / "policy"), steps=3, batch_size=4, policy=small))
    return export(folder / "policy", folder / "bundle")


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """The environment of processes that find a torch which cannot be imported."""
    (tmp_path / "none" / "torch").mkdir(parents=True)
    (tmp_path / "none" / "torch" / "__init__.py").write_text("raise ImportError('torch is not for bundles')\n")
    path = os.pathsep.join(filter(None, [str(tmp_path / "none"), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def serving(words: list[str], environment: dict[str, str]) -> Iterator[tuple[Any, str]]:
    """Starts `toyshift serve` at a free port; gives the process and its address."""
    command = [sys.executable, "-m", "toyshift.scripts", "serve", "--port", "0", *words]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite in the background has it ignored
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        found = re.search(r"(wss?)://[\d.]+:(\d+)", line)
        assert found, line + process.stderr.read()
        yield process, f"{found[1]}://127.0.0.1:{found[2]}"
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def message(policy: Any) -> dict[str, Any]:
    seen = policy.observation_contract
    images = {f"observation.images.{c}": np.full((*size, 3), 90, np.uint8) for c, size in seen.cameras}
    masks = {f"masks.{c}": np.ones(size, np.uint8) for c, size in seen.cameras}
    return {**images, **masks, "observation.state": np.zeros(len(seen.state_names), np.float32)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_bundle_is_served_without_torch_until_a_signal_which_clients_are_told(bundle, without_torch, number):
    policy = load_policy(bundle)
    with serving(["--policy", str(bundle)], without_torch) as (process, url), connect(url, proxy=None) as socket:
        socket.recv()
        socket.send(pack(message(policy)))
        answer = unpack(socket.recv(timeout=60), "the server")
        assert answer["actions"].shape == (policy.config.chunk, policy.action_contract.size)
        process.send_signal(number)
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(timeout=60)
        assert closed.value.rcvd.code == 1001
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")


def test_a_bundle_is_evaluated_without_torch(bundle, without_torch, tmp_path):
    words = ["evaluate", "--policy", str(bundle), "--objects", OBJECTS, "--trials", "1", "--max-steps", "4"]
    words += ["--no-references", "--workers", "1", "--out", str(tmp_path / "out")]
    command = [sys.executable, "-m", "toyshift.scripts", *words]
    done = subprocess.run(command, env=without_torch, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "bundle" in done.stdout


@pytest.mark.parametrize(
    ("options", "error", "what"),
    [
        ({"host": "0.0.0.0"}, ConfigError, "other machines reach 0.0.0.0"),
        ({"api_key_file": Path("missing")}, FileError, "cannot read the API key in missing"),
        ({"tls_cert": Path("cert.pem")}, ConfigError, "--tls-cert and --tls-key go together"),
        ({"masks": "truth"}, ConfigError, "truth needs the simulator"),
        ({"masks": "noisy:0.5"}, ConfigError, "noisy:0.5 needs the simulator"),
        ({"masks": "background"}, ConfigError, "background needs the simulator"),
        ({"masks": "colour"}, ConfigError, "colour needs the simulator, or somebody who shows it the target"),
        ({"masks": "os:getcwd"}, ConfigError, "has no method masks"),
        ({"dialect": "droid"}, ConfigError, "acts in eef_delta, DROID's clients execute joint_delta"),
        ({"robot": "panda"}, ConfigError, "--robot panda goes with --dialect droid"),
        ({"policy": Path("oracle")}, ConfigError, "lives in the simulator"),
    ],
)
def test_what_cannot_be_served_is_refused_before_anyone_connects(bundle, monkeypatch, options, error, what):
    monkeypatch.delenv("TOYSHIFT_API_KEY", raising=False)
    with pytest.raises((error, ContractError), match=what):
        serve.main(serve.Config(**({"policy": bundle, "port": 0} | options)))


@pytest.mark.parametrize("option", ["clients", "rate", "handshake", "idle", "max_message"])
def test_limits_are_checked_by_name(bundle, option):
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')} must be"):
        serve.Config(policy=bundle, **{option: -1})


# ---------------------------------------------------------------- openpi's own client


class Clock:
    """Time that passes when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextlib.contextmanager
def openpi_client(open_session: Callable[[], Any], metadata: dict[str, Any], clock: Clock) -> Iterator[Any]:
    """Serves in this process, in virtual time; gives openpi's client, connected."""
    room = pytest.importorskip("openpi_client.websocket_client_policy")
    server = PolicyServer(open_session, metadata, port=0, clock=clock, limits=Limits(rate=0))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield room.WebsocketClientPolicy("127.0.0.1", server.port)
    finally:
        server.shutdown()
        thread.join()


class Brokered:
    """openpi's client and its broker of chunks, with the interface of an `ActingPolicy`: one action at a time."""

    name, pooling, execute = "brokered", "detpool", 1

    def __init__(self, client: Any, execute: int, clock: Clock) -> None:
        broker = pytest.importorskip("openpi_client.action_chunk_broker")
        self._broker, self._clock = broker.ActionChunkBroker(client, execute), clock

    def reset(self) -> None:
        self._broker.reset()  # says nothing to the server
        self._clock.now += 30.0  # somebody puts the next object on the table

    def act(self, seen: dict[str, Any]) -> Any:
        self._clock.now += 0.1
        sent = {f"observation.images.{camera}": image for camera, image in seen["pixels"].items()}
        sent |= {f"masks.{camera}": mask for camera, mask in seen["masks"].items()}
        sent |= {"observation.state": seen["agent_pos"], "prompt": seen["task"]}
        return self._broker.infer(sent)["actions"][None]


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context manager:DeprecationWarning")
@pytest.mark.parametrize("masks", ["", "detector"])
def test_episodes_through_openpis_client_are_those_in_process(bundle, masks):
    policy, clock = load_policy(bundle), Clock()
    config = EvaluateConfig(str(bundle), OBJECTS, trials=2, max_steps=14, name="either")
    env: Any = EnvSpec().open(OBJECTS, **env_arguments(policy, {}))

    def played(acting: Any, source: str = "truth") -> list[Any]:
        rows = []
        for episode in range(2):
            row = play_row(config, tuple(env.objects.ids), (FolderActor(acting, source), env), episode)
            row = dataclasses.replace(row, wall_s=0.0, mask_iou=None, mask_missed=None)  # masks may be the server's
            rows.append((row, env.scene.data.qpos.tolist()))
        return rows

    finder = serve._mask_finder(masks, policy)
    assert finder() is None or finder() is not finder()  # every client has one of its own
    metadata = policy_metadata(policy, "f", masks)
    with openpi_client(lambda: PolicySession(load_policy(bundle), finder()), metadata, clock) as client:
        assert client.get_server_metadata()["toyshift"]["execute"] == policy.execute
        through = played(Brokered(client, policy.execute, clock))
    assert through == played(policy, masks or "truth")
    assert through[0] != through[1]


@pytest.mark.filterwarnings("ignore:connect\\(\\) must be used as a context manager:DeprecationWarning")
def test_openpis_droid_loop_runs_against_the_dialect():
    tools = pytest.importorskip("openpi_client.image_tools")
    meaning = ActionMeaning.read("droid")
    env: Any = make_grasp_env(OBJECTS, image_size=224, **meaning.env_arguments())
    small = PolicyConfig(pooling="mean", width=32, stem=16, hidden=64, chunk=10, execute=8)
    policy = TorchPolicy("net", Policy(small, env.action_contract, env.observation_contract))
    options = serve.Config(policy=Path("net"), dialect="droid")
    states: list[Any] = []
    predict = policy.predict
    policy.predict = lambda *inputs: states.append(inputs[2][0]) or predict(*inputs)  # type: ignore[method-assign]
    with openpi_client(*serve._dialect(options, policy, "f", Limits())[:2], Clock()) as client:
        env.reset(seed=0)
        for step in range(24):
            if step % 8 == 0:  # as openpi's examples/droid/main.py asks, and what it does with the answer
                seen = env.observe()
                values = dict(zip(env.observation_contract.state_names, seen["agent_pos"], strict=True))
                chunk = client.infer({
                    "observation/exterior_image_1_left": tools.resize_with_pad(seen["pixels"]["front"], 224, 224),
                    "observation/wrist_image_left": tools.resize_with_pad(seen["pixels"]["wrist"], 224, 224),
                    "observation/joint_position": np.array([values[name] for name in env.action_contract.joint_names]),
                    "observation/gripper_position": np.array([1.0 - values["gripper.opening"]]),
                    "prompt": "pick it up",
                })["actions"]  # fmt: skip
                assert chunk.shape == (10, 8)
                assert len(states) == 1 + step // 8
                # nothing but images, joints and gripper was sent, and the policy saw what the environment shows
                np.testing.assert_allclose(states[-1], seen["agent_pos"], atol=2e-6)
                policy.reset()
                expected = policy.act(seen)
                del states[-1]
            action = chunk[step % 8].copy()
            action[-1] = float(action[-1] > 0.5)
            action = np.clip(action, -1, 1)
            np.testing.assert_allclose(0.2 * action[:7], expected[step % 8, :7], atol=1e-5)
            assert action[-1] == float(expected[step % 8, 7] < 0.5)
            env.step(np.append(0.2 * action[:7], 1.0 - action[-1]).astype(np.float32))
