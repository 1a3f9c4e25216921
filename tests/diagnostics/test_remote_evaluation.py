"""Evaluation of a policy behind a server: rows like any other's, kept when it dies, gone on with when it is back."""

from __future__ import annotations

import dataclasses
import json
import threading
from typing import Any

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, ContractError, RemoteError
from toyshift.diagnostics.actors import EnvSpec, policy_fingerprint
from toyshift.diagnostics.evaluation import EvaluateConfig, evaluate, run_key
from toyshift.policies.remote.options import RemoteOptions
from toyshift.policies.remote.server import PolicyServer
from toyshift.scripts.evaluate import Config, row_names

pytest.importorskip("msgpack")
pytest.importorskip("websockets")


class Hand:
    """Moves down; fails at the answer whose number is `last`."""

    def __init__(self, last: int = 10**9) -> None:
        self.last, self.answers, self.prompts = last, 0, []

    def reset(self) -> None: ...

    def infer(self, observation: dict[str, Any]) -> dict[str, Any]:
        assert set(observation) == {"state", "prompt"}
        self.answers += 1
        if self.answers > self.last:
            raise ContractError("the hand is tired")
        self.prompts.append(observation["prompt"])
        return {"actions": np.tile(np.array([0, 0, -0.02, 0, 0, 0, 1], np.float32), (6, 1))}


class Server:
    def __init__(self, hand: Hand, port: int = 0) -> None:
        self._server = PolicyServer(lambda: hand, {"model": "hand"}, port=port)
        self.port = self._server.port
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()


@pytest.fixture
def options(tmp_path) -> RemoteOptions:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"state": {"state": ["eef.x", "eef.z"]}}))
    return RemoteOptions(str(keys), "eef_delta", execute=4, timeout=20)


def config_of(port: int, options: RemoteOptions, trials: int) -> EvaluateConfig:
    env = EnvSpec({"cameras": ()})
    url = f"ws://127.0.0.1:{port}"
    return EvaluateConfig(url, "toys:train?n=3", trials, max_steps=8, env=env, name="hand", remote=options)


def test_rows_survive_the_death_of_the_server_and_are_not_played_again(tmp_path, options):
    hand = Hand(last=5)  # two answers an episode: it fails in the third one
    with Server(hand) as server:
        port, config = server.port, config_of(server.port, options, 4)
        told = rf"127.0.0.1:{port} answered with an error: ContractError: the hand is tired"
        with pytest.raises(RemoteError, match=told):
            evaluate(config, tmp_path / "rows.parquet", workers=0, progress=False)
    with pytest.raises(RemoteError, match=r"no policy server answers at 127.0.0.1.*the same command goes on"):
        evaluate(config, tmp_path / "rows.parquet", workers=0, progress=False)
    fresh = Hand()
    with Server(fresh, port):
        rows = evaluate(config, tmp_path / "rows.parquet", workers=0, progress=False)
        assert fresh.answers == 4  # episodes 2 and 3 only
        whole = evaluate(config, tmp_path / "again.parquet", workers=0, progress=False)
    assert [r.episode for r in rows] == [0, 1, 2, 3]
    assert [dataclasses.replace(r, wall_s=0) for r in rows] == [dataclasses.replace(r, wall_s=0) for r in whole]
    assert {(r.policy, r.steps, r.success) for r in rows} == {("hand", 8, False)}
    assert all(prompt.startswith("pick up the") for prompt in fresh.prompts)


def test_rows_know_what_was_said_about_the_policy(options):
    with Server(Hand()) as server:
        config = config_of(server.port, options, 1)
        key = run_key(config, "f")
        assert run_key(config, "f") == key
        for changed in (dataclasses.replace(options, execute=2), dataclasses.replace(options, actions="joint_delta")):
            assert run_key(dataclasses.replace(config, remote=changed), "f") != key
        assert run_key(dataclasses.replace(config, remote=dataclasses.replace(options, timeout=7)), "f") == key
        with pytest.raises(ConfigError, match="does not say what its actions mean"):
            policy_fingerprint(config.policy)
    plain = EvaluateConfig("random", "toys:train?n=3")
    assert run_key(plain, "f") == run_key(dataclasses.replace(plain, remote=options), "f")


def test_a_policy_of_another_size_ends_the_evaluation_with_its_shape(tmp_path, options):
    hand = Hand()
    hand.infer = lambda observation: {"actions": np.zeros((6, 8), np.float32)}  # type: ignore[method-assign]
    with Server(hand) as server, pytest.raises(ContractError, match=r"shape \(6, 8\)"):
        evaluate(config_of(server.port, options, 2), tmp_path / "rows.parquet", workers=0, progress=False)


def test_names_in_tables_and_options(tmp_path):
    assert row_names(["ws://localhost:8000", f"lerobot:{tmp_path}/act", "oracle"]) == {
        "ws://localhost:8000": "localhost:8000", f"lerobot:{tmp_path}/act": "act", "oracle": "oracle",
    }  # fmt: skip
    config = Config(policy=("ws://a:1",), remote_keys="libero", remote_execute=3)
    assert config.remote == RemoteOptions("libero", "", 3)
    with pytest.raises(ConfigError, match="--remote-timeout must be"):
        Config(policy=("ws://a:1",), remote_timeout=0)
