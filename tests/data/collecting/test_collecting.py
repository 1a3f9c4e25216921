"""Collection under shifts, with failures, with variety, on Ray, through kill -9 and on a full disk."""

import dataclasses
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.contract import ACTION, SIM_STATE, STATE
from toyshift.core.errors import ConfigError, FileError, MissingDependencyError, UnknownNameError
from toyshift.core.workers import ray_pool
from toyshift.data.collecting import collection, ledger, play
from toyshift.data.collecting.collection import collect
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.play import attempt, opened
from toyshift.data.collecting.replay import replay
from toyshift.data.collecting.variety import Variety
from toyshift.data.episode import episode_indices, write_episode
from toyshift.data.grasping.choose import jaws
from toyshift.data.grasping.expert import ExpertConfig, GraspExpert
from toyshift.data.store.dataset import open_dataset
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.success import MAX_PENETRATION

OBJECTS = "toys:train?n=6"
SMALL = CollectConfig(OBJECTS, 3, Path("unset"), workers=0, seed=3, image_size=32, cameras=("front",))


def config_of(out: Path, **changes: object) -> CollectConfig:
    return dataclasses.replace(SMALL, out=out, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "d"
    collect(config_of(out, episodes=6))
    return out


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shifted") / "d"
    collect(config_of(out, episodes=2, shift="object-mass=3, camera-azimuth=4"))
    return out


def test_shifts_are_stored_with_what_they_came_to(shifted: Path, plain: Path) -> None:
    dataset = open_dataset(shifted)
    for i in range(2):
        episode = dataset.episode(i)
        # the same attempt without the shift, kept whatever comes of it
        kept = config_of(plain, keep="failed")
        with opened(kept) as players:
            usual = attempt(kept, players, episode.meta["attempt"])[1]
        assert usual is not None
        factors = episode.meta["factors"]
        assert factors["shift"] == "camera-azimuth=4,object-mass=3"
        for name in ("camera-azimuth", "object-mass"):
            column = episode.frames[f"factor.{name}"]
            assert column.shape == (len(episode), 1)
            assert np.all(column == np.float32(factors[name]))
        assert abs(factors["camera-azimuth"]) == 36.0  # 4/5 of 45 degrees
        start, other = episode.frames, usual.frames
        np.testing.assert_array_equal(start[STATE][0], other[STATE][0])  # the same initial state
        assert (start["observation.images.front"][0] != other["observation.images.front"][0]).any()
        assert "shift" not in usual.meta["factors"]
    assert json.loads((shifted / "meta/info.json").read_text())["features"]["factor.object-mass"]["shape"] == [1]


def test_shifted_demonstrations_replay(shifted: Path) -> None:
    found = replay(open_dataset(shifted))
    assert (found["recorded"], found["again"]) == (2, 2)
    assert found["max_drift"] == 0.0


class Clumsy(GraspExpert):
    """Waits at home four times: for nothing, until the object falls from above, until the simulation blows up, and
    until the judge has seen fingers deep in the object.
    """

    PLANNED = ("missed", "dropped", "unstable", "penetrated")

    def reset(self, seed: int, episode: int) -> None:
        super().reset(seed, episode)
        self.fate, self.acted = self.PLANNED[episode] if episode < 4 else "", 0

    def act(self) -> np.ndarray:
        if not self.fate:
            return super().act()
        self.acted += 1
        data, scene = self.env.scene.data, self.env.scene
        if self.acted == 2 and self.fate == "dropped":
            data.qpos[scene.target.qpos][:3] += [0.1, 0.2, 0.12]  # up, and away from the hand
        if self.acted == 2 and self.fate == "unstable":
            data.qvel[:] = 1e6
        if self.fate == "penetrated":
            self.env._judge.penetration = 2 * MAX_PENETRATION
        return self.env.action_for(np.zeros(3), np.zeros(3), 1.0)


def test_failures_are_kept_on_request_and_change_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "make_expert", lambda env: Clumsy(env, jaws))
    hard = config_of(tmp_path / "all", episodes=2, keep="failed", seed=1)
    result = collect(hard)
    dataset = open_dataset(tmp_path / "all")
    outcomes = [dataset.meta(i)["success"] for i in range(dataset.num_episodes)]
    assert result["episodes"] == sum(outcomes) == 2
    failures = sum(n for cause, n in result["causes"].items() if cause != "no grasp found")
    assert result["failed"] == outcomes.count(False) == failures
    assert outcomes[-1]
    assert [dataset.meta(i).get("cause") for i in range(4)] == list(Clumsy.PLANNED)
    assert all(("cause" in dataset.meta(i)) is not ok for i, ok in enumerate(outcomes))
    collect(dataclasses.replace(hard, keep="successes", out=tmp_path / "good"))
    good = open_dataset(tmp_path / "good")
    assert [good.episode_digest(i) for i in range(2)] == [
        dataset.episode_digest(i) for i, ok in enumerate(outcomes) if ok
    ]


def test_a_wrong_choice_for_keep_and_a_wrong_shift_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="failed"):
        config_of(tmp_path, keep="all")
    with pytest.raises(UnknownNameError, match="camera-azimuth"):
        config_of(tmp_path, shift="camera-azimut=3")
    with pytest.raises(ConfigError, match="variety"):
        config_of(tmp_path, variety=1.5)


# ---------------------------------------------------------------- variety


def test_no_variety_changes_nothing_and_full_variety_keeps_to_its_ranges() -> None:
    usual, env = ExpertConfig(), EnvConfig(cameras=())
    assert Variety().expert(usual, np.random.default_rng(0)) == usual
    assert Variety().environment(env) == env
    drawn = [Variety(1.0).expert(usual, np.random.default_rng(i)) for i in range(60)]
    paces = np.array([d.speed / usual.speed for d in drawn])
    assert (paces >= 0.5).all()
    assert (paces <= 1.0).all()
    assert np.ptp(paces) > 0.4
    tilts = np.array([d.planner.tilts[0] for d in drawn])
    assert np.abs(tilts).max() <= 0.35
    assert min(tilts) < -0.2 < 0.2 < max(tilts)
    assert np.ptp([d.hover for d in drawn]) > 0.05
    half = np.array([Variety(0.5).expert(usual, np.random.default_rng(i)).planner.tilts[0] for i in range(60)])
    np.testing.assert_allclose(half, tilts / 2)


def test_varied_demonstrations_differ_from_each_other_and_are_the_same_again(tmp_path: Path) -> None:
    # whatever comes of them
    config = config_of(tmp_path, variety=1.0, disturb=False, objects="toys:train?n=1", keep="failed")
    with opened(config) as players:
        episodes = [attempt(config, players, i)[1] for i in range(4)]
        again = attempt(config, players, 2)[1]
    styles = [e.meta["factors"]["style"] for e in episodes if e is not None]
    assert len(styles) == 4
    assert len({s["speed"] for s in styles}) == len(styles)
    starts = np.array([e.frames[STATE][0, :7] for e in episodes if e is not None])
    assert starts.std(axis=0).max() > 0.03  # [rad]; 0.02 without variety
    assert again is not None
    assert episodes[2] is not None
    np.testing.assert_array_equal(again.frames[ACTION], episodes[2].frames[ACTION])


# ---------------------------------------------------------------- kills, workers, full disks


def start(out: Path) -> subprocess.Popen[bytes]:
    code = (
        "from pathlib import Path; from toyshift.data import CollectConfig, collect; "
        f"collect(CollectConfig({OBJECTS!r}, 6, Path({str(out)!r}), "
        "workers=2, seed=3, image_size=32, cameras=('front',)))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)


def until(true: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not true() and process.poll() is None:
        time.sleep(0.02)


def lines(out: Path) -> int:
    path = out / ledger.LEDGER
    return len(path.read_text().splitlines()) if path.exists() else 0


def children_of(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers_of(pid: int) -> list[int]:
    servers = [c for c in children_of(pid) if b"multiprocessing.forkserver" in Path(f"/proc/{c}/cmdline").read_bytes()]
    return [worker for server in servers for worker in children_of(server)]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for worker processes in Linux's /proc")
def test_kill_9_of_a_worker_and_of_the_parent_cost_only_what_was_in_flight(plain: Path, tmp_path: Path) -> None:
    out = tmp_path / "d"
    first = start(out)
    until(lambda: lines(out) >= 1, first)
    os.kill(workers_of(first.pid)[0], signal.SIGKILL)
    _, said = first.communicate()
    assert first.returncode != 0
    assert b"a worker process died" in said
    assert b"run the same command again" in said
    finished = lines(out)
    assert finished >= 1
    second = start(out)
    until(lambda: lines(out) > finished, second)
    second.kill()  # SIGKILL
    second.communicate()
    begun = (out / ledger.LEDGER).read_text()
    noted = [json.loads(line) for line in begun.splitlines(keepends=True) if line.endswith("\n")]
    assert len(noted) > finished
    assert {row["index"] for row in noted if row["stored"]} <= episode_indices(out)  # what was finished is whole
    assert collect(config_of(out, episodes=6))["content_hash"] == open_dataset(plain).content_hash()
    assert (out / ledger.LEDGER).read_text().startswith(begun[: begun.rindex("\n") + 1])  # and was not played again
    assert open_dataset(out).content_hash(recompute=True) == open_dataset(plain).content_hash()


def test_a_kill_just_before_the_end_plays_nothing_again(plain: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path / "d", episodes=2)
    whole = collect(config)
    facts = json.loads((config.out / collection.MARKER).read_text())
    # killed between the layout and the last note
    (config.out / collection.MARKER).write_text(json.dumps(facts | {"finished": None}))
    noted = (config.out / ledger.LEDGER).read_text()
    assert collect(config)["content_hash"] == whole["content_hash"]
    assert (config.out / ledger.LEDGER).read_text() == noted


def test_two_ray_workers_make_the_same_dataset(plain: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    result = collect(config_of(tmp_path / "d", episodes=6, workers=2, ray="local"))
    assert result["content_hash"] == open_dataset(plain).content_hash()


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "toyshift\[ray\]"'), ray_pool("local", 2):
        pass


# zipfile complains about the file it could not end
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_is_named_and_what_is_stored_stays(plain: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path / "d", episodes=6)
    config.out.mkdir()
    (config.out / collection.MARKER).write_text(json.dumps({"key": config.key, "finished": None}))
    first, second = (open_dataset(plain).meta(i)["attempt"] for i in range(2))
    with opened(config) as players, open(config.out / ledger.LEDGER, "w", encoding="utf-8") as file:
        for index in range(first + 1):
            done, episode = attempt(config, players, index)
            file.write(json.dumps(dataclasses.asdict(done)) + "\n")
            if episode is not None:
                write_episode(config.out, episode)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # the system refuses to write more into any file
    try:
        with pytest.raises(FileError, match=rf"episode-{second:06d}\.npz.*ulimit -f"):
            collect(config)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert episode_indices(config.out) == {first}
    assert not list(config.out.rglob("*.tmp*"))
    assert collect(config)["content_hash"] == open_dataset(plain).content_hash()
    assert len(open_dataset(config.out).episode(0).frames[SIM_STATE]) > 0


def test_a_full_disk_while_noting_an_attempt_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collection, "read_ledger", lambda out: {})  # /dev/full reads as zeros without end
    monkeypatch.setattr(ledger, "LEDGER", "../full")
    (tmp_path / "full").symlink_to("/dev/full")  # writing there fails with "No space left on device"
    with pytest.raises(FileError, match=r"No space left on device.*make room"):
        collect(config_of(tmp_path / "d"))
