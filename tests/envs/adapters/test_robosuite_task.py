"""ToyGrasp in robosuite: the same objects, their controllers and wrappers, the same episode for the same seed."""

import subprocess
import sys

import numpy as np
import pytest

from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.envs.rotations import quat_to_matrix

pytest.importorskip("mink", reason='robosuite\'s Python is an extra: pip install "toyshift[robosuite]"')

import robosuite
from robosuite.utils.placement_samplers import UniformRandomSampler

from toyshift.envs.adapters.robosuite_task import ToyGrasp

TOYS = "toys:train?n=20"
STATE_ONLY = {"has_renderer": False, "has_offscreen_renderer": False, "use_camera_obs": False}


def make(robots="Panda", **options):
    return robosuite.make("ToyGrasp", robots=robots, **{"objects": TOYS, "seed": 0, **STATE_ONLY, **options})


@pytest.fixture(scope="module")
def panda():
    env = make(reward_shaping=True)
    yield env
    env.close()


def play(env, seed, object_id=None):
    env.root_seed, env.episode = seed, -1
    env.set_ep_meta({} if object_id is None else {"object_id": object_id})
    return env.reset()


def narrowest(env):
    """Returns direction (rad) and middle (3,) of the object's narrowest horizontal width."""
    body = env.sim.model.body_name2id(env.toy.root_body)
    points = env.toy.hull @ env.sim.data.body_xmat[body].reshape(3, 3).T + env.sim.data.body_xpos[body]
    angles = np.linspace(0, np.pi, 90, endpoint=False)
    across = np.stack([np.cos(angles), np.sin(angles)])  # (2, 90)
    best = int(np.argmin(np.ptp(points[:, :2] @ across, axis=0)))
    direction = across[:, best]
    centre = np.array(env.sim.data.xipos[body])
    along = points[:, :2] @ direction
    centre[:2] += direction * ((along.max() + along.min()) / 2 - centre[:2] @ direction)
    centre[2] = max(points[:, 2].min() + 0.012, points[:, 2].max() - 0.03)
    return angles[best], centre


def scripted_lift(env):
    """Above the object, down, close, up, with robosuite's default OSC controller; returns the last step."""
    (site,) = env.robots[0].eef_site_id.values()
    yaw, centre = narrowest(env)
    for up, gripper, steps in ((0.12, -1, 30), (0.0, -1, 25), (0.0, 1, 10), (0.4, 1, 45)):
        for _ in range(steps):
            rotation = env.sim.data.site_xmat[site].reshape(3, 3)
            turn = (yaw - np.arctan2(rotation[1, 0], rotation[0, 0]) + np.pi / 2) % np.pi - np.pi / 2
            action = np.zeros(7)
            action[:3] = np.clip((centre + np.array([0, 0, up]) - env.sim.data.site_xpos[site]) / 0.05, -1, 1)
            action[5], action[6] = np.clip(turn / 0.5, -1, 1), gripper
            last = env.step(action)
    return last


def test_importing_the_environments_does_not_import_robosuite():
    code = "import sys, toyshift.envs, toyshift.envs.tasks.grasp; sys.exit('robosuite' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_scripted_lift_succeeds_and_waiting_does_not(panda):
    for seed in range(1, 7):  # as far as the first that it lifts
        play(panda, seed)
        _, reward, done, info = scripted_lift(panda)
        assert not done  # robosuite's episodes end at the horizon
        if info["is_success"]:
            break
    assert info["is_success"]
    assert panda._check_success()
    assert info["lift_height"] > 0.3
    assert info["predicates"] == {"lifted": True, "held": True, "not_penetrated": True, "stable": True}
    assert 0.95 < reward <= 1.0
    play(panda, 1)
    for _ in range(110):
        _, reward, _, info = panda.step(np.zeros(7))
    assert not info["is_success"]
    assert abs(info["lift_height"]) < 0.002
    assert 0 < reward < 0.1


def test_ur5e_steps():
    env = make("UR5e", objects="toys:train?n=2")
    first = env.reset()
    low, high = env.action_spec
    assert low.shape == (7,)
    for _ in range(5):
        observation, reward, *_ = env.step(high)
    assert reward == 0.0  # without shaping only success pays
    assert np.abs(observation["robot0_eef_pos"] - first["robot0_eef_pos"]).max() > 0.005
    assert all(np.isfinite(value).all() for value in observation.values())
    env.close()


@pytest.mark.parametrize(("objects", "object_id"), [(TOYS, None), ("robosuite", "can")])
def test_body_is_the_object(objects, object_id):
    env = make(objects=objects)
    for seed in range(3):
        play(env, seed, object_id)
        obj, model = env.object, env.sim.model._model
        body = model.body(env.toy.root_body)
        axes = quat_to_matrix(body.iquat)
        assert body.mass == obj.mass
        np.testing.assert_array_equal(body.ipos, obj.com)
        np.testing.assert_allclose(
            axes @ np.diag(body.inertia) @ axes.T, obj.inertia, rtol=0, atol=1e-12 * obj.inertia.max(),
        )
        touching = [i for i in range(model.ngeom) if model.geom_bodyid[i] == body.id and model.geom_contype[i]]
        assert len(touching) == len(obj.geoms) + len(obj.parts)
        np.testing.assert_allclose(model.geom_friction[touching], np.tile(obj.friction, (len(touching), 1)))
        assert env.height() == pytest.approx(0.001, abs=1e-9)  # lies in a rest pose
        for _ in range(10):
            env.step(np.zeros(7))
        assert abs(env.height()) < 0.002
    env.close()


def test_same_seed_same_episodes_whatever_was_played_before(panda):
    twin = make(reward_shaping=True, seed=7)
    ids = []
    for episode in range(4):
        expected = twin.reset()
        panda.root_seed, panda.episode = 7, episode - 1
        panda.set_ep_meta({})
        found = panda.reset()
        assert panda.object.id == twin.object.id
        for _ in range(3):
            action = np.full(7, 0.3)
            expected, found = twin.step(action)[0], panda.step(action)[0]
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(value, found[key], err_msg=key)
        ids.append(twin.object.id)
    assert len(set(ids)) > 1
    other = play(panda, 8)
    assert not np.array_equal(other["toy_pos"], play(panda, 7)["toy_pos"])
    twin.close()


def test_observables(panda):
    observation = play(panda, 3)
    np.testing.assert_allclose(
        observation["gripper_to_toy_pos"], observation["toy_pos"] - observation["robot0_eef_pos"],
    )
    assert observation["object-state"].shape == (10,)
    x, y, z, w = observation["toy_quat"]
    matrix = panda.sim.data.body_xmat[panda.sim.model.body_name2id("toy_main")].reshape(3, 3)
    np.testing.assert_allclose(quat_to_matrix(np.array([w, x, y, z])), matrix, atol=1e-6)
    assert abs(observation["toy_pos"][:2]).max() < 0.1


def test_a_simulation_that_blows_up_is_reported_and_never_succeeds(panda, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its warning to a file
    play(panda, 2)
    panda.sim.data.qvel[-6:] = 1e12
    for _ in range(2):
        observation, reward, _, info = panda.step(np.zeros(7))
        assert info["unstable"]
        assert not info["predicates"]["stable"]
        assert all(np.isfinite(value).all() for value in observation.values())
        assert np.isfinite(reward)
    play(panda, 2)
    assert not panda.step(np.zeros(7))[3]["unstable"]


def test_episode_metadata_brings_the_object_back(panda):
    play(panda, 5)
    meta = panda.get_ep_meta()
    assert meta["lang"] == f"pick up the {panda.object.name}"
    stored, state = panda.sim.model.get_xml(), panda.sim.get_state().flatten()
    play(panda, 6)
    panda.set_ep_meta(meta)
    panda.reset()
    assert panda.object.id == meta["object_id"]
    panda.reset_from_xml_string(stored)  # what robosuite's and robomimic's play-back do
    panda.sim.set_state_from_flattened(state)
    panda.sim.forward()
    assert panda.height() == pytest.approx(0.001, abs=1e-9)


def test_own_placement_and_soft_reset():
    sampler = UniformRandomSampler(
        "mine", x_range=(0.1, 0.1), y_range=(-0.2, -0.2), rotation=0.0, ensure_object_boundary_in_range=False,
        reference_pos=(0, 0, 0.8), z_offset=0.02,
    )
    env = make(hard_reset=False, placement_initializer=sampler)
    first = None
    for _ in range(2):
        env.reset()
        first = first or env.object.id
        assert env.object.id == first  # the model stays
        assert env.height() == pytest.approx(0.02, abs=1e-9)
        np.testing.assert_allclose(
            env.sim.data.xipos[env.sim.model.body_name2id("toy_main")][:2], [0.1, -0.2], atol=1e-9,
        )
    env.close()


def test_a_small_picture_shows_the_object():
    env = make(
        has_offscreen_renderer=True, use_camera_obs=True, camera_heights=64, camera_widths=64,
        camera_segmentations="instance",
    )
    observation = env.reset()
    assert observation["agentview_image"].shape == (64, 64, 3)
    assert np.ptp(observation["agentview_image"].astype(int)) > 50
    label = list(env.model.instances_to_ids).index("toy") + 1
    assert 4 <= (observation["agentview_segmentation_instance"] == label).sum() < 400
    env.close()


@pytest.mark.filterwarnings("ignore:.*precision lowered:UserWarning")  # GymWrapper's own action bounds
def test_gym_wrapper(panda):
    pytest.importorskip("h5py")  # robosuite.wrappers imports it without asking for it
    from robosuite.wrappers import GymWrapper

    gym = GymWrapper(panda)
    observation, _ = gym.reset()
    assert gym.observation_space.contains(observation.astype(np.float32))
    _, _, terminated, truncated, info = gym.step(gym.action_space.sample())
    assert not terminated
    assert not truncated
    assert not info["is_success"]


def test_domain_randomisation():
    pytest.importorskip("h5py")  # robosuite.wrappers imports it without asking for it
    from robosuite.wrappers import DomainRandomizationWrapper

    env = make(has_offscreen_renderer=True)
    # colours need an older MuJoCo, in Lift too
    randomised = DomainRandomizationWrapper(env, seed=1, randomize_color=False)
    randomised.reset()
    assert np.isfinite(randomised.step(np.zeros(7))[1])
    env.close()


def test_bad_arguments():
    with pytest.raises(ConfigError, match="one robot"):
        make(["Panda", "Panda"])
    with pytest.raises(ConfigError, match="hold_steps=0"):
        ToyGrasp("Panda", hold_steps=0)
    with pytest.raises(UnknownNameError, match="object source"):
        make(objects="tyos")
