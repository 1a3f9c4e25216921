"""Collection: only successes, the same dataset however the work is split or interrupted, recoveries, clear refusals."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from toyshift.core.contract import ACTION, SIM_STATE, STATE
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.seeds import episode_rng
from toyshift.data.collecting import collection
from toyshift.data.collecting.collection import MARKER, collect
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.disturbance import Disturbance, Disturber
from toyshift.data.collecting.ledger import LEDGER
from toyshift.data.collecting.play import attempt, opened
from toyshift.data.collecting.replay import environment_of
from toyshift.data.episode import write_episode
from toyshift.data.store.dataset import open_dataset
from toyshift.envs.cameras import Camera
from toyshift.envs.config import EnvConfig
from toyshift.envs.tasks.grasp import GraspEnv

OBJECTS = "toys:train?n=6"


def config_of(out: Path, **changes: object) -> CollectConfig:
    return dataclasses.replace(
        CollectConfig(OBJECTS, 3, out, workers=0, seed=3, image_size=32, cameras=("front",)), **changes
    )  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "whole"
    collect(config_of(out))
    return out


def test_the_dataset_holds_successes_with_everything_needed_to_render_them_again(dataset: Path) -> None:
    found = open_dataset(dataset)
    assert found.num_episodes == 3
    episode = found.episode(0)
    assert episode.meta["success"]
    assert {"seed", "object_id", "object_set", "grasp", "model_hash", "task"} <= set(episode.meta)
    for key in (STATE, ACTION, SIM_STATE, "camera.front.extrinsics", "masks.front"):
        assert len(episode.frames[key]) == len(episode)
    action = episode.frames[ACTION]
    assert np.all(action >= np.array(found.action_contract.low) - 1e-6)
    assert np.all(action <= np.array(found.action_contract.high) + 1e-6)


def test_there_are_no_more_workers_than_episodes_to_collect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def played(*given: object) -> list[object]:
        asked.append(given[2])  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(collection, "play", played)
    for workers in (0, 2, 999):
        with pytest.raises(KeyboardInterrupt):
            collect(config_of(tmp_path / str(workers), workers=workers))
    assert asked == [0, 2, 3]


def test_recorded_states_render_the_recorded_pictures(dataset: Path) -> None:
    found = open_dataset(dataset)
    episode = found.episode(1)
    env = GraspEnv(EnvConfig(objects=OBJECTS, image_size=32, cameras=("front",)))
    for t in (0, len(episode) // 2, len(episode) - 1):
        env.load_sim_state(episode.meta["object_id"], episode.frames[SIM_STATE][t], episode.meta["model_hash"])
        observation = env.observe()
        np.testing.assert_array_equal(observation["pixels"]["front"], episode.frames["observation.images.front"][t])
        np.testing.assert_array_equal(observation["masks"]["front"], episode.frames["masks.front"][t])
    env.close()


def test_an_interrupted_collection_ends_with_the_same_content(dataset: Path, tmp_path: Path) -> None:
    config = config_of(tmp_path / "killed")
    config.out.mkdir()
    # as older versions marked it
    (config.out / MARKER).write_text(json.dumps({"key": config.key, "config": {"out": "x"}, "finished": None}))
    with opened(config) as players:
        (done, first), (_, in_flight) = attempt(config, players, 0), attempt(config, players, 4)
    for episode in (first, in_flight):
        assert episode is not None
        write_episode(config.out, episode)
    (config.out / LEDGER).write_text(json.dumps(dataclasses.asdict(done)) + '\n{"index": 1, "succ')  # torn by the kill
    assert collect(config)["content_hash"] == open_dataset(dataset).content_hash()
    assert open_dataset(config.out).num_episodes == 3


def test_two_workers_make_the_same_dataset(dataset: Path, tmp_path: Path) -> None:
    result = collect(config_of(tmp_path / "two", workers=2))
    assert result["content_hash"] == open_dataset(dataset).content_hash()
    assert result["episodes"] == 3


def test_a_finished_folder_is_not_collected_again_and_another_configuration_is_refused(dataset: Path) -> None:
    before = (dataset / "meta" / "info.json").stat().st_mtime_ns
    assert collect(config_of(dataset))["episodes"] == 3
    assert (dataset / "meta" / "info.json").stat().st_mtime_ns == before
    with pytest.raises(ConfigError, match="another configuration"):
        collect(config_of(dataset, seed=4))


@pytest.mark.parametrize("keep", ["successes", "failed"])
def test_a_finished_dataset_is_extended_to_what_was_collected_at_once(tmp_path: Path, keep: str) -> None:
    small, out = {"image_size": 16, "keep": keep}, tmp_path / "grown"
    at_once = collect(config_of(tmp_path / "at once", episodes=4, **small))
    collect(config_of(out, episodes=2, **small))
    result = collect(config_of(out, episodes=4, **small))
    assert {k: v for k, v in result.items() if k not in ("out", "episodes_per_s")} == {
        k: v for k, v in at_once.items() if k not in ("out", "episodes_per_s")
    }
    assert open_dataset(out).content_hash(recompute=True) == at_once["content_hash"]
    with pytest.raises(ConfigError, match="holds 4 episodes, 2 were asked for; ask for as many or more"):
        collect(config_of(out, episodes=2, **small))
    # killed after the layout was written, before it was noted: no fewer are there than were asked for
    marker = json.loads((out / MARKER).read_text())
    (out / MARKER).write_text(json.dumps(marker | {"finished": None}))
    with pytest.raises(ConfigError, match="holds 4 episodes, 2 were asked for"):
        collect(config_of(out, episodes=2, **small))
    assert collect(config_of(out, episodes=4, **small))["content_hash"] == at_once["content_hash"]


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(ConfigError, match="not empty"):
        collect(config_of(tmp_path))


def test_disturbances_push_only_while_approaching_and_stay_within_the_contract() -> None:
    env = GraspEnv(EnvConfig(objects=OBJECTS, cameras=()))
    contract = env.action_contract
    clean = np.zeros(7, np.float32)
    strong = Disturbance(jitter=0.0, push_rate=1.0, push_speed=1.0, start_turn=0.0)
    disturber = Disturber(strong, contract, episode_rng(0, 0, "disturbance"))
    np.testing.assert_array_equal(disturber(clean, approaching=False), clean)
    pushed = disturber(clean, approaching=True)
    assert np.abs(pushed[:3]).max() > 0.01
    assert np.all(pushed <= np.array(contract.high, np.float32))
    assert np.all(pushed >= np.array(contract.low, np.float32))
    np.testing.assert_array_equal(clean, np.zeros(7))


def test_a_demonstration_begins_with_a_turn_of_its_own_that_the_clean_action_knows_nothing_of() -> None:
    contract = GraspEnv(EnvConfig(objects=OBJECTS, cameras=())).action_contract
    clean = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 0.1, 1.0], np.float32)
    disturbance = Disturbance(jitter=0.0, push_rate=0.0)
    turns = []
    for episode in range(40):
        disturber = Disturber(disturbance, contract, episode_rng(0, episode, "disturbance"))
        executed = np.array([disturber(clean, approaching=True) for _ in range(disturbance.start_steps + 2)])
        turns.append(executed[: disturbance.start_steps, 5].sum())
        np.testing.assert_array_equal(executed[disturbance.start_steps :], [clean, clean])
    assert max(np.abs(turns)) <= disturbance.start_turn + 1e-6
    assert min(turns) < -0.5 * disturbance.start_turn
    assert max(turns) > 0.5 * disturbance.start_turn


@pytest.mark.parametrize("changes", [{"episodes": 0}, {"workers": -1}, {"grasp_search": "6dof", "robot": "inspire"}])
def test_nonsense_is_refused(changes: dict, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        config_of(tmp_path, **changes)
    with pytest.raises(UnknownNameError, match="6dof, auto, top-down"):
        config_of(tmp_path, grasp_search="best")


def test_another_grasp_search_makes_another_dataset(dataset: Path, tmp_path: Path) -> None:
    collect(config_of(tmp_path / "six", grasp_search="6dof"))
    usual, other = open_dataset(dataset), open_dataset(tmp_path / "six")
    assert usual.content_hash() != other.content_hash()
    # as first planned
    grasps = [[ds.meta(i)["grasp"] for i in range(3) if ds.meta(i)["attempts"] == 1] for ds in (usual, other)]
    upright = [[abs(grasp["rotation"][2][2]) for grasp in found] for found in grasps]
    assert min(upright[0]) > 1 - 1e-5  # straight down
    assert min(upright[1]) < 1 - 1e-5
    with pytest.raises(ConfigError, match=r"another configuration \(grasp_search: 'top-down' now, 'auto' there\)"):
        collect(config_of(dataset, grasp_search="top-down"))


def test_cameras_of_any_pose_and_size_are_recorded(tmp_path: Path) -> None:
    side = Camera("side", position=(0.5, -0.7, 0.4), look_at=(0.5, 0.0, 0.1), size=(24, 40))
    result = collect(dataclasses.replace(config_of(tmp_path / "demos"), episodes=1, cameras=("front", side)))
    assert result["episodes"] == 1
    dataset = open_dataset(tmp_path / "demos")
    assert dict(dataset.observation_contract.cameras) == {"front": (32, 32), "side": (24, 40)}
    frames = dataset.episode(0).frames
    assert frames["observation.images.side"].shape[1:] == (24, 40, 3)
    np.testing.assert_allclose(
        frames["camera.side.intrinsics"][0],
        [[12 / np.tan(np.radians(22.5)), 0, 20], [0, 12 / np.tan(np.radians(22.5)), 12], [0, 0, 1]], rtol=1e-6,
    )
    assert dataset.manifest["config"]["cameras"][1]["position"] == [0.5, -0.7, 0.4]
    # its built-in cameras can be rendered again
    env = environment_of(dataset)
    assert env.config.image_sizes == {"front": (32, 32)}
    env.close()


def test_keys_are_those_of_older_versions(tmp_path: Path) -> None:
    """Keys that the version before the option `planner` was called `grasp_search` gave."""
    assert config_of(tmp_path).key == "e1fecb973f66fe72"
    assert config_of(tmp_path, grasp_search="6dof").key == "4dd2eeff24d78d66"
