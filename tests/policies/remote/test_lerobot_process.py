"""The process that serves LeRobot policies, with a stand-in for LeRobot's functions; the real one: tests/interop."""

from __future__ import annotations

import json
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.contract import ActionContract, ObservationContract
from toyshift.core.errors import ConfigError, ContractError, FileError, MissingDependencyError, RemoteError
from toyshift.policies.remote.client import RemotePolicy
from toyshift.policies.remote.lerobot_process import LeRobotProcess, contracts_of_training, lerobot_fingerprint
from toyshift.policies.remote.options import RemoteOptions

pytest.importorskip("msgpack")
pytest.importorskip("websockets")
ACTIONS = ActionContract("eef_delta", ("dx", "gripper"), ("m", "1"), (-5.0, -5.0), (5.0, 5.0), 10.0, ("j1",))
OBSERVATIONS = ObservationContract((("front", (4, 6)),), ("j1", "x"))
# A chunk of two actions at a time: [first entry of the normalised state + 10 * mean of the image, number of chunks +
# noise].
FAKE = """
import json, pathlib, sys, types
import torch

class Policy(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(10.0))
        self.reset()
    def reset(self):
        self.queue, self.chunks = [], 0
    def select_action(self, batch):
        if batch["observation.state"][0, 1] > 1e6:
            print("the stand-in gives up", file=sys.stderr, flush=True)
            import os; os._exit(7)
        if not self.queue:
            self.chunks += 1
            first = batch["observation.state"][:, 0] + self.gain * batch["observation.images.front"].mean()
            drawn = [torch.tensor([self.chunks + 0.1 * torch.rand(1).item()]) for _ in range(2)]
            self.queue = [torch.stack([first, one], 1) for one in drawn]
        return self.queue.pop(0)
    @classmethod
    def from_pretrained(cls, folder, config):
        print("chatter on standard output")
        return cls()

class Step:
    def __init__(self, gain):
        self.gain = gain
    def reset(self):
        pass
    def __call__(self, value):
        if isinstance(value, dict):
            return value | {"observation.state": value["observation.state"] * self.gain}
        return value * self.gain

class PreTrainedConfig:
    type, device = "fake", "cpu"
    @classmethod
    def from_pretrained(cls, folder):
        self = cls()
        shapes = json.loads((pathlib.Path(folder) / "config.json").read_text())["input_features"]
        self.input_features = {k: types.SimpleNamespace(shape=v["shape"]) for k, v in shapes.items()}
        return self

def get_policy_class(kind):
    return Policy

def make_pre_post_processors(config, pretrained_path, preprocessor_overrides):
    assert preprocessor_overrides == {"device_processor": {"device": "cpu"}}
    return Step(0.5), Step(1.0)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A policy folder; interpreters started from now on find the stand-in."""
    for module in ("lerobot/__init__.py", "lerobot/configs/__init__.py", "lerobot/policies/__init__.py"):
        path = tmp_path / "fake" / module
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (tmp_path / "fake/lerobot/configs/policies.py").write_text(textwrap.dedent(FAKE))
    (tmp_path / "fake/lerobot/policies/factory.py").write_text(
        "from lerobot.configs.policies import get_policy_class, make_pre_post_processors\n"
    )
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path / "fake"), os.environ.get("PYTHONPATH", "")]))
    )
    policy = tmp_path / "policy"
    policy.mkdir()
    features = {"observation.images.front": {"shape": [3, 4, 6]}, "observation.state": {"shape": [2]}}
    (policy / "config.json").write_text(json.dumps({"type": "fake", "input_features": features}))
    (policy / "model.safetensors").write_bytes(b"weights")
    return policy


@pytest.fixture
def process(folder: Path) -> Iterator[LeRobotProcess]:
    started = LeRobotProcess(f"lerobot:{folder}", RemoteOptions(lerobot_python=sys.executable))
    yield started
    started.close()


def client(process: LeRobotProcess) -> RemotePolicy:
    policy = RemotePolicy(process.url, RemoteOptions(actions="eef_delta", timeout=30))
    policy.bind(ACTIONS, OBSERVATIONS)
    return policy


def observation(x: float, light: int = 0) -> dict[str, object]:
    return {
        "pixels": {"front": np.full((4, 6, 3), light, np.uint8)}, "masks": {},
        "agent_pos": np.array([x, 0], np.float32), "task": "lift",
    }


def test_clients_have_queues_of_their_own_and_episodes_begin_alike(process):
    first, second = client(process), client(process)
    assert (first.name, first.execute) == ("fake", 1)
    assert first.env_arguments({})["image_size"] == (4, 6)
    first.reset()
    second.reset()
    a = [first.act(observation(x)) for x in (1.0, 2.0, 3.0)]
    np.testing.assert_allclose([chunk[0, 0] for chunk in a], [0.5, 0.5, 1.5])  # the second one comes from the queue
    assert [int(chunk[0, 1]) for chunk in a] == [1, 1, 2]
    b = second.act(observation(4.0, light=51))
    assert b.shape == (1, 2)
    np.testing.assert_allclose(b[0, 0], 4.0, rtol=1e-6)  # 4 / 2 + 10 * 51 / 255
    assert b[0, 1] == a[0][0, 1]  # the same noise in every episode
    first.reset()
    np.testing.assert_array_equal(first.act(observation(1.0)), a[0])
    first.close()
    second.close()


def test_what_a_policy_was_not_trained_with_is_named(process):
    policy = RemotePolicy(process.url, RemoteOptions(actions="eef_delta"))
    policy.bind(ACTIONS, ObservationContract((("front", (4, 6)),), ("j1", "x", "y")))
    policy.reset()
    with pytest.raises(RemoteError, match=r"observation.state has shape \(3,\); the policy was trained with \(2,\)"):
        policy.act(observation(0) | {"agent_pos": np.zeros(3, np.float32)})
    with pytest.raises(ContractError, match="wants camera 'front'; the environment has: side"):
        policy.bind(ACTIONS, ObservationContract((("side", (4, 6)),), ("j1", "x")))


def test_a_process_that_dies_leaves_its_last_words(process):
    policy = client(process)
    policy.reset()
    with pytest.raises(RemoteError, match="closed the connection"):
        policy.act(observation(0) | {"agent_pos": np.array([0, 1e9], np.float32)})
    process._process.wait(10)
    assert process.exit_code == 7
    assert "the stand-in gives up" in process.last_words()
    assert "chatter" in process.last_words()


def test_folders_and_interpreters_that_are_none_are_named(folder, tmp_path, monkeypatch):
    monkeypatch.delenv("TOYSHIFT_LEROBOT_PYTHON", raising=False)
    with pytest.raises(ConfigError, match="--lerobot-python or TOYSHIFT_LEROBOT_PYTHON"):
        LeRobotProcess(f"lerobot:{folder}", RemoteOptions())
    with pytest.raises(ConfigError, match="no Python interpreter"):
        LeRobotProcess(f"lerobot:{folder}", RemoteOptions(lerobot_python=str(tmp_path)))
    with pytest.raises(FileError, match="checkpoints/STEP/pretrained_model"):
        LeRobotProcess(f"lerobot:{tmp_path / 'nothing'}", RemoteOptions())
    nested = tmp_path / "act/checkpoints/000002"
    nested.mkdir(parents=True)
    folder.rename(nested / "pretrained_model")
    with pytest.raises(FileError, match=r"did you mean .*000002/pretrained_model"):
        lerobot_fingerprint(f"lerobot:{tmp_path / 'act'}")
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(MissingDependencyError, match="pip install lerobot"):
        LeRobotProcess(f"lerobot:{nested / 'pretrained_model'}", RemoteOptions(lerobot_python=sys.executable))


def test_a_policy_that_cannot_be_loaded_says_why(folder):
    (folder / "config.json").write_text("{}")
    with pytest.raises(RemoteError, match="KeyError: 'input_features'"):
        LeRobotProcess(f"lerobot:{folder}", RemoteOptions(lerobot_python=sys.executable))


def test_the_dataset_says_what_actions_mean_while_it_is_there(folder, tmp_path):
    assert contracts_of_training(folder) == {}
    meta = tmp_path / "demos" / "meta"
    meta.mkdir(parents=True)
    seen = OBSERVATIONS.to_json()
    seen["cameras"]["wrist"] = [4, 6]
    (meta / "toyshift.json").write_text(
        json.dumps({"action_contract": ACTIONS.to_json(), "observation_contract": seen})
    )
    before = lerobot_fingerprint(f"lerobot:{folder}")
    (folder / "train_config.json").write_text(json.dumps({"dataset": {"root": str(tmp_path / "demos")}}))
    found = contracts_of_training(folder)
    assert ActionContract.from_json(found["action_contract"]) == ACTIONS
    # the wrist is no input of the policy
    assert ObservationContract.from_json(found["observation_contract"]) == OBSERVATIONS
    assert lerobot_fingerprint(f"lerobot:{folder}") == before
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert lerobot_fingerprint(f"lerobot:{folder}") != before
