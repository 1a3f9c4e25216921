"""The serve command: a bundle behind a port, without torch, until it is told to end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toyshift.data import CollectConfig, collect
from toyshift.policies import PolicyConfig, TrainConfig, export, load_policy, train
from toyshift.policies.remote.wire import pack, unpack

pytest.importorskip("msgpack")
connect = pytest.importorskip("websockets.sync.client").connect
ConnectionClosed = pytest.importorskip("websockets.exceptions").ConnectionClosed
OBJECTS = "toys:train?n=2"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learnt next to nothing, for the simulator, exported."""
    folder = tmp_path_factory.mktemp("served")
    collect(CollectConfig(OBJECTS, 2, folder / "demos", workers=0, image_size=32), progress=False)
    small = PolicyConfig(pooling="detpool", width=32, stem=16, hidden=64)
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
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
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
