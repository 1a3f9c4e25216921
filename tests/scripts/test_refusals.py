"""A refused command takes its --out over in nothing: no folder, no marker, no lock; corrected, it works there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from toyshift.core import workers
from toyshift.core.errors import MissingDependencyError
from toyshift.data import CollectConfig, collect, open_dataset
from toyshift.data.collecting import collection
from toyshift.scripts import cli

OBJECTS = "toys:train?n=2"
COLLECT = ["collect", "--objects", OBJECTS, "--episodes", "1", "--image-size", "32", "--workers", "1"]
EVALUATE = ["evaluate", "--policy", "random", "--objects", OBJECTS, "--trials", "1", "--max-steps", "1"]


@contextlib.contextmanager
def no_processes(count: int) -> Iterator[workers.Pool]:
    """A pool that works in this process, which has imported everything."""

    def submit(function: Callable[..., Any], *args: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)
        return future

    try:
        yield workers.Pool(submit, count, (RuntimeError,))
    finally:
        workers._leave_session()


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "worker_pool", no_processes)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("demos") / "demos"
    collect(CollectConfig(OBJECTS, 2, out, workers=0, image_size=32))
    return out


def check_refused(words: list[str], out: Path, culprit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2, words
    assert culprit in capsys.readouterr().err
    assert not out.exists(), sorted(out.rglob("*"))


def test_collect(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    for wrong, culprit in {
        ("--objects", "toyz"): "'toyz'", ("--shift", "camera-azimuth=9"): "from 0", ("--robot", "pandaa"): "'panda'",
        ("--clutter", "5"): "has 2 objects", ("--beginner", "nowhere"): "nowhere",
    }.items():  # fmt: skip
        check_refused([*COLLECT, *wrong, "--out", str(out)], out, culprit, capsys)

    def no_gl() -> str:
        raise MissingDependencyError("no EGL device")

    with monkeypatch.context() as patch:
        patch.setattr(collection, "gl_renderer_name", no_gl)
        check_refused([*COLLECT, "--out", str(out)], out, "no EGL device", capsys)
        planted = ["--m", "2", "--diversity", "0.5", "--disparity", "0.8", "--correlation", "1", "--episodes", "2"]
        words = ["data", "fragment", *planted, "--objects", OBJECTS, "--out", str(out)]
        check_refused(words, out, "no EGL device", capsys)
    assert cli.main([*COLLECT, "--out", str(out)]) == 0
    assert open_dataset(out).num_episodes == 1


def test_a_typing_error_is_named_before_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    for typo in (["--objcts", "X"], ["--objcts=X"], ["--objcts"]):
        assert cli.main(["collect", *typo]) == 2
        said = capsys.readouterr().err
        assert "Did you mean '--objects'?" in said
        assert "needs --out" not in said


def test_train_and_export(
    demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, bundle = tmp_path / "out", tmp_path / "bundle"
    sizes = ["--steps", "2", "--batch-size", "4", "--out", str(out)]
    for wrong, culprit in {
        ("--data", "nowhere"): "nowhere", ("--data", str(demos), "--cameras", "sid"): "'sid'",
        ("--data", str(demos), "--init-from", "nowhere"): "nowhere",
        ("--data", str(demos), "--act", "best", "--validation", "0"): "held-out",
    }.items():  # fmt: skip
        check_refused(["train", *wrong, *sizes], out, culprit, capsys)
    check_refused(["export", str(out), "--out", str(bundle)], bundle, str(out), capsys)
    assert cli.main(["train", "--data", str(demos), *sizes]) == 0
    assert not list(out.glob("*.lock"))
    with monkeypatch.context() as patch:
        patch.setattr("toyshift.policies.act.bundle._write_onnx", full_disk)
        check_refused(["export", str(out), "--out", str(bundle)], bundle, f"{bundle}: No space left", capsys)
    assert cli.main(["export", str(out), "--out", str(bundle)]) == 0


def full_disk(*_: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("words", "right"), [
    (["toys", "stats", "toys:FILE?n=1"], "{}"),
    (["evaluate", "--policy", "ws://localhost:1", "--remote-keys", "FILE"], None),  # no server answers there
])
def test_a_broken_file_of_ones_own_is_corrected_and_not_made_again(
    words: list[str], right: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.json"
    file.write_text('{"x": ')
    words = [word.replace("FILE", str(file)) for word in words]
    assert cli.main(words) == 2
    said = capsys.readouterr().err
    assert f"{file} is not valid JSON" in said
    assert said.endswith("correct it there\n")
    if right is not None:
        file.write_text(right)
        assert cli.main(words) == 0


def test_train_rl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("stable_baselines3")
    out = tmp_path / "out"
    for wrong, culprit in {("--objects", "toyz"): "'toyz'", ("--controls", "foo"): "'foo'"}.items():
        check_refused(["train-rl", *wrong, "--out", str(out)], out, culprit, capsys)


def test_evaluate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    for wrong, culprit in {
        ("--objects", "toyz"): "'toyz'", ("--shift", "camera-azimuth=9"): "from 0", ("--clutter", "5"): "has 2 objects",
        ("--policy", "nowhere"): "nowhere", ("--masks", "foo"): "'foo'",
    }.items():  # fmt: skip
        check_refused([*EVALUATE, *wrong, "--out", str(out)], out, culprit, capsys)
    assert cli.main([*EVALUATE, "--no-references", "--out", str(out)]) == 0


def test_augment(demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(demos, source)
    words = ["augment", "viewpoint", str(source), str(out), "--azimuth", "-5", "5", "--workers", "1"]
    info = source / "meta" / "info.json"
    before = info.read_text()
    info.write_text(json.dumps(json.loads(before) | {"robot_type": "ur5e"}))  # as if recorded with another robot
    check_refused(words, out, "another robot", capsys)
    info.write_text(before)
    assert cli.main(words) == 0


def damaged(demos: Path, place: Path) -> Path:
    """A copy of which the second of two episodes cannot be read."""
    shutil.copytree(demos, place)
    file = next((place / "data").rglob("*.parquet"))
    whole = file.read_bytes()
    file.write_bytes(whole[: int(0.9 * len(whole))])
    return place


def test_convert_merge_and_repair(demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = damaged(demos, tmp_path / "source"), tmp_path / "out"
    merge = ["data", "mix", "--merge", "--out", str(out), str(demos)]
    check_refused([*merge, str(source)], out, "episode 1", capsys)
    assert cli.main([*merge, str(demos)]) == 0
    shutil.rmtree(out)
    convert = ["data", "convert", str(source), str(out), "--to", "lerobot"]
    assert cli.main(convert) == 2
    assert cli.main([*convert, "--skip-damaged"]) == 0  # in the same folder: it goes on
    assert open_dataset(out).num_episodes == 1
    assert cli.main(convert) == 2  # and what is missing there stays said
    shutil.rmtree(out)
    shutil.rmtree(source / "data")
    check_refused([*convert, "--skip-damaged"], out, "none of its 2 episodes", capsys)
    check_refused(["data", "check", str(source), "--repair", str(out)], out, "nothing is left", capsys)


@pytest.mark.parametrize(("words", "culprit"), [
    (["toys", "show", "toyz"], "'toyz'"), (["toys", "view", "toyz"], "'toyz'"), (["toys", "print", "toyz"], "'toyz'"),
    (["toys", "grasps", "toyz"], "'toyz'"), (["envs", "hub", "--env", "toyshift/Nope-v0"], "Nope"),
    (["envs", "play", "--robot", "foo"], "'foo'"), (["data", "mix", "nowhere"], "nowhere"),
    (["data", "view", "nowhere"], "nowhere"), (["report", "nowhere"], "nowhere"),
    (["diagnose", "--policy", "nowhere"], "nowhere"), (["run", "quickstart", "--ycb", "nowhere"], "nowhere"),
    (["study", "recipe", "--ycb", "nowhere", "--allow-dirty", "--results", "results"], "nowhere"),
    (["study", "mask-iou", "--policy", "nowhere", "--allow-dirty", "--results", "results"], "nowhere"),
    (["study", "shifts", "--policy", "nowhere", "--allow-dirty", "--results", "results"], "nowhere"),
], ids=lambda words: " ".join(words[:2]) if isinstance(words, list) else "")  # fmt: skip
def test_the_others(
    words: list[str], culprit: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / {"play": "out.mp4", "view": "out.html", "mix": "out.json"}.get(words[1], "out")
    check_refused([*words, "--out", str(out)], out, culprit, capsys)
    assert not list(tmp_path.iterdir())
