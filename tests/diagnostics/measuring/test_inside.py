"""What measures inside networks are shown: every look under every change, once; and runs of a network's parts."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import toyshift.policies
from toyshift.core.contract import MASK_TARGET
from toyshift.diagnostics.measures import Asked
from toyshift.diagnostics.measuring import inside
from toyshift.diagnostics.measuring.inside import (
    Inside,
    Noted,
    _look_at,
    _put_together,
    acted,
    encoded,
    features_at,
    inside_of,
    layers_of,
)
from toyshift.diagnostics.measuring.patching import patching_of
from toyshift.diagnostics.measuring.planted_networks import SIZE, network, scenes
from toyshift.diagnostics.measuring.probes import probes_of
from toyshift.diagnostics.measuring.steer import steer_of
from toyshift.diagnostics.sensitivity import SensitivityConfig
from toyshift.policies.act.torch_policy import TorchPolicy
from toyshift.policies.parts import POOLINGS

LAST = 6


class World:
    """Shows its state in the pixels: object, step, table and light; the target is a square."""

    task_description = "pick it up"

    def reset(self, seed: int, options: dict[str, Any]) -> None:
        self.look, self.object = options.get("look"), int(options["object"])
        self.state = np.array([float(self.object), 0.0])

    def advance(self, action: Any) -> tuple[float, bool, dict[str, Any]]:
        self.state = self.state + np.array([0.0, 1.0])
        return 0.0, False, {"is_success": self.state[1] >= LAST, "touched": self.state[1] >= 3}

    def sim_state(self) -> Any:
        return self.state

    def load_sim_state(self, object_id: str, state: Any) -> None:
        assert int(object_id) == state[0]
        self.state = state.copy()

    def set_look(self, look: Any) -> None:
        self.look = look

    def object_position(self) -> Any:
        return np.array([0.1 * self.state[0], -0.1, 0.02])

    def observe(self) -> dict[str, Any]:
        pixels = np.full((SIZE, SIZE, 3), 10, dtype=np.uint8)
        pixels[0, 0] = self.state[1], 20 * self.look.table, 100 * self.look.light
        mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
        mask[8:16, 8:16] = MASK_TARGET
        state = np.array([*self.state, 0.5], dtype=np.float32)
        return {"pixels": dict.fromkeys(("front", "wrist"), pixels), "masks": dict.fromkeys(("front", "wrist"), mask),
                "agent_pos": state}  # fmt: skip


class Expert:
    def reset(self, world: World, seed: int, episode: int) -> None:
        pass

    def actions(self, world: World) -> Any:
        return np.zeros((1, 1), dtype=np.float32)


def looked_at(policy: Any, expert: Any, ids: tuple[str, ...], config: SensitivityConfig) -> Inside:
    acting: Any = TorchPolicy("p", policy)
    opened: Any = acting, Noted(expert), World()
    return _put_together(acting, [_look_at(ids, config, opened, scene) for scene in range(config.scenes)], config)


def test_every_look_is_seen_under_every_change() -> None:
    config = SensitivityConfig(scenes=6, looks=3, factors={"table": (1, 2, 3), "light": (0.5, 1.6)})
    found = looked_at(network("mean"), Expert(), ("0", "1"), config)
    assert found.name == "p"
    assert found.factors == ("table", "light")
    assert found.scenes.tolist() == np.repeat(range(6), 3).tolist()
    assert found.looks.tolist() == [0, 1, 2] * 6
    object_of = np.array([int(name) for name in found.objects])
    assert set(object_of[::3].tolist()) == {0, 1}
    assert np.allclose(found.places, np.c_[0.1 * object_of, np.full(18, -0.1)])
    assert found.levels["table"].tolist() == np.repeat([1, 2, 3, 1, 2, 3], 3).tolist()
    assert found.levels["light"].tolist() == np.repeat([1, 2, 1, 2, 1, 2], 3).tolist()
    first = found.shown[""].images["front"][:, 0, 0]
    assert found.free.tolist() == (first[:, 0] < 3).tolist()
    assert not found.free.all()
    assert set(first[:, 1].tolist()) == {0}
    assert np.array_equal(found.again.images["front"], found.shown[""].images["front"])
    table, light = (found.shown[name].images["wrist"][:, 0, 0] for name in ("table", "light"))
    assert np.array_equal(table[:, 1], 20 * found.levels["table"])
    assert np.array_equal(table[:, 2], first[:, 2])
    assert np.array_equal(light[:, 2], np.where(found.levels["light"] == 1, 50, 160))
    assert np.array_equal(found.shown["table"].state, found.shown[""].state)
    assert np.array_equal(found.shown[""].state[:, 0], object_of)
    assert found.shown[""].instruction is None
    assert (found.shown[""].masks["front"] == MASK_TARGET).sum() == 18 * 64  # also where the network needs none


def test_what_the_expert_does_from_a_look_on_is_noted() -> None:
    """Its k-th action is (k, 2 k, 9): clipped to the contract, in the units of the policy, from each look on."""

    class Counting(Expert):
        def reset(self, world: World, seed: int, episode: int) -> None:
            self.count = 0

        def actions(self, world: World) -> Any:
            self.count += 1
            return np.array([[0.1 * self.count, 0.2 * self.count, 9.0]], dtype=np.float32)

    policy = network("mean")  # chunks of 2
    policy.normalise_action.std.copy_(torch.tensor([0.5, 1.0, 2.0]))
    config = SensitivityConfig(scenes=2, looks=3, factors={})
    found = looked_at(policy, Counting(), ("0",), config)
    assert found.right is not None
    right = found.right.reshape(2, 3, 2, 3)
    assert np.array_equal(right[0], right[1], equal_nan=True)
    assert np.allclose(right[0, 0], [[0.2, 0.2, 0.5], [0.4, 0.4, 0.5]])  # actions 1 and 2
    at = int(found.shown[""].state[1, 1])  # of the second look, how many came before
    assert np.allclose(right[0, 1, 0], [0.2 * (at + 1), 0.2 * (at + 1), 0.5])
    assert np.allclose(right[0, 2, 0], [1.2, 1.0, 0.5])  # the last one, the sixth
    assert np.isnan(right[0, 2, 1]).all()  # then the episode is over


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_parts_are_the_network(pooling: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches and parts change nothing: the actions are those of `predict`."""
    monkeypatch.setattr(inside, "BATCH", 7)
    policy = network(pooling)
    shown = scenes(policy, 5, 2).shown["table"]
    images, masks = ({c: torch.from_numpy(x) for c, x in views.items()} for views in (shown.images, shown.masks))
    with torch.inference_mode():
        right = policy.predict(images, masks, torch.from_numpy(shown.state)) / policy.normalise_action.std
    inner = encoded(policy, shown)
    assert np.allclose(acted(policy, inner), right.flatten(1), atol=1e-5)
    assert np.allclose(acted(policy, inner.take(np.array([3, 1]))), right.flatten(1)[[3, 1]], atol=1e-5)
    assert np.allclose(layers_of(policy, inner)["features"], features_at(policy, inner))
    target = inner.target["front"].reshape(-1, 4, 4).sum(dim=(1, 2))
    assert target.tolist() == [4] * 10  # a square of two by two patches, in crops too


def test_a_history_sees_every_look_first() -> None:
    policy = network("mean", policy_net="transformer-tiny", history=3)
    inner = encoded(policy, scenes(policy, 3, 1).shown[""])
    layers = layers_of(policy, inner)
    assert layers["history"].shape == (3, 192)
    with torch.inference_mode():
        right = policy.decide(features_at(policy, inner).unsqueeze(1), inner.state)
    assert np.allclose(acted(policy, inner), right.flatten(1))


def test_what_cannot_be_looked_into_is_undefined(tmp_path: Path) -> None:
    asked = Asked(policy="ws://localhost:1", objects="toys:test", scenes=2, looks=1, trials=0, camera="front", seed=0,
                  out=tmp_path)  # fmt: skip
    assert isinstance(inside_of(asked), str)
    for answer in (patching_of, probes_of, steer_of):
        (found,) = answer(asked).found
        assert found.verdict.startswith("undefined: the policy is behind a server")


def test_scenes_are_made_once_for_all_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def load_policy(policy: Path, device: str) -> Any:
        opened.append(policy)
        return SimpleNamespace(policy=object())

    monkeypatch.setattr(toyshift.policies, "load_policy", load_policy)
    monkeypatch.setattr(inside, "policy_fingerprint", lambda policy: "same")
    asked = Asked(policy=str(tmp_path), objects="toys:test", scenes=2, looks=1, trials=0, camera="front", seed=0,
                  out=tmp_path)  # fmt: skip
    assert "exported bundle" in str(inside_of(asked))
    assert inside_of(asked) == inside_of(dataclasses.replace(asked, out=tmp_path / "other"))
    assert opened == [tmp_path]
    inside_of(dataclasses.replace(asked, scenes=3))
    assert len(opened) == 2
