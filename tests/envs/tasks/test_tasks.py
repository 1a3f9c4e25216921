"""Pick, GraspState, clutter: what lies on the table, what the instruction says, which object counts, and bad input for
every id.
"""

import dataclasses
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from toyshift.core.contract import MASK_OTHER, MASK_TARGET
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.core.files import write_json
from toyshift.core.proprioception import TARGET, names_of
from toyshift.core.seeds import episode_rng
from toyshift.data.collecting.collection import collect
from toyshift.data.collecting.config import CollectConfig
from toyshift.data.collecting.replay import replay
from toyshift.data.grasping.choose import make_expert
from toyshift.data.grasping.situation import Situation
from toyshift.data.grasping.top_down import TopDownConfig, search_top_down
from toyshift.data.store.dataset import open_dataset
from toyshift.envs import VARIANTS, EnvConfig, GraspEnv
from toyshift.envs.rotations import quat_to_matrix
from toyshift.envs.tasks.grasp import FREE_BODY_STATE, STATE_SPEC
from toyshift.envs.tasks.pick import phrase
from toyshift.envs.tasks.success import MAX_PENETRATION, REWARDS, Judge, depth
from toyshift.toys import Primitive, Toy, load_objects, toy_object

OBJECTS = "toys:train?n=40"
IDS = sorted(name for name in gym.registry if name.startswith("toyshift/"))
STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)


@pytest.fixture(scope="module")
def pick() -> Iterator[GraspEnv]:
    env = GraspEnv(EnvConfig(objects=OBJECTS, task="pick", image_size=64, cameras=("front",)))
    yield env
    env.close()


@pytest.fixture(scope="module")
def six() -> GraspEnv:
    return GraspEnv(EnvConfig(objects=OBJECTS, task="pick", clutter=5, cameras=()))


def places(env: GraspEnv) -> np.ndarray:
    return np.stack([env.object_pose()[0], *(position for _, position, _ in env.others())])  # (n, 3)


def put(env: GraspEnv, which: int, height: float) -> None:
    """Moves the which-th object (0 is the target) up [m]."""
    scene = env.scene
    qpos = scene.target.qpos if which == 0 else scene.beside[which - 1].qpos
    scene.data.qpos[qpos][2] += height


def touching(monkeypatch: pytest.MonkeyPatch, bodies: set[int]) -> None:
    """Lets the gripper touch the given bodies and nothing else, whatever the simulation says."""

    def contacts(scene: Any, mine: np.ndarray) -> tuple[bool, bool]:
        body = int(scene.model.geom_bodyid[np.flatnonzero(mine)[0]])
        return body in bodies, body not in bodies

    monkeypatch.setattr("toyshift.envs.tasks.success.contacts", contacts)


# ---------------------------------------------------------------- every id


def test_every_variant_is_registered_and_no_other() -> None:
    assert {f"toyshift/{name}" for name in VARIANTS} == set(IDS)
    assert {"toyshift/Grasp-v0", "toyshift/Pick-v0", "toyshift/GraspState-v0"} <= set(IDS)
    assert gym.spec("toyshift/Grasp-v0").kwargs == {}


@pytest.mark.parametrize("name", IDS)
def test_checker_and_info_of_every_id(name: str) -> None:
    env = gym.make(name, objects=OBJECTS, image_size=32, render_mode="rgb_array").unwrapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env)
    observation, info = env.reset(seed=0)
    assert set(info["predicates"]) == {"lifted", "held", "right_object", "not_penetrated", "stable"}
    assert set(info["reward_terms"]) == set(REWARDS[env.config.reward])
    assert info["objects"][0] == info["object_id"]
    assert len(set(info["objects"])) == len(info["objects"])
    low, high = env.config.others
    assert low + 1 <= len(info["objects"]) <= high + 1
    assert info["task"] == env.task_description
    assert not info["is_success"]
    privileged = names_of(TARGET) if "environment_state" in observation else ()
    assert env.observation_contract.environment_state_names == privileged
    env.close()


@pytest.mark.parametrize("name", IDS)
def test_bad_input_of_every_id(name: str) -> None:
    env = gym.make(name, objects=OBJECTS, cameras=()).unwrapped
    with pytest.raises(ConfigError, match=r"call reset\(\) first"):
        env.step(STILL)
    env.reset(seed=1)
    with pytest.raises(ConfigError, match=r"entry 1 \(dy\) is nan"):
        env.step(np.array([0, np.nan, 0, 0, 0, 0, 1], np.float32))
    with pytest.raises(ConfigError, match=r"shape \(6,\); eef_delta takes \(7,\)"):
        env.step(np.zeros(6, np.float32))
    with pytest.raises(ConfigError, match="no array of numbers"):
        env.step(np.array(["left"] * 7))
    clipped = env.step(np.full(7, 1e9))[0]["agent_pos"]
    env.reset(seed=1)
    np.testing.assert_array_equal(clipped, env.step(env.action_space.high)[0]["agent_pos"])
    env.scene.data.qvel[:] = 1e6
    observation, reward, terminated, _, info = env.step(STILL)
    assert terminated
    assert info["unstable"]
    assert not info["predicates"]["stable"]
    assert not info["is_success"]
    assert np.isfinite(reward)
    assert env.observation_space.contains(observation)
    with pytest.raises(ConfigError, match="is over"):
        env.step(STILL)
    with pytest.raises(UnknownNameError, match="camera-azimuth"):
        env.reset(options={"shift": "camera-azimut=1"})
    with pytest.raises(ConfigError, match=r"0 \(training\) to 5"):
        env.reset(options={"shift": "camera-azimuth=6"})
    with pytest.raises(UnknownNameError, match=r"0\.\.39"):
        env.reset(options={"object": 40})
    env.close()
    env.close()


@pytest.mark.parametrize("name", IDS)
def test_the_expert_succeeds_and_random_actions_fail(name: str) -> None:
    env = gym.make(name, objects=OBJECTS, cameras=()).unwrapped
    expert, wins, episode = make_expert(env), 0, 0
    while wins < 2 and episode < 5:  # two of at most five
        env.reset(seed=5, options={"episode": episode})
        expert.reset(5, episode)
        for _ in range(100):
            _, terminated, info = env.advance(expert.act())
            if terminated:
                break
        wins += info["is_success"]
        if info["is_success"]:
            assert all(info["predicates"].values())
            assert info["lifted_object"] == info["object_id"]
        episode += 1
    assert wins == 2
    env.reset(seed=5)
    rng = episode_rng(5, 0, "random-policy")
    for _ in range(100):
        _, _, info = env.advance(rng.uniform(env.action_contract.low, env.action_contract.high))
        assert not info["is_success"]


# ---------------------------------------------------------------- what lies on the table


def test_pick_has_two_to_six_objects_that_their_names_tell_apart(pick: GraspEnv) -> None:
    counts = set()
    for episode in range(16):
        _, info = pick.reset(seed=0, options={"episode": episode})
        objects = [pick.object, *(obj for obj, _, _ in pick.others())]
        names = [phrase(obj) for obj in objects]
        assert len(set(names)) == len(names)
        assert info["task"] == f"pick up the {names[0]}"
        assert info["objects"] == tuple(obj.id for obj in objects)
        counts.add(len(objects))
    assert counts == {2, 3, 4, 5, 6}


def test_phrases_name_colours_and_parts() -> None:
    ball, box = Primitive("sphere", (0.02,)), Primitive("cuboid", (0.02, 0.03, 0.04))
    assert phrase(toy_object(Toy((ball,), "red"), "x")) == "red toy made of a sphere"
    assert phrase(toy_object(Toy((box, ball, box), "blue"), "x")) == "blue toy made of a sphere and two cuboids"
    two = toy_object(Toy((ball, box), ("red", "orange")), "x")
    assert phrase(two) == "toy made of a red sphere and an orange cuboid"
    assert phrase(toy_object(Toy((ball,), "#102030"), "x")) == "toy made of a sphere"
    assert phrase(load_objects("ycb-like").by_id("006_mustard_bottle")) == "mustard bottle"


def test_no_object_overlaps_another_and_all_lie_still(six: GraspEnv) -> None:
    moved = []
    for episode in range(6):
        six.reset(seed=2, options={"episode": episode})
        bodies = six.scene.model.geom_bodyid[six.scene.data.contact.geom]
        # nothing but the table is touched
        assert not ((bodies[:, 0] > 0) & (bodies[:, 1] > 0) & (bodies[:, 0] != bodies[:, 1])).any()
        before = places(six)
        for _ in range(5):
            six.advance(STILL)
        moved.append(np.linalg.norm(places(six) - before, axis=1).max())
    assert np.median(moved) < 1e-3
    assert max(moved) < 5e-3  # what can roll has nothing but a valley to stop it


def test_in_pick_the_target_may_lie_anywhere_among_the_others(six: GraspEnv) -> None:
    """Exchangeable: the target is the nearest to the middle in a sixth of the episodes, not always."""
    nearest, spread = 0, []
    for episode in range(60):
        six.reset(seed=3, options={"episode": episode})
        distances = np.linalg.norm(places(six)[:, :2] - six.config.centre, axis=1)
        nearest += int(np.argmin(distances) == 0)
        spread.append(distances[0])
    assert 2 <= nearest <= 20  # binomial(60, 1/6): mean 10, five standard deviations are 14
    assert np.std(spread) > 0.04


def test_clutter_leaves_the_target_where_it_was() -> None:
    alone, among = (GraspEnv(EnvConfig(objects=OBJECTS, cameras=(), clutter=clutter)) for clutter in (0, 4))
    for episode in range(3):
        _, info = alone.reset(seed=4, options={"episode": episode})
        _, crowded = among.reset(seed=4, options={"episode": episode})
        assert info["task"] == crowded["task"]
        assert info["objects"] == crowded["objects"][:1]
        assert len(crowded["objects"]) == 5
        np.testing.assert_allclose(alone.object_position()[:2], among.object_position()[:2], atol=0.02)
        assert alone.model_hash() != among.model_hash()


def test_the_others_of_a_mesh_set_are_meshes_of_that_set() -> None:
    few: dict[str, Any] = {"objects": "robosuite?graspable=0.08", "task": "pick", "clutter": 3, "max_models": 2}
    env = GraspEnv(EnvConfig(image_size=64, cameras=("front",), **few))
    ids = set(env.objects.ids)
    for episode in range(3):
        observation, info = env.reset(seed=1, options={"episode": episode})
        assert set(info["objects"]) <= ids
        assert all(obj.visual is not None for obj, _, _ in env.others())
        assert {1, 2} <= set(np.unique(observation["masks"]["front"]))
    again, _ = env.reset(seed=1, options={"episode": 0})  # its scene has been dropped and is compiled again
    fresh, _ = GraspEnv(env.config).reset(seed=1, options={"episode": 0})
    np.testing.assert_array_equal(again["pixels"]["front"], fresh["pixels"]["front"])
    env.close()


def test_pick_composes_with_the_distractor_shift(pick: GraspEnv) -> None:
    _, plain = pick.reset(seed=6, options={"object": 3})
    before = places(pick)
    observation, info = pick.reset(seed=6, options={"object": 3, "shift": "distractors=3"})
    assert info["objects"][: len(plain["objects"])] == plain["objects"]
    assert len(info["objects"]) == len(plain["objects"]) + 3
    assert phrase(pick.object) not in [phrase(obj) for obj, _, _ in pick.others()]
    np.testing.assert_allclose(places(pick)[: len(before)], before, atol=1e-3)
    assert set(np.unique(observation["masks"]["front"])) == {0, 1, 2, 3}


def test_masks_tell_the_target_from_the_others(pick: GraspEnv) -> None:
    observation, _ = pick.reset(seed=7)
    extrinsics, intrinsics = pick.camera_pose("front")
    mask = observation["masks"]["front"]
    others = [position + rotation @ obj.com for obj, position, rotation in pick.others()]
    for label, position in ((MASK_TARGET, pick.object_position()), *((MASK_OTHER, place) for place in others)):
        u, v, depth = intrinsics @ (extrinsics @ np.append(position, 1.0))[:3]
        rows, columns = np.nonzero(mask == label)
        assert np.hypot(columns - u / depth, rows - v / depth).min() < 4


def test_a_stored_state_is_loaded_with_the_objects_that_lay_there(pick: GraspEnv) -> None:
    pick.reset(seed=8, options={"episode": 2})
    state, seen, others, key = pick.sim_state(), pick.observe(), pick.other_ids, pick.model_hash()
    target = pick.object.id
    pick.reset(seed=9)
    pick.load_sim_state(target, state, key, others)
    np.testing.assert_array_equal(pick.observe()["pixels"]["front"], seen["pixels"]["front"])


def test_states_have_one_length_however_many_objects_there_are(pick: GraspEnv) -> None:
    lengths, bodies = set(), set()
    for episode in range(6):
        pick.reset(seed=0, options={"episode": episode})
        size = mujoco.mj_stateSize(pick.scene.model, STATE_SPEC)
        lengths.add(len(pick.sim_state()))
        bodies.add((len(pick.other_ids), size))
        assert not pick.sim_state()[size:].any()
    assert len(lengths) == 1
    (few, small), (many, large) = min(bodies), max(bodies)
    assert large - small == (many - few) * FREE_BODY_STATE > 0
    assert lengths == {large + (5 - many) * FREE_BODY_STATE}


def test_demonstrations_of_pick_name_the_target_and_replay(tmp_path: Path) -> None:
    config = CollectConfig(
        OBJECTS, 3, tmp_path / "demos", workers=0, seed=1, task="pick", image_size=32, cameras=("front",),
    )
    collect(config, progress=False)
    dataset = open_dataset(config.out)
    assert all(re.fullmatch("pick up the [a-z]+ toy made of .+", dataset.meta(i)["task"]) for i in range(3))
    env = GraspEnv(dataclasses.replace(config.env_config(), cameras=()))
    for i in range(3):
        attempt = dataset.meta(i)["attempt"]
        env.reset(seed=1, options={"episode": attempt, "object": attempt % len(env.objects)})
        assert dataset.meta(i)["object_id"] == env.object.id
        assert tuple(dataset.meta(i)["others"]) == env.other_ids
    replayed = replay(dataset)
    assert replayed["again"] == 3
    assert replayed["max_drift"] == 0.0


# ---------------------------------------------------------------- which object counts


def test_another_object_that_is_lifted_is_told_and_does_not_count(
    six: GraspEnv, monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, info = six.reset(seed=10)
    scene, things, config = six.scene, six._setting.things, six.config
    judge = Judge(six._judge.start_low.copy())
    put(six, 2, 0.4)
    mujoco.mj_kinematics(scene.model, scene.data)
    touching(monkeypatch, {things[2].body})
    for _ in range(config.hold_steps):
        judge.judge(scene, things, config)
    assert not judge.predicates["right_object"]
    assert judge.lifted_object == info["objects"][2]
    assert not judge.success
    put(six, 0, 0.4)
    mujoco.mj_kinematics(scene.model, scene.data)
    touching(monkeypatch, {things[0].body, things[2].body})  # both at once
    for _ in range(config.hold_steps):
        judge.judge(scene, things, config)
    assert [name for name, holds in judge.predicates.items() if not holds] == ["right_object"]
    assert not judge.success
    touching(monkeypatch, {things[0].body})
    for _ in range(config.hold_steps):
        judge.judge(scene, things, config)
    assert all(judge.predicates.values())
    assert judge.lifted_object == info["objects"][0]
    assert judge.success


# ---------------------------------------------------------------- what is no grasp


def test_depth_is_that_of_the_deepest_contact_between_gripper_and_object() -> None:
    """Boxes with sides of 2 cm: the gripper's overlap the object by 7 and 3 mm, another object's by 9 mm."""
    box = '<geom type="box" size=".01 .01 .01"/>'
    bodies = [f'<body pos="{x} {y} 0"><freejoint/>{box}</body>' for x, y in ((0.013, 0), (-0.017, 0), (0, 0.011))]
    object_ = f'<body name="object"><freejoint/>{box}</body>'
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{object_}{''.join(bodies)}</worldbody></mujoco>")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    mine, gripper = np.array([True, False, False, False]), np.array([False, True, True, False])
    assert depth(data.contact, mine, gripper) == pytest.approx(0.007, abs=1e-6)
    assert depth(data.contact, mine, np.array([False, False, True, False])) == pytest.approx(0.003, abs=1e-6)
    assert depth(data.contact, mine, np.zeros(4, bool)) == 0.0


def test_a_hold_in_which_fingers_sink_in_is_no_success_but_the_next_one_may_be(
    six: GraspEnv, monkeypatch: pytest.MonkeyPatch,
) -> None:
    six.reset(seed=10)
    scene, things, config = six.scene, six._setting.things, six.config
    judge = Judge(six._judge.start_low.copy())
    put(six, 0, 0.4)
    mujoco.mj_kinematics(scene.model, scene.data)

    def hold(*depths: float) -> None:
        for found in depths:
            monkeypatch.setattr("toyshift.envs.tasks.success.depth", lambda *_, found=found: found)
            judge.judge(scene, things, config)

    touching(monkeypatch, {things[0].body})
    hold(0.006, *[0.001] * 2 * config.hold_steps)  # once is enough, while it is the same hold
    assert judge.predicates["lifted"]
    assert judge.predicates["held"]
    assert not judge.predicates["not_penetrated"]
    assert not judge.success
    touching(monkeypatch, set())
    hold(0.0)
    assert judge.predicates["not_penetrated"]
    touching(monkeypatch, {things[0].body})
    hold(*[MAX_PENETRATION] * config.hold_steps)
    assert judge.success
    assert judge.penetration == 0.006  # of the episode


@pytest.mark.parametrize(("density", "solid"), [(6.0, False), (1500.0, True)])
def test_fingers_sink_into_a_placeholder_of_1_g_and_not_into_247_g(tmp_path: Path, density: float, solid: bool) -> None:
    """A ball as wide as the marbles of the YCB table, put between the open fingers, which close."""
    single = {"counts": [1.0], "kinds": [1.0, 0.0, 0.0, 0.0], "sphere_radius": [0.034, 0.034]}
    write_json(tmp_path / "ball.json", single | {"density": [density, density]})
    env = GraspEnv(objects=f"toys:{tmp_path / 'ball.json'}?n=1", cameras=(), lift_height=0.1)
    env.reset(seed=0)
    qpos = env.scene.target.qpos
    for step in range(12):
        if step < 3:  # until the fingers have it
            env.scene.data.qpos[qpos][:3] = env.hand_pose()[0]
            env.scene.data.qvel[env.scene.target.qvel] = 0.0
        _, terminated, info = env.advance(np.array([0, 0, 0, 0, 0, 0, 0], np.float32))
        if terminated:
            break
    assert info["predicates"]["held"]
    assert info["predicates"]["lifted"]
    assert info["predicates"]["not_penetrated"] is solid
    assert info["is_success"] is solid
    assert (info["penetration"] < 0.003) if solid else (info["penetration"] > 0.008)


# ---------------------------------------------------------------- privileged state


def test_environment_state_is_where_the_object_is() -> None:
    env = GraspEnv(EnvConfig(objects=OBJECTS, cameras=(), environment_state=True))
    observation, _ = env.reset(seed=0)
    state = dict(zip(names_of(TARGET), observation["environment_state"], strict=True))
    assert len(state) == 12
    np.testing.assert_allclose(
        [state[f"object.d{axis}"] for axis in "xyz"], env.object_position() - env.hand_pose()[0], atol=1e-6,
    )
    rotation = quat_to_matrix(env.scene.data.qpos[env.scene.target.qpos][3:])
    np.testing.assert_allclose(
        [state[f"object.r{row}{column}"] for column in (1, 2) for row in (1, 2, 3)], rotation[:, :2].T.ravel(),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        [state[f"object.length_{axis}"] for axis in "xyz"], np.ptp(env.object.mesh.vertices, axis=0), atol=1e-6,
    )
    env.scene.data.qpos[env.scene.target.qpos][0] = 50.0  # thrown off the table
    mujoco.mj_forward(env.scene.model, env.scene.data)
    assert env.observation_space.contains(env.observe())


# ---------------------------------------------------------------- planning among others


def test_grasps_keep_clear_of_obstacles(six: GraspEnv) -> None:
    six.reset(seed=0)
    toy = toy_object(Toy((Primitive("cuboid", (0.03, 0.03, 0.03)),), "red"), "x")
    position, home = np.array([0.5, 0.0, 0.015]), six.commanded_pose()[1]
    place = toy, position, np.eye(3), position, six.robot.gripper, home, 0.0
    # beside it, in +y
    wall = np.array([[0.5 + x, 0.04, z] for x in np.linspace(-0.1, 0.1, 41) for z in np.linspace(0.0, 0.1, 11)])
    free = search_top_down(Situation(*place, np.random.default_rng(0)), TopDownConfig(points=800))
    clear = search_top_down(Situation(*place, np.random.default_rng(0), wall), TopDownConfig(points=800))
    assert {grasp.position.tobytes() for grasp in clear} < {grasp.position.tobytes() for grasp in free}
    half = six.robot.gripper.opening / 2
    for grasp in clear:  # no open finger reaches the wall
        assert half * abs(grasp.rotation[1, 0]) + abs(grasp.position[1]) < 0.04


# ---------------------------------------------------------------- bad configurations


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "picc"}, "Did you mean 'pick'"),
        ({"clutter": "6-2"}, "'6-2'"),
        ({"clutter": "many"}, "0 to 10"),
        ({"clutter": -1}, "-1"),
        ({"clutter": True}, "True"),
        ({"clutter": 11}, "0 to 10"),
        ({"task": "pick", "clutter": 0}, "at least 1 other"),
        ({"objects": "toys:train?n=3", "clutter": "1-3"}, "has 3 objects"),
    ],
)
def test_wrong_tasks_and_clutter_name_the_choices(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        GraspEnv(**({"objects": OBJECTS, "cameras": ()} | options))


def test_objects_that_no_name_tells_apart_are_refused() -> None:
    env = GraspEnv(EnvConfig(objects="ycb-like", task="pick", clutter=1, cameras=()))
    cups = [name for name in env.objects.ids if name.endswith("_cups")]
    assert len(cups) > 1
    assert {env.objects.by_id(name).name for name in cups[:2]} == {"cup"}
    for episode in range(4):
        _, info = env.reset(seed=episode, options={"object": cups[0]})
        assert not set(info["objects"][1:]) & set(cups)
