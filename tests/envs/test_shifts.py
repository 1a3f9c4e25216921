"""Shifts: text and values, each factor at every level, what it changes and what it leaves alone, noise, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from toyshift.core.contract import ActionContract
from toyshift.core.errors import ConfigError, UnknownNameError
from toyshift.envs import EnvConfig, GraspEnv, Look
from toyshift.envs.shift_table import LEVELS, SHIFT_FACTORS
from toyshift.envs.shifted.action_noise import ActionChannel
from toyshift.envs.shifted.image_noise import noisy_image
from toyshift.envs.shifted.varied_object import varied_object
from toyshift.envs.shifts import TRAINING, Shift, Shifts, Variation
from toyshift.envs.tasks.placing import check_cameras

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "shifts.md"

OBJECTS = "toys:train?n=6"
SEED = 3
NAMES = tuple(SHIFT_FACTORS)
# what a factor may change of a first observation: "p"ixels, "m"asks, robot "s"tate, "o"bject's place; "" nothing
CHANGES = {
    "camera": "pm", "light": "p", "table": "p", "background": "p", "distractors": "pm", "object-colour": "p",
    "object-texture": "p", "object-size": "pmo", "object-mass": "", "object-friction": "", "object-pose": "pmo",
    "robot-start": "pms", "robot-colour": "p", "image": "p", "action": "", "mask": "m",
    "mask-gap": "",  # in this episode it begins after the first image
}  # fmt: skip


def changes(factor: str) -> str:
    return CHANGES.get(factor, CHANGES.get(factor.split("-")[0], "?"))


@pytest.fixture(scope="module")
def env() -> Any:
    made = GraspEnv(EnvConfig(objects=OBJECTS, image_size=48, cameras=("front",)))
    yield made
    made.close()


@pytest.fixture(scope="module")
def plain(env: GraspEnv) -> dict[str, Any]:
    return first(env, "")


def first(env: GraspEnv, shift: str, **options: Any) -> dict[str, Any]:
    """What the first observation of an episode shows, as arrays."""
    observation, info = env.reset(seed=SEED, options={"episode": 1, "shift": shift} | options)
    state = {"p": observation["pixels"]["front"], "m": observation["masks"]["front"], "s": observation["agent_pos"]}
    return state | {
        "o": np.concatenate([env.object_pose()[0], env.object_pose()[1].ravel()]), "info": info,
        "mass": env.scene.model.body_mass[env.scene.target.body],
    }


def stream(seed: int = 0) -> Any:
    return lambda name: np.random.default_rng([seed, *name.encode()])


# ---------------------------------------------------------------- values and text


def test_text_and_value_are_the_same_thing() -> None:
    shifts = Shifts.parse(" light-intensity=2 , camera-azimuth=3")
    assert str(shifts) == "camera-azimuth=3,light-intensity=2"  # the table's order, whatever was typed
    assert Shifts.parse(str(shifts)) == shifts == Shifts.parse("camera-azimuth=3") + Shift("light-intensity", 2)
    assert Shifts.parse("") == Shifts()
    assert str(Shifts()) == ""
    everything = Shifts(tuple(Shift(name, 1 + i % LEVELS) for i, name in enumerate(NAMES)))
    assert Shifts.parse(str(everything)) == everything


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("camera-azimut=3", "Did you mean 'camera-azimuth'"),
        ("object-mass=6", "0 .training. to 5"),
        ("object-mass=-1", "0 .training. to 5"),
        ("object-mass=2.5", "whole number"),
        ("object-mass", "object-mass=LEVEL"),
        ("object-mass=1,object-mass=2", "twice"),
    ],
)
def test_wrong_text_names_the_nearest_or_the_range(env: GraspEnv, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EnvConfig(shift=text)
    with pytest.raises(ValueError, match=message):
        env.reset(options={"shift": text})


def test_what_is_no_text_is_refused(env: GraspEnv) -> None:
    with pytest.raises(ConfigError, match="camera-azimuth=3"):
        env.reset(options={"shift": 3})


@pytest.mark.parametrize("name", NAMES)
def test_levels_go_in_equal_steps_from_training_to_one_end(name: str) -> None:
    factor = SHIFT_FACTORS[name]
    ends = set()
    for seed in range(12):
        values = [Shifts((Shift(name, level),)).draw(stream(seed))[name] for level in range(LEVELS + 1)]
        assert values[0] == factor.start
        np.testing.assert_allclose(np.diff(values), (values[-1] - values[0]) / LEVELS, rtol=1e-9)
        assert values[-1] != values[0]
        ends.add(values[-1])
    assert ends == set(factor.ends)
    assert factor.source


def test_a_factor_draws_the_same_alone_and_together() -> None:
    together = Shifts(tuple(Shift(name, 3) for name in NAMES)).draw(stream())
    for name in NAMES:
        alone = Shifts((Shift(name, 3),)).draw(stream())
        assert alone.values == {name: together[name]}
        assert alone.draws == {name: together.draws[name]}
    assert TRAINING["object-mass"] == 1.0
    assert "object-mass" not in TRAINING


def test_every_row_names_functions_that_apply_it_and_their_order() -> None:
    for row in SHIFT_FACTORS.values():
        assert row.apply
        for when in row.apply:
            assert row.function(when).__module__.startswith("toyshift.envs.shifted.")
    everything = Variation({name: row.ends[0] for name, row in SHIFT_FACTORS.items()})
    order = {when: [drawn.factor for _, drawn in everything.at(when)] for when in ("object", "image", "mask", "action")}
    assert order == {
        "object": ["object-size", "object-mass", "object-friction"],
        "image": ["image-blur", "image-noise", "image-jpeg"],  # optics, sensor, encoder
        "mask": [
            "mask-wrong", "mask-jitter", "mask-outline", "mask-offset", "mask-erosion", "mask-dilation", "mask-dropout",
            "mask-gap",
        ],
        "action": ["action-latency", "action-noise"],
    }
    assert not TRAINING.at("image")


# ---------------------------------------------------------------- episodes


@pytest.mark.parametrize("name", NAMES)
def test_level_5_changes_what_it_should_and_level_0_nothing(env: GraspEnv, plain: dict[str, Any], name: str) -> None:
    shifted = first(env, f"{name}=5")
    assert shifted["info"]["shift"] == f"{name}=5"
    assert shifted["info"]["shift_values"] == {name: env.variation[name]}
    for key in "pmso":
        same = np.array_equal(shifted[key], plain[key]) if key != "o" else np.allclose(
            shifted[key], plain[key], atol=2e-4,
        )
        assert same == (key not in changes(name)), (name, key)
    assert (shifted["mass"] == plain["mass"]) == (name != "object-mass")
    zero = first(env, f"{name}=0")
    for key in "pmso":
        np.testing.assert_array_equal(zero[key], plain[key])
    assert zero["info"]["shift_values"] == {}


def test_shifts_of_how_things_look_or_are_sensed_change_nothing_of_what_happens(env: GraspEnv) -> None:
    seen = ",".join(
        f"{name}=4" for name in NAMES if not set(changes(name)) & set("so") and changes(name) and name != "distractors"
    )
    action = np.array([0.02, 0.01, -0.03, 0, 0, 0.1, 0.4], np.float32)
    paths = []
    for shift in ("", seen):
        env.reset(seed=SEED, options={"episode": 1, "shift": shift})
        for _ in range(4):
            env.advance(action)
        paths.append(env.sim_state())
    np.testing.assert_array_equal(paths[0], paths[1])


def test_the_same_seed_and_episode_give_the_same_shifted_episode(env: GraspEnv) -> None:
    shift = "table-texture=3,distractors=2,image-noise=2,mask-jitter=4,action-noise=3,robot-start=2"
    action = np.array([0.02, 0, -0.03, 0, 0, 0, 1], np.float32)

    def play(episode: int) -> list[Any]:
        env.reset(seed=SEED, options={"episode": episode, "shift": shift})
        seen = [env.step(action)[0] for _ in range(2)]
        return [seen[-1]["pixels"]["front"], seen[-1]["masks"]["front"], env.sim_state()]

    once = play(2)
    other = play(4)
    again = play(2)
    for a, b, c in zip(once, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_observing_twice_shows_the_same_noise_and_every_step_another(env: GraspEnv) -> None:
    env.reset(seed=SEED, options={"shift": "image-noise=3"})
    once, again = (env.observe()["pixels"]["front"] for _ in range(2))
    np.testing.assert_array_equal(once, again)
    still = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    assert not np.array_equal(once, env.step(still)[0]["pixels"]["front"])


def test_the_configuration_shifts_every_episode_that_says_nothing_else() -> None:
    made = GraspEnv(objects=OBJECTS, cameras=(), shift="object-mass=5")
    _, info = made.reset(seed=SEED)
    assert info["shift"] == "object-mass=5"
    assert made.object.mass == pytest.approx(made.objects.by_id(made.object.id).mass * made.variation["object-mass"])
    assert made.reset(options={"shift": ""})[1]["shift"] == ""
    assert made.object.mass == made.objects.by_id(made.object.id).mass


def test_a_look_and_a_shift_add_up(env: GraspEnv) -> None:
    first(env, "camera-azimuth=2", look=Look(azimuth=10.0))
    turned = env.variation["camera-azimuth"]
    shifted = env.camera_pose("front")[0]
    env.reset(seed=SEED, options={"episode": 1, "look": Look(azimuth=10.0 + turned)})
    np.testing.assert_allclose(env.camera_pose("front")[0], shifted, atol=1e-9)


def test_field_of_view_and_distance_are_in_the_cameras_matrices(env: GraspEnv) -> None:
    _, intrinsics = env.camera_pose("front")
    first(env, "camera-fov=5,camera-distance=5")
    far, wide = env.camera_pose("front")
    half = np.radians(40 + env.variation["camera-fov"]) / 2
    assert wide[0, 0] == pytest.approx(24 / np.tan(half))
    assert wide[0, 0] != intrinsics[0, 0]
    target = np.array([0.5, 0.0, 0.05, 1.0])
    assert (far @ target)[2] == pytest.approx(0.8 * env.variation["camera-distance"])


# ---------------------------------------------------------------- objects


def test_size_mass_and_friction_are_apart(env: GraspEnv) -> None:
    obj = env.objects[0]
    large = varied_object(obj, Variation({"object-size": 1.5}))
    assert large.mass == obj.mass
    assert large.mesh.volume == pytest.approx(1.5**3 * obj.mesh.volume)
    assert large.width == pytest.approx(1.5 * obj.width)
    np.testing.assert_allclose(large.inertia, 2.25 * obj.inertia)
    heavy = varied_object(obj, Variation({"object-mass": 3.0}))
    assert heavy.mass == 3 * obj.mass
    assert heavy.mesh is obj.mesh
    np.testing.assert_allclose(heavy.inertia, 3 * obj.inertia)
    assert varied_object(obj, TRAINING) is obj


def test_a_slippery_object_slides_further(env: GraspEnv) -> None:
    still = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    reach = []
    for level in (0, 3, 5):
        first(env, f"object-friction={level}")
        env.scene.data.qvel[env.scene.target.qvel][1] = 0.8
        begin = env.object_position()
        for _ in range(8):
            env.advance(still)
        reach.append(np.linalg.norm(env.object_position() - begin))
    assert reach[0] < reach[1] < reach[2]


def test_distractors_are_other_objects_beside_the_target(env: GraspEnv, plain: dict[str, Any]) -> None:
    training_hash = (first(env, ""), env.model_hash())[1]
    places: list[Any] = []
    for level in (2, 5):
        shown = first(env, f"distractors={level}")
        assert set(np.unique(shown["m"])) == {0, 1, 2, 3}
        np.testing.assert_array_equal(shown["s"], plain["s"])
        assert len(env.scene.distractors) == level
        assert env.model_hash() != training_hash
        places.append([env.scene.data.qpos[slots.qpos].copy() for slots in env.scene.distractors])
        touching = env.scene.data.contact.geom
        bodies = env.scene.model.geom_bodyid[touching]
        # nothing but the table is touched
        assert not ((bodies[:, 0] > 0) & (bodies[:, 1] > 0) & (bodies[:, 0] != bodies[:, 1])).any()
    np.testing.assert_array_equal(places[0], places[1][:2])  # more distractors leave the first ones where they were
    first(env, "")
    assert env.model_hash() == training_hash
    assert len(env.scene.distractors) == 0


# ---------------------------------------------------------------- sensors


def test_image_noise_has_the_deviation_it_says() -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    noisy = noisy_image(grey, Variation({"image-noise": 0.1}), np.random.default_rng(0)).astype(float)
    assert noisy.std() == pytest.approx(25.5, rel=0.05)
    step = np.zeros((64, 64, 3), np.uint8)
    step[:, 32:] = 255
    soft = noisy_image(step, Variation({"image-blur": 100 * 3 / 64}), np.random.default_rng(0)).astype(float)
    assert soft[32, 32 + 3, 0] / 255 == pytest.approx(0.878, abs=0.02)  # normal distribution function at 3.5 / 3
    assert (grey == 128).all()


# ---------------------------------------------------------------- actions


def contract() -> ActionContract:
    return ActionContract(
        "eef_delta", ("dx", "rx", "gripper"), ("m", "rad", "1"), (-0.05, -0.3, 0.0), (0.05, 0.3, 1.0), 10.0, (),
    )


@pytest.mark.parametrize("level", range(LEVELS + 1))
def test_latency_delays_by_exactly_so_many_steps(level: int) -> None:
    channel = ActionChannel(
        Shifts.parse(f"action-latency={level}").draw(stream()), contract(), np.array([0.0, 0.0, 1.0]),
        lambda i: np.random.default_rng(i),
    )
    sent = [np.array([0.001 * i, 0.0, 0.5]) for i in range(1, 11)]
    executed = [channel(action, step) for step, action in enumerate(sent)]
    np.testing.assert_array_equal(executed[level:], sent[: 10 - level])
    np.testing.assert_array_equal(executed[:level], [[0.0, 0.0, 1.0]] * level)


def test_action_noise_has_the_deviation_it_says_and_spares_the_gripper() -> None:
    channel = ActionChannel(
        Variation({"action-noise": 0.1}), contract(), np.zeros(3), lambda i: np.random.default_rng(i),
    )
    executed = np.array([channel(np.array([0.0, 0.0, 0.7]), step) for step in range(2000)])
    np.testing.assert_allclose(executed.std(axis=0), [0.005, 0.03, 0.0], rtol=0.06, atol=1e-12)
    assert (executed[:, 2] == 0.7).all()
    strong = ActionChannel(
        Variation({"action-noise": 50.0}), contract(), np.zeros(3), lambda i: np.random.default_rng(i),
    )
    assert np.abs([strong(np.zeros(3), step)[0] for step in range(20)]).max() <= 0.05


# ---------------------------------------------------------------- what cannot be


def test_an_object_larger_than_the_table_is_refused(tmp_path: Any) -> None:
    import trimesh

    trimesh.creation.box((1.2, 0.5, 0.3)).export(tmp_path / "crate.stl")
    with pytest.raises(ConfigError, match=r"crate.*larger than the table"):
        GraspEnv(EnvConfig(objects=f"meshes:{tmp_path}?unit=m", cameras=()))


def test_a_camera_inside_an_object_is_refused(env: GraspEnv) -> None:
    first(env, "")
    env.scene.data.qpos[
        env.scene.target.qpos
    ][:3] = env.camera_pose("front")[0][:3, :3].T @ -env.camera_pose("front")[0][:3, 3] - env.object.com
    mujoco.mj_kinematics(env.scene.model, env.scene.data)
    with pytest.raises(ConfigError, match="camera 'front' is inside"):
        check_cameras(env._setting, ("front",))


# the second makes MuJoCo start over by itself, which must not go unnoticed
@pytest.mark.parametrize("speed", [1e3, 1e9])
def test_a_simulation_that_blows_up_ends_the_episode(env: GraspEnv, speed: float) -> None:
    first(env, "action-latency=1")
    env.scene.data.qvel[env.scene.target.qvel][0] = speed
    observation, _, terminated, _, info = env.step(np.zeros(7, np.float32))
    assert terminated
    assert info["unstable"]
    assert not info["is_success"]
    assert np.isfinite(observation["agent_pos"]).all()
    with pytest.raises(ConfigError, match="reset"):
        env.step(np.zeros(7, np.float32))


def test_unknown_factors_of_a_variation_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="image-blur"):
        Shift("image-blurr", 1)


@pytest.mark.skipif(not DOCUMENTATION.is_file(), reason="the tests run against an installed wheel")
def test_the_documentation_has_the_table() -> None:
    lines = DOCUMENTATION.read_text(encoding="utf-8").splitlines()
    rows = {
        line.split("|")[1].strip(" `"): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines
        if line.startswith("| `")
    }
    assert list(rows) == list(NAMES)
    for name, (start, ends, unit, what, source, axis) in rows.items():
        factor = SHIFT_FACTORS[name]
        assert (start, ends) == (f"{factor.start:.3g}", " or ".join(f"{end:.3g}" for end in factor.ends))
        assert (unit or "1", what, source) == (factor.unit, factor.what, factor.source)
        assert axis == factor.star_gen
