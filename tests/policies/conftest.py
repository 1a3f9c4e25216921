"""A small synthetic dataset with the interface of `data.loading.loader.Windows`, and a quick way to train on it."""

from __future__ import annotations

import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toyshift.core.contract import (
    ACTION,
    ACTION_IS_PAD,
    STATE,
    ActionContract,
    ObservationContract,
    image_key,
    mask_key,
)
from toyshift.core.files import read_json, write_json
from toyshift.policies import Policy, PolicyConfig, TrainConfig, checkpoints, train
from toyshift.policies.parts import ENCODERS
from toyshift.policies.training.training_data import TrainingData

SIZE = 32
STATE_NAMES = ("x", "y", "opening")


def contracts(
    cameras: tuple[str, ...] = ("front", "wrist"), size: int = SIZE
) -> tuple[ActionContract, ObservationContract]:
    action = ActionContract(
        mode="eef_delta", names=("dx", "dy", "gripper"), units=("m", "m", "1"), low=(-1.0, -1.0, 0.0),
        high=(1.0, 1.0, 1.0), control_hz=10.0, joint_names=("j1",),
    )
    return action, ObservationContract(tuple((c, (size, size)) for c in cameras), STATE_NAMES)


class FakeSampler:
    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        self.count, self.batch_size, self.seed = count, batch_size, seed

    def batch_indices(self, step: int) -> np.ndarray:
        return np.random.default_rng([self.seed, step]).integers(self.count, size=self.batch_size)


class FakeWindows:
    """Noise images; the target's place shows in the masks only, and the action is that place."""

    def __init__(
        self, frames: int = 64, chunk: int = 4, cameras: tuple[str, ...] = ("front", "wrist"), seed: int = 0,
        size: int = SIZE,
    ) -> None:
        rng = np.random.default_rng(seed)
        self.action_contract, self.observation_contract = contracts(cameras, size)
        self.data: dict[str, np.ndarray] = {}
        place = rng.integers(0, size - 8, (frames, 2))
        for camera in cameras:
            self.data[image_key(camera)] = rng.integers(0, 256, (frames, 1, size, size, 3), dtype=np.uint8)
            masks = np.zeros((frames, 1, size, size), dtype=np.uint8)
            for i, (y, x) in enumerate(place):
                masks[i, 0, y : y + 8, x : x + 8] = 1
            self.data[mask_key(camera)] = masks
        self.data[STATE] = rng.normal(2.0, 3.0, (frames, 1, 3)).astype(np.float32)
        target = np.concatenate([place / size - 0.4, np.full((frames, 1), 0.5)], axis=1)
        self.data[ACTION] = np.repeat(target[:, None], chunk, axis=1).astype(np.float32)
        self.data[ACTION_IS_PAD] = np.zeros((frames, chunk), dtype=bool)
        self.task = ["grasp"] * frames
        self.stats: dict[str, dict[str, Any]] = {
            STATE: {"mean": self.data[STATE].mean((0, 1)), "std": self.data[STATE].std((0, 1))},
            ACTION: {"mean": self.data[ACTION].mean((0, 1)), "std": self.data[ACTION].std((0, 1))},
        }

    @property
    def scaling(self) -> dict[str, dict[str, Any]]:
        return self.stats

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(sorted(set(self.task)))

    def __len__(self) -> int:
        return len(self.data[STATE])

    def batch(self, indices: np.ndarray) -> dict[str, Any]:
        return {k: v[indices] for k, v in self.data.items()} | {"task": [self.task[i] for i in indices]}

    def dataset_of(self, indices: np.ndarray) -> np.ndarray:
        return indices % 2  # odd frames stand for another dataset

    def sampler(self, batch_size: int, seed: int) -> FakeSampler:
        return FakeSampler(len(self), batch_size, seed)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture(scope="session")
def one_table_of_operators() -> Iterator[None]:
    """The exporter's table of ONNX operators, a fifth of an export of a small network, is made once for all exports;
    torch's own operators, an eighth more, are looked up once: none are added here."""
    apis = importlib.import_module("torch.onnx._internal.exporter._registration").onnxscript_apis
    utils = importlib.import_module("torch._export.utils")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apis, "get_torchlib_ops", functools.cache(apis.get_torchlib_ops))
        patch.setattr(utils, "_materialize_cpp_cia_ops", functools.cache(utils._materialize_cpp_cia_ops))
        yield


def source_of(config: TrainConfig, frames: int = 64, **kwargs: Any) -> TrainingData:
    windows = FakeWindows(frames, config.policy.chunk, **kwargs)
    return TrainingData(windows, FakeWindows(8, config.policy.chunk, seed=9), config.batch_size, config.seed)


def tiny_config(out: Path, policy: dict[str, Any] | None = None, **kwargs: Any) -> TrainConfig:
    """A run of a few seconds; keyword arguments replace fields."""
    made = PolicyConfig(**{"width": 32, "stem": 16, "hidden": 64, "chunk": 4, "execute": 2} | (policy or {}))
    fields: dict[str, Any] = {
        "data": ("fake",), "out": str(out), "policy": made, "steps": 6, "batch_size": 8, "warmup": 2, "log_every": 1
    }
    return TrainConfig(**fields | kwargs)


def untrained(folder: Path, **kwargs: Any) -> Path:
    """Writes a finished folder of a policy with random weights, a few steps from its start, without a training."""
    config = tiny_config(folder, kwargs.pop("policy", {}), **kwargs)
    windows = FakeWindows(4, config.policy.chunk)
    policy = Policy(config.policy, windows.action_contract, windows.observation_contract, windows.stats)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    checkpoints.write_contracts(folder, policy.action_contract, policy.observation_contract)
    write_json(folder / checkpoints.CONFIG_FILE, {"policy": config.policy.to_json(), "manifest": {"git": None}})
    checkpoints.save_checkpoint(folder, 0, {checkpoints.MODEL: policy.state_dict()}, finished=True, extra={})
    return folder


@pytest.fixture(scope="session")
def of_before() -> Callable[[Path], Path]:
    """Makes of a policy folder what earlier versions wrote: a state.json that lists weights only."""

    def forget(folder: Path) -> Path:
        state = read_json(folder / checkpoints.STATE_FILE)
        weights = {name: entry for name, entry in state["files"].items() if name.endswith(".safetensors")}
        rest = {name: value for name, value in state.items() if name != "hash"}
        write_json(folder / checkpoints.STATE_FILE, rest | {"files": weights})
        return folder

    return forget


@pytest.fixture(scope="session")
def save_untrained() -> Callable[..., Path]:
    return untrained


def store_dataset(folder: Path, episodes: int, length: int, scale: float = 1.0, offset: float = 0.0) -> Path:
    """Writes a dataset of fake frames; `scale` and `offset` act on states and on actions but the gripper's."""
    from toyshift.data.episode import Episode, write_episode
    from toyshift.data.store.lerobot import finalize

    windows = FakeWindows(episodes * length)
    windows.data[STATE] = np.float32(scale) * windows.data[STATE] + np.float32(offset)
    windows.data[ACTION][..., :2] = np.float32(scale) * windows.data[ACTION][..., :2] + np.float32(offset)
    for i in range(episodes):
        rows = slice(i * length, (i + 1) * length)
        frames = {k: windows.data[k][rows, 0] for c in ("front", "wrist") for k in (image_key(c), mask_key(c))}
        frames |= {STATE: windows.data[STATE][rows, 0], ACTION: windows.data[ACTION][rows, 0]}
        write_episode(
            folder,
            Episode(
                i, frames,
                {"task": "grasp the toy", "success": True, "seed": 0, "object_id": "toy", "object_set": "toys:train"},
            ),
        )
    finalize(folder, windows.action_contract, windows.observation_contract, {})
    return folder


@pytest.fixture(scope="session")
def store() -> Callable[..., Path]:
    return store_dataset


@pytest.fixture(scope="session")
def fake_windows() -> type[FakeWindows]:
    return FakeWindows


@pytest.fixture(scope="session")
def make_config() -> Callable[..., TrainConfig]:
    return tiny_config


@pytest.fixture(scope="session")
def make_source() -> Callable[..., TrainingData]:
    return source_of


@pytest.fixture(scope="session")
def fake_contracts() -> Callable[..., tuple[ActionContract, ObservationContract]]:
    return contracts


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a detpool policy."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    config = tiny_config(folder)
    train(config, source_of(config))
    return folder


@pytest.fixture
def shrink_vit(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives vit-tiny another width, number of blocks and number of heads."""

    def shrink(*size: int) -> None:
        monkeypatch.setitem(ENCODERS, "vit-tiny", dataclasses.replace(ENCODERS["vit-tiny"], vit=size))

    return shrink
