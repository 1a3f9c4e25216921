"""The interface gate from the command line, and before an evaluation."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from toyshift.core.errors import ConfigError
from toyshift.diagnostics.actors import RemoteActor
from toyshift.diagnostics.evaluation import EvaluateConfig
from toyshift.diagnostics.interface import asking
from toyshift.diagnostics.interface.asking import check_policy_interface, expert_frames
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv
from toyshift.scripts import cli, evaluate
from toyshift.toys import load_objects

TOYS = "toys:train?n=3"


@pytest.fixture(scope="module")
def world() -> Iterator[GraspEnv]:
    made = GraspEnv(EnvConfig(objects=TOYS, image_size=32))
    yield made
    made.close()


@pytest.fixture(scope="module")
def policy(world: GraspEnv, grasp_policy: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(grasp_policy(tmp_path_factory.mktemp("gate") / "mine", world))


class Counting:
    """A progress bar that is read.

    Attributes:
        made: of this name, with its total.
    """

    made: ClassVar[dict[str, Counting]] = {}

    def __init__(self, label: str, total: int, unit: str) -> None:
        self.total, self.done = total, 0
        self.made[label] = self

    def update(self, n: int = 1) -> None:
        self.done += n

    def __enter__(self) -> Counting:
        return self

    def __exit__(self, *_: object) -> None: ...


def test_the_experts_frames_are_what_it_saw_and_did(world: GraspEnv) -> None:
    frames = expert_frames(world, load_objects(TOYS).ids, 2, 4, seed=3)
    assert frames.actions.shape == (8, asking.STEPS, 7)
    assert np.diff(frames.episode).tolist() == [0, 0, 0, frames.episode[-1] - frames.episode[0], 0, 0, 0]
    low, high = (np.array(bound) for bound in (world.action_contract.low, world.action_contract.high))
    known = ~np.isnan(frames.actions)
    assert known[:, 0].all()  # in every state it did something
    assert not known[3, 1:].any()  # in the last of an episode nothing more
    assert ((frames.actions >= low) & (frames.actions <= high))[known].all()
    assert frames.observations[0]["task"]
    assert not np.array_equal(*(frames.observations[i]["pixels"]["front"] for i in (0, 2)))


def test_a_random_policy_is_unlike_the_expert(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "Progress", Counting)
    words = ["check-policy", policy, "--objects", TOYS, "--episodes", "3", "--looks", "2"]
    assert cli.main([*words, "--out", str(tmp_path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["sound"]
    assert told["verdict"].startswith("unlike the expert in every reading")
    kept = json.loads((tmp_path / "interface.json").read_text())
    assert (kept["signs"], kept["frames"]) == (told["signs"], 6)
    bar = Counting.made["answers of the policy"]
    assert (bar.done, bar.total) == (6 * 21, 6 * 21)  # as it is, and with each mistake that it would see taken back


def test_a_bar_counts_each_answer_of_a_server() -> None:
    bar, seen_by_then = Counting("server", 3, "state"), []

    class Server:
        name, pooling = "server", ""

        def act_apart(self, observations: Iterable[int]) -> list[list[list[int]]]:
            return [[[seen_by_then.append(bar.done) or one]] for one in observations]

    answers = asking.counted(RemoteActor(Server()), bar)([7, 8, 9])
    assert (answers.ravel().tolist(), seen_by_then, bar.done) == ([7, 8, 9], [0, 1, 2], 3)


def test_who_has_no_interface_is_refused() -> None:
    with pytest.raises(ConfigError, match="oracle has no interface to check"):
        check_policy_interface(EvaluateConfig("oracle", TOYS))


def test_an_evaluation_asks_once_and_warns(
    policy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    warnings.simplefilter("always")  # of both runs: equal ones of one place are told once a process
    asked = []

    def check(config: EvaluateConfig) -> object:
        asked.append(config)
        return check_policy_interface(config, 3, 1)

    monkeypatch.setattr(asking, "check_policy_interface", check)
    words = ["evaluate", "--policy", policy, "--objects", TOYS, "--trials", "1", "--max-steps", "2", "--workers", "1"]
    words += ["--out", str(tmp_path), "--no-references"]
    assert cli.main(words) == 0  # auto: a folder of ours is not asked
    assert asked == []
    for _ in range(2):
        assert cli.main([*words, "--interface", "check"]) == 0
    assert len(asked) == 1
    assert sum("unlike the expert in every reading" in str(one.message) for one in recwarn) == 2
    [report] = json.loads((tmp_path / "results.json").read_text())["interface"]
    assert not report["sound"]


def test_a_kept_answer_is_of_what_was_stated_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What actions mean is corrected in the file, or another set is asked: a warning of before is of something else."""
    asked = []

    class Sound:
        def to_json(self) -> dict[str, object]:
            return {"sound": True, "verdict": ""}

    def check(config: EvaluateConfig) -> Sound:
        asked.append((config.objects, config.remote.meaning()["actions"]["gripper_open"]))
        return Sound()

    monkeypatch.setattr(asking, "check_policy_interface", check)
    stated, server = tmp_path / "a.json", "ws://localhost:1"
    for objects, opened in (("toys:train", -1), ("toys:train", -1), ("toys:train", 1), ("ycb-like", 1)):
        stated.write_text(json.dumps({"mode": "eef_delta", "gripper_open": opened}))
        cfg = evaluate.Config(policy=(server,), objects=(objects,), remote_actions=str(stated), out=tmp_path)
        assert evaluate._check_interfaces(cfg, {server: "its metadata", "oracle": "oracle"}) == [Sound().to_json()]
    assert asked == [("toys:train", -1), ("toys:train", 1), ("ycb-like", 1)]
