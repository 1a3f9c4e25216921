"""The same (seed, episode) gives the same bytes: alone, threaded, sync, async, in any order, and from a snapshot."""

import contextlib
import itertools
import multiprocessing
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from toyshift.core.choices import PURPOSES
from toyshift.core.errors import ContractError, UnknownNameError
from toyshift.envs import EnvConfig, GraspEnv, Look, ToyGraspVectorEnv
from toyshift.envs.tasks import placing
from toyshift.envs.tasks.placing import come_to_rest
from toyshift.envs.tasks.snapshot import restore, save

OPTIONS: dict[str, Any] = {"objects": "toys:train?n=6", "cameras": ("front", "wrist"), "image_size": 32}
SEEDS, EPISODES, STEPS = (0, 1, 2, 3, 4), 4, 2
PAIRS = [(seed, episode) for seed in SEEDS for episode in range(EPISODES)]  # 20
Recording = dict[tuple[int, int], list[bytes]]


def packed(observation: dict[str, Any]) -> bytes:
    arrays = [observation[kind][camera] for kind in ("pixels", "masks") for camera in OPTIONS["cameras"]]
    return b"".join(np.ascontiguousarray(array).tobytes() for array in (*arrays, observation["agent_pos"]))


def action(seed: int, episode: int, step: int) -> np.ndarray:
    rng = np.random.default_rng([seed, episode, step])
    return rng.uniform([-0.05] * 3 + [-0.3] * 3 + [0], [0.05] * 3 + [0.3] * 3 + [1]).astype(np.float32)


def play(env: GraspEnv, seed: int, episode: int) -> list[bytes]:
    observation, _ = env.reset(seed=seed, options={"episode": episode})
    return [packed(observation), *(packed(env.step(action(seed, episode, step))[0]) for step in range(STEPS))]


def row(batch: dict[str, Any], i: int) -> dict[str, Any]:
    return {key: row(value, i) if isinstance(value, dict) else value[i] for key, value in batch.items()}


def record(envs: Any, seed: Any, recording: Recording) -> None:
    """Plays with autoreset SAME_STEP until every environment has played the first EPISODES episodes, or more."""
    batch, infos = envs.reset(seed=seed)
    frames = {
        (s, e): [packed(row(batch, i))] for i, (s, e) in enumerate(zip(infos["seed"], infos["episode"], strict=True))
    }
    while min(infos["episode"]) < EPISODES:
        playing = [(int(s), int(e)) for s, e in zip(infos["seed"], infos["episode"], strict=True)]
        actions = np.stack([action(*pair, len(frames[pair]) - 1) for pair in playing])
        batch, _, _, truncated, infos = envs.step(actions)
        for i, pair in enumerate(playing):
            if truncated[i]:
                frames[pair].append(packed(infos["final_obs"][i]))
                frames[int(infos["seed"][i]), int(infos["episode"][i])] = [packed(row(batch, i))]
            else:
                frames[pair].append(packed(row(batch, i)))
    recording.update({pair: played for pair, played in frames.items() if len(played) == STEPS + 1})


@pytest.fixture(scope="module")
def alone() -> Iterator[GraspEnv]:
    env = GraspEnv(EnvConfig(**OPTIONS))
    yield env
    env.close()


@pytest.fixture(scope="module")
def expected(alone: GraspEnv) -> Recording:
    """Every pair in an order of its own: what was played before changes nothing."""
    shuffled = [PAIRS[i] for i in np.random.default_rng(0).permutation(len(PAIRS))]
    return {pair: play(alone, *pair) for pair in shuffled}


def assert_same(recording: Recording, expected: Recording) -> None:
    wrong = [pair for pair in PAIRS if recording.get(pair) != expected[pair]]
    assert not wrong, f"(seed, episode) that differ or were not played: {wrong}"


def test_episodes_differ_from_each_other(expected: Recording) -> None:
    frames = [frame for played in expected.values() for frame in played]
    assert len(set(frames)) == len(frames) == len(PAIRS) * (STEPS + 1)


@pytest.mark.parametrize(("num_envs", "threads"), [(1, 1), (3, 2), (8, 3)])
def test_threaded_plays_the_same(num_envs: int, threads: int, expected: Recording) -> None:
    """One root seed: environment j plays j, j + N, ...; between them they play every episode of it."""
    envs = ToyGraspVectorEnv(num_envs, STEPS, threads=threads, autoreset_mode=AutoresetMode.SAME_STEP, **OPTIONS)
    recording: Recording = {}
    for seed in reversed(SEEDS):
        record(envs, seed, recording)
    envs.close()
    assert_same(recording, expected)


@pytest.mark.parametrize(("mode", "num_envs"), [("vector_entry_point", 3), ("sync", 8), ("async", 3)])
def test_seed_lists_play_the_same(mode: str, num_envs: int, expected: Recording) -> None:
    """A seed per environment: each plays the episodes 0, 1, 2, ... of its own."""
    kwargs: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}
    if mode == "async":
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["toyshift.envs.tasks.grasp"])
        kwargs["context"] = "forkserver"
    kwargs = kwargs if mode == "vector_entry_point" else {"vector_kwargs": kwargs}
    envs = gym.make_vec("toyshift/Grasp-v0", num_envs, mode, max_episode_steps=STEPS, **OPTIONS, **kwargs)
    recording: Recording = {}
    for start in range(0, len(SEEDS), num_envs):
        record(envs, list(range(start, start + num_envs)), recording)
    envs.close()
    assert_same(recording, expected)


def test_an_explicit_episode_per_environment_plays_the_same(expected: Recording) -> None:
    envs = ToyGraspVectorEnv(4, **OPTIONS)
    for start in range(0, len(PAIRS), 4):
        pairs = PAIRS[start : start + 4][::-1]
        batch, _ = envs.reset(seed=[seed for seed, _ in pairs], options={"episode": [episode for _, episode in pairs]})
        for i, pair in enumerate(pairs):
            assert packed(row(batch, i)) == expected[pair][0]
    envs.close()


def test_nothing_of_an_episode_is_left_after_reset(alone: GraspEnv) -> None:
    """Warm start, controls, activations, forces, time: the whole integration state is that of a new environment."""
    fresh = GraspEnv(EnvConfig(**(OPTIONS | {"cameras": ()})))
    fresh.reset(seed=3, options={"episode": 2})
    alone.reset(seed=9)
    for _ in range(3):
        alone.step(alone.action_space.sample())
    alone.scene.data.xfrc_applied[:] = 1.0
    alone.scene.data.qfrc_applied[:] = 1.0
    alone.reset(seed=3, options={"episode": 2})
    np.testing.assert_array_equal(alone.sim_state(), fresh.sim_state())
    assert alone.scene.data.warning.number.sum() == 0


PICK: dict[str, Any] = {"objects": "toys:train?n=20", "task": "pick"}


@pytest.mark.parametrize("task", [PICK, {"objects": "ycb-like", "clutter": "1-2"}])
def test_several_objects_play_the_same_threaded_and_in_any_order(task: dict[str, Any]) -> None:
    pairs = PAIRS[:6]
    alone = GraspEnv(EnvConfig(**(OPTIONS | task)))
    recording = {pair: play(alone, *pair) for pair in reversed(pairs)}
    alone.close()
    envs = ToyGraspVectorEnv(3, threads=2, **(OPTIONS | task))
    for start in range(0, len(pairs), 3):
        chosen = pairs[start : start + 3]
        batch, infos = envs.reset(
            seed=[seed for seed, _ in chosen], options={"episode": [episode for _, episode in chosen]},
        )
        assert all(len(ids) > 1 for ids in infos["objects"])
        frames = [[packed(row(batch, i))] for i in range(3)]
        for step in range(STEPS):
            batch = envs.step(np.stack([action(*pair, step) for pair in chosen]))[0]
            for i in range(3):
                frames[i].append(packed(row(batch, i)))
        assert frames == [recording[pair] for pair in chosen]
    envs.close()


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ({}, {}),
        ({}, {"look": Look(table=1, azimuth=10.0)}),
        ({}, {"shift": "action-latency=3,action-noise=2,distractors=2,image-noise=3,object-size=2"}),
        (PICK, {"shift": "distractors=1"}),
    ],
)
def test_a_snapshot_goes_on_as_the_episode_did(task: dict[str, Any], options: dict[str, Any]) -> None:
    alone, other = GraspEnv(EnvConfig(**(OPTIONS | task))), GraspEnv(EnvConfig(**(OPTIONS | task)))
    alone.reset(seed=5, options={"episode": 1, **options})
    for step in range(3):
        alone.step(action(5, 1, step))
    snapshot = save(alone)
    seen = packed(alone.observe())
    first = [alone.step(action(5, 1, step)) for step in range(3, 6)]
    for env in (alone, other):  # the same environment after something else, and one that never played the episode
        env.reset(seed=6)
        env.step(action(6, 0, 0))
        restore(env, snapshot)
        assert packed(env.observe()) == seen
        again = [env.step(action(5, 1, step)) for step in range(3, 6)]
        for a, b in zip(first, again, strict=True):
            assert packed(a[0]) == packed(b[0])
            assert a[1:] == b[1:]
    alone.close()
    other.close()


def test_a_snapshot_of_another_scene_is_refused(alone: GraspEnv) -> None:
    alone.reset(seed=5)
    snapshot = save(alone)
    other = GraspEnv(EnvConfig(**(OPTIONS | {"cameras": (), "physics_dt": 0.002})))
    with pytest.raises(ContractError, match="another model"):
        restore(other, snapshot)


def test_the_same_episode_of_another_purpose_starts_elsewhere(alone: GraspEnv, expected: Recording) -> None:
    starts: dict[str, dict[tuple[int, int], tuple[float, ...]]] = {purpose: {} for purpose in PURPOSES}
    for purpose, (seed, episode) in itertools.product(PURPOSES, PAIRS):
        _, info = alone.reset(seed=seed, options={"episode": episode, "purpose": purpose})
        assert info["purpose"] == purpose
        starts[purpose][seed, episode] = tuple(np.round(alone.object_pose()[0], 9))
    places = [place for found in starts.values() for place in found.values()]
    assert len(set(places)) == len(places) == len(PURPOSES) * len(PAIRS)
    config = EnvConfig(**OPTIONS, purpose="test")
    with contextlib.closing(GraspEnv(config)) as env:  # the configuration's, where reset names none
        env.reset(seed=PAIRS[0][0], options={"episode": PAIRS[0][1]})
        assert tuple(np.round(env.object_pose()[0], 9)) == starts["test"][PAIRS[0]]
    with pytest.raises(UnknownNameError, match="purpose"):
        alone.reset(seed=0, options={"purpose": "training"})


@pytest.mark.parametrize("options", [{"task": "pick"}, {"clutter": 3}])
def test_what_settles_together_settles_once_for_all_shifts_of_a_start_that_do_not_touch_it(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(env: GraspEnv, episode: int, shift: str) -> bytes:
        env.reset(seed=0, options={"episode": episode, "shift": shift, "observe": False})
        return env.sim_state().tobytes()

    settled = []
    monkeypatch.setattr(placing, "come_to_rest", lambda *a: (settled.append(1), come_to_rest(*a))[1])
    config = EnvConfig(objects="toys:train?n=6", cameras=(), **options)
    asked = [
        (episode, shift)
        for episode in (0, 1)
        for shift in ("", "light-intensity=4", "table-texture=5", "object-colour=2", "mask-jitter=3", "object-mass=5",
                      "object-pose=5", "robot-start=2", "distractors=2", "")
    ]  # fmt: skip
    env = GraspEnv(config)
    shared = [start(env, *one) for one in asked]
    env.close()
    assert len(settled) == 2 * 4  # once for the looks and the arm, anew for mass, places and what lies besides
    for one, state in zip(asked, shared, strict=True):
        fresh = GraspEnv(config)
        assert start(fresh, *one) == state, one
        fresh.close()
    assert len(set(shared)) >= 2 * 4


def test_a_reset_that_renders_nothing_starts_the_same_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    env = GraspEnv(EnvConfig(**OPTIONS))
    observation, info = env.reset(seed=3, options={"episode": 2})
    with monkeypatch.context() as patch:
        patch.setattr(GraspEnv, "renderer", lambda _: pytest.fail("something was rendered"))
        nothing, same = env.reset(seed=3, options={"episode": 2, "observe": False})
    assert nothing == {}
    assert same == info
    assert packed(env.observe()) == packed(observation)
    env.close()
